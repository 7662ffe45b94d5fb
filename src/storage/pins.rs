//! What must stay, and what may go: pins, and the deletion of roots that have none.

use std::rc::Rc;

use super::{
    MAX_PAGE, PinOptions, Shared, Storage,
    count::count,
    fetch::{Session, Source},
    sweep,
    values::is_value,
    walk::walk_all,
};
use crate::{
    block::Cid,
    error::{Error, OfflineReason, Result},
    tier::{Commit, Durability, Pin, PinKind, Root},
    unixfs::{BlockSource, Inspected, inspect, one},
};

/// A part of a list of pins.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PinPage {
    /// In the order of the CIDs' text.
    pub pins: Vec<Pin>,
    /// After which the next page begins; none on the last one.
    pub next: Option<Cid>,
}

impl Storage {
    /// Pins a DAG, or one block: nothing of it is deleted, evicted or collected. What is not held is fetched; until all of
    /// it is here the pin is pending, and goes on when this is called again. A DAG that is no stored root becomes one.
    ///
    /// An earlier pin of the same CID is replaced. The new one is returned, with its size.
    pub async fn pin(&self, cid: &Cid, options: PinOptions) -> Result<Pin> {
        let shared = &self.shared;
        let mut pin = options.pin(cid, shared.clock.now())?;
        // Until it is pinned nothing may sweep what of it is held. Others may delete and pin while it is fetched.
        let open = sweep::enter(shared).await?;
        match pin.kind {
            PinKind::Direct => self.pin_block(&mut pin, &options).await?,
            PinKind::Recursive => self.pin_all(&mut pin, &options).await?,
        }
        sweep::leave(open).await;
        shared.used(cid);
        Ok(pin)
    }

    async fn pin_block(&self, pin: &mut Pin, options: &PinOptions) -> Result<()> {
        let shared = &self.shared;
        let session = shared.elsewhere(options.offline).map(|remotes| {
            let session = Session::of_block(shared.clone(), remotes, pin.cid.clone());
            session.listen(options.on_fetched.clone());
            session.into()
        });
        Source::new(shared.blocks.clone(), session).ensure(std::slice::from_ref(&pin.cid)).await?;
        shared.measure(pin).await?;
        let (shared, pin) = (shared.clone(), pin.clone());
        let set = async move {
            if shared.tier.pin(&pin.cid).await?.is_some_and(|earlier| earlier.kind == PinKind::Recursive) {
                return Err(Error::Denied(format!(
                    "all of {} is pinned, and this block with it; unpin it first",
                    pin.cid
                )));
            }
            shared.set_pin(pin, None).await
        };
        self.shared.roots.pass(set).await
    }

    async fn pin_all(&self, pin: &mut Pin, options: &PinOptions) -> Result<()> {
        let shared = &self.shared;
        loop {
            let stored = shared.tier.root(&pin.cid).await?.is_some();
            // What a stored value links to may never have been here.
            if !stored || is_value(&pin.cid) {
                self.complete(pin, options).await?;
            }
            let adopted = if stored { None } else { Some(self.adopt(&pin.cid).await?) };
            shared.measure(pin).await?;
            let (storage, pin) = (self.clone(), pin.clone());
            let set = async move {
                if stored {
                    storage.root(&pin.cid).await?;
                }
                storage.shared.set_pin(pin, adopted).await
            };
            match shared.roots.pass(set).await {
                // It has been deleted meanwhile.
                Err(Error::NotFound(_)) if stored => {}
                done => return done,
            }
        }
    }

    /// What of a DAG is not here is fetched, and pinned as it comes.
    async fn complete(&self, pin: &Pin, options: &PinOptions) -> Result<()> {
        let (shared, cid) = (&self.shared, &pin.cid);
        let local = Source::new(shared.blocks.clone(), Err(OfflineReason::Requested));
        match walk_all(&local, cid).await {
            Err(Error::NotAvailableOffline { .. }) => {
                if shared.elsewhere(options.offline).is_ok() {
                    shared.set_pin(Pin { pending: true, ..pin.clone() }, None).await?;
                }
                let source = shared.source(cid.into(), None, options.offline, options.on_fetched.clone());
                walk_all(&source, cid).await
            }
            done => done,
        }
    }

    /// A root for a DAG that has none, and is all here.
    pub(super) async fn adopt(&self, cid: &Cid) -> Result<Root> {
        let shared = &self.shared;
        if let Some(root) = shared.left(cid).await? {
            return Ok(root);
        }
        let block = one(shared.blocks.blocks(std::slice::from_ref(cid)).await?, cid)?;
        let Inspected { kind, size, .. } = inspect(&block)?;
        let modified = shared.clock.now();
        Ok(Root { cid: cid.clone(), filename: None, size, modified, profile: None, kind: Some(kind) })
    }

    /// Takes a pin away; the data stays until something makes room.
    pub async fn unpin(&self, cid: &Cid) -> Result<()> {
        let (shared, cid) = (self.shared.clone(), cid.clone());
        let unpin = async move {
            if shared.tier.pin(&cid).await?.is_none() && shared.tier.root(&cid).await?.is_none() {
                return Err(Error::NotFound((&cid).into()));
            }
            let commit = Commit { unpin: vec![cid], durability: shared.options.durability, ..Commit::default() };
            shared.blocks.commit(commit).await.map(drop)
        };
        self.shared.roots.pass(unpin).await
    }

    /// At most `limit` pins in the order of their CIDs' text, after `after`. One whose size nobody has counted yet is counted
    /// now; the size of a pending one is that of what is here.
    pub async fn pins(&self, after: Option<&Cid>, limit: usize) -> Result<PinPage> {
        if !(1..=MAX_PAGE).contains(&limit) {
            return Err(Error::InvalidArgument(format!("a page of {limit}; allowed are 1 to {MAX_PAGE}")));
        }
        self.shared.end_pins().await?;
        // One more tells whether there is a next page.
        let mut pins = self.shared.tier.pins(after, limit + 1).await?;
        let more = pins.len() > limit;
        pins.truncate(limit);
        let next = pins.last().filter(|_| more).map(|last| last.cid.clone());
        self.count_new(&mut pins).await?;
        Ok(PinPage { pins, next })
    }

    /// Counts pins that have no size yet, and keeps what will not change any more.
    async fn count_new(&self, pins: &mut [Pin]) -> Result<()> {
        let uncounted: Vec<Pin> = pins.iter().filter(|pin| pin.size.is_none()).cloned().collect();
        let counts = count(&self.shared, &uncounted).await?;
        for (pin, count) in pins.iter_mut().filter(|pin| pin.size.is_none()).zip(&counts) {
            pin.size = Some(count.size());
        }
        let counted = uncounted.into_iter().zip(counts).filter_map(|(pin, count)| Some((pin, count.whole()?)));
        let counted: Vec<(Pin, (u64, u64))> = counted.collect();
        if counted.is_empty() {
            return Ok(());
        }
        let shared = self.shared.clone();
        let keep = async move {
            let mut commit = Commit { durability: Durability::Relaxed, ..Commit::default() };
            for (pin, size) in counted {
                // It may have been taken away meanwhile, or replaced.
                if shared.tier.pin(&pin.cid).await?.as_ref() == Some(&pin) {
                    commit.pin.push(Pin { size: Some(size), ..pin });
                }
            }
            if commit.pin.is_empty() { Ok(()) } else { shared.blocks.commit(commit).await.map(drop) }
        };
        // If this fails they are counted again the next time.
        let _ = self.shared.roots.pass(keep).await;
        Ok(())
    }

    /// Forgets a stored root, and drops the blocks that only it used. [`Error::Denied`] when it is pinned, or a name leads to
    /// it, unless `force` takes the pin, and the names, away with it.
    pub async fn delete(&self, cid: &Cid, force: bool) -> Result<()> {
        let (storage, cid) = (self.clone(), cid.clone());
        let delete = async move {
            let shared = &storage.shared;
            shared.let_pins_expire().await?;
            storage.root(&cid).await?;
            let pinned = || Error::Denied(format!("{cid} is pinned; unpin it first, or force it"));
            let unpin: Vec<Cid> = match shared.tier.pin(&cid).await? {
                Some(_) if !force => return Err(pinned()),
                pin => pin.map(|pin| pin.cid).into_iter().collect(),
            };
            loop {
                let (mut notes, mut expect) = shared.unname(&cid, force).await?;
                let queued = shared.unqueue(&cid).await?;
                notes.extend(queued.notes);
                expect.extend(queued.expect);
                let (drop_roots, unpin) = (vec![cid.clone()], unpin.clone());
                match sweep::forget(shared, Commit { drop_roots, unpin, notes, expect, ..Commit::default() }).await {
                    // A name was set anew in another tab at that moment.
                    Err(Error::Conflict { .. }) => {}
                    done => break done.map(drop)?,
                }
            }
            // It may have been pinned at that moment.
            match shared.tier.pin(&cid).await? {
                Some(_) => Err(pinned()),
                None => Ok(()),
            }
        };
        self.shared.roots.pass(delete).await
    }
}

impl Shared {
    /// Notes the size of a pin that is about to be set.
    async fn measure(&self, pin: &mut Pin) -> Result<()> {
        pin.size = count(self, std::slice::from_ref(pin)).await?.first().and_then(|count| count.whole());
        Ok(())
    }

    pub(super) async fn set_pin(&self, pin: Pin, root: Option<Root>) -> Result<()> {
        let durability = self.options.durability;
        self.expiry.set(self.expiry.get().min(pin.expires.unwrap_or(u64::MAX)));
        let commit = Commit { set_roots: root.into_iter().collect(), pin: vec![pin], durability, ..Commit::default() };
        self.blocks.commit(commit).await.map(drop)
    }

    /// Takes away the pins whose time is over, behind the gate of what changes pins.
    pub(super) async fn end_pins(self: &Rc<Self>) -> Result<()> {
        if self.clock.now() < self.expiry.get() {
            return Ok(());
        }
        let shared = self.clone();
        self.roots.pass(async move { shared.let_pins_expire().await }).await
    }

    /// The same, for who is behind that gate.
    pub(super) async fn let_pins_expire(&self) -> Result<()> {
        let now = self.clock.now();
        if now < self.expiry.get() {
            return Ok(());
        }
        let (mut next, mut unpin, mut after) = (u64::MAX, Vec::new(), None);
        loop {
            let page = self.tier.pins(after.as_ref(), MAX_PAGE).await?;
            let Some(last) = page.last() else { break };
            after = Some(last.cid.clone());
            for pin in page {
                match pin.expires {
                    Some(expires) if expires <= now => unpin.push(pin.cid),
                    Some(expires) => next = next.min(expires),
                    None => {}
                }
            }
        }
        if !unpin.is_empty() {
            let durability = self.options.durability;
            self.blocks.commit(Commit { unpin, durability, ..Commit::default() }).await?;
        }
        self.expiry.set(next);
        Ok(())
    }
}
