//! Who is asked, in which order, for how long, and what is remembered of it.

use std::{
    collections::{HashSet, VecDeque},
    fmt,
    rc::Rc,
};

use bytes::Bytes;
use futures_util::{
    StreamExt,
    future::{self, Either, LocalBoxFuture},
    stream::FuturesUnordered,
};

use super::{
    Attempt, Connector, Failure, Health, Peer, ROUTING, Remote, State, Wanted, body,
    found::{Found, MAX_NEW},
    peer::bare,
};
use crate::{
    block::{Block, Cid, MAX_BLOCK_BYTES},
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

/// So many times the patience has who is given something: it says nothing before it has all of it.
const TELLING: u64 = 10;

/// Who sends fewer bytes than this while patience lasts counts as silent: one byte now and then would hold a call up for ever.
const LEAST_BYTES: usize = 16 * 1024;

/// The remotes of a store.
pub struct Remotes {
    configured: Vec<Peer>,
    found: Found,
    connector: Rc<dyn Connector>,
    clock: Rc<dyn Clock>,
    network: Rc<dyn Network>,
    patience: Patience,
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
    /// Until they are given; none if it has no bytes.
    first: Option<Option<Bytes>>,
    body: Box<dyn Body>,
    /// Bytes that are being counted, and how long they were waited for.
    pace: (usize, u64),
}

impl fmt::Debug for Remotes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.configured.iter().map(Peer::name)).finish()
    }
}

type Asked<T> = LocalBoxFuture<'static, Result<T, Failure>>;

impl Remotes {
    /// These remotes, the preferred ones first as long as nothing is known of them; each has a name of its own. The connector
    /// makes those that routers among them name.
    pub fn new(
        remotes: Vec<Rc<dyn Remote>>,
        connector: Rc<dyn Connector>,
        clock: Rc<dyn Clock>,
        network: Rc<dyn Network>,
        patience: Patience,
    ) -> Outcome<Self> {
        let configured: Vec<Peer> = remotes.into_iter().map(Peer::new).collect();
        let mut names = HashSet::new();
        if let Some(twice) = configured.iter().find(|peer| !names.insert(bare(peer.name()))) {
            return Err(Error::InvalidArgument(format!("two remotes are named {:?}", bare(twice.name()))));
        }
        Ok(Remotes { configured, found: Found::default(), connector, clock, network, patience })
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.configured.is_empty()
    }

    /// Whether the host has a network at all.
    pub fn is_online(&self) -> bool {
        self.network.is_online()
    }

    /// Waits, by the timers that remotes are waited for with.
    pub async fn sleep(&self, milliseconds: u64) {
        self.network.sleep(milliseconds).await;
    }

    /// A block, from the first who begins to send it and comes to its end.
    pub async fn block(&self, cid: Cid) -> Result<Answer<Bytes>, Vec<Attempt>> {
        let ask = |remote: Rc<dyn Remote>| -> Asked<Box<dyn Body>> {
            let cid = cid.clone();
            Box::pin(async move { remote.block(&cid).await })
        };
        let collect = async |from: &Peer, mut begun: Begun| {
            body::collect(async || self.next(from, &mut begun).await, MAX_BLOCK_BYTES).await
        };
        self.ask(&cid, self.patience.rounds, ask, collect).await
    }

    /// A CAR, from the first who sends some of it. One along a path is asked for once: there are other ways to have it, and
    /// to gateways of some kinds a name that is missing is a failure of theirs.
    pub async fn car(&self, wanted: &Wanted) -> Result<Answer<Begun>, Vec<Attempt>> {
        let ask = |remote: Rc<dyn Remote>| -> Asked<Box<dyn Body>> {
            let wanted = wanted.clone();
            Box::pin(async move { remote.car(&wanted).await })
        };
        let rounds = if wanted.path.is_empty() { self.patience.rounds } else { 1 };
        self.ask(&wanted.cid, rounds, ask, async |_, begun| Ok(begun)).await
    }

    /// The next bytes of a body, if they come in time.
    pub async fn next(&self, from: &Peer, begun: &mut Begun) -> Result<Option<Bytes>, Failure> {
        let asked = self.clock.now();
        let next = match begun.first.take() {
            Some(first) => first,
            None => self.in_time(begun.body.next()).await?,
        };
        let Some(bytes) = next else { return Ok(None) };
        from.health().bytes_in += bytes.len() as u64;
        // Only what the remote lets us wait, not the time that the caller takes: had he been here, silence would have ended it.
        let waited = Some(self.since(asked)).filter(|waited| *waited <= self.patience.silence).unwrap_or_default();
        let (count, waited) = (begun.pace.0 + bytes.len(), begun.pace.1 + waited);
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
        self.configured.iter().find(|peer| bare(peer.name()) == bare(name)).cloned()
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
            let cid = cid.clone();
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
            let done = self.in_time(peer.remote().probe()).await;
            self.note(peer, self.since(began), &done);
        });
        future::join_all(probes).await;
    }

    /// Of each its name, its kind, and what is known of it.
    pub fn reports(&self) -> Vec<(String, String, State, Health)> {
        let now = self.clock.now();
        let report = |peer: &Peer| {
            let health = peer.health().clone();
            (peer.name().to_owned(), peer.remote().kind().to_owned(), health.state(now), health)
        };
        self.peers().iter().map(report).collect()
    }

    /// Whether one can be used now, by what was seen of it last.
    pub fn is_available(&self) -> bool {
        let now = self.clock.now();
        self.is_online() && self.peers().iter().any(|peer| peer.health().state(now) == State::Works)
    }

    fn peers(&self) -> Vec<Peer> {
        self.configured.iter().cloned().chain(self.found.peers()).collect()
    }

    /// What `finish` makes of the first body that begins, or of another if that fails.
    async fn ask<T>(
        &self,
        cid: &Cid,
        rounds: u32,
        ask: impl Fn(Rc<dyn Remote>) -> Asked<Box<dyn Body>>,
        finish: impl AsyncFn(&Peer, Begun) -> Result<T, Failure>,
    ) -> Result<Answer<T>, Vec<Attempt>> {
        let mut attempts = Vec::new();
        for round in 0..rounds.max(1) {
            if round > 0 && !self.pause(round, &self.peers()).await {
                break;
            }
            let before = attempts.len();
            if let Some(answer) = self.round(self.order(), &ask, &finish, &mut attempts).await {
                return Ok(answer);
            }
            if round == 0 {
                let others = self.find(cid, &mut attempts).await;
                if let Some(answer) = self.round(others, &ask, &finish, &mut attempts).await {
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
        ask: &impl Fn(Rc<dyn Remote>) -> Asked<Box<dyn Body>>,
        finish: &impl AsyncFn(&Peer, Begun) -> Result<T, Failure>,
        attempts: &mut Vec<Attempt>,
    ) -> Option<Answer<T>> {
        let mut order = VecDeque::from(order);
        let mut under_way = FuturesUnordered::new();
        let mut asked: Vec<(Peer, u64)> = Vec::new();
        loop {
            if let Some(peer) = order.pop_front() {
                asked.push((peer.clone(), self.clock.now()));
                under_way.push(async move {
                    let began = self.clock.now();
                    let begun = self.in_time(begin(ask(peer.remote().clone()))).await;
                    (peer, self.since(began), begun)
                });
            }
            let hedge = match order.len() {
                0 => Either::Left(future::pending()),
                _ => Either::Right(self.network.sleep(self.patience.hedge)),
            };
            let Either::Left((ended, _)) = future::select(under_way.next(), hedge).await else { continue };
            let (from, latency, begun) = ended?;
            asked.retain(|(peer, _)| !Rc::ptr_eq(peer.remote(), from.remote()));
            let done = match begun {
                Ok(begun) => {
                    // Those who were outrun are that slow at least. They are next, should this one break off.
                    under_way.clear();
                    for (peer, began) in asked.drain(..).rev() {
                        peer.health().outrun(self.since(began));
                        order.push_front(peer);
                    }
                    finish(&from, begun).await
                }
                Err(failure) => Err(failure),
            };
            self.note(&from, latency, &done);
            match done {
                Ok(value) => return Some(Answer { from, value }),
                Err(failure) => attempts.push(from.attempt(failure)),
            }
            // Others are still under way, or can be asked: the loop goes on until there are none.
            if under_way.is_empty() && order.is_empty() {
                return None;
            }
        }
    }

    /// Those that can be asked now: who works first, the quickest of them before the others.
    fn order(&self) -> Vec<Peer> {
        let now = self.clock.now();
        let giving = self.peers().into_iter().filter(|peer| peer.remote().kind() != ROUTING);
        let mut usable: Vec<_> = giving.filter_map(|peer| Some((peer.rank(now)?, peer))).collect();
        usable.sort_by_key(|(rank, _)| *rank);
        usable.into_iter().map(|(_, peer)| peer).collect()
    }

    /// Gateways that the routers name and that were not known yet.
    async fn find(&self, cid: &Cid, attempts: &mut Vec<Attempt>) -> Vec<Peer> {
        let now = self.clock.now();
        let routers = self.configured.iter().filter(|peer| peer.remote().kind() == ROUTING && peer.rank(now).is_some());
        let answers = future::join_all(routers.map(|router| async move {
            let began = self.clock.now();
            let done = self.in_time(router.remote().providers(cid)).await;
            self.note(router, self.since(began), &done);
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
                let named = |peer: &Peer| bare(peer.name()) == bare(remote.name());
                let known = self.peers().iter().chain(&new).any(named) || self.found.has_struck_out(remote.name());
                if !known && new.len() < MAX_NEW {
                    new.push(Peer::new(remote));
                }
            }
        }
        self.found.remember(&new, self.clock.now());
        new
    }

    /// Asks one remote for something, and again while that may help.
    async fn tell<T>(&self, to: &Peer, ask: &impl Fn(Rc<dyn Remote>) -> Asked<T>) -> Result<T, Attempt> {
        let mut last = None;
        for round in 0..self.patience.rounds.max(1) {
            if round > 0 && !self.pause(round, std::slice::from_ref(to)).await {
                break;
            }
            let began = self.clock.now();
            let done = self.in_time_of(self.patience.silence * TELLING, ask(to.remote().clone())).await;
            self.note(to, self.since(began), &done);
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

    fn since(&self, then: u64) -> u64 {
        self.clock.now().saturating_sub(then)
    }

    fn note<T>(&self, peer: &Peer, latency: u64, done: &Result<T, Failure>) {
        let now = self.clock.now();
        match done {
            Ok(_) => peer.health().worked(now, latency),
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

/// Waits for the first bytes.
async fn begin(body: Asked<Box<dyn Body>>) -> Result<Begun, Failure> {
    let mut body = body.await?;
    let first = Some(body.next().await?);
    Ok(Begun { first, body, pace: (0, 0) })
}
