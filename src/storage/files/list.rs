//! What is in the tree.

use super::{Files, path::Names, root::Roots, tree::Found};
use crate::{
    block::Cid,
    dag,
    error::Result,
    storage::{FileInfo, FilePage},
    unixfs::{EntryKind, Metadata, inspect},
};

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
    pub async fn ls(&self, path: &str, after: Option<&str>, limit: usize) -> Result<FilePage> {
        let names = Names::parse(path)?.names;
        let roots = Roots::load(&self.shared).await?;
        let tree = self.tree(&roots);
        let mut page = FilePage { files: Vec::new(), next: None };
        let Found::Entry(target) = tree.get(&names).await? else { return Ok(page) };
        let (inspected, block) = tree.inspect(&target.cid).await?;
        if inspected.kind == EntryKind::Directory {
            return self.shared.entries(&tree.source, target.cid, after, limit).await;
        }
        if after.is_none() {
            let filename = names.last().cloned();
            let mut info = FileInfo { filename, dag_size: Some(target.tsize), ..FileInfo::new(target.cid) };
            info.inspected(&block)?;
            page.files.push(info);
        }
        Ok(page)
    }
}
