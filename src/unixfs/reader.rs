//! Reads a file, or a range of it, from its DAG; touches only the blocks that hold the range.

use std::ops::Range;

use async_trait::async_trait;
use bytes::Bytes;

use super::data::{Data, Kind};
use crate::{
    block::{Block, Cid, Codec},
    dag::pb::Node,
    error::{Error, Result},
};

/// Where a reader gets blocks from.
#[async_trait(?Send)]
pub trait BlockSource {
    /// The blocks with these CIDs, in their order.
    async fn blocks(&self, cids: &[Cid]) -> Result<Vec<Block>>;
}

/// Blocks asked for at once: with leaves of 1 MiB, the memory a reader takes.
const READ_AHEAD: usize = 8;

/// Deepest DAG that is read. With two links a node, the least useful, it would hold 2^64 leaves.
const MAX_DEPTH: usize = 64;

/// A file, or a range of it, being read.
pub struct FileReader<S> {
    source: S,
    size: u64,
    range: Range<u64>,
    /// What is still to be read; the next part is last.
    parts: Vec<Part>,
}

/// A subtree, and the bytes of the file that it must hold.
struct Part {
    cid: Cid,
    span: Range<u64>,
    depth: usize,
    block: Option<Block>,
}

impl<S: BlockSource> FileReader<S> {
    /// Starts at `offset`, for `length` bytes or to the end; reads the root.
    pub async fn open(source: S, root: Cid, offset: u64, length: Option<u64>) -> Result<Self> {
        let block = one(source.blocks(&[root]).await?, &root)?;
        let size = match Codec::of(&root)? {
            Codec::Raw => block.bytes().len() as u64,
            Codec::DagPb => FileNode::decode(&block)?.size,
            Codec::DagCbor | Codec::DagJson => {
                return Err(Error::Unsupported(format!("{root} is no file but a value of linked data")));
            }
        };
        let start = offset.min(size);
        let end = length.map_or(size, |length| start.saturating_add(length).min(size));
        let parts = vec![Part { cid: root, span: 0..size, depth: 0, block: Some(block) }];
        Ok(FileReader { source, size, range: start..end, parts })
    }

    /// Bytes of the whole file, whatever the range.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// Bytes of the range.
    pub fn remaining(&self) -> u64 {
        self.range.end - self.range.start
    }

    /// The next bytes, as they lie in one block; none at the end.
    pub async fn next(&mut self) -> Result<Option<Bytes>> {
        while !self.range.is_empty() {
            self.fill().await?;
            let Some(mut part) = self.parts.pop() else {
                return Err(Error::Corrupt { cid: None, detail: "a file's DAG ends before the file".into() });
            };
            let Some(block) = part.block.take() else { continue };
            if part.span.end <= self.range.start {
                continue;
            }
            let bytes = match Codec::of(&part.cid)? {
                Codec::DagPb => self.descend(&part, &block)?,
                _ => block.into_bytes(),
            };
            let held = part.span.start..part.span.start + bytes.len() as u64;
            let wanted = held.start.max(self.range.start)..held.end.min(self.range.end);
            if held.start > self.range.start {
                return Err(Error::corrupt(part.cid, "the part of the file before it could not be read"));
            }
            if !wanted.is_empty() {
                self.range.start = wanted.end;
                let offset = |position: u64| (position - held.start) as usize;
                return Ok(Some(bytes.slice(offset(wanted.start)..offset(wanted.end))));
            }
        }
        Ok(None)
    }

    /// Fetches the next part's block, and with it those of the parts after it.
    async fn fill(&mut self) -> Result<()> {
        if self.parts.last().is_none_or(|part| part.block.is_some()) {
            return Ok(());
        }
        let wanted = |part: &&mut Part| part.span.start < self.range.end;
        let mut next: Vec<&mut Part> = self.parts.iter_mut().rev().take_while(wanted).take(READ_AHEAD).collect();
        next.retain(|part| part.block.is_none());
        let cids: Vec<Cid> = next.iter().map(|part| part.cid).collect();
        let blocks = self.source.blocks(&cids).await?;
        for (part, block) in next.into_iter().zip(blocks) {
            let length = block.bytes().len() as u64;
            if Codec::of(&part.cid)? == Codec::Raw && length != part.span.end - part.span.start {
                return Err(Error::corrupt(part.cid, "a leaf has another size than its node says"));
            }
            part.block = Some(block);
        }
        Ok(())
    }

    /// Puts the children of a node on the stack, and returns the bytes that the node holds itself.
    fn descend(&mut self, part: &Part, block: &Block) -> Result<Bytes> {
        let node = FileNode::decode(block)?;
        if node.size != part.span.end - part.span.start {
            return Err(Error::corrupt(part.cid, "a node has another size than its parent says"));
        }
        if part.depth == MAX_DEPTH {
            return Err(Error::corrupt(part.cid, format!("the DAG is deeper than {MAX_DEPTH}")));
        }
        let mut start = part.span.start + node.data.len() as u64;
        let first = self.parts.len();
        for (cid, size) in node.children {
            let span = start..start + size;
            start = span.end;
            if span.end > self.range.start && span.start < self.range.end && !span.is_empty() {
                self.parts.push(Part { cid, span, depth: part.depth + 1, block: None });
            }
        }
        if let Some(children) = self.parts.get_mut(first..) {
            children.reverse();
        }
        Ok(node.data)
    }
}

fn one(blocks: Vec<Block>, cid: &Cid) -> Result<Block> {
    blocks.into_iter().next().ok_or_else(|| Error::corrupt(*cid, "the source gave no block"))
}

/// A file's node, its sizes proven to fit together.
struct FileNode {
    size: u64,
    data: Bytes,
    children: Vec<(Cid, u64)>,
}

impl FileNode {
    fn decode(block: &Block) -> Result<FileNode> {
        let corrupt = |detail: &str| Error::corrupt(*block.cid(), detail);
        let node = Node::decode(block.bytes()).map_err(|malformed| corrupt(malformed.0))?;
        let message = node.data.ok_or_else(|| corrupt("a dag-pb node without UnixFS data"))?;
        let data = Data::decode(&message).map_err(|malformed| corrupt(malformed.0))?;
        match data.kind {
            Kind::File | Kind::Raw => {}
            Kind::Directory | Kind::HamtShard => {
                return Err(Error::Unsupported(format!("{} is a directory", block.cid())));
            }
            Kind::Symlink => return Err(Error::Unsupported(format!("{} is a symbolic link", block.cid()))),
            Kind::Metadata => return Err(Error::Unsupported(format!("{} is metadata", block.cid()))),
        }
        if data.block_sizes.len() != node.links.len() {
            return Err(corrupt("a file's node has not one size for each link"));
        }
        let bytes = data.data.unwrap_or_default();
        let size = data
            .block_sizes
            .iter()
            .try_fold(bytes.len() as u64, |sum, size| sum.checked_add(*size))
            .ok_or_else(|| corrupt("the sizes in a file's node overflow"))?;
        if data.file_size.is_some_and(|stated| stated != size) {
            return Err(corrupt("the sizes in a file's node do not add up"));
        }
        let children = node.links.into_iter().map(|link| link.cid).zip(data.block_sizes).collect();
        Ok(FileNode { size, data: bytes, children })
    }
}
