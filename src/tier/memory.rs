//! A tier in memory, for tests and for hosts without storage.

use std::{cell::RefCell, collections::HashMap};

use async_trait::async_trait;
use bytes::Bytes;

use super::{Commit, StoredRoot, Tier, Usage, root::RootMap};
use crate::{
    block::{self, Cid, Key},
    error::Result,
};

/// Blocks and roots in memory; gone with the process.
#[derive(Debug, Default)]
pub struct MemoryTier {
    held: RefCell<Held>,
}

#[derive(Debug, Default)]
struct Held {
    blocks: HashMap<Key, Bytes>,
    roots: RootMap,
    bytes: u64,
    quarantined: u64,
}

impl MemoryTier {
    /// An empty one.
    pub fn new() -> Self {
        Self::default()
    }

    /// Replaces a block's bytes behind the engine's back, as a failing medium does.
    #[cfg(any(test, feature = "testing"))]
    #[doc(hidden)]
    pub fn damage(&self, key: &Key, bytes: Bytes) {
        self.held.borrow_mut().blocks.insert(*key, bytes);
    }
}

#[async_trait(?Send)]
impl Tier for MemoryTier {
    fn kind(&self) -> &'static str {
        "memory"
    }

    async fn get(&self, keys: &[Key]) -> Result<Vec<Option<Bytes>>> {
        let held = self.held.borrow();
        Ok(keys.iter().map(|key| held.blocks.get(key).cloned()).collect())
    }

    async fn has(&self, keys: &[Key]) -> Result<Vec<bool>> {
        let held = self.held.borrow();
        Ok(keys.iter().map(|key| held.blocks.contains_key(key)).collect())
    }

    async fn commit(&self, commit: Commit) -> Result<Vec<bool>> {
        let mut held = self.held.borrow_mut();
        held.quarantined += commit.quarantine.len() as u64;
        for key in commit.drop_blocks.iter().chain(&commit.quarantine) {
            if let Some(bytes) = held.blocks.remove(key) {
                held.bytes -= bytes.len() as u64;
            }
        }
        for block in commit.blocks {
            let Some(key) = block::key(block.cid()) else { continue };
            let length = block.bytes().len() as u64;
            if held.blocks.insert(key, block.into_bytes()).is_none() {
                held.bytes += length;
            }
        }
        Ok(held.roots.apply(commit.set_roots, &commit.drop_roots, &commit.pin, &commit.unpin))
    }

    async fn root(&self, cid: &Cid) -> Result<Option<StoredRoot>> {
        Ok(self.held.borrow().roots.get(cid))
    }

    async fn roots(&self, after: Option<&Cid>, limit: usize) -> Result<Vec<StoredRoot>> {
        Ok(self.held.borrow().roots.page(after, limit))
    }

    async fn usage(&self) -> Result<Usage> {
        let held = self.held.borrow();
        Ok(Usage {
            blocks: held.blocks.len() as u64,
            bytes: held.bytes,
            roots: held.roots.len(),
            pinned: held.roots.pinned(),
            quarantined: held.quarantined,
        })
    }

    async fn flush(&self) -> Result<()> {
        Ok(())
    }
}
