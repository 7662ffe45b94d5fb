//! Making room: which roots leave when there is no more, and when that is.

use std::{
    cell::{Cell, RefCell},
    collections::{HashMap, HashSet, VecDeque},
    mem,
    rc::Rc,
};

use bytes::Bytes;
use minicbor::bytes::ByteVec;

use super::{
    MAX_PAGE, Shared, Storage,
    collect::{CollectOptions, Collection},
    gate::Gate,
    outbox::Change,
    sweep,
};
use crate::{
    block::{self, Cid},
    error::{Error, Result},
    policy::{Pass, Policy, Replacement},
    tier::{Commit, Durability, PinKind, StoredRoot},
};

/// Above so many hundredths of the limit room is made, unless configured otherwise,
const HIGH_WATER: u8 = 95;

/// and down to so many.
const LOW_WATER: u8 = 85;

/// When the medium is full, so many hundredths of what is held leave at once, for nobody knows how much it lacks.
const FULL_MEDIUM: u64 = 10;

/// Roots that leave together: one walk of what stays is enough for them.
const MAX_VICTIMS: usize = 256;

/// Uses remembered until the order is needed; older ones count no more.
const MAX_USES: usize = 1024;

/// Under which names the order, and what was used since it was written, are kept.
const ORDER: &str = "eviction order";
const USES: &str = "uses";

/// Why a root was evicted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EvictionReason {
    /// The configured limit was near.
    Limit,
    /// The medium had no more room: the browser's quota, or a full disk.
    MediumFull,
    /// It was not used for as long as its policy says, and is kept elsewhere.
    Age,
}

impl EvictionReason {
    /// Its name, as in `wit/types.wit`.
    pub const fn name(self) -> &'static str {
        match self {
            EvictionReason::Limit => "limit",
            EvictionReason::MediumFull => "medium-full",
            EvictionReason::Age => "age",
        }
    }
}

/// A root that was evicted, as a whole.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Evicted {
    /// Which.
    pub cid: Cid,
    /// The name it was stored under.
    pub filename: Option<String>,
    /// Bytes of its file. What it shared with others stays.
    pub size: u64,
    /// Why.
    pub reason: EvictionReason,
    /// When, in milliseconds since the Unix epoch.
    pub when: u64,
}

/// Told of each eviction.
pub type OnEvicted = Rc<dyn Fn(&Evicted)>;

/// What was evicted since the store was opened.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Evictions {
    /// Roots.
    pub roots: u64,
    /// Bytes that this gave back.
    pub bytes: u64,
}

/// The order in which roots leave, and what is known of the room.
pub struct Room {
    policy: Cell<Policy>,
    high_water: Cell<u8>,
    low_water: Cell<u8>,
    order: RefCell<Option<Replacement<Cid>>>,
    uses: RefCell<Uses>,
    /// Roots that are being read.
    held: RefCell<HashMap<Cid, usize>>,
    /// There may be blocks that nothing reaches.
    littered: Cell<bool>,
    making: Gate,
    evictions: Cell<Evictions>,
    listeners: RefCell<Vec<OnEvicted>>,
}

impl Default for Room {
    fn default() -> Self {
        Room {
            policy: Cell::default(),
            high_water: Cell::new(HIGH_WATER),
            low_water: Cell::new(LOW_WATER),
            order: RefCell::default(),
            uses: RefCell::default(),
            held: RefCell::default(),
            // What was left when the store was open before, nobody knows.
            littered: Cell::new(true),
            making: Gate::default(),
            evictions: Cell::default(),
            listeners: RefCell::default(),
        }
    }
}

/// What was used, and when; the last one at the end.
#[derive(Default)]
struct Uses {
    cids: VecDeque<(Cid, u64)>,
    /// How many at the end are not saved,
    unsaved: usize,
    /// or not in the order yet.
    unapplied: usize,
}

/// As long as it lives, a root that is being read is not evicted.
pub struct Hold {
    shared: Rc<Shared>,
    cid: Cid,
}

impl Hold {
    pub fn new(shared: &Rc<Shared>, cid: Cid) -> Self {
        *shared.room.held.borrow_mut().entry(cid.clone()).or_default() += 1;
        Hold { shared: shared.clone(), cid }
    }
}

impl Drop for Hold {
    fn drop(&mut self) {
        let mut held = self.shared.room.held.borrow_mut();
        if let Some(count) = held.get_mut(&self.cid) {
            *count -= 1;
        }
        held.retain(|_, count| *count > 0);
    }
}

impl Room {
    /// What was evicted since the store was opened.
    pub fn evictions(&self) -> Evictions {
        self.evictions.get()
    }

    /// Something was written that perhaps no root will reach.
    pub fn litter(&self) {
        self.littered.set(true);
    }

    /// A collection begins.
    pub fn tidied(&self) {
        self.littered.set(false);
    }

    fn used(&self, cid: &Cid, now: u64) {
        let mut uses = self.uses.borrow_mut();
        if uses.cids.len() == MAX_USES {
            uses.cids.pop_front();
        }
        uses.cids.push_back((cid.clone(), now));
        uses.unsaved = (uses.unsaved + 1).min(MAX_USES);
        uses.unapplied = (uses.unapplied + 1).min(MAX_USES);
    }

    fn configure(&self, policy: Option<Policy>, high: Option<u8>, low: Option<u8>) -> Result<()> {
        let (high, low) = (high.unwrap_or(self.high_water.get()), low.unwrap_or(self.low_water.get()));
        if !(1..=100).contains(&high) || low > high {
            let problem =
                format!("water marks of {low} and {high} hundredths; the high one is at most 100, the low one below");
            return Err(Error::InvalidArgument(problem));
        }
        self.high_water.set(high);
        self.low_water.set(low);
        if let Some(policy) = policy {
            self.policy.set(policy);
            self.order.borrow_mut().iter_mut().for_each(|order| order.set_policy(policy));
        }
        Ok(())
    }
}

impl Storage {
    /// Has a listener told of each root that is evicted from now on.
    pub fn on_evicted(&self, listener: OnEvicted) {
        self.shared.room.listeners.borrow_mut().push(listener);
    }
}

impl Shared {
    /// A root was stored or read.
    pub(super) fn used(&self, cid: &Cid) {
        self.room.used(cid, self.clock.now());
    }

    /// When a root was used last, as far as that is remembered.
    pub(super) async fn last_use(&self, cid: &Cid) -> Result<Option<u64>> {
        let last = |uses: &[(Cid, u64)]| uses.iter().rev().find(|(used, _)| used == cid).map(|(_, when)| *when);
        let here = last(self.room.uses.borrow_mut().cids.make_contiguous());
        match here {
            Some(when) => Ok(Some(when)),
            None => Ok(last(&uses_in(self.tier.note(USES).await?))),
        }
    }

    /// Has a root leave whose time has come, unless something keeps it, or its copies are too few.
    pub(super) async fn demote(self: &Rc<Self>, cid: &Cid) -> Result<()> {
        if self.leaves_at(cid).await?.is_none_or(|when| when > self.clock.now()) {
            return Ok(());
        }
        let (shared, inner, cid) = (self.clone(), self.clone(), cid.clone());
        let demote = async move {
            let _watch = inner.relied.watch();
            inner.let_pins_expire().await?;
            if !inner.may_go(&inner.kept().await?, &cid) {
                return Ok(());
            }
            let Some(stored) = inner.tier.root(&cid).await? else { return Ok(()) };
            let Some(change) = inner.may_leave(&stored.root).await? else { return Ok(()) };
            inner.leave(vec![stored], change, EvictionReason::Age).await
        };
        // Pins are set behind the same gate.
        self.room.making.pass(async move { shared.roots.pass(demote).await }).await
    }

    /// Sets the limits and the policy of the local tier.
    pub(super) fn configure_room(&self, config: &super::CacheConfig) -> Result<()> {
        self.room.configure(config.policy, config.high_water, config.low_water)
    }

    /// Writes blocks. Before the limit is reached, room is made; and when the medium has none, once more.
    pub(super) async fn write<T>(
        self: &Rc<Self>,
        commit: Commit,
        write: impl AsyncFn(Commit) -> Result<T>,
    ) -> Result<T> {
        self.make_room(&commit).await?;
        let again = commit.clone();
        match write(commit).await {
            Err(Error::QuotaExceeded { needed, limit: 0 }) => {
                let held = self.tier.usage().await?.bytes;
                let target = held.saturating_sub(needed.max(held / FULL_MEDIUM));
                // Should that fail, the medium is as full as before.
                let _ = self.evict(target, EvictionReason::MediumFull).await;
                if self.tier.usage().await?.bytes >= held {
                    return Err(Error::QuotaExceeded { needed, limit: 0 });
                }
                write(again).await
            }
            done => done,
        }
    }

    async fn make_room(self: &Rc<Self>, commit: &Commit) -> Result<()> {
        let Some(limit) = self.blocks.disk_limit() else { return Ok(()) };
        let share = |hundredths: &Cell<u8>| (u128::from(limit) * u128::from(hundredths.get()) / 100) as u64;
        let high = share(&self.room.high_water);
        let held = self.tier.usage().await?.bytes;
        if held + commit.bytes() <= high {
            return Ok(());
        }
        let needed = commit.lacking(self.tier.as_ref()).await?;
        if needed == 0 || held + needed <= high {
            return Ok(());
        }
        self.evict(share(&self.room.low_water).saturating_sub(needed), EvictionReason::Limit).await
    }

    /// Evicts roots that are not pinned until no more than `target` bytes are held, or none is left.
    async fn evict(self: &Rc<Self>, target: u64, reason: EvictionReason) -> Result<()> {
        let (shared, inner) = (self.clone(), self.clone());
        let evict = async move { inner.evict_down_to(target, reason).await };
        // Pins are set behind the same gate.
        self.room.making.pass(async move { shared.roots.pass(evict).await }).await
    }

    async fn evict_down_to(self: &Rc<Self>, target: u64, reason: EvictionReason) -> Result<()> {
        let _watch = self.relied.watch();
        self.let_pins_expire().await?;
        let before = self.tier.usage().await?.bytes;
        let mut held = before;
        if held > target && self.room.littered.get() {
            self.collect_litter().await?;
            held = self.tier.usage().await?.bytes;
        }
        let mut pass = Pass::default();
        while held > target {
            let (victims, change) = self.victims(&mut pass, held - target).await?;
            if victims.is_empty() {
                break;
            }
            self.leave(victims, change, reason).await?;
            held = self.tier.usage().await?.bytes;
        }
        let mut so_far = self.room.evictions.get();
        so_far.bytes += before.saturating_sub(held);
        self.room.evictions.set(so_far);
        self.save_order().await;
        Ok(())
    }

    /// Drops roots, whose promises allow it by this change.
    async fn leave(self: &Rc<Self>, victims: Vec<StoredRoot>, change: Change, reason: EvictionReason) -> Result<()> {
        // Those that are gone are told, also if dropping their blocks fails after that.
        let drop_roots = victims.iter().map(|stored| stored.root.cid.clone()).collect();
        let Change { notes, expect } = change;
        let dropped = match sweep::forget(self, Commit { drop_roots, notes, expect, ..Commit::default() }).await {
            // Copies of one of them were promised, or lost, at that moment.
            Err(Error::Conflict { .. }) => return Ok(()),
            done => done,
        };
        for StoredRoot { root, .. } in victims {
            if self.tier.root(&root.cid).await?.is_some() {
                continue; // pinned in another tab at that moment
            }
            self.with_order(|order| order.evicted(&root.cid)).await?;
            let evicted =
                Evicted { cid: root.cid, filename: root.filename, size: root.size, reason, when: self.clock.now() };
            let mut so_far = self.room.evictions.get();
            so_far.roots += 1;
            self.room.evictions.set(so_far);
            let listeners = self.room.listeners.borrow().clone();
            listeners.iter().for_each(|tell| tell(&evicted));
        }
        dropped.map(drop)
    }

    /// What nothing reaches goes before what somebody stored.
    async fn collect_litter(self: &Rc<Self>) -> Result<()> {
        match Collection::new(self.clone(), CollectOptions::default(), true) {
            Ok(mut collection) => {
                while collection.step().await?.is_some() {}
                Ok(())
            }
            // Somebody is at it.
            Err(Error::Denied(_)) => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// What names and pins keep.
    async fn kept(&self) -> Result<HashSet<Cid>> {
        let mut kept = self.named().await?;
        let mut after = None;
        loop {
            let page = self.tier.pins(after.as_ref(), MAX_PAGE).await?;
            let Some(last) = page.last() else { return Ok(kept) };
            after = Some(last.cid.clone());
            kept.extend(page.iter().filter(|pin| pin.kind == PinKind::Recursive).map(|pin| pin.cid.clone()));
        }
    }

    fn may_go(&self, kept: &HashSet<Cid>, cid: &Cid) -> bool {
        let relied = block::key(cid).is_some_and(|key| self.relied.spares(&key));
        !relied && !kept.contains(cid) && !self.room.held.borrow().contains_key(cid)
    }

    /// The next roots to go, of so many bytes together, and what is noted and must be so for that.
    async fn victims(&self, pass: &mut Pass, bytes: u64) -> Result<(Vec<StoredRoot>, Change)> {
        let kept = self.kept().await?;
        let (mut victims, mut change, mut found) = (Vec::new(), Change::default(), 0);
        while found < bytes && victims.len() < MAX_VICTIMS {
            let may_go = |cid: &Cid| self.may_go(&kept, cid);
            let Some(victim) = self.with_order(|order| order.victim(pass, may_go)).await? else { break };
            let Some(stored) = self.tier.root(&victim).await? else {
                // Deleted since.
                self.with_order(|order| order.remove(&victim)).await?;
                continue;
            };
            let Some(promised) = self.may_leave(&stored.root).await? else { continue };
            found += stored.root.size;
            change.add(promised);
            victims.push(stored);
        }
        Ok((victims, change))
    }

    /// The order, with all that has happened since it was looked at last.
    async fn with_order<T>(&self, act: impl FnOnce(&mut Replacement<Cid>) -> T) -> Result<T> {
        if self.room.order.borrow().is_none() {
            let order = self.load_order().await?;
            self.room.order.replace(Some(order));
        }
        loop {
            let next = {
                let uses = self.room.uses.borrow();
                uses.cids.len().checked_sub(uses.unapplied).and_then(|at| uses.cids.get(at)).cloned()
            };
            let Some((used, _)) = next else { break };
            let stored = self.tier.root(&used).await?;
            if let (Some(stored), Some(order)) = (stored, self.room.order.borrow_mut().as_mut()) {
                note_use(order, used, stored.root.size);
            }
            let mut uses = self.room.uses.borrow_mut();
            uses.unapplied = uses.unapplied.saturating_sub(1);
        }
        let mut order = self.room.order.borrow_mut();
        let order = order.get_or_insert_with(|| Replacement::new(self.room.policy.get(), u64::MAX));
        // Room is made before what needs it is stored.
        order.settle();
        Ok(act(order))
    }

    async fn load_order(&self) -> Result<Replacement<Cid>> {
        let policy = self.room.policy.get();
        let decode = |bytes: &[u8]| block::from_bytes(bytes).ok();
        let capacity = match self.blocks.disk_limit() {
            Some(limit) => limit,
            None => self.tier.usage().await?.bytes.max(1),
        };
        // One that cannot be read is as good as none.
        let saved = self.tier.note(ORDER).await?.and_then(|saved| Replacement::restore(&saved, capacity, decode).ok());
        let mut order = saved.unwrap_or_else(|| Replacement::new(policy, capacity));
        order.set_policy(policy);
        let (mut roots, mut unknown, mut after) = (HashMap::new(), Vec::new(), None);
        loop {
            let page = self.tier.roots(after.as_ref(), MAX_PAGE).await?;
            let Some(last) = page.last() else { break };
            after = Some(last.root.cid.clone());
            for StoredRoot { root, .. } in page {
                if order.bytes_of(&root.cid).is_none() {
                    unknown.push((root.modified, root.cid.clone()));
                }
                roots.insert(root.cid, root.size);
            }
        }
        let gone: Vec<Cid> = order.order().map(|(cid, _)| cid).filter(|cid| !roots.contains_key(cid)).collect();
        gone.iter().for_each(|cid| order.remove(cid));
        // Of those stored by somebody who noted no uses, the oldest first, and all before what was used since.
        unknown.sort_unstable_by_key(|(modified, _)| *modified);
        let used = uses_in(self.tier.note(USES).await?);
        for cid in unknown.into_iter().map(|(_, cid)| cid).chain(used.into_iter().map(|(cid, _)| cid)) {
            if let Some(size) = roots.get(&cid) {
                note_use(&mut order, cid, *size);
            }
        }
        Ok(order)
    }

    /// Keeps the order for the next opening. Nothing acknowledged depends on it, so that a failure may pass.
    async fn save_order(&self) {
        let Ok(order) = self.with_order(|order| order.snapshot(|cid| cid.to_bytes())).await else { return };
        *self.room.uses.borrow_mut() = Uses::default();
        let notes = vec![(ORDER.to_owned(), Some(order.into())), (USES.to_owned(), None)];
        let _ = self.blocks.commit(Commit { notes, durability: Durability::Relaxed, ..Commit::default() }).await;
    }

    /// Keeps what was used since, where there is a limit, or another place to go to, that makes it matter.
    pub(super) async fn save_uses(&self) {
        let unsaved = mem::take(&mut self.room.uses.borrow_mut().unsaved);
        if unsaved == 0 || (self.blocks.disk_limit().is_none() && self.backends().is_none()) {
            return;
        }
        let mut uses = uses_in(self.tier.note(USES).await.unwrap_or_default());
        {
            let here = &self.room.uses.borrow().cids;
            uses.extend(here.iter().skip(here.len().saturating_sub(unsaved)).cloned());
        }
        let last = uses.iter().skip(uses.len().saturating_sub(MAX_USES));
        let bytes: Vec<(ByteVec, u64)> = last.map(|(cid, when)| (cid.to_bytes().into(), *when)).collect();
        let notes = vec![(USES.to_owned(), Some(minicbor::to_vec(bytes).unwrap_or_default().into()))];
        let _ = self.blocks.commit(Commit { notes, durability: Durability::Relaxed, ..Commit::default() }).await;
    }
}

/// What the order does not know was stored just now.
fn note_use(order: &mut Replacement<Cid>, cid: Cid, bytes: u64) {
    if !order.touch(&cid) {
        order.admit(cid, bytes.max(1));
    }
}

fn uses_in(note: Option<Bytes>) -> Vec<(Cid, u64)> {
    let uses: Vec<(ByteVec, u64)> = note.and_then(|note| minicbor::decode(&note).ok()).unwrap_or_default();
    uses.iter().filter_map(|(cid, when)| Some((block::from_bytes(cid).ok()?, *when))).collect()
}
