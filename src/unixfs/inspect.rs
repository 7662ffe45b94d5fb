//! What a block is, told from the block alone.

use super::{
    data::{Data, Kind, Metadata},
    directory::malformed,
};
use crate::{
    block::{Block, Codec},
    dag::pb::{Node, Outline},
    error::Result,
};

/// What a CID may lead to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EntryKind {
    /// A file.
    File,
    /// A directory, in one block or in shards.
    Directory,
    /// A symbolic link.
    Symlink,
    /// A value of linked data.
    Value,
}

impl EntryKind {
    const ALL: [EntryKind; 4] = [EntryKind::File, EntryKind::Directory, EntryKind::Symlink, EntryKind::Value];

    /// The kind of this name.
    pub fn from_name(name: &str) -> Option<EntryKind> {
        EntryKind::ALL.into_iter().find(|kind| kind.name() == name)
    }

    /// Its name, as in `wit/types.wit`.
    pub const fn name(self) -> &'static str {
        match self {
            EntryKind::File => "file",
            EntryKind::Directory => "directory",
            EntryKind::Symlink => "symlink",
            EntryKind::Value => "value",
        }
    }
}

/// What a block says of itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Inspected {
    /// What it is.
    pub kind: EntryKind,
    /// Bytes of a file, of a symbolic link's target, or of a value's block; 0 of a directory.
    pub size: u64,
    /// What was kept of it.
    pub metadata: Metadata,
    /// Where a symbolic link leads.
    pub target: Option<String>,
}

/// Looks at the root block of something. A dag-pb node that is not UnixFS is a value.
pub fn inspect(block: &Block) -> Result<Inspected> {
    let bytes = block.bytes().len() as u64;
    let plain = |kind| Inspected { kind, size: bytes, metadata: Metadata::default(), target: None };
    match Codec::of(block.cid())? {
        Codec::Raw => return Ok(plain(EntryKind::File)),
        Codec::DagPb => {}
        Codec::DagCbor | Codec::DagJson => return Ok(plain(EntryKind::Value)),
    }
    let node = Outline::decode(block.bytes()).map_err(|wrong| malformed(block.cid(), wrong.0))?;
    let Some(Ok(data)) = node.data.as_ref().map(Data::decode) else { return Ok(plain(EntryKind::Value)) };
    let held = data.data.as_ref().map_or(0, |data| data.len() as u64);
    let (kind, size) = match data.kind {
        Kind::File | Kind::Raw => {
            (EntryKind::File, data.block_sizes.iter().fold(held, |sum, size| sum.saturating_add(*size)))
        }
        Kind::Directory | Kind::HamtShard => (EntryKind::Directory, 0),
        Kind::Symlink => (EntryKind::Symlink, held),
        Kind::Metadata => return Ok(plain(EntryKind::Value)),
    };
    let target = data.data.filter(|_| kind == EntryKind::Symlink);
    let target = target.and_then(|target| String::from_utf8(target.to_vec()).ok());
    Ok(Inspected { kind, size, metadata: data.metadata, target })
}

/// The node of a symbolic link.
pub fn symlink(target: &str, metadata: Metadata) -> Vec<u8> {
    let data = Data { data: Some(target.to_owned().into()), metadata, ..Data::new(Kind::Symlink) };
    Node { links: Vec::new(), data: Some(data.encode().into()) }.encode()
}
