//! The local tier: where blocks and roots are kept. One trait; `conformance` holds what every implementation must pass.

#[cfg(any(test, feature = "testing"))]
#[doc(hidden)]
pub mod conformance;
mod group;
mod guard;
#[cfg(feature = "browser")]
mod idb;
mod memory;
mod moving;
pub mod pack;
mod pin;
mod record;
mod root;
mod shared;
#[cfg(feature = "browser")]
mod snapshot;
mod turn;

use async_trait::async_trait;
use bytes::Bytes;

pub use crate::platform::Room;
pub use group::GroupCommit;
pub use guard::Guard;
#[cfg(feature = "browser")]
pub use idb::IdbTier;
pub use memory::MemoryTier;
pub use moving::{Moved, has_all, take_over};
pub use pin::{Pin, PinKind};
use record::Change;
pub use root::{Root, StoredRoot};
pub use shared::{Shared, Sharing};
#[cfg(feature = "browser")]
pub use snapshot::SnapshotTier;
pub(crate) use turn::Turn;

use crate::{
    block::{self, Block, Cid, Key},
    error::Result,
};

/// What a commit must survive before it is acknowledged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub enum Durability {
    /// A killed process or host. A power cut may lose the latest commits, in order, and damages none.
    Relaxed,
    /// A power cut as well.
    #[default]
    Strict,
}

/// A change that becomes visible and durable as a whole, or not at all.
#[derive(Debug, Clone, Default)]
pub struct Commit {
    /// Blocks to keep. One that is there already costs nothing.
    pub blocks: Vec<Block>,
    /// Roots to set; one with the same CID is replaced.
    pub set_roots: Vec<Root>,
    /// Roots to forget. One that is pinned as a whole stays, unless this takes its pin away.
    pub drop_roots: Vec<Cid>,
    /// Pins to set; one of the same CID is replaced.
    pub pin: Vec<Pin>,
    /// CIDs to unpin.
    pub unpin: Vec<Cid>,
    /// Blocks to drop; neither these nor those in `quarantine` may be among `blocks`.
    pub drop_blocks: Vec<Key>,
    /// Copies of blocks found corrupt: they are set aside, and the blocks are not there any more until they are put
    /// again. A copy that has been replaced since is let alone.
    pub quarantine: Vec<(Key, Place)>,
    /// Small values to keep under a name, or to forget.
    pub notes: Vec<(String, Option<Bytes>)>,
    /// What notes must say at the moment of this commit, whoever else has the medium open; none: nothing. Where one says
    /// something else, the commit does nothing and is [`Error::Conflict`](crate::Error::Conflict).
    pub expect: Vec<(String, Option<Bytes>)>,
    /// What it must survive.
    pub durability: Durability,
    /// Its blocks are written ahead of the commit that will make them reachable: only that one must have this durability,
    /// for both. A crash in between may lose them.
    pub ahead: bool,
}

/// Which copy of a block: none that was written later has the same.
pub type Place = u64;

/// A block as the medium gives it: not verified.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Held {
    /// What should be its bytes.
    pub bytes: Bytes,
    /// Where they lie.
    pub place: Place,
}

/// What a commit found and did.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Committed {
    /// Of each block, whether it was held already; that copy was kept, and is not verified.
    pub held: Vec<bool>,
    /// Of each root set, whether it is pinned now, by this commit or an earlier one.
    pub pinned: Vec<bool>,
    /// What it dropped, if it did nothing else to blocks.
    pub dropped: Amount,
}

/// Some blocks.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Amount {
    /// How many.
    pub blocks: u64,
    /// Their bytes.
    pub bytes: u64,
}

impl Amount {
    /// Adds others.
    pub fn add(&mut self, other: Amount) {
        self.blocks += other.blocks;
        self.bytes += other.bytes;
    }

    /// Adds one of this length.
    pub fn count(&mut self, bytes: u64) {
        self.add(Amount { blocks: 1, bytes });
    }
}

impl Commit {
    /// Bytes of its blocks.
    pub fn bytes(&self) -> u64 {
        self.blocks.iter().map(|block| block.bytes().len() as u64).sum()
    }

    /// Bytes of those of its blocks that this tier does not hold: the others take no room.
    pub async fn lacking<T: Tier + ?Sized>(&self, tier: &T) -> Result<u64> {
        let sized = |block: &Block| Some((block::key(block.cid())?, block.bytes().len() as u64));
        let (keys, sizes): (Vec<Key>, Vec<u64>) = self.blocks.iter().filter_map(sized).unzip();
        let held = tier.has(&keys).await?;
        Ok(sizes.into_iter().zip(held).filter(|(_, held)| !held).map(|(size, _)| size).sum())
    }

    /// Adds another commit after this one.
    pub fn merge(&mut self, later: Commit) {
        self.blocks.extend(later.blocks);
        self.set_roots.extend(later.set_roots);
        self.drop_roots.extend(later.drop_roots);
        self.pin.extend(later.pin);
        self.unpin.extend(later.unpin);
        self.drop_blocks.extend(later.drop_blocks);
        self.quarantine.extend(later.quarantine);
        self.notes.extend(later.notes);
        self.expect.extend(later.expect);
        self.durability = self.durability.max(later.durability);
        self.ahead &= later.ahead;
    }

    /// Its blocks, and what it says besides. Of the copies to set aside, those given are.
    fn split(self, quarantine: Vec<Key>) -> (Vec<Block>, Change) {
        let Commit { blocks, set_roots, drop_roots, pin, unpin, drop_blocks, notes, .. } = self;
        (blocks, Change { set_roots, drop_roots, pin, unpin, drop_blocks, quarantine, notes })
    }

    /// Whether two commits can be merged without one undoing the other, or failing it.
    pub fn only_adds(&self) -> bool {
        let drops = [self.drop_roots.len(), self.unpin.len(), self.drop_blocks.len(), self.quarantine.len()];
        drops.iter().all(|dropped| *dropped == 0) && self.expect.is_empty()
    }
}

/// What a tier holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Usage {
    /// Blocks held.
    pub blocks: u64,
    /// Bytes of these blocks.
    pub bytes: u64,
    /// Stored roots.
    pub roots: u64,
    /// Pins, on roots and on what is none.
    pub pinned: u64,
    /// Blocks set aside as corrupt.
    pub quarantined: u64,
    /// Bytes on the medium, what is dead and what the tier adds included.
    pub stored: u64,
}

/// What one step of a compaction did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Compacted {
    /// Bytes of live blocks that were copied.
    pub moved: u64,
    /// Bytes given back to the medium.
    pub freed: u64,
    /// Whether there is more to do.
    pub more: bool,
}

/// What opening a tier had to mend.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Recovery {
    /// Blocks and commits found after the last checkpoint and kept.
    pub replayed: u64,
    /// Bytes of torn writes at the end; the first write cuts them off. None of them had been acknowledged.
    pub truncated_bytes: u64,
    /// Damaged places found in what had been durable, and passed over.
    pub quarantined: u64,
}

/// A place for blocks and roots on this machine.
#[async_trait(?Send)]
pub trait Tier {
    /// What kind it is, for the status: `memory`, `pack`, `opfs`, `indexeddb`.
    fn kind(&self) -> &'static str;

    /// What is held under each key, in order.
    async fn get(&self, keys: &[Key]) -> Result<Vec<Option<Held>>>;

    /// Whether each key is held, in order.
    async fn has(&self, keys: &[Key]) -> Result<Vec<bool>>;

    /// How many bytes the block under each key has, if it is held, in order. The block itself is not read.
    async fn lengths(&self, keys: &[Key]) -> Result<Vec<Option<u64>>>;

    /// At most `limit` keys of the blocks held that come after `after`, which need not be held any more. The order is the
    /// tier's own and never changes, so that pages, each after the last key of the one before, give every key once, but
    /// those of blocks that came or went meanwhile. None: that was all.
    async fn keys(&self, after: Option<&Key>, limit: usize) -> Result<Vec<Key>>;

    /// Makes the whole change visible and durable, or, on an error, none of it.
    async fn commit(&self, commit: Commit) -> Result<Committed>;

    /// The root with this CID.
    async fn root(&self, cid: &Cid) -> Result<Option<StoredRoot>>;

    /// At most `limit` roots in the order of their CIDs' text, after `after`.
    async fn roots(&self, after: Option<&Cid>, limit: usize) -> Result<Vec<StoredRoot>>;

    /// The pin of this CID.
    async fn pin(&self, cid: &Cid) -> Result<Option<Pin>>;

    /// At most `limit` pins in the order of their CIDs' text, after `after`.
    async fn pins(&self, after: Option<&Cid>, limit: usize) -> Result<Vec<Pin>>;

    /// The value noted under this name.
    async fn note(&self, name: &str) -> Result<Option<Bytes>>;

    /// At most `limit` notes whose names begin with `prefix`, in the order of the names' bytes, after the name `after`.
    async fn notes(&self, prefix: &str, after: Option<&str>, limit: usize) -> Result<Vec<(String, Bytes)>>;

    /// What it holds.
    async fn usage(&self) -> Result<Usage>;

    /// Makes everything committed before survive a power cut.
    async fn flush(&self) -> Result<()>;

    /// Says that something is under way here that relies on blocks which no root reaches yet. As long as the guard lives,
    /// nobody else who has the medium open gets the right to drop blocks; where one has it now, this waits for its end.
    /// Tiers with one owner have nobody else.
    async fn enter(&self) -> Result<Guard> {
        Ok(Guard::default())
    }

    /// The right to drop blocks; none if something is under way at somebody else's who has the medium open, or if nobody
    /// can tell. What is under way here does not count: who asks knows of it. Others wait in [`Tier::enter`] for the end of
    /// the guard, so it is for bounded work; and what they have made reachable before is seen only after it was given.
    async fn alone(&self) -> Result<Option<Guard>> {
        Ok(Some(Guard::default()))
    }

    /// Counts the commits of others who have the same medium open, as far as they are known here.
    async fn changes_by_others(&self) -> Result<u64> {
        Ok(0)
    }

    /// One step, of a few MiB at most, towards giving back the room of what was dropped. It goes on at once with commits
    /// and reads, and may be left off after any step. A tier that gives room back by itself has nothing to do.
    async fn compact(&self) -> Result<Compacted> {
        Ok(Compacted::default())
    }

    /// What the host says of the room for it; none where hosts do not tell.
    async fn room(&self) -> Result<Option<Room>> {
        Ok(None)
    }

    /// What opening it had to mend.
    fn recovery(&self) -> Recovery {
        Recovery::default()
    }
}
