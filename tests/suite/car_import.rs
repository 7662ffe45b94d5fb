//! Archives into the store: what is proven stays, what is damaged is told, what broke off goes on.

use std::rc::Rc;

use bytes::Bytes;
use futures_executor::block_on;
use ipfs_kit_storage::{
    Block, Cid, Error, OpenOptions, PinOptions, Storage,
    block::{self, Codec},
    car::{self, CarDecoder, Item},
    hash::{CpuHasher, HashFunction},
    platform::native::SystemClock,
    storage::{CarImport, CarImportOptions, CollectOptions},
    tier::{MemoryTier, Tier, conformance::noise},
};
use proptest::prelude::*;

fn load(name: &str) -> Vec<u8> {
    std::fs::read(format!("{}/tests/vectors/car/{name}", env!("CARGO_MANIFEST_DIR"))).unwrap()
}

fn over(tier: &Rc<MemoryTier>) -> Storage {
    Storage::new(tier.clone(), Rc::new(CpuHasher), Rc::new(SystemClock), OpenOptions::default()).unwrap()
}

fn fresh() -> (Rc<MemoryTier>, Storage) {
    let tier = Rc::new(MemoryTier::new());
    (tier.clone(), over(&tier))
}

async fn import(storage: &Storage, archive: &[u8], piece: usize, pin: bool) -> Result<CarImport, Error> {
    let mut importer = storage.car_importer(CarImportOptions { pin, ..CarImportOptions::default() }).await?;
    for piece in archive.chunks(piece) {
        importer.write(Bytes::copy_from_slice(piece)).await?;
    }
    importer.finish().await
}

async fn held(tier: &MemoryTier) -> (u64, u64, u64) {
    let usage = tier.usage().await.unwrap();
    (usage.blocks, usage.roots, usage.pinned)
}

/// The CIDs in an archive and where their sections begin.
fn sections(archive: &[u8]) -> Vec<(Cid, u64)> {
    let mut decoder = CarDecoder::new();
    decoder.push(archive);
    let (mut found, mut at) = (Vec::new(), 0);
    while let Ok(Some(item)) = decoder.next_item() {
        if let Item::Block(cid, _) = item {
            found.push((cid, at));
        }
        at = decoder.place().offset;
    }
    found
}

const GOOD: [&str; 4] = ["dir3-v1.car", "file1048577-chunk1024-v1.car", "many5000-v1.car", "carv2-basic.car"];

#[test]
fn what_others_made_is_imported() {
    for name in GOOD {
        for (piece, pin) in [(1000, false), (1 << 22, true)] {
            block_on(async {
                let (tier, storage) = fresh();
                let archive = load(name);
                let report = import(&storage, &archive, piece, pin).await.unwrap();
                let root = &report.roots[0];
                assert!(root.whole, "{name}");
                assert_eq!(root.pinned, pin);
                assert_eq!((report.roots.len(), report.blocks), (1, sections(&archive).len() as u64));
                assert_eq!(held(&tier).await, (report.blocks, 1, u64::from(pin)), "{name}");
                assert_eq!(storage.root(&root.cid).await.unwrap().pinned, pin);
                let again = import(&storage, &archive, piece, false).await.unwrap();
                assert_eq!(again.roots[0].pinned, pin, "importing again takes no pin away");
                assert_eq!(held(&tier).await, (report.blocks, 1, u64::from(pin)));
                storage.delete(&root.cid, true).await.unwrap();
                assert_eq!(held(&tier).await, (0, 0, 0), "the root reaches all of it");
            });
        }
    }
}

#[test]
fn damage_is_told_by_its_place_and_leaves_nothing() {
    let (large, _) = large();
    block_on(async {
        let (tier, storage) = fresh();
        let good = load("dir3-v1.car");
        let sections = sections(&good);
        for cut in [0, 30, 700, good.len() - 1] {
            let error = import(&storage, &good[..cut], 4096, true).await.unwrap_err();
            let begun = sections.iter().rev().find(|(_, start)| *start < cut as u64).map_or(0, |(_, start)| *start);
            let place = format!("at byte {begun} of it");
            assert!(matches!(&error, Error::Corrupt { cid: None, detail } if detail.contains(&place)), "{error}");
            assert_eq!(held(&tier).await, (0, 0, 0), "cut off at {cut}");
        }
        for number in [0, sections.len() / 2, sections.len() - 1] {
            let (cid, start) = sections[number].clone();
            let mut bad = good.clone();
            // Behind the prefix and the CID.
            bad[start as usize + 40] ^= 1;
            assert_eq!(import(&storage, &bad, 4096, true).await, Err(Error::Integrity(cid)));
            assert_eq!(held(&tier).await, (0, 0, 0), "block {number} is wrong");
        }
        let padded = [good.as_slice(), &[0; 9]].concat();
        let error = import(&storage, &padded, 4096, true).await.unwrap_err();
        assert!(error.to_string().contains(&format!("at byte {} of", good.len())), "{error}");
        assert!(matches!(
            import(&storage, &load("sample-corrupt-pragma.car"), 4096, false).await,
            Err(Error::Corrupt { .. })
        ));
        let unknown = import(&storage, &load("sample-v1.car"), 4096, false).await.unwrap_err();
        assert!(matches!(&unknown, Error::Unsupported(problem) if problem.contains("0xb220")), "{unknown}");
        assert_eq!(held(&tier).await, (0, 0, 0));
        // What others had stored stays when an archive that has it too fails.
        import(&storage, &good, 4096, false).await.unwrap();
        let before = held(&tier).await;
        import(&storage, &good[..good.len() - 1], 4096, false).await.unwrap_err();
        assert_eq!(held(&tier).await, before);
        // Whoever lets go of it, or gives it up, leaves nothing either.
        let (tier, storage) = fresh();
        let mut importer = storage.car_importer(CarImportOptions::default()).await.unwrap();
        importer.write(large.into()).await.unwrap();
        importer.abort().await.unwrap();
        assert_eq!(importer.write(Bytes::new()).await, Err(Error::Cancelled));
        assert_eq!(held(&tier).await, (0, 0, 0));
    });
}

#[test]
fn a_root_that_is_not_whole_is_no_stored_root() {
    block_on(async {
        let good = load("dir3-v1.car");
        let last = sections(&good).last().unwrap().1 as usize;
        let (tier, storage) = fresh();
        let report = import(&storage, &good[..last], 4096, false).await.unwrap();
        assert!(!report.roots[0].whole && !report.roots[0].pinned);
        assert_eq!(held(&tier).await, (report.blocks, 0, 0));
        let report = import(&storage, &good[..last], 4096, true).await.unwrap();
        assert!(!report.roots[0].whole && report.roots[0].pinned);
        assert!(storage.pins(None, 10).await.unwrap().pins[0].pending);
        storage.collect(CollectOptions::default()).await.unwrap();
        assert_eq!(held(&tier).await, (report.blocks, 0, 1), "the pending pin keeps it");
        let report = import(&storage, &good, 4096, true).await.unwrap();
        assert!(report.roots[0].whole && !storage.pins(None, 10).await.unwrap().pins[0].pending);
        // A pin with a name is none of its business.
        let options = PinOptions { name: Some("mine".into()), ..PinOptions::default() };
        storage.pin(&report.roots[0].cid, options).await.unwrap();
        import(&storage, &good, 4096, true).await.unwrap();
        assert_eq!(storage.pins(None, 10).await.unwrap().pins[0].name.as_deref(), Some("mine"));
        // An archive without roots, and one whose root carries itself.
        let (tier, storage) = fresh();
        let inline = block::parse("bafkqaaa").unwrap();
        let block = &car::section_head(&inline, 0);
        let report =
            import(&storage, &[car::header(&[inline.clone(), inline]), block.clone()].concat(), 7, true).await.unwrap();
        assert_eq!((report.roots.len(), report.roots[0].whole, report.blocks), (1, true, 1));
        let report = import(&storage, &car::header(&[]), 7, true).await.unwrap();
        assert_eq!((report.roots.len(), report.blocks), (0, 0));
        assert_eq!(held(&tier).await, (0, 0, 0));
    });
}

/// An archive of a file of 40 MiB, with the root first, and the root.
fn large() -> (Vec<u8>, Cid) {
    block_on(async {
        let (tier, storage) = fresh();
        let root = storage.store(noise(5, 40 << 20), Default::default()).await.unwrap().root.cid;
        let mut blocks = Vec::new();
        let mut stack = vec![root.clone()];
        while let Some(cid) = stack.pop() {
            let held = tier.get(&[block::key(&cid).unwrap()]).await.unwrap().remove(0).unwrap();
            let proven = Block::verify(&CpuHasher, vec![(cid, held.bytes)]).await.unwrap().remove(0).unwrap();
            stack.extend(ipfs_kit_storage::dag::links(&proven).unwrap().into_iter().rev());
            blocks.push(proven);
        }
        (car::encode(&root, &blocks).to_vec(), root)
    })
}

fn resumable(pin: bool) -> CarImportOptions {
    CarImportOptions { pin, resume: Some("the large one".into()) }
}

#[test]
fn one_that_was_killed_goes_on_where_it_was() {
    let (archive, root) = large();
    block_on(async {
        let (tier, storage) = fresh();
        import(&storage, &archive, 1 << 20, false).await.unwrap();
        let (all, ..) = held(&tier).await;
        for pin in [false, true] {
            let (tier, _) = fresh();
            let mut positions = vec![0];
            // Each life feeds some more, and is killed: the store is dropped as it is, and opened again over the same tier.
            for megabytes in [1, 3, 19, 23, 30, 100] {
                let storage = over(&tier);
                let mut importer = storage.car_importer(resumable(pin)).await.unwrap();
                let from = importer.position() as usize;
                assert!(from >= *positions.last().unwrap());
                positions.push(from);
                let rest = &archive[from..];
                for piece in rest[..rest.len().min(megabytes << 20)].chunks(700_001) {
                    importer.write(Bytes::copy_from_slice(piece)).await.unwrap();
                }
                if megabytes == 100 {
                    let report = importer.finish().await.unwrap();
                    assert_eq!((report.blocks, report.bytes > 40 << 20), (all, true));
                    assert!(report.roots[0].cid == root && report.roots[0].whole && report.roots[0].pinned == pin);
                    break;
                }
                let durable = importer.position();
                std::mem::forget(importer);
                // What has come is not collected meanwhile.
                let other = over(&tier);
                other.collect(CollectOptions::default()).await.unwrap();
                let blocks = sections(&archive).iter().filter(|(_, start)| *start < durable).count() as u64;
                assert!(held(&tier).await.0 >= blocks, "after {megabytes} MiB");
            }
            assert!(positions.last().unwrap() > &(20 << 20), "{positions:?}");
            assert_eq!(held(&tier).await, (all, 1, u64::from(pin)));
            let storage = over(&tier);
            assert_eq!(storage.car_importer(resumable(pin)).await.unwrap().position(), 0, "no note is left");
            assert_eq!(storage.retrieve(&root).await.unwrap(), noise(5, 40 << 20));
        }
    });
}

#[test]
fn one_that_can_be_resumed_stops_at_damage_or_is_given_up() {
    let (archive, root) = large();
    block_on(async {
        let (tier, storage) = fresh();
        let mut importer = storage.car_importer(resumable(false)).await.unwrap();
        let cut = 35 << 20;
        importer.write(Bytes::copy_from_slice(&archive[..cut])).await.unwrap();
        let begun = sections(&archive).iter().rev().find(|(_, start)| *start < cut as u64).unwrap().1;
        let error = importer.finish().await.unwrap_err();
        assert!(error.to_string().contains(&format!("at byte {begun} of")), "{error}");
        let mut importer = storage.car_importer(resumable(false)).await.unwrap();
        assert_eq!(importer.position(), begun, "it goes on at the damage");
        let pins = storage.pins(None, 10).await.unwrap().pins;
        assert!(pins[0].cid == root && pins[0].pending, "{pins:?}");
        importer.abort().await.unwrap();
        assert_eq!(held(&tier).await, (0, 0, 0), "nothing stays of it");
        assert_eq!(storage.car_importer(resumable(false)).await.unwrap().position(), 0);
        // A wrong block: what came before in whole steps stays.
        let mut bad = archive.clone();
        let (wrong, start) = sections(&archive)[37].clone();
        bad[start as usize + 100] ^= 0x40;
        let mut importer = storage.car_importer(resumable(true)).await.unwrap();
        let mut fed = Ok(());
        for piece in bad.chunks(1 << 20) {
            fed = importer.write(Bytes::copy_from_slice(piece)).await;
            if fed.is_err() {
                break;
            }
        }
        let done = match fed {
            Ok(()) => importer.finish().await.map(drop),
            failed => failed,
        };
        assert_eq!(done, Err(Error::Integrity(wrong)));
        let mut importer = storage.car_importer(resumable(true)).await.unwrap();
        let from = importer.position() as usize;
        assert!(from > 0 && from as u64 <= start);
        importer.write(Bytes::copy_from_slice(&archive[from..])).await.unwrap();
        assert!(importer.finish().await.unwrap().roots[0].whole);
        assert!(storage.car_importer(CarImportOptions { resume: Some(String::new()), pin: false }).await.is_err());
    });
}

#[test]
fn small_blocks_without_end_are_taken_in_bounded_batches() {
    block_on(async {
        let (tier, storage) = fresh();
        let parts = (0..30_000u32).map(|n| Bytes::copy_from_slice(&n.to_le_bytes())).collect();
        let made = Block::make(&CpuHasher, cid::Version::V1, Codec::Raw, HashFunction::Sha2_256, parts).await.unwrap();
        let archive = car::encode(made[0].cid(), &made);
        let report = import(&storage, &archive, 100_000, false).await.unwrap();
        assert_eq!((report.blocks, report.bytes), (30_000, 120_000));
        assert_eq!(held(&tier).await, (30_000, 1, 0));
    });
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    /// However it is cut, it is the same archive.
    #[test]
    fn pieces_of_any_size_give_the_same(sizes in prop::collection::vec(1usize..20_000, 1..60)) {
        block_on(async {
            let archive = load("file1048577-chunk1024-v1.car");
            let (tier, storage) = fresh();
            let mut importer = storage.car_importer(CarImportOptions::default()).await.unwrap();
            let (mut rest, mut sizes) = (archive.as_slice(), sizes.iter().cycle());
            while !rest.is_empty() {
                let (piece, later) = rest.split_at(rest.len().min(*sizes.next().unwrap()));
                importer.write(Bytes::copy_from_slice(piece)).await.unwrap();
                rest = later;
            }
            let report = importer.finish().await.unwrap();
            assert!(report.roots[0].whole);
            assert_eq!(held(&tier).await, (report.blocks, 1, 0));
        });
    }

    /// A flipped bit never brings a wrong block in.
    #[test]
    fn no_flipped_bit_stores_a_wrong_block(flips in prop::collection::vec((0usize..4000, 0u8..8), 1..4), v2: bool) {
        block_on(async {
            let mut archive = load(if v2 { "carv2-basic.car" } else { "dir3-v1.car" });
            for (at, bit) in flips {
                let at = at % archive.len().min(4000);
                archive[at] ^= 1 << bit;
            }
            let (tier, storage) = fresh();
            let done = import(&storage, &archive, 777, false).await;
            let keys = tier.keys(None, 10_000).await.unwrap();
            if done.is_err() {
                assert!(keys.is_empty());
            }
            for (key, held) in keys.iter().zip(tier.get(&keys).await.unwrap()) {
                let cid = Cid::new_v1(0x55, multihash::Multihash::wrap(key.code(), key.digest()).unwrap());
                let proven = Block::verify(&CpuHasher, vec![(cid, held.unwrap().bytes)]).await.unwrap();
                assert!(proven[0].is_ok());
            }
        });
    }
}
