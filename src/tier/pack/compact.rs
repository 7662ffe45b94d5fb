//! Compaction: what is alive in a segment that is mostly dead is copied to the log's end, and the segment removed.
//!
//! A copy is an ordinary block's frame, so a crash needs nothing of its own: the replay takes the later copy, and the old
//! segment is removed only after a checkpoint that does not need it. One segment at a time is copied, so the extra space
//! is the live bytes of one segment at most, which are less than half of it, and the index that the checkpoint writes.

use std::collections::VecDeque;

use bytes::Bytes;

use super::{
    PackTier, checkpoint,
    frame::{self, HEADER_BYTES},
    log::Appender,
    state::{Appended, Segment, frame_bytes},
    table::{self, Entry},
};
use crate::{
    block::{Block, Codec, Key, new_cid},
    error::Result,
    tier::{Compacted, record::Change},
};

/// A checkpoint file that takes this many times what it would take now is written anew.
const INDEX_RATIO: u64 = 2;

/// What was alive in the segment that is being compacted and is not copied yet, in the order of the places.
pub type Moving = VecDeque<Entry>;

/// A block to move, and what its frame says that it is, if that can be read.
type Claim = (Entry, Option<(Key, Bytes)>);

/// What a step does with the blocks that it takes out of a segment.
#[derive(Default)]
struct Step {
    /// Those to copy, and where they lie.
    whole: Vec<(Entry, Key, Block)>,
    /// Those whose bytes do not hash to their key.
    corrupt: Vec<Key>,
    /// Those of which not even the key can be read.
    unreadable: Vec<Entry>,
}

impl PackTier {
    /// One step: copies some blocks of the worst segment, and removes it when these were the last.
    pub(super) async fn compact_a_step(&self) -> Result<Compacted> {
        let _writing = self.writing.lock().await;
        let done = self.step().await;
        if done.is_err() {
            // What was not copied is alive where it was, and found there again.
            self.moving.replace(None);
        }
        done
    }

    async fn step(&self) -> Result<Compacted> {
        let mut done = Compacted::default();
        let mut appender = self.appender().await?;
        if self.moving.borrow().is_none() {
            let Some(worst) = self.worst_segment() else {
                if !self.state.borrow().dead_segments().is_empty() || self.index_is_oversized() {
                    done.freed = self.checkpoint().await?;
                }
                return Ok(done);
            };
            if appender.position().segment == worst {
                // What is written from now on must not go to what is about to be removed.
                appender.begin_segment().await?;
                self.state.borrow_mut().grow(&appender, &[]);
                // One of its own, so that undoing what is copied does not undo this.
                appender = self.appender().await?;
            }
            self.moving.replace(Some(self.state.borrow().in_segment(worst).into()));
        }
        let claims = self.take_claims().await?;
        if !claims.is_empty() {
            done.moved = self.move_blocks(appender, claims).await?;
        }
        let finished = self.moving.borrow_mut().take_if(|left| left.is_empty()).is_some();
        if finished || self.checkpoint_is_due() {
            done.freed = self.checkpoint().await?;
        }
        done.more = !finished || self.worst_segment().is_some() || self.index_is_oversized();
        Ok(done)
    }

    /// The segment with the smallest share of live bytes, where that is less than half and worth the work.
    fn worst_segment(&self) -> Option<u32> {
        let state = self.state.borrow();
        let worthwhile = |segment: &Segment| {
            segment.dead() * 2 > segment.frames() && segment.dead() >= self.limits.worthwhile_bytes.max(1)
        };
        let share = |segment: &Segment| segment.live * 1_000_000 / segment.frames().max(1);
        let candidates = state.segments.iter().filter(|(_, segment)| worthwhile(segment));
        candidates.min_by_key(|(_, segment)| share(segment)).map(|(number, _)| *number)
    }

    /// Whether the older checkpoint is left from when the store was much larger.
    fn index_is_oversized(&self) -> bool {
        let state = self.state.borrow();
        let bytes = |generation| state.index_bytes.get(checkpoint::name(generation)).copied().unwrap_or_default();
        let newer = bytes(state.generation);
        newer > 0 && bytes(state.generation + 1) > newer * INDEX_RATIO + self.limits.worthwhile_bytes
    }

    /// The next blocks to move, as many as a step takes, each with what its frame says that it is.
    async fn take_claims(&self) -> Result<Vec<Claim>> {
        let mut claims = Vec::new();
        let mut bytes = 0;
        while bytes < self.limits.step_bytes {
            let next = self.moving.borrow_mut().as_mut().and_then(VecDeque::pop_front);
            let Some(entry) = next else { break };
            // It may have been dropped since.
            if !self.state.borrow().holds(entry) {
                continue;
            }
            let frame = self.read(entry, HEADER_BYTES + frame::MAX_KEY_BYTES + entry.length as usize).await?.into();
            bytes += frame_bytes(&entry);
            claims.push((entry, block_in(&frame, &entry)));
        }
        Ok(claims)
    }

    /// Copies those that are what they claim to be, and sets the others aside; returns how many bytes were copied.
    async fn move_blocks(&self, mut appender: Appender<'_>, claims: Vec<Claim>) -> Result<u64> {
        let step = self.prove(claims).await?;
        let change = Change { quarantine: step.corrupt, ..Change::default() };
        let appended = match copy(&mut appender, &step.whole, &change).await {
            Ok(appended) => appended,
            Err(error) => {
                appender.undo().await.inspect_err(|failure| self.give_up(failure))?;
                return Err(error);
            }
        };
        {
            let mut state = self.state.borrow_mut();
            step.whole.iter().for_each(|(entry, ..)| state.take_out(*entry));
            step.unreadable.iter().for_each(|entry| state.take_out(*entry));
            state.quarantined += step.unreadable.len() as u64;
            state.grow(&appender, &appended);
        }
        self.apply(change).await.inspect_err(|error| self.give_up(error))?;
        Ok(appended.iter().map(|block| u64::from(block.length)).sum())
    }

    async fn prove(&self, claims: Vec<Claim>) -> Result<Step> {
        let mut step = Step::default();
        let (mut claimed, mut places) = (Vec::new(), Vec::new());
        for (entry, claim) in claims {
            match claim {
                Some((key, bytes)) => {
                    claimed.push((new_cid(cid::Version::V1, Codec::Raw, key), bytes));
                    places.push((entry, key));
                }
                None => step.unreadable.push(entry),
            }
        }
        let proofs = Block::verify(self.hasher.as_ref(), claimed).await?;
        for ((entry, key), proof) in places.into_iter().zip(proofs) {
            match proof {
                Ok(block) => step.whole.push((entry, key, block)),
                Err(_) => step.corrupt.push(key),
            }
        }
        Ok(step)
    }
}

/// The key and the bytes in a frame, if the key is one that the entry stands for. The header is not needed: a key tells
/// its length itself, and the bytes are proven by it.
fn block_in(frame: &Bytes, entry: &Entry) -> Option<(Key, Bytes)> {
    let (_code, digest_bytes) = (frame.get(HEADER_BYTES)?, frame.get(HEADER_BYTES + 1)?);
    let body = HEADER_BYTES + 2 + usize::from(*digest_bytes);
    let key = Key::from_bytes(frame.get(HEADER_BYTES..body)?).ok().filter(|key| table::prefix(key) == entry.prefix)?;
    let end = frame.len().min(body + entry.length as usize);
    Some((key, frame.slice(body..end)))
}

async fn copy(appender: &mut Appender<'_>, blocks: &[(Entry, Key, Block)], change: &Change) -> Result<Vec<Appended>> {
    let mut appended = Vec::with_capacity(blocks.len());
    for (_, key, block) in blocks {
        let at = appender.block(&key.to_bytes(), block.bytes()).await?;
        appended.push(Appended { key: *key, at, length: block.bytes().len() as u32 });
    }
    if !change.is_empty() {
        appender.commit(&frame::commit_body(appender.synced(), &change.encode())).await?;
    }
    appender.write_out()?;
    Ok(appended)
}
