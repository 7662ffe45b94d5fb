//! The packed tier: blocks and commits in an append-only log, a compact index in memory, checkpoints of it on disk.
//!
//! It stands on [`Directory`], so the same engine runs over WASI files, native files, OPFS and a simulator that cuts
//! power. `docs/design.md` has the format and says what is durable when.

mod checkpoint;
mod compact;
mod frame;
mod log;
mod owner;
mod read;
mod recovery;
mod state;
mod table;
mod version;

use std::{cell::RefCell, collections::HashSet, rc::Rc};

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::lock::Mutex;

pub use self::owner::OWNER_TIMEOUT;
use self::{
    compact::Moving,
    frame::{HEADER_BYTES, Position},
    log::{Appender, FIRST_FRAME, Log},
    owner::Owner,
    recovery::Replayed,
    state::{Appended, Since, State},
};
use super::{
    Amount, Commit, Committed, Compacted, Durability, Held, Pin, Place, Recovery, StoredRoot, Tier, Usage,
    record::Change,
};
use crate::{
    block::{self, Block, Cid, Key},
    error::{Error, Result},
    hash::Hasher,
    platform::{Clock, Room, files::Directory},
};

/// The sizes at which the engine acts. The defaults are for real stores; tests take small ones.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// A segment is closed at this size: the unit in which space is given back.
    pub segment_bytes: u32,
    /// A checkpoint is due when the log has grown by this much since the last one, or by four times the
    /// index if that is more. It bounds what opening after a crash reads, and what checkpoints cost while writing.
    pub checkpoint_bytes: u64,
    /// A checkpoint is due after this many frames, too, or after a share of the index: opening looks at each.
    pub checkpoint_frames: u64,
    /// One step of a compaction copies about this much.
    pub step_bytes: u64,
    /// A segment with less than this to give back is not worth the checkpoint that it takes.
    pub worthwhile_bytes: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Limits {
            segment_bytes: 256 * 1024 * 1024,
            checkpoint_bytes: 64 * 1024 * 1024,
            checkpoint_frames: 65_536,
            step_bytes: 4 * 1024 * 1024,
            worthwhile_bytes: 1024 * 1024,
        }
    }
}

/// How a store is opened.
#[derive(Debug, Clone, Copy, Default)]
pub struct Opening {
    /// The sizes at which it acts.
    pub limits: Limits,
    /// Take the store from an owner that may still be alive: it cannot write from then on.
    pub take_over: bool,
    /// The host lets nobody else open it, so that no lease is needed.
    pub exclusive: bool,
}

/// See [`Limits::checkpoint_bytes`].
const CHECKPOINT_RATIO: u64 = 4;

/// Blocks and roots in packed files.
pub struct PackTier {
    directory: Rc<dyn Directory>,
    hasher: Rc<dyn Hasher>,
    owner: Owner,
    limits: Limits,
    log: Log,
    state: RefCell<State>,
    /// Held by the one commit, or step of a compaction, that is being written.
    writing: Mutex<()>,
    /// The segment that is being compacted.
    moving: RefCell<Option<Moving>>,
    recovery: Recovery,
    /// Why nothing can be written any more.
    broken: RefCell<Option<Error>>,
}

impl PackTier {
    /// Opens the store in this folder, or makes one there; mends what a crash left. [`Error::Locked`] if it has an owner.
    pub async fn open(directory: Rc<dyn Directory>, hasher: Rc<dyn Hasher>, clock: Rc<dyn Clock>) -> Result<PackTier> {
        Self::open_with(directory, hasher, clock, Opening::default()).await
    }

    /// The same, in another way.
    pub async fn open_with(
        directory: Rc<dyn Directory>,
        hasher: Rc<dyn Hasher>,
        clock: Rc<dyn Clock>,
        opening: Opening,
    ) -> Result<PackTier> {
        let Opening { limits, take_over, exclusive } = opening;
        let owner = match exclusive {
            true => Owner::alone(directory.clone(), clock),
            false => Owner::claim(directory.clone(), clock, take_over).await?,
        };
        let log = Log::open(directory.clone(), limits.segment_bytes).await?;
        let checkpoint = checkpoint::load(directory.as_ref()).await?;
        let segments = log.segments().await?;
        let first = match segments.first() {
            Some(first) => *first,
            None => {
                log.create(1).await?;
                1
            }
        };
        let from = checkpoint.position.max(Position { segment: first, offset: FIRST_FRAME });
        let mut state = State::of(checkpoint);
        let replay = recovery::replay(&log, hasher.as_ref(), from).await?;
        // Also those with nothing alive: a kill between a checkpoint and the removal of what it no longer needs leaves them.
        for segment in segments.into_iter().filter(|segment| *segment < replay.end.segment) {
            state.close(segment, log.length(segment).await?);
        }
        state.advance(replay.end);
        // An opener that never writes leaves everything as it is: another one may be at work. So what is torn is cut off
        // with the first write, and not sealed but after one.
        state.sealed = replay.end;
        state.torn = Some(replay.torn.clone());
        let tier = PackTier {
            directory,
            hasher,
            owner,
            limits,
            log,
            state: RefCell::new(state),
            writing: Mutex::new(()),
            moving: RefCell::default(),
            recovery: Recovery {
                replayed: replay.frames.len() as u64,
                truncated_bytes: replay.torn.bytes,
                quarantined: replay.damaged,
            },
            broken: RefCell::default(),
        };
        for (at, frame) in replay.frames {
            tier.replay(at, frame).await?;
        }
        tier.state.borrow_mut().quarantined += replay.damaged;
        Ok(tier)
    }

    /// Makes everything durable and gives the ownership back; nothing can be written any more. Dropping it does the same
    /// where files answer at once, but for the making durable.
    pub async fn close(&self) -> Result<()> {
        let flushed = self.flush().await;
        let _writing = self.writing.lock().await;
        self.broken.borrow_mut().get_or_insert(Error::Cancelled);
        flushed.and(self.owner.leave().await)
    }

    /// The log's end, to append to. The first time, what is torn is cut off, durably, before anything is written there.
    async fn appender(&self) -> Result<Appender<'_>> {
        if let Some(reason) = self.broken.borrow().clone() {
            return Err(reason);
        }
        let owned = self.owner.holds().await?;
        if !owned && self.has_changed().await? {
            return Err(log::in_use());
        }
        let (end, torn) = {
            let state = self.state.borrow();
            (state.end, state.torn.clone())
        };
        if let Some(torn) = torn {
            self.log.cut(end, &torn.segments).await?;
            let mut state = self.state.borrow_mut();
            state.torn = None;
            state.synced = end;
        }
        let synced = self.state.borrow().synced;
        let appender = Appender::new(&self.log, end, synced).await?;
        if !owned {
            self.owner.sign().await?;
        }
        Ok(appender)
    }

    /// Whether another owner, that has left again, has changed anything. What it did to the log's last segment, the appender
    /// finds out.
    async fn has_changed(&self) -> Result<bool> {
        let generation = checkpoint::load(self.directory.as_ref()).await?.generation;
        let last = self.log.segments().await?.last().copied();
        let state = self.state.borrow();
        Ok(generation != state.generation || state.torn.is_none() && last != Some(state.end.segment))
    }

    async fn replay(&self, at: Position, frame: Replayed) -> Result<()> {
        match frame {
            Replayed::Block(key, length) => {
                let frame_bytes = HEADER_BYTES as u64 + key.encoded_len() as u64 + u64::from(length);
                // One that is held already was moved by a compaction, which the later copy lets go on from here.
                let earlier = self.find(&key).await?;
                let mut state = self.state.borrow_mut();
                earlier.into_iter().for_each(|entry| state.take_out(entry));
                state.add(&Appended { key, at, length });
                state.since_checkpoint.count(frame_bytes);
            }
            Replayed::Commit(_, change) => {
                self.apply(*change).await?;
                self.state.borrow_mut().since_checkpoint.count(HEADER_BYTES as u64);
            }
        }
        Ok(())
    }

    /// Applies what a commit record says, and tells which of the roots it sets are pinned now, and what is dropped.
    async fn apply(&self, change: Change) -> Result<(Vec<bool>, Amount)> {
        let mut dropped = Amount::default();
        for key in &change.drop_blocks {
            if let Some(entry) = self.find(key).await? {
                self.state.borrow_mut().take_out(entry);
                dropped.count(u64::from(entry.length));
            }
        }
        for key in &change.quarantine {
            if let Some(entry) = self.find(key).await? {
                self.state.borrow_mut().take_out(entry);
            }
        }
        let mut state = self.state.borrow_mut();
        state.quarantined += change.quarantine.len() as u64;
        let pinned = state.roots.apply(change.set_roots, &change.drop_roots, change.pin, &change.unpin);
        state.roots.set_notes(change.notes);
        Ok((pinned, dropped))
    }

    /// Appends blocks and what a commit says of others, and makes it durable if it is to be. Returns what to add to the
    /// index, and which blocks were held.
    async fn append(
        &self,
        appender: &mut Appender<'_>,
        blocks: &[Block],
        change: &Change,
        sync: bool,
    ) -> Result<(Vec<Appended>, Vec<bool>)> {
        let mut appended = Vec::with_capacity(blocks.len());
        let mut held = Vec::with_capacity(blocks.len());
        let mut seen = HashSet::new();
        for block in blocks {
            let Some(key) = block::key(block.cid()) else {
                held.push(true);
                continue;
            };
            held.push(self.find(&key).await?.is_some());
            if held.last() == Some(&false) && seen.insert(key) {
                let at = appender.block(&key.to_bytes(), block.bytes()).await?;
                appended.push(Appended { key, at, length: block.bytes().len() as u32 });
            }
        }
        if !change.is_empty() {
            appender.commit(&frame::commit_body(appender.synced(), &change.encode())).await?;
        }
        appender.write_out()?;
        if sync {
            appender.sync().inspect_err(|error| self.give_up(error))?;
        }
        Ok((appended, held))
    }

    /// Those copies that are still where they were found corrupt.
    async fn still_there(&self, suspects: &[(Key, Place)]) -> Result<Vec<Key>> {
        let mut keys = Vec::with_capacity(suspects.len());
        for (key, place) in suspects {
            let there = self.find(key).await?.is_some_and(|entry| entry.at.place() == *place);
            if there && !keys.contains(key) {
                keys.push(*key);
            }
        }
        Ok(keys)
    }

    /// After a failed sync nobody knows what the medium holds: nothing more is written, and opening again finds out.
    fn give_up(&self, error: &Error) {
        let reason = Error::Io(format!("an earlier write could not be completed ({error}); open the store again"));
        self.broken.replace(Some(reason));
    }

    fn checkpoint_is_due(&self) -> bool {
        let state = self.state.borrow();
        let index = state.table.memory_bytes() as u64;
        state.since_checkpoint.bytes > self.limits.checkpoint_bytes.max(index * CHECKPOINT_RATIO)
            || state.since_checkpoint.frames
                > self.limits.checkpoint_frames.max(state.table.len() as u64 / CHECKPOINT_RATIO)
    }

    /// Writes the index out, and gives back the segments in which nothing is alive; tells how many bytes these were.
    /// `writing` must be held.
    async fn checkpoint(&self) -> Result<u64> {
        let end = self.state.borrow().end;
        self.log.segment(end.segment).await?.sync()?;
        let (bytes, generation, name) = {
            let state = self.state.borrow();
            let generation = state.generation + 1;
            let (name, bytes) = checkpoint::encode(generation, end, &state.table, &state.roots, state.quarantined);
            (bytes, generation, name)
        };
        checkpoint::save(self.directory.as_ref(), name, &bytes).await?;
        let dead = {
            let mut state = self.state.borrow_mut();
            state.generation = generation;
            state.index_bytes.insert(name, bytes.len() as u64);
            state.synced = state.synced.max(end);
            state.since_checkpoint = Since::default();
            state.dead_segments()
        };
        let mut freed = 0;
        for segment in dead {
            self.log.remove(segment).await?;
            freed += self.state.borrow_mut().forget(segment);
        }
        Ok(freed)
    }
}

#[async_trait(?Send)]
impl Tier for PackTier {
    fn kind(&self) -> &'static str {
        self.directory.kind()
    }

    async fn get(&self, keys: &[Key]) -> Result<Vec<Option<Held>>> {
        self.owner.renew().await;
        let mut found = Vec::with_capacity(keys.len());
        for key in keys {
            found.push(self.get_one(key).await?);
        }
        Ok(found)
    }

    async fn has(&self, keys: &[Key]) -> Result<Vec<bool>> {
        self.owner.renew().await;
        let mut found = Vec::with_capacity(keys.len());
        for key in keys {
            found.push(self.find(key).await?.is_some());
        }
        Ok(found)
    }

    async fn lengths(&self, keys: &[Key]) -> Result<Vec<Option<u64>>> {
        let mut found = Vec::with_capacity(keys.len());
        for key in keys {
            found.push(self.find(key).await?.map(|entry| u64::from(entry.length)));
        }
        Ok(found)
    }

    async fn keys(&self, after: Option<&Key>, limit: usize) -> Result<Vec<Key>> {
        self.owner.renew().await;
        self.keys_after(after, limit).await
    }

    async fn commit(&self, commit: Commit) -> Result<Committed> {
        let _writing = self.writing.lock().await;
        let mut appender = self.appender().await?;
        self.state.borrow().roots.check(&commit.expect)?;
        let end = appender.position();
        let sync = commit.durability == Durability::Strict && !commit.ahead;
        let quarantine = self.still_there(&commit.quarantine).await?;
        let (blocks, change) = commit.split(quarantine);
        let (appended, held) = match self.append(&mut appender, &blocks, &change, sync).await {
            Ok(done) => done,
            Err(error) => {
                let error = match error {
                    Error::QuotaExceeded { .. } => {
                        let needed = blocks.iter().map(|block| block.bytes().len() as u64).sum();
                        Error::QuotaExceeded { needed, limit: 0 }
                    }
                    error => error,
                };
                // What was appended must not be found by a later opening, for this commit has failed.
                let undone = if self.broken.borrow().is_some() { Ok(end) } else { appender.undo().await };
                if let Err(failure) = undone {
                    self.give_up(&failure);
                }
                return Err(error);
            }
        };
        // Should this fail, what is on disk and what is in memory differ.
        let (pinned, dropped) = self.apply(change).await.inspect_err(|error| self.give_up(error))?;
        self.state.borrow_mut().grow(&appender, &appended);
        if self.checkpoint_is_due() || !self.state.borrow().dead_segments().is_empty() {
            // The commit stands without it; a checkpoint that fails is tried again with the next commit.
            let _ = self.checkpoint().await;
        }
        Ok(Committed { held, pinned, dropped })
    }

    async fn root(&self, cid: &Cid) -> Result<Option<StoredRoot>> {
        Ok(self.state.borrow().roots.get(cid))
    }

    async fn roots(&self, after: Option<&Cid>, limit: usize) -> Result<Vec<StoredRoot>> {
        Ok(self.state.borrow().roots.page(after, limit))
    }

    async fn pin(&self, cid: &Cid) -> Result<Option<Pin>> {
        Ok(self.state.borrow().roots.pin(cid))
    }

    async fn pins(&self, after: Option<&Cid>, limit: usize) -> Result<Vec<Pin>> {
        Ok(self.state.borrow().roots.pins(after, limit))
    }

    async fn note(&self, name: &str) -> Result<Option<Bytes>> {
        Ok(self.state.borrow().roots.note(name))
    }

    async fn notes(&self, prefix: &str, after: Option<&str>, limit: usize) -> Result<Vec<(String, Bytes)>> {
        Ok(self.state.borrow().roots.notes_page(prefix, after, limit))
    }

    async fn usage(&self) -> Result<Usage> {
        let state = self.state.borrow();
        Ok(Usage {
            blocks: state.table.len() as u64,
            bytes: state.bytes,
            roots: state.roots.len(),
            pinned: state.roots.pinned(),
            quarantined: state.quarantined,
            stored: state.stored(),
        })
    }

    /// Also leaves a record that says so, which spares the next opening the hashing of what was written last.
    async fn flush(&self) -> Result<()> {
        let _writing = self.writing.lock().await;
        let (end, synced, sealed) = {
            let state = self.state.borrow();
            (state.end, state.synced, state.sealed)
        };
        if end == sealed {
            // Nothing was written here; what an earlier owner wrote may not be durable yet.
            if synced < end {
                let unsynced = synced.segment..=end.segment;
                for number in self.log.segments().await?.into_iter().filter(|number| unsynced.contains(number)) {
                    self.log.segment(number).await?.sync().inspect_err(|error| self.give_up(error))?;
                }
                self.state.borrow_mut().synced = end;
            }
            return Ok(());
        }
        let mut appender = self.appender().await?;
        appender.sync().inspect_err(|error| self.give_up(error))?;
        let body = frame::commit_body(end, &Change::default().encode());
        let sealing = match appender.commit(&body).await {
            Ok(()) => appender.write_out(),
            failed => failed,
        };
        self.state.borrow_mut().synced = appender.synced();
        if let Err(error) = sealing {
            // Everything is durable; only the record that says so is missing, and spares no work next time.
            return appender.undo().await.map(drop).inspect_err(|_| self.give_up(&error));
        }
        let mut state = self.state.borrow_mut();
        state.grow(&appender, &[]);
        state.sealed = state.end;
        Ok(())
    }

    async fn compact(&self) -> Result<Compacted> {
        self.compact_a_step().await
    }

    async fn room(&self) -> Result<Option<Room>> {
        self.directory.room().await
    }

    fn recovery(&self) -> Recovery {
        self.recovery
    }
}
