//! The log: numbered, append-only segment files of frames.

use std::{
    cell::RefCell,
    collections::{BTreeMap, BTreeSet},
    rc::Rc,
};

use super::{
    frame::{self, Position, SEGMENT_MAGIC},
    version,
};
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
    /// The segments that are there: opening any other would make it.
    there: RefCell<BTreeSet<u32>>,
    open: RefCell<BTreeMap<u32, Rc<dyn RandomAccessFile>>>,
}

impl Log {
    /// The log in this folder. No segment is read yet.
    pub async fn open(directory: Rc<dyn Directory>, segment_bytes: u32) -> Result<Self> {
        let log = Log { directory, segment_bytes, there: RefCell::default(), open: RefCell::default() };
        let there = log.segments().await?.into_iter().collect();
        log.there.replace(there);
        Ok(log)
    }

    /// The numbers of the segments that are there, in order.
    pub async fn segments(&self) -> Result<Vec<u32>> {
        let names = self.directory.list().await?;
        let mut numbers: Vec<u32> = names.iter().filter_map(|name| number(name)).collect();
        numbers.sort_unstable();
        Ok(numbers)
    }

    /// A segment's file, which must be there.
    pub async fn segment(&self, number: u32) -> Result<Rc<dyn RandomAccessFile>> {
        let gone = || Error::Corrupt { cid: None, detail: format!("{} is not there any more", name(number)) };
        self.look(number).await?.ok_or_else(gone)
    }

    /// A segment's file; none if it is not there, or is removed meanwhile.
    pub async fn look(&self, number: u32) -> Result<Option<Rc<dyn RandomAccessFile>>> {
        if let Some(file) = self.open.borrow().get(&number) {
            return Ok(Some(file.clone()));
        }
        if !self.there.borrow().contains(&number) {
            return Ok(None);
        }
        let file = self.directory.open(&name(number)).await?;
        if !self.there.borrow().contains(&number) {
            // It was removed before it was opened, and opening has made an empty one.
            drop(file);
            self.directory.remove(&name(number)).await?;
            return Ok(None);
        }
        self.open.borrow_mut().insert(number, file.clone());
        Ok(Some(file))
    }

    /// How long a segment is that is there. Its file is not kept open for that.
    pub async fn length(&self, number: u32) -> Result<u64> {
        self.directory.open(&name(number)).await?.len()
    }

    /// Makes a new, empty segment; durable as a file when this returns.
    pub async fn create(&self, number: u32) -> Result<Rc<dyn RandomAccessFile>> {
        self.there.borrow_mut().insert(number);
        let file = self.segment(number).await?;
        file.set_len(0)?;
        file.write_at(0, SEGMENT_MAGIC)?;
        file.write_at(SEGMENT_MAGIC.len() as u64, &number.to_le_bytes())?;
        file.sync()?;
        self.directory.sync().await?;
        Ok(file)
    }

    /// Whether a segment begins as one. One of another version is an error.
    pub fn is_segment(file: &dyn RandomAccessFile, number: u32) -> Result<bool> {
        let start = file.read_at(0, FIRST_FRAME as usize)?;
        version::refuse_others(&start, SEGMENT_MAGIC)?;
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
        self.there.borrow_mut().remove(&number);
        self.open.borrow_mut().remove(&number);
        self.directory.remove(&name(number)).await
    }
}

/// What is said when the log is not as it was left.
pub fn in_use() -> Error {
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
    /// Segments that became full, and their lengths.
    closed: Vec<(u32, u64)>,
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
        Ok(Appender {
            log,
            file,
            at,
            start: at,
            closed: Vec::new(),
            synced,
            gathered: Vec::new(),
            gathered_at: at.offset,
        })
    }

    /// Where the next frame will begin.
    pub fn position(&self) -> Position {
        self.at
    }

    /// The segments that became full, and their lengths.
    pub fn closed(&self) -> &[(u32, u64)] {
        &self.closed
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

    /// Goes on in a new segment when this one is full.
    async fn make_room(&mut self, frame_bytes: usize) -> Result<()> {
        if u64::from(self.at.offset) + frame_bytes as u64 <= u64::from(self.log.segment_bytes)
            || self.at.offset == FIRST_FRAME
        {
            return Ok(());
        }
        self.begin_segment().await
    }

    /// Goes on in a new segment. The one before it is durable first, so that the log has no holes.
    pub async fn begin_segment(&mut self) -> Result<()> {
        self.sync()?;
        let next = self.at.segment.checked_add(1).ok_or_else(|| Error::Io("the log has no more numbers".into()))?;
        if self.log.segments().await?.contains(&next) {
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
        self.closed.push((self.at.segment, u64::from(self.at.offset)));
        self.at = Position { segment: next, offset: FIRST_FRAME };
        self.synced = self.at;
        self.gathered_at = self.at.offset;
        Ok(())
    }
}
