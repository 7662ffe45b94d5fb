//! Editing a file: what is written anew comes out as blocks, and the rest is linked as it is, and not read.
//!
//! The tree is cut at the place of the edit: what is left of the cut is what a builder has that has come so far, and goes on.
//! At the end of the edit the rest is linked, the largest subtrees that fit. So a file that was made in the layout of the edit
//! gets the CID that its bytes have in it. Of a file in another layout, leaves that are not touched stay as they are.

use std::{mem, rc::Rc};

use bytes::Bytes;

use super::{
    builder::{Built, Child, FileBuilder, Leaf, file_leaf},
    chunker::Chunker,
    data::{Data, Metadata},
    inspect::inspect,
    layout::Layout,
    reader::{BlockSource, FileNode, MAX_DEPTH, malformed, one},
    sink::BlockSink,
};
use crate::{
    block::{Block, Cid, Codec},
    dag::pb::Node,
    error::{Error, Result},
    hash::{HashFunction, Hasher},
};

/// Chunks are hashed together that have so many bytes: enough for four lanes of 1 MiB.
const BATCH_BYTES: usize = 4 * 1024 * 1024;

/// Zeros that fill a gap, and are written as one piece.
static ZEROS: [u8; 64 * 1024] = [0; 64 * 1024];

/// A file being edited: cut at a place, written from there on, and ended there or with what follows.
///
/// It holds a batch of chunks, and the links of the nodes above the place of the edit.
pub struct FileEdit<S> {
    source: S,
    hasher: Rc<dyn Hasher>,
    layout: Layout,
    /// The file as it was; none: there was none.
    root: Option<Child>,
    size: u64,
    metadata: Metadata,
    /// Where the next byte goes.
    at: u64,
    builder: FileBuilder,
    chunker: Chunker,
    /// Chunks not yet hashed.
    chunks: Vec<Bytes>,
    chunk_bytes: usize,
}

/// What a node turned out to be.
enum Opened {
    Leaf(Block, Bytes),
    Node(Vec<Child>),
}

impl<S: BlockSource> FileEdit<S> {
    /// Cuts a file, or an empty one, at `offset`. What is before that stays; behind the end, zeros fill the gap.
    pub async fn open(
        source: S,
        hasher: Rc<dyn Hasher>,
        root: Option<Cid>,
        layout: Layout,
        offset: u64,
        sink: &mut dyn BlockSink,
    ) -> Result<Self> {
        let (mut child, mut metadata) = (None, Metadata::default());
        if let Some(cid) = root {
            let block = one(source.blocks(std::slice::from_ref(&cid)).await?, &cid)?;
            let own = block.bytes().len() as u64;
            let (size, tsize) = match Codec::of(&cid)? {
                Codec::Raw => (own, own),
                Codec::DagPb => {
                    let node = FileNode::decode(&block)?;
                    (node.size, node.children()?.iter().fold(own, |sum, child| sum.saturating_add(child.tsize)))
                }
                Codec::DagCbor | Codec::DagJson => {
                    return Err(Error::Unsupported(format!("{cid} is no file but a value of linked data")));
                }
            };
            child = Some(Child { cid, size, tsize });
            metadata = inspect(&block)?.metadata;
        }
        let size = child.clone().map_or(0, |child| child.size);
        let mut edit = FileEdit {
            source,
            hasher,
            layout,
            root: child,
            size,
            metadata,
            at: offset.min(size),
            builder: FileBuilder::new(layout),
            chunker: Chunker::new(layout.chunk_bytes),
            chunks: Vec::new(),
            chunk_bytes: 0,
        };
        edit.keep_before(sink).await?;
        while edit.at < offset {
            let length = (offset - edit.at).min(ZEROS.len() as u64) as usize;
            edit.write(Bytes::from_static(&ZEROS).slice(..length), sink).await?;
        }
        Ok(edit)
    }

    /// Bytes of the file before the edit.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// What was kept of the file before the edit.
    pub fn metadata(&self) -> Metadata {
        self.metadata
    }

    /// Writes the next bytes, over what was there.
    pub async fn write(&mut self, bytes: Bytes, sink: &mut dyn BlockSink) -> Result<()> {
        let end = self.at.checked_add(bytes.len() as u64);
        self.at = end.ok_or_else(|| Error::InvalidArgument("a file of more than 2^64 bytes".into()))?;
        self.push(bytes, sink).await
    }

    /// Ends the file here, or with what is behind this place. The root is among the last blocks.
    pub async fn finish(mut self, keep_rest: bool, metadata: Metadata, sink: &mut dyn BlockSink) -> Result<Built> {
        match self.root.clone() {
            Some(root) if keep_rest && self.at < self.size => self.keep_after(root, sink).await?,
            _ => self.cut(sink).await?,
        }
        if self.builder.is_empty() {
            // An empty file has one leaf.
            self.chunks.push(Bytes::new());
            self.flush(sink).await?;
        }
        let (nodes, built) = self.builder.finish(self.hasher.as_ref(), metadata).await?;
        sink.put(nodes).await?;
        Ok(built)
    }

    /// Has the builder go on where the file is cut.
    async fn keep_before(&mut self, sink: &mut dyn BlockSink) -> Result<()> {
        let (Some(root), end) = (self.root.clone(), self.at) else { return Ok(()) };
        if end == 0 {
            return Ok(());
        }
        let (mut child, mut start, mut levels) = (root.clone(), 0, Vec::new());
        loop {
            // A last leaf that is not full takes more.
            let whole = start + child.size == end && (end < self.size || child.size >= self.capacity());
            let first = levels.iter().all(Vec::is_empty);
            let opened =
                if whole && is_raw(&child) && !first { None } else { Some(self.open_node(&child, sink).await?) };
            match opened {
                Some(Opened::Node(mut children)) => {
                    if levels.len() == MAX_DEPTH {
                        return Err(malformed(&root.cid, &format!("the DAG is deeper than {MAX_DEPTH}")));
                    }
                    let mut ends = start;
                    let last = children.iter().position(|child| {
                        ends += child.size;
                        ends >= end
                    });
                    let cut = last.ok_or_else(|| malformed(&child.cid, "it ends before its parent says"))?;
                    children.truncate(cut + 1);
                    child = children.pop().unwrap_or(child);
                    start = ends - child.size;
                    levels.push(children);
                }
                leaf => {
                    let is_root = levels.is_empty();
                    levels.reverse();
                    self.builder = FileBuilder::resume(self.layout, levels);
                    return match leaf {
                        // It may have metadata that are the file's.
                        Some(Opened::Leaf(_, bytes)) if !whole || is_root => {
                            self.push(bytes.slice(..(end - start) as usize), sink).await
                        }
                        // It may be all that is left.
                        Some(Opened::Leaf(block, _)) if first => {
                            let leaf = Leaf { block, size: child.size };
                            let blocks = self.builder.link(self.hasher.as_ref(), leaf).await?;
                            put(blocks, sink).await
                        }
                        _ => self.graft(child, 0, sink).await.map(drop),
                    };
                }
            }
        }
    }

    /// Links what is behind this place.
    async fn keep_after(&mut self, root: Child, sink: &mut dyn BlockSink) -> Result<()> {
        let from = self.at;
        // Subtrees to be linked, the next one last, each with the height that it has in the layout.
        let mut rest = Vec::new();
        let mut cut = Some((root.clone(), 0, self.layout.height(root.size)));
        while let Some((child, start, height)) = cut.take() {
            match self.open_node(&child, sink).await? {
                Opened::Leaf(_, bytes) => self.push(bytes.slice((from - start) as usize..), sink).await?,
                Opened::Node(children) => {
                    let (mut start, height, before) = (start, height.saturating_sub(1), rest.len());
                    for child in children {
                        let end = start + child.size;
                        if start >= from {
                            rest.push((child, height));
                        } else if end > from {
                            cut = Some((child, start, height));
                        }
                        start = end;
                    }
                    rest.get_mut(before..).into_iter().for_each(<[_]>::reverse);
                }
            }
        }
        self.cut(sink).await?;
        while let Some((child, height)) = rest.pop() {
            let capacity = self.layout.capacity(height);
            let fits = child.size == capacity || rest.is_empty() && child.size <= capacity;
            if is_raw(&child) {
                self.graft(child, 0, sink).await?;
            } else if !(fits && self.graft(child.clone(), height, sink).await?) {
                match self.open_node(&child, sink).await? {
                    Opened::Leaf(..) => _ = self.graft(child, 0, sink).await?,
                    Opened::Node(children) => {
                        rest.extend(children.into_iter().rev().map(|child| (child, height.saturating_sub(1))));
                    }
                }
            }
        }
        Ok(())
    }

    fn capacity(&self) -> u64 {
        self.layout.capacity(0)
    }

    /// Reads a node. Bytes that it has beside its children become a leaf before these.
    async fn open_node(&mut self, child: &Child, sink: &mut dyn BlockSink) -> Result<Opened> {
        let block = one(self.source.blocks(std::slice::from_ref(&child.cid)).await?, &child.cid)?;
        let (size, opened) = match Codec::of(&child.cid)? {
            Codec::DagPb => {
                let node = FileNode::decode(&block)?;
                let (size, data, mut children) = (node.size, node.data.clone(), node.children()?);
                // What holds nothing is left out.
                children.retain(|child| child.size > 0);
                match (children.is_empty(), data.is_empty()) {
                    (true, _) => (size, Opened::Leaf(block, data)),
                    (false, true) => (size, Opened::Node(children)),
                    (false, false) => {
                        let leaves = FileBuilder::leaves(self.hasher.as_ref(), self.layout, vec![data]).await?;
                        for leaf in leaves {
                            let tsize = leaf.block.bytes().len() as u64;
                            children.insert(0, Child { cid: leaf.block.cid().clone(), size: leaf.size, tsize });
                            sink.put(vec![leaf.block]).await?;
                        }
                        (size, Opened::Node(children))
                    }
                }
            }
            _ => {
                let bytes = block.bytes().clone();
                (bytes.len() as u64, Opened::Leaf(block, bytes))
            }
        };
        if size != child.size {
            return Err(malformed(&child.cid, "a node has another size than its parent says"));
        }
        Ok(opened)
    }

    /// Links something at its level, if it fits there.
    async fn graft(&mut self, child: Child, level: usize, sink: &mut dyn BlockSink) -> Result<bool> {
        let mut blocks = Vec::new();
        let done = self.builder.graft(self.hasher.as_ref(), child, level, &mut blocks).await?;
        put(blocks, sink).await?;
        Ok(done)
    }

    async fn push(&mut self, bytes: Bytes, sink: &mut dyn BlockSink) -> Result<()> {
        self.chunker.push(bytes);
        while let Some(chunk) = self.chunker.next_chunk() {
            self.chunk_bytes += chunk.len();
            self.chunks.push(chunk);
            if self.chunk_bytes >= BATCH_BYTES {
                self.flush(sink).await?;
            }
        }
        Ok(())
    }

    /// Ends a leaf here.
    async fn cut(&mut self, sink: &mut dyn BlockSink) -> Result<()> {
        let last = self.chunker.finish();
        self.chunks.extend(Some(last).filter(|last| !last.is_empty()));
        self.flush(sink).await
    }

    async fn flush(&mut self, sink: &mut dyn BlockSink) -> Result<()> {
        self.chunk_bytes = 0;
        let chunks = mem::take(&mut self.chunks);
        let mut blocks = Vec::with_capacity(chunks.len());
        for leaf in FileBuilder::leaves(self.hasher.as_ref(), self.layout, chunks).await? {
            blocks.extend(self.builder.link(self.hasher.as_ref(), leaf).await?);
        }
        put(blocks, sink).await
    }
}

/// The root block of a file, a directory or a symbolic link, with other metadata. A raw block becomes a node.
pub async fn retouch(hasher: &dyn Hasher, block: &Block, metadata: Metadata) -> Result<Block> {
    let bytes = match Codec::of(block.cid())? {
        Codec::Raw => file_leaf(block.bytes().clone(), metadata),
        Codec::DagPb => {
            let malformed = |why: &str| Error::Unsupported(format!("{}: {why}", block.cid()));
            let mut node = Node::decode(block.bytes()).map_err(|wrong| malformed(wrong.0))?;
            let data = node.data.take().ok_or_else(|| malformed("a dag-pb node without UnixFS data"))?;
            let data = Data { metadata, ..Data::decode(&data).map_err(|wrong| malformed(wrong.0))? };
            node.data = Some(data.encode().into());
            node.encode()
        }
        Codec::DagCbor | Codec::DagJson => {
            return Err(Error::Unsupported(format!("{} is a value of linked data, and has no metadata", block.cid())));
        }
    };
    let code = block.cid().hash().code();
    let hash = HashFunction::ALL.into_iter().find(|hash| hash.code() == code);
    let hash = hash.ok_or_else(|| Error::Unsupported(format!("the hash of {}", block.cid())))?;
    let made = Block::make(hasher, block.cid().version(), Codec::DagPb, hash, vec![bytes.into()]).await?.pop();
    made.ok_or_else(|| Error::Io("the hasher returned no digest".into()))
}

async fn put(blocks: Vec<Block>, sink: &mut dyn BlockSink) -> Result<()> {
    if blocks.is_empty() { Ok(()) } else { sink.put(blocks).await }
}

fn is_raw(child: &Child) -> bool {
    child.cid.codec() == Codec::Raw.code()
}
