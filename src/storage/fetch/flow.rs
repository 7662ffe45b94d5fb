//! A CAR on its way into the store: while some of it is received, what came before is proven, and what came before that
//! is committed.

use std::{
    collections::HashSet,
    future::poll_fn,
    mem,
    rc::Rc,
    task::{Context, Poll},
};

use bytes::Bytes;
use futures_util::{FutureExt, future::LocalBoxFuture};

use super::known::Known;
use crate::{
    block::{self, Block, Cid, Key},
    car::{CarDecoder, Item},
    dag,
    error::{Error, Result},
    remote::{Answer, Begun, Failure, Peer, Remotes, Wanted},
    storage::Shared,
    tier::{Commit, Committed},
};

/// Blocks are proven when this many bytes of them have come: four of 1 MiB fill the lanes of the hasher.
const PROVEN_AT_ONCE: usize = 4 * 1024 * 1024;

/// For so many milliseconds blocks wait for company, when there is nothing else to do.
const LINGER: u64 = 25;

/// Most bytes in one commit: few large ones cost less than many, and a reader waits for the first.
const COMMITTED_AT_ONCE: usize = 8 * 1024 * 1024;

/// No more is received while so many bytes are not stored yet.
const MAX_IN_FLIGHT: usize = 16 * 1024 * 1024;

/// Bytes of blocks that are held already and that a CAR may bring along, besides as many as it brings new ones: the way
/// from its root to what is missing.
const MAX_HELD_BYTES: usize = 16 * 1024 * 1024;

/// What each block counts besides its bytes: empty ones without end are too many as well.
const OVERHEAD: usize = 256;

type Task<T> = LocalBoxFuture<'static, T>;

/// A body, and what came of it next.
type Received = (Begun, Result<Option<Bytes>, Failure>);

/// A CAR on its way.
pub struct Flow {
    pub from: Peer,
    /// For what it was asked; what else is missing it need not have.
    pub first: Cid,
    /// Where the path begins, if it was asked for one.
    pub path_from: Option<Cid>,
    decoder: CarDecoder,
    /// Its body, when nothing of it is being received; gone at its end.
    body: Option<Begun>,
    receiving: Option<Task<Received>>,
    claims: Vec<(Cid, Bytes)>,
    claimed: usize,
    lingering: Option<Task<()>>,
    proving: Option<Task<Result<Vec<Result<Block>>>>>,
    proven: Vec<Block>,
    committing: Option<(Vec<Block>, Task<Result<Committed>>)>,
    /// Received and not stored yet, in bytes,
    in_flight: usize,
    /// and of it what is proven.
    coming: HashSet<Key>,
    /// What proven blocks of it link to and did not come yet.
    wanted: HashSet<Cid>,
    held_bytes: usize,
    fresh_bytes: usize,
    /// What went wrong; what came before it is stored none the less.
    failure: Option<Failure>,
}

/// How far it has come.
pub enum Step {
    /// A commit.
    Stored(Stored),
    /// All of it is stored.
    Ended,
    /// All of it up to a failure is stored.
    Failed(Failure),
}

/// What a commit has stored.
#[derive(Default)]
pub struct Stored {
    /// Its blocks.
    pub blocks: Vec<Block>,
    /// How many of them are new,
    pub fresh: u64,
    /// and how many bytes these have.
    pub bytes: u64,
}

enum Event {
    Received(Received),
    Proven(Result<Vec<Result<Block>>>),
    Committed(Vec<Block>, Result<Committed>),
    /// There is nothing left to wait for.
    Idle,
}

impl Flow {
    pub fn new(answer: Answer<Begun>, wanted: &Wanted, first: Cid) -> Self {
        Flow {
            from: answer.from,
            first,
            path_from: (!wanted.path.is_empty()).then_some(wanted.cid.clone()),
            decoder: CarDecoder::new(),
            body: Some(answer.value),
            receiving: None,
            claims: Vec::new(),
            claimed: 0,
            lingering: None,
            proving: None,
            proven: Vec::new(),
            committing: None,
            in_flight: 0,
            coming: HashSet::new(),
            wanted: HashSet::from([wanted.cid.clone()]),
            held_bytes: 0,
            fresh_bytes: 0,
            failure: None,
        }
    }

    /// Whether it is to bring this, and has not yet.
    pub fn brings(&self, cid: &Cid) -> bool {
        self.wanted.contains(cid) || block::key(cid).is_some_and(|key| self.coming.contains(&key))
    }

    /// Goes on until something has been stored, or there is no more.
    pub async fn step(&mut self, shared: &Rc<Shared>, remotes: &Rc<Remotes>, known: &Known) -> Result<Step> {
        loop {
            match poll_fn(|context| self.poll(context, shared, remotes)).await {
                Event::Received((body, piece)) => self.receive(body, piece),
                Event::Proven(proven) => self.take(proven?, shared, known).await?,
                Event::Committed(blocks, done) => {
                    return Ok(Step::Stored(self.count(blocks, &done?)));
                }
                Event::Idle => return Ok(self.failure.take().map_or(Step::Ended, Step::Failed)),
            }
        }
    }

    /// Begins what can begin, and gives what has ended.
    fn poll(&mut self, context: &mut Context<'_>, shared: &Rc<Shared>, remotes: &Rc<Remotes>) -> Poll<Event> {
        if self.failure.is_some() {
            (self.body, self.receiving) = (None, None);
        }
        if let Some(body) = self.body.take_if(|_| self.in_flight < MAX_IN_FLIGHT) {
            let (remotes, from) = (remotes.clone(), self.from.clone());
            let receive = async move {
                let mut body = body;
                let piece = remotes.next(&from, &mut body).await;
                (body, piece)
            };
            self.receiving = Some(receive.boxed_local());
        }
        if let Poll::Ready(received) = poll(&mut self.receiving, context) {
            return Poll::Ready(Event::Received(received));
        }
        if self.proving.is_none() && !self.claims.is_empty() && self.has_waited(context, remotes) {
            let (hasher, claims) = (shared.hasher.clone(), mem::take(&mut self.claims));
            (self.claimed, self.lingering) = (0, None);
            self.proving = Some(async move { Block::verify(hasher.as_ref(), claims).await }.boxed_local());
        }
        if let Poll::Ready(proven) = poll(&mut self.proving, context) {
            return Poll::Ready(Event::Proven(proven));
        }
        if self.committing.is_none() && !self.proven.is_empty() {
            self.commit(shared);
        }
        if let Some((_, committing)) = &mut self.committing
            && let Poll::Ready(done) = committing.poll_unpin(context)
        {
            let blocks = self.committing.take().map(|(blocks, _)| blocks).unwrap_or_default();
            return Poll::Ready(Event::Committed(blocks, done));
        }
        let busy = self.receiving.is_some() || self.proving.is_some() || self.committing.is_some();
        if busy { Poll::Pending } else { Poll::Ready(Event::Idle) }
    }

    /// Whether the blocks that have come are enough, or the last for now.
    fn has_waited(&mut self, context: &mut Context<'_>, remotes: &Rc<Remotes>) -> bool {
        if self.claimed >= PROVEN_AT_ONCE || self.receiving.is_none() {
            return true;
        }
        if !self.proven.is_empty() || self.committing.is_some() {
            return false;
        }
        let remotes = remotes.clone();
        let linger = || async move { remotes.sleep(LINGER).await }.boxed_local();
        self.lingering.get_or_insert_with(linger).poll_unpin(context).is_ready()
    }

    fn commit(&mut self, shared: &Rc<Shared>) {
        let mut bytes = 0;
        let fits = |block: &&Block| {
            bytes += block.bytes().len();
            bytes <= COMMITTED_AT_ONCE
        };
        let count = self.proven.iter().take_while(fits).count().max(1);
        let blocks: Vec<Block> = self.proven.drain(..count).collect();
        let (shared, durability) = (shared.clone(), shared.options.durability);
        let commit = Commit { blocks: blocks.clone(), durability, ahead: true, ..Commit::default() };
        let write = async move { shared.write(commit, async |commit| shared.blocks.keep(commit).await).await };
        self.committing = Some((blocks, write.boxed_local()));
    }

    /// Takes whole blocks out of what has come.
    fn receive(&mut self, body: Begun, piece: Result<Option<Bytes>, Failure>) {
        match piece {
            Ok(Some(piece)) => {
                self.decoder.push(&piece);
                self.body = Some(body);
            }
            Ok(None) => {}
            Err(failure) => self.failure = Some(failure),
        }
        let ended = self.body.is_none();
        loop {
            match self.decoder.next_item() {
                Ok(Some(Item::Header(_))) => {}
                Ok(Some(Item::Block(cid, bytes))) => {
                    if let Err(error) = block::check(&cid) {
                        // A DAG may link to what is not known here: who sends it does not lie.
                        self.failure = Some(Failure::Unsupported(error.to_string()));
                        return;
                    }
                    self.in_flight += weight(&bytes);
                    self.claimed += weight(&bytes);
                    self.claims.push((cid, bytes));
                }
                Ok(None) => break,
                Err(malformed) => {
                    self.failure = Some(Failure::Broken(malformed.to_string()));
                    return;
                }
            }
        }
        if ended && self.failure.is_none() {
            self.failure = self.decoder.finish().err().map(|cut| Failure::Broken(cut.to_string()));
        }
    }

    /// Of proven blocks takes those that are wanted. After a lie nothing is.
    async fn take(&mut self, proven: Vec<Result<Block>>, shared: &Rc<Shared>, known: &Known) -> Result<()> {
        for proven in proven {
            let block = match proven {
                Ok(block) => block,
                Err(Error::Integrity(cid)) => {
                    self.failure = Some(Failure::Lied(format!("bytes that do not hash to {cid}")));
                    self.claims.clear();
                    return Ok(());
                }
                Err(error) => return Err(error),
            };
            if let Err(failure) = self.take_one(block, shared, known).await? {
                self.failure = Some(failure);
                self.claims.clear();
                return Ok(());
            }
        }
        Ok(())
    }

    async fn take_one(&mut self, block: Block, shared: &Rc<Shared>, known: &Known) -> Result<Result<(), Failure>> {
        let cid = block.cid().clone();
        let key = block::key(&cid);
        let asked = self.wanted.remove(&cid);
        if asked {
            match dag::links(&block) {
                Ok(links) => self.wanted.extend(links),
                // Not as its codec has it: who sends what is below does not lie.
                Err(malformed) => return Ok(Err(Failure::Unsupported(malformed.to_string()))),
            }
        } else if !self.is_held(key.as_ref(), shared, known).await? {
            let astray = self.path_from.as_ref().is_some_and(|from| self.wanted.contains(from));
            return Ok(Err(match astray {
                true => Failure::Broken("its CAR does not begin where the path does".into()),
                false => Failure::Lied(format!("{cid}, which nothing asked for links to")),
            }));
        }
        match key.filter(|_| asked) {
            Some(key) if self.coming.insert(key) => self.proven.push(block),
            _ => {
                self.in_flight -= weight(block.bytes());
                self.held_bytes += weight(block.bytes());
            }
        }
        Ok(self.is_patient())
    }

    /// Whether a block that nothing asked for is here none the less, or about to be.
    async fn is_held(&self, key: Option<&Key>, shared: &Rc<Shared>, known: &Known) -> Result<bool> {
        match key {
            None => Ok(true),
            Some(key) if self.coming.contains(key) || known.is_held(key) == Some(true) => Ok(true),
            Some(key) => Ok(shared.blocks.has(&[*key]).await?.contains(&true)),
        }
    }

    /// Counts what was committed.
    fn count(&mut self, blocks: Vec<Block>, done: &Committed) -> Stored {
        let mut stored = Stored::default();
        for (block, held) in blocks.iter().zip(&done.held) {
            self.in_flight -= weight(block.bytes());
            block::key(block.cid()).iter().for_each(|key| _ = self.coming.remove(key));
            if *held {
                self.held_bytes += weight(block.bytes());
            } else {
                stored.fresh += 1;
                stored.bytes += block.bytes().len() as u64;
            }
        }
        self.fresh_bytes += stored.bytes as usize;
        if let Err(failure) = self.is_patient() {
            self.failure = self.failure.take().or(Some(failure));
        }
        stored.blocks = blocks;
        stored
    }

    fn is_patient(&self) -> Result<(), Failure> {
        match self.held_bytes > MAX_HELD_BYTES + self.fresh_bytes {
            true => Err(Failure::Broken("it sends over and over what is held here".into())),
            false => Ok(()),
        }
    }
}

/// Polls what is under way, if anything is; it is gone when it has ended.
fn poll<T>(slot: &mut Option<Task<T>>, context: &mut Context<'_>) -> Poll<T> {
    let Some(task) = slot else { return Poll::Pending };
    let done = task.poll_unpin(context);
    if done.is_ready() {
        *slot = None;
    }
    done
}

fn weight(bytes: &Bytes) -> usize {
    bytes.len() + OVERHEAD
}
