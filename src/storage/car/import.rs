//! Importing an archive: decode, prove, write ahead, with a bounded number of bytes on the way.

use std::{
    cell::RefCell,
    future::poll_fn,
    mem,
    rc::Rc,
    task::{Context, Poll},
};

use bytes::Bytes;
use futures_util::{
    StreamExt,
    future::{self, LocalBoxFuture},
    stream::FuturesOrdered,
};

use super::resume::{Progress, Token};
use crate::{
    block::{self, Block, Cid},
    car::{CarDecoder, Item, Malformed},
    error::{Error, Result},
    storage::{
        ReplicationPolicy, Shared, Storage,
        ahead::{Ahead, BATCH_BYTES, MAX_IN_FLIGHT, OVERHEAD},
        count::count,
        sweep,
        walk::walk_held,
    },
    tier::{Commit, Durability, Pin, PinKind, Root},
};

/// So much is decoded at once of what is given in one piece.
const PIECE_BYTES: usize = 1024 * 1024;

/// What a kill may undo of an import that can be resumed: each step costs a commit.
const STEP_BYTES: usize = MAX_IN_FLIGHT;

/// How to import an archive.
#[derive(Debug, Clone, Default)]
pub struct CarImportOptions {
    /// Whether its roots are to be pinned.
    pub pin: bool,
    /// A name by which it can be resumed, after a failure or a kill. Without one a failed import leaves nothing.
    pub resume: Option<String>,
}

/// A root of an archive, after its import.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CarRoot {
    /// Its CID.
    pub cid: Cid,
    /// Whether all below it is held. Only then it is a stored root.
    pub whole: bool,
    /// Whether it is pinned. If it is not whole, its pin is pending: what is held stays, and pinning it again fetches the
    /// rest.
    pub pinned: bool,
}

/// What an import has brought.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CarImport {
    /// As the archive names them, each once.
    pub roots: Vec<CarRoot>,
    /// Blocks in it, those included that were held already.
    pub blocks: u64,
    /// Their bytes.
    pub bytes: u64,
}

/// An archive being imported. Dropped before [`CarImporter::finish`] it stores nothing, unless it can be resumed.
pub struct CarImporter {
    storage: Storage,
    pin: bool,
    token: Option<Token>,
    work: Option<Work>,
    /// From step to step nothing is swept.
    open: Option<sweep::Open>,
}

struct Work {
    shared: Rc<Shared>,
    token: Option<Token>,
    decoder: CarDecoder,
    roots: Vec<Cid>,
    /// Not being proven yet.
    claims: Vec<(Cid, Bytes)>,
    claimed: usize,
    proving: FuturesOrdered<LocalBoxFuture<'static, Result<Batch>>>,
    proving_bytes: usize,
    ahead: Ahead,
    /// Up to where all is written ahead,
    written: Progress,
    /// which is so much more than
    since: usize,
    /// up to where all is stored, and noted if it can be resumed.
    stored: Progress,
}

/// Blocks that were proven together.
struct Batch {
    blocks: Vec<Block>,
    weight: usize,
    /// How far the archive has come with them.
    progress: Progress,
}

enum Event {
    Proven(Result<Batch>),
    Written(Result<()>),
    Idle,
}

impl Storage {
    /// Starts importing an archive, of version 1 or 2, fed in pieces.
    ///
    /// Each block is proven before it is stored. One that does not hash to its CID is [`Error::Integrity`], a malformed
    /// archive is [`Error::Corrupt`] with the place, a codec or hash unknown here [`Error::Unsupported`]; then nothing of it
    /// stays. With [`CarImportOptions::resume`] what came before stays, and an importer with the same name goes on from
    /// there: see [`CarImporter::position`].
    pub async fn car_importer(&self, options: CarImportOptions) -> Result<CarImporter> {
        let token = options.resume.map(Token::new).transpose()?;
        let open = sweep::enter(&self.shared).await?;
        let done = match &token {
            Some(token) => token.progress(&self.shared).await?,
            None => None,
        };
        let work = Some(Work::new(self.shared.clone(), token.clone(), done.unwrap_or_default()));
        Ok(CarImporter { storage: self.clone(), pin: options.pin, token, work, open: Some(open) })
    }
}

impl CarImporter {
    /// Up to where in the archive all is stored and survives a kill: from there on it is to be given. 0 unless it can be
    /// resumed.
    pub fn position(&self) -> u64 {
        self.work.as_ref().map_or(0, |work| work.stored.place.offset)
    }

    /// Takes the next bytes; returns when there is room for more. After an error the importer is finished.
    pub async fn write(&mut self, bytes: Bytes) -> Result<()> {
        let done = self.work()?.write(&bytes).await;
        if done.is_err() {
            self.close().await;
        }
        done
    }

    /// Ends the archive. On return everything is durable, and those roots are stored roots below which all is held.
    pub async fn finish(&mut self) -> Result<CarImport> {
        let done = self.end().await;
        self.close().await;
        done
    }

    async fn end(&mut self) -> Result<CarImport> {
        let (storage, pin) = (self.storage.clone(), self.pin);
        let work = self.work()?;
        work.finish().await?;
        settle(&storage, pin, work).await
    }

    fn work(&mut self) -> Result<&mut Work> {
        self.work.as_mut().ok_or(Error::Cancelled)
    }

    /// Gives up for good: nothing stays of it, nor of what came with the same name before, but what others need.
    pub async fn abort(&mut self) -> Result<()> {
        let given_up = match (&self.work, &self.token) {
            (Some(work), Some(token)) => give_up(&self.storage.shared, token, &work.stored).await,
            _ => Ok(()),
        };
        self.close().await;
        given_up
    }

    /// Lets go of it: what was written for nothing goes, what can be resumed stays.
    pub async fn close(&mut self) {
        let Some(mut work) = self.work.take() else { return };
        work.ahead.abort().await;
        if let Some(open) = self.open.take() {
            sweep::leave(open).await;
        }
    }
}

impl Work {
    fn new(shared: Rc<Shared>, token: Option<Token>, stored: Progress) -> Self {
        let decoder = if stored.place.offset == 0 { CarDecoder::new() } else { CarDecoder::at(stored.place) };
        Work {
            token,
            decoder,
            roots: stored.roots.clone(),
            claims: Vec::new(),
            claimed: 0,
            proving: FuturesOrdered::new(),
            proving_bytes: 0,
            ahead: Ahead::new(shared.clone()),
            written: stored.clone(),
            since: 0,
            stored,
            shared,
        }
    }

    async fn write(&mut self, bytes: &[u8]) -> Result<()> {
        for piece in bytes.chunks(PIECE_BYTES) {
            self.decoder.push(piece);
            loop {
                match self.decoder.next_item() {
                    Ok(None) => break,
                    Ok(Some(Item::Header(roots))) => self.roots = roots,
                    Ok(Some(Item::Block(cid, bytes))) => self.take(cid, bytes).await?,
                    Err(malformed) => return Err(self.damaged(malformed).await?),
                }
            }
        }
        Ok(())
    }

    async fn take(&mut self, cid: Cid, bytes: Bytes) -> Result<()> {
        block::check(&cid).map_err(|error| Error::Unsupported(format!("the block {cid}: {error}")))?;
        self.claimed += bytes.len() + OVERHEAD;
        self.claims.push((cid, bytes));
        if self.claimed < BATCH_BYTES {
            return Ok(());
        }
        self.prove();
        self.drain(MAX_IN_FLIGHT).await?;
        if self.since >= STEP_BYTES { self.step().await } else { Ok(()) }
    }

    /// Who resumes goes on at the damage.
    async fn damaged(&mut self, malformed: Malformed) -> Result<Error> {
        if self.token.is_some() {
            self.write_all().await?;
            self.step().await?;
        }
        Ok(Error::Corrupt { cid: None, detail: format!("the archive: {malformed}") })
    }

    fn prove(&mut self) {
        let (hasher, claims, weight) =
            (self.shared.hasher.clone(), mem::take(&mut self.claims), mem::take(&mut self.claimed));
        self.proving_bytes += weight;
        let before = self.written.clone();
        let progress = Progress { place: self.decoder.place(), roots: self.roots.clone(), ..before };
        self.proving.push_back(Box::pin(async move {
            let proven = Block::verify(hasher.as_ref(), claims).await?;
            Ok(Batch { blocks: proven.into_iter().collect::<Result<_>>()?, weight, progress })
        }));
    }

    /// Moves what is under way along, until no more than `allowed` bytes are.
    async fn drain(&mut self, allowed: usize) -> Result<()> {
        self.ahead.enter().await?;
        loop {
            let must_wait = self.proving_bytes + self.ahead.in_flight() > allowed;
            let next = poll_fn(|context| self.poll_event(context));
            let event = if must_wait { Some(next.await) } else { future::poll_immediate(next).await };
            match event {
                None | Some(Event::Idle) => return Ok(()),
                Some(Event::Written(done)) => done?,
                Some(Event::Proven(batch)) => self.proven(batch?),
            }
        }
    }

    fn poll_event(&mut self, context: &mut Context<'_>) -> Poll<Event> {
        if let Poll::Ready(Some(batch)) = self.proving.poll_next_unpin(context) {
            return Poll::Ready(Event::Proven(batch));
        }
        match self.ahead.poll_written(context) {
            Poll::Ready(Some(done)) => Poll::Ready(Event::Written(done)),
            Poll::Ready(None) if self.proving.is_empty() => Poll::Ready(Event::Idle),
            _ => Poll::Pending,
        }
    }

    fn proven(&mut self, batch: Batch) {
        let Batch { mut blocks, weight, progress } = batch;
        self.proving_bytes -= weight;
        self.since += weight;
        let (count, bytes) = (self.written.blocks, self.written.bytes);
        self.written = Progress {
            blocks: count + blocks.len() as u64,
            bytes: bytes + blocks.iter().map(|block| block.bytes().len() as u64).sum::<u64>(),
            ..progress
        };
        // Those that carry themselves in their CID need no keeping.
        blocks.retain(|block| block::key(block.cid()).is_some());
        self.ahead.take(blocks);
    }

    async fn write_all(&mut self) -> Result<()> {
        if !self.claims.is_empty() {
            self.prove();
        }
        self.drain(0).await?;
        self.ahead.flush().await
    }

    /// Makes durable what is written, and notes how far that is.
    async fn step(&mut self) -> Result<()> {
        let Some(token) = self.token.as_ref().filter(|_| self.since > 0) else { return Ok(()) };
        let mut commit = Commit { durability: self.shared.options.durability, ..Commit::default() };
        token.note_in(&mut commit, &self.written);
        if self.stored.place.offset == 0 {
            commit.pin = pins(&self.shared, token, &self.written.roots).await?;
        }
        self.ahead.commit(commit).await?;
        (self.stored, self.since) = (self.written.clone(), 0);
        Ok(())
    }

    async fn finish(&mut self) -> Result<()> {
        if let Err(malformed) = self.decoder.finish() {
            return Err(self.damaged(malformed).await?);
        }
        self.write_all().await?;
        self.step().await?;
        self.written.roots = mem::take(&mut self.roots);
        Ok(())
    }
}

/// Pins that keep what comes of these roots, but where somebody has pinned one: that keeps it as well.
async fn pins(shared: &Shared, token: &Token, roots: &[Cid]) -> Result<Vec<Pin>> {
    let mut pins = Vec::new();
    for root in distinct(roots) {
        if shared.tier.pin(&root).await?.is_none() {
            pins.push(token.pin(root, shared.clock.now()));
        }
    }
    Ok(pins)
}

/// What of them can be kept, each once: an identity CID carries its block in itself.
fn distinct(roots: &[Cid]) -> Vec<Cid> {
    let mut distinct = Vec::new();
    for root in roots {
        if block::key(root).is_some() && block::check(root).is_ok() && !distinct.contains(root) {
            distinct.push(root.clone());
        }
    }
    distinct
}

/// Makes the roots stored roots.
async fn settle(storage: &Storage, pin: bool, work: &mut Work) -> Result<CarImport> {
    let shared = &storage.shared;
    let now = shared.clock.now();
    let (mut set, mut pins) = (Vec::new(), Vec::new());
    for cid in distinct(&work.written.roots) {
        let mut wanted = Pin { created: now, ..Pin::recursive(cid.clone()) };
        wanted.size = count(shared, &[wanted.clone()]).await?.first().and_then(|count| count.whole());
        // What is still to come of a pin stands in nobody's way; a stored root must be whole.
        wanted.pending = wanted.size.is_none();
        if !wanted.pending {
            set.push(storage.adopt(&cid).await?);
        }
        pins.push(wanted);
    }
    let roots = Rc::new(RefCell::new(Vec::new()));
    let ahead = mem::replace(&mut work.ahead, Ahead::new(shared.clone()));
    let commit = commit_roots(shared.clone(), ahead, work.token.clone(), pin, set, pins, roots.clone());
    shared.roots.pass(commit).await?;
    // There may be blocks that no root reaches.
    shared.room.litter();
    let mut roots = roots.take();
    roots.iter().filter(|root: &&CarRoot| root.whole).for_each(|root| shared.used(&root.cid));
    for cid in &work.written.roots {
        if roots.iter().all(|known| known.cid != *cid) {
            roots.push(CarRoot { cid: cid.clone(), whole: block::key(cid).is_none(), pinned: false });
        }
    }
    Ok(CarImport { roots, blocks: work.written.blocks, bytes: work.written.bytes })
}

/// Behind the gate of what changes roots and pins.
async fn commit_roots(
    shared: Rc<Shared>,
    mut ahead: Ahead,
    token: Option<Token>,
    pin: bool,
    set: Vec<Root>,
    pins: Vec<Pin>,
    roots: Rc<RefCell<Vec<CarRoot>>>,
) -> Result<()> {
    let mut commit = Commit { durability: shared.options.durability, ..Commit::default() };
    for root in set {
        // One that is stored already keeps its name.
        if shared.tier.root(&root.cid).await?.is_none() {
            commit.notes.extend(shared.queue_in_commit(&root.cid, &ReplicationPolicy::default()).await?);
            commit.set_roots.push(root);
        }
    }
    for wanted in pins {
        let (cid, whole) = (wanted.cid.clone(), !wanted.pending);
        let earlier = shared.tier.pin(&cid).await?;
        let ours = |pin: &Pin| token.as_ref().is_some_and(|token| token.has_set(pin));
        let foreign = earlier.as_ref().filter(|pin| !ours(pin));
        let pinned = pin || foreign.is_some_and(|pin| pin.kind == PinKind::Recursive);
        match foreign {
            Some(foreign) if !pin || foreign.is_lasting() => {}
            None if !pin => commit.unpin.extend(earlier.map(|pin| pin.cid)),
            _ => commit.pin.push(wanted),
        }
        roots.borrow_mut().push(CarRoot { cid, whole, pinned });
    }
    token.iter().for_each(|token| token.end_in(&mut commit));
    // Without anything to commit nothing would wait for what was written ahead.
    let nothing = commit.set_roots.is_empty() && commit.pin.is_empty() && commit.notes.is_empty();
    ahead.commit(commit).await?;
    if nothing && shared.options.durability == Durability::Strict { shared.blocks.flush().await } else { Ok(()) }
}

/// Takes the note and the pins of an import away; what only they kept goes with the next sweep.
async fn give_up(shared: &Rc<Shared>, token: &Token, stored: &Progress) -> Result<()> {
    let (inner, token, roots) = (shared.clone(), token.clone(), distinct(&stored.roots));
    let commit = async move {
        let mut commit = Commit { durability: inner.options.durability, ..Commit::default() };
        for root in roots {
            if inner.tier.pin(&root).await?.is_some_and(|pin| token.has_set(&pin)) {
                let mut keys = Vec::new();
                walk_held(&inner, &root, &mut |cid| keys.extend(block::key(cid))).await?;
                sweep::suspect(&inner, keys);
                commit.unpin.push(root);
            }
        }
        token.end_in(&mut commit);
        inner.blocks.commit(commit).await.map(drop)
    };
    shared.roots.pass(commit).await
}
