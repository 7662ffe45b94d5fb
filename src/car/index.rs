//! The index of an archive: MultihashIndexSorted, as archives of version 2 have it at their end.

use std::{
    collections::{BTreeMap, HashMap},
    ops::Range,
};

use super::{decode::MAX_CID_BYTES, encode::write_varint};
use crate::{
    block::{self, Cid, Key, MAX_BLOCK_BYTES},
    hash::Digest,
};

/// Its multicodec number, MultihashIndexSorted.
const INDEX_CODEC: u64 = 0x0401;

/// Longest section: the varint of its length, a CID, a block.
const MAX_SECTION_BYTES: u64 = (10 + MAX_CID_BYTES + MAX_BLOCK_BYTES) as u64;

/// Bytes of an offset.
const OFFSET_BYTES: usize = 8;

/// An index: by the hash function and the length of digests, each with the offset of its section
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

    /// Reads one; none if it is none. Offsets are what they claim to be.
    pub fn decode(mut bytes: &[u8]) -> Option<Self> {
        // The varint of this number has two bytes.
        let mut codec = Vec::new();
        write_varint(&mut codec, INDEX_CODEC);
        bytes = bytes.strip_prefix(codec.as_slice())?;
        let mut index = Index::default();
        for _ in 0..number(&mut bytes)? {
            let code = u64::from_le_bytes(take(&mut bytes)?);
            for _ in 0..number(&mut bytes)? {
                let width = number(&mut bytes)? as usize;
                let length = usize::try_from(u64::from_le_bytes(take(&mut bytes)?)).ok()?;
                let records = bytes.get(..length).filter(|_| width > OFFSET_BYTES && length.is_multiple_of(width))?;
                bytes = bytes.get(length..)?;
                let group = Group { count: (length / width) as u64, records: records.to_vec() };
                index.0.insert((code, width), group);
            }
        }
        bytes.is_empty().then_some(index)
    }

    /// Where in the data each section lies that it names; the last one ends at `end`. What is longer than any section can be is
    /// none: whoever reads it need not have room for what an index claims.
    pub fn sections(&self, end: u64) -> HashMap<Key, Range<u64>> {
        let mut found: Vec<(u64, Key)> = Vec::new();
        for ((code, width), group) in &self.0 {
            for record in group.records.chunks_exact(*width) {
                let (digest, offset) = record.split_at(width - OFFSET_BYTES);
                let offset = offset.try_into().map_or(u64::MAX, u64::from_le_bytes);
                if let Ok(digest) = Digest::wrap(*code, digest) {
                    found.push((offset, digest));
                }
            }
        }
        found.sort_unstable_by_key(|(offset, _)| *offset);
        let ends: Vec<u64> = found.iter().skip(1).map(|(offset, _)| *offset).chain([end]).collect();
        let ranges =
            found.into_iter().zip(ends).filter(|((start, _), end)| start < end && end - start <= MAX_SECTION_BYTES);
        ranges.map(|((start, key), end)| (key, start..end)).collect()
    }
}

fn take<const N: usize>(bytes: &mut &[u8]) -> Option<[u8; N]> {
    let (taken, rest) = bytes.split_first_chunk()?;
    *bytes = rest;
    Some(*taken)
}

fn number(bytes: &mut &[u8]) -> Option<u32> {
    take(bytes).map(u32::from_le_bytes)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::block::Codec;

    fn cid(code: u64, digest: &[u8]) -> Cid {
        block::new_cid(cid::Version::V1, Codec::Raw, Digest::wrap(code, digest).unwrap())
    }

    #[test]
    fn what_is_written_is_read_alike_and_what_is_none_is_not_read() {
        let cids = [cid(0x12, &[9; 32]), cid(0x12, &[1; 32]), cid(0x1e, &[5; 32]), cid(0x12, &[3; 20])];
        let mut index = Index::default();
        for (at, cid) in cids.iter().enumerate() {
            index.push(cid, 60 + 100 * at as u64);
        }
        index.push(&cid(0, b"inline"), 7);
        let bytes = index.encode();
        let read = Index::decode(&bytes).unwrap();
        assert_eq!(read.encode(), bytes);
        let sections = read.sections(500);
        assert_eq!(sections.len(), 4);
        for (at, cid) in cids.iter().enumerate() {
            let start = 60 + 100 * at as u64;
            let end = if at == 3 { 500 } else { start + 100 };
            assert_eq!(sections.get(&block::key(cid).unwrap()), Some(&(start..end)));
        }
        for end in 0..bytes.len() {
            assert!(Index::decode(bytes.get(..end).unwrap()).is_none(), "{end}");
        }
        assert!(Index::decode(&[bytes.as_slice(), &[0]].concat()).is_none());
        assert_eq!(Index::decode(&Index::default().encode()).unwrap().sections(9), HashMap::new());
        // Behind the end nothing lies.
        assert_eq!(read.sections(300).len(), 3);
        // The last one may be as long as a section can be, and no longer.
        assert_eq!(read.sections(360 + MAX_SECTION_BYTES).len(), 4);
        assert_eq!(read.sections(361 + MAX_SECTION_BYTES).len(), 3);
    }
}
