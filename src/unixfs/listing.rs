//! Reading what is in a directory, entry by entry, whatever its size.

use std::collections::VecDeque;

use super::{
    data::Kind,
    directory::{Shard, decode, links, malformed, read},
    hamt,
    reader::BlockSource,
};
use crate::{
    block::{Block, Cid},
    dag::pb::Link,
    error::{Error, Result},
};

/// Shards asked for at once.
const SHARDS_AT_ONCE: usize = 16;

/// A directory being read. The order is that of its links, or in shards that of the names' hashes, and does not change.
pub struct DirectoryReader<S> {
    source: S,
    root: Cid,
    /// Bits that choose a bucket; 0 where all names are in one node.
    bits: u32,
    /// The nodes being read, the deepest last.
    frames: Vec<Frame>,
}

struct Frame {
    items: VecDeque<Item>,
    /// The hash after which to begin, as long as nothing behind it was seen.
    after: Option<u64>,
}

struct Item {
    bucket: u64,
    /// Empty for a shard.
    link: Link,
    block: Option<Block>,
}

impl<S: BlockSource> DirectoryReader<S> {
    /// Begins with the entry after `after`, which need not be there any more, or with the first.
    pub async fn open(source: S, root: Cid, after: Option<&str>) -> Result<Self> {
        let (node, data) = read(&source, &root).await?;
        let (bits, frame) = match data.kind {
            Kind::Directory => (0, Frame::basic(links(&root, &node)?, after)),
            Kind::HamtShard => {
                let shard = Shard::of(&root, node, &data)?;
                (shard.bits, Frame::shard(&shard, after.map(hamt::hash))?)
            }
            _ => return Err(Error::Unsupported(format!("{root} is no directory"))),
        };
        Ok(DirectoryReader { source, root, bits, frames: vec![frame] })
    }

    /// The next entry; none at the end.
    pub async fn next(&mut self) -> Result<Option<Link>> {
        loop {
            let depth = self.frames.len().saturating_sub(1) as u32;
            let Some(frame) = self.frames.last_mut() else { return Ok(None) };
            let Some(item) = frame.items.pop_front() else {
                self.frames.pop();
                continue;
            };
            let is_shard = item.is_shard(self.bits);
            let mut below = None;
            if let Some(after) = frame.after {
                let place = hamt::bucket(after, self.bits, depth);
                if Some(item.bucket) < place {
                    continue;
                }
                frame.after = None;
                if Some(item.bucket) == place {
                    below = Some(after);
                    if !is_shard && item.link.name.as_deref().is_some_and(|name| hamt::hash(name) <= after) {
                        continue;
                    }
                }
            }
            if !is_shard {
                return Ok(Some(item.link));
            }
            self.descend(item, depth, below).await?;
        }
    }

    /// Goes on in a shard below, and reads those that come after it with it.
    async fn descend(&mut self, mut item: Item, depth: u32, after: Option<u64>) -> Result<()> {
        if hamt::bucket(0, self.bits, depth + 1).is_none() {
            return Err(malformed(&self.root, "its shards are deeper than any hash"));
        }
        if item.block.is_none() {
            let bits = self.bits;
            let next = self.frames.last_mut().into_iter().flat_map(|frame| &mut frame.items);
            let mut wanted = vec![&mut item];
            wanted.extend(next.filter(|item| item.is_shard(bits)).take(SHARDS_AT_ONCE - 1));
            let cids: Vec<Cid> = wanted.iter().map(|item| item.link.cid.clone()).collect();
            for (item, block) in wanted.into_iter().zip(self.source.blocks(&cids).await?) {
                item.block = Some(block);
            }
        }
        let Some(block) = item.block else {
            return Err(Error::corrupt(item.link.cid, "the source gave no block"));
        };
        let (node, data) = decode(&block)?;
        let shard = Shard::of(block.cid(), node, &data)?;
        if data.kind != Kind::HamtShard || shard.bits != self.bits {
            return Err(malformed(block.cid(), "it is no shard like the one above it"));
        }
        self.frames.push(Frame::shard(&shard, after)?);
        Ok(())
    }
}

impl Frame {
    fn basic(links: Vec<Link>, after: Option<&str>) -> Frame {
        let name = |link: &Link| link.name.clone().unwrap_or_default();
        let mut items: VecDeque<Item> = links.into_iter().map(|link| Item { bucket: 0, link, block: None }).collect();
        if let Some(after) = after {
            match items.iter().position(|item| name(&item.link) == after) {
                Some(at) => drop(items.drain(..=at)),
                // It has gone: names are in their order.
                None => items.retain(|item| name(&item.link).as_str() > after),
            }
        }
        Frame { items, after: None }
    }

    fn shard(shard: &Shard, after: Option<u64>) -> Result<Frame> {
        let item = |(bucket, name, link): (u64, String, Link)| {
            let link = Link { name: Some(name), ..link };
            Item { bucket, link, block: None }
        };
        Ok(Frame { items: shard.entries()?.into_iter().map(item).collect(), after })
    }
}

impl Item {
    fn is_shard(&self, bits: u32) -> bool {
        bits > 0 && self.link.name.as_deref() == Some("")
    }
}
