//! A tier in memory, for tests and for hosts without storage.

use std::{cell::RefCell, collections::HashMap};

use async_trait::async_trait;
use bytes::Bytes;

use super::{Amount, Commit, Committed, Held, Pin, Place, StoredRoot, Tier, Usage, root::RootMap};
use crate::{
    block::{self, Cid, Key},
    error::{Error, Result},
};

/// Blocks and roots in memory; gone with the process.
#[derive(Debug, Default)]
pub struct MemoryTier {
    state: RefCell<State>,
}

#[derive(Debug, Default)]
struct State {
    blocks: HashMap<Key, Held>,
    /// The last block's place.
    place: Place,
    roots: RootMap,
    bytes: u64,
    quarantined: u64,
    /// Bytes that the medium has room for.
    room: Option<u64>,
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
        if let Some(held) = self.state.borrow_mut().blocks.get_mut(key) {
            held.bytes = bytes;
        }
    }
}

impl MemoryTier {
    /// From now on it has room for so many bytes, as a full disk has.
    #[cfg(any(test, feature = "testing"))]
    #[doc(hidden)]
    pub fn has_room_for(&self, bytes: u64) {
        self.state.borrow_mut().room = Some(bytes);
    }
}

impl State {
    fn holds(&self, key: &Key) -> bool {
        self.blocks.contains_key(key)
    }

    fn take_out(&mut self, key: &Key, dropped: &mut Amount) {
        if let Some(held) = self.blocks.remove(key) {
            self.bytes -= held.bytes.len() as u64;
            dropped.count(held.bytes.len() as u64);
        }
    }
}

#[async_trait(?Send)]
impl Tier for MemoryTier {
    fn kind(&self) -> &'static str {
        "memory"
    }

    async fn get(&self, keys: &[Key]) -> Result<Vec<Option<Held>>> {
        let state = self.state.borrow();
        Ok(keys.iter().map(|key| state.blocks.get(key).cloned()).collect())
    }

    async fn has(&self, keys: &[Key]) -> Result<Vec<bool>> {
        let state = self.state.borrow();
        Ok(keys.iter().map(|key| state.blocks.contains_key(key)).collect())
    }

    async fn lengths(&self, keys: &[Key]) -> Result<Vec<Option<u64>>> {
        let state = self.state.borrow();
        Ok(keys.iter().map(|key| state.blocks.get(key).map(|held| held.bytes.len() as u64)).collect())
    }

    async fn keys(&self, after: Option<&Key>, limit: usize) -> Result<Vec<Key>> {
        let state = self.state.borrow();
        let mut keys: Vec<Key> =
            state.blocks.keys().filter(|key| after.is_none_or(|after| *key > after)).copied().collect();
        keys.sort_unstable();
        keys.truncate(limit);
        Ok(keys)
    }

    async fn commit(&self, commit: Commit) -> Result<Committed> {
        let mut state = self.state.borrow_mut();
        state.roots.check(&commit.expect)?;
        if state.room.is_some_and(|room| commit.bytes() > room.saturating_sub(state.bytes)) {
            return Err(Error::QuotaExceeded { needed: commit.bytes(), limit: 0 });
        }
        let mut dropped = Amount::default();
        for key in commit.drop_blocks {
            state.take_out(&key, &mut dropped);
        }
        for (key, place) in commit.quarantine {
            if state.blocks.get(&key).is_some_and(|held| held.place == place) {
                state.take_out(&key, &mut Amount::default());
                state.quarantined += 1;
            }
        }
        let held =
            commit.blocks.iter().map(|block| block::key(block.cid()).is_none_or(|key| state.holds(&key))).collect();
        for block in commit.blocks {
            let Some(key) = block::key(block.cid()).filter(|key| !state.holds(key)) else { continue };
            state.place += 1;
            state.bytes += block.bytes().len() as u64;
            let held = Held { bytes: block.into_bytes(), place: state.place };
            state.blocks.insert(key, held);
        }
        let pinned = state.roots.apply(commit.set_roots, &commit.drop_roots, commit.pin, &commit.unpin);
        state.roots.set_notes(commit.notes);
        Ok(Committed { held, pinned, dropped })
    }

    async fn root(&self, cid: &Cid) -> Result<Option<StoredRoot>> {
        Ok(self.state.borrow().roots.get(cid))
    }

    async fn roots(&self, after: Option<&Cid>, limit: usize) -> Result<Vec<StoredRoot>> {
        Ok(self.state.borrow().roots.page(after, limit))
    }

    async fn pin(&self, cid: &Cid) -> Result<Option<Pin>> {
        Ok(self.state.borrow().roots.pin(cid))
    }

    async fn pins(&self, after: Option<&Cid>, limit: usize) -> Result<Vec<Pin>> {
        Ok(self.state.borrow().roots.pins(after, limit))
    }

    async fn note(&self, name: &str) -> Result<Option<Bytes>> {
        Ok(self.state.borrow().roots.note(name))
    }

    async fn notes(&self, prefix: &str, after: Option<&str>, limit: usize) -> Result<Vec<(String, Bytes)>> {
        Ok(self.state.borrow().roots.notes_page(prefix, after, limit))
    }

    async fn usage(&self) -> Result<Usage> {
        let state = self.state.borrow();
        Ok(Usage {
            blocks: state.blocks.len() as u64,
            bytes: state.bytes,
            roots: state.roots.len(),
            pinned: state.roots.pinned(),
            quarantined: state.quarantined,
            stored: state.bytes,
        })
    }

    async fn flush(&self) -> Result<()> {
        Ok(())
    }
}
