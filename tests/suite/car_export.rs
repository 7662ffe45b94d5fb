//! Archives out of the store: the same bytes as others write, and no more than was asked for.

use std::rc::Rc;

use bytes::Bytes;
use cid::Version;
use futures_executor::block_on;
use ipfs_kit_storage::{
    Block, Cid, Error, OpenOptions, Path, Storage, StoreOptions,
    block::{self, Codec},
    car::{CarDecoder, Item},
    dag::pb::{Link, Node},
    hash::{CpuHasher, HashFunction},
    platform::native::SystemClock,
    storage::{CarExportOptions, CarImportOptions, CarRange, CarScope, CarVersion},
    tier::{Commit, MemoryTier, Tier, conformance::noise},
    unixfs::{Data, Kind, Layout},
};

use crate::support::{small, world};

fn load(name: &str) -> Vec<u8> {
    std::fs::read(format!("{}/tests/vectors/car/{name}", env!("CARGO_MANIFEST_DIR"))).unwrap()
}

fn fresh() -> (Rc<MemoryTier>, Storage) {
    let tier = Rc::new(MemoryTier::new());
    let options = OpenOptions { memory_bytes: 0, ..OpenOptions::default() };
    (tier.clone(), Storage::new(tier, Rc::new(CpuHasher), Rc::new(SystemClock), options).unwrap())
}

async fn import(storage: &Storage, archive: &[u8]) -> Cid {
    let mut importer = storage.car_importer(CarImportOptions::default()).await.unwrap();
    importer.write(Bytes::copy_from_slice(archive)).await.unwrap();
    importer.finish().await.unwrap().roots[0].cid.clone()
}

async fn export(storage: &Storage, paths: &[Path], options: CarExportOptions) -> Result<Vec<u8>, Error> {
    let mut exporter = storage.car_exporter(paths.to_vec(), options).await?;
    let mut archive = Vec::new();
    while let Some(piece) = exporter.next().await? {
        assert!(!piece.is_empty());
        archive.extend_from_slice(&piece);
    }
    assert_eq!(exporter.size(), archive.len() as u64, "it was said how long it is");
    assert_eq!(exporter.next().await, Ok(None));
    Ok(archive)
}

fn v2() -> CarExportOptions {
    CarExportOptions { version: CarVersion::V2, ..CarExportOptions::default() }
}

fn entity(range: Option<(i64, Option<i64>)>) -> CarExportOptions {
    let range = range.map(|(from, to)| CarRange { from, to });
    CarExportOptions { scope: CarScope::Entity, range, ..CarExportOptions::default() }
}

/// The roots and blocks in an archive, each proven.
fn blocks(archive: &[u8]) -> (Vec<Cid>, Vec<Block>) {
    let mut decoder = CarDecoder::new();
    decoder.push(archive);
    let (mut roots, mut claims) = (Vec::new(), Vec::new());
    while let Some(item) = decoder.next_item().unwrap() {
        match item {
            Item::Header(named) => roots = named,
            Item::Block(cid, bytes) => claims.push((cid, bytes)),
        }
    }
    decoder.finish().unwrap();
    let proven = futures_util::FutureExt::now_or_never(Block::verify(&CpuHasher, claims)).unwrap().unwrap();
    (roots, proven.into_iter().map(Result::unwrap).collect())
}

fn cids(archive: &[u8]) -> Vec<Cid> {
    blocks(archive).1.iter().map(|block| block.cid().clone()).collect()
}

#[test]
fn what_kubo_wrote_is_written_again_byte_by_byte() {
    block_on(async {
        for name in ["dir3-v1.car", "file1048577-chunk1024-v1.car", "many5000-v1.car"] {
            let (_, storage) = fresh();
            let archive = load(name);
            let root: Path = import(&storage, &archive).await.into();
            let written = export(&storage, std::slice::from_ref(&root), CarExportOptions::default()).await.unwrap();
            assert!(written == archive, "{name}");
            let wrapped = export(&storage, &[root], v2()).await.unwrap();
            assert!(wrapped[51..].starts_with(&archive), "{name}");
            let (_, other) = fresh();
            import(&other, &wrapped).await;
            let index = archive.len() + 51;
            assert_eq!(u64::from_le_bytes(wrapped[43..51].try_into().unwrap()), index as u64);
            // Each record leads to the section of its block.
            for record in wrapped[index + 2 + 4 + 8 + 4 + 4 + 8..].chunks_exact(40) {
                let at = u64::from_le_bytes(record[32..].try_into().unwrap()) as usize;
                assert!(archive[at..archive.len().min(at + 40)].windows(32).any(|window| window == &record[..32]));
            }
        }
        // One of go-car's, which has its leaves first: all but the order is the same.
        let (_, storage) = fresh();
        let archive = load("sample-unixfs-v2.car");
        let root = import(&storage, &archive).await;
        let written = export(&storage, &[root.into()], v2()).await.unwrap();
        assert_eq!((written.len(), &written[..51 + 59]), (archive.len(), &archive[..51 + 59]));
        let digests = |archive: &[u8]| -> Vec<Vec<u8>> {
            archive[335 + 30..].chunks_exact(40).map(|record| record[..32].to_vec()).collect()
        };
        assert_eq!(
            (written[335..335 + 30].to_vec(), digests(&written)),
            (archive[335..365].to_vec(), digests(&archive))
        );
    });
}

#[test]
fn a_path_brings_what_leads_there_and_no_more_than_its_scope() {
    block_on(async {
        let (_, storage) = fresh();
        let root = import(&storage, &load("many5000-v1.car")).await;
        let all = cids(&load("many5000-v1.car"));
        let path: Path = format!("{root}/file-00042").parse().unwrap();
        let listing = cids(&export(&storage, &[root.clone().into()], entity(None)).await.unwrap());
        assert!(listing.len() > 16 && listing.len() < all.len() && listing[0] == root);
        let file = export(&storage, std::slice::from_ref(&path), CarExportOptions::default()).await.unwrap();
        let (roots, found) = blocks(&file);
        assert_eq!(found.first().map(Block::cid), Some(&root));
        assert_eq!(found.last().map(Block::cid), Some(&roots[0]), "the way there, and then what it leads to");
        assert!(found.len() >= 3 && found[..found.len() - 1].iter().all(|block| listing.contains(block.cid())));
        let block = CarExportOptions { scope: CarScope::Block, ..CarExportOptions::default() };
        assert_eq!(
            cids(&export(&storage, &[root.clone().into()], block.clone()).await.unwrap()),
            std::slice::from_ref(&root)
        );
        assert!(export(&storage, &[path], block.clone()).await.unwrap() == file);
        let nowhere: Path = format!("{root}/file-99999").parse().unwrap();
        assert!(matches!(export(&storage, &[nowhere], block).await, Err(Error::NotFound(_))));
        let ranged = CarExportOptions { scope: CarScope::Block, range: Some(CarRange { from: 0, to: None }), ..v2() };
        assert!(matches!(export(&storage, &[root.into()], ranged).await, Err(Error::InvalidArgument(_))));
        assert!(matches!(export(&storage, &[], v2()).await, Err(Error::InvalidArgument(_))));
    });
}

#[test]
fn a_range_brings_the_blocks_that_hold_it() {
    block_on(async {
        let (_, storage) = fresh();
        let layout = Layout { chunk_bytes: 1000, width: 4, ..Layout::default() };
        let options = StoreOptions { layout: Some(layout), ..StoreOptions::default() };
        let root = storage.store(noise(1, 100_500), options).await.unwrap().root.cid;
        let whole = cids(&export(&storage, &[root.clone().into()], CarExportOptions::default()).await.unwrap());
        assert!(
            export(&storage, &[root.clone().into()], entity(None)).await.unwrap()
                == export(&storage, &[root.clone().into()], CarExportOptions::default()).await.unwrap()
        );
        let leaves = |found: &[Cid]| found.iter().filter(|cid| cid.codec() == Codec::Raw.code()).count();
        for (range, count) in [
            ((0, Some(0)), 1),
            ((999, Some(1000)), 2),
            ((50_000, Some(59_999)), 10),
            ((-500, None), 1),
            ((-501, None), 2),
            ((0, None), 101),
            ((100_500, None), 0),
        ] {
            let archive = export(&storage, &[root.clone().into()], entity(Some(range))).await.unwrap();
            let found = cids(&archive);
            assert_eq!((found[0].clone(), leaves(&found)), (root.clone(), count), "{range:?}");
            let mut order = whole.iter();
            assert!(found.iter().all(|cid| order.any(|other| other == cid)), "the order is that of the whole");
        }
        // Who gets it can read the range from nothing else.
        let (_, other) = fresh();
        let archive = export(&storage, &[root.clone().into()], entity(Some((12_345, Some(23_456))))).await.unwrap();
        import(&other, &archive).await;
        let read = ipfs_kit_storage::storage::ReadOptions::range(12_345, Some(11_112));
        let mut reader = other.reader(root, read).await.unwrap();
        let mut bytes = Vec::new();
        while let Some(piece) = reader.next().await.unwrap() {
            bytes.extend_from_slice(&piece);
        }
        assert!(bytes == noise(1, 100_500)[12_345..23_457]);
    });
}

#[test]
fn each_block_comes_once_and_identity_cids_not_at_all() {
    block_on(async {
        let (tier, storage) = fresh();
        let layout = Layout { chunk_bytes: 1000, width: 4, ..Layout::default() };
        let options = StoreOptions { layout: Some(layout), ..StoreOptions::default() };
        // The same chunk thirty times: partly in a range, then whole.
        let file = storage.store(vec![7; 30_000], options).await.unwrap().root.cid;
        let other = storage.store(noise(6, 3000), StoreOptions::default()).await.unwrap().root.cid;
        let inline = block::parse("bafkqabtimvwgy3yk").unwrap();
        let link = |name: &str, cid| Link { cid, name: Some(name.to_owned()), tsize: None };
        let node = Node {
            links: vec![link("a", file.clone()), link("b", inline.clone()), link("c", file.clone()), link("d", other)],
            data: Some(Data::new(Kind::Directory).encode().into()),
        };
        let parts = vec![Bytes::from(node.encode())];
        let made = Block::make(&CpuHasher, Version::V1, Codec::DagPb, HashFunction::Sha2_256, parts).await.unwrap();
        let root = made[0].cid().clone();
        tier.commit(Commit { blocks: made, ..Commit::default() }).await.unwrap();
        let archive = export(&storage, &[root.clone().into()], CarExportOptions::default()).await.unwrap();
        let found = cids(&archive);
        let held = tier.usage().await.unwrap().blocks;
        assert_eq!(found.len() as u64, held);
        assert!(!found.contains(&inline) && found[0] == root && found[1] == file);
        // Several roots: what one has brought the next does not.
        let path: Path = format!("{root}/a").parse().unwrap();
        let both = export(&storage, &[path, root.clone().into()], v2()).await.unwrap();
        let (roots, again) = blocks(&both);
        assert_eq!(roots, [file.clone(), root.clone()]);
        let again: Vec<Cid> = again.iter().map(|block| block.cid().clone()).collect();
        assert_eq!((again.len() as u64, again[0].clone(), again[1].clone()), (held, root, file.clone()));
        let ranged = cids(&export(&storage, &[file.into()], entity(Some((500, Some(20_000))))).await.unwrap());
        let mut distinct = ranged.clone();
        distinct.sort();
        distinct.dedup();
        assert_eq!(distinct.len(), ranged.len());
        // An identity CID alone is an archive without blocks.
        assert!(cids(&export(&storage, &[inline.into()], v2()).await.unwrap()).is_empty());
    });
}

#[test]
fn what_is_not_here_is_fetched_or_told_before_the_first_byte() {
    block_on(async {
        for (options, name) in [
            (CarExportOptions::default(), "all"),
            (entity(None), "entity"),
            (entity(Some((60_000, Some(70_000)))), "range"),
            (v2(), "version 2"),
        ] {
            let world = world(1, OpenOptions { memory_bytes: 0, ..OpenOptions::default() });
            let (_, local) = fresh();
            let layout = small();
            let root = world.origins[0].store(noise(3, 200_000), layout.clone()).await;
            local.store(noise(3, 200_000), layout).await.unwrap();
            let offline = CarExportOptions { offline: true, ..options.clone() };
            let refused = world.storage.car_exporter(vec![root.clone().into()], offline).await.err();
            assert!(matches!(refused, Some(Error::NotAvailableOffline { .. })), "{name}: {refused:?}");
            let fetched = export(&world.storage, &[root.clone().into()], options.clone()).await.unwrap();
            assert!(fetched == export(&local, &[root.into()], options).await.unwrap(), "{name}");
        }
        let (tier, storage) = fresh();
        let root = storage.store(noise(4, 5 << 20), StoreOptions::default()).await.unwrap().root.cid;
        let leaf =
            cids(&export(&storage, &[root.clone().into()], CarExportOptions::default()).await.unwrap())[3].clone();
        tier.commit(Commit { drop_blocks: vec![block::key(&leaf).unwrap()], ..Commit::default() }).await.unwrap();
        let refused = storage.car_exporter(vec![root.into()], CarExportOptions::default()).await.err();
        assert!(matches!(&refused, Some(Error::NotAvailableOffline { cid, .. }) if *cid == leaf), "{refused:?}");
        // What has rotted is found when it is read, and never given.
        let (tier, storage) = fresh();
        let root = storage.store(noise(4, 5 << 20), StoreOptions::default()).await.unwrap().root.cid;
        tier.damage(&block::key(&leaf).unwrap(), vec![0; 1 << 20].into());
        let failed = export(&storage, &[root.into()], CarExportOptions::default()).await;
        assert!(matches!(failed, Err(Error::Corrupt { cid: Some(cid), .. }) if cid == leaf));
    });
}
