//! The policies themselves, over slots in place of keys.

use std::{
    collections::BTreeMap,
    ops::Bound::{Excluded, Unbounded},
};

use super::Policy;

/// As many evicted entries are remembered as are held, or this many if that is more: ghosts may be small or empty, so a
/// bound on their bytes alone would not bound the memory they take.
const GHOSTS: usize = 1024;

/// Where an entry stands in its list: by rank, which only LFU gives, then by last use. No two are equal, for each use
/// moves the clock.
type Place = (u64, u64);

/// What is known of a slot.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Entry {
    pub bytes: u64,
    pub uses: u64,
    pub place: Place,
    /// Whether it was evicted and is only remembered.
    pub ghost: bool,
}

/// Slots from the next to go to the last.
#[derive(Debug, Clone, Default)]
struct List {
    order: BTreeMap<Place, usize>,
    bytes: u64,
}

impl List {
    fn first(&self) -> Option<usize> {
        self.order.first_key_value().map(|(_, slot)| *slot)
    }

    /// The first behind a place that may go; the place moves along.
    fn next(&self, after: &mut Place, mut may_go: impl FnMut(usize) -> bool) -> Option<usize> {
        let mut rest = self.order.range((Excluded(*after), Unbounded));
        let found = rest.find(|(place, slot)| {
            *after = **place;
            may_go(**slot)
        });
        found.map(|(_, slot)| *slot)
    }
}

/// How far one round of making room has come; see [`Replacement::victim`](super::Replacement::victim).
///
/// It belongs to one order, and ends when that goes over to another policy.
#[derive(Debug, Clone, Default)]
pub struct Pass {
    t1: Place,
    t2: Place,
    /// Whether the newcomer was offered too; it is the last.
    over: bool,
}

/// The entry that was admitted last.
#[derive(Debug, Clone, Copy)]
pub(super) struct Newcomer {
    pub slot: usize,
    /// Whether it was in B2 before: ARC then takes room from T1 already when that has just reached its target.
    pub from_b2: bool,
}

/// The lists by their names in ARC's paper: T1 and B1 are of entries used once, T2 and B2 of those used more often. LRU and
/// LFU keep all they hold in T1.
#[derive(Debug, Clone)]
pub(super) struct Queues {
    pub policy: Policy,
    pub capacity: u64,
    /// ARC's `p`: the bytes that T1 should have.
    pub target: u64,
    /// LFU's age: the highest rank that was evicted.
    pub age: u64,
    pub newcomer: Option<Newcomer>,
    clock: u64,
    t1: List,
    t2: List,
    b1: List,
    b2: List,
    entries: Vec<Entry>,
    free: Vec<usize>,
}

impl Queues {
    pub fn new(policy: Policy, capacity: u64) -> Self {
        Queues {
            policy,
            capacity,
            target: 0,
            age: 0,
            newcomer: None,
            clock: 0,
            t1: List::default(),
            t2: List::default(),
            b1: List::default(),
            b2: List::default(),
            entries: Vec::new(),
            free: Vec::new(),
        }
    }

    pub fn entry(&self, slot: usize) -> Entry {
        self.entries.get(slot).copied().unwrap_or_default()
    }

    pub fn held(&self) -> usize {
        self.t1.order.len() + self.t2.order.len()
    }

    pub fn held_bytes(&self) -> u64 {
        self.t1.bytes + self.t2.bytes
    }

    pub fn ghosts(&self) -> usize {
        self.b1.order.len() + self.b2.order.len()
    }

    fn all_bytes(&self) -> u64 {
        self.held_bytes() + self.b1.bytes + self.b2.bytes
    }

    /// Takes an entry in, known already or new; where it is.
    pub fn admit(&mut self, known: Option<usize>, bytes: u64) -> usize {
        let mut entry = Entry::default();
        if let Some(slot) = known {
            entry = self.entry(slot);
            self.adapt(&entry);
            self.unlink(slot);
        }
        let slot = known.or_else(|| self.free.pop()).unwrap_or(self.entries.len());
        self.newcomer = Some(Newcomer { slot, from_b2: entry.ghost && entry.uses > 1 });
        // No sum of bytes can then overflow.
        entry.bytes = bytes.min(u64::MAX - self.all_bytes());
        entry.ghost = false;
        self.used(slot, entry);
        slot
    }

    /// Takes in an entry of a snapshot, as the one used last. Nothing, if its bytes are more than can be counted.
    pub fn restore(&mut self, mut entry: Entry) -> Option<usize> {
        self.all_bytes().checked_add(entry.bytes)?;
        let slot = self.entries.len();
        self.clock += 1;
        entry.place.1 = self.clock;
        self.link(slot, entry);
        Some(slot)
    }

    /// Whether it is held.
    pub fn touch(&mut self, slot: usize) -> bool {
        let entry = self.entry(slot);
        if !entry.ghost {
            self.unlink(slot);
            self.used(slot, entry);
        }
        !entry.ghost
    }

    pub fn remove(&mut self, slot: usize) {
        self.unlink(slot);
        self.leaves(slot);
        self.free.push(slot);
    }

    /// Whether the slot stays taken, by its ghost.
    pub fn evicted(&mut self, slot: usize) -> bool {
        let mut entry = self.entry(slot);
        if entry.ghost {
            return true;
        }
        self.age = self.age.max(entry.place.0);
        // What cannot come back must not push out the ghosts of what can.
        if self.policy != Policy::Arc || entry.bytes > self.capacity {
            self.remove(slot);
            return false;
        }
        self.unlink(slot);
        self.leaves(slot);
        entry.ghost = true;
        self.clock += 1;
        entry.place.1 = self.clock;
        self.link(slot, entry);
        true
    }

    pub fn victim(&self, pass: &mut Pass, may_go: &mut dyn FnMut(usize) -> bool) -> Option<usize> {
        let newcomer = self.newcomer.map(|newcomer| newcomer.slot);
        let mut settled = |slot| Some(slot) != newcomer && may_go(slot);
        // REPLACE of the paper; with one list empty, as under LRU and LFU, or all of it refused, the other has to do.
        let found = if self.t1_gives(self.settled_t1()) {
            self.t1.next(&mut pass.t1, &mut settled).or_else(|| self.t2.next(&mut pass.t2, settled))
        } else {
            self.t2.next(&mut pass.t2, &mut settled).or_else(|| self.t1.next(&mut pass.t1, settled))
        };
        if found.is_some() || pass.over {
            return found;
        }
        pass.over = true;
        newcomer.filter(|slot| may_go(*slot))
    }

    /// All that is held, in the order in which it would go if nothing else happened.
    pub fn order(&self) -> Vec<usize> {
        let newcomer = self.newcomer.map(|newcomer| newcomer.slot);
        let (mut order, mut later) = (Vec::with_capacity(self.held()), Vec::new());
        let mut t1 = self.settled_t1();
        for slot in self.t1.order.values().copied().filter(|slot| Some(*slot) != newcomer) {
            if self.t1_gives(t1) {
                t1 -= self.entry(slot).bytes;
                order.push(slot);
            } else {
                later.push(slot);
            }
        }
        order.extend(self.t2.order.values().copied().filter(|slot| Some(*slot) != newcomer));
        order.extend(later.into_iter().chain(newcomer));
        order
    }

    /// All slots, ghosts' too, the one used last at the end.
    pub fn by_use(&self) -> impl Iterator<Item = usize> + use<> {
        // A map, not a sort: its code is there already, and a sort weighs 2 KB of wasm.
        let mut all = BTreeMap::<Place, usize>::new();
        for (place, slot) in [&self.t1, &self.t2, &self.b1, &self.b2].into_iter().flat_map(|list| &list.order) {
            all.insert((0, place.1), *slot);
        }
        all.into_values()
    }

    /// A ghost to forget, if there are too many: T1 and B1 stay within the capacity, all lists within twice that, where
    /// what is held beyond the capacity, and is about to go, does not count.
    pub fn surplus(&self) -> Option<usize> {
        let none = self.policy != Policy::Arc;
        if (none || self.t1.bytes + self.b1.bytes > self.capacity)
            && let Some(slot) = self.b1.first()
        {
            return Some(slot);
        }
        let all = self.held_bytes().min(self.capacity) + self.b1.bytes + self.b2.bytes;
        if none || all > self.capacity.saturating_mul(2) {
            return self.b2.first().or_else(|| self.b1.first());
        }
        let longer = if self.b1.order.len() > self.b2.order.len() { &self.b1 } else { &self.b2 };
        if self.ghosts() > self.held().max(GHOSTS) { longer.first() } else { None }
    }

    pub fn set_capacity(&mut self, capacity: u64) {
        self.capacity = capacity;
        self.target = self.target.min(capacity);
    }

    /// Ghosts are left for [`Queues::surplus`] to find.
    pub fn set_policy(&mut self, policy: Policy) {
        if policy == self.policy {
            return;
        }
        let held: Vec<usize> = self.t1.order.values().chain(self.t2.order.values()).copied().collect();
        held.iter().for_each(|slot| self.unlink(*slot));
        (self.policy, self.target, self.age) = (policy, 0, 0);
        for slot in held {
            let mut entry = self.entry(slot);
            entry.place.0 = self.rank(&entry);
            self.link(slot, entry);
        }
    }

    /// Moves ARC's target when a ghost returns: by its bytes, and by as many times that as the other ghosts outweigh those
    /// of its own list.
    fn adapt(&mut self, returned: &Entry) {
        if !returned.ghost {
            return;
        }
        let (own, other) = if returned.uses > 1 { (&self.b2, &self.b1) } else { (&self.b1, &self.b2) };
        // Floats, for a product could overflow; where the list has no bytes the ghost has none either, and NaN becomes 0.
        let step = (returned.bytes as f64 * (other.bytes as f64 / own.bytes as f64).max(1.0)) as u64;
        self.target = if returned.uses > 1 {
            self.target.saturating_sub(step)
        } else {
            self.target.saturating_add(step).min(self.capacity)
        };
    }

    /// Bytes of T1 without the newcomer: room is made for that one, so it does not count yet.
    fn settled_t1(&self) -> u64 {
        let newcomer = self.newcomer.map(|newcomer| self.entry(newcomer.slot)).unwrap_or_default();
        self.t1.bytes - if self.is_t2(&newcomer) { 0 } else { newcomer.bytes }
    }

    /// Whether T1, with this many bytes, should give way rather than T2.
    fn t1_gives(&self, bytes: u64) -> bool {
        let at_target = self.newcomer.is_some_and(|newcomer| newcomer.from_b2);
        bytes > self.target || (at_target && bytes == self.target)
    }

    fn is_t2(&self, held: &Entry) -> bool {
        self.policy == Policy::Arc && held.uses > 1
    }

    fn rank(&self, entry: &Entry) -> u64 {
        if self.policy == Policy::Lfu { entry.uses.saturating_add(self.age) } else { 0 }
    }

    /// Links a slot anew, with one use more.
    fn used(&mut self, slot: usize, mut entry: Entry) {
        self.clock += 1;
        entry.uses = entry.uses.saturating_add(1);
        entry.place = (self.rank(&entry), self.clock);
        self.link(slot, entry);
    }

    fn leaves(&mut self, slot: usize) {
        self.newcomer = self.newcomer.filter(|newcomer| newcomer.slot != slot);
    }

    fn link(&mut self, slot: usize, entry: Entry) {
        let list = self.list(&entry);
        list.order.insert(entry.place, slot);
        list.bytes += entry.bytes;
        match self.entries.get_mut(slot) {
            Some(known) => *known = entry,
            None => self.entries.push(entry),
        }
    }

    fn unlink(&mut self, slot: usize) {
        let entry = self.entry(slot);
        let list = self.list(&entry);
        list.order.remove(&entry.place);
        list.bytes -= entry.bytes;
    }

    fn list(&mut self, entry: &Entry) -> &mut List {
        match (entry.ghost, entry.uses > 1) {
            (true, true) => &mut self.b2,
            (true, false) => &mut self.b1,
            (false, _) if self.is_t2(entry) => &mut self.t2,
            (false, _) => &mut self.t1,
        }
    }
}
