//! What is in the tree.

use super::{
    Files,
    path::{Names, text},
    root::Roots,
    tree::Found,
};
use crate::{
    block::{Cid, Codec},
    dag,
    error::{Error, Result},
    storage::MAX_PAGE,
    unixfs::{BlockSource, DirectoryReader, EntryKind, Metadata, inspect},
};

/// Children whose root blocks are read at once, for what they are.
const LOOKED_AT: usize = 16;

/// What is at a path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileStat {
    /// Its CID.
    pub cid: Cid,
    /// What it is.
    pub kind: EntryKind,
    /// Bytes of a file; 0 of a directory.
    pub size: u64,
    /// Bytes of all its blocks, as their makers say; what is linked twice counts twice.
    pub cumulative_size: u64,
    /// How many links its root block has.
    pub links: u64,
    /// What was kept of it.
    pub metadata: Metadata,
}

/// An entry of a directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileEntry {
    /// Its name.
    pub name: String,
    /// What it leads to.
    pub cid: Cid,
    /// What that is; none if its root block is not here.
    pub kind: Option<EntryKind>,
    /// Bytes of a file, 0 of a directory; none likewise.
    pub size: Option<u64>,
}

/// A part of a directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EntryPage {
    /// In the order of the directory: of names' bytes, or in shards of their hashes.
    pub entries: Vec<FileEntry>,
    /// After which name the next page begins; none on the last one.
    pub next: Option<String>,
}

impl Files {
    /// What is at a path.
    pub async fn stat(&self, path: &str) -> Result<FileStat> {
        let names = Names::parse(path)?.names;
        let roots = Roots::load(&self.shared).await?;
        let tree = self.tree(&roots);
        let mut made = Vec::new();
        let found = tree.get(&names).await?;
        let empty = found == Found::Empty;
        let cid = self.target(&tree, found, &mut made).await?.cid;
        let (inspected, block) = match made.pop().filter(|_| empty) {
            Some(block) => (inspect(&block)?, block),
            None => tree.inspect(&cid).await?,
        };
        let links = dag::links(&block)?.len() as u64;
        let cumulative_size = if empty { block.bytes().len() as u64 } else { tree.size_of(&cid).await? };
        let size = if inspected.kind == EntryKind::Directory { 0 } else { inspected.size };
        Ok(FileStat { cid, kind: inspected.kind, size, cumulative_size, links, metadata: inspected.metadata })
    }

    /// At most `limit` entries of a directory after the name `after`. A file is the only entry of its own list.
    pub async fn ls(&self, path: &str, after: Option<&str>, limit: usize) -> Result<EntryPage> {
        if !(1..=MAX_PAGE).contains(&limit) {
            return Err(Error::InvalidArgument(format!("a page of {limit}; allowed are 1 to {MAX_PAGE}")));
        }
        let names = Names::parse(path)?.names;
        let roots = Roots::load(&self.shared).await?;
        let tree = self.tree(&roots);
        let nothing = EntryPage { entries: Vec::new(), next: None };
        let Found::Entry(target) = tree.get(&names).await? else { return Ok(nothing) };
        let (inspected, _) = tree.inspect(&target.cid).await?;
        if inspected.kind != EntryKind::Directory {
            let name = names.last().cloned().ok_or_else(|| Error::NoEntry(text(&names)))?;
            let entry = FileEntry { name, cid: target.cid, kind: Some(inspected.kind), size: Some(inspected.size) };
            return Ok(EntryPage {
                entries: Some(entry).filter(|_| after.is_none()).into_iter().collect(),
                next: None,
            });
        }
        let mut reader = DirectoryReader::open(&tree.source, target.cid, after).await?;
        let mut page = nothing;
        while let Some(link) = reader.next().await? {
            if page.entries.len() == limit {
                page.next = page.entries.last().map(|last| last.name.clone());
                break;
            }
            let name = link.name.unwrap_or_default();
            page.entries.push(FileEntry { name, cid: link.cid, kind: None, size: None });
        }
        for entries in page.entries.chunks_mut(LOOKED_AT) {
            self.look_at(entries).await?;
        }
        Ok(page)
    }

    /// Tells what entries are whose root blocks are here.
    async fn look_at(&self, entries: &mut [FileEntry]) -> Result<()> {
        for entry in entries {
            let block = match self.shared.blocks.blocks(&[entry.cid]).await {
                Err(Error::NotAvailableOffline { .. } | Error::Corrupt { .. }) => {
                    // A raw block is a file, whoever has it.
                    entry.kind = (Codec::of(&entry.cid)? == Codec::Raw).then_some(EntryKind::File);
                    continue;
                }
                blocks => blocks?.pop(),
            };
            if let Some(block) = block {
                let inspected = inspect(&block)?;
                entry.kind = Some(inspected.kind);
                entry.size = Some(if inspected.kind == EntryKind::Directory { 0 } else { inspected.size });
            }
        }
        Ok(())
    }
}
