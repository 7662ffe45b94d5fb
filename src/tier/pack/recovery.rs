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
    /// What lies after that end, and is to be cut off before anything is written.
    pub torn: Torn,
    /// Places where frames that had been durable are damaged. They are passed over.
    pub damaged: u64,
}

/// The segments from the end of the log on, with the lengths they had when they were read.
#[derive(Debug, Default, Clone)]
pub struct Torn {
    /// Segment and length.
    pub segments: Vec<(u32, u64)>,
    /// Bytes behind the end.
    pub bytes: u64,
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

/// Reads the log from `from` on. Nothing is changed: somebody else may be writing to it.
pub async fn replay(log: &Log, hasher: &dyn Hasher, from: Position) -> Result<Replay> {
    let mut scanned = Scanned::default();
    let mut lengths = Vec::new();
    let mut end = from;
    for number in log.segments().await?.into_iter().filter(|number| *number >= from.segment) {
        let file = log.segment(number).await?;
        let length = file.len()?;
        lengths.push((number, length));
        let start =
            Position { segment: number, offset: if number == from.segment { from.offset } else { FIRST_FRAME } };
        if length < u64::from(start.offset) || !Log::is_segment(file.as_ref(), number)? {
            scanned.gaps.push(start);
            continue;
        }
        end = scan(file.as_ref(), start, length, &mut scanned)?;
    }
    let Scanned { mut frames, gaps } = scanned;
    // The furthest place that a record says was durable: what is broken before it was whole once, and was damaged later.
    let known = frames.iter().filter_map(|(_, frame)| match frame {
        Replayed::Commit(synced, _) => Some(*synced),
        Replayed::Block(..) => None,
    });
    let synced = known.max().unwrap_or_default().max(from);
    let torn_at = gaps.iter().copied().find(|gap| *gap >= synced);
    frames.retain(|(at, _)| torn_at.is_none_or(|torn| *at < torn));
    let unproven = first_unproven(log, hasher, &frames, synced).await?;
    frames.retain(|(at, _)| unproven.is_none_or(|unproven| *at < unproven));
    if let Some(cut) = unproven.or(torn_at) {
        end = cut;
    }
    let damaged = gaps.iter().filter(|gap| **gap < synced).count() as u64;
    // A log shorter than its checkpoint has lost what it had; it goes on in a segment of its own. One with no frame yet
    // has lost nothing: it is begun anew.
    let shorter = |&(number, length): &(u32, u64)| number == end.segment && length < u64::from(end.offset);
    if end.offset > FIRST_FRAME && lengths.iter().any(shorter) {
        let last = lengths.last().map_or(end.segment, |(number, _)| *number);
        end = Position { segment: last + 1, offset: FIRST_FRAME };
    }
    lengths.retain(|(number, _)| *number >= end.segment);
    let kept = |number: u32| if number == end.segment { u64::from(end.offset) } else { 0 };
    let bytes = lengths.iter().map(|(number, length)| length.saturating_sub(kept(*number))).sum();
    Ok(Replay { frames, end, torn: Torn { segments: lengths, bytes }, damaged })
}

/// What looking through segments gives.
#[derive(Default)]
struct Scanned {
    frames: Vec<(Position, Replayed)>,
    /// Where something else than a frame begins.
    gaps: Vec<Position>,
}

/// Collects the frames of a segment whose headers hold, and returns where they end.
fn scan(file: &dyn RandomAccessFile, from: Position, length: u64, into: &mut Scanned) -> Result<Position> {
    let mut at = from;
    let mut window = Window { file, start: 0, bytes: Vec::new() };
    while u64::from(at.offset) < length {
        if let Some((frame, next)) = frame_at(&mut window, at, length)? {
            into.frames.push((at, frame));
            at.offset = next;
            continue;
        }
        into.gaps.push(at);
        match next_frame(&mut window, at, length)? {
            Some(found) => at = found,
            None => break,
        }
    }
    Ok(at)
}

/// The frame that begins here, and where the next one would.
fn frame_at(window: &mut Window, at: Position, length: u64) -> Result<Option<(Replayed, u32)>> {
    let head = window.read(u64::from(at.offset), HEADER_BYTES + MAX_KEY_BYTES)?;
    let Some(header) = Header::decode(head) else { return Ok(None) };
    let next = u64::from(at.offset) + header.frame_bytes() as u64;
    let Some(next) = u32::try_from(next).ok().filter(|next| u64::from(*next) <= length) else { return Ok(None) };
    match header.kind {
        Kind::Block => {
            let key = head.get(HEADER_BYTES..HEADER_BYTES + header.key_bytes).filter(|key| header.proves(at, key));
            let key = key.and_then(|key| Key::from_bytes(key).ok());
            Ok(key.map(|key| (Replayed::Block(key, header.body_bytes as u32), next)))
        }
        Kind::Commit => {
            let body = window.file.read_at(u64::from(at.offset) + HEADER_BYTES as u64, header.body_bytes)?;
            if !header.proves(at, &body) {
                return Ok(None);
            }
            let (synced, change) = frame::open_commit(&body)?;
            Ok(Some((Replayed::Commit(synced, Box::new(change)), next)))
        }
    }
}

/// The first frame after a place where there is none: what a damaged header hides begins again somewhere.
fn next_frame(window: &mut Window, after: Position, length: u64) -> Result<Option<Position>> {
    for offset in u64::from(after.offset) + 1..length {
        let at = Position { segment: after.segment, offset: offset as u32 };
        // Nearly no place looks like a header, so nearly none is asked twice.
        if Header::decode(window.read(offset, HEADER_BYTES)?).is_some() && frame_at(window, at, length)?.is_some() {
            return Ok(Some(at));
        }
    }
    Ok(None)
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
    synced: Position,
) -> Result<Option<Position>> {
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
