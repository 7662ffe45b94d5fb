//! Files on their way in, one after another: cut, hashed in company, linked, written ahead. Small files fill the lanes of the
//! hasher only together.

use std::{
    future::poll_fn,
    rc::Rc,
    task::{Context, Poll},
};

use bytes::Bytes;
use futures_util::{
    StreamExt,
    future::{self, LocalBoxFuture},
    stream::FuturesOrdered,
};

use super::{
    Shared,
    ahead::{Ahead, BATCH_BYTES, MAX_IN_FLIGHT, OVERHEAD},
};
use crate::{
    error::Result,
    unixfs::{Built, Chunker, FileBuilder, Layout, Leaf, Metadata},
};

/// Most chunks of small files that are hashed together.
const BATCH_CHUNKS: usize = 1024;

/// Files being stored, each with a tag of the caller's.
pub struct Intake<T> {
    shared: Rc<Shared>,
    layout: Layout,
    chunker: Chunker,
    /// Chunks of the file that is being written.
    chunks: u64,
    batch: Batch<T>,
    hashing: FuturesOrdered<LocalBoxFuture<'static, Result<Hashed<T>>>>,
    hashing_bytes: usize,
    /// Of the file that is being linked.
    builder: Option<FileBuilder>,
    done: Vec<(T, Built)>,
    /// Where blocks go.
    pub ahead: Ahead,
}

/// Chunks that are hashed together.
struct Batch<T> {
    chunks: Vec<Bytes>,
    bytes: usize,
    ends: Vec<End<T>>,
}

/// A file ends after so many chunks of the batch.
struct End<T> {
    after: usize,
    tag: T,
    metadata: Metadata,
}

struct Hashed<T> {
    bytes: usize,
    layout: Layout,
    leaves: Vec<Leaf>,
    ends: Vec<End<T>>,
}

enum Event<T> {
    Hashed(Result<Hashed<T>>),
    Written(Result<()>),
    Idle,
}

impl<T> Default for Batch<T> {
    fn default() -> Self {
        Batch { chunks: Vec::new(), bytes: 0, ends: Vec::new() }
    }
}

impl<T: 'static> Intake<T> {
    /// No file yet.
    pub fn new(shared: Rc<Shared>, layout: Layout) -> Self {
        Intake {
            layout,
            chunker: Chunker::new(layout.chunk_bytes),
            chunks: 0,
            batch: Batch::default(),
            hashing: FuturesOrdered::new(),
            hashing_bytes: 0,
            builder: None,
            done: Vec::new(),
            ahead: Ahead::new(shared.clone()),
            shared,
        }
    }

    /// The layout of the files from here on. No file may be half written.
    pub fn set_layout(&mut self, layout: Layout) {
        if self.layout != layout {
            self.hash();
            self.layout = layout;
            self.chunker = Chunker::new(layout.chunk_bytes);
        }
    }

    /// Takes the next bytes of a file; returns when there is room for more.
    pub async fn write(&mut self, bytes: Bytes) -> Result<()> {
        self.ahead.enter().await?;
        self.chunker.push(bytes);
        while let Some(chunk) = self.chunker.next_chunk() {
            self.push(chunk);
            if self.batch.bytes >= BATCH_BYTES {
                self.hash();
                self.drain(MAX_IN_FLIGHT).await?;
            }
        }
        Ok(())
    }

    /// Ends a file.
    pub async fn end(&mut self, tag: T, metadata: Metadata) -> Result<()> {
        let last = self.chunker.finish();
        if !last.is_empty() || self.chunks == 0 {
            self.push(last);
        }
        self.chunks = 0;
        self.batch.ends.push(End { after: self.batch.chunks.len(), tag, metadata });
        if self.batch.bytes >= BATCH_BYTES || self.batch.chunks.len() >= BATCH_CHUNKS {
            self.hash();
            self.drain(MAX_IN_FLIGHT).await?;
        }
        Ok(())
    }

    /// The files that are wholly linked since this was called last, in their order.
    pub fn done(&mut self) -> Vec<(T, Built)> {
        std::mem::take(&mut self.done)
    }

    /// Returns when all files that were ended are linked; their last blocks are not written before the commit.
    pub async fn finish(&mut self) -> Result<Vec<(T, Built)>> {
        self.ahead.enter().await?;
        self.hash();
        while !self.hashing.is_empty() {
            let event = poll_fn(|context| self.poll_event(context)).await;
            self.take(event).await?;
        }
        Ok(self.done())
    }

    fn push(&mut self, chunk: Bytes) {
        self.batch.bytes += chunk.len() + OVERHEAD;
        self.batch.chunks.push(chunk);
        self.chunks += 1;
    }

    fn hash(&mut self) {
        let Batch { chunks, bytes, ends } = std::mem::take(&mut self.batch);
        if chunks.is_empty() && ends.is_empty() {
            return;
        }
        self.hashing_bytes += bytes;
        let (hasher, layout) = (self.shared.hasher.clone(), self.layout);
        self.hashing.push_back(Box::pin(async move {
            let leaves = FileBuilder::leaves(hasher.as_ref(), layout, chunks).await?;
            Ok(Hashed { bytes, layout, leaves, ends })
        }));
    }

    /// Moves what is under way along, until no more than `allowed` bytes are.
    async fn drain(&mut self, allowed: usize) -> Result<()> {
        loop {
            let must_wait = self.hashing_bytes + self.ahead.in_flight() > allowed;
            let next = poll_fn(|context| self.poll_event(context));
            let event = if must_wait { Some(next.await) } else { future::poll_immediate(next).await };
            match event {
                None | Some(Event::Idle) => return Ok(()),
                Some(event) => self.take(event).await?,
            }
        }
    }

    fn poll_event(&mut self, context: &mut Context<'_>) -> Poll<Event<T>> {
        if let Poll::Ready(Some(hashed)) = self.hashing.poll_next_unpin(context) {
            return Poll::Ready(Event::Hashed(hashed));
        }
        match self.ahead.poll_written(context) {
            Poll::Ready(Some(done)) => Poll::Ready(Event::Written(done)),
            Poll::Ready(None) if self.hashing.is_empty() => Poll::Ready(Event::Idle),
            _ => Poll::Pending,
        }
    }

    async fn take(&mut self, event: Event<T>) -> Result<()> {
        match event {
            Event::Idle => Ok(()),
            Event::Written(done) => done,
            Event::Hashed(hashed) => self.link(hashed?).await,
        }
    }

    async fn link(&mut self, Hashed { bytes, layout, leaves, ends }: Hashed<T>) -> Result<()> {
        self.hashing_bytes -= bytes;
        let hasher = self.shared.hasher.clone();
        let mut ends = ends.into_iter().peekable();
        let mut leaves = leaves.into_iter().enumerate();
        let mut blocks = Vec::with_capacity(leaves.len());
        loop {
            let next = leaves.next();
            let at = next.as_ref().map(|(at, _)| *at);
            while let Some(End { tag, metadata, .. }) = ends.next_if(|end| at.is_none_or(|at| end.after <= at)) {
                let builder = self.builder.take().unwrap_or_else(|| FileBuilder::new(layout));
                let (nodes, built) = builder.finish(hasher.as_ref(), metadata).await?;
                blocks.extend(nodes);
                self.done.push((tag, built));
            }
            let Some((_, leaf)) = next else { break };
            let builder = self.builder.get_or_insert_with(|| FileBuilder::new(layout));
            blocks.extend(builder.link(hasher.as_ref(), leaf).await?);
        }
        self.ahead.take(blocks);
        Ok(())
    }
}
