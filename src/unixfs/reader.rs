//! Reads a file, or a range of it, from its DAG; touches only the blocks that hold the range.

use std::ops::Range;

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::{
    StreamExt,
    future::{self, LocalBoxFuture},
    stream::FuturesOrdered,
};

use super::{
    builder::Child,
    data::{Data, Kind},
};
use crate::{
    block::{Block, Cid, Codec},
    dag::pb::{Link, Outline},
    error::{Error, Result},
};

/// Where a reader gets blocks from.
#[async_trait(?Send)]
pub trait BlockSource {
    /// The blocks with these CIDs, in their order.
    async fn blocks(&self, cids: &[Cid]) -> Result<Vec<Block>>;

    /// Told what will be asked for, in this order: subtrees and the bytes of the file that they hold.
    fn expect(&self, _parts: &[(Cid, Range<u64>)]) {}

    /// Told that a path leads through `node`, which is found below `from` when `names` are followed there. Without names the
    /// node is where it ends.
    fn on_the_way(&self, _node: &Cid, _from: &Cid, _names: &[String]) {}
}

/// A reference to one is one, for who does not ask ahead.
#[async_trait(?Send)]
impl<S: BlockSource + ?Sized> BlockSource for &S {
    async fn blocks(&self, cids: &[Cid]) -> Result<Vec<Block>> {
        (**self).blocks(cids).await
    }

    fn expect(&self, parts: &[(Cid, Range<u64>)]) {
        (**self).expect(parts);
    }

    fn on_the_way(&self, node: &Cid, from: &Cid, names: &[String]) {
        (**self).on_the_way(node, from, names);
    }
}

/// Blocks asked for at once.
const BATCH: usize = 4;

/// Batches on their way at once, so that one is read while the other is hashed, and both while the caller takes a third.
/// With leaves of 1 MiB the three are the memory that a reader takes.
const BATCHES: usize = 2;

/// Deepest DAG that is read. With two links a node, the least useful, it would hold 2^64 leaves.
pub(super) const MAX_DEPTH: usize = 64;

/// A file, or a range of it, being read.
pub struct FileReader<S> {
    source: S,
    root: Cid,
    size: u64,
    range: Range<u64>,
    /// What is still to be read; the next part is last.
    parts: Vec<Part>,
    /// Batches of blocks that parts were `asked` for, by number.
    coming: FuturesOrdered<LocalBoxFuture<'static, (u64, Result<Vec<Block>>)>>,
    batches: u64,
    /// What was found corrupt ahead of the caller.
    corrupt: Option<Error>,
}

/// A subtree, and the bytes of the file that it must hold.
struct Part {
    cid: Cid,
    span: Range<u64>,
    depth: usize,
    block: Option<Block>,
    /// The block, decoded already.
    node: Option<FileNode>,
    /// The batch in which its block is coming.
    asked: Option<u64>,
}

impl<S: BlockSource + Clone + 'static> FileReader<S> {
    /// Starts at `offset`, for `length` bytes or to the end; reads the root.
    pub async fn open(source: S, root: Cid, offset: u64, length: Option<u64>) -> Result<Self> {
        let block = one(source.blocks(std::slice::from_ref(&root)).await?, &root)?;
        let (size, node) = match Codec::of(&root)? {
            Codec::Raw => (block.bytes().len() as u64, None),
            Codec::DagPb => FileNode::decode(&block).map(|node| (node.size, Some(node)))?,
            Codec::DagCbor | Codec::DagJson => {
                return Err(Error::Unsupported(format!(
                    "{root} is no file but a value of linked data; get it as a value"
                )));
            }
        };
        let start = offset.min(size);
        let end = length.map_or(size, |length| start.saturating_add(length).min(size));
        let parts = vec![Part { cid: root.clone(), span: 0..size, depth: 0, block: Some(block), node, asked: None }];
        Ok(FileReader {
            source,
            root,
            size,
            range: start..end,
            parts,
            coming: FuturesOrdered::new(),
            batches: 0,
            corrupt: None,
        })
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
                return Err(malformed(&self.root, "it ends before the file does"));
            };
            let Some(block) = part.block.take() else { continue };
            if part.span.end <= self.range.start {
                continue;
            }
            let bytes = match Codec::of(&part.cid)? {
                Codec::DagPb => self.descend(&mut part, &block)?,
                _ => block.into_bytes(),
            };
            let held = part.span.start..part.span.start + bytes.len() as u64;
            let wanted = held.start.max(self.range.start)..held.end.min(self.range.end);
            if held.start > self.range.start {
                return Err(malformed(&part.cid, "the part of the file before it could not be read"));
            }
            if !wanted.is_empty() {
                self.range.start = wanted.end;
                let offset = |position: u64| (position - held.start) as usize;
                return Ok(Some(bytes.slice(offset(wanted.start)..offset(wanted.end))));
            }
        }
        Ok(None)
    }

    /// Waits for the next part's block, and asks for those of the parts after it.
    async fn fill(&mut self) -> Result<()> {
        loop {
            self.ask();
            let waits = self.parts.last().is_some_and(|part| part.block.is_none());
            // Asked once, the others go on while the caller is busy, where the host can do two things at a time.
            let arrived = match waits {
                true => self.coming.next().await,
                false => future::poll_immediate(self.coming.next()).await.flatten(),
            };
            let Some((batch, arrived)) = arrived else { return Ok(()) };
            self.take(batch, arrived).await?;
        }
    }

    /// Asks for the next blocks, as far as there is room for them.
    fn ask(&mut self) {
        let end = self.range.end;
        let room = (BATCHES + 1) * BATCH;
        while self.coming.len() < BATCHES {
            let batch = self.batches;
            let wanted = |part: &&mut Part| part.block.is_none() && part.asked.is_none() && part.span.start < end;
            let next = self.parts.iter_mut().rev().take(room).filter(wanted).take(BATCH);
            let cids: Vec<Cid> = next
                .map(|part| {
                    part.asked = Some(batch);
                    part.cid.clone()
                })
                .collect();
            if cids.is_empty() {
                return;
            }
            self.batches += 1;
            let source = self.source.clone();
            self.coming.push_back(Box::pin(async move { (batch, source.blocks(&cids).await) }));
        }
    }

    /// Gives the parts the blocks that came for them.
    async fn take(&mut self, batch: u64, arrived: Result<Vec<Block>>) -> Result<()> {
        let mut asked: Vec<&mut Part> = self.parts.iter_mut().rev().filter(|part| part.asked == Some(batch)).collect();
        asked.iter_mut().for_each(|part| part.asked = None);
        let blocks = match arrived {
            Ok(blocks) => blocks,
            // One of several failed: the next alone may be there, and is to be read before the failure shows.
            Err(error) if asked.len() > 1 => {
                self.corrupt =
                    Some(error).filter(|error| matches!(error, Error::Corrupt { .. })).or(self.corrupt.take());
                asked.truncate(1);
                let cids: Vec<Cid> = asked.iter().map(|part| part.cid.clone()).collect();
                let alone = self.source.blocks(&cids).await;
                alone.map_err(|error| reason(error, &self.corrupt))?
            }
            Err(error) => return Err(reason(error, &self.corrupt)),
        };
        for (part, block) in asked.into_iter().zip(blocks) {
            let length = block.bytes().len() as u64;
            if Codec::of(&part.cid)? == Codec::Raw && length != part.span.end - part.span.start {
                return Err(malformed(&part.cid, "a leaf has another size than its node says"));
            }
            part.block = Some(block);
        }
        Ok(())
    }

    /// Puts the children of a node on the stack, and returns the bytes that the node holds itself.
    fn descend(&mut self, part: &mut Part, block: &Block) -> Result<Bytes> {
        let node = part.node.take().map_or_else(|| FileNode::decode(block), Ok)?;
        if node.size != part.span.end - part.span.start {
            return Err(malformed(&part.cid, "a node has another size than its parent says"));
        }
        if part.depth == MAX_DEPTH {
            return Err(malformed(&part.cid, &format!("the DAG is deeper than {MAX_DEPTH}")));
        }
        let from = part.span.start;
        let wanted = self.range.start.saturating_sub(from)..self.range.end.saturating_sub(from);
        let first = self.parts.len();
        for (start, Child { cid, size, .. }) in node.within(&wanted)? {
            let span = from + start..from + start + size;
            self.parts.push(Part { cid, span, depth: part.depth + 1, block: None, node: None, asked: None });
        }
        if let Some(children) = self.parts.get_mut(first..) {
            let expected: Vec<(Cid, Range<u64>)> =
                children.iter().map(|child| (child.cid.clone(), child.span.clone())).collect();
            self.source.expect(&expected);
            children.reverse();
        }
        Ok(node.data)
    }
}

/// A block that was found corrupt, and so set aside, is missing afterwards: the caller is told the first of the two.
fn reason(error: Error, corrupt: &Option<Error>) -> Error {
    match (&error, corrupt) {
        (Error::NotAvailableOffline { cid, .. }, Some(found @ Error::Corrupt { cid: Some(bad), .. })) if bad == cid => {
            found.clone()
        }
        _ => error,
    }
}

/// Verified bytes that are no file as UnixFS has it: nothing is damaged here, it was made like that.
pub(super) fn malformed(cid: &Cid, detail: &str) -> Error {
    Error::Unsupported(format!("{cid} is no well-formed UnixFS file: {detail}"))
}

pub fn one(blocks: Vec<Block>, cid: &Cid) -> Result<Block> {
    blocks.into_iter().next().ok_or_else(|| Error::corrupt(cid.clone(), "the source gave no block"))
}

/// A file's node, its sizes proven to fit together. Its links are read when they are wanted: a range needs few of them.
pub(super) struct FileNode {
    cid: Cid,
    pub size: u64,
    /// The bytes that it holds itself, before those of its children.
    pub data: Bytes,
    node: Outline,
    sizes: Vec<u64>,
}

impl FileNode {
    pub fn decode(block: &Block) -> Result<FileNode> {
        let refused = |detail: &str| malformed(block.cid(), detail);
        let node = Outline::decode(block.bytes()).map_err(|wrong| refused(wrong.0))?;
        let message = node.data.as_ref().ok_or_else(|| refused("a dag-pb node without UnixFS data"))?;
        let data = Data::decode(message).map_err(|wrong| refused(wrong.0))?;
        match data.kind {
            Kind::File | Kind::Raw => {}
            Kind::Directory | Kind::HamtShard => {
                return Err(Error::Unsupported(format!("{} is a directory", block.cid())));
            }
            Kind::Symlink => return Err(Error::Unsupported(format!("{} is a symbolic link", block.cid()))),
            Kind::Metadata => return Err(Error::Unsupported(format!("{} is metadata", block.cid()))),
        }
        if data.block_sizes.len() != node.len() {
            return Err(refused("a file's node has not one size for each link"));
        }
        let bytes = data.data.unwrap_or_default();
        let size = data
            .block_sizes
            .iter()
            .try_fold(bytes.len() as u64, |sum, size| sum.checked_add(*size))
            .ok_or_else(|| refused("the sizes in a file's node overflow"))?;
        if data.file_size.is_some_and(|stated| stated != size) {
            return Err(refused("the sizes in a file's node do not add up"));
        }
        Ok(FileNode { cid: block.cid().clone(), size, data: bytes, node, sizes: data.block_sizes })
    }

    /// Those children that have some of these bytes, counted from the first of the node's own, and where each begins.
    pub fn within(&self, wanted: &Range<u64>) -> Result<Vec<(u64, Child)>> {
        let mut end = self.data.len() as u64;
        let mut found = Vec::new();
        for (at, &size) in self.sizes.iter().enumerate() {
            let start = end;
            end += size;
            if end > wanted.start && start < wanted.end && size > 0 {
                found.push((start, self.child(at, size)?));
            }
        }
        Ok(found)
    }

    /// All children.
    pub fn children(&self) -> Result<Vec<Child>> {
        self.sizes.iter().enumerate().map(|(at, size)| self.child(at, *size)).collect()
    }

    fn child(&self, at: usize, size: u64) -> Result<Child> {
        let Link { cid, tsize, .. } = self.node.link(at).map_err(|wrong| malformed(&self.cid, wrong.0))?;
        // How large the DAGs below are is their maker's word, and nothing is decided by it.
        Ok(Child { cid, size, tsize: tsize.unwrap_or(size) })
    }
}
