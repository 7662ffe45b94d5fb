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
}

impl Data {
    /// Reads a message. Unknown fields are skipped, as protobuf has it.
    pub fn decode(message: &Bytes) -> Result<Data, Malformed> {
        let mut fields = Fields::of(message);
        let mut kind = None;
        let (mut data, mut file_size, mut block_sizes) = (None, None, Vec::new());
        while let Some((number, value)) = fields.next()? {
            match number {
                1 => {
                    let code = usize::try_from(value.varint()?).unwrap_or(usize::MAX);
                    kind = Some(*Kind::ALL.get(code).ok_or(Malformed("unknown UnixFS type"))?);
                }
                2 => data = Some(value.bytes()?),
                3 => file_size = Some(value.varint()?),
                4 => match value {
                    Value::Varint(size) => block_sizes.push(size),
                    _ => return Err(Malformed("the block sizes of a UnixFS node are packed")),
                },
                _ => {}
            }
        }
        let kind = kind.ok_or(Malformed("a UnixFS node has no type"))?;
        Ok(Data { kind, data, file_size, block_sizes })
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
        out
    }
}
