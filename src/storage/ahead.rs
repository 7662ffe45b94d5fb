//! Writing blocks ahead of the commit that will make them reachable, with a bounded number of bytes on the way.

use std::{
    future::poll_fn,
    rc::Rc,
    task::{Context, Poll, ready},
};

use async_trait::async_trait;
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
    unixfs::BlockSink,
};

/// Blocks are hashed and committed in batches of this many bytes: enough for four lanes of 1 MiB, and for a transaction.
pub const BATCH_BYTES: usize = 4 * 1024 * 1024;

/// Bytes of batches under way before a writer makes its caller wait.
pub const MAX_IN_FLIGHT: usize = 4 * BATCH_BYTES;

/// Most blocks that are remembered for being dropped, should it fail: 64 GiB of a file, in 5 MiB of memory. What was written
/// ahead after these waits for a garbage collection.
const MAX_REMEMBERED: usize = 64 * 1024;

/// Most blocks that wait for company before they are written.
const MAX_GATHERED: usize = 4096;

/// What is written ahead of one commit. Dropped before [`Ahead::commit`], it is garbage.
pub struct Ahead {
    shared: Rc<Shared>,
    open: Option<sweep::Open>,
    /// Blocks that wait for company.
    gathered: Vec<Block>,
    gathered_bytes: usize,
    in_flight: usize,
    committing: FuturesUnordered<LocalBoxFuture<'static, (usize, Result<Vec<Key>>)>>,
    /// What was not held before.
    written: Vec<Key>,
}

impl Ahead {
    /// Nothing yet.
    pub fn new(shared: Rc<Shared>) -> Self {
        Ahead {
            shared,
            open: None,
            gathered: Vec::new(),
            gathered_bytes: 0,
            in_flight: 0,
            committing: FuturesUnordered::new(),
            written: Vec::new(),
        }
    }

    /// From here on nothing is swept that is written or looked up. To be called before the first write.
    pub async fn enter(&mut self) -> Result<()> {
        if self.open.is_none() {
            self.open = Some(sweep::enter(&self.shared).await?);
        }
        Ok(())
    }

    /// Takes blocks, and begins to write them when there are enough; [`Ahead::settle`] or [`Ahead::poll_written`] moves it
    /// along.
    pub fn take(&mut self, blocks: Vec<Block>) {
        self.gathered_bytes += blocks.iter().map(|block| block.bytes().len()).sum::<usize>();
        self.gathered.extend(blocks);
        if self.gathered_bytes >= BATCH_BYTES || self.gathered.len() >= MAX_GATHERED {
            self.write();
        }
    }

    fn write(&mut self) {
        let (blocks, bytes) = (std::mem::take(&mut self.gathered), std::mem::take(&mut self.gathered_bytes));
        if blocks.is_empty() {
            return;
        }
        let durability = self.shared.options.durability;
        let commit = Commit { blocks, durability, ahead: true, ..Commit::default() };
        self.in_flight += bytes;
        let shared = self.shared.clone();
        self.committing.push(Box::pin(async move {
            (bytes, shared.write(commit, async |commit| shared.blocks.write_ahead(commit).await).await)
        }));
    }

    /// Writes all that was taken, so that it can be read.
    pub async fn flush(&mut self) -> Result<()> {
        self.write();
        self.settle(0).await
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
    pub async fn commit(&mut self, mut commit: Commit) -> Result<Committed> {
        self.enter().await?;
        self.settle(0).await?;
        commit.blocks.append(&mut self.gathered);
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
        self.gathered.clear();
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

#[async_trait(?Send)]
impl BlockSink for Ahead {
    async fn put(&mut self, blocks: Vec<Block>) -> Result<()> {
        self.enter().await?;
        self.take(blocks);
        self.settle(MAX_IN_FLIGHT).await
    }
}

impl Drop for Ahead {
    fn drop(&mut self) {
        sweep::suspect(&self.shared, self.written.drain(..));
    }
}
