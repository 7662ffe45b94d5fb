//! Making directories, and changing them: in one block, or in shards when they are large.

use std::collections::BTreeMap;

use super::{
    data::{Data, Kind, Metadata},
    directory::{Shard, links, read},
    hamt::{self, Sharded},
    layout::{Layout, SizeRule},
    listing::DirectoryReader,
    reader::BlockSource,
    sink::BlockSink,
};
use crate::{
    block::Cid,
    dag::pb::{Link, Node},
    error::{Error, Result},
    hash::Hasher,
};

/// What a name in a directory stands for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    /// A file, a directory, or anything.
    pub cid: Cid,
    /// Bytes of all its blocks, as far as that is known.
    pub tsize: u64,
}

/// What names are to stand for; none: nothing.
pub type Changes = BTreeMap<String, Option<Target>>;

/// With what directories are made.
pub struct Edit<'a> {
    /// Where those are that are changed.
    pub source: &'a dyn BlockSource,
    /// What names blocks.
    pub hasher: &'a dyn Hasher,
    /// How.
    pub layout: Layout,
}

/// A directory to begin with.
#[derive(Default)]
enum Base {
    #[default]
    Nothing,
    Basic(Vec<Link>),
    Sharded(Cid, Shard),
}

impl Edit<'_> {
    /// A directory with these changes, `from` another one or from none. It is cut into shards when the layout says so, and put
    /// together again when something leaves it and it is small enough: a directory that is changed here is the same as one
    /// that was made at once. `metadata` replace those that it has.
    pub async fn directory(
        &self,
        sink: &mut dyn BlockSink,
        from: Option<Cid>,
        metadata: Option<Metadata>,
        changes: Changes,
    ) -> Result<Target> {
        check(&changes)?;
        let (base, kept) = match from {
            Some(cid) => self.base(&cid).await?,
            None => Default::default(),
        };
        let metadata = metadata.unwrap_or(kept);
        let (entries, sharded) = match base {
            Base::Nothing => (only(changes), None),
            Base::Basic(links) => {
                let mut entries = BTreeMap::new();
                for Link { cid, name, tsize } in links {
                    // Of two links with one name the first counts.
                    let target = Target { cid, tsize: tsize.unwrap_or_default() };
                    entries.entry(name.unwrap_or_default()).or_insert(Some(target));
                }
                entries.extend(changes);
                (only(entries), None)
            }
            Base::Sharded(root, shard) => match self.few(root, &changes, metadata).await? {
                Some(entries) => (entries, None),
                None => (BTreeMap::new(), hamt::edit(self, sink, Some(shard), metadata, changes).await?),
            },
        };
        let sharded = match sharded {
            None if self.is_large(&entries, metadata) => {
                let changes = entries.into_iter().map(|(name, target)| (name, Some(target))).collect();
                let made = hamt::edit(self, sink, None, metadata, changes).await?;
                made.ok_or_else(|| Error::Io("a large directory became an empty one".into()))?
            }
            None => {
                // What the makers of entries say of them may be anything.
                let below = entries.values().fold(0, |sum: u64, target| sum.saturating_add(target.tsize));
                Sharded { bytes: basic(entries, metadata).encode().into(), below }
            }
            Some(sharded) => sharded,
        };
        let Sharded { bytes, below } = sharded;
        let tsize = below.saturating_add(bytes.len() as u64);
        let blocks = self.make(vec![bytes]).await?;
        let cid = blocks.first().map(|block| block.cid().clone());
        sink.put(blocks).await?;
        Ok(Target { cid: cid.ok_or_else(|| Error::Io("the hasher returned no digest".into()))?, tsize })
    }

    async fn base(&self, cid: &Cid) -> Result<(Base, Metadata)> {
        let (node, data) = read(self.source, cid).await?;
        match data.kind {
            Kind::Directory => Ok((Base::Basic(links(cid, &node)?), data.metadata)),
            Kind::HamtShard => Ok((Base::Sharded(cid.clone(), Shard::of(cid, node, &data)?), data.metadata)),
            _ => Err(Error::Unsupported(format!("{cid} is no directory"))),
        }
    }

    /// The entries of a directory in shards with these changes, if something leaves it and they are so few then that it needs
    /// no shards.
    async fn few(&self, root: Cid, changes: &Changes, metadata: Metadata) -> Result<Option<BTreeMap<String, Target>>> {
        if changes.values().all(Option::is_some) {
            return Ok(None);
        }
        let mut entries = only(changes.clone());
        let mut size = self.size_of_none(metadata);
        size += entries.iter().map(|(name, target)| self.size_of(name, target)).sum::<usize>();
        let mut reader = DirectoryReader::open(self.source, root, None).await?;
        while let Some(Link { cid, name, tsize }) = reader.next().await? {
            let (name, target) = (name.unwrap_or_default(), Target { cid, tsize: tsize.unwrap_or_default() });
            if changes.contains_key(&name) {
                continue;
            }
            size += self.size_of(&name, &target);
            if size > self.layout.sharding.threshold {
                return Ok(None);
            }
            entries.insert(name, target);
        }
        Ok(Some(entries))
    }

    fn is_large(&self, entries: &BTreeMap<String, Target>, metadata: Metadata) -> bool {
        let size: usize = entries.iter().map(|(name, target)| self.size_of(name, target)).sum();
        !entries.is_empty() && self.size_of_none(metadata) + size > self.layout.sharding.threshold
    }

    fn size_of(&self, name: &str, target: &Target) -> usize {
        match self.layout.sharding.rule {
            SizeRule::LinksBytes => name.len() + target.cid.encoded_len(),
            SizeRule::BlockBytes => link(name.to_owned(), target.clone()).field_len(),
        }
    }

    fn size_of_none(&self, metadata: Metadata) -> usize {
        match self.layout.sharding.rule {
            SizeRule::LinksBytes => 0,
            SizeRule::BlockBytes => basic(BTreeMap::new(), metadata).encode().len(),
        }
    }
}

fn only(changes: Changes) -> BTreeMap<String, Target> {
    changes.into_iter().filter_map(|(name, target)| Some((name, target?))).collect()
}

fn link(name: String, Target { cid, tsize }: Target) -> Link {
    Link { cid, name: Some(name), tsize: Some(tsize) }
}

/// All entries in one node, in the order of their names' bytes.
fn basic(entries: BTreeMap<String, Target>, metadata: Metadata) -> Node {
    let data = Data { metadata, ..Data::new(Kind::Directory) };
    let links = entries.into_iter().map(|(name, target)| link(name, target)).collect();
    Node { links, data: Some(data.encode().into()) }
}

fn check(changes: &Changes) -> Result<()> {
    match changes.keys().find(|name| name.is_empty() || matches!(name.as_str(), "." | "..") || name.contains('/')) {
        Some(name) => Err(Error::InvalidArgument(format!("{name:?} is no name in a directory"))),
        None => Ok(()),
    }
}
