//! Storing one file: cut, hash, write ahead, commit, with a bounded number of bytes on the way.

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
    Shared, StoreOptions,
    ahead::{Ahead, BATCH_BYTES, MAX_IN_FLIGHT},
};
use crate::{
    block::Block,
    error::{Error, Result},
    tier::{Commit, Pin, Root, StoredRoot},
    unixfs::{Built, Chunker, FileBuilder, Layout, Leaf},
};

/// A file being stored. Dropped before [`Writer::finish`], it stores nothing.
pub struct Writer {
    shared: Rc<Shared>,
    options: StoreOptions,
    layout: Layout,
    work: Option<Work>,
}

struct Work {
    chunker: Chunker,
    builder: FileBuilder,
    /// Chunks not yet being hashed.
    batch: Vec<Bytes>,
    batch_bytes: usize,
    chunks: u64,
    hashing: FuturesOrdered<LocalBoxFuture<'static, Result<Vec<Leaf>>>>,
    hashing_bytes: usize,
    ahead: Ahead,
}

enum Event {
    Hashed(Result<Vec<Leaf>>),
    Written(Result<()>),
    Idle,
}

impl Writer {
    pub(super) fn new(shared: Rc<Shared>, options: StoreOptions) -> Result<Self> {
        let options = options.check()?;
        let layout = options.layout.unwrap_or(shared.options.layout);
        let work = Some(Work::new(shared.clone(), layout));
        Ok(Writer { shared, options, layout, work })
    }

    /// Takes the next bytes; returns when there is room for more. Large pieces are cut without being copied.
    ///
    /// After an error the writer is finished, and what it wrote ahead is dropped.
    pub async fn write(&mut self, bytes: Bytes) -> Result<()> {
        let (shared, layout) = (self.shared.clone(), self.layout);
        let work = self.begin().await?;
        let done = work.write(&shared, layout, bytes).await;
        if done.is_err() {
            self.abort().await;
        }
        done
    }

    /// Ends the file and commits it. On return it is durable.
    pub async fn finish(&mut self) -> Result<StoredRoot> {
        let done = self.end().await;
        match done {
            Ok(_) => self.work = None,
            Err(_) => self.abort().await,
        }
        done
    }

    async fn end(&mut self) -> Result<StoredRoot> {
        let (shared, layout) = (self.shared.clone(), self.layout);
        let (blocks, built) = self.begin().await?.finish(&shared, layout).await?;
        let part = Part::new(&shared, &self.options, layout, blocks, built);
        let done = self.begin().await?.ahead.commit(part.commit).await?;
        shared.room.used(&part.root.cid);
        Ok(StoredRoot { root: part.root, pinned: done.pinned.first() == Some(&true) })
    }

    /// The work, if it has not ended; from now on nothing is swept.
    async fn begin(&mut self) -> Result<&mut Work> {
        let work = self.work.as_mut().ok_or(Error::Cancelled)?;
        work.ahead.enter().await?;
        Ok(work)
    }

    /// Gives up: nothing is stored, and what was written ahead is dropped.
    pub async fn abort(&mut self) {
        if let Some(mut work) = self.work.take() {
            work.ahead.abort().await;
        }
    }
}

impl Work {
    fn new(shared: Rc<Shared>, layout: Layout) -> Self {
        Work {
            chunker: Chunker::new(layout.chunk_bytes),
            builder: FileBuilder::new(layout),
            batch: Vec::new(),
            batch_bytes: 0,
            chunks: 0,
            hashing: FuturesOrdered::new(),
            hashing_bytes: 0,
            ahead: Ahead::new(shared),
        }
    }

    async fn write(&mut self, shared: &Rc<Shared>, layout: Layout, bytes: Bytes) -> Result<()> {
        self.chunker.push(bytes);
        while let Some(chunk) = self.chunker.next_chunk() {
            self.batch_bytes += chunk.len();
            self.batch.push(chunk);
            self.chunks += 1;
            if self.batch_bytes >= BATCH_BYTES {
                self.hash_batch(shared, layout);
                self.drain(shared, MAX_IN_FLIGHT).await?;
            }
        }
        Ok(())
    }

    fn hash_batch(&mut self, shared: &Rc<Shared>, layout: Layout) {
        self.hashing_bytes += std::mem::take(&mut self.batch_bytes);
        let chunks = std::mem::take(&mut self.batch);
        let hasher = shared.hasher.clone();
        self.hashing.push_back(Box::pin(async move { FileBuilder::leaves(hasher.as_ref(), layout, chunks).await }));
    }

    /// Moves what is under way along, until no more than `allowed` bytes are.
    async fn drain(&mut self, shared: &Rc<Shared>, allowed: usize) -> Result<()> {
        loop {
            let must_wait = self.hashing_bytes + self.ahead.in_flight() > allowed;
            let next = poll_fn(|context| self.poll_event(context));
            let event = if must_wait { Some(next.await) } else { future::poll_immediate(next).await };
            match event {
                None | Some(Event::Idle) => return Ok(()),
                Some(Event::Written(done)) => done?,
                Some(Event::Hashed(leaves)) => {
                    let leaves = leaves?;
                    self.hashing_bytes -= leaves.iter().map(|leaf| leaf.size as usize).sum::<usize>();
                    let blocks = self.link(shared, leaves).await?;
                    self.ahead.write(blocks);
                }
            }
        }
    }

    fn poll_event(&mut self, context: &mut Context<'_>) -> Poll<Event> {
        if let Poll::Ready(Some(leaves)) = self.hashing.poll_next_unpin(context) {
            return Poll::Ready(Event::Hashed(leaves));
        }
        match self.ahead.poll_written(context) {
            Poll::Ready(Some(done)) => Poll::Ready(Event::Written(done)),
            Poll::Ready(None) if self.hashing.is_empty() => Poll::Ready(Event::Idle),
            _ => Poll::Pending,
        }
    }

    async fn link(&mut self, shared: &Rc<Shared>, leaves: Vec<Leaf>) -> Result<Vec<Block>> {
        let mut blocks = Vec::with_capacity(leaves.len());
        for leaf in leaves {
            blocks.extend(self.builder.link(shared.hasher.as_ref(), &leaf).await?);
            blocks.push(leaf.block);
        }
        Ok(blocks)
    }

    /// Waits for everything written ahead, and returns the blocks that are still to be committed, the root among them.
    async fn finish(&mut self, shared: &Rc<Shared>, layout: Layout) -> Result<(Vec<Block>, Built)> {
        let last = self.chunker.finish();
        if !last.is_empty() || self.chunks == 0 {
            self.batch.push(last);
        }
        self.drain(shared, 0).await?;
        let leaves = FileBuilder::leaves(shared.hasher.as_ref(), layout, std::mem::take(&mut self.batch)).await?;
        let mut blocks = self.link(shared, leaves).await?;
        let builder = std::mem::replace(&mut self.builder, FileBuilder::new(layout));
        let (nodes, built) = builder.finish(shared.hasher.as_ref()).await?;
        blocks.extend(nodes);
        Ok((blocks, built))
    }
}

/// What commits one file: its last blocks, its root, its pin.
pub(super) struct Part {
    pub commit: Commit,
    pub root: Root,
}

impl Part {
    fn new(shared: &Rc<Shared>, options: &StoreOptions, layout: Layout, blocks: Vec<Block>, built: Built) -> Part {
        let root = Root {
            cid: built.root,
            filename: options.filename.clone(),
            size: built.size,
            modified: shared.clock.now(),
            profile: layout.profile(),
        };
        let commit = Commit {
            blocks,
            set_roots: vec![root.clone()],
            pin: options.pin.then(|| Pin { created: root.modified, ..Pin::recursive(root.cid) }).into_iter().collect(),
            durability: shared.options.durability,
            ..Commit::default()
        };
        Part { commit, root }
    }
}

/// The parts of many files, hashed together: small files fill the lanes of the hasher only in company.
pub(super) async fn many(shared: &Rc<Shared>, files: Vec<(Bytes, StoreOptions)>) -> Result<Vec<Part>> {
    let mut prepared = Vec::with_capacity(files.len());
    for (data, options) in files {
        let options = options.check()?;
        let layout = options.layout.unwrap_or(shared.options.layout);
        prepared.push((data, options, layout));
    }
    let mut parts: Vec<Option<Part>> = Vec::new();
    parts.resize_with(prepared.len(), || None);
    let mut layouts: Vec<Layout> = Vec::new();
    for (_, _, layout) in &prepared {
        if !layouts.contains(layout) {
            layouts.push(*layout);
        }
    }
    for layout in layouts {
        let of_layout = || prepared.iter().filter(|(_, _, other)| *other == layout);
        let mut chunks = Vec::new();
        let mut counts = Vec::new();
        for (data, _, _) in of_layout() {
            let before = chunks.len();
            let mut chunker = Chunker::new(layout.chunk_bytes);
            chunker.push(data.clone());
            chunks.extend(std::iter::from_fn(|| chunker.next_chunk()));
            let last = chunker.finish();
            if !last.is_empty() || chunks.len() == before {
                chunks.push(last);
            }
            counts.push(chunks.len() - before);
        }
        let mut leaves = FileBuilder::leaves(shared.hasher.as_ref(), layout, chunks).await?.into_iter();
        let slots = parts.iter_mut().zip(&prepared).filter(|(_, (_, _, other))| *other == layout);
        for ((slot, (_, options, _)), count) in slots.zip(counts) {
            let mut builder = FileBuilder::new(layout);
            let mut blocks = Vec::with_capacity(count);
            for leaf in leaves.by_ref().take(count) {
                blocks.extend(builder.link(shared.hasher.as_ref(), &leaf).await?);
                blocks.push(leaf.block);
            }
            let (nodes, built) = builder.finish(shared.hasher.as_ref()).await?;
            blocks.extend(nodes);
            *slot = Some(Part::new(shared, options, layout, blocks, built));
        }
    }
    Ok(parts.into_iter().flatten().collect())
}
