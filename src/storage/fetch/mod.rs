//! Getting what is not held here: one session for each file or DAG that is read.
//!
//! A session asks for what is missing in as few requests as it can: a CAR of the missing part of the file or DAG, along the
//! path to it if there is one, single blocks where nobody speaks CAR. Every block is proven and stored before anybody reads
//! it, and only blocks that something proven links to are taken: a remote that sends others is struck out. Copies that backends
//! keep are asked as well: those on the IPFS network before the remotes, archives after them.

mod copies;
mod flow;
mod known;
mod recent;
mod source;

use std::{
    cell::{Cell, RefCell},
    collections::{BTreeMap, HashMap, HashSet},
    ops::Range,
    rc::Rc,
};

use futures_util::{
    future::{self, Either},
    stream::{self, StreamExt},
};

pub use self::source::Source;
use self::{
    copies::Copies,
    flow::{Flow, Step, Stored},
    known::Known,
    recent::Recent,
};
use super::{Shared, sweep};
use crate::{
    block::{self, Block, Cid, Codec, Key},
    error::{Error, OfflineReason, Result},
    remote::{Attempt, Failure, Remotes, Scope, Wanted},
    tier::{Commit, Turn},
};

/// Blocks that a reader will need and that are looked for together.
const LOOKED_AHEAD: usize = 1024;

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
    looking: Turn<Result<()>>,
}

/// What a session knows and does.
struct Fetch {
    shared: Rc<Shared>,
    /// None where only backends may be asked.
    remotes: Option<Rc<Remotes>>,
    copies: Copies,
    /// The file or DAG; of a path its CID, until it is known where it leads.
    root: RefCell<Cid>,
    /// Of a node on a path from where, and by which names, it leads on.
    ways: RefCell<HashMap<Cid, (Cid, Vec<String>)>>,
    /// The bytes wanted, if it is read as a file.
    range: Option<Range<u64>>,
    /// What the reader has seen that it will need, by its place in the file.
    expected: RefCell<BTreeMap<u64, (Cid, u64)>>,
    /// Of a DAG that is walked: the node whose links are looked for.
    walked: RefCell<Option<(Cid, Vec<Cid>)>>,
    known: Known,
    recent: Recent,
    flow: RefCell<Option<Flow>>,
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

impl Session {
    /// A session for what is below `root`, or for a range of the file that this or a path from it is.
    pub fn new(shared: Rc<Shared>, remotes: Option<Rc<Remotes>>, root: Cid, range: Option<Range<u64>>) -> Self {
        let fetch = Fetch {
            shared,
            remotes,
            copies: Copies::new(root.clone()),
            root: RefCell::new(root),
            ways: RefCell::default(),
            range,
            expected: RefCell::default(),
            walked: RefCell::default(),
            known: Known::default(),
            recent: Recent::default(),
            flow: RefCell::default(),
            open: RefCell::default(),
            single: Cell::new(false),
            stepwise: Cell::new(false),
            barren: Cell::new(0),
            attempts: RefCell::default(),
            fetched: RefCell::default(),
            listeners: RefCell::default(),
        };
        Session { fetch: Rc::new(fetch), step: Turn::default(), looking: Turn::default() }
    }

    /// A session for one block, and nothing below it.
    pub fn of_block(shared: Rc<Shared>, remotes: Option<Rc<Remotes>>, cid: Cid) -> Self {
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
            let remembers = cids.iter().filter_map(block::key).any(|key| self.fetch.known.is_held(&key) == Some(false));
            let mut missing = self.fetch.missing(cids).await?;
            if remembers && self.fetch.flow.borrow().is_none() && self.step.under_way().is_none() {
                // Before a request only the truth counts.
                self.fetch.forget(&missing);
                missing = self.fetch.missing(&missing).await?;
            }
            if missing.is_empty() {
                return Ok(());
            }
            let fetch = self.fetch.clone();
            self.step.join_or_begin(async move { fetch.advance(missing).await }).await?;
        }
    }

    /// The same, whatever was known of them before.
    pub async fn fetch_anew(&self, cids: &[Cid]) -> Result<()> {
        self.fetch.forget(cids);
        self.fetch(cids).await
    }

    /// Once something was fetched for this file, more of it may well be missing: looks once for all that is expected, and
    /// waits for these where they are not here.
    pub async fn fetch_known(&self, cids: &[Cid]) -> Result<()> {
        if self.fetch.open.borrow().is_none() {
            return Ok(());
        }
        let expected =
            self.fetch.expected.borrow().values().map(|(cid, _)| cid.clone()).take(LOOKED_AHEAD).collect::<Vec<_>>();
        if !cids.iter().all(|cid| expected.contains(cid)) {
            return Ok(());
        }
        self.look(expected).await?;
        self.fetch(cids).await
    }

    /// Learns which of these are here, while what flows flows on.
    async fn look(&self, cids: Vec<Cid>) -> Result<()> {
        let fetch = self.fetch.clone();
        let mut looking = self.looking.join_or_begin(async move { fetch.missing(&cids).await.map(drop) });
        loop {
            let flowing = self.fetch.flow.borrow().as_ref().map(|flow| flow.first.clone());
            let begin = |first| {
                let fetch = self.fetch.clone();
                self.step.join_or_begin(async move { fetch.advance(vec![first]).await })
            };
            let Some(step) = self.step.under_way().or_else(|| flowing.map(begin)) else {
                return looking.await;
            };
            match future::select(&mut looking, step).await {
                Either::Left((looked, _)) => return looked,
                Either::Right((Ok(()), _)) => {}
                // That is for those who need what did not come.
                Either::Right((Err(_), _)) => return looking.await,
            }
        }
    }

    /// Returns when all that a node links to is held.
    pub async fn fetch_below(&self, node: Cid, links: &[Cid]) -> Result<()> {
        self.fetch.walked.replace(Some((node, links.to_vec())));
        if let Some(flow) = self.fetch.flow.borrow().as_ref() {
            // All of them are needed, so it is no loss to wait for those that come by themselves.
            let coming: Vec<Key> = links.iter().filter(|cid| flow.brings(cid)).filter_map(block::key).collect();
            self.fetch.known.learn(&coming, false);
        }
        self.fetch(links).await
    }

    /// These blocks, if all of them came just now and nobody has read them yet.
    fn take_recent(&self, cids: &[Cid]) -> Option<Vec<Block>> {
        self.fetch.recent.take(cids)
    }

    /// Told what a reader will need, in this order.
    fn expect(&self, parts: &[(Cid, Range<u64>)]) {
        let mut expected = self.fetch.expected.borrow_mut();
        // What lies before is read.
        if let Some((_, span)) = parts.first() {
            *expected = expected.split_off(&span.start);
        }
        expected.extend(parts.iter().map(|(cid, span)| (span.start, (cid.clone(), span.end))));
    }

    /// Told where a path leads through,
    fn on_the_way(&self, node: &Cid, from: &Cid, names: &[String]) {
        self.fetch.ways.borrow_mut().insert(node.clone(), (from.clone(), names.to_vec()));
    }

    /// and where it ends.
    pub fn found(&self, file: &Cid) {
        self.fetch.root.replace(file.clone());
    }
}

impl Fetch {
    /// Those that are not here.
    async fn missing(&self, cids: &[Cid]) -> Result<Vec<Cid>> {
        let keys: Vec<Option<Key>> = cids.iter().map(block::key).collect();
        let mut held: Vec<Option<bool>> =
            keys.iter().map(|key| key.as_ref().map_or(Some(true), |key| self.known.is_held(key))).collect();
        let unknown: Vec<Key> =
            keys.iter().zip(&held).filter(|(_, held)| held.is_none()).filter_map(|(key, _)| *key).collect();
        if !unknown.is_empty() {
            let found = self.shared.blocks.has(&unknown).await?;
            let lacking: Vec<Key> =
                unknown.iter().zip(&found).filter(|(_, held)| !**held).map(|(key, _)| *key).collect();
            self.known.learn(&lacking, false);
            let mut found = found.into_iter();
            held.iter_mut().filter(|held| held.is_none()).for_each(|slot| *slot = found.next());
        }
        Ok(cids.iter().zip(held).filter(|(_, held)| *held == Some(false)).map(|(cid, _)| cid.clone()).collect())
    }

    fn forget(&self, cids: &[Cid]) {
        self.known.forget(&cids.iter().filter_map(block::key).collect::<Vec<_>>());
    }

    /// One step towards having these: some more of a CAR, or the single blocks.
    async fn advance(&self, missing: Vec<Cid>) -> Result<()> {
        if missing.is_empty() {
            return Ok(());
        }
        // What nobody here could prove is not asked for: who gave it would seem to lie.
        missing.iter().try_for_each(block::check)?;
        if self.open.borrow().is_none() {
            // Until it is a root's, and should it never be one.
            self.shared.room.litter();
            let open = sweep::enter(&self.shared).await?;
            self.open.replace(Some(open));
        }
        let flow = self.flow.take();
        if flow.is_none() && self.ask_copies(&missing, false).await? {
            return Ok(());
        }
        let (error, cid) = match self.ask_remotes(flow, &missing).await {
            Err(error @ (Error::Unavailable { .. } | Error::NotAvailableOffline { .. })) => (error, missing.first()),
            done => return done,
        };
        if self.ask_copies(&missing, true).await? {
            return Ok(());
        }
        // Who was asked since is told as well.
        let error = match cid {
            Some(cid) if !self.attempts.borrow().is_empty() => self.unavailable(cid.clone()),
            _ => error,
        };
        if self.barren.get() >= MAX_BARREN {
            // Who asks again later begins anew.
            self.barren.set(0);
            self.attempts.borrow_mut().clear();
        }
        Err(error)
    }

    /// The same, of the remotes.
    async fn ask_remotes(&self, flow: Option<Flow>, missing: &[Cid]) -> Result<()> {
        let Some(first) = missing.first().cloned() else { return Ok(()) };
        let Some(remotes) = &self.remotes else {
            return Err(Error::NotAvailableOffline { cid: first, reason: OfflineReason::NoRemotes });
        };
        if self.barren.get() >= MAX_BARREN {
            return Err(self.unavailable(first));
        }
        let flow = match flow {
            Some(flow) => Some(flow),
            None => self.open(remotes, first).await?,
        };
        let Some(mut flow) = flow else { return self.get_single(remotes, missing).await };
        match flow.step(&self.shared, remotes, &self.known).await? {
            Step::Stored(stored) => {
                self.stored(stored, flow.from.name());
                self.flow.replace(Some(flow));
            }
            Step::Ended if self.missing(std::slice::from_ref(&flow.first)).await?.is_empty() => {}
            Step::Ended => {
                self.gave_up(remotes, &flow, Failure::Broken("its CAR ended before all of it had come".into()))
            }
            Step::Failed(failure) => self.gave_up(remotes, &flow, failure),
        }
        Ok(())
    }

    /// A CAR is of no more use. Who cannot give one along a path may well give its nodes, and one of the file.
    fn gave_up(&self, remotes: &Remotes, flow: &Flow, failure: Failure) {
        self.barren.set(self.barren.get() + 1);
        self.stepwise.set(self.stepwise.get() || flow.path_from.is_some());
        self.attempts.borrow_mut().push(remotes.failed(&flow.from, failure));
    }

    /// A CAR with what is missing from `first` on; none if single blocks are the better way, or the only one.
    async fn open(&self, remotes: &Remotes, first: Cid) -> Result<Option<Flow>> {
        if self.single.get() {
            return Ok(None);
        }
        let Some(wanted) = self.plan(first.clone()).await? else { return Ok(None) };
        let answer = match remotes.car(&wanted).await {
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
        Ok(Some(Flow::new(answer, &wanted, first)))
    }

    /// What to ask for: of a file the bytes that are missing in a row, and the rest of the path to it; of another DAG all
    /// below the missing node.
    async fn plan(&self, first: Cid) -> Result<Option<Wanted>> {
        let Some(range) = &self.range else {
            let leaf = Codec::of(&first)? == Codec::Raw && first != *self.root.borrow();
            let from = if leaf { self.parent(&first).await? } else { Some(first) };
            return Ok(from.map(|cid| Wanted { cid, path: Vec::new(), scope: Scope::All }));
        };
        if let Some((from, path)) = self.ways.borrow().get(&first).cloned() {
            let one_step = self.stepwise.get() && !path.is_empty();
            return Ok((!one_step).then_some(Wanted { cid: from, path, scope: Scope::Bytes(range.clone()) }));
        }
        let below = |range: Range<u64>| Wanted {
            cid: self.root.borrow().clone(),
            path: Vec::new(),
            scope: Scope::Bytes(range),
        };
        if first == *self.root.borrow() {
            return Ok(Some(below(range.clone())));
        }
        let later = self.later(&first);
        let cids: Vec<Cid> = later.iter().map(|(_, cid, _)| cid.clone()).collect();
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

    /// What the reader has seen that it will need, from this on.
    fn later(&self, first: &Cid) -> Vec<(u64, Cid, u64)> {
        let expected = self.expected.borrow();
        let start = expected.iter().find(|(_, (cid, _))| cid == first).map(|(start, _)| *start);
        let later = start.into_iter().flat_map(|start| expected.range(start..));
        later.map(|(start, (cid, end))| (*start, cid.clone(), *end)).collect()
    }

    /// The node above a missing leaf, if its CAR is the better way to get it: where many are missing, and no more are held.
    async fn parent(&self, leaf: &Cid) -> Result<Option<Cid>> {
        let Some((node, links)) = self.walked.borrow().clone().filter(|(_, links)| links.contains(leaf)) else {
            return Ok(None);
        };
        let missing = self.missing(&links).await?.len();
        Ok((missing > FEW_LEAVES && 2 * missing >= links.len()).then_some(node))
    }

    /// Single blocks, several at once.
    async fn get_single(&self, remotes: &Remotes, missing: &[Cid]) -> Result<()> {
        let gets = missing.iter().map(|cid| async move { (cid.clone(), remotes.block(cid.clone()).await) });
        let mut answers = stream::iter(gets).buffered(SINGLE_AT_ONCE);
        while let Some((cid, answer)) = answers.next().await {
            let answer = match answer {
                Ok(answer) => answer,
                Err(attempts) => {
                    self.attempts.borrow_mut().extend(attempts);
                    return Err(self.unavailable(cid));
                }
            };
            let proven = Block::verify(self.shared.hasher.as_ref(), vec![(cid.clone(), answer.value)]).await?.pop();
            match proven {
                Some(Ok(block)) => self.store(vec![block], answer.from.name()).await?,
                _ => {
                    self.barren.set(self.barren.get() + 1);
                    let failure = Failure::Lied(format!("bytes that do not hash to {cid}"));
                    self.attempts.borrow_mut().push(remotes.failed(&answer.from, failure));
                }
            }
        }
        Ok(())
    }

    async fn store(&self, blocks: Vec<Block>, from: &str) -> Result<()> {
        let durability = self.shared.options.durability;
        let commit = Commit { blocks: blocks.clone(), durability, ahead: true, ..Commit::default() };
        let done = self.shared.write(commit, async |commit| self.shared.blocks.keep(commit).await).await?;
        let fresh = blocks.iter().zip(&done.held).filter(|(_, held)| !**held);
        let (fresh, bytes) =
            fresh.fold((0, 0), |(count, sum), (block, _)| (count + 1, sum + block.bytes().len() as u64));
        self.stored(Stored { blocks, fresh, bytes }, from);
        Ok(())
    }

    fn stored(&self, stored: Stored, remote: &str) {
        let keys: Vec<Key> = stored.blocks.iter().filter_map(|block| block::key(block.cid())).collect();
        self.known.learn(&keys, true);
        stored.blocks.into_iter().for_each(|block| self.recent.push(block));
        if stored.fresh == 0 {
            return;
        }
        self.barren.set(0);
        let fetched = {
            let mut fetched = self.fetched.borrow_mut();
            fetched.blocks += stored.fresh;
            fetched.bytes += stored.bytes;
            fetched.remote = remote.to_owned();
            fetched.clone()
        };
        let listeners = self.listeners.borrow().clone();
        listeners.iter().for_each(|tell| tell(&fetched));
    }

    fn unavailable(&self, cid: Cid) -> Error {
        unavailable(cid, &self.attempts.borrow())
    }
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
