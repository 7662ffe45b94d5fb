//! Verifying and repairing, through the facade: what is damaged is found, named, set aside and healed, and nothing else.

use std::{
    cell::{Cell, RefCell},
    fs,
    path::Path,
    rc::Rc,
};

use async_trait::async_trait;
use bytes::Bytes;
use futures_executor::block_on;
use futures_util::future::poll_immediate;
use ipfs_kit_storage::{
    Cid, Error, OpenOptions, PinOptions, Result, Storage, StoreOptions,
    block::{self, Codec, Key},
    hash::{CpuHasher, Digest, HashFunction, Hasher},
    platform::{
        files::{Directory, RandomAccessFile},
        native::{NativeDirectory, SystemClock},
    },
    storage::{Fault, Finding, ReadOptions, Report, Verification, VerifyOptions},
    tier::{Commit, MemoryTier, Pin, Tier, conformance::noise, pack::PackTier},
};
use tempfile::TempDir;

use crate::support::{Fault as Trouble, World, small, world};

const REPAIR: VerifyOptions = VerifyOptions { sample: None, seed: None, repair: true, offline: false };

fn over(tier: Rc<dyn Tier>) -> Storage {
    Storage::new(tier, Rc::new(CpuHasher), Rc::new(SystemClock), OpenOptions::default()).unwrap()
}

fn in_memory() -> (Rc<MemoryTier>, Storage) {
    let tier = Rc::new(MemoryTier::new());
    (tier.clone(), over(tier))
}

async fn packed(folder: Rc<dyn Directory>) -> Storage {
    over(Rc::new(PackTier::open(folder, Rc::new(CpuHasher), Rc::new(SystemClock)).await.unwrap()))
}

/// Its CID as a block.
async fn raw(bytes: &[u8]) -> Cid {
    let digests = CpuHasher.digest(HashFunction::Sha2_256, &[Bytes::copy_from_slice(bytes)]).await.unwrap();
    let [digest]: [Digest; 1] = digests.try_into().unwrap();
    block::new_cid(cid::Version::V1, Codec::Raw, digest)
}

fn key(cid: &Cid) -> Key {
    block::key(cid).unwrap()
}

async fn all(storage: &Storage) -> Report {
    storage.verify(VerifyOptions::default()).await.unwrap()
}

fn of(report: &Report, fault: Fault) -> Vec<&Finding> {
    report.findings.iter().filter(|finding| finding.fault == fault).collect()
}

/// Makes the tier's copy of these bytes another of the same length.
fn rot(tier: &MemoryTier, cid: &Cid, length: usize) {
    tier.damage(&key(cid), vec![7; length].into());
}

async fn lose(tier: &MemoryTier, cid: &Cid) {
    tier.commit(Commit { drop_blocks: vec![key(cid)], ..Commit::default() }).await.unwrap();
}

/// What the gateway has is stored here as well.
async fn mirrored(data: &[u8]) -> (World, Cid) {
    let world = world(1, OpenOptions { memory_bytes: 0, ..OpenOptions::default() });
    let cid = world.everywhere(data, small()).await;
    assert_eq!(world.storage.store(data.to_vec(), small()).await.unwrap().root.cid, cid);
    (world, cid)
}

async fn back(storage: &Storage, cid: &Cid) -> Result<Vec<u8>> {
    let mut reader = storage.reader(cid, ReadOptions { offline: true, ..ReadOptions::default() }).await?;
    let mut whole = Vec::new();
    while let Some(bytes) = reader.next().await? {
        whole.extend_from_slice(&bytes);
    }
    Ok(whole)
}

#[test]
fn what_is_whole_is_sound_and_counted() {
    block_on(async {
        let folder = TempDir::new().unwrap();
        let pack = packed(Rc::new(NativeDirectory::open(folder.path()).unwrap())).await;
        for storage in [in_memory().1, pack] {
            assert!(all(&storage).await.is_sound(), "an empty one");
            let file = storage.store(noise(1, 200_000), small()).await.unwrap().root.cid;
            storage.store(noise(2, 50_000), StoreOptions { pin: true, ..StoreOptions::default() }).await.unwrap();
            let usage = storage.backend_status().await.usage;
            let lone = raw(b"a block of nobody's").await;
            storage.put_blocks(vec![(lone.clone(), "a block of nobody's".into())]).await.unwrap();
            let report = all(&storage).await;
            assert!(report.is_sound() && report.findings.is_empty(), "{report:?}");
            assert_eq!((report.blocks, report.checked, report.keepers), (usage.blocks + 1, usage.blocks + 1, 2));
            assert_eq!((report.bytes, report.figures_compared), (usage.bytes + 19, true));
            assert_eq!((report.unreached, report.unreached_bytes), (Some(1), Some(19)));
            // A pin on it reaches it, and a root that goes leaves its blocks.
            storage.pin(&lone, PinOptions { kind: Default::default(), ..PinOptions::default() }).await.unwrap();
            storage.delete(&file, false).await.unwrap();
            let report = all(&storage).await;
            assert_eq!((report.unreached, report.keepers, report.is_sound()), (Some(0), 2, true));
        }
    });
}

#[test]
fn what_is_corrupt_is_set_aside_whatever_the_policy_and_the_cache_say() {
    block_on(async {
        let tier = Rc::new(MemoryTier::new());
        let options = OpenOptions { verification: Verification::Never, ..OpenOptions::default() };
        let storage = Storage::new(tier.clone(), Rc::new(CpuHasher), Rc::new(SystemClock), options).unwrap();
        let data = noise(1, 200_000);
        let file = storage.store(data.clone(), small()).await.unwrap().root.cid;
        assert_eq!(storage.retrieve(&file).await.unwrap(), data);
        let (leaf, lone) = (raw(&data[10_000..20_000]).await, raw(b"alone").await);
        storage.put_blocks(vec![(lone.clone(), "alone".into())]).await.unwrap();
        let whole = storage.backend_status().await.usage;
        rot(&tier, &leaf, 10_000);
        rot(&tier, &lone, 5);
        let report = all(&storage).await;
        assert!(report.finished && !report.is_sound());
        assert_eq!((report.corrupt.found, report.corrupt.repaired, report.missing.found), (2, 0, 1));
        let mut named: Vec<Cid> =
            of(&report, Fault::Corrupt).iter().map(|finding| finding.cid.clone().unwrap()).collect();
        named.sort();
        let mut rotten = vec![leaf.clone(), lone];
        rotten.sort();
        assert_eq!(named, rotten);
        let [missing] = of(&report, Fault::Missing)[..] else { panic!("{report:?}") };
        assert_eq!((missing.cid.clone(), missing.found, &missing.some), (Some(file.clone()), 1, &vec![leaf]));
        let usage = storage.backend_status().await.usage;
        assert_eq!((usage.blocks, usage.quarantined), (whole.blocks - 2, 2));
        assert!(matches!(storage.retrieve(&file).await, Err(Error::NotAvailableOffline { .. })), "the cache has it");
        // It heals by being stored again, and what is gone is no finding any more.
        storage.store(data, small()).await.unwrap();
        let report = all(&storage).await;
        assert!(report.is_sound() && report.figures_compared, "{report:?}");
    });
}

#[test]
fn a_node_that_is_lost_hides_what_is_below_it() {
    block_on(async {
        let (tier, storage) = in_memory();
        let data = noise(3, 200_000);
        let file = storage.store(data, small()).await.unwrap().root.cid;
        let length = tier.get(&[key(&file)]).await.unwrap()[0].as_ref().unwrap().bytes.len();
        rot(&tier, &file, length);
        let report = all(&storage).await;
        // The walk tells what it is.
        assert_eq!(of(&report, Fault::Corrupt)[0].cid, Some(file.clone()));
        assert_eq!(of(&report, Fault::Missing)[0].some, [file]);
        assert_eq!(report.unreached, None, "nobody knows what the root needs");
        assert!(!report.is_sound());
        // A later check has nothing to set aside, and still misses it.
        let report = all(&storage).await;
        assert_eq!((report.corrupt.found, report.missing.found, report.is_sound()), (0, 1, false));
    });
}

#[test]
fn a_remote_heals_what_is_corrupt_and_what_is_missing() {
    block_on(async {
        let data = noise(4, 400_000);
        let (world, cid) = mirrored(&data).await;
        let (storage, tier) = (&world.storage, &world.tier);
        let whole = tier.usage().await.unwrap();
        let leaf = raw(&data[..10_000]).await;
        rot(tier, &leaf, 10_000);
        lose(tier, &raw(&data[30_000..40_000]).await).await;
        lose(tier, &raw(&data[390_000..]).await).await;
        // A node between the root and the leaves, and all its leaves.
        let dag = world.origins[0].dag(cid.clone()).await.unwrap();
        let (node, _) = dag.iter().skip(1).find(|(cid, _)| cid.codec() == Codec::DagPb.code()).unwrap();
        lose(tier, node).await;
        let lone = raw(b"alone").await;
        world.origins[0].store(b"alone".to_vec(), StoreOptions::default()).await;
        storage.put_blocks(vec![(lone.clone(), "alone".into())]).await.unwrap();
        rot(tier, &lone, 5);
        let report = storage.verify(REPAIR).await.unwrap();
        assert!(report.is_sound(), "{report:?}");
        assert_eq!((report.corrupt.found, report.corrupt.repaired), (2, 2));
        assert_eq!((report.missing.found, report.missing.repaired), (4, 4));
        assert_eq!(report.unreached, Some(0), "the corrupt one was not held when this was counted");
        assert_eq!(tier.usage().await.unwrap().blocks, whole.blocks + 1);
        assert_eq!(back(storage, &cid).await.unwrap(), data);
        assert!(storage.exists(&lone).await.unwrap());
        let report = all(storage).await;
        assert!(report.is_sound() && report.findings.is_empty() && report.unreached == Some(1), "{report:?}");
    });
}

#[test]
fn a_remote_that_lies_or_must_not_be_asked_heals_nothing() {
    block_on(async {
        for (trouble, offline, says) in [
            (Trouble::WrongBytes, false, "do not hash"),
            (Trouble::None, true, "stay offline"),
            (Trouble::Status(404), false, "does not have it"),
        ] {
            let data = noise(5, 100_000);
            let (world, cid) = mirrored(&data).await;
            world.origins[0].fails(trouble, usize::MAX);
            let leaf = raw(&data[..10_000]).await;
            rot(&world.tier, &leaf, 10_000);
            let report = world.storage.verify(VerifyOptions { offline, ..REPAIR }).await.unwrap();
            assert!(report.finished && !report.is_sound());
            assert_eq!((report.corrupt.found, report.corrupt.repaired), (1, 0));
            assert_eq!((report.missing.found, report.missing.repaired), (1, 0));
            for fault in [Fault::Corrupt, Fault::Missing] {
                let detail = &of(&report, fault)[0].detail;
                assert!(detail.contains(says), "{trouble:?}: {detail}");
            }
            assert!(!world.storage.exists(&leaf).await.unwrap());
            assert!(back(&world.storage, &cid).await.is_err());
            assert_eq!(offline, world.requests().is_empty());
        }
    });
}

#[test]
fn recorded_sizes_of_pins_are_compared_and_set_right() {
    block_on(async {
        let (tier, storage) = in_memory();
        let zeros = vec![0; 100_000];
        let file = storage.store([noise(6, 50_000), zeros].concat(), small()).await.unwrap().root.cid;
        let usage = storage.backend_status().await.usage;
        let lone = raw(b"alone").await;
        storage.put_blocks(vec![(lone.clone(), "alone".into())]).await.unwrap();
        let pin = |cid, size, direct| Pin {
            size: Some(size),
            kind: if direct { ipfs_kit_storage::tier::PinKind::Direct } else { Default::default() },
            name: Some("kept".into()),
            ..Pin::recursive(cid)
        };
        let right = pin(file.clone(), (usage.blocks, usage.bytes), false);
        tier.commit(Commit { pin: vec![right.clone(), pin(lone.clone(), (1, 5), true)], ..Commit::default() })
            .await
            .unwrap();
        let report = all(&storage).await;
        assert!(report.is_sound() && report.sizes == 2, "{report:?}");
        for wrong in [(usage.blocks + 1, usage.bytes), (usage.blocks, usage.bytes - 1)] {
            tier.commit(Commit { pin: vec![pin(file.clone(), wrong, false)], ..Commit::default() }).await.unwrap();
            let report = all(&storage).await;
            assert_eq!((report.pin_sizes.found, report.pin_sizes.repaired, report.is_sound()), (1, 0, false));
            assert_eq!(of(&report, Fault::PinSize)[0].cid, Some(file.clone()));
            assert_eq!(
                tier.pin(&file).await.unwrap(),
                Some(pin(file.clone(), wrong, false)),
                "nobody asked for a repair"
            );
            let report = storage.verify(REPAIR).await.unwrap();
            assert_eq!((report.pin_sizes.found, report.pin_sizes.repaired, report.is_sound()), (1, 1, true));
            assert_eq!(tier.pin(&file).await.unwrap().as_ref(), Some(&right), "and its name");
        }
        // Of a DAG that is not whole nobody knows the size.
        lose(&tier, &lone).await;
        let report = storage.verify(REPAIR).await.unwrap();
        assert_eq!((report.sizes, report.missing.found, report.pin_sizes.found), (1, 1, 0));
        assert_eq!(of(&report, Fault::Missing)[0].cid, Some(lone));
    });
}

#[test]
fn what_a_pending_pin_still_lacks_is_not_missing() {
    block_on(async {
        let world = world(1, OpenOptions::default());
        let cid = world.everywhere(&noise(7, 400_000), small()).await;
        world.origins[0].fails(Trouble::Truncated, usize::MAX);
        assert!(world.storage.pin(&cid, PinOptions::default()).await.is_err());
        let report = world.storage.verify(REPAIR).await.unwrap();
        assert!(report.is_sound() && report.keepers == 1 && report.blocks > 0, "{report:?}");
        assert_eq!(report.unreached, Some(0));
    });
}

#[test]
fn a_check_that_is_dropped_in_the_midst_does_no_harm_and_one_that_goes_on_misses_nothing() {
    block_on(async {
        let data = noise(8, 400_000);
        let (world, cid) = mirrored(&data).await;
        let (storage, tier) = (&world.storage, &world.tier);
        for at in (0..400_000).step_by(40_000) {
            lose(tier, &raw(&data[at..at + 10_000]).await).await;
        }
        let mut check = storage.check(REPAIR).unwrap();
        assert!(!check.report().is_sound(), "it has seen nothing yet");
        let mut dropped = 0;
        loop {
            // Each step gets one turn at first, and is dropped when that was not enough: then it was fetching.
            match poll_immediate(check.step()).await {
                Some(progress) => {
                    if progress.unwrap().is_none() {
                        break;
                    }
                }
                None => {
                    dropped += 1;
                    assert!(!check.report().finished);
                    check.step().await.unwrap();
                }
            }
        }
        assert!(dropped > 0);
        let report = check.report();
        assert!(report.is_sound(), "{report:?}");
        assert_eq!((report.missing.found, report.missing.repaired), (10, 10));
        assert_eq!(back(storage, &cid).await.unwrap(), data);
        // Dropped as a whole, after any number of steps.
        for steps in 0..4 {
            let leaf = raw(&data[..10_000]).await;
            rot(tier, &leaf, 10_000);
            let mut check = storage.check(REPAIR).unwrap();
            for _ in 0..steps {
                let _ = poll_immediate(check.step()).await;
            }
            drop(check);
            assert!(storage.verify(REPAIR).await.unwrap().is_sound(), "after {steps} steps");
            assert_eq!(back(storage, &cid).await.unwrap(), data);
        }
    });
}

#[test]
fn a_step_is_bounded_and_tells_how_far_it_is() {
    block_on(async {
        let (_, storage) = in_memory();
        storage.store(noise(9, 40_000_000), StoreOptions::default()).await.unwrap();
        let total = storage.backend_status().await.usage.blocks;
        let mut check = storage.check(VerifyOptions::default()).unwrap();
        let mut before = check.step().await.unwrap().unwrap();
        let mut steps = 0;
        while let Some(progress) = check.step().await.unwrap() {
            assert!(progress.bytes - before.bytes <= 8 * 1024 * 1024, "{before:?} to {progress:?}");
            assert_eq!(progress.total, total);
            (before, steps) = (progress, steps + 1);
        }
        assert!(steps >= 8, "{steps}");
        assert!(before.bytes > 40_000_000 && before.keepers == 1 && before.blocks == total);
        assert_eq!(check.step().await.unwrap(), None);
    });
}

#[test]
fn a_sample_is_that_of_its_seed() {
    block_on(async {
        let (tier, storage) = in_memory();
        let blocks: Vec<Vec<u8>> = (0..400u32).map(|n| n.to_le_bytes().to_vec()).collect();
        let mut cids = Vec::new();
        for bytes in &blocks {
            cids.push((raw(bytes).await, Bytes::copy_from_slice(bytes)));
        }
        let heal = async || storage.put_blocks(cids.clone()).await.unwrap();
        let sampled = async |seed| {
            heal().await;
            cids.iter().for_each(|(cid, _)| rot(&tier, cid, 4));
            let sample = VerifyOptions { sample: Some(0.25), seed, ..VerifyOptions::default() };
            let report = storage.verify(sample).await.unwrap();
            // All of what was looked at is rotten, and nothing else is set aside.
            assert_eq!((report.corrupt.found, report.blocks), (report.checked, 400));
            assert_eq!(storage.backend_status().await.usage.blocks, 400 - report.checked);
            assert!((50..150).contains(&report.checked), "{}", report.checked);
            assert!(!report.is_sound() && report.unreached_bytes.is_none());
            let found: Vec<Cid> =
                of(&report, Fault::Corrupt).iter().map(|finding| finding.cid.clone().unwrap()).collect();
            (report.seed, found)
        };
        let first = sampled(Some(1)).await;
        assert_eq!(sampled(Some(1)).await, first);
        assert_ne!(sampled(Some(2)).await.1, first.1);
        let drawn = sampled(None).await;
        assert_eq!(sampled(Some(drawn.0)).await, drawn);
        for sample in [0.0, -0.5, 1.01, f64::NAN] {
            let refused = storage.verify(VerifyOptions { sample: Some(sample), ..VerifyOptions::default() }).await;
            assert!(matches!(refused, Err(Error::InvalidArgument(_))), "{sample}");
        }
    });
}

#[test]
fn what_is_written_and_deleted_meanwhile_is_no_fault() {
    block_on(async {
        let (_, storage) = in_memory();
        let files = (0..1500u32).map(|n| (n.to_le_bytes().to_vec().into(), StoreOptions::default())).collect();
        let mut stored = storage.store_many(files).await.unwrap();
        // Of several blocks, and the last in the order of the CIDs' text.
        stored.push(storage.store(noise(14, 50_000), small()).await.unwrap());
        let mut check = storage.check(VerifyOptions::default()).unwrap();
        while check.report().keepers == 0 {
            check.step().await.unwrap().unwrap();
        }
        assert!(check.report().keepers < stored.len() as u64);
        // Some are walked, all are listed, and now they go; another comes.
        for stored in &stored {
            storage.delete(&stored.root.cid, false).await.unwrap();
        }
        storage.store(noise(10, 100_000), small()).await.unwrap();
        while check.step().await.unwrap().is_some() {}
        assert!(check.report().is_sound() && check.report().figures_compared, "{:?}", check.report());
        let mut check = storage.check(VerifyOptions::default()).unwrap();
        check.step().await.unwrap();
        storage.store("meanwhile", StoreOptions::default()).await.unwrap();
        while check.step().await.unwrap().is_some() {}
        assert!(check.report().is_sound() && !check.report().figures_compared, "{:?}", check.report());
    });
}

/// What is wrong with a medium.
#[derive(Default)]
struct Scratch {
    /// What holds these bytes cannot be read.
    bad: RefCell<Vec<u8>>,
    /// Nothing can be written.
    sealed: Cell<bool>,
}

struct Scratched {
    folder: NativeDirectory,
    scratch: Rc<Scratch>,
}

struct ScratchedFile {
    file: Rc<dyn RandomAccessFile>,
    scratch: Rc<Scratch>,
}

impl Scratched {
    fn open(folder: &Path, scratch: &Rc<Scratch>) -> Rc<Self> {
        Rc::new(Scratched { folder: NativeDirectory::open(folder).unwrap(), scratch: scratch.clone() })
    }
}

#[async_trait(?Send)]
impl Directory for Scratched {
    async fn open(&self, name: &str) -> Result<Rc<dyn RandomAccessFile>> {
        Ok(Rc::new(ScratchedFile { file: self.folder.open(name).await?, scratch: self.scratch.clone() }))
    }

    async fn list(&self) -> Result<Vec<String>> {
        self.folder.list().await
    }

    async fn remove(&self, name: &str) -> Result<()> {
        self.folder.remove(name).await
    }

    async fn sync(&self) -> Result<()> {
        self.folder.sync().await
    }
}

impl RandomAccessFile for ScratchedFile {
    fn len(&self) -> Result<u64> {
        self.file.len()
    }

    fn read_at(&self, offset: u64, length: usize) -> Result<Vec<u8>> {
        let bytes = self.file.read_at(offset, length)?;
        let bad = self.scratch.bad.borrow();
        if !bad.is_empty() && bytes.windows(bad.len()).any(|window| window == bad.as_slice()) {
            return Err(Error::Io("a bad spot".into()));
        }
        Ok(bytes)
    }

    fn write_at(&self, offset: u64, bytes: &[u8]) -> Result<()> {
        if self.scratch.sealed.get() {
            return Err(Error::Denied("it is sealed".into()));
        }
        self.file.write_at(offset, bytes)
    }

    fn set_len(&self, length: u64) -> Result<()> {
        self.file.set_len(length)
    }

    fn sync(&self) -> Result<()> {
        self.file.sync()
    }
}

#[test]
fn what_the_medium_fails_to_read_is_said_and_left_where_it_is() {
    block_on(async {
        let folder = TempDir::new().unwrap();
        let scratch = Rc::new(Scratch::default());
        let bad = &scratch.bad;
        let storage = packed(Scratched::open(folder.path(), &scratch)).await;
        let data = noise(11, 200_000);
        let file = storage.store(data.clone(), small()).await.unwrap().root.cid;
        let total = storage.backend_status().await.usage.blocks;
        bad.replace(data[15_000..15_032].to_vec());
        for options in [VerifyOptions::default(), REPAIR] {
            let report = storage.verify(options).await.unwrap();
            assert!(report.finished && !report.is_sound());
            let [finding] = report.findings.as_slice() else { panic!("{report:?}") };
            assert_eq!(
                (finding.fault, finding.cid.clone()),
                (Fault::Unreadable, Some(raw(&data[10_000..20_000]).await))
            );
            assert!(finding.detail.contains("a bad spot"));
            assert_eq!((report.blocks, report.checked), (total, total - 1), "it does not count as checked");
        }
        assert_eq!(storage.backend_status().await.usage.quarantined, 0);
        bad.borrow_mut().clear();
        assert!(all(&storage).await.is_sound());
        assert_eq!(storage.retrieve(&file).await.unwrap(), data);
        // A node: nothing is known of what is below it.
        let node = storage.get_block(&file, true).await.unwrap();
        drop(storage);
        let fresh = packed(Scratched::open(folder.path(), &scratch)).await;
        bad.replace(node[..64].to_vec());
        let report = all(&fresh).await;
        assert_eq!((report.unreadable.found, report.unreached, report.is_sound()), (1, None, false), "{report:?}");
        assert_eq!(report.findings[0].cid, Some(file));
    });
}

/// Flips a bit so far behind the beginning of these bytes in the only segment.
fn flip(folder: &Path, bytes: &[u8], by: isize) {
    let path = folder.join("segment-00000001");
    let mut log = fs::read(&path).unwrap();
    let at = log.windows(bytes.len()).position(|window| window == bytes).unwrap();
    log[at.checked_add_signed(by).unwrap()] ^= 0x10;
    fs::write(path, log).unwrap();
}

#[test]
fn damage_on_disk_is_found_and_a_damaged_record_is_missed_in_the_figures() {
    block_on(async {
        let folder = TempDir::new().unwrap();
        let storage = packed(Rc::new(NativeDirectory::open(folder.path()).unwrap())).await;
        let data = noise(12, 200_000);
        let file = storage.store(data.clone(), small()).await.unwrap().root.cid;
        flip(folder.path(), &data[..32], 5_000);
        let report = all(&storage).await;
        assert_eq!((report.corrupt.found, report.missing.found, report.figures.found), (1, 1, 0), "{report:?}");
        assert_eq!(of(&report, Fault::Corrupt)[0].cid, Some(raw(&data[..10_000]).await));
        storage.store(data.clone(), small()).await.unwrap();
        assert!(all(&storage).await.is_sound());
        // A key lies before its bytes, and its first eight bytes in the index as well. Behind these it is a key of bytes
        // that are others,
        flip(folder.path(), &data[20_000..20_032], -3);
        let report = all(&storage).await;
        let lost = raw(&data[20_000..30_000]).await;
        assert_eq!((report.corrupt.found, report.figures.found), (1, 0), "{report:?}");
        let [missing] = of(&report, Fault::Missing)[..] else { panic!("{report:?}") };
        assert_eq!((missing.cid.clone(), &missing.some), (Some(file), &vec![lost]));
        storage.store(data.clone(), small()).await.unwrap();
        assert!(all(&storage).await.is_sound());
        // and within these it is none.
        flip(folder.path(), &data[40_000..40_032], -30);
        let report = all(&storage).await;
        assert_eq!((report.corrupt.found, report.missing.found, report.figures.found), (0, 1, 1), "{report:?}");
        assert_eq!(of(&report, Fault::Missing)[0].some, [raw(&data[40_000..50_000]).await]);
        assert!(!report.is_sound());
    });
}

#[test]
fn what_cannot_be_set_aside_does_not_count_as_repaired() {
    block_on(async {
        let folder = TempDir::new().unwrap();
        let scratch = Rc::new(Scratch::default());
        let storage = packed(Scratched::open(folder.path(), &scratch)).await;
        let data = noise(13, 100_000);
        storage.store(data.clone(), small()).await.unwrap();
        flip(folder.path(), &data[..32], 5_000);
        scratch.sealed.set(true);
        for options in [VerifyOptions::default(), REPAIR] {
            let report = storage.verify(options).await.unwrap();
            assert_eq!((report.corrupt.found, report.corrupt.repaired, report.is_sound()), (1, 0, false), "{report:?}");
            assert!(of(&report, Fault::Corrupt)[0].detail.contains("setting it aside failed"), "{report:?}");
        }
    });
}
