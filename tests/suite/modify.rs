//! Editing files: whatever is changed, the file has the CID that its bytes have, and no more is read than must be.

use std::{
    cell::{Cell, RefCell},
    collections::{HashMap, HashSet},
    rc::Rc,
};

use async_trait::async_trait;
use bytes::Bytes;
use cid::Version;
use futures_executor::block_on;
use ipfs_kit_storage::{
    Cid, Error, Result,
    block::{Block, Codec},
    dag,
    hash::{CpuHasher, HashFunction},
    tier::conformance::noise,
    unixfs::{BlockSink, BlockSource, Chunker, FileBuilder, FileEdit, FileReader, Layout, Leaf, Metadata, Profile},
};

/// Blocks by CID, and how many were read.
#[derive(Default, Clone)]
struct Shelf {
    blocks: Rc<RefCell<HashMap<Cid, Block>>>,
    read: Rc<Cell<usize>>,
    /// The largest batch put at once, in bytes.
    largest: Rc<Cell<usize>>,
    put: Rc<RefCell<HashSet<Cid>>>,
}

#[async_trait(?Send)]
impl BlockSource for Shelf {
    async fn blocks(&self, cids: &[Cid]) -> Result<Vec<Block>> {
        self.read.set(self.read.get() + cids.len());
        cids.iter().map(|cid| self.blocks.borrow().get(cid).cloned().ok_or(Error::NotFound(cid.into()))).collect()
    }
}

#[async_trait(?Send)]
impl BlockSink for Shelf {
    async fn put(&mut self, blocks: Vec<Block>) -> Result<()> {
        let bytes = blocks.iter().map(|block| block.bytes().len()).sum();
        self.largest.set(self.largest.get().max(bytes));
        for block in blocks {
            self.put.borrow_mut().insert(block.cid().clone());
            self.blocks.borrow_mut().insert(block.cid().clone(), block);
        }
        Ok(())
    }
}

impl Shelf {
    fn import(&self, data: &[u8], layout: Layout) -> Cid {
        let mut chunker = Chunker::new(layout.chunk_bytes);
        chunker.push(Bytes::copy_from_slice(data));
        let mut chunks: Vec<Bytes> = std::iter::from_fn(|| chunker.next_chunk()).collect();
        let last = chunker.finish();
        if !last.is_empty() || chunks.is_empty() {
            chunks.push(last);
        }
        self.link(block_on(FileBuilder::leaves(&CpuHasher, layout, chunks)).unwrap(), layout)
    }

    fn link(&self, leaves: impl IntoIterator<Item = Leaf>, layout: Layout) -> Cid {
        block_on(async {
            let mut shelf = self.clone();
            let mut builder = FileBuilder::new(layout);
            for leaf in leaves {
                shelf.put(builder.link(&CpuHasher, leaf).await?).await?;
            }
            let (nodes, built) = builder.finish(&CpuHasher, Metadata::default()).await?;
            shelf.put(nodes).await?;
            Ok::<Cid, Error>(built.root)
        })
        .unwrap()
    }

    /// Writes `data` at an offset, in pieces, and ends the file there or keeps the rest.
    fn edit(&self, root: Cid, layout: Layout, offset: u64, data: &[u8], keep_rest: bool) -> Result<Cid> {
        self.read.set(0);
        self.put.borrow_mut().clear();
        let built = block_on(async {
            let mut sink = self.clone();
            let mut edit =
                FileEdit::open(self.clone(), Rc::new(CpuHasher), Some(root), layout, offset, &mut sink).await?;
            for piece in data.chunks(1 + data.len() / 3) {
                edit.write(Bytes::copy_from_slice(piece), &mut sink).await?;
            }
            edit.finish(keep_rest, Metadata::default(), &mut sink).await
        })?;
        assert_eq!(built.size, self.bytes(built.root.clone()).len() as u64);
        Ok(built.root)
    }

    fn bytes(&self, root: Cid) -> Vec<u8> {
        let read = self.read.get();
        let whole = block_on(async {
            let mut reader = FileReader::open(self.clone(), root, 0, None).await.unwrap();
            let mut whole = Vec::new();
            while let Some(bytes) = reader.next().await.unwrap() {
                whole.extend_from_slice(&bytes);
            }
            whole
        });
        self.read.set(read);
        whole
    }

    fn leaves(&self, root: Cid) -> Vec<Cid> {
        let links = dag::links(&self.blocks.borrow()[&root]).unwrap();
        if links.is_empty() { vec![root] } else { links.into_iter().flat_map(|link| self.leaves(link)).collect() }
    }
}

/// What the edit makes of the bytes.
fn expected(mut bytes: Vec<u8>, offset: usize, data: &[u8], keep_rest: bool) -> Vec<u8> {
    let rest = bytes.split_off(bytes.len().min(offset + data.len()));
    bytes.resize(offset, 0);
    bytes.extend_from_slice(data);
    bytes.extend(Some(rest).filter(|_| keep_rest).into_iter().flatten());
    bytes
}

/// A stream of numbers, the same for the same seed.
struct Dice(std::vec::IntoIter<u8>);

impl Dice {
    fn new(seed: u64) -> Dice {
        Dice(noise(seed, 4096).into_iter())
    }

    fn below(&mut self, limit: usize) -> usize {
        let number = (0..3).fold(0, |number, _| number << 8 | usize::from(self.0.next().unwrap()));
        number % limit.max(1)
    }
}

fn layouts() -> Vec<Layout> {
    let mut layouts = Vec::new();
    for profile in Profile::ALL {
        for (width, chunk_bytes) in [(2, 1), (2, 4), (3, 5), (5, 3), (4, 16)] {
            layouts.push(Layout { width, chunk_bytes, ..profile.into() });
        }
    }
    layouts.push(Layout { hash: HashFunction::Blake3, width: 3, chunk_bytes: 7, ..Layout::default() });
    layouts.push(Layout { raw_leaves: false, width: 3, chunk_bytes: 7, ..Layout::default() });
    layouts
}

#[test]
fn an_edited_file_has_the_cid_of_its_bytes() {
    for layout in layouts() {
        for seed in 0..60 {
            let (shelf, mut dice) = (Shelf::default(), Dice::new(seed));
            let most = layout.chunk_bytes * [3, 12, 60][dice.below(3)];
            let mut bytes = noise(seed, dice.below(most));
            let mut root = shelf.import(&bytes, layout);
            for edit in 0..12 {
                let offset = match dice.below(4) {
                    0 => bytes.len(),
                    1 => layout.chunk_bytes * dice.below(bytes.len() / layout.chunk_bytes + 2),
                    _ => dice.below(bytes.len() + 1 + layout.chunk_bytes * 3),
                };
                let length = [0, 1, layout.chunk_bytes, dice.below(most)][dice.below(4)];
                let (data, keep_rest) = (noise(seed * 100 + edit, length), dice.below(3) > 0);
                bytes = expected(bytes, offset, &data, keep_rest);
                root = shelf.edit(root, layout, offset as u64, &data, keep_rest).unwrap();
                assert_eq!(shelf.bytes(root.clone()), bytes, "{layout:?}, seed {seed}, edit {edit}");
                let fresh = Shelf::default().import(&bytes, layout);
                assert_eq!(root, fresh, "{layout:?}, seed {seed}, edit {edit}: {length} at {offset}, {keep_rest}");
            }
        }
    }
}

#[test]
fn a_file_in_another_layout_keeps_the_leaves_that_are_not_touched() {
    for made in layouts() {
        for seed in 0..40 {
            let (shelf, mut dice) = (Shelf::default(), Dice::new(seed));
            let layout = layouts()[dice.below(layouts().len())];
            let bytes = noise(seed, made.chunk_bytes * 40);
            let root = shelf.import(&bytes, made);
            let before = shelf.leaves(root.clone());
            let offset = dice.below(bytes.len() + 1);
            let data = noise(seed + 1, dice.below(made.chunk_bytes * 9));
            let edited = shelf.edit(root, layout, offset as u64, &data, true).unwrap();
            assert_eq!(
                shelf.bytes(edited.clone()),
                expected(bytes.clone(), offset, &data, true),
                "{made:?} {layout:?} {seed}"
            );
            let left = offset / made.chunk_bytes;
            let right = (offset + data.len()).div_ceil(made.chunk_bytes);
            let after: Vec<Cid> = shelf.leaves(edited);
            // The last of all may have been filled up, where something was added.
            let left = if left == before.len() { left - 1 } else { left };
            assert!(after.starts_with(&before[..left]), "{made:?} {layout:?} {seed}");
            let kept = before.get(right..).unwrap_or_default();
            assert!(after.ends_with(kept), "{made:?} {layout:?} {seed}");
        }
    }
}

/// A file of 10 GiB of which only the nodes are here, and one leaf.
#[test]
fn only_what_is_touched_is_read_and_written() {
    for profile in Profile::ALL {
        let layout = Layout::from(profile);
        let shelf = Shelf::default();
        let chunks = vec![Bytes::from(vec![7; layout.chunk_bytes])];
        let leaf = block_on(FileBuilder::leaves(&CpuHasher, layout, chunks)).unwrap().remove(0);
        let count = (10u64 << 30) / layout.chunk_bytes as u64;
        let leaves = (0..count).map(|_| Leaf { block: leaf.block.clone(), size: leaf.size });
        let root = shelf.link(leaves, layout);
        let height = if profile == Profile::UnixfsV1_2025 { 2 } else { 3 };
        let edit = |offset: u64, data: &[u8], keep_rest: bool| {
            shelf.read.set(0);
            shelf.put.borrow_mut().clear();
            block_on(async {
                let mut sink = shelf.clone();
                let mut edit =
                    FileEdit::open(shelf.clone(), Rc::new(CpuHasher), Some(root.clone()), layout, offset, &mut sink)
                        .await
                        .unwrap();
                edit.write(Bytes::copy_from_slice(data), &mut sink).await.unwrap();
                let built = edit.finish(keep_rest, Metadata::default(), &mut sink).await.unwrap();
                (built.size, shelf.read.get(), shelf.put.borrow().len())
            })
        };
        // The root, the nodes and the leaf twice: for what is before, and after.
        let (size, read, put) = edit(5 << 30 | 12_345, b"abc", true);
        assert_eq!(size, 10 << 30);
        assert!(read <= 3 + 2 * height && put <= 2 + height, "{read} read, {put} written");
        let (size, read, put) = edit(10 << 30, b"abc", true);
        assert_eq!(size, (10 << 30) + 3);
        assert!(read <= 3 + height && put <= 3 + height, "{read} read, {put} written");
        let (size, read, put) = edit(3 << 30 | 1, b"", false);
        assert_eq!(size, 3 << 30 | 1);
        assert!(read <= 3 + height && put <= 2 + height, "{read} read, {put} written");
        // The whole of one leaf: none is read whose codec says what it is.
        shelf.blocks.borrow_mut().retain(|cid, _| cid.codec() != Codec::Raw.code());
        if layout.raw_leaves {
            edit(5 << 30, &vec![1; layout.chunk_bytes], true);
            edit(10 << 30, b"more", true);
        }
    }
}

#[test]
fn what_streams_in_is_not_gathered() {
    let (shelf, layout) = (Shelf::default(), Layout::default());
    let root = shelf.import(&noise(1, 3_000_000), layout);
    block_on(async {
        let mut sink = shelf.clone();
        let mut edit =
            FileEdit::open(shelf.clone(), Rc::new(CpuHasher), Some(root), layout, 50_000_000, &mut sink).await.unwrap();
        for n in 0..400 {
            edit.write(noise(n, 100_000).into(), &mut sink).await.unwrap();
        }
        assert_eq!(edit.finish(true, Metadata::default(), &mut sink).await.unwrap().size, 90_000_000);
    });
    assert!(shelf.largest.get() <= 6 << 20, "{} bytes at once", shelf.largest.get());
}

#[test]
fn what_is_no_file_is_refused() {
    let shelf = Shelf::default();
    for (codec, bytes) in [(Codec::DagCbor, vec![0xa0]), (Codec::DagPb, vec![0x0a, 2, 8, 1])] {
        let made = block_on(Block::make(&CpuHasher, Version::V1, codec, HashFunction::Sha2_256, vec![bytes.into()]));
        let block = made.unwrap().remove(0);
        let cid = block.cid().clone();
        shelf.blocks.borrow_mut().insert(cid.clone(), block);
        assert!(matches!(shelf.edit(cid, Layout::default(), 0, b"x", true), Err(Error::Unsupported(_))));
    }
}
