//! A bounded cache of verified blocks in memory.

use std::collections::HashMap;

use bytes::Bytes;

use crate::{
    block::Key,
    policy::{Pass, Policy, Replacement},
};

/// Blocks by key, leaving in the order of a policy when the bytes run over.
#[derive(Debug)]
pub struct MemoryCache {
    blocks: HashMap<Key, Bytes>,
    /// Their keys, and those that the policy remembers.
    order: Replacement<Key>,
    hits: u64,
    misses: u64,
}

impl MemoryCache {
    /// An empty cache for this many bytes.
    pub fn new(limit: u64) -> Self {
        MemoryCache { blocks: HashMap::new(), order: Replacement::new(Policy::default(), limit), hits: 0, misses: 0 }
    }

    /// A block, if it is here; it counts as used.
    pub fn get(&mut self, key: &Key) -> Option<Bytes> {
        let Some(bytes) = self.blocks.get(key) else {
            self.misses += 1;
            return None;
        };
        self.hits += 1;
        self.order.touch(key);
        Some(bytes.clone())
    }

    /// Keeps a block, if it is not larger than all of the cache.
    pub fn put(&mut self, key: Key, bytes: &Bytes) {
        let length = bytes.len() as u64;
        if length > self.order.capacity() || self.blocks.contains_key(&key) {
            return;
        }
        self.blocks.insert(key, bytes.clone());
        self.order.admit(key, length);
        self.shrink();
    }

    /// Forgets a block.
    pub fn remove(&mut self, key: &Key) {
        self.blocks.remove(key);
        self.order.remove(key);
    }

    /// Sets the limit.
    pub fn set_limit(&mut self, limit: u64) {
        self.order.set_capacity(limit);
        self.shrink();
    }

    /// Sets the order in which blocks leave.
    pub fn set_policy(&mut self, policy: Policy) {
        self.order.set_policy(policy);
    }

    /// The limit, the bytes held, and the hits and misses so far.
    pub fn figures(&self) -> (u64, u64, u64, u64) {
        (self.order.capacity(), self.order.bytes(), self.hits, self.misses)
    }

    fn shrink(&mut self) {
        let mut pass = Pass::default();
        while self.order.bytes() > self.order.capacity() {
            let Some(key) = self.order.victim(&mut pass, |_| true) else { break };
            self.blocks.remove(&key);
            self.order.evicted(&key);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hash::{HashFunction, wrap};

    fn key(n: u8) -> Key {
        wrap(HashFunction::Sha2_256, &[n; 32]).expect("32 bytes")
    }

    fn put(cache: &mut MemoryCache, n: u8) {
        cache.put(key(n), &vec![n; 10].into());
    }

    #[test]
    fn the_least_recently_used_leaves_first() {
        let mut cache = MemoryCache::new(30);
        (0..3).for_each(|n| put(&mut cache, n));
        assert!(cache.get(&key(0)).is_some());
        put(&mut cache, 3);
        assert_eq!(cache.get(&key(1)), None);
        assert_eq!(cache.get(&key(0)), Some(vec![0; 10].into()));
        assert_eq!(cache.figures(), (30, 30, 2, 1));
    }

    #[test]
    fn another_policy_keeps_what_is_often_used() {
        for (policy, stays) in [(Policy::Lru, false), (Policy::Lfu, true), (Policy::Arc, true)] {
            let mut cache = MemoryCache::new(30);
            cache.set_policy(policy);
            put(&mut cache, 0);
            (0..5).for_each(|_| assert!(cache.get(&key(0)).is_some()));
            // Many that are used once.
            (1..8).for_each(|n| put(&mut cache, n));
            assert_eq!(cache.get(&key(0)).is_some(), stays, "{policy}");
        }
    }

    #[test]
    fn many_uses_leave_it_as_large_as_it_is() {
        let mut cache = MemoryCache::new(100);
        (0..10).for_each(|n| put(&mut cache, n));
        for n in 0..10_000 {
            assert!(cache.get(&key((n % 9) as u8)).is_some());
        }
        assert_eq!((cache.blocks.len(), cache.order.len()), (10, 10));
        put(&mut cache, 10);
        assert_eq!(cache.get(&key(9)), None);
        assert!((0..9).all(|n| cache.get(&key(n)).is_some()));
    }

    #[test]
    fn never_holds_more_than_its_limit() {
        for policy in Policy::ALL {
            let mut cache = MemoryCache::new(25);
            cache.set_policy(policy);
            cache.put(key(0), &vec![0; 26].into());
            assert_eq!(cache.figures().1, 0);
            for n in 0..200 {
                put(&mut cache, n);
                assert!(cache.figures().1 <= 25);
                assert_eq!(cache.blocks.values().map(Bytes::len).sum::<usize>() as u64, cache.figures().1);
            }
            // One that is dropped can come back.
            cache.remove(&key(199));
            assert_eq!(cache.get(&key(199)), None);
            put(&mut cache, 199);
            assert!(cache.get(&key(199)).is_some());
            cache.set_limit(0);
            assert_eq!((cache.figures().1, cache.blocks.len()), (0, 0));
        }
    }
}
