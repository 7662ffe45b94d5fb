//! The facade: what users rely on, over a tier in memory and over packed files.

use std::{
    pin::pin,
    rc::Rc,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll, Wake},
};

use bytes::Bytes;
use futures_executor::block_on;
use futures_util::future::{join, poll_immediate};
use ipfs_kit_storage::{
    Error, OfflineReason, OpenOptions, PinOptions, Storage, StoreOptions,
    block::{self, Block, Codec},
    hash::{CpuHasher, Digest, HashFunction, Hasher},
    platform::native::{NativeDirectory, SystemClock},
    storage::{BackendState, CacheConfig, ReadOptions, Verification},
    tier::{Commit, MemoryTier, Tier, conformance::noise, pack::PackTier},
    unixfs::{Layout, Profile},
};
use proptest::prelude::*;

fn over(tier: Rc<dyn Tier>, options: OpenOptions) -> Storage {
    Storage::new(tier, Rc::new(CpuHasher), Rc::new(SystemClock), options).unwrap()
}

fn in_memory() -> (Rc<MemoryTier>, Storage) {
    let tier = Rc::new(MemoryTier::new());
    (tier.clone(), over(tier, OpenOptions { memory_bytes: 0, ..OpenOptions::default() }))
}

fn small_chunks() -> StoreOptions {
    let layout = Layout { chunk_bytes: 1000, width: 4, ..Layout::default() };
    StoreOptions { layout: Some(layout), ..StoreOptions::default() }
}

async fn blocks(storage: &Storage) -> u64 {
    storage.backend_status().await.usage.blocks
}

#[test]
fn delete_drops_what_only_that_file_used() {
    block_on(async {
        let (_, storage) = in_memory();
        let shared = noise(1, 10_000);
        let longer = [shared.clone(), noise(2, 5_000)].concat();
        let one = storage.store(shared, small_chunks()).await.unwrap().root.cid;
        let alone = blocks(&storage).await;
        let two = storage.store(longer.clone(), small_chunks()).await.unwrap().root.cid;
        storage.delete(&one, false).await.unwrap();
        assert_eq!(storage.retrieve(&two).await.unwrap(), longer, "a shared block is gone");
        assert!(matches!(storage.root(&one).await, Err(Error::NotFound(path)) if path == one));
        storage.delete(&two, false).await.unwrap();
        assert_eq!(blocks(&storage).await, 0);
        assert!(alone > 10);
    });
}

#[test]
fn delete_spares_a_file_that_is_being_stored() {
    block_on(async {
        let (_, storage) = in_memory();
        let data = noise(3, 9_000_000);
        let old = storage.store(data.clone(), StoreOptions::default()).await.unwrap().root.cid;
        let unlike = storage.store(noise(33, 2_500_000), StoreOptions::default()).await.unwrap().root.cid;
        // The same bytes again: the writer finds its blocks there, and then the old root goes.
        let mut writer = storage.writer(StoreOptions::default()).unwrap();
        writer.write(Bytes::from(data.clone()).slice(..8_500_000)).await.unwrap();
        storage.delete(&old, false).await.unwrap();
        storage.delete(&unlike, false).await.unwrap();
        writer.write(Bytes::from(data.clone()).slice(8_500_000..)).await.unwrap();
        let new = writer.finish().await.unwrap().root.cid;
        assert_eq!(new, old);
        assert_eq!(storage.retrieve(&new).await.unwrap(), data);
        assert_eq!(blocks(&storage).await, 10, "what was deleted meanwhile goes as soon as the file is stored");
        storage.delete(&new, false).await.unwrap();
        assert_eq!(blocks(&storage).await, 0);
    });
}

#[test]
fn what_an_unfinished_file_wrote_ahead_is_dropped() {
    block_on(async {
        let (_, storage) = in_memory();
        let kept = storage.store(noise(4, 3_000_000), StoreOptions::default()).await.unwrap();
        let before = blocks(&storage).await;
        let mut writer = storage.writer(StoreOptions::default()).unwrap();
        // Its first leaves are those of the kept file.
        writer.write([noise(4, 3_000_000), noise(5, 30_000_000)].concat().into()).await.unwrap();
        assert!(blocks(&storage).await > before);
        writer.abort().await;
        assert_eq!(blocks(&storage).await, before);
        assert!(matches!(writer.write(Bytes::new()).await, Err(Error::Cancelled)));
        assert!(matches!(writer.finish().await, Err(Error::Cancelled)));
        // Dropped without a word, it waits for the next occasion.
        let mut writer = storage.writer(StoreOptions::default()).unwrap();
        writer.write(noise(6, 30_000_000).into()).await.unwrap();
        drop(writer);
        let other = storage.store("x", StoreOptions::default()).await.unwrap();
        storage.delete(&other.root.cid, false).await.unwrap();
        assert_eq!(blocks(&storage).await, before);
        assert_eq!(storage.retrieve(&kept.root.cid).await.unwrap(), noise(4, 3_000_000));
    });
}

/// What a damaged node of another file reaches cannot be known any more, so it is not dropped.
#[test]
fn delete_spares_what_a_damaged_file_may_share() {
    block_on(async {
        let (tier, storage) = in_memory();
        let shared = noise(13, 3_500);
        let one = storage.store(shared.clone(), small_chunks()).await.unwrap().root.cid;
        let two = storage.store([shared, noise(14, 500)].concat(), small_chunks()).await.unwrap().root.cid;
        let before = blocks(&storage).await;
        tier.damage(&block::key(&two).unwrap(), "damaged".into());
        storage.delete(&one, false).await.unwrap();
        assert!(matches!(storage.root(&one).await, Err(Error::NotFound(_))));
        // The damaged root was set aside; all else is there still.
        assert_eq!(blocks(&storage).await, before - 1);
    });
}

#[test]
fn a_pin_holds_until_it_is_taken_away() {
    block_on(async {
        let (_, storage) = in_memory();
        let pinned = StoreOptions { pin: true, ..StoreOptions::default() };
        let cid = storage.store("pinned", pinned).await.unwrap().root.cid;
        assert!(matches!(storage.delete(&cid, false).await, Err(Error::Denied(_))));
        let again = storage.store("pinned", StoreOptions::default()).await.unwrap();
        assert!(again.pinned, "storing it again must not undo the pin");
        storage.unpin(&cid).await.unwrap();
        storage.unpin(&cid).await.unwrap();
        storage.delete(&cid, false).await.unwrap();
        assert!(matches!(storage.unpin(&cid).await, Err(Error::NotFound(_))));
    });
}

#[test]
fn a_held_block_can_be_pinned_as_a_root_of_its_own() {
    block_on(async {
        let (_, storage) = in_memory();
        let cid = storage.store(noise(7, 3_000_000), StoreOptions::default()).await.unwrap().root.cid;
        let leaf = storage.store(Bytes::from(noise(7, 1 << 20)), StoreOptions::default()).await.unwrap().root.cid;
        storage.delete(&leaf, false).await.unwrap();
        assert!(storage.exists(&leaf).await.unwrap(), "it is a leaf of the other file");
        storage.pin(&leaf, PinOptions::default()).await.unwrap();
        storage.delete(&cid, false).await.unwrap();
        assert_eq!(storage.root(&leaf).await.unwrap().root.size, 1 << 20);
        assert_eq!(blocks(&storage).await, 1);
    });
}

#[test]
fn what_is_not_held_fails_at_once_with_the_reason() {
    block_on(async {
        let absent = block::parse("bafkreifzjut3te2nhyekklss27nh3k72ysco7y32koao5eei66wof36n5e").unwrap();
        for reason in [OfflineReason::NoRemotes, OfflineReason::ForceFallback, OfflineReason::Disabled] {
            let storage =
                over(Rc::new(MemoryTier::new()), OpenOptions { offline: Some(reason), ..OpenOptions::default() });
            let expected = Error::NotAvailableOffline { cid: absent.clone(), reason };
            assert_eq!(storage.retrieve(&absent).await.unwrap_err(), expected);
            assert_eq!(storage.pin(&absent, PinOptions::default()).await.unwrap_err(), expected);
            assert_eq!(storage.delete(&absent, false).await.unwrap_err(), Error::NotFound(absent.clone().into()));
            assert!(!storage.exists(&absent).await.unwrap());
            assert!(!storage.is_available());
            let status = storage.backend_status().await;
            assert_eq!(status.local_only, Some(reason));
            assert_eq!(status.backends[0].state, BackendState::Available);
        }
    });
}

#[test]
fn identity_cids_are_answered_from_themselves() {
    block_on(async {
        let (_, storage) = in_memory();
        let digest = multihash::Multihash::wrap(0, b"inline").unwrap();
        let cid = ipfs_kit_storage::Cid::new_v1(Codec::Raw.code(), digest);
        assert_eq!(storage.retrieve(&cid).await.unwrap(), "inline");
        assert!(storage.exists(&cid).await.unwrap());
    });
}

#[test]
fn corrupt_blocks_are_reported_set_aside_and_healed_by_storing_again() {
    block_on(async {
        for verification in [Verification::Always, Verification::OnFirstRead] {
            let tier = Rc::new(MemoryTier::new());
            let options = OpenOptions { memory_bytes: 0, verification, ..OpenOptions::default() };
            let storage = over(tier.clone(), options);
            let data = noise(8, 20_000);
            let cid = storage.store(data.clone(), small_chunks()).await.unwrap().root.cid;
            let leaf = storage.store(data[3000..4000].to_vec(), StoreOptions::default()).await.unwrap().root.cid;
            tier.damage(&block::key(&leaf).unwrap(), noise(9, 1000).into());
            match storage.retrieve(&cid).await {
                Err(Error::Corrupt { cid: Some(found), .. }) => assert_eq!(found, leaf),
                other => panic!("{other:?}"),
            }
            assert!(!storage.exists(&leaf).await.unwrap());
            assert_eq!(storage.backend_status().await.usage.quarantined, 1);
            assert!(matches!(storage.retrieve(&cid).await, Err(Error::NotAvailableOffline { .. })));
            // The parts of the file around it can still be read.
            let mut reader = storage.reader(&cid, ReadOptions::range(0, Some(3000))).await.unwrap();
            let mut read = Vec::new();
            while let Ok(Some(bytes)) = reader.next().await {
                read.extend_from_slice(&bytes);
            }
            assert_eq!(read, data[..3000]);
            storage.store(data.clone(), small_chunks()).await.unwrap();
            assert_eq!(storage.retrieve(&cid).await.unwrap(), data);
        }
    });
}

/// It is acknowledged, so it must be there.
#[test]
fn storing_again_heals_what_rotted_unnoticed() {
    block_on(async {
        let (tier, storage) = in_memory();
        let data = noise(21, 20_000);
        let cid = storage.store(data.clone(), small_chunks()).await.unwrap().root.cid;
        let leaf = storage.store(data[5000..6000].to_vec(), StoreOptions::default()).await.unwrap().root.cid;
        for key in [leaf, cid.clone()].map(|cid| block::key(&cid).unwrap()) {
            tier.damage(&key, noise(9, 1000).into());
            let before = storage.backend_status().await.usage;
            storage.store(data.clone(), small_chunks()).await.unwrap();
            assert_eq!(storage.retrieve(&cid).await.unwrap(), data);
            let after = storage.backend_status().await.usage;
            assert_eq!((after.blocks, after.quarantined), (before.blocks, before.quarantined + 1));
        }
    });
}

#[test]
fn pinning_asks_the_tier_and_not_the_cache() {
    block_on(async {
        let tier = Rc::new(MemoryTier::new());
        let storage = over(tier.clone(), OpenOptions::default());
        let stored = storage.store(noise(22, 20_000), small_chunks()).await.unwrap().root.cid;
        let mut reader = storage.reader(&stored, ReadOptions::range(0, None)).await.unwrap();
        while reader.next().await.unwrap().is_some() {}
        // Another owner drops it: the cache of this one still has its nodes.
        let drop_blocks = vec![block::key(&stored).unwrap()];
        tier.commit(Commit { drop_roots: vec![stored.clone()], drop_blocks, ..Commit::default() }).await.unwrap();
        assert!(storage.retrieve(&stored).await.is_ok());
        let refused = storage.pin(&stored, PinOptions::default()).await;
        assert!(matches!(&refused, Err(Error::NotAvailableOffline { cid, .. }) if *cid == stored), "{refused:?}");
    });
}

#[test]
fn a_node_that_is_no_file_is_not_called_damaged() {
    block_on(async {
        let (tier, storage) = in_memory();
        let parts = vec![Bytes::from_static(b"no node")];
        let made = Block::make(&CpuHasher, cid::Version::V1, Codec::DagPb, HashFunction::Sha2_256, parts);
        let blocks = made.await.unwrap();
        let cid = blocks[0].cid().clone();
        tier.commit(Commit { blocks, ..Commit::default() }).await.unwrap();
        assert!(matches!(storage.retrieve(&cid).await, Err(Error::Unsupported(_))));
        assert!(storage.exists(&cid).await.unwrap());
    });
}

#[test]
fn verification_can_be_left_out_after_the_first_read() {
    block_on(async {
        let tier = Rc::new(MemoryTier::new());
        let options =
            OpenOptions { memory_bytes: 0, verification: Verification::OnFirstRead, ..OpenOptions::default() };
        let storage = over(tier.clone(), options);
        let cid = storage.store("first", StoreOptions::default()).await.unwrap().root.cid;
        assert_eq!(storage.retrieve(&cid).await.unwrap(), "first");
        tier.damage(&block::key(&cid).unwrap(), "other".into());
        assert_eq!(storage.retrieve(&cid).await.unwrap(), "other", "it was hashed a second time");
    });
}

/// A hasher that lets others go first, a few times.
struct Patient(std::cell::Cell<u64>);

#[async_trait::async_trait(?Send)]
impl Hasher for Patient {
    async fn digest(&self, function: HashFunction, inputs: &[Bytes]) -> ipfs_kit_storage::Result<Vec<Digest>> {
        self.0.set(self.0.get().wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407));
        for _ in 0..self.0.get() >> 61 {
            let mut waited = false;
            std::future::poll_fn(|context| {
                context.waker().wake_by_ref();
                if std::mem::replace(&mut waited, true) { Poll::Ready(()) } else { Poll::Pending }
            })
            .await;
        }
        CpuHasher.digest(function, inputs).await
    }
}

/// Several at once prove the same blocks for the first time: each gets the bytes that it asked for.
#[test]
fn readers_at_once_do_not_mix_up_blocks() {
    block_on(async {
        for seed in 0..100 {
            let options =
                OpenOptions { memory_bytes: 0, verification: Verification::OnFirstRead, ..OpenOptions::default() };
            let hasher = Rc::new(Patient(std::cell::Cell::new(seed)));
            let tier = Rc::new(MemoryTier::new());
            let storage = Storage::new(tier, hasher, Rc::new(SystemClock), options).unwrap();
            let data = noise(seed, 20_000);
            let cid = storage.store(data.clone(), small_chunks()).await.unwrap().root.cid;
            let read = async |leaf: u64| {
                let (from, to) = (leaf * 1000, (leaf * 1000 + 6000).min(20_000));
                let mut reader = storage.reader(&cid, ReadOptions::range(from, Some(to - from))).await.unwrap();
                let mut read = Vec::new();
                while let Some(bytes) = reader.next().await.unwrap() {
                    read.extend_from_slice(&bytes);
                }
                assert!(read == data[from as usize..to as usize], "seed {seed}, leaf {leaf}");
            };
            futures_util::future::join_all((0..8).map(|leaf| read((leaf * 7 + seed) % 19))).await;
        }
    });
}

#[test]
fn a_full_store_fails_typed_and_keeps_what_it_has() {
    block_on(async {
        let (_, storage) = in_memory();
        storage.configure_cache(CacheConfig { disk_bytes: Some(5_000_000), ..CacheConfig::default() }).unwrap();
        let pinned = StoreOptions { pin: true, ..StoreOptions::default() };
        let kept = storage.store(noise(10, 4_000_000), pinned).await.unwrap().root.cid;
        for size in [1_500_000, 40_000_000] {
            match storage.store(noise(11, size), StoreOptions::default()).await {
                Err(Error::QuotaExceeded { limit: 5_000_000, needed }) => assert!(needed > 1_000_000),
                other => panic!("{other:?}"),
            }
        }
        let usage = storage.backend_status().await.usage;
        assert_eq!(usage.roots, 1);
        assert!(usage.bytes < 4_001_000, "{} bytes", usage.bytes);
        storage.store(noise(10, 4_000_000), StoreOptions::default()).await.expect("what is held takes no room");
        assert_eq!(storage.retrieve(&kept).await.unwrap().len(), 4_000_000);
    });
}

#[test]
fn many_files_are_stored_together_or_not_at_all() {
    block_on(async {
        let (_, storage) = in_memory();
        let named = |name: &str| StoreOptions { filename: Some(name.into()), ..StoreOptions::default() };
        let v0 = StoreOptions { layout: Some(Profile::UnixfsV0_2015.into()), ..named("v0") };
        let files = vec![
            (Bytes::from("hello world"), named("a")),
            ("hello world".into(), v0),
            (noise(12, 3_000_000).into(), named("large")),
            (Bytes::new(), named("empty")),
        ];
        let stored = storage.store_many(files).await.unwrap();
        let alone = storage.store(noise(12, 3_000_000), StoreOptions::default()).await.unwrap();
        let cids: Vec<String> = stored.iter().map(|stored| stored.root.cid.to_string()).collect();
        assert_eq!(cids[0], "bafkreifzjut3te2nhyekklss27nh3k72ysco7y32koao5eei66wof36n5e");
        assert_eq!(cids[1], "Qmf412jQZiuVUtdgnB36FXFX7xg5V6KEbSJ4dpQuhkLyfD");
        assert_eq!(cids[2], alone.root.cid.to_string());
        assert_eq!(storage.retrieve(&stored[3].root.cid).await.unwrap(), "");
        let bad = StoreOptions { filename: Some("x".repeat(5000)), ..StoreOptions::default() };
        let outcome = storage.store_many(vec![("never".into(), named("n")), ("bad".into(), bad)]).await;
        assert!(matches!(outcome, Err(Error::InvalidArgument(_))));
        assert_eq!(storage.backend_status().await.usage.roots, 4);
    });
}

#[test]
fn impossible_layouts_are_refused() {
    let v0 = Layout::from(Profile::UnixfsV0_2015);
    let v1 = Layout::default();
    let wrong = [
        Layout { chunk_bytes: 0, ..v1 },
        Layout { chunk_bytes: 2 * 1024 * 1024, ..v1 },
        Layout { width: 1, ..v1 },
        Layout { width: 8193, ..v1 },
        Layout { raw_leaves: true, ..v0 },
        Layout { hash: HashFunction::Blake3, ..v0 },
    ];
    let (_, storage) = in_memory();
    for layout in wrong {
        let options = StoreOptions { layout: Some(layout), ..StoreOptions::default() };
        assert!(matches!(storage.writer(options), Err(Error::InvalidArgument(_))), "{layout:?}");
    }
}

#[test]
fn the_memory_cache_answers_without_the_tier() {
    block_on(async {
        let storage = over(Rc::new(MemoryTier::new()), OpenOptions::default());
        let cid = storage.store("cached", StoreOptions::default()).await.unwrap().root.cid;
        for _ in 0..3 {
            storage.retrieve(&cid).await.unwrap();
        }
        let status = storage.backend_status().await;
        assert_eq!((status.memory_misses, status.memory_hits, status.memory_bytes), (1, 2, 6));
        storage.delete(&cid, false).await.unwrap();
        assert!(storage.retrieve(&cid).await.is_err(), "the cache outlived the deletion");
    });
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    /// However a file is fed and wherever it is read, it has one CID and the same bytes.
    #[test]
    fn files_are_what_was_stored(
        size in 0usize..60_000,
        chunk in 1usize..5_000,
        width in 2usize..9,
        raw: bool,
        pieces in prop::collection::vec(1usize..20_000, 1..6),
        ranges in prop::collection::vec((0u64..70_000, 0u64..70_000), 1..6),
    ) {
        block_on(async {
            let folder = tempfile::tempdir().unwrap();
            let files = Rc::new(NativeDirectory::open(folder.path()).unwrap());
            let tier = Rc::new(PackTier::open(files, Rc::new(CpuHasher), Rc::new(SystemClock)).await.unwrap());
            let storage = over(tier, OpenOptions::default());
            let layout = Layout { chunk_bytes: chunk, width, raw_leaves: raw, ..Layout::default() };
            let options = StoreOptions { layout: Some(layout), ..StoreOptions::default() };
            let data = noise(size as u64, size);
            let mut writer = storage.writer(options.clone()).unwrap();
            let mut rest = Bytes::from(data.clone());
            for piece in pieces.iter().cycle() {
                if rest.is_empty() { break }
                writer.write(rest.split_to((*piece).min(rest.len()))).await.unwrap();
            }
            let fed = writer.finish().await.unwrap();
            let whole = storage.store(data.clone(), options).await.unwrap();
            assert_eq!(fed.root.cid, whole.root.cid);
            for (offset, length) in ranges {
                let mut reader = storage.reader(&fed.root.cid, ReadOptions::range(offset, Some(length))).await.unwrap();
                let mut read = Vec::new();
                while let Some(bytes) = reader.next().await.unwrap() {
                    read.extend_from_slice(&bytes);
                }
                let from = (offset as usize).min(size);
                assert_eq!(read, data[from..(from + length as usize).min(size)]);
            }
        });
    }
}

/// What is deleted while it is read does not come back as a root without its blocks.
#[test]
fn what_is_deleted_while_it_is_read_is_not_pinned_in_parts() {
    block_on(async {
        let (_, storage) = in_memory();
        let stored = storage.store(noise(31, 5000), StoreOptions::default()).await.unwrap().root.cid;
        let mut reader = storage.reader(&stored, ReadOptions { pin: true, ..ReadOptions::default() }).await.unwrap();
        storage.delete(&stored, false).await.unwrap();
        while let Ok(Some(_)) = reader.next().await {}
        assert!(storage.root(&stored).await.is_err());
        // Nothing stands in the way of later sweeps.
        let other = storage.store(noise(32, 5000), StoreOptions::default()).await.unwrap().root.cid;
        storage.delete(&other, false).await.unwrap();
        assert!(!storage.exists(&other).await.unwrap());
    });
}

/// Polls a future as often as it is woken; none if nobody wakes it any more.
fn woken<T>(future: impl Future<Output = T>) -> Option<T> {
    #[derive(Default)]
    struct Woken(AtomicBool);

    impl Wake for Woken {
        fn wake(self: Arc<Self>) {
            self.0.store(true, Ordering::Relaxed);
        }
    }

    let woken = Arc::new(Woken(AtomicBool::new(true)));
    let waker = woken.clone().into();
    let mut future = pin!(future);
    while woken.0.swap(false, Ordering::Relaxed) {
        if let Poll::Ready(done) = future.as_mut().poll(&mut Context::from_waker(&waker)) {
            return Some(done);
        }
    }
    None
}

/// Neither one that deletes and is not polled any more, nor one that waits for it and is not.
#[test]
fn a_caller_that_stands_still_holds_nobody_up() {
    for seed in 1..20 {
        let options = OpenOptions { memory_bytes: 0, ..OpenOptions::default() };
        let hasher = Rc::new(Patient(std::cell::Cell::new(seed)));
        let storage = Storage::new(Rc::new(MemoryTier::new()), hasher, Rc::new(SystemClock), options).unwrap();
        let store = async |seed| storage.store(noise(seed, 20_000), small_chunks()).await.unwrap().root.cid;
        let (one, two, three) = block_on(async { (store(41).await, store(42).await, store(43).await) });
        let mut deleting = Box::pin(storage.delete(&one, false));
        for _ in 0..seed {
            assert!(block_on(poll_immediate(&mut deleting)).is_none(), "it takes longer than this");
        }
        let mut waiting: Vec<_> = (0..3).map(|_| Box::pin(store(44))).collect();
        for waiting in &mut waiting {
            _ = block_on(poll_immediate(waiting));
        }
        match seed % 2 {
            0 => assert!(woken(join(storage.delete(&two, false), store(45))).expect("woken").0.is_ok()),
            _ => assert!(woken(join(store(45), &mut deleting)).expect("woken").1.is_ok()),
        }
        woken(storage.pin(&three, PinOptions::default())).expect("woken").unwrap();
        woken(storage.unpin(&three)).expect("woken").unwrap();
        assert!(woken(storage.root(&one)).unwrap().is_err(), "it is deleted");
    }
}
