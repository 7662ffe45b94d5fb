//! A bounded cache of verified blocks in memory.

use std::collections::{HashMap, VecDeque};

use bytes::Bytes;

use crate::block::Key;

/// Blocks by key, the least recently used leaving first when the bytes run over.
#[derive(Debug)]
pub struct MemoryCache {
    limit: u64,
    bytes: u64,
    hits: u64,
    misses: u64,
    /// Counts uses.
    clock: u64,
    /// Each with its last use.
    blocks: HashMap<Key, (Bytes, u64)>,
    /// All uses, the first at the front. Those that were not the last of their block count no more.
    uses: VecDeque<(u64, Key)>,
}

impl MemoryCache {
    /// An empty cache for this many bytes.
    pub fn new(limit: u64) -> Self {
        MemoryCache { limit, bytes: 0, hits: 0, misses: 0, clock: 0, blocks: HashMap::new(), uses: VecDeque::new() }
    }

    /// A block, if it is here; it counts as used.
    pub fn get(&mut self, key: &Key) -> Option<Bytes> {
        let Some((bytes, used)) = self.blocks.get_mut(key) else {
            self.misses += 1;
            return None;
        };
        self.hits += 1;
        self.clock += 1;
        *used = self.clock;
        let bytes = bytes.clone();
        self.used(*key);
        Some(bytes)
    }

    /// Keeps a block, if it is not larger than all of the cache.
    pub fn put(&mut self, key: Key, bytes: &Bytes) {
        if bytes.len() as u64 > self.limit || self.blocks.contains_key(&key) {
            return;
        }
        self.clock += 1;
        self.bytes += bytes.len() as u64;
        self.blocks.insert(key, (bytes.clone(), self.clock));
        self.used(key);
        self.shrink();
    }

    /// Forgets a block.
    pub fn remove(&mut self, key: &Key) {
        if let Some((bytes, _)) = self.blocks.remove(key) {
            self.bytes -= bytes.len() as u64;
        }
    }

    /// Sets the limit.
    pub fn set_limit(&mut self, limit: u64) {
        self.limit = limit;
        self.shrink();
    }

    /// The limit, the bytes held, and the hits and misses so far.
    pub fn figures(&self) -> (u64, u64, u64, u64) {
        (self.limit, self.bytes, self.hits, self.misses)
    }

    fn used(&mut self, key: Key) {
        self.uses.push_back((self.clock, key));
        // Uses that count no more are forgotten when most are such.
        if self.uses.len() > 2 * self.blocks.len() + 64 {
            let blocks = &self.blocks;
            self.uses.retain(|(used, key)| blocks.get(key).is_some_and(|(_, last)| last == used));
        }
    }

    fn shrink(&mut self) {
        while self.bytes > self.limit {
            let Some((used, key)) = self.uses.pop_front() else { break };
            if self.blocks.get(&key).is_some_and(|(_, last)| *last == used) {
                self.remove(&key);
            }
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

    #[test]
    fn the_least_recently_used_leaves_first() {
        let mut cache = MemoryCache::new(30);
        for n in 0..3 {
            cache.put(key(n), &vec![n; 10].into());
        }
        assert!(cache.get(&key(0)).is_some());
        cache.put(key(3), &vec![3; 10].into());
        assert_eq!(cache.get(&key(1)), None);
        assert_eq!(cache.get(&key(0)), Some(vec![0; 10].into()));
        assert_eq!(cache.figures(), (30, 30, 2, 1));
    }

    #[test]
    fn uses_are_not_piled_up() {
        let mut cache = MemoryCache::new(100);
        for n in 0..10 {
            cache.put(key(n), &vec![n; 10].into());
        }
        for n in 0..10_000 {
            assert!(cache.get(&key((n % 9) as u8)).is_some());
            assert!(cache.uses.len() <= 2 * 10 + 64 + 1);
        }
        cache.put(key(10), &vec![10; 10].into());
        assert_eq!(cache.get(&key(9)), None);
        assert!((0..9).all(|n| cache.get(&key(n)).is_some()));
    }

    #[test]
    fn never_holds_more_than_its_limit() {
        let mut cache = MemoryCache::new(25);
        cache.put(key(0), &vec![0; 26].into());
        assert_eq!(cache.figures().1, 0);
        for n in 0..200 {
            cache.put(key(n), &vec![n; 10].into());
            assert!(cache.figures().1 <= 25);
        }
        cache.set_limit(0);
        assert_eq!(cache.figures().1, 0);
    }
}
