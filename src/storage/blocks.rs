//! Verified blocks: the one door between the facade and the tier, with the read policy, the memory cache and the limits.

use std::{
    cell::{Cell, RefCell},
    collections::HashSet,
    rc::Rc,
};

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::future;

use super::{
    cache::MemoryCache,
    options::{CacheConfig, OpenOptions, Verification},
};
use crate::{
    block::{self, Block, Cid, Key},
    error::{Error, OfflineReason, Result},
    hash::Hasher,
    tier::{Commit, Durability, Tier},
    unixfs::BlockSource,
};

/// Blocks read at once; while they are hashed the next ones are read.
const READ_BATCH: usize = 4;

/// Gives blocks that are proven, and takes commits that fit.
pub struct Blocks {
    tier: Rc<dyn Tier>,
    hasher: Rc<dyn Hasher>,
    verification: Verification,
    offline: OfflineReason,
    cache: RefCell<MemoryCache>,
    disk_limit: Cell<Option<u64>>,
    /// Verified since the store was opened, by the first bytes of their digests; for [`Verification::OnFirstRead`].
    verified: RefCell<HashSet<[u8; 16]>>,
    /// The last commit's failure, until one works.
    failure: RefCell<Option<Error>>,
}

impl Blocks {
    pub fn new(tier: Rc<dyn Tier>, hasher: Rc<dyn Hasher>, options: &OpenOptions) -> Self {
        Blocks {
            tier,
            hasher,
            verification: options.verification,
            offline: options.offline,
            cache: RefCell::new(MemoryCache::new(options.memory_bytes)),
            disk_limit: Cell::new(None),
            verified: RefCell::default(),
            failure: RefCell::default(),
        }
    }

    pub fn configure(&self, config: CacheConfig) {
        if let Some(limit) = config.memory_bytes {
            self.cache.borrow_mut().set_limit(limit);
        }
        if let Some(limit) = config.disk_bytes {
            self.disk_limit.set((limit != u64::MAX).then_some(limit));
        }
    }

    pub fn disk_limit(&self) -> Option<u64> {
        self.disk_limit.get()
    }

    pub fn cache_figures(&self) -> (u64, u64, u64, u64) {
        self.cache.borrow().figures()
    }

    /// The last commit's failure, if none has worked since.
    pub fn failure(&self) -> Option<Error> {
        self.failure.borrow().clone()
    }

    /// Commits, if it fits; see [`Tier::commit`].
    pub async fn commit(&self, commit: Commit) -> Result<Vec<bool>> {
        self.check_room(&commit).await?;
        for key in commit.drop_blocks.iter().chain(&commit.quarantine) {
            self.cache.borrow_mut().remove(key);
        }
        let done = self.tier.commit(commit).await;
        self.failure.replace(done.clone().err());
        done
    }

    async fn check_room(&self, commit: &Commit) -> Result<()> {
        let Some(limit) = self.disk_limit.get().filter(|_| !commit.blocks.is_empty()) else { return Ok(()) };
        let held = self.tier.usage().await?.bytes;
        if held + commit.bytes() <= limit {
            return Ok(());
        }
        // It may fit yet: what is held already takes no room.
        let (keys, sizes): (Vec<Key>, Vec<u64>) = commit
            .blocks
            .iter()
            .filter_map(|block| Some((block::key(block.cid())?, block.bytes().len() as u64)))
            .unzip();
        let present = self.tier.has(&keys).await?;
        let needed: u64 = sizes.iter().zip(present).filter(|(_, held)| !held).map(|(size, _)| size).sum();
        if held + needed <= limit { Ok(()) } else { Err(Error::QuotaExceeded { needed, limit }) }
    }

    /// A batch as the tier has it.
    async fn read(&self, cids: &[Cid]) -> Result<Vec<(Cid, Bytes)>> {
        let keys: Vec<Key> = cids.iter().filter_map(block::key).collect();
        let found = self.tier.get(&keys).await?;
        cids.iter()
            .zip(found)
            .map(|(cid, bytes)| match bytes {
                Some(bytes) => Ok((*cid, bytes)),
                None => Err(Error::NotAvailableOffline { cid: *cid, reason: self.offline }),
            })
            .collect()
    }

    /// Proves a batch as the policy has it. A corrupt block is set aside.
    async fn prove(&self, read: Vec<(Cid, Bytes)>) -> Result<Vec<Block>> {
        let proven = match self.verification {
            Verification::Always => Block::verify(self.hasher.as_ref(), read).await?,
            Verification::Never => read.into_iter().map(|(cid, bytes)| Ok(Block::vouched(cid, bytes))).collect(),
            Verification::OnFirstRead => self.prove_first(read).await?,
        };
        let bad: Vec<Cid> = proven
            .iter()
            .filter_map(|result| match result {
                Err(Error::Integrity(cid)) => Some(*cid),
                _ => None,
            })
            .collect();
        match bad.first() {
            Some(first) => Err(self.quarantine(*first, &bad).await),
            None => proven.into_iter().collect(),
        }
    }

    async fn prove_first(&self, read: Vec<(Cid, Bytes)>) -> Result<Vec<Result<Block>>> {
        let known = |cid: &Cid| self.verified.borrow().contains(&mark(cid));
        let (trusted, fresh): (Vec<_>, Vec<_>) = read.iter().cloned().partition(|(cid, _)| known(cid));
        let mut fresh = Block::verify(self.hasher.as_ref(), fresh).await?.into_iter();
        let mut trusted = trusted.into_iter().map(|(cid, bytes)| Ok(Block::vouched(cid, bytes)));
        let merged = read.iter().filter_map(|(cid, _)| if known(cid) { trusted.next() } else { fresh.next() });
        let merged: Vec<_> = merged.collect();
        self.verified.borrow_mut().extend(merged.iter().flatten().map(|block| mark(block.cid())));
        Ok(merged)
    }

    /// Sets corrupt blocks aside, so that storing or fetching them again can heal them.
    async fn quarantine(&self, first: Cid, bad: &[Cid]) -> Error {
        let quarantine = bad.iter().filter_map(block::key).collect();
        let aside = Commit { quarantine, durability: Durability::Strict, ..Commit::default() };
        let detail = match self.commit(aside).await {
            Ok(_) => "its bytes do not hash to it; it was set aside".to_owned(),
            Err(error) => format!("its bytes do not hash to it; setting it aside failed: {error}"),
        };
        Error::corrupt(first, detail)
    }
}

/// Sixteen bytes stand for a digest: enough that nobody finds two alike.
fn mark(cid: &Cid) -> [u8; 16] {
    let mut mark = [0; 16];
    mark.iter_mut().zip(cid.hash().digest()).for_each(|(to, from)| *to = *from);
    mark
}

#[async_trait(?Send)]
impl BlockSource for Blocks {
    async fn blocks(&self, cids: &[Cid]) -> Result<Vec<Block>> {
        let mut found: Vec<Option<Block>> = cids
            .iter()
            .map(|cid| match block::key(cid) {
                None => Block::inline(*cid),
                Some(key) => self.cache.borrow_mut().get(&key).map(|bytes| Block::vouched(*cid, bytes)),
            })
            .collect();
        let missing: Vec<Cid> =
            cids.iter().zip(&found).filter(|(_, block)| block.is_none()).map(|(cid, _)| *cid).collect();
        let mut fresh = Vec::with_capacity(missing.len());
        let mut read = Vec::new();
        for batch in missing.chunks(READ_BATCH) {
            let (next, proven) = future::try_join(self.read(batch), self.prove(std::mem::take(&mut read))).await?;
            read = next;
            fresh.extend(proven);
        }
        fresh.extend(self.prove(read).await?);
        for block in &fresh {
            if let Some(key) = block::key(block.cid()) {
                self.cache.borrow_mut().put(key, block.bytes());
            }
        }
        let mut fresh = fresh.into_iter();
        found.iter_mut().filter(|slot| slot.is_none()).for_each(|slot| *slot = fresh.next());
        Ok(found.into_iter().flatten().collect())
    }
}

#[async_trait(?Send)]
impl<S: BlockSource + ?Sized> BlockSource for Rc<S> {
    async fn blocks(&self, cids: &[Cid]) -> Result<Vec<Block>> {
        self.as_ref().blocks(cids).await
    }
}
