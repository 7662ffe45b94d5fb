//! Who is asked, in which order, for how long, and what is remembered of it.

use std::{
    cell::{RefCell, RefMut},
    collections::VecDeque,
    fmt,
    rc::Rc,
};

use bytes::Bytes;
use futures_util::{
    StreamExt,
    future::{self, Either, LocalBoxFuture},
    stream::FuturesUnordered,
};

use super::{Connector, Failure, Health, ROUTING, Remote, State, Wanted};
use crate::{
    block::{Block, Cid},
    error::{Error, Result as Outcome},
    platform::{Clock, Network, http::Body},
};

/// How long is waited for what, in milliseconds.
#[derive(Debug, Clone, Copy)]
pub struct Patience {
    /// Without a byte for this long, or with hardly any, a remote is given up.
    pub silence: u64,
    /// Without an answer for this long, the next remote is asked as well.
    pub hedge: u64,
    /// When all have failed and asking again may help: the first wait before that, which doubles.
    pub backoff: u64,
    /// How often all are asked.
    pub rounds: u32,
}

impl Patience {
    /// The usual, but for the silence that is borne.
    pub fn of(silence: u32) -> Outcome<Self> {
        match silence {
            0 => Err(Error::InvalidArgument("a remote timeout of 0 ms: nobody answers in no time".into())),
            // What the timers of browsers can count.
            some => Ok(Patience { silence: some.min(i32::MAX as u32).into(), ..Patience::default() }),
        }
    }
}

impl Default for Patience {
    fn default() -> Self {
        Patience { silence: 20_000, hedge: 1_500, backoff: 250, rounds: 3 }
    }
}

/// Most gateways that are remembered of those that routers named; the one least of use goes first.
const MAX_FOUND: usize = 16;

/// Most that are taken from the routers at once, so that those which proved useful stay.
const MAX_NEW: usize = MAX_FOUND / 2;

/// Of those that lied and had to make room, so many names are kept.
const MAX_LIARS: usize = 256;

/// So many times the patience has who is given something: it says nothing before it has all of it.
const TELLING: u64 = 10;

/// Who sends fewer bytes than this while patience lasts counts as silent: one byte now and then would hold a call up for ever.
const LEAST_BYTES: usize = 16 * 1024;

/// The remotes of a store.
pub struct Remotes {
    configured: Vec<Peer>,
    /// Gateways that routers named, the newest first.
    found: RefCell<Vec<Peer>>,
    /// Names of those among them that lied and are not remembered otherwise.
    liars: RefCell<VecDeque<String>>,
    connector: Rc<dyn Connector>,
    clock: Rc<dyn Clock>,
    network: Rc<dyn Network>,
    patience: Patience,
}

/// One of them, and what is known of it.
#[derive(Clone)]
pub struct Peer(Rc<Known>);

struct Known {
    remote: Rc<dyn Remote>,
    health: RefCell<Health>,
}

/// One remote that was asked in vain.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attempt {
    /// Its name.
    pub remote: String,
    /// What went wrong.
    pub failure: Failure,
}

/// An answer, and whose it is.
pub struct Answer<T> {
    /// The remote.
    pub from: Peer,
    /// What it gave.
    pub value: T,
}

/// A body with its first bytes.
pub struct Begun {
    first: Option<Bytes>,
    body: Box<dyn Body>,
    /// Bytes that are being counted, and how long they were waited for.
    pace: (usize, u64),
}

impl fmt::Debug for Remotes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.configured.iter().map(Peer::name)).finish()
    }
}

impl Peer {
    fn new(remote: Rc<dyn Remote>) -> Self {
        Peer(Rc::new(Known { remote, health: RefCell::default() }))
    }

    /// Its name.
    pub fn name(&self) -> &str {
        self.0.remote.name()
    }

    fn health(&self) -> RefMut<'_, Health> {
        self.0.health.borrow_mut()
    }

    fn attempt(&self, failure: Failure) -> Attempt {
        Attempt { remote: self.name().to_owned(), failure }
    }

    /// Why it is not asked now.
    fn out(&self) -> Option<Attempt> {
        let health = self.health();
        let lie = health.lie.clone().map(Failure::Lied);
        let failure = lie.or_else(|| health.last.as_ref().and_then(|(_, last)| last.clone().err()))?;
        Some(self.attempt(failure))
    }

    /// How good a choice it is; none if it is not to be asked.
    fn rank(&self, now: u64) -> Option<(u8, u64)> {
        let health = self.health();
        let rank = match health.state(now) {
            State::Works => 0,
            State::Unknown => 1,
            State::Failing => 2,
            State::Rests | State::Struck => return None,
        };
        Some((rank, health.latency.unwrap_or(0)))
    }
}

type Asked<T> = LocalBoxFuture<'static, Result<T, Failure>>;

impl Remotes {
    /// These remotes, the preferred ones first as long as nothing is known of them. The connector makes those that
    /// routers among them name.
    pub fn new(
        remotes: Vec<Rc<dyn Remote>>,
        connector: Rc<dyn Connector>,
        clock: Rc<dyn Clock>,
        network: Rc<dyn Network>,
        patience: Patience,
    ) -> Self {
        let configured = remotes.into_iter().map(Peer::new).collect();
        Remotes {
            configured,
            found: RefCell::default(),
            liars: RefCell::default(),
            connector,
            clock,
            network,
            patience,
        }
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.configured.is_empty()
    }

    /// Whether the host has a network at all.
    pub fn is_online(&self) -> bool {
        self.network.is_online()
    }

    /// A block, from the first who gives one.
    pub async fn block(&self, cid: Cid) -> Result<Answer<Bytes>, Vec<Attempt>> {
        let rounds = self.patience.rounds;
        let answer = self.ask(&cid, rounds, move |remote| Box::pin(async move { remote.block(&cid).await })).await?;
        answer.from.health().bytes_in += answer.value.len() as u64;
        Ok(answer)
    }

    /// A CAR, from the first who sends some of it. One along a path is asked for once: there are other ways to have it, and
    /// to gateways of some kinds a name that is missing is a failure of theirs.
    pub async fn car(&self, wanted: &Wanted) -> Result<Answer<Begun>, Vec<Attempt>> {
        let ask = |remote: Rc<dyn Remote>| -> Asked<Begun> {
            let wanted = wanted.clone();
            Box::pin(async move {
                let mut body = remote.car(&wanted).await?;
                let first = body.next().await?;
                Ok(Begun { first, body, pace: (0, 0) })
            })
        };
        let rounds = if wanted.path.is_empty() { self.patience.rounds } else { 1 };
        self.ask(&wanted.cid, rounds, ask).await
    }

    /// The next bytes of a body, if they come in time.
    pub async fn next(&self, from: &Peer, begun: &mut Begun) -> Result<Option<Bytes>, Failure> {
        let asked = self.clock.now();
        let next = match begun.first.take() {
            Some(first) => Some(first),
            None => self.in_time(begun.body.next()).await?,
        };
        let Some(bytes) = next else { return Ok(None) };
        from.health().bytes_in += bytes.len() as u64;
        // Not the time that the caller takes: only what the remote lets it wait.
        let (count, waited) = (begun.pace.0 + bytes.len(), begun.pace.1 + self.clock.now().saturating_sub(asked));
        begun.pace = match count {
            few if few < LEAST_BYTES && waited > self.patience.silence => return Err(Failure::Silent),
            few if few < LEAST_BYTES => (few, waited),
            _ => (0, 0),
        };
        Ok(Some(bytes))
    }

    /// A remote whose answer had begun well has failed.
    pub fn failed(&self, from: &Peer, failure: Failure) -> Attempt {
        from.health().failed(self.clock.now(), &failure);
        from.attempt(failure)
    }

    /// One of the configured remotes.
    pub fn named(&self, name: &str) -> Option<Peer> {
        self.configured.iter().find(|peer| peer.name().trim_end_matches('/') == name.trim_end_matches('/')).cloned()
    }

    /// Gives blocks to one remote; asks it again while that may help.
    pub async fn put(&self, to: &Peer, blocks: Vec<Block>) -> Result<(), Attempt> {
        let bytes: u64 = blocks.iter().map(|block| block.bytes().len() as u64).sum();
        let blocks: Rc<[Block]> = blocks.into();
        let put = |remote: Rc<dyn Remote>| -> Asked<()> {
            let blocks = blocks.clone();
            Box::pin(async move { remote.put(&blocks).await })
        };
        self.tell(to, &put).await?;
        to.health().bytes_out += bytes;
        Ok(())
    }

    /// Has one remote keep all that is below this, and makes sure that it does.
    pub async fn pin(&self, to: &Peer, cid: Cid) -> Result<(), Attempt> {
        let pin = |remote: Rc<dyn Remote>| -> Asked<()> {
            Box::pin(async move {
                remote.pin(&cid).await?;
                match remote.is_pinned(&cid).await? {
                    true => Ok(()),
                    false => Err(Failure::Broken("it says that it has pinned it, and then that it has not".into())),
                }
            })
        };
        self.tell(to, &pin).await
    }

    /// Asks each for the least thing, all at once.
    pub async fn probe(&self) {
        let peers = self.peers();
        let probes = peers.iter().map(|peer| async move {
            if peer.health().lie.is_some() {
                return;
            }
            let began = self.clock.now();
            let done = self.in_time(peer.0.remote.probe()).await;
            self.note(peer, began, &done);
        });
        future::join_all(probes).await;
    }

    /// Of each its name, its kind, and what is known of it.
    pub fn reports(&self) -> Vec<(String, String, State, Health)> {
        let now = self.clock.now();
        let report = |peer: &Peer| {
            let health = peer.health().clone();
            (peer.name().to_owned(), peer.0.remote.kind().to_owned(), health.state(now), health)
        };
        self.peers().iter().map(report).collect()
    }

    /// Whether one can be used now, by what was seen of it last.
    pub fn is_available(&self) -> bool {
        let now = self.clock.now();
        self.is_online() && self.peers().iter().any(|peer| peer.health().state(now) == State::Works)
    }

    fn peers(&self) -> Vec<Peer> {
        self.configured.iter().chain(self.found.borrow().iter()).cloned().collect()
    }

    async fn ask<T>(
        &self,
        cid: &Cid,
        rounds: u32,
        ask: impl Fn(Rc<dyn Remote>) -> Asked<T>,
    ) -> Result<Answer<T>, Vec<Attempt>> {
        let mut attempts = Vec::new();
        for round in 0..rounds.max(1) {
            if round > 0 && !self.pause(round, &self.peers()).await {
                break;
            }
            let before = attempts.len();
            if let Some(answer) = self.round(self.order(), &ask, &mut attempts).await {
                return Ok(answer);
            }
            if round == 0 {
                let others = self.find(cid, &mut attempts).await;
                if let Some(answer) = self.round(others, &ask, &mut attempts).await {
                    return Ok(answer);
                }
            }
            let passing = attempts.iter().skip(before).any(|attempt: &Attempt| attempt.failure.is_passing());
            if !passing {
                break;
            }
        }
        if attempts.is_empty() {
            attempts.extend(self.peers().iter().filter_map(Peer::out));
        }
        Err(attempts)
    }

    /// Asks one after the other, the next when one has failed or keeps silent for a while.
    async fn round<T>(
        &self,
        order: Vec<Peer>,
        ask: &impl Fn(Rc<dyn Remote>) -> Asked<T>,
        attempts: &mut Vec<Attempt>,
    ) -> Option<Answer<T>> {
        let mut order = order.into_iter();
        let mut under_way = FuturesUnordered::new();
        let mut asked: Vec<(Peer, u64)> = Vec::new();
        loop {
            if let Some(peer) = order.next() {
                asked.push((peer.clone(), self.clock.now()));
                under_way.push(async move {
                    let began = self.clock.now();
                    let done = self.in_time(ask(peer.0.remote.clone())).await;
                    (peer, began, done)
                });
            }
            let hedge = match order.len() {
                0 => Either::Left(future::pending()),
                _ => Either::Right(self.network.sleep(self.patience.hedge)),
            };
            let Either::Left((ended, _)) = future::select(under_way.next(), hedge).await else { continue };
            let (from, began, done) = ended?;
            self.note(&from, began, &done);
            asked.retain(|(peer, _)| !Rc::ptr_eq(&peer.0, &from.0));
            match done {
                Ok(value) => {
                    // Those who were outrun are that slow at least.
                    let now = self.clock.now();
                    asked.iter().for_each(|(peer, began)| peer.health().outrun(now.saturating_sub(*began)));
                    return Some(Answer { from, value });
                }
                Err(failure) => attempts.push(from.attempt(failure)),
            }
            // Others are still under way, or can be asked: the loop goes on until there are none.
            if under_way.is_empty() && order.len() == 0 {
                return None;
            }
        }
    }

    /// Those that can be asked now: who works first, the quickest of them before the others.
    fn order(&self) -> Vec<Peer> {
        let now = self.clock.now();
        let giving = self.peers().into_iter().filter(|peer| peer.0.remote.kind() != ROUTING);
        sorted(giving.filter_map(|peer| peer.rank(now).map(|(rank, latency)| ((rank, false, latency), peer))).collect())
    }

    /// Gateways that the routers name and that were not known yet.
    async fn find(&self, cid: &Cid, attempts: &mut Vec<Attempt>) -> Vec<Peer> {
        let now = self.clock.now();
        let routers = self.configured.iter().filter(|peer| peer.0.remote.kind() == ROUTING && peer.rank(now).is_some());
        let answers = future::join_all(routers.map(|router| async move {
            let began = self.clock.now();
            let done = self.in_time(router.0.remote.providers(cid)).await;
            self.note(router, began, &done);
            (router, done)
        }));
        let mut new: Vec<Peer> = Vec::new();
        for (router, done) in answers.await {
            let addresses = match done {
                Ok(addresses) => addresses,
                Err(failure) => {
                    attempts.push(router.attempt(failure));
                    continue;
                }
            };
            if addresses.is_empty() {
                attempts.push(router.attempt(Failure::NotFound));
            }
            for address in addresses {
                let Ok(remote) = self.connector.connect(&address) else { continue };
                let named = |peer: &Peer| peer.name() == remote.name();
                let known = self.peers().iter().chain(&new).any(named)
                    || self.liars.borrow().iter().any(|liar| liar == remote.name());
                if !known && new.len() < MAX_NEW {
                    new.push(Peer::new(remote));
                }
            }
        }
        self.remember(&new);
        new
    }

    fn remember(&self, new: &[Peer]) {
        let now = self.clock.now();
        let mut found = self.found.borrow_mut();
        let use_of = |peer: Peer| {
            let (rank, latency) = peer.rank(now).unwrap_or((u8::MAX, 0));
            // One that always answered, and never had anything, is of little use.
            let useless = peer.health().bytes_in == 0;
            ((rank, useless, latency), peer)
        };
        *found = sorted(found.drain(..).map(use_of).collect());
        let kept = found.len().min(MAX_FOUND - new.len());
        let mut liars = self.liars.borrow_mut();
        liars.extend(found.drain(kept..).filter(|peer| peer.health().lie.is_some()).map(|peer| peer.name().to_owned()));
        while liars.len() > MAX_LIARS {
            liars.pop_front();
        }
        found.splice(..0, new.iter().cloned());
    }

    /// Asks one remote for something, and again while that may help.
    async fn tell<T>(&self, to: &Peer, ask: &impl Fn(Rc<dyn Remote>) -> Asked<T>) -> Result<T, Attempt> {
        let mut last = None;
        for round in 0..self.patience.rounds.max(1) {
            if round > 0 && !self.pause(round, std::slice::from_ref(to)).await {
                break;
            }
            let began = self.clock.now();
            let done = self.in_time_of(self.patience.silence * TELLING, ask(to.0.remote.clone())).await;
            self.note(to, began, &done);
            match done {
                Ok(value) => return Ok(value),
                Err(failure) => {
                    let passing = failure.is_passing();
                    last = Some(to.attempt(failure));
                    if !passing {
                        break;
                    }
                }
            }
        }
        Err(last.unwrap_or_else(|| to.attempt(Failure::Silent)))
    }

    /// Waits before a round, as long as all of these rest where they do; tells whether that could be borne.
    async fn pause(&self, round: u32, peers: &[Peer]) -> bool {
        let now = self.clock.now();
        let rests =
            |peer: &Peer| Some(peer.health()).filter(|health| health.lie.is_none()).map(|health| health.rests_until);
        let back = peers.iter().filter_map(rests).min().unwrap_or_default();
        let wait = self.wait(round).max(back.saturating_sub(now));
        if wait > self.patience.silence {
            return false;
        }
        self.network.sleep(wait).await;
        true
    }

    fn note<T>(&self, peer: &Peer, began: u64, done: &Result<T, Failure>) {
        let now = self.clock.now();
        match done {
            Ok(_) => peer.health().worked(now, now.saturating_sub(began)),
            Err(failure) => peer.health().failed(now, failure),
        }
    }

    /// The wait before a round: twice as long each time, and not the same for all who wait.
    fn wait(&self, round: u32) -> u64 {
        let wait = self.patience.backoff << (round - 1).min(16);
        let noise = self.clock.now().wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32;
        wait / 2 + noise % (wait + 1)
    }

    async fn in_time<T>(&self, done: impl Future<Output = Result<T, Failure>>) -> Result<T, Failure> {
        self.in_time_of(self.patience.silence, done).await
    }

    async fn in_time_of<T>(&self, time: u64, done: impl Future<Output = Result<T, Failure>>) -> Result<T, Failure> {
        let done = std::pin::pin!(done);
        match future::select(done, self.network.sleep(time)).await {
            Either::Left((done, _)) => done,
            Either::Right(_) => Err(Failure::Silent),
        }
    }
}

/// The least first, those alike in the order they had: a sort for a few dozen, as the standard library's weighs 8 KB.
fn sorted(peers: Vec<((u8, bool, u64), Peer)>) -> Vec<Peer> {
    let mut sorted: Vec<((u8, bool, u64), Peer)> = Vec::with_capacity(peers.len());
    for one in peers {
        sorted.insert(sorted.partition_point(|(rank, _)| *rank <= one.0), one);
    }
    sorted.into_iter().map(|(_, peer)| peer).collect()
}
