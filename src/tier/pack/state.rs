//! What the engine knows of a store: the index, the roots, and what each segment has of live bytes.

use std::collections::BTreeMap;

use super::{
    checkpoint::Checkpoint,
    frame::{HEADER_BYTES, Position},
    log::{Appender, FIRST_FRAME},
    recovery::Torn,
    table::{self, Entry, Table},
};
use crate::{block::Key, tier::root::RootMap};

/// Around each block: a header and a key, nearly always with a digest of 32 bytes. With the longest key and no bytes at
/// all, a segment full of live blocks still counts as more than half alive, so that compacting comes to an end.
const FRAME_BYTES: u64 = HEADER_BYTES as u64 + 34;

/// Bytes of a block's frame, more or less.
pub fn frame_bytes(entry: &Entry) -> u64 {
    FRAME_BYTES + u64::from(entry.length)
}

/// The state of an open store.
#[derive(Default)]
pub struct State {
    pub table: Table,
    pub roots: RootMap,
    /// Bytes of the blocks in the table.
    pub bytes: u64,
    pub quarantined: u64,
    /// Those up to the log's end.
    pub segments: BTreeMap<u32, Segment>,
    /// Bytes of the checkpoint in each file that has one.
    pub index_bytes: BTreeMap<&'static str, u64>,
    /// Where the log ends.
    pub end: Position,
    /// Up to where it is durable.
    pub synced: Position,
    /// Where a record was written last that says so.
    pub sealed: Position,
    /// What lies behind the end since before this opening, until it is cut off.
    pub torn: Option<Torn>,
    pub since_checkpoint: Since,
    pub generation: u64,
}

/// How much of a segment is alive.
#[derive(Debug, Default, Clone, Copy)]
pub struct Segment {
    /// Bytes of it.
    pub length: u64,
    /// Live blocks.
    pub blocks: u64,
    /// Bytes of their frames, more or less.
    pub live: u64,
}

impl Segment {
    /// Bytes of the frames that nothing needs any more.
    pub fn dead(&self) -> u64 {
        self.frames().saturating_sub(self.live)
    }

    /// Bytes of all frames.
    pub fn frames(&self) -> u64 {
        self.length.saturating_sub(u64::from(FIRST_FRAME))
    }
}

/// What was written since the last checkpoint.
#[derive(Default, Clone, Copy)]
pub struct Since {
    pub bytes: u64,
    pub frames: u64,
}

/// A block that was appended.
pub struct Appended {
    pub key: Key,
    pub at: Position,
    pub length: u32,
}

impl State {
    /// What a checkpoint says.
    pub fn of(checkpoint: Checkpoint) -> State {
        let Checkpoint { generation, table, roots, quarantined, index_bytes, .. } = checkpoint;
        let mut state = State { generation, roots, quarantined, index_bytes, ..State::default() };
        table.iter().for_each(|entry| state.count(entry));
        State { table, ..state }
    }

    pub fn add(&mut self, block: &Appended) {
        let entry = Entry { prefix: table::prefix(&block.key), at: block.at, length: block.length };
        self.table.insert(entry);
        self.count(entry);
    }

    fn count(&mut self, entry: Entry) {
        self.bytes += u64::from(entry.length);
        let segment = self.segments.entry(entry.at.segment).or_default();
        segment.blocks += 1;
        segment.live += frame_bytes(&entry);
    }

    pub fn take_out(&mut self, entry: Entry) {
        if let Some(entry) = self.table.remove(entry.prefix, entry.at) {
            self.bytes -= u64::from(entry.length);
            if let Some(segment) = self.segments.get_mut(&entry.at.segment) {
                segment.blocks -= 1;
                segment.live -= frame_bytes(&entry);
            }
        }
    }

    /// Whether the block is still where this entry says.
    pub fn holds(&self, entry: Entry) -> bool {
        self.table.candidates(entry.prefix).any(|there| there == entry)
    }

    /// The blocks alive in a segment, in the order of their places.
    pub fn in_segment(&self, segment: u32) -> Vec<Entry> {
        let mut entries: Vec<Entry> = self.table.iter().filter(|entry| entry.at.segment == segment).collect();
        entries.sort_unstable_by_key(|entry| entry.at);
        entries
    }

    /// Takes over what was appended.
    pub fn grow(&mut self, appender: &Appender<'_>, appended: &[Appended]) {
        appended.iter().for_each(|block| self.add(block));
        appender.closed().iter().for_each(|(segment, length)| self.close(*segment, *length));
        self.advance(appender.position());
        self.synced = appender.synced();
        self.since_checkpoint.bytes += appended.iter().map(|block| u64::from(block.length)).sum::<u64>();
        self.since_checkpoint.frames += appended.len() as u64 + 1;
    }

    /// The log ends here now.
    pub fn advance(&mut self, end: Position) {
        self.end = end;
        self.close(end.segment, u64::from(end.offset));
    }

    /// A segment has this length.
    pub fn close(&mut self, segment: u32, length: u64) {
        self.segments.entry(segment).or_default().length = length;
    }

    /// Forgets a segment that was removed, and tells how long it was.
    pub fn forget(&mut self, segment: u32) -> u64 {
        self.segments.remove(&segment).map_or(0, |segment| segment.length)
    }

    /// The segments in which nothing is alive. The newest is not among them: it will be written to.
    pub fn dead_segments(&self) -> Vec<u32> {
        let older = self.segments.range(..self.end.segment);
        older.filter(|(_, segment)| segment.blocks == 0).map(|(number, _)| *number).collect()
    }

    /// Bytes on the medium.
    pub fn stored(&self) -> u64 {
        self.segments.values().map(|segment| segment.length).sum::<u64>() + self.index_bytes.values().sum::<u64>()
    }
}

impl Since {
    pub fn count(&mut self, bytes: u64) {
        self.bytes += bytes;
        self.frames += 1;
    }
}
