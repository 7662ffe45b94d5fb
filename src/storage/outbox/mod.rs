//! What is stored here goes to backends, by policy: queued in the commit that stores it, and counted when it was read back.

mod drain;
mod job;
mod promise;
mod proof;
mod record;
mod rule;
mod source;

use std::{cell::RefCell, collections::HashSet, rc::Rc};

use bytes::Bytes;

use self::record::{COPIES, Copy, OUTBOX, Pair, Promise, Stage, Work};
pub use self::{
    drain::{OnDelivery, SyncOptions, SyncReport},
    rule::{ArchiveRule, ReadBack, ReplicationPolicy},
};
pub(super) use self::{promise::Change, source::CopySource};
use super::{MAX_PAGE, Shared, Storage};
use crate::{
    backend::{Backends, Member},
    block::Cid,
    error::{Error, OfflineReason, Result},
    remote::Failure,
    tier::Commit,
};

/// Who is at what now, of those who drain this store.
#[derive(Default)]
pub struct Outbox {
    under_way: RefCell<HashSet<Pair>>,
}

/// As long as it lives, nobody else here works for this pair.
struct Busy {
    shared: Rc<Shared>,
    pair: Pair,
}

impl Busy {
    fn new(shared: &Rc<Shared>, pair: &Pair) -> Option<Self> {
        let free = shared.outbox.under_way.borrow_mut().insert(pair.clone());
        free.then(|| Busy { shared: shared.clone(), pair: pair.clone() })
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        self.shared.outbox.under_way.borrow_mut().remove(&self.pair);
    }
}

/// How far a root has come on its way to a backend.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DeliveryState {
    /// It waits.
    Queued,
    /// Some of it is there.
    Sending,
    /// The backend says that it has it: that is to be proven.
    Stored,
    /// It was read back, and its hashes agreed.
    Verified,
    /// It was given up; [`Storage::replicate`] tries it again.
    Failed,
    /// It is to be removed there.
    Removing,
}

impl DeliveryState {
    /// Its name, as every binding has it.
    pub const fn name(self) -> &'static str {
        match self {
            DeliveryState::Queued => "queued",
            DeliveryState::Sending => "sending",
            DeliveryState::Stored => "stored",
            DeliveryState::Verified => "verified",
            DeliveryState::Failed => "failed",
            DeliveryState::Removing => "removing",
        }
    }
}

/// What went wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Why {
    /// It could not be read here.
    Here(String),
    /// At the backend.
    There(Failure),
}

/// What went wrong the last time, and what comes of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Setback {
    /// What.
    pub why: Why,
    /// Failures in a row.
    pub failures: u32,
    /// When it is tried again, in milliseconds since the Unix epoch; none: it was given up.
    pub next: Option<u64>,
}

/// A root on its way to a backend.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Delivery {
    /// The root.
    pub cid: Cid,
    /// The backend's name.
    pub backend: String,
    /// How far it has come.
    pub state: DeliveryState,
    /// Bytes sent so far.
    pub sent: u64,
    /// When it was queued, in milliseconds since the Unix epoch.
    pub queued: u64,
    /// What went wrong the last time, if it has not gone well since.
    pub setback: Option<Setback>,
    /// What the backend tells of it, as names and values.
    pub details: Vec<(&'static str, String)>,
}

/// A copy that was read back, and how much of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Replica {
    /// The backend's name.
    pub backend: String,
    /// When the backend said that it has it, in milliseconds since the Unix epoch.
    pub stored: u64,
    /// When it was read back last, likewise: the age of the evidence.
    pub verified: u64,
    /// Blocks that were read back then, and their bytes.
    pub read: (u64, u64),
    /// Whether these were all.
    pub all: bool,
    /// What the backend tells of it, as names and values.
    pub details: Vec<(&'static str, String)>,
}

/// Where a root stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Replication {
    /// The copies that were proven.
    pub replicas: Vec<Replica>,
    /// What is still to be done.
    pub deliveries: Vec<Delivery>,
    /// How many copies it takes to be replicated; none if nothing was promised.
    pub wanted: Option<usize>,
}

impl Replication {
    /// Whether there are as many proven copies as were promised.
    pub fn is_replicated(&self) -> bool {
        self.wanted.is_some_and(|wanted| self.replicas.len() >= wanted)
    }
}

/// A part of the list of what is still to be done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OutboxPage {
    /// In the order of the CIDs' text, then of the backends' names.
    pub deliveries: Vec<Delivery>,
    /// After which the next page begins; none on the last one.
    pub next: Option<String>,
}

impl Storage {
    /// Queues a root for the backends of a policy, laid over the store's. What is not held of it is fetched, if it is no
    /// stored root yet. What was given up is tried again.
    pub async fn replicate(&self, cid: &Cid, policy: &ReplicationPolicy) -> Result<()> {
        let shared = &self.shared;
        let rule = shared.rule(policy)?;
        let rule = rule.ok_or_else(|| Error::InvalidArgument("the policy names no backend".into()))?;
        // Of what has copies elsewhere others are made, without bringing it here.
        if shared.tier.root(cid).await?.is_none() && shared.promise(cid).await?.is_none() {
            // As a pin does it, but for the pin.
            self.pin(cid, super::PinOptions::default()).await?;
            self.unpin(cid).await?;
        }
        shared.change(async || shared.queue(cid, rule.clone(), true).await).await
    }

    /// Has copies of a root removed, at one backend or at all, and what is queued for them given up. They count no more at
    /// once; [`Storage::sync`] removes them.
    pub async fn release(&self, cid: &Cid, backend: Option<&str>) -> Result<()> {
        let shared = &self.shared;
        let released = |name: &str| backend.is_none_or(|backend| backend == name);
        shared.change(async || shared.release(cid, released).await).await
    }

    /// Queues the copies of a root to be read back again, or those of all roots.
    pub async fn audit(&self, cid: Option<&Cid>) -> Result<()> {
        let shared = &self.shared;
        for (note, _) in shared.notes(&cid.map_or(COPIES.to_owned(), |cid| record::all_of(COPIES, cid))).await? {
            let pair = Pair::of(&note, COPIES)?;
            shared.change(async || shared.audit(&pair).await).await?;
        }
        Ok(())
    }

    /// The proven copies of a root.
    pub async fn replicas(&self, cid: &Cid) -> Result<Vec<Replica>> {
        let shared = &self.shared;
        let mut replicas = Vec::new();
        for (note, value) in shared.notes(&record::all_of(COPIES, cid)).await? {
            let (pair, copy) = (Pair::of(&note, COPIES)?, Copy::decode(&note, &value)?);
            replicas.push(Replica {
                details: shared.describe(&pair.backend, Some(copy.state())),
                backend: pair.backend,
                stored: copy.stored,
                verified: copy.proven,
                read: copy.read,
                all: copy.all,
            });
        }
        Ok(replicas)
    }

    /// Where a root stands: its proven copies, and what is still to be done.
    pub async fn replication(&self, cid: &Cid) -> Result<Replication> {
        let shared = &self.shared;
        let mut deliveries = Vec::new();
        for (note, value) in shared.notes(&record::all_of(OUTBOX, cid)).await? {
            deliveries.push(shared.delivery(Pair::of(&note, OUTBOX)?, &Work::decode(&note, &value)?));
        }
        let wanted = shared.promise(cid).await?.map(|(promise, _)| promise.rule.wanted());
        Ok(Replication { replicas: self.replicas(cid).await?, deliveries, wanted })
    }

    /// At most `limit` of all that is still to be done, after what a page ended with.
    pub async fn outbox(&self, after: Option<&str>, limit: usize) -> Result<OutboxPage> {
        if !(1..=MAX_PAGE).contains(&limit) {
            return Err(Error::InvalidArgument(format!("a page of {limit}; allowed are 1 to {MAX_PAGE}")));
        }
        let shared = &self.shared;
        let after = after.map(|after| format!("{OUTBOX}{after}"));
        // One more tells whether there is a next page.
        let mut notes = shared.tier.notes(OUTBOX, after.as_deref(), limit + 1).await?;
        let more = notes.len() > limit;
        notes.truncate(limit);
        let next = notes.last().filter(|_| more).and_then(|(note, _)| note.strip_prefix(OUTBOX)).map(str::to_owned);
        let mut deliveries = Vec::with_capacity(notes.len());
        for (note, value) in notes {
            deliveries.push(shared.delivery(Pair::of(&note, OUTBOX)?, &Work::decode(&note, &value)?));
        }
        Ok(OutboxPage { deliveries, next })
    }
}

impl Shared {
    pub fn backends(&self) -> Option<&Rc<Backends>> {
        self.options.backends.as_ref()
    }

    /// Why they may not be asked now, if so.
    pub fn backends_offline(&self, backends: &Backends) -> Option<OfflineReason> {
        self.options.offline.or((!backends.is_online()).then_some(OfflineReason::Disconnected))
    }

    fn member(&self, name: &str) -> Option<&Rc<Member>> {
        self.backends().and_then(|backends| backends.named(name))
    }

    /// All notes whose names begin so.
    async fn notes(&self, prefix: &str) -> Result<Vec<(String, Bytes)>> {
        self.tier.notes(prefix, None, usize::MAX).await
    }

    /// What was promised for a root, and the note that says so.
    async fn promise(&self, cid: &Cid) -> Result<Option<(Promise, Bytes)>> {
        let name = record::policy(cid);
        let Some(note) = self.tier.note(&name).await? else { return Ok(None) };
        Ok(Some((Promise::decode(&name, &note)?, note)))
    }

    /// The copies of a root, to be read.
    pub(super) async fn copies_of(&self, cid: &Cid) -> Result<Vec<CopySource>> {
        let mut copies = Vec::new();
        for (name, note) in self.notes(&record::all_of(COPIES, cid)).await? {
            let (pair, copy) = (Pair::of(&name, COPIES)?, Copy::decode(&name, &note)?);
            let member = self.member(&pair.backend);
            copies.extend(member.and_then(|member| CopySource::new(self, member, cid, copy.state())));
        }
        Ok(copies)
    }

    /// Queues a copy to be read back, after it did not give what it should have.
    pub(super) async fn doubt(&self, copy: &CopySource) -> Result<()> {
        let pair = Pair::new(&copy.root, copy.name());
        self.change(async || self.audit(&pair).await).await
    }

    fn describe(&self, backend: &str, state: Option<Bytes>) -> Vec<(&'static str, String)> {
        let told = self.member(backend).zip(state).map(|(member, state)| member.backend().describe(&state));
        told.unwrap_or_default()
    }

    fn delivery(&self, pair: Pair, work: &Work) -> Delivery {
        let state = match work.stage {
            _ if work.has_failed() => DeliveryState::Failed,
            Stage::Send if work.bytes > 0 || work.state().is_some() => DeliveryState::Sending,
            Stage::Send => DeliveryState::Queued,
            Stage::Prove => DeliveryState::Stored,
            Stage::Remove => DeliveryState::Removing,
        };
        let setback = work.why().map(|why| Setback {
            why,
            failures: work.tries(),
            next: (!work.has_failed()).then_some(work.due),
        });
        let sent = if work.stage == Stage::Prove { work.whole.1 } else { work.bytes };
        let details = self.describe(&pair.backend, work.state());
        Delivery { cid: pair.cid, backend: pair.backend, state, sent, queued: work.queued, setback, details }
    }

    /// Makes a change, and again if something that it is based on was changed meanwhile.
    async fn change(&self, make: impl AsyncFn() -> Result<Change>) -> Result<()> {
        loop {
            let Change { notes, expect } = make().await?;
            if notes.is_empty() {
                return Ok(());
            }
            let commit = Commit { notes, expect, durability: self.options.durability, ..Commit::default() };
            match self.blocks.commit(commit).await {
                Err(Error::Conflict { .. }) => {}
                done => return done.map(drop),
            }
        }
    }
}
