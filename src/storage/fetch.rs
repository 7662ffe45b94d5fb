//! Getting what is not held here: one session for each file or DAG that is read.
//!
//! A session asks for what is missing in as few requests as it can: a CAR of the missing part of the file or DAG, along the
//! path to it if there is one, single blocks where nobody speaks CAR. Every block is proven and stored before anybody reads
//! it, and only blocks that something proven links to are taken: a remote that sends others is struck out.

use std::{
    cell::{Cell, RefCell},
    collections::{BTreeMap, HashMap, HashSet},
    ops::Range,
    rc::Rc,
};

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::stream::{self, StreamExt};

use super::{Shared, blocks::Blocks, sweep};
use crate::{
    block::{self, Block, Cid, Codec, Key},
    car::{CarDecoder, Item},
    dag,
    error::{Error, OfflineReason, Result},
    remote::{Attempt, Begun, Failure, Peer, Remotes, Scope, Wanted},
    tier::{Commit, Turn},
    unixfs::BlockSource,
};

/// Blocks are proven and stored when this many bytes of them have come: enough to hash several at once.
const BATCH_BYTES: usize = 2 * 1024 * 1024;

/// Bytes of blocks that are held already and that a CAR may bring along, besides as many as it brings new ones: the way
/// from its root to what is missing.
const MAX_HELD_BYTES: usize = 16 * 1024 * 1024;

/// What each of these counts besides its bytes: empty ones without end are too many as well.
const HELD_OVERHEAD: usize = 64;

/// So many leaves in a row are asked for one by one; more of them as a CAR.
const FEW_LEAVES: usize = 2;

/// Requests for single blocks under way at once, as many as browsers allow to one host.
const SINGLE_AT_ONCE: usize = 6;

/// Requests that brought nothing, one after the other, before a session gives up.
const MAX_BARREN: u32 = 6;

/// Told after each batch of blocks.
pub type OnFetched = Rc<dyn Fn(&Fetched)>;

/// What a session has got so far.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Fetched {
    /// Blocks stored.
    pub blocks: u64,
    /// Their bytes.
    pub bytes: u64,
    /// The remote that gave the last of them.
    pub remote: String,
}

/// One file or DAG being fetched, as long as somebody reads it: then what is under way ends.
pub struct Session {
    fetch: Rc<Fetch>,
    step: Turn<Result<()>>,
}

/// What a session knows and does.
struct Fetch {
    shared: Rc<Shared>,
    remotes: Rc<Remotes>,
    /// The file or DAG; of a path its CID, until it is known where it leads.
    root: Cell<Cid>,
    /// Of a node on a path from where, and by which names, it leads on.
    ways: RefCell<HashMap<Cid, (Cid, Vec<String>)>>,
    /// The bytes wanted, if it is read as a file.
    range: Option<Range<u64>>,
    /// What the reader has seen that it will need, by its place in the file.
    expected: RefCell<BTreeMap<u64, (Cid, u64)>>,
    /// Of a DAG that is walked: the node whose links are looked for.
    walked: RefCell<Option<(Cid, Vec<Cid>)>>,
    stream: RefCell<Option<Stream>>,
    /// From the first request on: what comes is not swept before it is a root's.
    open: RefCell<Option<sweep::Open>>,
    /// Nobody gives CARs,
    single: Cell<bool>,
    /// nor CARs along paths: the nodes on the way are asked for one by one.
    stepwise: Cell<bool>,
    barren: Cell<u32>,
    attempts: RefCell<Vec<Attempt>>,
    fetched: RefCell<Fetched>,
    listeners: RefCell<Vec<OnFetched>>,
}

/// A CAR on its way.
struct Stream {
    from: Peer,
    /// For what it was asked; what else is missing it need not have.
    first: Cid,
    body: Begun,
    decoder: CarDecoder,
    /// Where the path begins, if it was asked for one.
    path_from: Option<Cid>,
    /// What proven blocks of it link to and did not come yet.
    wanted: HashSet<Cid>,
    held_bytes: usize,
    fresh_bytes: usize,
    ended: bool,
}

impl Session {
    /// A session for what is below `root`, or for a range of the file that this or a path from it is.
    pub fn new(shared: Rc<Shared>, remotes: Rc<Remotes>, root: Cid, range: Option<Range<u64>>) -> Self {
        let fetch = Fetch {
            shared,
            remotes,
            root: Cell::new(root),
            ways: RefCell::default(),
            range,
            expected: RefCell::default(),
            walked: RefCell::default(),
            stream: RefCell::default(),
            open: RefCell::default(),
            single: Cell::new(false),
            stepwise: Cell::new(false),
            barren: Cell::new(0),
            attempts: RefCell::default(),
            fetched: RefCell::default(),
            listeners: RefCell::default(),
        };
        Session { fetch: Rc::new(fetch), step: Turn::default() }
    }

    /// A session for one block, and nothing below it.
    pub fn of_block(shared: Rc<Shared>, remotes: Rc<Remotes>, cid: Cid) -> Self {
        let session = Session::new(shared, remotes, cid, None);
        session.fetch.single.set(true);
        session
    }

    /// Tells one more of what comes.
    pub fn listen(&self, on_fetched: Option<OnFetched>) {
        self.fetch.listeners.borrow_mut().extend(on_fetched);
    }

    /// What it has got so far.
    pub fn fetched(&self) -> Fetched {
        self.fetch.fetched.borrow().clone()
    }

    /// Returns when all of these are held.
    pub async fn fetch(&self, cids: &[Cid]) -> Result<()> {
        loop {
            let missing = self.fetch.missing(cids).await?;
            if missing.is_empty() {
                return Ok(());
            }
            let fetch = self.fetch.clone();
            self.step.join_or_begin(async move { fetch.advance(missing).await }).await?;
        }
    }

    /// Told what a reader will need, in this order.
    fn expect(&self, parts: &[(Cid, Range<u64>)]) {
        let mut expected = self.fetch.expected.borrow_mut();
        // What lies before is read.
        if let Some((_, span)) = parts.first() {
            *expected = expected.split_off(&span.start);
        }
        expected.extend(parts.iter().map(|(cid, span)| (span.start, (*cid, span.end))));
    }

    /// Told where a path leads through,
    fn on_the_way(&self, node: &Cid, from: &Cid, names: &[String]) {
        self.fetch.ways.borrow_mut().insert(*node, (*from, names.to_vec()));
    }

    /// and where it ends.
    pub fn found(&self, file: &Cid) {
        self.fetch.root.set(*file);
    }
}

impl Fetch {
    async fn missing(&self, cids: &[Cid]) -> Result<Vec<Cid>> {
        let (cids, keys): (Vec<Cid>, Vec<Key>) = cids.iter().filter_map(|cid| Some((*cid, block::key(cid)?))).unzip();
        let held = self.shared.blocks.has(&keys).await?;
        Ok(cids.into_iter().zip(held).filter(|(_, held)| !held).map(|(cid, _)| cid).collect())
    }

    /// One step towards having these: a batch of a CAR, or the single blocks.
    async fn advance(&self, missing: Vec<Cid>) -> Result<()> {
        let Some(first) = missing.first().copied() else { return Ok(()) };
        if self.barren.get() >= MAX_BARREN {
            let error = self.unavailable(first);
            // Who asks again later begins anew.
            self.barren.set(0);
            self.attempts.borrow_mut().clear();
            return Err(error);
        }
        if self.open.borrow().is_none() {
            let open = sweep::enter(&self.shared).await;
            self.open.replace(Some(open));
        }
        let stream = self.stream.take();
        let stream = match stream {
            Some(stream) => Some(stream),
            None => self.open(first).await?,
        };
        let Some(mut stream) = stream else { return self.get_single(missing).await };
        match self.batch(&mut stream).await? {
            // Of what is held it can send only so much.
            Ok(_) => {}
            Err(failure) => {
                self.gave_up(&stream, failure);
                return Ok(());
            }
        }
        if !stream.ended {
            self.stream.replace(Some(stream));
        } else if !self.missing(&[stream.first]).await?.is_empty() {
            self.gave_up(&stream, Failure::Broken("its CAR ended before all of it had come".into()));
        }
        Ok(())
    }

    /// A CAR is of no more use. Who cannot give one along a path may well give its nodes, and one of the file.
    fn gave_up(&self, stream: &Stream, failure: Failure) {
        self.barren.set(self.barren.get() + 1);
        self.stepwise.set(self.stepwise.get() || stream.path_from.is_some());
        self.attempts.borrow_mut().push(self.remotes.failed(&stream.from, failure));
    }

    /// A CAR with what is missing from `first` on; none if single blocks are the better way, or the only one.
    async fn open(&self, first: Cid) -> Result<Option<Stream>> {
        if self.single.get() {
            return Ok(None);
        }
        let Some(wanted) = self.plan(first).await? else { return Ok(None) };
        let answer = match self.remotes.car(&wanted).await {
            Ok(answer) => answer,
            // That a name is missing is proven by its directory alone.
            Err(attempts) if !wanted.path.is_empty() => {
                self.attempts.borrow_mut().extend(attempts);
                self.stepwise.set(true);
                return Ok(None);
            }
            Err(attempts) => {
                let no_cars = |attempt: &Attempt| matches!(attempt.failure, Failure::Unsupported(_));
                let single = attempts.iter().any(no_cars);
                // Who gives no CARs is asked for blocks: only that may fail.
                self.attempts.borrow_mut().extend(attempts.into_iter().filter(|attempt| !no_cars(attempt)));
                self.single.set(single);
                return if single { Ok(None) } else { Err(self.unavailable(first)) };
            }
        };
        Ok(Some(Stream {
            from: answer.from,
            first,
            body: answer.value,
            decoder: CarDecoder::new(),
            path_from: (!wanted.path.is_empty()).then_some(wanted.cid),
            wanted: HashSet::from([wanted.cid]),
            held_bytes: 0,
            fresh_bytes: 0,
            ended: false,
        }))
    }

    /// What to ask for: of a file the bytes that are missing in a row, and the rest of the path to it; of another DAG all
    /// below the missing node.
    async fn plan(&self, first: Cid) -> Result<Option<Wanted>> {
        let Some(range) = &self.range else {
            let leaf = Codec::of(&first)? == Codec::Raw && first != self.root.get();
            let from = if leaf { self.parent(&first).await? } else { Some(first) };
            return Ok(from.map(|cid| Wanted { cid, path: Vec::new(), scope: Scope::All }));
        };
        if let Some((from, path)) = self.ways.borrow().get(&first).cloned() {
            let one_step = self.stepwise.get() && !path.is_empty();
            return Ok((!one_step).then_some(Wanted { cid: from, path, scope: Scope::Bytes(range.clone()) }));
        }
        let below = |range: Range<u64>| Wanted { cid: self.root.get(), path: Vec::new(), scope: Scope::Bytes(range) };
        if first == self.root.get() {
            return Ok(Some(below(range.clone())));
        }
        let later: Vec<(u64, Cid, u64)> = {
            let expected = self.expected.borrow();
            let start = expected.iter().find(|(_, (cid, _))| *cid == first).map(|(start, _)| *start);
            let later = start.into_iter().flat_map(|start| expected.range(start..));
            later.map(|(start, (cid, end))| (*start, *cid, *end)).collect()
        };
        let cids: Vec<Cid> = later.iter().map(|(_, cid, _)| *cid).collect();
        let missing: HashSet<Cid> = self.missing(&cids).await?.into_iter().collect();
        let run: Vec<_> = later.iter().take_while(|(_, cid, _)| missing.contains(cid)).collect();
        let (Some((start, ..)), Some((_, _, end))) = (run.first(), run.last()) else { return Ok(None) };
        let leaves = run.iter().all(|(_, cid, _)| cid.codec() == Codec::Raw.code());
        if leaves && run.len() <= FEW_LEAVES {
            return Ok(None);
        }
        // What is not known yet of the file lies behind what is: if all of that is missing, so perhaps is the rest.
        let end = if run.len() == later.len() { range.end } else { (*end).min(range.end) };
        Ok(Some(below((*start).max(range.start)..end)))
    }

    /// The node above a missing leaf, if its CAR is the better way to get it: where many are missing, and no more are held.
    async fn parent(&self, leaf: &Cid) -> Result<Option<Cid>> {
        let Some((node, links)) = self.walked.borrow().clone().filter(|(_, links)| links.contains(leaf)) else {
            return Ok(None);
        };
        let missing = self.missing(&links).await?.len();
        Ok((missing > FEW_LEAVES && 2 * missing >= links.len()).then_some(node))
    }

    /// Proves and stores the next blocks of a CAR; how many of them were new. What came before a failure is kept.
    async fn batch(&self, stream: &mut Stream) -> Result<Result<usize, Failure>> {
        let (claims, mut failure) = self.receive(stream).await;
        let mut fresh: Vec<Block> = Vec::with_capacity(claims.len());
        // What is held, or has come already, and identity blocks.
        let mut held: HashSet<Cid> = claims.iter().map(|(cid, _)| *cid).collect();
        for missing in self.missing(&held.iter().copied().collect::<Vec<_>>()).await? {
            held.remove(&missing);
        }
        for proven in Block::verify(self.shared.hasher.as_ref(), claims).await? {
            match take(stream, proven, &held)? {
                Ok(block) => {
                    held.extend(block.iter().map(|block| *block.cid()));
                    fresh.extend(block);
                }
                Err(lie) => {
                    failure = Some(lie);
                    break;
                }
            }
        }
        let new = self.store(fresh, stream.from.name()).await?;
        Ok(failure.map_or(Ok(new), Err))
    }

    /// Whole blocks as they came, about a batch of them, and what went wrong after them.
    async fn receive(&self, stream: &mut Stream) -> (Vec<(Cid, Bytes)>, Option<Failure>) {
        let mut claims = Vec::new();
        let mut bytes = 0;
        while bytes < BATCH_BYTES {
            match stream.decoder.next_item() {
                Ok(Some(Item::Header(_))) => {}
                Ok(Some(Item::Block(cid, block))) => {
                    if let Err(error) = block::check(&cid) {
                        // A DAG may link to what is not known here: who sends it does not lie.
                        return (claims, Some(Failure::Unsupported(error.to_string())));
                    }
                    bytes += block.len();
                    claims.push((cid, block));
                }
                Ok(None) => match self.remotes.next(&stream.from, &mut stream.body).await {
                    Ok(Some(piece)) => stream.decoder.push(&piece),
                    Ok(None) => {
                        stream.ended = true;
                        let cut = stream.decoder.finish().err().map(|cut| Failure::Broken(cut.to_string()));
                        return (claims, cut);
                    }
                    Err(failure) => return (claims, Some(failure)),
                },
                Err(malformed) => return (claims, Some(Failure::Broken(malformed.to_string()))),
            }
        }
        (claims, None)
    }

    /// Single blocks, several at once.
    async fn get_single(&self, missing: Vec<Cid>) -> Result<()> {
        let gets = missing.iter().map(|cid| async move { (*cid, self.remotes.block(*cid).await) });
        let mut answers = stream::iter(gets).buffered(SINGLE_AT_ONCE);
        while let Some((cid, answer)) = answers.next().await {
            let answer = match answer {
                Ok(answer) => answer,
                Err(attempts) => {
                    self.attempts.borrow_mut().extend(attempts);
                    return Err(self.unavailable(cid));
                }
            };
            let proven = Block::verify(self.shared.hasher.as_ref(), vec![(cid, answer.value)]).await?.pop();
            match proven {
                Some(Ok(block)) => _ = self.store(vec![block], answer.from.name()).await?,
                _ => {
                    self.barren.set(self.barren.get() + 1);
                    let failure = Failure::Lied(format!("bytes that do not hash to {cid}"));
                    self.attempts.borrow_mut().push(self.remotes.failed(&answer.from, failure));
                }
            }
        }
        Ok(())
    }

    async fn store(&self, fresh: Vec<Block>, remote: &str) -> Result<usize> {
        if fresh.is_empty() {
            return Ok(0);
        }
        let count = fresh.len();
        let bytes: u64 = fresh.iter().map(|block| block.bytes().len() as u64).sum();
        let durability = self.shared.options.durability;
        self.shared.blocks.keep(Commit { blocks: fresh, durability, ahead: true, ..Commit::default() }).await?;
        self.barren.set(0);
        let fetched = {
            let mut fetched = self.fetched.borrow_mut();
            fetched.blocks += count as u64;
            fetched.bytes += bytes;
            fetched.remote = remote.to_owned();
            fetched.clone()
        };
        let listeners = self.listeners.borrow().clone();
        listeners.iter().for_each(|tell| tell(&fetched));
        Ok(count)
    }

    fn unavailable(&self, cid: Cid) -> Error {
        unavailable(cid, &self.attempts.borrow())
    }
}

/// A block of a CAR, if it is proven and wanted; none if it is held and was only on the way.
fn take(stream: &mut Stream, proven: Result<Block>, held: &HashSet<Cid>) -> Result<Result<Option<Block>, Failure>> {
    let block = match proven {
        Ok(block) => block,
        Err(Error::Integrity(cid)) => return Ok(Err(Failure::Lied(format!("bytes that do not hash to {cid}")))),
        Err(error) => return Err(error),
    };
    let cid = *block.cid();
    let asked = stream.wanted.remove(&cid);
    let held = held.contains(&cid);
    if held {
        stream.held_bytes += block.bytes().len() + HELD_OVERHEAD;
        if stream.held_bytes > MAX_HELD_BYTES + stream.fresh_bytes {
            return Ok(Err(Failure::Broken("it sends over and over what is held here".into())));
        }
    } else if !asked && stream.path_from.is_some_and(|from| stream.wanted.contains(&from)) {
        return Ok(Err(Failure::Broken("its CAR does not begin where the path does".into())));
    } else if !asked {
        return Ok(Err(Failure::Lied(format!("{cid}, which nothing asked for links to"))));
    }
    if !held {
        stream.fresh_bytes += block.bytes().len();
    }
    if asked {
        // A codec without known links has none to follow.
        stream.wanted.extend(dag::links(&block).unwrap_or_default());
    }
    Ok(Ok((!held).then_some(block)))
}

/// What it means to the caller that all of these were in vain.
pub fn unavailable(cid: Cid, tried: &[Attempt]) -> Error {
    if !tried.is_empty() && tried.iter().all(|attempt| matches!(attempt.failure, Failure::Denied(_))) {
        return Error::NotAvailableOffline { cid, reason: OfflineReason::Denied };
    }
    let mut attempts: Vec<(String, String)> = Vec::new();
    for Attempt { remote, failure } in tried {
        let said = (remote.clone(), failure.to_string());
        if !attempts.contains(&said) {
            attempts.push(said);
        }
    }
    Error::Unavailable { cid, attempts }
}

/// Blocks from here, or else from elsewhere.
#[derive(Clone)]
pub struct Source {
    blocks: Rc<Blocks>,
    session: Result<Rc<Session>, OfflineReason>,
}

impl Source {
    /// With a session, or with the reason why there is none.
    pub fn new(blocks: Rc<Blocks>, session: Result<Rc<Session>, OfflineReason>) -> Self {
        Source { blocks, session }
    }

    /// The session, if there is one.
    pub fn session(&self) -> Option<&Rc<Session>> {
        self.session.as_ref().ok()
    }

    /// Returns when all that a node links to is held here, whatever a cache may have.
    pub async fn ensure_below(&self, node: Cid, links: &[Cid]) -> Result<()> {
        if let Ok(session) = &self.session {
            session.fetch.walked.replace(Some((node, links.to_vec())));
        }
        self.ensure(links).await
    }

    /// Returns when all of these are held here, whatever a cache may have.
    pub async fn ensure(&self, cids: &[Cid]) -> Result<()> {
        match &self.session {
            Ok(session) => session.fetch(cids).await,
            Err(reason) => {
                let (cids, keys): (Vec<Cid>, Vec<Key>) =
                    cids.iter().filter_map(|cid| Some((*cid, block::key(cid)?))).unzip();
                let held = self.blocks.has(&keys).await?;
                match cids.into_iter().zip(held).find(|(_, held)| !held) {
                    Some((cid, _)) => Err(Error::NotAvailableOffline { cid, reason: *reason }),
                    None => Ok(()),
                }
            }
        }
    }
}

#[async_trait(?Send)]
impl BlockSource for Source {
    async fn blocks(&self, cids: &[Cid]) -> Result<Vec<Block>> {
        // One for each corrupt copy: one that could not be set aside is found again and again.
        let mut tries = cids.len();
        loop {
            match (self.blocks.blocks(cids).await, &self.session) {
                (Err(Error::NotAvailableOffline { .. }), Ok(session)) => session.fetch(cids).await?,
                // It was set aside, and may be had whole elsewhere.
                (Err(Error::Corrupt { .. }), Ok(session)) if tries > 0 => {
                    tries -= 1;
                    session.fetch(cids).await?;
                }
                (Err(Error::NotAvailableOffline { cid, .. }), Err(reason)) => {
                    return Err(Error::NotAvailableOffline { cid, reason: *reason });
                }
                (done, _) => return done,
            }
        }
    }

    fn expect(&self, parts: &[(Cid, Range<u64>)]) {
        if let Ok(session) = &self.session {
            session.expect(parts);
        }
    }

    fn on_the_way(&self, node: &Cid, from: &Cid, names: &[String]) {
        if let Ok(session) = &self.session {
            session.on_the_way(node, from, names);
        }
    }
}
