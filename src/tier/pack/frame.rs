//! The frames of a segment, byte by byte. `docs/design.md` draws them.

use bytes::Bytes;

use crate::{
    error::{Error, Result},
    tier::{Place, record::Change},
};

/// First bytes of every segment.
pub const SEGMENT_MAGIC: &[u8; 8] = b"IPKSEG\0\x01";

/// Length of a frame's header.
pub const HEADER_BYTES: usize = 12;

/// Longest key in a frame: a multihash of 64 digest bytes.
pub const MAX_KEY_BYTES: usize = 2 + 64;

/// Most bytes of a body: far over a block, and enough for a commit of 100,000 roots.
pub const MAX_BODY_BYTES: u32 = 64 * 1024 * 1024;

const BLOCK: u8 = 0xb1;
const COMMIT: u8 = 0xc1;

/// A place in the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Position {
    /// The segment's number, from 1.
    pub segment: u32,
    /// The offset in it.
    pub offset: u32,
}

impl Position {
    /// As what a caller keeps of a copy.
    pub fn place(self) -> Place {
        u64::from(self.segment) << 32 | u64::from(self.offset)
    }
}

/// What a header announces.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A key, then the block's bytes. The key proves the bytes, so the check covers header and key alone.
    Block,
    /// A [`Change`]. The check covers all of it.
    Commit,
}

/// A frame's header and key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Header {
    /// What follows.
    pub kind: Kind,
    /// Bytes of the key.
    pub key_bytes: usize,
    /// Bytes of the body.
    pub body_bytes: usize,
    check: u32,
}

impl Header {
    /// Bytes of the whole frame.
    pub fn frame_bytes(&self) -> usize {
        HEADER_BYTES + self.key_bytes + self.body_bytes
    }

    /// Reads a header; none if these bytes cannot be one. [`Header::proves`] must hold before it is believed.
    pub fn decode(bytes: &[u8]) -> Option<Header> {
        let bytes: &[u8; HEADER_BYTES] = bytes.get(..HEADER_BYTES)?.try_into().ok()?;
        let [kind, key_bytes, 0, 0, b0, b1, b2, b3, c0, c1, c2, c3] = *bytes else { return None };
        let kind = match kind {
            BLOCK => Kind::Block,
            COMMIT => Kind::Commit,
            _ => return None,
        };
        let key_bytes = usize::from(key_bytes);
        let body_bytes = u32::from_le_bytes([b0, b1, b2, b3]);
        if key_bytes > MAX_KEY_BYTES || body_bytes > MAX_BODY_BYTES {
            return None;
        }
        let check = u32::from_le_bytes([c0, c1, c2, c3]);
        Some(Header { kind, key_bytes, body_bytes: body_bytes as usize, check })
    }

    /// Whether the check holds over what it covers: the header, the frame's place, and `covered` (the key of a block,
    /// the body of a commit). A frame copied to another place, or left there by an earlier log, is none.
    pub fn proves(&self, at: Position, covered: &[u8]) -> bool {
        self.check == check(at, self.kind, self.key_bytes, self.body_bytes, covered)
    }
}

/// The header and key of a block's frame; the block's bytes follow it.
pub fn block_header(at: Position, key: &[u8], body_bytes: usize) -> Vec<u8> {
    let mut out = Vec::with_capacity(HEADER_BYTES + key.len());
    put_header(&mut out, at, Kind::Block, key.len(), body_bytes, key);
    out.extend_from_slice(key);
    out
}

/// A whole commit frame.
pub fn commit_frame(at: Position, body: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(HEADER_BYTES + body.len());
    put_header(&mut out, at, Kind::Commit, 0, body.len(), body);
    out.extend_from_slice(body);
    out
}

fn put_header(out: &mut Vec<u8>, at: Position, kind: Kind, key_bytes: usize, body_bytes: usize, covered: &[u8]) {
    out.extend_from_slice(&prefix(kind, key_bytes, body_bytes));
    out.extend_from_slice(&check(at, kind, key_bytes, body_bytes, covered).to_le_bytes());
}

fn prefix(kind: Kind, key_bytes: usize, body_bytes: usize) -> [u8; 8] {
    let kind = match kind {
        Kind::Block => BLOCK,
        Kind::Commit => COMMIT,
    };
    let [b0, b1, b2, b3] = (body_bytes as u32).to_le_bytes();
    [kind, key_bytes as u8, 0, 0, b0, b1, b2, b3]
}

fn check(at: Position, kind: Kind, key_bytes: usize, body_bytes: usize, covered: &[u8]) -> u32 {
    let mut crc = crc32fast::Hasher::new();
    crc.update(&at.segment.to_le_bytes());
    crc.update(&at.offset.to_le_bytes());
    crc.update(&prefix(kind, key_bytes, body_bytes));
    crc.update(covered);
    crc.finalize()
}

/// The body of a commit frame: up to where the log was synced when it was written, then the record.
pub fn commit_body(synced: Position, record: &[u8]) -> Vec<u8> {
    let mut body = Vec::new();
    body.extend_from_slice(&synced.segment.to_le_bytes());
    body.extend_from_slice(&synced.offset.to_le_bytes());
    body.extend_from_slice(record);
    body
}

/// Reads a body whose check has held.
pub fn open_commit(body: &[u8]) -> Result<(Position, Change)> {
    let short = || Error::Corrupt { cid: None, detail: "a commit record is too short".into() };
    let (segment, rest) = body.split_first_chunk::<4>().ok_or_else(short)?;
    let (offset, record) = rest.split_first_chunk::<4>().ok_or_else(short)?;
    let synced = Position { segment: u32::from_le_bytes(*segment), offset: u32::from_le_bytes(*offset) };
    Ok((synced, Change::decode(record)?))
}

/// A block's bytes out of its whole frame, if the frame at this place is that block's.
pub fn open_block(at: Position, key: &[u8], frame: Vec<u8>) -> Option<Bytes> {
    let header = Header::decode(&frame)?;
    let body = HEADER_BYTES + header.key_bytes;
    let covered = frame.get(HEADER_BYTES..body)?;
    let whole = header.kind == Kind::Block && covered == key && frame.len() == header.frame_bytes();
    (whole && header.proves(at, covered)).then(|| Bytes::from(frame).slice(body..))
}
