//! Reads what the log has past the last checkpoint, and decides where it truly ends.
//!
//! A crash may have kept any subset of the writes that were not synced. What was acknowledged was synced, and each commit
//! record says up to where the log was durable when it was written. So frames before the furthest such place are taken by
//! their headers; those after it must prove their bytes by their hash; and the log ends before the first that does not.

use bytes::Bytes;

use super::{
    frame::{self, HEADER_BYTES, Header, Kind, MAX_KEY_BYTES, Position},
    log::{FIRST_FRAME, Log},
};
use crate::{
    block::{Block, Codec, Key, new_cid},
    error::Result,
    hash::Hasher,
    platform::files::RandomAccessFile,
    tier::record::Change,
};

/// The log after the checkpoint.
#[derive(Debug, Default)]
pub struct Replay {
    /// Its frames, in order.
    pub frames: Vec<(Position, Replayed)>,
    /// Where it ends.
    pub end: Position,
    /// Whether all of it was known to be durable, so that nothing had to be hashed.
    pub sealed: bool,
    /// Bytes after that end, which are to be cut off.
    pub torn_bytes: u64,
}

/// A frame that counts.
#[derive(Debug)]
pub enum Replayed {
    /// A block of this many bytes.
    Block(Key, u32),
    /// A commit, and up to where the log was synced before it.
    Commit(Position, Box<Change>),
}

/// Read at a time when looking at headers; most small frames lie within one such window.
const WINDOW_BYTES: usize = 64 * 1024;

/// Hashed at a time.
const PROOF_BYTES: usize = 8 * 1024 * 1024;

/// Reads the log from `from` on.
pub async fn replay(log: &Log, hasher: &dyn Hasher, from: Position) -> Result<Replay> {
    let mut frames = Vec::new();
    let mut end = from;
    for number in log.segments().await?.into_iter().filter(|number| *number >= from.segment) {
        let file = log.segment(number).await?;
        let length = file.len()?;
        if !Log::is_segment(file.as_ref(), number)? {
            break;
        }
        let start = if number == from.segment { from.offset } else { FIRST_FRAME };
        end = scan(file.as_ref(), Position { segment: number, offset: start }, length, &mut frames)?;
        if u64::from(end.offset) < length {
            break;
        }
    }
    if let Some(unproven) = first_unproven(log, hasher, &frames, from).await? {
        frames.retain(|(at, _)| *at < unproven);
        end = unproven;
    }
    let mut torn_bytes = 0;
    for number in log.segments().await?.into_iter().filter(|number| *number >= end.segment) {
        let kept = if number == end.segment { u64::from(end.offset) } else { 0 };
        torn_bytes += log.segment(number).await?.len()?.saturating_sub(kept);
    }
    let sealed = match frames.last() {
        None => true,
        Some((at, Replayed::Commit(synced, _))) => synced == at,
        Some((_, Replayed::Block(..))) => false,
    };
    Ok(Replay { frames, end, sealed, torn_bytes })
}

/// Collects the frames of a segment whose headers hold, and returns where they end.
fn scan(
    file: &dyn RandomAccessFile,
    from: Position,
    length: u64,
    frames: &mut Vec<(Position, Replayed)>,
) -> Result<Position> {
    let mut at = from;
    let mut window = Window { file, start: 0, bytes: Vec::new() };
    while u64::from(at.offset) < length {
        let head = window.read(u64::from(at.offset), HEADER_BYTES + MAX_KEY_BYTES)?;
        let Some(header) = Header::decode(head) else { break };
        let next = u64::from(at.offset) + header.frame_bytes() as u64;
        if next > length {
            break;
        }
        let replayed = match header.kind {
            Kind::Block => {
                let Some(key) = head.get(HEADER_BYTES..HEADER_BYTES + header.key_bytes) else { break };
                if !header.proves(at, key) {
                    break;
                }
                let Ok(key) = Key::from_bytes(key) else { break };
                Replayed::Block(key, header.body_bytes as u32)
            }
            Kind::Commit => {
                let body = file.read_at(u64::from(at.offset) + HEADER_BYTES as u64, header.body_bytes)?;
                if !header.proves(at, &body) {
                    break;
                }
                let (synced, change) = frame::open_commit(&body)?;
                Replayed::Commit(synced, Box::new(change))
            }
        };
        frames.push((at, replayed));
        at.offset = next as u32;
    }
    Ok(at)
}

/// A file read through a window, so that small frames do not cost a read each.
struct Window<'a> {
    file: &'a dyn RandomAccessFile,
    start: u64,
    bytes: Vec<u8>,
}

impl Window<'_> {
    /// `length` bytes at `offset`, or fewer at the end of the file.
    fn read(&mut self, offset: u64, length: usize) -> Result<&[u8]> {
        let within = offset >= self.start && offset + length as u64 <= self.start + self.bytes.len() as u64;
        if !within {
            self.bytes = self.file.read_at(offset, WINDOW_BYTES)?;
            self.start = offset;
        }
        let from = (offset - self.start) as usize;
        let to = (from + length).min(self.bytes.len());
        Ok(self.bytes.get(from..to).unwrap_or_default())
    }
}

/// The first block that was not known to be durable and does not hash to its key.
async fn first_unproven(
    log: &Log,
    hasher: &dyn Hasher,
    frames: &[(Position, Replayed)],
    from: Position,
) -> Result<Option<Position>> {
    let known = frames.iter().filter_map(|(_, frame)| match frame {
        Replayed::Commit(synced, _) => Some(*synced),
        Replayed::Block(..) => None,
    });
    let synced = known.max().unwrap_or_default().max(from);
    let mut batch = Vec::new();
    let mut batch_bytes = 0;
    for (at, frame) in frames.iter().filter(|(at, _)| *at >= synced) {
        let Replayed::Block(key, length) = frame else { continue };
        batch.push((*at, *key));
        batch_bytes += *length as usize;
        if batch_bytes >= PROOF_BYTES {
            if let Some(bad) = unproven_of(log, hasher, &batch).await? {
                return Ok(Some(bad));
            }
            batch.clear();
            batch_bytes = 0;
        }
    }
    unproven_of(log, hasher, &batch).await
}

async fn unproven_of(log: &Log, hasher: &dyn Hasher, batch: &[(Position, Key)]) -> Result<Option<Position>> {
    let mut claims = Vec::with_capacity(batch.len());
    for (at, key) in batch {
        let file = log.segment(at.segment).await?;
        let claimed = read_block(file.as_ref(), *at, key)?.unwrap_or_default();
        claims.push((new_cid(cid::Version::V1, Codec::Raw, *key), claimed));
    }
    let proofs = Block::verify(hasher, claims).await?;
    Ok(batch.iter().zip(proofs).find(|(_, proof)| proof.is_err()).map(|((at, _), _)| *at))
}

/// A block's bytes, if the frame at this place is that block's; they are not verified.
pub fn read_block(file: &dyn RandomAccessFile, at: Position, key: &Key) -> Result<Option<Bytes>> {
    let key = key.to_bytes();
    let head = file.read_at(u64::from(at.offset), HEADER_BYTES)?;
    let Some(header) = Header::decode(&head) else { return Ok(None) };
    let whole = file.read_at(u64::from(at.offset), header.frame_bytes())?;
    Ok(frame::open_block(at, &key, whole))
}
