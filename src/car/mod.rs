//! Content-addressable archives: blocks one after the other, as gateways send DAGs and files keep them.
//!
//! Specification: IPLD `transport/car/carv1`. What comes out is not verified: that is done by making a
//! [`Block`](crate::block::Block) of it.

use bytes::{Bytes, BytesMut};

use crate::block::{self, Block, Cid, MAX_BLOCK_BYTES};

/// Longest header: a thousand roots fit.
const MAX_HEADER_BYTES: usize = 64 * 1024;

/// Longest CID in front of a block: an identity CID of the greatest length.
const MAX_CID_BYTES: usize = 160;

/// Why bytes are no archive.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Malformed(pub String);

/// What an archive is made of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Item {
    /// The roots it names; a reader who asked for something does not rely on them.
    Header(Vec<Cid>),
    /// A block, as it claims to be.
    Block(Cid, Bytes),
}

/// Takes an archive in pieces of any size, and gives its parts as soon as each is whole. It holds no more than one part
/// and the piece that came last.
#[derive(Debug, Default)]
pub struct CarDecoder {
    pending: BytesMut,
    header_read: bool,
}

impl CarDecoder {
    /// A decoder at the beginning of an archive.
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes the next bytes.
    pub fn push(&mut self, bytes: &[u8]) {
        self.pending.extend_from_slice(bytes);
    }

    /// The next part, if it is whole.
    pub fn next_item(&mut self) -> Result<Option<Item>, Malformed> {
        let Some((length, prefix)) = varint(&self.pending)? else { return Ok(None) };
        let most = if self.header_read { MAX_CID_BYTES + MAX_BLOCK_BYTES } else { MAX_HEADER_BYTES };
        let length = usize::try_from(length).unwrap_or(usize::MAX);
        if length == 0 || length > most {
            return Err(Malformed(format!("a part of {length} bytes, where 1 to {most} are allowed")));
        }
        if self.pending.len() < prefix + length {
            // All of it at once: growing piece by piece would copy it again and again.
            self.pending.reserve(prefix + length - self.pending.len());
            return Ok(None);
        }
        let _ = self.pending.split_to(prefix);
        let part = self.pending.split_to(length).freeze();
        if !self.header_read {
            self.header_read = true;
            return header(&part).map(|roots| Some(Item::Header(roots)));
        }
        let cid_bytes = cid_length(&part)?;
        let cid = part.get(..cid_bytes).ok_or_else(|| Malformed("a part ends within its CID".into()))?;
        let cid = block::from_bytes(cid).map_err(|error| Malformed(error.to_string()))?;
        let bytes = part.slice(cid_bytes..);
        if bytes.len() > MAX_BLOCK_BYTES {
            return Err(Malformed(format!("a block of {} bytes, over the limit of {MAX_BLOCK_BYTES}", bytes.len())));
        }
        Ok(Some(Item::Block(cid, bytes)))
    }

    /// Says whether the archive may end here.
    pub fn finish(&self) -> Result<(), Malformed> {
        if !self.header_read {
            return Err(Malformed("it ends before its header does".into()));
        }
        match self.pending.len() {
            0 => Ok(()),
            left => Err(Malformed(format!("it ends within a part, after {left} bytes of it"))),
        }
    }
}

/// Bytes of the CID at the front of a part.
fn cid_length(part: &[u8]) -> Result<usize, Malformed> {
    let short = || Malformed("a part ends within its CID".into());
    // Version 0 is a bare sha2-256 multihash.
    if part.starts_with(&[0x12, 0x20]) {
        return Ok(34);
    }
    let mut at = 0;
    let mut last = 0;
    // Version, codec, hash function, digest length.
    for _ in 0..4 {
        let (value, bytes) = varint(part.get(at..).unwrap_or_default())?.ok_or_else(short)?;
        (at, last) = (at + bytes, value);
    }
    let digest = usize::try_from(last).ok().filter(|digest| *digest <= MAX_CID_BYTES);
    digest.map(|digest| at + digest).ok_or_else(|| Malformed("a digest is too long".into()))
}

/// An unsigned varint and how many bytes it takes; none if more bytes are needed to tell.
fn varint(bytes: &[u8]) -> Result<Option<(u64, usize)>, Malformed> {
    let mut value = 0u64;
    for (at, byte) in bytes.iter().take(9).enumerate() {
        value |= u64::from(byte & 0x7f) << (7 * at);
        if byte & 0x80 == 0 {
            return Ok(Some((value, at + 1)));
        }
    }
    if bytes.len() < 9 { Ok(None) } else { Err(Malformed("a varint is longer than nine bytes".into())) }
}

/// The header: a dag-cbor map `{ roots: [cid...], version: 1 }`.
fn header(part: &[u8]) -> Result<Vec<Cid>, Malformed> {
    let wrong = |_| Malformed("its header does not decode".into());
    let mut decoder = minicbor::Decoder::new(part);
    let fields = decoder.map().map_err(wrong)?.ok_or_else(|| Malformed("its header has no length".into()))?;
    let (mut roots, mut version) = (Vec::new(), None);
    for _ in 0..fields {
        match decoder.str().map_err(wrong)? {
            "version" => version = Some(decoder.u64().map_err(wrong)?),
            "roots" => {
                let count = decoder.array().map_err(wrong)?.unwrap_or_default();
                for _ in 0..count {
                    // Tag 42: a CID, with a zero in front.
                    decoder.tag().map_err(wrong)?;
                    let link = decoder.bytes().map_err(wrong)?;
                    let cid = link.strip_prefix(&[0]).ok_or_else(|| Malformed("a root is no CID".into()))?;
                    roots.push(block::from_bytes(cid).map_err(|error| Malformed(error.to_string()))?);
                }
            }
            _ => decoder.skip().map_err(wrong)?,
        }
    }
    match version {
        Some(1) => Ok(roots),
        Some(other) => Err(Malformed(format!("it is a CAR of version {other}; version 1 is read here"))),
        None => Err(Malformed("its header has no version".into())),
    }
}

/// An archive of blocks that are in memory.
pub fn encode(root: &Cid, blocks: &[Block]) -> Bytes {
    let link = root.to_bytes();
    let mut header = minicbor::Encoder::new(Vec::new());
    // Writing to memory does not fail.
    let _ =
        header.map(2).and_then(|header| header.str("roots")).and_then(|header| header.array(1)).and_then(|header| {
            let link = [&[0], link.as_slice()].concat();
            header.tag(minicbor::data::Tag::new(42))?.bytes(&link)?.str("version")?.u8(1)
        });
    let header = header.into_writer();
    let mut archive = Vec::new();
    write_varint(&mut archive, header.len());
    archive.extend_from_slice(&header);
    for block in blocks {
        let cid = block.cid().to_bytes();
        write_varint(&mut archive, cid.len() + block.bytes().len());
        archive.extend_from_slice(&cid);
        archive.extend_from_slice(block.bytes());
    }
    archive.into()
}

fn write_varint(to: &mut Vec<u8>, mut value: usize) {
    while value > 0x7f {
        to.push(value as u8 | 0x80);
        value >>= 7;
    }
    to.push(value as u8);
}
