//! Writing blocks ahead of the commit that will make them reachable, with a bounded number of bytes on the way.

use std::{
    future::poll_fn,
    rc::Rc,
    task::{Context, Poll, ready},
};

use futures_util::{
    StreamExt,
    future::{self, LocalBoxFuture},
    stream::FuturesUnordered,
};

use super::{Shared, sweep};
use crate::{
    block::{Block, Key},
    error::Result,
    tier::{Commit, Committed},
};

/// Blocks are hashed and committed in batches of this many bytes: enough for four lanes of 1 MiB, and for a transaction.
pub const BATCH_BYTES: usize = 4 * 1024 * 1024;

/// Bytes of batches under way before a writer makes its caller wait.
pub const MAX_IN_FLIGHT: usize = 4 * BATCH_BYTES;

/// Most blocks that are remembered for being dropped, should it fail: 64 GiB of a file, in 5 MiB of memory. What was written
/// ahead after these waits for a garbage collection.
const MAX_REMEMBERED: usize = 64 * 1024;

/// What is written ahead of one commit. Dropped before [`Ahead::commit`], it is garbage.
pub struct Ahead {
    shared: Rc<Shared>,
    open: Option<sweep::Open>,
    in_flight: usize,
    committing: FuturesUnordered<LocalBoxFuture<'static, (usize, Result<Vec<Key>>)>>,
    /// What was not held before.
    written: Vec<Key>,
}

impl Ahead {
    /// Nothing yet.
    pub fn new(shared: Rc<Shared>) -> Self {
        Ahead { shared, open: None, in_flight: 0, committing: FuturesUnordered::new(), written: Vec::new() }
    }

    /// From here on nothing is swept that is written or looked up. To be called before the first write.
    pub async fn enter(&mut self) -> Result<()> {
        if self.open.is_none() {
            self.open = Some(sweep::enter(&self.shared).await?);
        }
        Ok(())
    }

    /// Begins to write blocks; [`Ahead::settle`] or [`Ahead::poll_written`] moves it along.
    pub fn write(&mut self, blocks: Vec<Block>) {
        let durability = self.shared.options.durability;
        let commit = Commit { blocks, durability, ahead: true, ..Commit::default() };
        let bytes = commit.bytes() as usize;
        self.in_flight += bytes;
        let shared = self.shared.clone();
        self.committing.push(Box::pin(async move {
            (bytes, shared.write(commit, async |commit| shared.blocks.write_ahead(commit).await).await)
        }));
    }

    /// Bytes on the way.
    pub fn in_flight(&self) -> usize {
        self.in_flight
    }

    /// The end of one write; none when there is none under way.
    pub fn poll_written(&mut self, context: &mut Context<'_>) -> Poll<Option<Result<()>>> {
        let Some((bytes, written)) = ready!(self.committing.poll_next_unpin(context)) else {
            return Poll::Ready(None);
        };
        self.in_flight -= bytes;
        Poll::Ready(Some(written.map(|written| {
            let room = MAX_REMEMBERED - self.written.len();
            self.written.extend(written.into_iter().take(room));
        })))
    }

    /// Moves what is under way along, until no more than `allowed` bytes are.
    pub async fn settle(&mut self, allowed: usize) -> Result<()> {
        loop {
            let must_wait = self.in_flight > allowed;
            let next = poll_fn(|context| self.poll_written(context));
            match if must_wait { next.await } else { future::poll_immediate(next).await.flatten() } {
                Some(done) => done?,
                None => return Ok(()),
            }
        }
    }

    /// Makes it reachable by this commit, when all of it is written. After an error, [`Ahead::abort`].
    pub async fn commit(&mut self, commit: Commit) -> Result<Committed> {
        self.enter().await?;
        self.settle(0).await?;
        let shared = &self.shared;
        let done = shared.write(commit, async |commit| shared.blocks.commit(commit).await).await?;
        self.written.clear();
        if let Some(open) = self.open.take() {
            sweep::leave(open).await;
        }
        Ok(done)
    }

    /// Gives up: what was written is dropped.
    pub async fn abort(&mut self) {
        // Commits under way cannot be taken back; what they write is known only when they end.
        while let Some((_, written)) = self.committing.next().await {
            self.written.extend(written.unwrap_or_default());
        }
        sweep::suspect(&self.shared, self.written.drain(..));
        if let Some(open) = self.open.take() {
            sweep::leave(open).await;
        }
    }
}

impl Drop for Ahead {
    fn drop(&mut self) {
        sweep::suspect(&self.shared, self.written.drain(..));
    }
}
