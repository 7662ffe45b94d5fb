//! Making room: who goes when the limit is near or the medium is full, in which order, and who never does.

use std::{
    cell::{Cell, RefCell},
    collections::HashMap,
    rc::Rc,
};

use bytes::Bytes;
use futures_executor::block_on;
use ipfs_kit_storage::{
    Cid, Error, OpenOptions, PinOptions, Storage, StoreOptions,
    block::{Block, Codec},
    hash::{CpuHasher, HashFunction},
    platform::Clock,
    policy::Policy,
    storage::{CacheConfig, CollectOptions, Evicted, EvictionReason, ReadOptions},
    tier::{MemoryTier, conformance::noise},
    unixfs::Layout,
};

const FILE: usize = 100_000;

/// Ticks with each look at it, so that whatever happens later has a later time.
#[derive(Default)]
struct Ticking(Cell<u64>);

impl Clock for Ticking {
    fn now(&self) -> u64 {
        self.0.set(self.0.get() + 1);
        self.0.get()
    }
}

fn over(tier: &Rc<MemoryTier>, clock: &Rc<Ticking>) -> (Storage, Rc<RefCell<Vec<Evicted>>>) {
    let options = OpenOptions { memory_bytes: 0, ..OpenOptions::default() };
    let storage = Storage::new(tier.clone(), Rc::new(CpuHasher), clock.clone(), options).unwrap();
    let told = Rc::new(RefCell::new(Vec::new()));
    let listener = told.clone();
    storage.on_evicted(Rc::new(move |evicted| listener.borrow_mut().push(evicted.clone())));
    (storage, told)
}

fn limited(files: usize, policy: Policy) -> (Storage, Rc<RefCell<Vec<Evicted>>>) {
    let (storage, told) = over(&Rc::new(MemoryTier::new()), &Rc::default());
    limit(&storage, files, policy);
    (storage, told)
}

/// Room for so many files and half a one.
fn limit(storage: &Storage, files: usize, policy: Policy) {
    let config = CacheConfig {
        disk_bytes: Some((files * FILE + FILE / 2) as u64),
        policy: Some(policy),
        high_water: Some(100),
        low_water: Some(100),
        ..CacheConfig::default()
    };
    storage.configure_cache(config).unwrap();
}

async fn store(storage: &Storage, seed: u64) -> Cid {
    storage.store(noise(seed, FILE), StoreOptions::default()).await.unwrap().root.cid
}

async fn held(storage: &Storage, cids: &[Cid]) -> Vec<bool> {
    let mut held = Vec::new();
    for cid in cids {
        held.push(storage.root(cid).await.is_ok());
    }
    held
}

#[test]
fn the_least_recently_used_root_makes_room_and_it_is_told() {
    block_on(async {
        let (storage, told) = limited(3, Policy::Lru);
        let mut files = vec![store(&storage, 1).await, store(&storage, 2).await, store(&storage, 3).await];
        storage.retrieve(&files[0]).await.unwrap();
        files.push(store(&storage, 4).await);
        assert_eq!(held(&storage, &files).await, [true, false, true, true]);
        let told = told.take();
        assert_eq!(told.len(), 1);
        assert_eq!(
            (told[0].cid.clone(), told[0].size, told[0].reason),
            (files[1].clone(), FILE as u64, EvictionReason::Limit)
        );
        let status = storage.backend_status().await;
        assert_eq!((status.evictions.roots, status.evictions.bytes), (1, FILE as u64));
        assert_eq!(status.usage.bytes, 3 * FILE as u64);
    });
}

#[test]
fn room_is_made_from_the_high_mark_down_to_the_low_one() {
    block_on(async {
        let (storage, told) = limited(10, Policy::Lru);
        let config = CacheConfig { high_water: Some(80), low_water: Some(50), ..CacheConfig::default() };
        storage.configure_cache(config).unwrap();
        for seed in 0..8 {
            store(&storage, seed).await;
        }
        assert!(told.borrow().is_empty(), "8 of 10.5 are below the high mark of 8.4");
        store(&storage, 8).await;
        assert_eq!(storage.backend_status().await.usage.bytes, 5 * FILE as u64, "the low mark is at 5.25");
        assert_eq!(told.borrow().len(), 4);
        for wrong in [(0, 0), (101, 5), (50, 51)] {
            let config = CacheConfig { high_water: Some(wrong.0), low_water: Some(wrong.1), ..CacheConfig::default() };
            assert!(matches!(storage.configure_cache(config), Err(Error::InvalidArgument(_))));
        }
    });
}

#[test]
fn what_is_pinned_stays_and_alone_fills_the_store() {
    block_on(async {
        let (storage, told) = limited(3, Policy::Lru);
        let pinned = StoreOptions { pin: true, ..StoreOptions::default() };
        let one = storage.store(noise(1, FILE), pinned).await.unwrap().root.cid;
        let two = store(&storage, 2).await;
        storage.pin(&two, PinOptions::default()).await.unwrap();
        for seed in 3..9 {
            store(&storage, seed).await;
        }
        let last = store(&storage, 9).await;
        assert_eq!(held(&storage, &[one.clone(), two.clone(), last.clone()]).await, [true, true, true]);
        assert_eq!(told.borrow().len(), 6);
        storage.pin(&last, PinOptions::default()).await.unwrap();
        match storage.store(noise(10, FILE), StoreOptions::default()).await {
            Err(Error::QuotaExceeded { needed, limit }) => assert_eq!((needed, limit), (FILE as u64, 350_000)),
            other => panic!("{other:?}"),
        }
        for (cid, seed) in [(one.clone(), 1), (two.clone(), 2), (last.clone(), 9)] {
            assert_eq!(storage.retrieve(&cid).await.unwrap(), noise(seed, FILE));
        }
        storage.unpin(&one).await.unwrap();
        store(&storage, 10).await;
        assert_eq!(held(&storage, &[one, two, last]).await, [false, true, true]);
    });
}

/// Each policy would choose another file than the others here.
#[test]
fn each_policy_has_its_order_and_keeps_it_over_a_restart() {
    block_on(async {
        // Stored 0, 1, 2; 0 used twice, then 1 once.
        for (policy, goes) in [(Policy::Lru, 2), (Policy::Lfu, 2), (Policy::Arc, 2)] {
            order(policy, &[0, 0, 1], goes).await;
        }
        // The last used one is the least used as well, for all but LRU.
        order(Policy::Lru, &[1, 1, 0, 0, 2], 1).await;
        order(Policy::Lfu, &[1, 1, 0, 0, 2], 2).await;
    });
}

async fn order(policy: Policy, uses: &[usize], goes: usize) {
    for restarts in [false, true] {
        let (tier, clock) = (Rc::new(MemoryTier::new()), Rc::new(Ticking::default()));
        let (mut storage, mut told) = over(&tier, &clock);
        limit(&storage, 3, policy);
        let files = [store(&storage, 1).await, store(&storage, 2).await, store(&storage, 3).await];
        for at in uses {
            storage.retrieve(&files[*at]).await.unwrap();
            if restarts {
                storage.flush().await.unwrap();
                (storage, told) = over(&tier, &clock);
                limit(&storage, 3, policy);
            }
        }
        store(&storage, 4).await;
        let gone: Vec<Cid> = told.borrow().iter().map(|evicted| evicted.cid.clone()).collect();
        assert_eq!(gone, [files[goes].clone()], "{policy}, {uses:?}, restarts: {restarts}");
    }
}

#[test]
fn a_root_that_is_being_read_is_not_evicted() {
    block_on(async {
        let (storage, _) = limited(3, Policy::Lru);
        let files = [store(&storage, 1).await, store(&storage, 2).await, store(&storage, 3).await];
        let reader = storage.reader(files[0].clone(), ReadOptions::default()).await.unwrap();
        for seed in 4..10 {
            store(&storage, seed).await;
        }
        assert!(storage.root(&files[0]).await.is_ok());
        drop(reader);
        for seed in 10..14 {
            store(&storage, seed).await;
        }
        assert!(storage.root(&files[0]).await.is_err());
    });
}

fn chunked() -> StoreOptions {
    StoreOptions { layout: Some(Layout { chunk_bytes: 10_000, ..Layout::default() }), ..StoreOptions::default() }
}

#[test]
fn what_roots_share_stays_with_the_last_of_them() {
    block_on(async {
        let (storage, told) = limited(3, Policy::Lru);
        let shared = noise(1, FILE);
        let longer = [shared.clone(), noise(2, FILE)].concat();
        storage.store(shared, chunked()).await.unwrap();
        let second = storage.store(longer.clone(), chunked()).await.unwrap().root.cid;
        store(&storage, 3).await;
        assert_eq!(told.borrow().len(), 0, "they share half");
        storage.retrieve(&second).await.unwrap();
        let third = store(&storage, 4).await;
        assert_eq!(held(&storage, &[second.clone(), third]).await, [true, true]);
        assert_eq!(storage.retrieve(&second).await.unwrap(), longer);
    });
}

#[test]
fn what_nothing_reaches_goes_before_what_somebody_stored() {
    block_on(async {
        let (storage, told) = limited(3, Policy::Lru);
        let file = store(&storage, 1).await;
        let made = Block::make(
            &CpuHasher,
            cid::Version::V1,
            Codec::Raw,
            HashFunction::Sha2_256,
            vec![Bytes::from(noise(2, FILE)), Bytes::from(noise(3, FILE))],
        );
        let blocks: Vec<(Cid, Bytes)> =
            made.await.unwrap().into_iter().map(|block| (block.cid().clone(), block.into_bytes())).collect();
        storage.put_blocks(blocks).await.unwrap();
        let last = store(&storage, 4).await;
        assert_eq!(held(&storage, &[file, last]).await, [true, true]);
        assert!(told.borrow().is_empty());
        assert_eq!(storage.backend_status().await.usage.blocks, 2);
    });
}

#[test]
fn a_full_medium_is_met_by_evicting_and_trying_once_more() {
    block_on(async {
        let tier = Rc::new(MemoryTier::new());
        let (storage, told) = over(&tier, &Rc::default());
        let pinned = StoreOptions { pin: true, ..StoreOptions::default() };
        let kept = storage.store(noise(1, FILE), pinned).await.unwrap().root.cid;
        let old = store(&storage, 2).await;
        tier.has_room_for(2 * FILE as u64);
        let new = store(&storage, 3).await;
        assert_eq!(held(&storage, &[kept.clone(), old, new]).await, [true, false, true]);
        assert_eq!(told.borrow().iter().map(|told| told.reason).collect::<Vec<_>>(), [EvictionReason::MediumFull]);
        // Many at once share the room that is made.
        let files = (4..8).map(|seed| (Bytes::from(noise(seed, FILE / 10)), StoreOptions::default())).collect();
        storage.store_many(files).await.unwrap();
        for stored in storage.roots(None, 10).await.unwrap().files {
            storage.pin(&stored.root.cid, PinOptions::default()).await.unwrap();
        }
        let refused = storage.store(noise(9, FILE), StoreOptions::default()).await;
        assert!(matches!(refused, Err(Error::QuotaExceeded { limit: 0, .. })), "{refused:?}");
        assert_eq!(storage.retrieve(&kept).await.unwrap(), noise(1, FILE));
        assert_eq!(storage.backend_status().await.usage.roots, 5);
    });
}

/// A file larger than the limit takes no pinned one along, nor anything of itself.
#[test]
fn what_can_never_fit_fails_and_leaves_nothing() {
    block_on(async {
        let (storage, _) = limited(60, Policy::Lru);
        let pinned = StoreOptions { pin: true, ..StoreOptions::default() };
        let kept = storage.store(noise(1, FILE), pinned).await.unwrap().root.cid;
        store(&storage, 2).await;
        let large = storage.store(noise(3, 80 * FILE), StoreOptions::default()).await;
        assert!(matches!(large, Err(Error::QuotaExceeded { limit: 6_050_000, .. })), "{large:?}");
        let usage = storage.backend_status().await.usage;
        assert!(usage.bytes <= 2 * FILE as u64, "{} bytes", usage.bytes);
        assert_eq!(storage.retrieve(&kept).await.unwrap(), noise(1, FILE));
    });
}

/// Whatever happens under a limit: what is pinned is there, what is listed is whole, and the limit holds.
#[test]
fn random_histories_under_a_limit() {
    block_on(async {
        for seed in 1..=60u64 {
            let policy = Policy::ALL[seed as usize % 3];
            history(seed, policy).await;
        }
    });
}

async fn history(seed: u64, policy: Policy) {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut dice = move |sides: u64| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state % sides
    };
    let limit = 400_000u64;
    let (tier, clock) = (Rc::new(MemoryTier::new()), Rc::new(Ticking::default()));
    let open = || {
        let (storage, _) = over(&tier, &clock);
        let config = CacheConfig { disk_bytes: Some(limit), policy: Some(policy), ..CacheConfig::default() };
        storage.configure_cache(config).unwrap();
        storage
    };
    let source = noise(7, 300_000);
    let mut storage = open();
    let mut known: HashMap<Cid, (Vec<u8>, bool)> = HashMap::new();
    let some = |known: &HashMap<Cid, (Vec<u8>, bool)>, at: u64| {
        let mut cids: Vec<Cid> = known.keys().cloned().collect();
        cids.sort_by_key(|cid| cid.to_string());
        cids.get(at as usize % cids.len().max(1)).cloned()
    };
    for step in 0..120 {
        let context = || format!("seed {seed}, {policy}, step {step}");
        let any = some(&known, dice(1000));
        match (dice(10), any) {
            (0..=4, _) | (_, None) => {
                // Files overlap, so that they share blocks.
                let (from, length) = (dice(30) as usize * 5_000, 1 + dice(150_000) as usize);
                let data = source[from..from + length].to_vec();
                let pin = dice(6) == 0;
                let layout = Layout { chunk_bytes: 5_000, width: 8, ..Layout::default() };
                let options = StoreOptions { pin, layout: Some(layout), ..StoreOptions::default() };
                match storage.store(data.clone(), options).await {
                    Ok(stored) => {
                        let entry = known.entry(stored.root.cid).or_insert((data, false));
                        entry.1 |= pin;
                        assert_eq!(stored.pinned, entry.1, "{}", context());
                    }
                    Err(Error::QuotaExceeded { .. }) => {}
                    Err(error) => panic!("{}: {error}", context()),
                }
            }
            (5 | 6, Some(cid)) => match storage.retrieve(&cid).await {
                Ok(bytes) => assert_eq!(bytes, known[&cid].0, "{}", context()),
                Err(error) => assert!(!known[&cid].1, "{}: a pinned file: {error}", context()),
            },
            (7, Some(cid)) => {
                if storage.pin(&cid, PinOptions::default()).await.is_ok() {
                    known.get_mut(&cid).unwrap().1 = true;
                }
            }
            (8, Some(cid)) => {
                storage.unpin(&cid).await.ok();
                known.get_mut(&cid).unwrap().1 = false;
            }
            (_, Some(cid)) => match dice(3) {
                0 => {
                    let pinned = known[&cid].1;
                    if storage.delete(&cid, false).await.is_ok() {
                        assert!(!pinned, "{}", context());
                    }
                }
                1 => {
                    storage.flush().await.unwrap();
                    storage = open();
                }
                _ => _ = storage.collect(CollectOptions::default()).await.unwrap(),
            },
        }
        let usage = storage.backend_status().await.usage;
        assert!(usage.bytes <= limit, "{}: {} bytes", context(), usage.bytes);
    }
    for (cid, (data, pinned)) in &known {
        match storage.root(cid).await {
            Ok(stored) => {
                assert_eq!(stored.pinned, *pinned, "seed {seed}, {cid}");
                assert!(storage.retrieve(cid).await.unwrap() == *data, "seed {seed}, {cid}");
            }
            Err(_) => assert!(!pinned, "seed {seed}: {cid} was pinned, and is gone"),
        }
    }
    // Nothing is left of what is gone.
    storage.collect(CollectOptions::default()).await.unwrap();
    for stored in storage.roots(None, 1000).await.unwrap().files {
        storage.unpin(&stored.root.cid).await.unwrap();
        storage.delete(&stored.root.cid, false).await.unwrap();
    }
    assert_eq!(storage.backend_status().await.usage.blocks, 0, "seed {seed}");
}
