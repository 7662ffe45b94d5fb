//! Collection: what goes, what stays and why, and what happens beside it.

use std::{cell::Cell, collections::HashMap, rc::Rc};

use async_trait::async_trait;
use bytes::Bytes;
use futures_executor::block_on;
use ipfs_kit_storage::{
    Cid, Error, OpenOptions, PinOptions, Storage, StoreOptions,
    block::{self, Block, Codec},
    hash::{CpuHasher, HashFunction},
    platform::Clock,
    storage::{CollectOptions, CollectPhase, ReadOptions, Writer},
    tier::{Commit, Committed, Held, MemoryTier, Pin, PinKind, StoredRoot, Tier, Usage, conformance::noise},
    unixfs::Layout,
};

use crate::support::{small, world};

/// Ticks so fast that a step of a collection ends as soon as it can.
#[derive(Default)]
struct Racing(Cell<u64>);

impl Clock for Racing {
    fn now(&self) -> u64 {
        self.0.set(self.0.get() + 1000);
        self.0.get()
    }
}

fn over(tier: &Rc<MemoryTier>) -> Storage {
    let options = OpenOptions { memory_bytes: 0, ..OpenOptions::default() };
    Storage::new(tier.clone(), Rc::new(CpuHasher), Rc::new(Racing::default()), options).unwrap()
}

fn open() -> Storage {
    over(&Rc::new(MemoryTier::new()))
}

async fn some(seed: u64, count: usize, bytes: usize) -> Vec<(Cid, Bytes)> {
    let parts = (0..count).map(|n| Bytes::from(noise(seed * 1000 + n as u64, bytes))).collect();
    let made = Block::make(&CpuHasher, cid::Version::V1, Codec::Raw, HashFunction::Sha2_256, parts).await.unwrap();
    made.into_iter().map(|block| (block.cid().clone(), block.into_bytes())).collect()
}

async fn count(storage: &Storage) -> u64 {
    storage.backend_status().await.usage.blocks
}

const DRY: CollectOptions = CollectOptions { dry_run: true };
const WET: CollectOptions = CollectOptions { dry_run: false };

#[test]
fn what_nothing_reaches_goes_and_it_is_told_why_the_rest_stays() {
    block_on(async {
        let tier = Rc::new(MemoryTier::new());
        let storage = over(&tier);
        let file = storage.store(noise(1, 100_000), small()).await.unwrap().root.cid;
        let in_file = count(&storage).await;
        let kept = storage.store(noise(2, 50_000), small()).await.unwrap().root.cid;
        storage.pin(&kept, PinOptions::default()).await.unwrap();
        let in_kept = count(&storage).await - in_file;
        let loose = some(3, 7, 1000).await;
        storage.put_blocks(loose.clone()).await.unwrap();
        let direct = PinOptions { kind: PinKind::Direct, ..PinOptions::default() };
        storage.pin(&loose[0].0, direct).await.unwrap();

        let dry = storage.collect(DRY).await.unwrap();
        assert_eq!((dry.freed_blocks, dry.freed_bytes), (6, 6000));
        assert_eq!((dry.pinned, dry.stored, dry.in_use), (in_kept + 1, in_file, 0));
        assert_eq!(count(&storage).await, in_file + in_kept + 7, "a dry run drops nothing");
        assert_eq!(storage.backend_status().await.last_collection, None, "nor is it a collection");

        let report = storage.collect(WET).await.unwrap();
        assert_eq!((report.freed_blocks, report.freed_bytes), (6, 6000));
        assert_eq!((report.pinned, report.stored, report.in_use), (in_kept + 1, in_file, 0));
        assert!(report.obstacles.is_empty() && !report.postponed && report.ended > report.began);
        assert_eq!(storage.retrieve(&file).await.unwrap(), noise(1, 100_000));
        assert_eq!(storage.retrieve(&kept).await.unwrap(), noise(2, 50_000));
        assert!(storage.exists(&loose[0].0).await.unwrap() && !storage.exists(&loose[1].0).await.unwrap());
        // The next opening knows of it.
        assert_eq!(over(&tier).backend_status().await.last_collection, Some(report));
    });
}

#[test]
fn a_fetched_part_of_a_file_goes_and_comes_again() {
    block_on(async {
        let world = world(1, OpenOptions::default());
        let data = noise(1, 200_000);
        let cid = world.everywhere(&data, small()).await;
        let storage = &world.storage;
        let part = async || {
            let mut reader = storage.reader(cid, ReadOptions::range(50_000, Some(20_000))).await.unwrap();
            let mut read = Vec::new();
            while let Some(bytes) = reader.next().await.unwrap() {
                read.extend_from_slice(&bytes);
            }
            assert!(read == data[50_000..70_000]);
        };
        part.clone()().await;
        let fetched = count(storage).await;
        assert!(fetched > 2);
        assert_eq!(storage.collect(WET).await.unwrap().freed_blocks, fetched);
        assert_eq!(count(storage).await, 0);
        part().await;
    });
}

#[test]
fn below_what_is_missing_nobody_can_tell_so_nothing_goes() {
    block_on(async {
        let tier = Rc::new(MemoryTier::new());
        let storage = over(&tier);
        let layout = Layout { chunk_bytes: 1000, width: 4, ..Layout::default() };
        let options = StoreOptions { layout: Some(layout), ..StoreOptions::default() };
        let whole = storage.store(noise(1, 60_000), options).await.unwrap().root.cid;
        let held = count(&storage).await;
        // A node below the root is lost.
        let root = block::key(&whole).unwrap();
        let bytes = tier.get(&[root]).await.unwrap().remove(0).unwrap().bytes;
        let root = Block::verify(&CpuHasher, vec![(whole.clone(), bytes)]).await.unwrap().remove(0).unwrap();
        let node = ipfs_kit_storage::dag::links(&root).unwrap()[1].clone();
        let drop_blocks = vec![block::key(&node).unwrap()];
        tier.commit(Commit { drop_blocks, ..Commit::default() }).await.unwrap();
        storage.put_blocks(some(2, 3, 10).await).await.unwrap();
        let report = storage.collect(WET).await.unwrap();
        assert_eq!((report.freed_blocks, report.obstacles.as_slice()), (0, [whole.clone()].as_slice()));
        assert_eq!(count(&storage).await, held - 1 + 3);
        storage.delete(&whole, false).await.unwrap();
        storage.collect(WET).await.unwrap();
        assert_eq!(count(&storage).await, 0, "with the root, the obstacle is gone");
    });
}

#[test]
fn one_at_a_time_and_what_is_given_up_leaves_no_harm() {
    block_on(async {
        let storage = open();
        let file = storage.store(noise(1, 100_000), small()).await.unwrap().root.cid;
        storage.put_blocks(some(2, 100, 10).await).await.unwrap();
        let mut first = storage.collection(WET).unwrap();
        let progress = first.step().await.unwrap().unwrap();
        assert_eq!((progress.phase, progress.freed.blocks), (CollectPhase::Marking, 0));
        assert!(matches!(storage.collection(WET), Err(Error::Denied(_))));
        drop(first);
        let mut second = storage.collection(WET).unwrap();
        let mut phases = Vec::new();
        while let Some(progress) = second.step().await.unwrap() {
            if phases.last() != Some(&progress.phase) {
                phases.push(progress.phase);
            }
        }
        assert_eq!(phases, [CollectPhase::Marking, CollectPhase::Sweeping, CollectPhase::Compacting]);
        assert!(second.step().await.unwrap().is_none(), "it has ended");
        assert_eq!(second.report().freed_blocks, 100);
        assert_eq!(storage.retrieve(&file).await.unwrap(), noise(1, 100_000));
    });
}

/// A tier whose reads fail once when they are told to.
struct Failing {
    tier: Rc<MemoryTier>,
    fails: Cell<bool>,
}

#[async_trait(?Send)]
impl Tier for Failing {
    fn kind(&self) -> &'static str {
        "failing"
    }

    async fn get(&self, keys: &[block::Key]) -> Result<Vec<Option<Held>>, Error> {
        if self.fails.get() { Err(Error::Io("a bad moment".into())) } else { self.tier.get(keys).await }
    }

    async fn has(&self, keys: &[block::Key]) -> Result<Vec<bool>, Error> {
        self.tier.has(keys).await
    }

    async fn lengths(&self, keys: &[block::Key]) -> Result<Vec<Option<u64>>, Error> {
        self.tier.lengths(keys).await
    }

    async fn keys(&self, after: Option<&block::Key>, limit: usize) -> Result<Vec<block::Key>, Error> {
        self.tier.keys(after, limit).await
    }

    async fn commit(&self, commit: Commit) -> Result<Committed, Error> {
        self.tier.commit(commit).await
    }

    async fn root(&self, cid: &Cid) -> Result<Option<StoredRoot>, Error> {
        self.tier.root(cid).await
    }

    async fn roots(&self, after: Option<&Cid>, limit: usize) -> Result<Vec<StoredRoot>, Error> {
        self.tier.roots(after, limit).await
    }

    async fn pin(&self, cid: &Cid) -> Result<Option<Pin>, Error> {
        self.tier.pin(cid).await
    }

    async fn pins(&self, after: Option<&Cid>, limit: usize) -> Result<Vec<Pin>, Error> {
        self.tier.pins(after, limit).await
    }

    async fn note(&self, name: &str) -> Result<Option<Bytes>, Error> {
        self.tier.note(name).await
    }

    async fn notes(&self, prefix: &str, after: Option<&str>, limit: usize) -> Result<Vec<(String, Bytes)>, Error> {
        self.tier.notes(prefix, after, limit).await
    }

    async fn usage(&self) -> Result<Usage, Error> {
        self.tier.usage().await
    }

    async fn flush(&self) -> Result<(), Error> {
        Ok(())
    }
}

/// What a step that failed had taken up is not walked again: nothing of it may count as garbage.
#[test]
fn after_a_step_that_failed_there_is_no_other() {
    block_on(async {
        let tier = Rc::new(Failing { tier: Rc::new(MemoryTier::new()), fails: Cell::new(false) });
        let options = OpenOptions { memory_bytes: 0, ..OpenOptions::default() };
        let storage = Storage::new(tier.clone(), Rc::new(CpuHasher), Rc::new(Racing::default()), options).unwrap();
        let layout = Layout { chunk_bytes: 1000, width: 4, ..Layout::default() };
        let options = StoreOptions { layout: Some(layout), ..StoreOptions::default() };
        let file = storage.store(noise(1, 100_000), options).await.unwrap().root.cid;
        let mut collection = storage.collection(WET).unwrap();
        for _ in 0..4 {
            collection.step().await.unwrap();
        }
        tier.fails.set(true);
        assert!(matches!(collection.step().await, Err(Error::Io(_))));
        tier.fails.set(false);
        while let Ok(progress) = collection.step().await {
            assert!(progress.is_some(), "it ran to its end");
        }
        drop(collection);
        assert_eq!(storage.retrieve(&file).await.unwrap(), noise(1, 100_000));
        assert_eq!(storage.collect(WET).await.unwrap().freed_blocks, 0);
    });
}

#[test]
fn what_is_written_ahead_is_not_taken() {
    block_on(async {
        let storage = open();
        let data = Bytes::from(noise(1, 9 << 20));
        let mut writer = storage.writer(StoreOptions::default()).unwrap();
        writer.write(data.slice(..8 << 20)).await.unwrap();
        let ahead = count(&storage).await;
        assert!(ahead >= 4);
        let report = storage.collect(WET).await.unwrap();
        assert_eq!((report.freed_blocks, report.in_use), (0, ahead));
        writer.write(data.slice(8 << 20..)).await.unwrap();
        let cid = writer.finish().await.unwrap().root.cid;
        assert_eq!(storage.retrieve(&cid).await.unwrap(), data);
        // One that is given up has nothing to keep.
        let mut writer = storage.writer(StoreOptions::default()).unwrap();
        writer.write(noise(2, 8 << 20).into()).await.unwrap();
        let held = count(&storage).await;
        drop(writer);
        assert!(storage.collect(WET).await.unwrap().freed_blocks >= 4);
        assert!(count(&storage).await < held);
        assert_eq!(storage.retrieve(&cid).await.unwrap(), data);
    });
}

/// Between any two steps of a collection others store, finish, pin, unpin, put and delete.
#[test]
fn random_histories_beside_a_collection() {
    for seed in 1..=40 {
        block_on(history(seed));
    }
}

async fn history(seed: u64) {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut dice = move |sides: u64| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 11) % sides
    };
    let storage = open();
    let layout = Layout { chunk_bytes: 50, width: 16, ..Layout::default() };
    let options = || StoreOptions { layout: Some(layout), ..StoreOptions::default() };
    // Several pages of garbage, and of what stays.
    let source = noise(seed, 400_000);
    storage.store(source[..250_000].to_vec(), options()).await.unwrap();
    let first = storage.roots(None, 1).await.unwrap().files[0].root.cid.clone();
    let kept = storage.store(noise(1000 + seed, 100_000), options()).await.unwrap().root.cid;
    storage.put_blocks(some(seed, 9000, 30).await).await.unwrap();
    if dice(2) == 0 {
        storage.delete(&first, false).await.unwrap();
    }
    let mut known: HashMap<Cid, Vec<u8>> = HashMap::new();
    let mut open: Option<(Writer, Vec<u8>, usize)> = None;
    let mut collection = storage.collection(WET).unwrap();
    let mut steps = 0u64;
    while collection.step().await.unwrap().is_some() {
        steps += 1;
        let file = || -> Option<Cid> {
            let mut cids: Vec<Cid> = known.keys().cloned().collect();
            cids.sort_by_key(|cid| cid.to_string());
            cids.first().cloned()
        };
        match dice(8) {
            // Files share blocks with one another and with what is garbage.
            0 | 1 => {
                let (from, length) = (dice(6000) as usize * 50, dice(20_000) as usize);
                let data = source[from..from + length].to_vec();
                let cid = storage.store(data.clone(), options()).await.unwrap().root.cid;
                known.insert(cid, data);
            }
            2 => match open.take() {
                None => {
                    let from = dice(2000) as usize * 50;
                    let data = source[from..from + 250_000].to_vec();
                    open = Some((storage.writer(options()).unwrap(), data, 0));
                }
                Some((mut writer, data, at)) if at < data.len() => {
                    let to = (at + 120_000).min(data.len());
                    writer.write(Bytes::copy_from_slice(&data[at..to])).await.unwrap();
                    open = Some((writer, data, to));
                }
                Some((mut writer, data, _)) => {
                    let cid = writer.finish().await.unwrap().root.cid;
                    known.insert(cid, data);
                }
            },
            3 => {
                if let Some(cid) = file() {
                    storage.pin(&cid, PinOptions::default()).await.unwrap();
                }
            }
            4 => {
                if let Some(cid) = file() {
                    storage.delete(&cid, true).await.unwrap();
                    known.remove(&cid);
                }
            }
            5 => {
                if let Some(cid) = file() {
                    assert!(storage.retrieve(&cid).await.unwrap() == known[&cid], "seed {seed}, step {steps}");
                }
            }
            _ => {}
        }
    }
    assert!(steps > 10, "seed {seed}: {steps} steps");
    for (cid, data) in &known {
        assert!(storage.retrieve(cid).await.unwrap() == *data, "seed {seed}: {cid} was taken");
    }
    if let Some((mut writer, data, at)) = open {
        writer.write(Bytes::copy_from_slice(&data[at..])).await.unwrap();
        let cid = writer.finish().await.unwrap().root.cid;
        assert!(storage.retrieve(&cid).await.unwrap() == data, "seed {seed}: what was written ahead was taken");
        storage.delete(&cid, false).await.unwrap();
    }
    drop(collection);
    for cid in known.keys() {
        storage.delete(cid, true).await.unwrap();
    }
    storage.delete(&first, false).await.ok();
    storage.delete(&kept, false).await.unwrap();
    storage.collect(WET).await.unwrap();
    assert_eq!(count(&storage).await, 0, "seed {seed}: the next collection leaves something");
}
