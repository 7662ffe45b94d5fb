//! The log: numbered, append-only segment files of frames.

use std::{cell::RefCell, collections::BTreeMap, rc::Rc};

use super::frame::{self, Position, SEGMENT_MAGIC};
use crate::{
    error::{Error, Result},
    platform::files::{Directory, RandomAccessFile},
};

/// Where the frames of a segment begin: after the magic and the segment's number.
pub const FIRST_FRAME: u32 = 12;

/// Small frames are gathered up to this size before they are written.
const GATHER_BYTES: usize = 1024 * 1024;

/// Bodies from this size are written by themselves, without a copy.
const LARGE_BYTES: usize = 64 * 1024;

/// The segments of one store, and the end at which they grow.
pub struct Log {
    directory: Rc<dyn Directory>,
    segment_bytes: u32,
    open: RefCell<BTreeMap<u32, Rc<dyn RandomAccessFile>>>,
}

impl Log {
    /// A log in this folder. Nothing is read yet.
    pub fn new(directory: Rc<dyn Directory>, segment_bytes: u32) -> Self {
        Log { directory, segment_bytes, open: RefCell::default() }
    }

    /// The numbers of the segments that are there, in order.
    pub async fn segments(&self) -> Result<Vec<u32>> {
        let names = self.directory.list().await?;
        let mut numbers: Vec<u32> = names.iter().filter_map(|name| number(name)).collect();
        numbers.sort_unstable();
        Ok(numbers)
    }

    /// A segment's file.
    pub async fn segment(&self, number: u32) -> Result<Rc<dyn RandomAccessFile>> {
        if let Some(file) = self.open.borrow().get(&number) {
            return Ok(file.clone());
        }
        let file = self.directory.open(&name(number)).await?;
        self.open.borrow_mut().insert(number, file.clone());
        Ok(file)
    }

    /// Makes a new, empty segment; durable as a file when this returns.
    pub async fn create(&self, number: u32) -> Result<Rc<dyn RandomAccessFile>> {
        let file = self.segment(number).await?;
        file.set_len(0)?;
        file.write_at(0, SEGMENT_MAGIC)?;
        file.write_at(SEGMENT_MAGIC.len() as u64, &number.to_le_bytes())?;
        file.sync()?;
        self.directory.sync().await?;
        Ok(file)
    }

    /// Whether a segment begins as one.
    pub fn is_segment(file: &dyn RandomAccessFile, number: u32) -> Result<bool> {
        let start = file.read_at(0, FIRST_FRAME as usize)?;
        Ok(start.strip_prefix(SEGMENT_MAGIC.as_slice()) == Some(number.to_le_bytes().as_slice()))
    }

    /// Cuts the log off at its end, durably. `seen` is what was there when the end was found: if that has changed,
    /// another owner is at work, and nothing is touched.
    pub async fn cut(&self, end: Position, seen: &[(u32, u64)]) -> Result<()> {
        let there: Vec<u32> = self.segments().await?.into_iter().filter(|number| *number >= end.segment).collect();
        let mut unchanged = there.iter().eq(seen.iter().map(|(number, _)| number));
        for (number, length) in seen {
            unchanged = unchanged && self.segment(*number).await?.len()? == *length;
        }
        if !unchanged {
            return Err(in_use());
        }
        for (later, _) in seen.iter().filter(|(number, _)| *number > end.segment) {
            self.remove(*later).await?;
        }
        let whole = match seen.first() {
            Some((number, _)) if *number == end.segment => {
                Self::is_segment(self.segment(*number).await?.as_ref(), *number)?
            }
            _ => false,
        };
        if !whole {
            return self.create(end.segment).await.map(drop);
        }
        let file = self.segment(end.segment).await?;
        if file.len()? > u64::from(end.offset) {
            file.set_len(u64::from(end.offset))?;
        }
        // What was replayed is built upon from now on.
        file.sync()
    }

    /// Removes a segment.
    pub async fn remove(&self, number: u32) -> Result<()> {
        self.open.borrow_mut().remove(&number);
        self.directory.remove(&name(number)).await
    }
}

fn in_use() -> Error {
    Error::Locked("another owner has written to it since it was opened here; open it again".into())
}

fn name(number: u32) -> String {
    format!("segment-{number:08}")
}

fn number(name: &str) -> Option<u32> {
    name.strip_prefix("segment-")?.parse().ok()
}

/// The end of the log while a commit is appended to it. What is appended counts only when the caller says so; until
/// then [`Appender::undo`] takes it back.
pub struct Appender<'a> {
    log: &'a Log,
    file: Rc<dyn RandomAccessFile>,
    /// Where the next frame begins.
    at: Position,
    start: Position,
    /// Where the log is durable up to.
    synced: Position,
    gathered: Vec<u8>,
    /// Where `gathered` goes.
    gathered_at: u32,
}

impl<'a> Appender<'a> {
    /// Appends at `at`, which must be the end of the newest segment: if it is not, another owner has written.
    pub async fn new(log: &'a Log, at: Position, synced: Position) -> Result<Self> {
        let file = log.segment(at.segment).await?;
        if file.len()? != u64::from(at.offset) {
            return Err(in_use());
        }
        Ok(Appender { log, file, at, start: at, synced, gathered: Vec::new(), gathered_at: at.offset })
    }

    /// Where the next frame will begin.
    pub fn position(&self) -> Position {
        self.at
    }

    /// Up to where the log is durable.
    pub fn synced(&self) -> Position {
        self.synced
    }

    /// Appends a block's frame and returns where it begins.
    pub async fn block(&mut self, key: &[u8], body: &[u8]) -> Result<Position> {
        self.make_room(frame::HEADER_BYTES + key.len() + body.len()).await?;
        let at = self.at;
        self.append(&frame::block_header(at, key, body.len()))?;
        self.append(body)?;
        Ok(at)
    }

    /// Appends a commit's frame.
    pub async fn commit(&mut self, body: &[u8]) -> Result<()> {
        if body.len() > frame::MAX_BODY_BYTES as usize {
            let size =
                format!("a commit record of {} bytes is over the limit of {}", body.len(), frame::MAX_BODY_BYTES);
            return Err(Error::InvalidArgument(format!("{size}: change less at once")));
        }
        self.make_room(frame::HEADER_BYTES + body.len()).await?;
        self.append(&frame::commit_frame(self.at, body))
    }

    /// Writes out what is gathered.
    pub fn write_out(&mut self) -> Result<()> {
        if !self.gathered.is_empty() {
            self.file.write_at(u64::from(self.gathered_at), &self.gathered)?;
            self.gathered.clear();
        }
        self.gathered_at = self.at.offset;
        Ok(())
    }

    /// Makes everything appended durable.
    pub fn sync(&mut self) -> Result<()> {
        self.write_out()?;
        if self.synced != self.at {
            self.file.sync()?;
            self.synced = self.at;
        }
        Ok(())
    }

    /// Takes back everything appended and returns where the log ends now.
    pub async fn undo(self) -> Result<Position> {
        for segment in self.start.segment + 1..=self.at.segment {
            self.log.remove(segment).await?;
        }
        let file = self.log.segment(self.start.segment).await?;
        file.set_len(u64::from(self.start.offset))?;
        Ok(self.start)
    }

    fn append(&mut self, bytes: &[u8]) -> Result<()> {
        if bytes.len() >= LARGE_BYTES {
            self.write_out()?;
            self.file.write_at(u64::from(self.at.offset), bytes)?;
            self.at.offset += bytes.len() as u32;
            self.gathered_at = self.at.offset;
        } else {
            self.gathered.extend_from_slice(bytes);
            self.at.offset += bytes.len() as u32;
            if self.gathered.len() >= GATHER_BYTES {
                self.write_out()?;
            }
        }
        Ok(())
    }

    /// Goes on in a new segment when this one is full. The full one is durable first, so that the log has no holes.
    async fn make_room(&mut self, frame_bytes: usize) -> Result<()> {
        if u64::from(self.at.offset) + frame_bytes as u64 <= u64::from(self.log.segment_bytes)
            || self.at.offset == FIRST_FRAME
        {
            return Ok(());
        }
        self.sync()?;
        let next = self.at.segment.checked_add(1).ok_or_else(|| Error::Io("the log has no more numbers".into()))?;
        if self.log.segment(next).await?.len()? > 0 {
            return Err(in_use()); // begun by another owner: what is in it is not ours to wipe
        }
        self.file = match self.log.create(next).await {
            Ok(file) => file,
            Err(error) => {
                // Left there, it would look like another owner's.
                let _ = self.log.remove(next).await;
                return Err(error);
            }
        };
        self.at = Position { segment: next, offset: FIRST_FRAME };
        self.synced = self.at;
        self.gathered_at = self.at.offset;
        Ok(())
    }
}
