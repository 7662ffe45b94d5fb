//! The UnixFS `Data` message inside a dag-pb node.

use bytes::Bytes;

use crate::dag::protobuf::{self, Fields, Malformed, Value};

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
}

impl Data {
    /// A message that says only what the node is.
    pub const fn new(kind: Kind) -> Data {
        Data { kind, data: None, file_size: None, block_sizes: Vec::new(), hash_type: None, fanout: None }
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
                2 => read.data = Some(value.bytes()?),
                3 => read.file_size = Some(value.varint()?),
                4 => match value {
                    Value::Varint(size) => read.block_sizes.push(size),
                    _ => return Err(Malformed("the block sizes of a UnixFS node are packed")),
                },
                5 => read.hash_type = Some(value.varint()?),
                6 => read.fanout = Some(value.varint()?),
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
        out
    }
}
