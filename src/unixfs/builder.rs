//! Builds the balanced DAG of a file from its leaves, keeping one unfinished node a level.

use bytes::Bytes;

use super::{
    data::{Data, Kind},
    layout::Layout,
};
use crate::{
    block::{Block, Cid, Codec},
    dag::pb::{Link, Node},
    error::{Error, Result},
    hash::Hasher,
};

/// A finished file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Built {
    /// The root.
    pub root: Cid,
    /// Bytes of file data.
    pub size: u64,
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
#[derive(Debug, Clone, Copy)]
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
    /// The children of the unfinished node of each level; level 0 holds leaves.
    levels: Vec<Vec<Child>>,
}

impl FileBuilder {
    /// A builder for one file.
    pub fn new(layout: Layout) -> Self {
        FileBuilder { layout, levels: vec![Vec::new()] }
    }

    /// One that goes on with a file: `levels` are the children of its unfinished node of each level.
    pub(super) fn resume(layout: Layout, mut levels: Vec<Vec<Child>>) -> Self {
        if levels.is_empty() {
            levels.push(Vec::new());
        }
        FileBuilder { layout, levels }
    }

    /// Whether nothing was linked yet.
    pub(super) fn is_empty(&self) -> bool {
        self.levels.iter().all(Vec::is_empty)
    }

    /// Whether all nodes below this level are finished, so that a node of this level can be linked next.
    pub(super) fn is_aligned(&self, level: usize) -> bool {
        self.levels.iter().take(level).all(Vec::is_empty)
    }

    /// Hashes chunks into leaves. It needs no builder, so several batches can be under way.
    pub async fn leaves(hasher: &dyn Hasher, layout: Layout, chunks: Vec<Bytes>) -> Result<Vec<Leaf>> {
        let sizes: Vec<u64> = chunks.iter().map(|chunk| chunk.len() as u64).collect();
        let parts = match layout.leaf_codec() {
            Codec::DagPb => chunks.into_iter().map(|chunk| wrapped_leaf(chunk).into()).collect(),
            _ => chunks,
        };
        let blocks = Block::make(hasher, layout.version, layout.leaf_codec(), layout.hash, parts).await?;
        Ok(blocks.into_iter().zip(sizes).map(|(block, size)| Leaf { block, size }).collect())
    }

    /// Links the next leaf; the nodes that this fills come out as blocks.
    pub async fn link(&mut self, hasher: &dyn Hasher, leaf: &Leaf) -> Result<Vec<Block>> {
        let tsize = leaf.block.bytes().len() as u64;
        self.graft(hasher, Child { cid: *leaf.block.cid(), size: leaf.size, tsize }, 0).await
    }

    /// Links what is finished already, at its level: that of leaves is 0.
    pub(super) async fn graft(&mut self, hasher: &dyn Hasher, mut child: Child, level: usize) -> Result<Vec<Block>> {
        let mut nodes = Vec::new();
        for level in level.. {
            while self.levels.len() <= level {
                self.levels.push(Vec::new());
            }
            let Some(children) = self.levels.get_mut(level) else { break };
            children.push(child);
            if children.len() < self.layout.width {
                break;
            }
            let full = std::mem::take(children);
            let (node, parent) = self.node(hasher, &full).await?;
            nodes.push(node);
            child = parent;
        }
        Ok(nodes)
    }

    /// Ends the file: the nodes still open come out as blocks, the last of them the root. At least one leaf must have
    /// been linked; an empty file has one empty leaf.
    pub async fn finish(mut self, hasher: &dyn Hasher) -> Result<(Vec<Block>, Built)> {
        let mut nodes = Vec::new();
        let mut carried: Option<Child> = None;
        let levels = std::mem::take(&mut self.levels);
        let top = levels.iter().rposition(|children| !children.is_empty()).unwrap_or(0);
        for (level, mut children) in levels.into_iter().enumerate() {
            children.extend(carried.take());
            carried = match children.as_slice() {
                [] => None,
                [root] if level >= top => Some(*root),
                _ => {
                    let (node, parent) = self.node(hasher, &children).await?;
                    nodes.push(node);
                    Some(parent)
                }
            };
        }
        let root = carried.ok_or_else(|| Error::InvalidArgument("a file has at least one leaf".into()))?;
        Ok((nodes, Built { root: root.cid, size: root.size }))
    }

    async fn node(&self, hasher: &dyn Hasher, children: &[Child]) -> Result<(Block, Child)> {
        let size = children.iter().map(|child| child.size).sum();
        let data = Data {
            file_size: Some(size),
            block_sizes: children.iter().map(|child| child.size).collect(),
            ..Data::new(Kind::File)
        };
        let link = |child: &Child| Link { cid: child.cid, name: Some(String::new()), tsize: Some(child.tsize) };
        let node = Node { links: children.iter().map(link).collect(), data: Some(data.encode().into()) };
        let parts = vec![Bytes::from(node.encode())];
        let block = Block::make(hasher, self.layout.version, Codec::DagPb, self.layout.hash, parts)
            .await?
            .pop()
            .ok_or_else(|| Error::Io("the hasher returned no digest".into()))?;
        // Of links that were there before, this is what somebody said.
        let own = block.bytes().len() as u64;
        let tsize = children.iter().fold(own, |sum, child| sum.saturating_add(child.tsize));
        let parent = Child { cid: *block.cid(), size, tsize };
        Ok((block, parent))
    }
}

/// A dag-pb leaf, as Kubo makes it: of type file, its size stated, and no data field when empty.
fn wrapped_leaf(chunk: Bytes) -> Vec<u8> {
    let size = chunk.len() as u64;
    let data = Data { data: (!chunk.is_empty()).then_some(chunk), file_size: Some(size), ..Data::new(Kind::File) };
    Node { links: Vec::new(), data: Some(data.encode().into()) }.encode()
}
