//! Which entry leaves first when there is no room: replacement policies that count bytes.
//!
//! Pure book-keeping over keys. Whoever holds the values tells what came, was used and went, and asks who is next; the
//! same code orders blocks in memory and roots on disk.

mod queues;
mod snapshot;

use std::{collections::HashMap, fmt, hash::Hash, str::FromStr};

use crate::error::{Error, Result};
pub use queues::Pass;
use queues::Queues;

/// In which order entries make room.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Policy {
    /// The least recently used first.
    #[default]
    Lru,
    /// The least frequently used first, with dynamic ageing (LFU-DA; Arlitt, Cherkasova, Dilley, Friedrich and Jin,
    /// "Evaluating Content Management Techniques for Web Proxy Caches", 1999): an entry ranks by its uses plus the age
    /// of the cache at the last of them, and the age is the highest rank that was evicted. So favourites of old give way
    /// once newer entries have caught up. Among equals, the least recently used goes first.
    Lfu,
    /// The adaptive replacement cache (Megiddo and Modha, "ARC: A Self-Tuning, Low Overhead Replacement Cache", 2003),
    /// its lists and its target measured in bytes: entries used once (T1) and more often (T2) share the room as the
    /// returns of recently evicted ones (B1, B2) suggest. A scan of much that is used once passes T2 by.
    Arc,
}

impl Policy {
    /// All of them.
    pub const ALL: [Policy; 3] = [Policy::Lru, Policy::Lfu, Policy::Arc];

    /// Its name, as options give it.
    pub const fn name(self) -> &'static str {
        match self {
            Policy::Lru => "lru",
            Policy::Lfu => "lfu",
            Policy::Arc => "arc",
        }
    }
}

impl fmt::Display for Policy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Policy {
    type Err = Error;

    fn from_str(name: &str) -> Result<Policy> {
        let known = Policy::ALL.into_iter().find(|policy| policy.name() == name);
        known.ok_or_else(|| Error::InvalidArgument(format!("no policy {name:?}; there are lru, lfu and arc")))
    }
}

/// The keys of what is held, in the order in which they should make room.
///
/// It evicts nothing by itself: over the capacity, the holder asks for a [`victim`](Self::victim), lets go of its value,
/// and says that it was [`evicted`](Self::evicted). The entry that was admitted last comes last in any order, for it is
/// the one that room is made for.
///
/// ```
/// # use ipfs_kit_storage::policy::{Pass, Policy, Replacement};
/// let mut order = Replacement::new(Policy::Lru, 100);
/// for key in ['a', 'b', 'c'] {
///     order.admit(key, 40);
/// }
/// let mut pass = Pass::default();
/// while order.bytes() > order.capacity() {
///     let Some(key) = order.victim(&mut pass, |key| *key != 'a') else { break };
///     order.evicted(&key);
/// }
/// assert_eq!(order.order().map(|(key, _)| key).collect::<String>(), "ac");
/// ```
#[derive(Debug, Clone)]
pub struct Replacement<K> {
    /// All that depends on the policy, compiled once for every `K`: it knows entries by their slots.
    queues: Queues,
    slots: HashMap<K, usize>,
    /// By slot; free slots keep their last key.
    keys: Vec<K>,
}

impl<K: Clone + Eq + Hash> Replacement<K> {
    /// Nothing held yet, with room for this many bytes.
    pub fn new(policy: Policy, capacity: u64) -> Self {
        Replacement { queues: Queues::new(policy, capacity), slots: HashMap::new(), keys: Vec::new() }
    }

    /// The policy in force.
    pub fn policy(&self) -> Policy {
        self.queues.policy
    }

    /// Goes over to another policy. Entries keep their bytes, their uses and the order of their last uses, and take the
    /// places that these give them; what the old policy had learnt besides is forgotten.
    pub fn set_policy(&mut self, policy: Policy) {
        self.queues.set_policy(policy);
        self.trim();
    }

    /// The bytes there is room for.
    pub fn capacity(&self) -> u64 {
        self.queues.capacity
    }

    /// Sets the bytes there is room for; none can be said by `u64::MAX`.
    pub fn set_capacity(&mut self, capacity: u64) {
        self.queues.set_capacity(capacity);
        self.trim();
    }

    /// The bytes of what is held.
    pub fn bytes(&self) -> u64 {
        self.queues.held_bytes()
    }

    /// How many entries are held.
    pub fn len(&self) -> usize {
        self.queues.held()
    }

    /// Whether nothing is held.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// How many evicted entries are remembered; only [`Policy::Arc`] does so, within bounds.
    pub fn ghosts(&self) -> usize {
        self.queues.ghosts()
    }

    /// The bytes of an entry, if it is held.
    pub fn bytes_of(&self, key: &K) -> Option<u64> {
        let entry = self.queues.entry(*self.slots.get(key)?);
        (!entry.ghost).then_some(entry.bytes)
    }

    /// An entry is held from now on. If it was already, this is a use, and its size is the new one.
    ///
    /// What is larger than the capacity need not be offered: all else would have to go before it went itself.
    pub fn admit(&mut self, key: K, bytes: u64) {
        let slot = self.queues.admit(self.slots.get(&key).copied(), bytes);
        self.name(slot, key);
        self.trim();
    }

    /// The entry that was admitted last takes the place in the order that its use gives it: the next room is for another.
    pub fn settle(&mut self) {
        self.queues.newcomer = None;
    }

    /// An entry was used. Whether it is held.
    pub fn touch(&mut self, key: &K) -> bool {
        self.slots.get(key).is_some_and(|slot| self.queues.touch(*slot))
    }

    /// An entry is gone for another reason than eviction, and is forgotten.
    pub fn remove(&mut self, key: &K) {
        if let Some(slot) = self.slots.remove(key) {
            self.queues.remove(slot);
            self.trim();
        }
    }

    /// The next entry that should go and may. It stays held until the holder says that it was [`evicted`](Self::evicted).
    ///
    /// A pass offers each entry once, and asks about each at most once, however many victims are taken from it: making
    /// room among many pinned entries costs one look at each of them. What is admitted or used during a pass is new to it,
    /// or left to the next one.
    pub fn victim(&self, pass: &mut Pass, mut may_go: impl FnMut(&K) -> bool) -> Option<K> {
        let slot = self.queues.victim(pass, &mut |slot| self.keys.get(slot).is_some_and(&mut may_go))?;
        self.keys.get(slot).cloned()
    }

    /// A victim was let go. What is not held is passed over.
    pub fn evicted(&mut self, key: &K) {
        let Some(slot) = self.slots.get(key).copied() else { return };
        if !self.queues.evicted(slot) {
            self.slots.remove(key);
        }
        self.trim();
    }

    /// What is held with its bytes, in the order in which it would go.
    pub fn order(&self) -> impl Iterator<Item = (K, u64)> {
        let slots = self.queues.order().into_iter();
        slots.filter_map(|slot| Some((self.keys.get(slot)?.clone(), self.queues.entry(slot).bytes)))
    }

    fn name(&mut self, slot: usize, key: K) {
        self.slots.insert(key.clone(), slot);
        match self.keys.get_mut(slot) {
            Some(place) => *place = key,
            None => self.keys.push(key),
        }
    }

    /// Forgets the ghosts that there is no room for.
    fn trim(&mut self) {
        while let Some(slot) = self.queues.surplus() {
            self.queues.remove(slot);
            if let Some(key) = self.keys.get(slot) {
                self.slots.remove(key);
            }
        }
    }
}
