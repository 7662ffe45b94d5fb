//! How a file becomes a DAG, and so which CID it gets.

use std::fmt;

use cid::Version;

use crate::{
    block::{Codec, MAX_BLOCK_BYTES},
    error::{Error, Result},
    hash::HashFunction,
};

/// Most bytes of file data in a leaf: a block, less what a dag-pb leaf adds to its data.
pub const MAX_CHUNK_BYTES: usize = MAX_BLOCK_BYTES - 256;

/// Most links in a node. With the longest digests such a node stays within half a block.
pub const MAX_WIDTH: usize = 8192;

/// The named layouts of IPIP-499.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Profile {
    /// CIDv1, raw leaves, 1 MiB chunks, 1024 links a node.
    #[default]
    UnixfsV1_2025,
    /// CIDv0, dag-pb leaves, 256 KiB chunks, 174 links a node.
    UnixfsV0_2015,
}

impl Profile {
    /// All of them.
    pub const ALL: [Profile; 2] = [Profile::UnixfsV1_2025, Profile::UnixfsV0_2015];

    /// Its name in IPIP-499.
    pub const fn name(self) -> &'static str {
        match self {
            Profile::UnixfsV1_2025 => "unixfs-v1-2025",
            Profile::UnixfsV0_2015 => "unixfs-v0-2015",
        }
    }

    /// The profile of this name.
    pub fn from_name(name: &str) -> Result<Profile> {
        Profile::ALL.into_iter().find(|profile| profile.name() == name).ok_or_else(|| {
            Error::InvalidArgument(format!("no profile {name:?}; there are unixfs-v1-2025 and unixfs-v0-2015"))
        })
    }
}

impl fmt::Display for Profile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// When a directory is cut into shards.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sharding {
    /// When it is larger than so many bytes,
    pub threshold: usize,
    /// counted like this.
    pub rule: SizeRule,
}

/// What counts as the size of a directory (IPIP-499).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SizeRule {
    /// Bytes of the names and the CIDs.
    LinksBytes,
    /// Bytes of the block that holds all of it.
    BlockBytes,
}

/// The threshold of both profiles.
const SHARD_OVER: usize = 256 * 1024;

/// Everything that decides over a file's or a directory's CID.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Layout {
    /// Of the nodes' CIDs; with version 0 the leaves are dag-pb and the hash is sha2-256.
    pub version: Version,
    /// Bytes of file data in each leaf but the last.
    pub chunk_bytes: usize,
    /// Most links in each node.
    pub width: usize,
    /// Whether leaves are raw blocks rather than dag-pb nodes.
    pub raw_leaves: bool,
    /// Of every block.
    pub hash: HashFunction,
    /// Of directories.
    pub sharding: Sharding,
}

impl Default for Layout {
    fn default() -> Self {
        Profile::default().into()
    }
}

impl From<Profile> for Layout {
    fn from(profile: Profile) -> Self {
        match profile {
            Profile::UnixfsV1_2025 => Layout {
                version: Version::V1,
                chunk_bytes: 1024 * 1024,
                width: 1024,
                raw_leaves: true,
                hash: HashFunction::Sha2_256,
                sharding: Sharding { threshold: SHARD_OVER, rule: SizeRule::BlockBytes },
            },
            Profile::UnixfsV0_2015 => Layout {
                version: Version::V0,
                chunk_bytes: 256 * 1024,
                width: 174,
                raw_leaves: false,
                hash: HashFunction::Sha2_256,
                sharding: Sharding { threshold: SHARD_OVER, rule: SizeRule::LinksBytes },
            },
        }
    }
}

impl Layout {
    /// The profile that this layout is, if it is one.
    pub fn profile(&self) -> Option<Profile> {
        Profile::ALL.into_iter().find(|profile| Layout::from(*profile) == *self)
    }

    /// Refuses what cannot be built.
    pub fn check(self) -> Result<Layout> {
        let problem = if !(1..=MAX_CHUNK_BYTES).contains(&self.chunk_bytes) {
            format!("chunk size {}; allowed are 1 to {MAX_CHUNK_BYTES} bytes", self.chunk_bytes)
        } else if !(2..=MAX_WIDTH).contains(&self.width) {
            format!("width {}; allowed are 2 to {MAX_WIDTH} links", self.width)
        } else if self.version == Version::V0 && self.raw_leaves {
            "CIDv0 cannot have raw leaves".into()
        } else if self.version == Version::V0 && self.hash != HashFunction::Sha2_256 {
            format!("CIDv0 cannot have {} digests", self.hash)
        } else if self.sharding.threshold > SHARD_OVER {
            format!("directories of {} bytes in one block; allowed are {SHARD_OVER}", self.sharding.threshold)
        } else {
            return Ok(self);
        };
        Err(Error::InvalidArgument(problem))
    }

    /// How many bytes of a file are below a node of this height that is full; leaves have the height 0.
    pub(crate) fn capacity(&self, height: usize) -> u64 {
        (0..height).fold(self.chunk_bytes as u64, |bytes, _| bytes.saturating_mul(self.width as u64))
    }

    /// The height of a file of this size.
    pub(crate) fn height(&self, size: u64) -> usize {
        let (mut height, mut capacity) = (0, self.capacity(0));
        while capacity < size {
            capacity = capacity.saturating_mul(self.width as u64);
            height += 1;
        }
        height
    }

    /// The codec of a leaf.
    pub(crate) fn leaf_codec(&self) -> Codec {
        if self.raw_leaves { Codec::Raw } else { Codec::DagPb }
    }
}
