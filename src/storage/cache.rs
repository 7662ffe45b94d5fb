//! A bounded cache of verified blocks in memory.

use std::collections::{BTreeMap, HashMap};

use bytes::Bytes;

use crate::block::Key;

/// Blocks by key, the least recently used leaving first when the bytes run over.
#[derive(Debug)]
pub struct MemoryCache {
    limit: u64,
    bytes: u64,
    hits: u64,
    misses: u64,
    /// Counts uses; the order of `by_use`.
    clock: u64,
    blocks: HashMap<Key, (Bytes, u64)>,
    by_use: BTreeMap<u64, Key>,
}

impl MemoryCache {
    /// An empty cache for this many bytes.
    pub fn new(limit: u64) -> Self {
        MemoryCache { limit, bytes: 0, hits: 0, misses: 0, clock: 0, blocks: HashMap::new(), by_use: BTreeMap::new() }
    }

    /// A block, if it is here; it counts as used.
    pub fn get(&mut self, key: &Key) -> Option<Bytes> {
        let Some((bytes, used)) = self.blocks.get_mut(key) else {
            self.misses += 1;
            return None;
        };
        self.hits += 1;
        self.clock += 1;
        self.by_use.remove(used);
        *used = self.clock;
        self.by_use.insert(self.clock, *key);
        Some(bytes.clone())
    }

    /// Keeps a block, if it is not larger than all of the cache.
    pub fn put(&mut self, key: Key, bytes: &Bytes) {
        if bytes.len() as u64 > self.limit || self.blocks.contains_key(&key) {
            return;
        }
        self.clock += 1;
        self.bytes += bytes.len() as u64;
        self.blocks.insert(key, (bytes.clone(), self.clock));
        self.by_use.insert(self.clock, key);
        self.shrink();
    }

    /// Forgets a block.
    pub fn remove(&mut self, key: &Key) {
        if let Some((bytes, used)) = self.blocks.remove(key) {
            self.bytes -= bytes.len() as u64;
            self.by_use.remove(&used);
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

    fn shrink(&mut self) {
        while self.bytes > self.limit {
            let Some((_, oldest)) = self.by_use.pop_first() else { break };
            if let Some((bytes, _)) = self.blocks.remove(&oldest) {
                self.bytes -= bytes.len() as u64;
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
