//! Importing an archive: decode, prove, commit, with a bounded number of bytes on the way.

use std::{
    collections::VecDeque,
    future::poll_fn,
    mem,
    rc::Rc,
    task::{Context, Poll},
};

use bytes::Bytes;
use futures_util::{
    FutureExt, StreamExt,
    future::{self, LocalBoxFuture},
    stream::FuturesOrdered,
};

use super::resume::{Progress, Token};
use crate::{
    block::{self, Block, Cid, Key},
    car::{CarDecoder, Item, Malformed, Place},
    error::{Error, Result},
    storage::{Shared, Storage, count::count, sweep},
    tier::{Commit, Pin},
};

/// Blocks are proven and committed in batches of this many bytes: enough for four lanes of 1 MiB, and for a transaction.
const BATCH_BYTES: usize = 4 * 1024 * 1024;

/// Bytes of batches under way before the importer makes its caller wait.
const MAX_IN_FLIGHT: usize = 4 * BATCH_BYTES;

/// What each block counts besides its bytes: empty ones without end are too many as well.
const OVERHEAD: usize = 256;

/// So much is decoded at once of what is given in one piece.
const PIECE_BYTES: usize = 1024 * 1024;

/// Most blocks of one import that are remembered for being dropped, should it fail. What is over waits for a collection.
const MAX_AHEAD: usize = 256 * 1024;

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
    open: Option<sweep::Open>,
}

struct Work {
    decoder: CarDecoder,
    roots: Vec<Cid>,
    /// Not being proven yet.
    claims: Vec<(Cid, Bytes)>,
    claimed: usize,
    /// Bytes being proven and committed.
    in_flight: usize,
    proving: FuturesOrdered<LocalBoxFuture<'static, Result<Batch>>>,
    proven: VecDeque<Batch>,
    committing: Option<LocalBoxFuture<'static, Result<Written>>>,
    /// What is stored.
    done: Progress,
    /// What was newly written: garbage, should the import not be finished.
    ahead: Vec<Key>,
}

/// Blocks on their way together.
struct Batch {
    blocks: Vec<Block>,
    weight: usize,
    /// Where in the archive they end.
    place: Place,
    roots: Vec<Cid>,
}

/// A batch that was committed.
struct Written {
    weight: usize,
    done: Progress,
    keys: Vec<Key>,
}

enum Event {
    Proven(Result<Batch>),
    Written(Result<Written>),
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
        let work = Some(Work::new(done));
        Ok(CarImporter { storage: self.clone(), pin: options.pin, token, work, open: Some(open) })
    }
}

impl CarImporter {
    /// Up to where in the archive all is stored and survives a kill: from there on it is to be given. 0 unless it can be
    /// resumed.
    pub fn position(&self) -> u64 {
        let done = |work: &Work| if self.token.is_some() { work.done.place.offset } else { 0 };
        self.work.as_ref().map_or(0, done)
    }

    /// Takes the next bytes; returns when there is room for more. After an error the importer is finished.
    pub async fn write(&mut self, bytes: Bytes) -> Result<()> {
        let (shared, token) = (self.storage.shared.clone(), self.token.clone());
        let work = self.work.as_mut().ok_or(Error::Cancelled)?;
        let done = work.write(&shared, token.as_ref(), &bytes).await;
        if done.is_err() {
            self.leave().await;
        }
        done
    }

    /// Ends the archive. On return everything is durable, and the roots are stored roots.
    pub async fn finish(&mut self) -> Result<CarImport> {
        let (shared, token) = (self.storage.shared.clone(), self.token.clone());
        let work = self.work.as_mut().ok_or(Error::Cancelled)?;
        let done = match work.finish(&shared, token.as_ref()).await {
            Ok(()) => settle(&self.storage, self.pin, token.as_ref(), &work.done).await,
            Err(error) => Err(error),
        };
        if done.is_ok() {
            self.work.iter_mut().for_each(|work| work.ahead.clear());
        }
        self.leave().await;
        done
    }

    /// Gives up for good: nothing stays of it, nor of what came with the same name before, but what other roots need.
    pub async fn abort(&mut self) -> Result<()> {
        let Some(work) = self.work.as_mut() else { return Ok(()) };
        work.rest().await;
        let given_up = match &self.token {
            Some(token) => give_up(&self.storage.shared, token, &work.done).await,
            None => Ok(()),
        };
        // What its note does not say any more nothing keeps.
        if given_up.is_ok() {
            sweep::suspect(&self.storage.shared, work.ahead.drain(..));
        }
        self.leave().await;
        given_up
    }

    /// What is under way ends, and what was written for nothing goes.
    async fn leave(&mut self) {
        let Some(mut work) = self.work.take() else { return };
        work.rest().await;
        if self.token.is_none() {
            sweep::suspect(&self.storage.shared, work.ahead.drain(..));
        }
        if let Some(open) = self.open.take() {
            sweep::leave(open).await;
        }
    }
}

impl Drop for CarImporter {
    fn drop(&mut self) {
        if let (Some(work), None) = (&mut self.work, &self.token) {
            sweep::suspect(&self.storage.shared, work.ahead.drain(..));
        }
    }
}

impl Work {
    fn new(done: Option<Progress>) -> Self {
        let decoder = done.as_ref().map_or_else(CarDecoder::new, |done| CarDecoder::at(done.place));
        let nothing = Progress { place: Place { offset: 0, end: None }, roots: Vec::new(), blocks: 0, bytes: 0 };
        let done = done.unwrap_or(nothing);
        Work {
            decoder,
            roots: done.roots.clone(),
            claims: Vec::new(),
            claimed: 0,
            in_flight: 0,
            proving: FuturesOrdered::new(),
            proven: VecDeque::new(),
            committing: None,
            done,
            ahead: Vec::new(),
        }
    }

    async fn write(&mut self, shared: &Rc<Shared>, token: Option<&Token>, bytes: &[u8]) -> Result<()> {
        for piece in bytes.chunks(PIECE_BYTES) {
            self.decoder.push(piece);
            while let Some(item) = self.next_item(shared, token).await? {
                let (cid, bytes) = match item {
                    Item::Header(roots) => {
                        self.roots = roots;
                        continue;
                    }
                    Item::Block(cid, bytes) => (cid, bytes),
                };
                block::check(&cid).map_err(|error| Error::Unsupported(format!("the block {cid}: {error}")))?;
                self.claimed += bytes.len() + OVERHEAD;
                self.claims.push((cid, bytes));
                if self.claimed >= BATCH_BYTES {
                    self.prove(shared);
                    self.drain(shared, token, MAX_IN_FLIGHT).await?;
                }
            }
        }
        Ok(())
    }

    /// The next part; what is whole before damage is stored first, for who resumes.
    async fn next_item(&mut self, shared: &Rc<Shared>, token: Option<&Token>) -> Result<Option<Item>> {
        match self.decoder.next_item() {
            Ok(item) => Ok(item),
            Err(malformed) => Err(self.damaged(shared, token, malformed).await?),
        }
    }

    async fn damaged(&mut self, shared: &Rc<Shared>, token: Option<&Token>, malformed: Malformed) -> Result<Error> {
        if token.is_some() {
            self.store_all(shared, token).await?;
        }
        Ok(Error::Corrupt { cid: None, detail: format!("the archive {malformed}") })
    }

    fn prove(&mut self, shared: &Rc<Shared>) {
        let (hasher, claims) = (shared.hasher.clone(), mem::take(&mut self.claims));
        let weight = mem::take(&mut self.claimed);
        self.in_flight += weight;
        let (place, roots) = (self.place(), self.roots.clone());
        self.proving.push_back(Box::pin(async move {
            let blocks = Block::verify(hasher.as_ref(), claims).await?.into_iter().collect::<Result<Vec<Block>>>()?;
            Ok(Batch { blocks, weight, place, roots })
        }));
    }

    fn place(&self) -> Place {
        self.decoder.place()
    }

    /// Moves what is under way along, until no more than `allowed` bytes are.
    async fn drain(&mut self, shared: &Rc<Shared>, token: Option<&Token>, allowed: usize) -> Result<()> {
        loop {
            self.commit(shared, token);
            let must_wait = self.in_flight > allowed;
            let next = poll_fn(|context| self.poll_event(context));
            let event = if must_wait { Some(next.await) } else { future::poll_immediate(next).await };
            match event {
                None | Some(Event::Idle) => return Ok(()),
                Some(Event::Proven(batch)) => self.proven.push_back(batch?),
                Some(Event::Written(written)) => self.written(written?),
            }
        }
    }

    fn poll_event(&mut self, context: &mut Context<'_>) -> Poll<Event> {
        if let Some(committing) = &mut self.committing
            && let Poll::Ready(written) = committing.poll_unpin(context)
        {
            self.committing = None;
            return Poll::Ready(Event::Written(written));
        }
        match self.proving.poll_next_unpin(context) {
            Poll::Ready(Some(batch)) => Poll::Ready(Event::Proven(batch)),
            Poll::Ready(None) if self.committing.is_none() => Poll::Ready(Event::Idle),
            _ => Poll::Pending,
        }
    }

    /// Begins the next commit, if none is under way: in their order, so that all before a place is stored when it is noted.
    fn commit(&mut self, shared: &Rc<Shared>, token: Option<&Token>) {
        if self.committing.is_some() {
            return;
        }
        let Some(Batch { blocks, weight, place, roots }) = self.proven.pop_front() else { return };
        let done = Progress {
            place,
            blocks: self.done.blocks + blocks.len() as u64,
            bytes: self.done.bytes + blocks.iter().map(|block| block.bytes().len() as u64).sum::<u64>(),
            roots,
        };
        let first = self.done.place.offset == 0;
        let durability = shared.options.durability;
        let mut commit = Commit { blocks, durability, ahead: token.is_none(), ..Commit::default() };
        // Those that carry themselves in their CID need no keeping.
        commit.blocks.retain(|block| block::key(block.cid()).is_some());
        let (shared, token) = (shared.clone(), token.cloned());
        let write = async move {
            if let Some(token) = &token {
                token.note_in(&mut commit, &done);
                if first {
                    commit.pin = pins(&shared, token, &done.roots).await?;
                }
            }
            let keys = shared.write(commit, async |commit| shared.blocks.write_ahead(commit).await).await?;
            Ok(Written { weight, done, keys })
        };
        self.committing = Some(write.boxed_local());
    }

    fn written(&mut self, written: Written) {
        self.in_flight -= written.weight;
        self.done = written.done;
        let room = MAX_AHEAD - self.ahead.len();
        self.ahead.extend(written.keys.into_iter().take(room));
    }

    /// Stores all that has come.
    async fn store_all(&mut self, shared: &Rc<Shared>, token: Option<&Token>) -> Result<()> {
        if !self.claims.is_empty() {
            self.prove(shared);
        }
        self.drain(shared, token, 0).await
    }

    async fn finish(&mut self, shared: &Rc<Shared>, token: Option<&Token>) -> Result<()> {
        if let Err(malformed) = self.decoder.finish() {
            return Err(self.damaged(shared, token, malformed).await?);
        }
        self.store_all(shared, token).await?;
        // Of an archive without blocks nothing was stored.
        self.done.roots = mem::take(&mut self.roots);
        Ok(())
    }

    /// A commit under way cannot be taken back; what it writes is known only when it ends.
    async fn rest(&mut self) {
        self.proving = FuturesOrdered::new();
        self.proven.clear();
        if let Some(committing) = self.committing.take()
            && let Ok(written) = committing.await
        {
            self.written(written);
        }
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
            distinct.push(*root);
        }
    }
    distinct
}

/// Makes the roots stored roots.
async fn settle(storage: &Storage, pin: bool, token: Option<&Token>, done: &Progress) -> Result<CarImport> {
    let shared = &storage.shared;
    let now = shared.clock.now();
    let (mut roots, mut set, mut pins) = (Vec::new(), Vec::new(), Vec::new());
    for cid in distinct(&done.roots) {
        let mut wanted = Pin { created: now, ..Pin::recursive(cid) };
        wanted.size = count(shared, &[wanted.clone()]).await?.first().and_then(|count| count.whole());
        let whole = wanted.size.is_some();
        wanted.pending = !whole;
        if whole {
            set.push(storage.root_of(&cid, true).await?);
        }
        roots.push(CarRoot { cid, whole, pinned: pin });
        pins.push(wanted);
    }
    let (inner, token) = (shared.clone(), token.cloned());
    let commit = async move {
        let mut commit = Commit { durability: inner.options.durability, ..Commit::default() };
        for root in set {
            // One that is stored already keeps its name.
            if inner.tier.root(&root.cid).await?.is_none() {
                commit.set_roots.push(root);
            }
        }
        for wanted in pins {
            let earlier = inner.tier.pin(&wanted.cid).await?;
            let ours = earlier.as_ref().is_some_and(|pin| token.as_ref().is_some_and(|token| token.has_set(pin)));
            match pin {
                true if ours || earlier.as_ref().is_none_or(|pin| !pin.is_lasting()) => commit.pin.push(wanted),
                false if ours => commit.unpin.push(wanted.cid),
                _ => {}
            }
        }
        token.iter().for_each(|token| token.end_in(&mut commit));
        inner.blocks.commit(commit).await.map(drop)
    };
    shared.roots.pass(commit).await?;
    if roots.iter().any(|root| root.whole) {
        roots.iter().filter(|root| root.whole).for_each(|root| shared.room.used(&root.cid));
    } else if shared.options.durability > crate::tier::Durability::Relaxed {
        // No commit above had anything to wait for what was written ahead.
        shared.blocks.flush().await?;
    }
    // There may be blocks that no root reaches.
    shared.room.litter();
    let named = |root: &Cid| roots.iter().find(|known| known.cid == *root).cloned();
    let inline = |root: &Cid| CarRoot { cid: *root, whole: block::key(root).is_none(), pinned: false };
    let mut all: Vec<CarRoot> = Vec::new();
    for root in &done.roots {
        if all.iter().all(|known| known.cid != *root) {
            all.push(named(root).unwrap_or_else(|| inline(root)));
        }
    }
    Ok(CarImport { roots: all, blocks: done.blocks, bytes: done.bytes })
}

/// Takes the note and the pins of an import away; what only they kept goes with the next sweep.
async fn give_up(shared: &Rc<Shared>, token: &Token, done: &Progress) -> Result<()> {
    let (inner, token, roots) = (shared.clone(), token.clone(), distinct(&done.roots));
    let commit = async move {
        let mut commit = Commit { durability: inner.options.durability, ..Commit::default() };
        for root in roots {
            if inner.tier.pin(&root).await?.is_some_and(|pin| token.has_set(&pin)) {
                let mut keys = Vec::new();
                crate::storage::walk::walk_held(&inner, &root, &mut |cid| keys.extend(block::key(cid))).await?;
                sweep::suspect(&inner, keys);
                commit.unpin.push(root);
            }
        }
        token.end_in(&mut commit);
        inner.blocks.commit(commit).await.map(drop)
    };
    shared.roots.pass(commit).await
}
