//! Names, through the facade: who may change them, and what they keep.

use std::{cell::Cell, rc::Rc};

use futures_executor::block_on;
use futures_util::future::join_all;
use ipfs_kit_storage::{
    Cid, Error, OpenOptions, PinOptions, Storage, StoreOptions,
    block::{self, Codec},
    hash::CpuHasher,
    platform::{
        Clock,
        native::{NativeDirectory, SystemClock},
    },
    storage::{CacheConfig, CollectOptions, Expected, MAX_NAME_BYTES, Report, VerifyOptions},
    tier::{MemoryTier, PinKind, conformance::noise, pack::PackTier},
    unixfs::Layout,
};
use tempfile::TempDir;

use crate::support::{Time, small, world};

const WET: CollectOptions = CollectOptions { dry_run: false };

/// Ticks so fast that a step of a collection ends as soon as it can.
#[derive(Default)]
struct Racing(Cell<u64>);

impl Clock for Racing {
    fn now(&self) -> u64 {
        self.0.set(self.0.get() + 1000);
        self.0.get()
    }
}

fn open() -> Storage {
    let tier = Rc::new(MemoryTier::new());
    Storage::new(tier, Rc::new(CpuHasher), Rc::new(Time::default()), OpenOptions::default()).unwrap()
}

async fn stored(storage: &Storage, seed: u64) -> Cid {
    storage.store(noise(seed, 50_000), small()).await.unwrap().root.cid
}

async fn blocks(storage: &Storage) -> u64 {
    storage.backend_status().await.usage.blocks
}

async fn verified(storage: &Storage) -> Report {
    storage.verify(VerifyOptions::default()).await.unwrap()
}

#[test]
fn names_are_set_read_listed_and_removed() {
    block_on(async {
        let world = world(0, OpenOptions::default());
        let storage = &world.storage;
        let (one, two) = (stored(storage, 1).await, stored(storage, 2).await);
        world.time.now.set(7);
        let set = storage.set_name("model/current", &one, Expected::Any).await.unwrap();
        assert_eq!((set.name.as_str(), set.cid.clone(), set.modified), ("model/current", one.clone(), 7));
        assert_eq!(storage.get_name("model/current").await.unwrap(), set);
        assert!(matches!(storage.get_name("model").await, Err(Error::NoEntry(name)) if name == "model"));
        for name in ["model/é", "model/a", "other"] {
            storage.set_name(name, &two, Expected::Absent).await.unwrap();
        }
        let listed = async |prefix: &str, after: Option<&str>, limit| {
            let page = storage.list_names(prefix, after, limit).await.unwrap();
            (page.names.into_iter().map(|named| named.name).collect::<Vec<_>>(), page.next)
        };
        assert_eq!(
            listed("", None, 9).await,
            (["model/a", "model/current", "model/é", "other"].map(String::from).into(), None)
        );
        let (first, next) = listed("model/", None, 2).await;
        assert_eq!(
            (first, next.as_deref()),
            (["model/a", "model/current"].map(String::from).into(), Some("model/current"))
        );
        assert_eq!(listed("model/", next.as_deref(), 2).await, (vec!["model/é".into()], None));
        assert!(matches!(storage.list_names("", None, 0).await, Err(Error::InvalidArgument(_))));
        storage.remove_name("model/a", Expected::Any).await.unwrap();
        assert!(matches!(storage.remove_name("model/a", Expected::Any).await, Err(Error::NoEntry(_))));
        assert_eq!(listed("model/a", None, 9).await, (vec![], None));
        for wrong in ["", "a\nb", &"n".repeat(MAX_NAME_BYTES + 1)] {
            assert!(matches!(storage.set_name(wrong, &one, Expected::Any).await, Err(Error::InvalidArgument(_))));
            assert!(matches!(storage.get_name(wrong).await, Err(Error::InvalidArgument(_))));
        }
        storage.set_name(&"n".repeat(MAX_NAME_BYTES), &one, Expected::Any).await.unwrap();
    });
}

#[test]
fn a_name_is_swapped_only_for_what_it_leads_to() {
    block_on(async {
        let storage = open();
        let (one, two) = (stored(&storage, 1).await, stored(&storage, 2).await);
        let conflict = |done: Result<_, Error>| match done {
            Err(Error::Conflict { name }) => assert_eq!(name, "n"),
            other => panic!("{other:?}"),
        };
        conflict(storage.set_name("n", &one, Expected::Cid(two.clone())).await.map(drop));
        storage.set_name("n", &one, Expected::Absent).await.unwrap();
        conflict(storage.set_name("n", &two, Expected::Absent).await.map(drop));
        conflict(storage.set_name("n", &two, Expected::Cid(two.clone())).await.map(drop));
        conflict(storage.remove_name("n", Expected::Cid(two.clone())).await);
        assert_eq!(storage.get_name("n").await.unwrap().cid, one);
        storage.set_name("n", &two, Expected::Cid(one.clone())).await.unwrap();
        storage.remove_name("n", Expected::Cid(two)).await.unwrap();
        // Of many who see the same, one wins.
        storage.set_name("n", &one, Expected::Any).await.unwrap();
        let others: Vec<Cid> = join_all((10..30).map(|seed| stored(&storage, seed))).await;
        let swapped = join_all(others.iter().map(|cid| storage.set_name("n", cid, Expected::Cid(one.clone())))).await;
        assert_eq!(swapped.iter().filter(|done| done.is_ok()).count(), 1);
        let winner = swapped.into_iter().flatten().next().unwrap();
        assert_eq!(storage.get_name("n").await.unwrap(), winner);
    });
}

/// Has the blocks of a file in a store, and no root.
async fn rootless(storage: &Storage, seed: u64) -> Cid {
    let source = open();
    let cid = stored(&source, seed).await;
    let mut blocks = Vec::new();
    for key in source.block_keys(None, 1000).await.unwrap() {
        // Whether it is a leaf or the root.
        let codec = if block::key(&cid) == Some(key) { Codec::DagPb } else { Codec::Raw };
        let cid = block::new_cid(cid.version(), codec, key);
        blocks.push((cid.clone(), source.get_block(&cid, true).await.unwrap()));
    }
    storage.put_blocks(blocks).await.unwrap();
    cid
}

#[test]
fn a_name_keeps_what_is_no_root_until_it_leads_elsewhere() {
    block_on(async {
        let storage = open();
        let one = rootless(&storage, 1).await;
        let held = blocks(&storage).await;
        storage.set_name("n", &one, Expected::Any).await.unwrap();
        assert_eq!(storage.collect(WET).await.unwrap().freed_blocks, 0);
        assert!(matches!(storage.delete_blocks(std::slice::from_ref(&one)).await, Err(Error::Denied(_))));
        assert_eq!(storage.retrieve(one.clone()).await.unwrap(), noise(1, 50_000));
        let report = storage.collect(WET).await.unwrap();
        assert_eq!((report.pinned, report.stored, report.freed_blocks), (0, held, 0));
        let two = rootless(&storage, 2).await;
        storage.set_name("n", &two, Expected::Cid(one)).await.unwrap();
        assert_eq!(storage.collect(WET).await.unwrap().freed_blocks, held);
        assert_eq!(storage.retrieve(two).await.unwrap(), noise(2, 50_000));
        storage.remove_name("n", Expected::Any).await.unwrap();
        storage.collect(WET).await.unwrap();
        assert_eq!(blocks(&storage).await, 0);
    });
}

#[test]
fn a_name_may_lead_to_what_is_not_held_and_stops_no_collection() {
    block_on(async {
        let storage = open();
        let elsewhere = stored(&open(), 1).await;
        storage.set_name("n", &elsewhere, Expected::Any).await.unwrap();
        let part = rootless(&storage, 2).await;
        let leaf = storage.store(noise(2, 50_000)[..10_000].to_vec(), StoreOptions::default()).await.unwrap().root.cid;
        storage.delete(&leaf, true).await.unwrap();
        storage.set_name("part", &part, Expected::Any).await.unwrap();
        rootless(&storage, 3).await;
        let report = storage.collect(WET).await.unwrap();
        assert!(report.obstacles.is_empty() && report.freed_blocks > 0);
        assert!(storage.exists(&part).await.unwrap());
        let report = verified(&storage).await;
        assert!(report.findings.is_empty(), "{:?}", report.findings);
        assert_eq!(report.unreached, Some(0), "a check walks what is named, too");
    });
}

#[test]
fn a_named_root_is_not_deleted_unless_that_is_forced() {
    block_on(async {
        let storage = open();
        let one = stored(&storage, 1).await;
        storage.set_name("first", &one, Expected::Any).await.unwrap();
        storage.set_name("second", &one, Expected::Any).await.unwrap();
        match storage.delete(&one, false).await {
            Err(Error::Denied(why)) => assert!(why.contains("\"first\""), "{why}"),
            other => panic!("{other:?}"),
        }
        assert_eq!(storage.retrieve(one.clone()).await.unwrap(), noise(1, 50_000));
        storage.delete(&one, true).await.unwrap();
        assert!(storage.list_names("", None, 9).await.unwrap().names.is_empty());
        assert_eq!(blocks(&storage).await, 0);
        // A file of which a name reaches only the blocks is no root after it, and stays.
        let one = stored(&storage, 1).await;
        let direct = PinOptions { kind: PinKind::Direct, ..PinOptions::default() };
        storage.pin(&one, direct).await.unwrap();
        storage.set_name("n", &one, Expected::Any).await.unwrap();
        assert!(verified(&storage).await.findings.is_empty(), "a direct pin is as large as its block");
    });
}

#[test]
fn a_named_root_is_not_evicted() {
    block_on(async {
        let storage = open();
        let named = stored(&storage, 1).await;
        storage.set_name("n", &named, Expected::Any).await.unwrap();
        let limit = CacheConfig { disk_bytes: Some(160_000), ..CacheConfig::default() };
        storage.configure_cache(limit).unwrap();
        for seed in 2..9 {
            stored(&storage, seed).await;
        }
        assert!(storage.backend_status().await.evictions.roots > 0);
        assert!(storage.root(&named).await.is_ok());
        assert_eq!(storage.retrieve(named.clone()).await.unwrap(), noise(1, 50_000));
        // What its old value alone reaches goes before roots do.
        storage.remove_name("n", Expected::Any).await.unwrap();
        for seed in 9..14 {
            stored(&storage, seed).await;
        }
        assert!(matches!(storage.root(&named).await, Err(Error::NotFound(_))));
    });
}

/// Set in the midst of a collection, a name keeps what the collection has not dropped by then.
#[test]
fn a_name_that_is_set_while_something_is_collected_keeps_all_or_leads_to_what_is_gone() {
    block_on(async {
        for steps in 0..12 {
            let (tier, clock) = (Rc::new(MemoryTier::new()), Rc::new(Racing::default()));
            let storage = Storage::new(tier, Rc::new(CpuHasher), clock, OpenOptions::default()).unwrap();
            stored(&storage, 5).await;
            let loose = rootless(&storage, 1).await;
            let mut collection = storage.collection(WET).unwrap();
            for _ in 0..steps {
                collection.step().await.unwrap();
            }
            let there = storage.exists(&loose).await.unwrap();
            storage.set_name("n", &loose, Expected::Any).await.unwrap();
            while collection.step().await.unwrap().is_some() {}
            match there {
                true => assert_eq!(storage.retrieve(loose).await.unwrap(), noise(1, 50_000), "after {steps} steps"),
                false => assert!(steps > 0),
            }
        }
    });
}

#[test]
fn names_survive_reopening() {
    block_on(async {
        let folder = TempDir::new().unwrap();
        let open = async || {
            let directory = Rc::new(NativeDirectory::open(folder.path()).unwrap());
            let tier = PackTier::open(directory, Rc::new(CpuHasher), Rc::new(SystemClock)).await.unwrap();
            Storage::new(Rc::new(tier), Rc::new(CpuHasher), Rc::new(SystemClock), OpenOptions::default()).unwrap()
        };
        let storage = open().await;
        let options =
            StoreOptions { layout: Some(Layout { width: 4, chunk_bytes: 1000, ..Layout::default() }), ..small() };
        let cid = storage.store(noise(1, 50_000), options).await.unwrap().root.cid;
        let set = storage.set_name("kept", &cid, Expected::Any).await.unwrap();
        drop(storage);
        let storage = open().await;
        assert_eq!(storage.get_name("kept").await.unwrap(), set);
        assert!(matches!(storage.set_name("kept", &cid, Expected::Absent).await, Err(Error::Conflict { .. })));
        assert_eq!(storage.collect(WET).await.unwrap().freed_blocks, 0);
    });
}
