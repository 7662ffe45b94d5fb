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
    relied::Relied,
};
use crate::{
    block::{self, Block, Cid, Key},
    error::{Error, OfflineReason, Result},
    hash::Hasher,
    tier::{Commit, Committed, Durability, GroupCommit, Held, Place, Tier},
    unixfs::BlockSource,
};

/// Blocks read at once; while they are hashed the next ones are read.
const READ_BATCH: usize = 4;

/// Bytes of held blocks compared at once with what was to be stored.
const COMPARED_BYTES: usize = 4 * 1024 * 1024;

/// Gives blocks that are proven, and takes commits that fit.
pub struct Blocks {
    tier: Rc<GroupCommit<dyn Tier>>,
    hasher: Rc<dyn Hasher>,
    relied: Rc<Relied>,
    verification: Verification,
    cache: RefCell<MemoryCache>,
    /// Verified since the store was opened, by the first bytes of their digests; for [`Verification::OnFirstRead`].
    verified: RefCell<HashSet<[u8; 16]>>,
    /// Why the medium failed the last time that something was written, until it works again.
    failure: RefCell<Option<Error>>,
    /// Beginnings and ends of writes.
    writes: Cell<u64>,
}

impl Blocks {
    pub fn new(
        tier: Rc<GroupCommit<dyn Tier>>,
        hasher: Rc<dyn Hasher>,
        relied: Rc<Relied>,
        options: &OpenOptions,
    ) -> Self {
        Blocks {
            tier,
            hasher,
            relied,
            verification: options.verification,
            cache: RefCell::new(MemoryCache::new(options.memory_bytes)),
            verified: RefCell::default(),
            failure: RefCell::default(),
            writes: Cell::new(0),
        }
    }

    pub fn configure(&self, config: CacheConfig) {
        if let Some(policy) = config.policy {
            self.cache.borrow_mut().set_policy(policy);
        }
        if let Some(limit) = config.memory_bytes {
            self.cache.borrow_mut().set_limit(limit);
        }
        if let Some(limit) = config.disk_bytes {
            self.tier.set_limit((limit != u64::MAX).then_some(limit));
        }
    }

    pub fn disk_limit(&self) -> Option<u64> {
        self.tier.limit()
    }

    pub fn cache_figures(&self) -> (u64, u64, u64, u64) {
        self.cache.borrow().figures()
    }

    /// These are about to be looked up, by whoever may rely on them.
    pub fn rely_on(&self, cids: &[Cid]) {
        self.relied.looked_up(cids.iter().filter_map(block::key).collect::<Vec<_>>().iter());
    }

    /// Why the medium failed the last time that something was written, if it has not worked since.
    pub fn failure(&self) -> Option<Error> {
        self.failure.borrow().clone()
    }

    /// Commits, if it fits.
    pub async fn commit(&self, commit: Commit) -> Result<Committed> {
        self.write_whole(commit).await
    }

    /// The same; tells which of its blocks were not held before.
    pub async fn write_ahead(&self, commit: Commit) -> Result<Vec<Key>> {
        let keys: Vec<Option<Key>> = commit.blocks.iter().map(|block| block::key(block.cid())).collect();
        let Committed { held, .. } = self.write_whole(commit).await?;
        Ok(keys.into_iter().zip(held).filter_map(|(key, held)| key.filter(|_| !held)).collect())
    }

    async fn write_whole(&self, commit: Commit) -> Result<Committed> {
        let (durability, ahead) = (commit.durability, commit.ahead);
        let blocks = match self.verification {
            Verification::Never => Vec::new(),
            _ => commit.blocks.clone(),
        };
        let done = self.write(commit).await?;
        let held = blocks.into_iter().zip(&done.held).filter_map(|(block, held)| held.then_some(block)).collect();
        self.heal(held, durability, ahead).await?;
        Ok(done)
    }

    /// Commits blocks that were fetched, and has them at hand for whoever waits for them.
    pub async fn keep(&self, commit: Commit) -> Result<Committed> {
        let blocks = commit.blocks.clone();
        let done = self.write(commit).await?;
        for block in blocks {
            if let Some(key) = block::key(block.cid()) {
                self.cache.borrow_mut().put(key, block.bytes());
            }
        }
        Ok(done)
    }

    /// Whether each is held here; caches are not asked.
    pub async fn has(&self, keys: &[Key]) -> Result<Vec<bool>> {
        self.relied.looked_up(keys);
        self.tier.has(keys).await
    }

    async fn write(&self, commit: Commit) -> Result<Committed> {
        let blocks = commit.blocks.iter().map(Block::cid);
        let cids =
            blocks.chain(commit.set_roots.iter().map(|root| &root.cid)).chain(commit.pin.iter().map(|pin| &pin.cid));
        self.relied.written(cids.filter_map(block::key).collect::<Vec<_>>().iter());
        for key in commit.drop_blocks.iter().chain(commit.quarantine.iter().map(|(key, _)| key)) {
            self.cache.borrow_mut().remove(key);
        }
        self.writes.set(self.writes.get() + 1);
        let done = self.tier.commit(commit).await;
        self.writes.set(self.writes.get() + 1);
        self.note(&done);
        done
    }

    /// A number that changes when a write begins, and when it ends.
    pub fn writes(&self) -> u64 {
        self.writes.get()
    }

    /// Makes everything committed before survive a power cut.
    pub async fn flush(&self) -> Result<()> {
        let done = self.tier.flush().await;
        self.note(&done);
        done
    }

    /// A full store, or a refused write, says nothing against the medium, and nothing for it.
    fn note<T>(&self, done: &Result<T>) {
        match done {
            Ok(_) => self.failure.replace(None),
            Err(error @ (Error::Io(_) | Error::Locked(_) | Error::Denied(_))) => {
                self.failure.replace(Some(error.clone()))
            }
            Err(_) => None,
        };
    }

    /// Blocks that were to be stored and were held already are acknowledged, so these copies must be whole: one that has
    /// rotted is replaced.
    async fn heal(&self, mut held: Vec<Block>, durability: Durability, ahead: bool) -> Result<()> {
        held.retain(|block| block::key(block.cid()).is_some() && !self.is_known(block.cid()));
        let mut rest = held.as_slice();
        while !rest.is_empty() {
            let mut bytes = 0;
            let fits = |block: &&Block| {
                bytes += block.bytes().len();
                bytes <= COMPARED_BYTES
            };
            let (batch, later) = rest.split_at(rest.iter().take_while(fits).count().max(1));
            rest = later;
            let keys: Vec<Key> = batch.iter().filter_map(|block| block::key(block.cid())).collect();
            let mut commit = Commit { durability, ahead, ..Commit::default() };
            let mut quarantine = Vec::new();
            for ((block, key), copy) in batch.iter().zip(&keys).zip(self.tier.get(&keys).await?) {
                if copy.as_ref().is_some_and(|copy| copy.bytes == block.bytes()) {
                    continue;
                }
                quarantine.extend(copy.map(|copy| (*key, copy.place)));
                commit.blocks.push(block.clone());
            }
            if !quarantine.is_empty() {
                self.write(Commit { quarantine, durability, ..Commit::default() }).await?;
            }
            if !commit.blocks.is_empty() {
                self.write(commit).await?;
            }
        }
        Ok(())
    }

    /// A batch as the tier has it.
    async fn read(&self, cids: &[Cid]) -> Result<Vec<(Cid, Held)>> {
        let keys: Vec<Key> = cids.iter().filter_map(block::key).collect();
        let found = self.tier.get(&keys).await?;
        cids.iter()
            .zip(found)
            .map(|(cid, held)| match held {
                Some(held) => Ok((cid.clone(), held)),
                None => Err(Error::NotAvailableOffline { cid: cid.clone(), reason: OfflineReason::NoRemotes }),
            })
            .collect()
    }

    /// Proves a batch as the policy has it. A corrupt copy is set aside.
    async fn prove(&self, read: Vec<(Cid, Held)>) -> Result<Vec<Block>> {
        let places: Vec<Place> = read.iter().map(|(_, held)| held.place).collect();
        let read = read.into_iter().map(|(cid, held)| (cid, held.bytes)).collect();
        let proven = match self.verification {
            Verification::Always => Block::verify(self.hasher.as_ref(), read).await?,
            Verification::Never => read.into_iter().map(|(cid, bytes)| Ok(Block::vouched(cid, bytes))).collect(),
            Verification::OnFirstRead => self.prove_first(read).await?,
        };
        let bad: Vec<(Cid, Place)> = proven
            .iter()
            .zip(places)
            .filter_map(|(result, place)| match result {
                Err(Error::Integrity(cid)) => Some((cid.clone(), place)),
                _ => None,
            })
            .collect();
        match bad.first() {
            Some((first, _)) => Err(self.quarantine(first.clone(), &bad).await),
            None => proven.into_iter().collect(),
        }
    }

    /// Whether it was verified before, and the policy asks for no more.
    fn is_known(&self, cid: &Cid) -> bool {
        self.verified.borrow().contains(&mark(cid))
    }

    async fn prove_first(&self, read: Vec<(Cid, Bytes)>) -> Result<Vec<Result<Block>>> {
        // Asked once: others may prove some of them meanwhile.
        let known: HashSet<Cid> = read.iter().map(|(cid, _)| cid.clone()).filter(|cid| self.is_known(cid)).collect();
        let known = |cid: &Cid| known.contains(cid);
        let (trusted, fresh): (Vec<_>, Vec<_>) = read.iter().cloned().partition(|(cid, _)| known(cid));
        let mut fresh = Block::verify(self.hasher.as_ref(), fresh).await?.into_iter();
        let mut trusted = trusted.into_iter().map(|(cid, bytes)| Ok(Block::vouched(cid, bytes)));
        let merged = read.iter().filter_map(|(cid, _)| if known(cid) { trusted.next() } else { fresh.next() });
        let merged: Vec<_> = merged.collect();
        self.verified.borrow_mut().extend(merged.iter().flatten().map(|block| mark(block.cid())));
        Ok(merged)
    }

    /// Sets corrupt copies aside, so that storing or fetching these blocks again can heal them.
    async fn quarantine(&self, first: Cid, bad: &[(Cid, Place)]) -> Error {
        let bad = bad.iter().filter_map(|(cid, place)| Some((block::key(cid)?, *place))).collect();
        let detail = match self.set_aside(bad).await {
            (_, Ok(())) => "its bytes do not hash to it; it was set aside".to_owned(),
            (_, Err(error)) => format!("its bytes do not hash to it; setting it aside failed: {error}"),
        };
        Error::corrupt(first, detail)
    }

    /// The same, of copies by the keys they lie under. Tells by how much it changed the number of writes.
    pub async fn set_aside(&self, quarantine: Vec<(Key, Place)>) -> (u64, Result<()>) {
        let aside = Commit { quarantine, durability: Durability::Strict, ..Commit::default() };
        (2, self.write(aside).await.map(drop))
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
                None => Block::inline(cid.clone()),
                Some(key) => self.cache.borrow_mut().get(&key).map(|bytes| Block::vouched(cid.clone(), bytes)),
            })
            .collect();
        let missing: Vec<Cid> =
            cids.iter().zip(&found).filter(|(_, block)| block.is_none()).map(|(cid, _)| cid.clone()).collect();
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
