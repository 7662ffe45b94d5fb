//! Builds the balanced DAG of a file from its leaves, keeping one unfinished node a level.

use bytes::Bytes;

use super::{
    data::{Data, Kind, Metadata},
    layout::Layout,
};
use crate::{
    block::{Block, Cid, Codec},
    dag::pb::{Link, Node},
    error::{Error, Result},
    hash::Hasher,
};

/// A finished file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Built {
    /// The root.
    pub root: Cid,
    /// Bytes of file data.
    pub size: u64,
    /// Bytes of all its blocks.
    pub tsize: u64,
}

/// A leaf, hashed.
#[derive(Debug)]
pub struct Leaf {
    /// The block.
    pub block: Block,
    /// Bytes of file data in it.
    pub size: u64,
}

/// What a node says of one child.
#[derive(Debug, Clone)]
pub(super) struct Child {
    pub cid: Cid,
    /// Bytes of file data below it.
    pub size: u64,
    /// Bytes of all blocks below it and of itself.
    pub tsize: u64,
}

/// Links leaves, in their order, into a balanced tree: all leaves at one depth, nodes filled from the left.
#[derive(Debug)]
pub struct FileBuilder {
    layout: Layout,
    /// The first leaf, as long as it may be all of the file: then it is the root, and the place for its metadata.
    first: Option<Leaf>,
    /// The children of the unfinished node of each level; level 0 holds leaves.
    levels: Vec<Vec<Child>>,
}

impl FileBuilder {
    /// A builder for one file.
    pub fn new(layout: Layout) -> Self {
        FileBuilder { layout, first: None, levels: vec![Vec::new()] }
    }

    /// One that goes on with a file: `levels` are the children of its unfinished node of each level.
    pub(super) fn resume(layout: Layout, levels: Vec<Vec<Child>>) -> Self {
        FileBuilder { layout, first: None, levels }
    }

    /// Whether nothing was linked yet.
    pub(super) fn is_empty(&self) -> bool {
        self.first.is_none() && self.levels.iter().all(Vec::is_empty)
    }

    /// Hashes chunks into leaves. It needs no builder, so several batches can be under way.
    pub async fn leaves(hasher: &dyn Hasher, layout: Layout, chunks: Vec<Bytes>) -> Result<Vec<Leaf>> {
        let sizes: Vec<u64> = chunks.iter().map(|chunk| chunk.len() as u64).collect();
        let parts = match layout.leaf_codec() {
            Codec::DagPb => chunks.into_iter().map(|chunk| file_leaf(chunk, Metadata::default()).into()).collect(),
            _ => chunks,
        };
        let blocks = Block::make(hasher, layout.version, layout.leaf_codec(), layout.hash, parts).await?;
        Ok(blocks.into_iter().zip(sizes).map(|(block, size)| Leaf { block, size }).collect())
    }

    /// Links the next leaf. It, and the nodes that it fills, come out as blocks, at once or later.
    pub async fn link(&mut self, hasher: &dyn Hasher, leaf: Leaf) -> Result<Vec<Block>> {
        if self.is_empty() {
            self.first = Some(leaf);
            return Ok(Vec::new());
        }
        let mut blocks = Vec::new();
        if let Some(first) = self.first.take() {
            self.put(hasher, first, &mut blocks).await?;
        }
        self.put(hasher, leaf, &mut blocks).await?;
        Ok(blocks)
    }

    /// Links what is finished already, at its level, where that of leaves is 0. More must follow, or have come before. If nodes
    /// below that level are not full, nothing is linked, and this says so.
    pub(super) async fn graft(
        &mut self,
        hasher: &dyn Hasher,
        child: Child,
        level: usize,
        blocks: &mut Vec<Block>,
    ) -> Result<bool> {
        if let Some(first) = self.first.take() {
            self.put(hasher, first, blocks).await?;
        }
        for below in 0..level {
            match self.levels.get_mut(below) {
                Some(children) if children.len() >= self.layout.width => {
                    let full = std::mem::take(children);
                    let (node, parent) = self.node(hasher, &full, Metadata::default()).await?;
                    blocks.push(node);
                    self.insert(hasher, below + 1, parent, blocks).await?;
                }
                Some(children) if !children.is_empty() => return Ok(false),
                _ => {}
            }
        }
        self.insert(hasher, level, child, blocks).await?;
        Ok(true)
    }

    async fn put(&mut self, hasher: &dyn Hasher, leaf: Leaf, blocks: &mut Vec<Block>) -> Result<()> {
        self.insert(hasher, 0, leaf.child(), blocks).await?;
        blocks.push(leaf.block);
        Ok(())
    }

    /// Adds a child to a level. One that is full becomes a node only now: it might have been the root.
    async fn insert(&mut self, hasher: &dyn Hasher, at: usize, child: Child, nodes: &mut Vec<Block>) -> Result<()> {
        let mut child = child;
        for level in at.. {
            while self.levels.len() <= level {
                self.levels.push(Vec::new());
            }
            let Some(children) = self.levels.get_mut(level) else { break };
            if children.len() < self.layout.width {
                children.push(child);
                break;
            }
            let full = std::mem::replace(children, vec![child]);
            let (node, parent) = self.node(hasher, &full, Metadata::default()).await?;
            nodes.push(node);
            child = parent;
        }
        Ok(())
    }

    /// Ends the file: what is still open comes out as blocks, the last of them the root. At least one leaf must have been
    /// linked; an empty file has one empty leaf.
    pub async fn finish(mut self, hasher: &dyn Hasher, metadata: Metadata) -> Result<(Vec<Block>, Built)> {
        if let Some(leaf) = self.first.take() {
            let leaf = self.with_metadata(hasher, leaf, metadata).await?;
            let Child { cid, size, tsize } = leaf.child();
            return Ok((vec![leaf.block], Built { root: cid, size, tsize }));
        }
        let mut nodes = Vec::new();
        let mut level = 0;
        loop {
            let children = self.levels.get_mut(level).map(std::mem::take).unwrap_or_default();
            let is_root = self.levels.iter().skip(level).all(Vec::is_empty);
            if children.is_empty() {
                if is_root {
                    return Err(Error::InvalidArgument("a file has at least one leaf".into()));
                }
                level += 1;
                continue;
            }
            let metadata = if is_root { metadata } else { Metadata::default() };
            let (node, parent) = self.node(hasher, &children, metadata).await?;
            nodes.push(node);
            if is_root {
                return Ok((nodes, Built { root: parent.cid, size: parent.size, tsize: parent.tsize }));
            }
            level += 1;
            self.insert(hasher, level, parent, &mut nodes).await?;
        }
    }

    /// The only leaf, as the root of a file with metadata: a raw block has no place for them.
    async fn with_metadata(&self, hasher: &dyn Hasher, leaf: Leaf, metadata: Metadata) -> Result<Leaf> {
        if metadata.is_empty() {
            return Ok(leaf);
        }
        let bytes = match Codec::of(leaf.block.cid())? {
            Codec::DagPb => leaf_data(leaf.block.bytes())?,
            _ => leaf.block.into_bytes(),
        };
        let part = file_leaf(bytes, metadata).into();
        let mut blocks = Block::make(hasher, self.layout.version, Codec::DagPb, self.layout.hash, vec![part]).await?;
        let block = blocks.pop().ok_or_else(|| Error::Io("the hasher returned no digest".into()))?;
        Ok(Leaf { block, size: leaf.size })
    }

    async fn node(&self, hasher: &dyn Hasher, children: &[Child], metadata: Metadata) -> Result<(Block, Child)> {
        let size = children.iter().map(|child| child.size).sum();
        let data = Data {
            file_size: Some(size),
            block_sizes: children.iter().map(|child| child.size).collect(),
            metadata,
            ..Data::new(Kind::File)
        };
        let link = |child: &Child| Link { cid: child.cid.clone(), name: Some(String::new()), tsize: Some(child.tsize) };
        let node = Node { links: children.iter().map(link).collect(), data: Some(data.encode().into()) };
        let parts = vec![Bytes::from(node.encode())];
        let block = Block::make(hasher, self.layout.version, Codec::DagPb, self.layout.hash, parts)
            .await?
            .pop()
            .ok_or_else(|| Error::Io("the hasher returned no digest".into()))?;
        // Of links that were there before, this is what somebody said.
        let own = block.bytes().len() as u64;
        let tsize = children.iter().fold(own, |sum, child| sum.saturating_add(child.tsize));
        let parent = Child { cid: block.cid().clone(), size, tsize };
        Ok((block, parent))
    }
}

impl Leaf {
    fn child(&self) -> Child {
        Child { cid: self.block.cid().clone(), size: self.size, tsize: self.block.bytes().len() as u64 }
    }
}

/// A dag-pb leaf, as Kubo makes it: of type file, its size stated, and no data field when empty.
pub(super) fn file_leaf(chunk: Bytes, metadata: Metadata) -> Vec<u8> {
    let size = chunk.len() as u64;
    let data =
        Data { data: (!chunk.is_empty()).then_some(chunk), file_size: Some(size), metadata, ..Data::new(Kind::File) };
    Node { links: Vec::new(), data: Some(data.encode().into()) }.encode()
}

/// The bytes in such a leaf.
fn leaf_data(leaf: &Bytes) -> Result<Bytes> {
    let data = Node::decode(leaf).and_then(|node| Data::decode(&node.data.unwrap_or_default()));
    let data = data.map_err(|malformed| Error::Unsupported(malformed.0.into()))?;
    Ok(data.data.unwrap_or_default())
}
