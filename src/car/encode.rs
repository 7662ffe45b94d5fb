//! Writing archives, part by part: a header, then sections, and for version 2 what surrounds these.

use std::collections::BTreeMap;

use bytes::Bytes;

use super::{DATA_START, FIXED_BYTES, PRAGMA};
use crate::block::{self, Block, Cid, Key};

/// The multicodec number of the index that is written, MultihashIndexSorted.
const INDEX_CODEC: u64 = 0x0401;

/// Bytes of an offset in an index.
const OFFSET_BYTES: usize = 8;

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

/// The index of an archive of version 2: by the hash function and the length of digests, each with the offset of its section
/// within the data, sorted.
#[derive(Debug, Default)]
pub struct Index(BTreeMap<(u64, usize), Group>);

/// Digests of one length by one function.
#[derive(Debug, Default)]
struct Group {
    count: u64,
    records: Vec<u8>,
}

impl Index {
    /// Counts a section that is to come. Identity CIDs are left out, as the specification has it.
    pub fn count(&mut self, cid: &Cid) {
        if let Some((_, group)) = self.group(cid) {
            group.count += 1;
        }
    }

    /// Adds a section, and where it begins.
    pub fn push(&mut self, cid: &Cid, offset: u64) {
        if let Some((key, group)) = self.group(cid) {
            group.count += 1;
            group.records.extend_from_slice(key.digest());
            group.records.extend(offset.to_le_bytes());
        }
    }

    fn group(&mut self, cid: &Cid) -> Option<(Key, &mut Group)> {
        let key = block::key(cid)?;
        Some((key, self.0.entry((key.code(), key.digest().len() + OFFSET_BYTES)).or_default()))
    }

    /// Bytes that it takes with as many sections.
    pub fn encoded_len(&self) -> u64 {
        let mut before = None;
        let mut bytes = 2 + 4;
        for ((code, width), group) in &self.0 {
            bytes += if before.replace(code) == Some(code) { 12 } else { 24 } + group.count * *width as u64;
        }
        bytes
    }

    /// Its bytes.
    pub fn encode(&self) -> Vec<u8> {
        let mut codes: Vec<(u64, u32)> = Vec::new();
        for (code, _) in self.0.keys() {
            match codes.last_mut() {
                Some((last, widths)) if last == code => *widths += 1,
                _ => codes.push((*code, 1)),
            }
        }
        let mut out = Vec::with_capacity(self.encoded_len() as usize);
        write_varint(&mut out, INDEX_CODEC);
        out.extend((codes.len() as u32).to_le_bytes());
        for (code, widths) in codes {
            out.extend(code.to_le_bytes());
            out.extend(widths.to_le_bytes());
            for ((_, width), Group { records, .. }) in self.0.range((code, 0)..=(code, usize::MAX)) {
                out.extend((*width as u32).to_le_bytes());
                out.extend((records.len() as u64).to_le_bytes());
                let mut records: Vec<&[u8]> = records.chunks_exact(*width).collect();
                records.sort_unstable();
                records.into_iter().for_each(|record| out.extend_from_slice(record));
            }
        }
        out
    }
}

fn write_varint(to: &mut Vec<u8>, mut value: u64) {
    while value > 0x7f {
        to.push(value as u8 | 0x80);
        value >>= 7;
    }
    to.push(value as u8);
}
