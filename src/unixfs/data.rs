//! The UnixFS `Data` message inside a dag-pb node.

use bytes::Bytes;

use crate::{
    dag::protobuf::{self, Fields, Malformed, Value},
    error::{Error, Result},
};

/// What a node is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// File bytes without metadata; an old form of a leaf.
    Raw,
    /// A basic directory.
    Directory,
    /// A file, or a part of one.
    File,
    /// Metadata of old; not in use.
    Metadata,
    /// A symbolic link.
    Symlink,
    /// A directory in shards.
    HamtShard,
}

impl Kind {
    /// What is meant where no mode is said: it is left out, so that one file has one CID.
    pub const fn default_mode(self) -> u32 {
        match self {
            Kind::Directory | Kind::HamtShard => 0o755,
            _ => 0o644,
        }
    }

    const ALL: [Kind; 6] = [Kind::Raw, Kind::Directory, Kind::File, Kind::Metadata, Kind::Symlink, Kind::HamtShard];
}

/// A UnixFS `Data` message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Data {
    /// What the node is.
    pub kind: Kind,
    /// File bytes held in the node itself.
    pub data: Option<Bytes>,
    /// Bytes of the file below this node.
    pub file_size: Option<u64>,
    /// Bytes of the file below each link.
    pub block_sizes: Vec<u64>,
    /// Of a shard: the hash that places a name, by its multicodec number.
    pub hash_type: Option<u64>,
    /// Of a shard: how many buckets it has.
    pub fanout: Option<u64>,
    /// What a file system would know of it.
    pub metadata: Metadata,
}

/// What a file system knows of a file, a directory or a symbolic link besides its content, if it was kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Metadata {
    /// POSIX permissions, of which 12 bits are in use.
    pub mode: Option<u32>,
    /// When it was last changed.
    pub mtime: Option<Mtime>,
}

/// All permissions.
const MAX_MODE: u32 = 0o7777;

/// In a second.
const NANOSECONDS: u32 = 1_000_000_000;

/// A point in time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Mtime {
    /// Since the Unix epoch.
    pub seconds: i64,
    /// Less than a second.
    pub nanoseconds: u32,
}

impl Metadata {
    /// Refuses what UnixFS cannot say.
    pub fn check(self) -> Result<Self> {
        if let Some(mode) = self.mode.filter(|mode| *mode > MAX_MODE) {
            return Err(Error::InvalidArgument(format!("a mode of {mode:o}; allowed are 0 to {MAX_MODE:o}, octal")));
        }
        match self.mtime {
            Some(mtime) if mtime.nanoseconds >= NANOSECONDS => {
                let problem = format!("{} nanoseconds; a second has {NANOSECONDS}", mtime.nanoseconds);
                Err(Error::InvalidArgument(problem))
            }
            _ => Ok(self),
        }
    }

    /// Whether nothing is known.
    pub fn is_empty(&self) -> bool {
        *self == Metadata::default()
    }
}

impl Data {
    /// A message that says only what the node is.
    pub const fn new(kind: Kind) -> Data {
        let metadata = Metadata { mode: None, mtime: None };
        Data { kind, data: None, file_size: None, block_sizes: Vec::new(), hash_type: None, fanout: None, metadata }
    }

    /// Reads a message. Unknown fields are skipped, as protobuf has it.
    pub fn decode(message: &Bytes) -> Result<Data, Malformed> {
        let mut fields = Fields::of(message);
        let mut kind = None;
        let mut read = Data::new(Kind::Raw);
        while let Some((number, value)) = fields.next()? {
            match number {
                1 => {
                    let code = usize::try_from(value.varint()?).unwrap_or(usize::MAX);
                    kind = Some(*Kind::ALL.get(code).ok_or(Malformed("unknown UnixFS type"))?);
                }
                2 => read.data = Some(message.slice_ref(value.bytes()?)),
                3 => read.file_size = Some(value.varint()?),
                4 => match value {
                    Value::Varint(size) => read.block_sizes.push(size),
                    _ => return Err(Malformed("the block sizes of a UnixFS node are packed")),
                },
                5 => read.hash_type = Some(value.varint()?),
                6 => read.fanout = Some(value.varint()?),
                // Of 32 bits, although the wire has room for more.
                7 => read.metadata.mode = Some(value.varint()? as u32),
                8 => read.metadata.mtime = Some(Mtime::decode(value.bytes()?)?),
                _ => {}
            }
        }
        read.kind = kind.ok_or(Malformed("a UnixFS node has no type"))?;
        Ok(read)
    }

    /// Writes the message in the order of its fields.
    pub fn encode(&self) -> Vec<u8> {
        let data = self.data.as_ref().map_or(0, |data| protobuf::bytes_field_len(data.len()));
        let mut out = Vec::with_capacity(16 + data + 6 * self.block_sizes.len());
        protobuf::put_varint_field(&mut out, 1, self.kind as u64);
        if let Some(data) = &self.data {
            protobuf::put_bytes_field(&mut out, 2, data);
        }
        if let Some(size) = self.file_size {
            protobuf::put_varint_field(&mut out, 3, size);
        }
        for size in &self.block_sizes {
            protobuf::put_varint_field(&mut out, 4, *size);
        }
        if let Some(hash_type) = self.hash_type {
            protobuf::put_varint_field(&mut out, 5, hash_type);
        }
        if let Some(fanout) = self.fanout {
            protobuf::put_varint_field(&mut out, 6, fanout);
        }
        if let Some(mode) = self.metadata.mode.filter(|mode| *mode != self.kind.default_mode()) {
            protobuf::put_varint_field(&mut out, 7, mode.into());
        }
        if let Some(mtime) = &self.metadata.mtime {
            protobuf::put_bytes_field(&mut out, 8, &mtime.encode());
        }
        out
    }
}

impl Mtime {
    fn decode(message: &[u8]) -> Result<Mtime, Malformed> {
        let mut fields = Fields::of(message);
        let mut read = Mtime { seconds: 0, nanoseconds: 0 };
        while let Some((number, value)) = fields.next()? {
            match (number, value) {
                (1, value) => read.seconds = value.varint()? as i64,
                (2, Value::Fixed(fraction)) if fraction < NANOSECONDS.into() => read.nanoseconds = fraction as u32,
                (2, _) => return Err(Malformed("the fraction of a second in a UnixFS mtime is no such fraction")),
                _ => {}
            }
        }
        Ok(read)
    }

    fn encode(self) -> Vec<u8> {
        let mut out = Vec::new();
        protobuf::put_varint_field(&mut out, 1, self.seconds as u64);
        if self.nanoseconds > 0 {
            protobuf::put_fixed32_field(&mut out, 2, self.nanoseconds);
        }
        out
    }
}
