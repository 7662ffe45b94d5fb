//! The door for single blocks: what is put, got, listed and deleted there, and how it gets along with stored files.

use std::{
    cell::{Cell, RefCell},
    collections::HashMap,
    rc::Rc,
};

use async_trait::async_trait;
use bytes::Bytes;
use futures_executor::block_on;
use ipfs_kit_storage::{
    Cid, Error, OfflineReason, OpenOptions, PinOptions, Storage, StoreOptions,
    block::{self, Block, Codec},
    hash::{CpuHasher, HashFunction},
    platform::{Network, http::Body, native::SystemClock},
    remote::{Connector, Failure, Patience, Remote, Remotes, Wanted, Whole},
    storage::ReadOptions,
    tier::{MemoryTier, conformance},
    unixfs::Layout,
};

async fn some(count: u64) -> Vec<(Cid, Bytes)> {
    let parts = (0..count).map(|n| conformance::noise(n, 2000)).collect();
    let made = conformance::blocks_of(HashFunction::Sha2_256, parts).await;
    made.into_iter().map(|block| (block.cid().clone(), block.into_bytes())).collect()
}

fn cids(blocks: &[(Cid, Bytes)]) -> Vec<Cid> {
    blocks.iter().map(|(cid, _)| cid.clone()).collect()
}

fn over(tier: &Rc<MemoryTier>, options: OpenOptions) -> Storage {
    Storage::new(tier.clone(), Rc::new(CpuHasher), Rc::new(SystemClock), options).unwrap()
}

fn open() -> Storage {
    over(&Rc::default(), OpenOptions { memory_bytes: 0, ..OpenOptions::default() })
}

async fn held(storage: &Storage, blocks: &[(Cid, Bytes)]) -> usize {
    let mut held = 0;
    for (cid, _) in blocks {
        held += usize::from(storage.exists(cid).await.unwrap());
    }
    held
}

fn tiny_chunks() -> StoreOptions {
    StoreOptions {
        layout: Some(Layout { chunk_bytes: 2000, width: 4, ..Layout::default() }),
        ..StoreOptions::default()
    }
}

/// A file whose leaves are the blocks that `some` gives.
async fn file(count: u64) -> Vec<u8> {
    some(count).await.into_iter().flat_map(|(_, bytes)| bytes).collect()
}

#[test]
fn what_is_put_is_got_listed_and_deleted() {
    block_on(async {
        let storage = open();
        let blocks = some(25).await;
        storage.put_blocks(blocks.clone()).await.unwrap();
        storage.put_blocks(blocks.clone()).await.unwrap();
        for (cid, bytes) in &blocks {
            assert_eq!(storage.get_block(cid, true).await.unwrap(), bytes);
            let as_node = Cid::new_v1(Codec::DagPb.code(), *cid.hash());
            assert_eq!(storage.get_block(&as_node, true).await.unwrap(), bytes, "the multihash alone counts");
        }
        let mut listed = Vec::new();
        loop {
            let page = storage.block_keys(listed.last(), 10).await.unwrap();
            if page.is_empty() {
                break;
            }
            listed.extend(page);
        }
        let mut expected: Vec<_> = blocks.iter().filter_map(|(cid, _)| block::key(cid)).collect();
        expected.sort_unstable();
        listed.sort_unstable();
        assert_eq!(listed, expected);
        assert!(matches!(storage.block_keys(None, 0).await, Err(Error::InvalidArgument(_))));
        storage.delete_blocks(&cids(&blocks[..20])).await.unwrap();
        storage.delete_blocks(&cids(&blocks[..21])).await.unwrap();
        assert_eq!(held(&storage, &blocks).await, 4);
        let gone = storage.get_block(&blocks[0].0, false).await;
        assert_eq!(
            gone,
            Err(Error::NotAvailableOffline { cid: blocks[0].0.clone(), reason: OfflineReason::NoRemotes })
        );
    });
}

#[test]
fn wrong_bytes_and_strange_cids_are_refused_and_nothing_is_stored() {
    block_on(async {
        let storage = open();
        let mut blocks = some(3).await;
        blocks[1].1 = "something else".into();
        assert_eq!(storage.put_blocks(blocks.clone()).await, Err(Error::Integrity(blocks[1].0.clone())));
        assert_eq!(held(&storage, &blocks).await, 0);
        let large = Bytes::from(vec![0; block::MAX_BLOCK_BYTES + 1]);
        let refused = storage.put_blocks(vec![(blocks[0].0.clone(), large)]).await;
        assert!(matches!(refused, Err(Error::InvalidArgument(_))), "{refused:?}");
        let sha1 = Cid::new_v1(Codec::Raw.code(), multihash(0x11, &[7; 20]));
        assert!(matches!(storage.put_blocks(vec![(sha1.clone(), "x".into())]).await, Err(Error::InvalidCid { .. })));
        assert!(matches!(storage.get_block(&sha1, true).await, Err(Error::InvalidCid { .. })));
        // An identity CID carries its bytes: it is always there, and nothing of it is kept.
        let inline = block::parse("bafkqac3imvwgy3zao5xxe3de").unwrap();
        storage.put_blocks(vec![(inline.clone(), "hello world".into())]).await.unwrap();
        storage.delete_blocks(std::slice::from_ref(&inline)).await.unwrap();
        assert_eq!(storage.get_block(&inline, true).await.unwrap(), "hello world");
        assert_eq!(storage.put_blocks(vec![(inline.clone(), "hello".into())]).await, Err(Error::Integrity(inline)));
        assert!(storage.block_keys(None, 10).await.unwrap().is_empty());
    });
}

fn multihash<const SIZE: usize>(code: u64, digest: &[u8]) -> multihash::Multihash<SIZE> {
    multihash::Multihash::wrap(code, digest).unwrap()
}

#[test]
fn a_block_that_a_stored_file_needs_is_not_deleted() {
    block_on(async {
        let storage = open();
        let root = storage.store(file(9).await, tiny_chunks()).await.unwrap().root.cid;
        let other = some(12).await.split_off(9);
        storage.put_blocks(other.clone()).await.unwrap();
        for needed in [root.clone(), some(9).await[8].0.clone()] {
            let refused = storage.delete_blocks(&[other[0].0.clone(), needed.clone()]).await;
            assert!(matches!(&refused, Err(Error::Denied(why)) if why.contains(&needed.to_string())), "{refused:?}");
        }
        assert_eq!(held(&storage, &other).await, 3, "all of them or none");
        storage.delete_blocks(&cids(&other)).await.unwrap();
        assert_eq!(storage.retrieve(&root).await.unwrap(), file(9).await);
        storage.delete(&root, false).await.unwrap();
        assert!(storage.block_keys(None, 10).await.unwrap().is_empty());
    });
}

#[test]
fn what_a_file_being_stored_relies_on_is_not_deleted() {
    block_on(async {
        let storage = open();
        let (whole, (leaf, bytes)) = (long_file(), first_leaf(1 << 20).await);
        storage.put_blocks(vec![(leaf.clone(), bytes)]).await.unwrap();
        let mut writer = storage.writer(StoreOptions::default()).unwrap();
        writer.write(whole.slice(..1000)).await.unwrap();
        storage.delete_blocks(std::slice::from_ref(&leaf)).await.expect("the file is to have it, and will bring it");
        writer.write(whole.slice(1000..)).await.unwrap();
        assert!(matches!(storage.delete_blocks(std::slice::from_ref(&leaf)).await, Err(Error::Denied(_))));
        let root = writer.finish().await.unwrap().root.cid;
        assert!(matches!(storage.delete_blocks(&[leaf]).await, Err(Error::Denied(_))));
        assert_eq!(storage.retrieve(&root).await.unwrap(), whole);
    });
}

#[test]
fn a_root_that_cannot_be_read_lets_nothing_be_deleted() {
    block_on(async {
        let tier: Rc<MemoryTier> = Rc::default();
        let storage = over(&tier, OpenOptions { memory_bytes: 0, ..OpenOptions::default() });
        let root = storage.store(file(9).await, tiny_chunks()).await.unwrap().root.cid;
        tier.damage(&block::key(&root).unwrap(), "rotten".into());
        let leaf = some(9).await[3].0.clone();
        assert!(matches!(storage.delete_blocks(std::slice::from_ref(&leaf)).await, Err(Error::Denied(_))));
        assert!(storage.exists(&leaf).await.unwrap());
    });
}

/// Enough to be written ahead: more than a batch.
fn long_file() -> Bytes {
    conformance::noise(1, 6 * 1024 * 1024).into()
}

async fn first_leaf(length: usize) -> (Cid, Bytes) {
    let made = conformance::blocks_of(HashFunction::Sha2_256, vec![long_file()[..length].to_vec()]).await;
    made.into_iter().map(|block| (block.cid().clone(), block.into_bytes())).next().unwrap()
}

#[test]
fn an_import_that_fails_leaves_blocks_that_were_put() {
    let options = || StoreOptions {
        layout: Some(Layout { chunk_bytes: 1 << 20, ..Layout::default() }),
        ..StoreOptions::default()
    };
    for put_first in [true, false] {
        block_on(async {
            let storage = open();
            let block = first_leaf(1 << 20).await;
            if put_first {
                storage.put_blocks(vec![block.clone()]).await.unwrap();
            }
            let mut writer = storage.writer(options()).unwrap();
            writer.write(long_file()).await.unwrap();
            if !put_first {
                assert!(storage.exists(&block.0).await.unwrap(), "it was written ahead");
                storage.put_blocks(vec![block.clone()]).await.unwrap();
            }
            writer.abort().await;
            assert_eq!(storage.block_keys(None, 10).await.unwrap(), [block::key(&block.0).unwrap()]);
            // It is no exception for ever: the next import that fails takes its own blocks back as before.
            storage.delete_blocks(&[block.0]).await.unwrap();
            let mut writer = storage.writer(options()).unwrap();
            writer.write(long_file()).await.unwrap();
            writer.abort().await;
            assert!(storage.block_keys(None, 10).await.unwrap().is_empty());
        });
    }
}

#[test]
fn what_waits_to_be_swept_is_kept_when_it_is_put() {
    block_on(async {
        let storage = open();
        let root = storage.store(file(3).await, tiny_chunks()).await.unwrap().root.cid;
        let mut writer = storage.writer(tiny_chunks()).unwrap();
        writer.write("something else".into()).await.unwrap();
        storage.delete(&root, false).await.unwrap();
        let blocks = some(3).await;
        storage.put_blocks(blocks[..1].to_vec()).await.unwrap();
        writer.finish().await.unwrap();
        assert_eq!(held(&storage, &blocks).await, 1, "the others are swept when the file is stored");
    });
}

#[test]
fn deleting_a_file_takes_its_blocks_along_unless_another_root_has_them() {
    block_on(async {
        let storage = open();
        let blocks = some(3).await;
        storage.put_blocks(blocks.clone()).await.unwrap();
        let root = storage.store(file(3).await, tiny_chunks()).await.unwrap().root.cid;
        storage.pin(&blocks[1].0, PinOptions::default()).await.unwrap();
        storage.delete(&root, false).await.unwrap();
        assert_eq!(held(&storage, &blocks).await, 1);
    });
}

/// A remote that gives single blocks and nothing else.
#[derive(Default)]
struct Single {
    blocks: RefCell<HashMap<Cid, Bytes>>,
    asked: RefCell<Vec<Cid>>,
}

#[async_trait(?Send)]
impl Remote for Single {
    fn name(&self) -> &str {
        "single"
    }

    fn kind(&self) -> &'static str {
        "helia"
    }

    async fn block(&self, cid: &Cid) -> Result<Box<dyn Body>, Failure> {
        self.asked.borrow_mut().push(cid.clone());
        let bytes = self.blocks.borrow().get(cid).cloned().ok_or(Failure::NotFound)?;
        Ok(Box::new(Whole::from(bytes)))
    }

    async fn car(&self, _: &Wanted) -> Result<Box<dyn Body>, Failure> {
        Err(Failure::Unsupported("CARs".into()))
    }

    async fn probe(&self) -> Result<(), Failure> {
        Ok(())
    }
}

struct Online(Cell<bool>);

/// For stores without routers.
struct Nobody;

impl Connector for Nobody {
    fn connect(&self, address: &str) -> ipfs_kit_storage::Result<Rc<dyn Remote>> {
        panic!("nobody named {address}")
    }
}

#[async_trait(?Send)]
impl Network for Online {
    async fn sleep(&self, _: u64) {
        std::future::pending().await
    }

    fn is_online(&self) -> bool {
        self.0.get()
    }
}

fn with_remote() -> (Rc<Single>, Storage) {
    let remote: Rc<Single> = Rc::default();
    let network = Rc::new(Online(Cell::new(true)));
    let remotes =
        Remotes::new(vec![remote.clone()], Rc::new(Nobody), Rc::new(SystemClock), network, Patience::default())
            .unwrap();
    let options = OpenOptions { remotes: Some(Rc::new(remotes)), memory_bytes: 0, ..OpenOptions::default() };
    (remote, over(&Rc::default(), options))
}

#[test]
fn a_block_that_is_not_held_is_fetched_alone_proven_and_kept() {
    block_on(async {
        let (remote, storage) = with_remote();
        let origin = open();
        let root = origin.store(file(9).await, tiny_chunks()).await.unwrap().root.cid;
        let node = origin.get_block(&root, true).await.unwrap();
        remote.blocks.borrow_mut().insert(root.clone(), node);
        let asked = storage.get_block(&root, true).await;
        assert_eq!(asked, Err(Error::NotAvailableOffline { cid: root.clone(), reason: OfflineReason::Requested }));
        let bytes = storage.get_block(&root, false).await.unwrap();
        assert_eq!(bytes, origin.get_block(&root, true).await.unwrap());
        assert_eq!(storage.get_block(&root, true).await.unwrap(), bytes);
        assert_eq!(*remote.asked.borrow(), std::slice::from_ref(&root), "itself, once, and nothing below it");
        assert_eq!(storage.backend_status().await.usage.roots, 0);
        // Nobody holds up what comes after: it can be deleted, and what is missing says so at once.
        storage.delete_blocks(&[root]).await.unwrap();
        let missing = some(1).await[0].0.clone();
        let failed = storage.get_block(&missing, false).await;
        assert!(matches!(&failed, Err(Error::Unavailable { cid, .. }) if *cid == missing), "{failed:?}");
    });
}

#[test]
fn a_remote_that_lies_about_a_block_is_struck_out() {
    block_on(async {
        let (remote, storage) = with_remote();
        let blocks = some(2).await;
        remote.blocks.borrow_mut().insert(blocks[0].0.clone(), blocks[1].1.clone());
        let failed = storage.get_block(&blocks[0].0, false).await;
        let Err(Error::Unavailable { attempts, .. }) = failed else { panic!("{failed:?}") };
        assert!(attempts[0].1.contains("do not hash"), "{attempts:?}");
        assert_eq!(held(&storage, &blocks).await, 0);
        assert_eq!(remote.asked.borrow().len(), 1);
    });
}

#[test]
fn a_file_comes_from_a_remote_of_single_blocks() {
    block_on(async {
        let (remote, storage) = with_remote();
        let origin = open();
        let root = origin.store(file(30).await, tiny_chunks()).await.unwrap().root.cid;
        for (cid, bytes) in blocks_below(&origin, root.clone()).await {
            remote.blocks.borrow_mut().insert(cid, bytes);
        }
        assert_eq!(storage.retrieve(&root).await.unwrap(), file(30).await);
        let offline = ReadOptions { offline: true, ..ReadOptions::default() };
        assert_eq!(storage.reader(&root, offline).await.unwrap().size(), 60_000);
    });
}

async fn blocks_below(storage: &Storage, root: Cid) -> Vec<(Cid, Bytes)> {
    let mut found = Vec::new();
    let mut stack = vec![root];
    while let Some(cid) = stack.pop() {
        let bytes = storage.get_block(&cid, true).await.unwrap();
        let block = Block::verify(&CpuHasher, vec![(cid.clone(), bytes.clone())]).await.unwrap().remove(0).unwrap();
        stack.extend(ipfs_kit_storage::dag::links(&block).unwrap_or_default());
        found.push((cid, bytes));
    }
    found
}
