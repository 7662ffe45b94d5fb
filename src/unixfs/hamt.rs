//! Editing directories in shards: a list of changes goes down to the shards that they concern, and new shards come up.
//! Building one is editing none.

use std::collections::BTreeMap;

use bytes::Bytes;
use futures_util::future::LocalBoxFuture;

use super::{
    data::{Data, Kind, Metadata},
    directory::{MURMUR3, Shard, malformed},
    edit::{Changes, Edit, Target},
    sink::BlockSink,
};
use crate::{
    block::{Block, Codec},
    dag::pb::{Link, Node},
    error::{Error, Result},
};

/// Buckets of the shards that are made here, as Kubo and Helia make them.
const FANOUT: u64 = 256;

/// Bytes of shards that wait to be written, for others of the same shard above.
const MAX_WAITING: usize = 1024 * 1024;

/// The place of a name, before it is cut into buckets.
pub(super) fn hash(name: &str) -> u64 {
    mur3::murmurhash3_x64_128(name.as_bytes(), 0).0
}

/// The bucket of a hash in a shard of so many bits, this deep; none where the hash has no bits left.
pub(super) fn bucket(hash: u64, bits: u32, depth: u32) -> Option<u64> {
    let used = bits * depth;
    (used + bits <= u64::BITS).then(|| hash << used >> (u64::BITS - bits))
}

/// A directory in shards as it is to be written: its root still without a CID.
pub(super) struct Sharded {
    /// The root's bytes.
    pub bytes: Bytes,
    /// Bytes of all other blocks below it.
    pub below: u64,
}

/// Applies changes to a directory in shards, or makes one; none when nothing is left in it.
pub(super) async fn edit(
    edit: &Edit<'_>,
    sink: &mut dyn BlockSink,
    shard: Option<Shard>,
    metadata: Metadata,
    changes: Changes,
) -> Result<Option<Sharded>> {
    let bits = shard.as_ref().map_or(FANOUT.ilog2(), |shard| shard.bits);
    let mut items: Vec<Item> = changes.into_iter().map(|(name, to)| Item { hash: hash(&name), name, to }).collect();
    items.sort_unstable_by_key(|item| item.hash);
    let editor = Editor { edit, bits, metadata };
    match editor.apply(sink, shard, 0, items).await? {
        Outcome::Shard(sharded) => Ok(Some(sharded)),
        Outcome::Nothing | Outcome::One(..) => Ok(None),
    }
}

struct Editor<'a> {
    edit: &'a Edit<'a>,
    bits: u32,
    metadata: Metadata,
}

/// A change, and where it goes.
struct Item {
    hash: u64,
    name: String,
    to: Option<Target>,
}

/// What is in a bucket.
enum Slot {
    Entry(String, Target),
    /// A shard, as it was.
    Below(Target),
    /// A shard that is to be written.
    Made(Sharded),
}

/// What became of a part of a directory.
enum Outcome {
    Nothing,
    /// An only entry needs no shard.
    One(String, Target),
    Shard(Sharded),
}

impl Editor<'_> {
    /// Applies changes to a shard, or to none; those of one bucket follow each other.
    fn apply<'a>(
        &'a self,
        sink: &'a mut dyn BlockSink,
        shard: Option<Shard>,
        depth: u32,
        items: Vec<Item>,
    ) -> LocalBoxFuture<'a, Result<Outcome>> {
        Box::pin(async move {
            let mut slots = shard.map(|shard| self.slots(&shard)).transpose()?.unwrap_or_default();
            let mut items = items.into_iter().peekable();
            let mut waiting = 0;
            while let Some(item) = items.next() {
                let place = |item: &Item| bucket(item.hash, self.bits, depth);
                let at = place(&item).ok_or_else(too_many_alike)?;
                let mut group = vec![item];
                while let Some(item) = items.next_if(|item| place(item) == Some(at)) {
                    group.push(item);
                }
                let outcome = match slots.remove(&at) {
                    Some(Slot::Below(shard)) => {
                        let below = Shard::read(self.edit.source, &shard.cid).await?;
                        if below.bits != self.bits {
                            return Err(malformed(&shard.cid, "it is no shard like the one above it"));
                        }
                        self.apply(sink, Some(below), depth + 1, group).await?
                    }
                    Some(Slot::Entry(name, target)) if group.iter().all(|item| item.name != name) => {
                        group.push(Item { hash: hash(&name), name, to: Some(target) });
                        group.sort_unstable_by_key(|item| item.hash);
                        self.gather(sink, depth + 1, group).await?
                    }
                    _ => self.gather(sink, depth + 1, group).await?,
                };
                let slot = match outcome {
                    Outcome::Nothing => continue,
                    Outcome::One(name, target) => Slot::Entry(name, target),
                    Outcome::Shard(made) => {
                        waiting += made.bytes.len();
                        Slot::Made(made)
                    }
                };
                slots.insert(at, slot);
                if waiting >= MAX_WAITING {
                    self.write(sink, &mut slots).await?;
                    waiting = 0;
                }
            }
            self.close(sink, depth, slots).await
        })
    }

    /// What these are together, where nothing was.
    async fn gather(&self, sink: &mut dyn BlockSink, depth: u32, mut items: Vec<Item>) -> Result<Outcome> {
        items.retain(|item| item.to.is_some());
        match (items.len(), items.pop()) {
            (1, Some(Item { name, to: Some(target), .. })) => Ok(Outcome::One(name, target)),
            (_, Some(last)) => {
                items.push(last);
                self.apply(sink, None, depth, items).await
            }
            (_, None) => Ok(Outcome::Nothing),
        }
    }

    fn slots(&self, shard: &Shard) -> Result<BTreeMap<u64, Slot>> {
        let mut slots = BTreeMap::new();
        for (bucket, name, link) in shard.entries()? {
            let target = Target { cid: link.cid, tsize: link.tsize.unwrap_or_default() };
            slots.insert(bucket, if name.is_empty() { Slot::Below(target) } else { Slot::Entry(name, target) });
        }
        Ok(slots)
    }

    /// Names the shards that were made, all at once, for together they fill the lanes of the hasher; and writes them.
    async fn write(&self, sink: &mut dyn BlockSink, slots: &mut BTreeMap<u64, Slot>) -> Result<()> {
        let (mut made, mut parts, mut sizes) = (Vec::new(), Vec::new(), Vec::new());
        for slot in slots.values_mut() {
            if let Slot::Made(Sharded { bytes, below }) = slot {
                sizes.push(below.saturating_add(bytes.len() as u64));
                parts.push(std::mem::take(bytes));
                made.push(slot);
            }
        }
        let blocks = self.edit.make(parts).await?;
        if blocks.len() != made.len() {
            return Err(Error::Io("the hasher returned no digest".into()));
        }
        for ((slot, block), tsize) in made.into_iter().zip(&blocks).zip(sizes) {
            *slot = Slot::Below(Target { cid: block.cid().clone(), tsize });
        }
        sink.put(blocks).await
    }

    /// Makes the shard above them.
    async fn close(&self, sink: &mut dyn BlockSink, depth: u32, mut slots: BTreeMap<u64, Slot>) -> Result<Outcome> {
        if depth > 0 && slots.len() == 1 {
            match slots.pop_first() {
                Some((_, Slot::Entry(name, target))) => return Ok(Outcome::One(name, target)),
                other => slots.extend(other),
            }
        }
        if slots.is_empty() {
            return Ok(Outcome::Nothing);
        }
        self.write(sink, &mut slots).await?;
        let digits = self.bits.div_ceil(4) as usize;
        let mut field = vec![0u8; (1usize << self.bits) / 8];
        let mut links = Vec::with_capacity(slots.len());
        let mut below = 0;
        for (bucket, slot) in slots {
            if let Some(byte) = field.iter_mut().rev().nth(bucket as usize / 8) {
                *byte |= 1 << (bucket % 8);
            }
            let (name, Target { cid, tsize }) = match slot {
                Slot::Entry(name, target) => (name, target),
                Slot::Below(target) => (String::new(), target),
                Slot::Made(_) => return Err(Error::Io("a shard was made and not written".into())),
            };
            let name = format!("{bucket:0digits$X}{name}");
            below = u64::saturating_add(below, tsize);
            links.push(Link { cid, name: Some(name), tsize: Some(tsize) });
        }
        let leading = field.iter().take_while(|byte| **byte == 0).count();
        let data = Data {
            data: Some(Bytes::from(field).slice(leading..)),
            hash_type: Some(MURMUR3),
            fanout: Some(1 << self.bits),
            metadata: if depth == 0 { self.metadata } else { Metadata::default() },
            ..Data::new(Kind::HamtShard)
        };
        let bytes = Node { links, data: Some(data.encode().into()) }.encode().into();
        Ok(Outcome::Shard(Sharded { bytes, below }))
    }
}

impl Edit<'_> {
    /// Nodes of directories as blocks.
    pub(super) async fn make(&self, parts: Vec<Bytes>) -> Result<Vec<Block>> {
        Block::make(self.hasher, self.layout.version, Codec::DagPb, self.layout.hash, parts).await
    }
}

fn too_many_alike() -> Error {
    Error::Unsupported("two names in a directory have one hash, of which shards have no more bits".into())
}
