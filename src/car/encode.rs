//! Writing archives, part by part: a header, then sections, and for version 2 what surrounds these.

use bytes::Bytes;

use super::{DATA_START, FIXED_BYTES, PRAGMA};
use crate::block::{Block, Cid};

/// An archive of version 1, of blocks that are in memory.
pub fn encode(root: &Cid, blocks: &[Block]) -> Bytes {
    let mut archive = header(std::slice::from_ref(root));
    for block in blocks {
        archive.extend(section_head(block.cid(), block.bytes().len()));
        archive.extend_from_slice(block.bytes());
    }
    archive.into()
}

/// What an archive of version 1 begins with.
pub fn header(roots: &[Cid]) -> Vec<u8> {
    let mut header = minicbor::Encoder::new(Vec::new());
    // Writing to memory does not fail.
    let _ = header.map(2).and_then(|header| header.str("roots")).and_then(|header| {
        header.array(roots.len() as u64)?;
        for root in roots {
            let link = [&[0], root.to_bytes().as_slice()].concat();
            header.tag(minicbor::data::Tag::new(42))?.bytes(&link)?;
        }
        header.str("version")?.u8(1)
    });
    let header = header.into_writer();
    let mut out = Vec::with_capacity(header.len() + 3);
    write_varint(&mut out, header.len() as u64);
    out.extend(header);
    out
}

/// What a section has before the block's bytes.
pub fn section_head(cid: &Cid, block_bytes: usize) -> Vec<u8> {
    let cid = cid.to_bytes();
    let mut head = Vec::with_capacity(cid.len() + 4);
    write_varint(&mut head, (cid.len() + block_bytes) as u64);
    head.extend(cid);
    head
}

/// Bytes of a section.
pub fn section_bytes(cid: &Cid, block_bytes: u64) -> u64 {
    let length = cid.encoded_len() as u64 + block_bytes;
    let prefix = u64::from(length.max(1).ilog2() / 7 + 1);
    prefix + length
}

/// What an archive of version 2 begins with: so many bytes of an archive of version 1 follow, then the index.
pub fn header_v2(data_bytes: u64) -> Vec<u8> {
    let mut out = Vec::with_capacity(PRAGMA.len() + FIXED_BYTES);
    out.extend(PRAGMA);
    out.extend([0; 16]);
    for field in [DATA_START, data_bytes, DATA_START + data_bytes] {
        out.extend(field.to_le_bytes());
    }
    out
}

pub(super) fn write_varint(to: &mut Vec<u8>, mut value: u64) {
    while value > 0x7f {
        to.push(value as u8 | 0x80);
        value >>= 7;
    }
    to.push(value as u8);
}
