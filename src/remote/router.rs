//! Who is asked, in which order, for how long, and what is remembered of it.

use std::{cell::RefCell, rc::Rc};

use bytes::Bytes;
use futures_util::{
    StreamExt,
    future::{self, Either, LocalBoxFuture},
    stream::FuturesUnordered,
};

use super::{Failure, Health, Remote, State, Wanted};
use crate::{
    block::Cid,
    platform::{Clock, Network, http::Body},
};

/// How long is waited for what, in milliseconds.
#[derive(Debug, Clone, Copy)]
pub struct Patience {
    /// Without a byte for this long, a remote is given up.
    pub silence: u64,
    /// Without an answer for this long, the next remote is asked as well.
    pub hedge: u64,
    /// When all have failed and asking again may help: the first wait before that, which doubles.
    pub backoff: u64,
    /// How often all are asked.
    pub rounds: u32,
}

impl Default for Patience {
    fn default() -> Self {
        Patience { silence: 20_000, hedge: 1_500, backoff: 250, rounds: 3 }
    }
}

/// The remotes of a store.
pub struct Remotes {
    entries: Vec<Entry>,
    clock: Rc<dyn Clock>,
    network: Rc<dyn Network>,
    patience: Patience,
}

struct Entry {
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
    /// The remote's number.
    pub from: usize,
    /// What it gave.
    pub value: T,
}

/// A body with its first bytes.
pub struct Begun {
    first: Option<Bytes>,
    body: Box<dyn Body>,
}

impl std::fmt::Debug for Remotes {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list().entries(self.entries.iter().map(|entry| entry.remote.name())).finish()
    }
}

impl Entry {
    /// Why it is not asked now.
    fn out(&self) -> Option<Attempt> {
        let health = self.health.borrow();
        let lie = health.lie.clone().map(Failure::Lied);
        let failure = lie.or_else(|| health.last.as_ref().and_then(|(_, last)| last.clone().err()))?;
        Some(Attempt { remote: self.remote.name().to_owned(), failure })
    }
}

impl Remotes {
    /// These remotes, the preferred ones first as long as nothing is known of them.
    pub fn new(
        remotes: Vec<Rc<dyn Remote>>,
        clock: Rc<dyn Clock>,
        network: Rc<dyn Network>,
        patience: Patience,
    ) -> Self {
        let entries = remotes.into_iter().map(|remote| Entry { remote, health: RefCell::default() }).collect();
        Remotes { entries, clock, network, patience }
    }

    /// A remote's name.
    pub fn name(&self, from: usize) -> String {
        self.entries.get(from).map(|entry| entry.remote.name().to_owned()).unwrap_or_default()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Whether the host has a network at all.
    pub fn is_online(&self) -> bool {
        self.network.is_online()
    }

    /// A block, from the first who gives one.
    pub async fn block(&self, cid: Cid) -> Result<Answer<Bytes>, Vec<Attempt>> {
        self.ask(self.patience.rounds, move |remote| Box::pin(async move { remote.block(&cid).await })).await
    }

    /// A CAR, from the first who sends some of it. One along a path is asked for once: there are other ways to have it, and
    /// to gateways of some kinds a name that is missing is a failure of theirs.
    pub async fn car(&self, wanted: &Wanted) -> Result<Answer<Begun>, Vec<Attempt>> {
        let ask = |remote: Rc<dyn Remote>| -> LocalBoxFuture<'static, Result<Begun, Failure>> {
            let wanted = wanted.clone();
            Box::pin(async move {
                let mut body = remote.car(&wanted).await?;
                let first = body.next().await?;
                Ok(Begun { first, body })
            })
        };
        self.ask(if wanted.path.is_empty() { self.patience.rounds } else { 1 }, ask).await
    }

    /// The next bytes of a body, if they come in time.
    pub async fn next(&self, from: usize, begun: &mut Begun) -> Result<Option<Bytes>, Failure> {
        let next = match begun.first.take() {
            Some(first) => Some(first),
            None => self.in_time(begun.body.next()).await?,
        };
        if let (Some(entry), Some(bytes)) = (self.entries.get(from), &next) {
            entry.health.borrow_mut().bytes += bytes.len() as u64;
        }
        Ok(next)
    }

    /// A remote whose answer had begun well has failed.
    pub fn failed(&self, from: usize, failure: Failure) -> Attempt {
        let Some(entry) = self.entries.get(from) else { return Attempt { remote: String::new(), failure } };
        entry.health.borrow_mut().failed(self.clock.now(), &failure);
        Attempt { remote: entry.remote.name().to_owned(), failure }
    }

    /// Asks each for the least thing, all at once.
    pub async fn probe(&self) {
        let probes = self.entries.iter().map(|entry| async move {
            if entry.health.borrow().lie.is_some() {
                return;
            }
            let began = self.clock.now();
            let done = self.in_time(entry.remote.probe()).await;
            self.note(entry, began, &done);
        });
        future::join_all(probes).await;
    }

    /// Of each its name, its kind, and what is known of it.
    pub fn reports(&self) -> Vec<(String, &'static str, State, Health)> {
        let now = self.clock.now();
        let report = |entry: &Entry| {
            let health = entry.health.borrow();
            (entry.remote.name().to_owned(), entry.remote.kind(), health.state(now), health.clone())
        };
        self.entries.iter().map(report).collect()
    }

    /// Whether one can be used now, by what was seen of it last.
    pub fn is_available(&self) -> bool {
        let now = self.clock.now();
        self.is_online() && self.entries.iter().any(|entry| entry.health.borrow().state(now) == State::Works)
    }

    async fn ask<T>(
        &self,
        rounds: u32,
        ask: impl Fn(Rc<dyn Remote>) -> LocalBoxFuture<'static, Result<T, Failure>>,
    ) -> Result<Answer<T>, Vec<Attempt>> {
        let mut attempts = Vec::new();
        for round in 0..rounds.max(1) {
            if round > 0 {
                self.network.sleep(self.wait(round)).await;
            }
            let before = attempts.len();
            if let Some(answer) = self.round(&ask, &mut attempts).await {
                return Ok(answer);
            }
            let passing = attempts.iter().skip(before).any(|attempt: &Attempt| attempt.failure.is_passing());
            if !passing {
                break;
            }
        }
        if attempts.is_empty() {
            attempts.extend(self.entries.iter().filter_map(Entry::out));
        }
        Err(attempts)
    }

    /// Asks one after the other, the next when one has failed or keeps silent for a while.
    async fn round<T>(
        &self,
        ask: &impl Fn(Rc<dyn Remote>) -> LocalBoxFuture<'static, Result<T, Failure>>,
        attempts: &mut Vec<Attempt>,
    ) -> Option<Answer<T>> {
        let mut order = self.order().into_iter();
        let mut under_way = FuturesUnordered::new();
        loop {
            if let Some(entry) = order.next() {
                under_way.push(async move {
                    let began = self.clock.now();
                    let done = match self.entries.get(entry) {
                        Some(asked) => self.in_time(ask(asked.remote.clone())).await,
                        None => Err(Failure::NotFound),
                    };
                    (entry, began, done)
                });
            }
            let hedge = match order.len() {
                0 => Either::Left(future::pending()),
                _ => Either::Right(self.network.sleep(self.patience.hedge)),
            };
            let Either::Left((ended, _)) = future::select(under_way.next(), hedge).await else { continue };
            let (from, began, done) = ended?;
            if let Some(entry) = self.entries.get(from) {
                self.note(entry, began, &done);
                match done {
                    Ok(value) => return Some(Answer { from, value }),
                    Err(failure) => attempts.push(Attempt { remote: entry.remote.name().to_owned(), failure }),
                }
            }
            // Others are still under way, or can be asked: the loop goes on until there are none.
            if under_way.is_empty() && order.len() == 0 {
                return None;
            }
        }
    }

    /// Those that can be asked now: who works first, the quickest of them before the others.
    fn order(&self) -> Vec<usize> {
        let now = self.clock.now();
        let mut usable: Vec<(u8, u64, usize)> = self
            .entries
            .iter()
            .enumerate()
            .filter_map(|(number, entry)| {
                let health = entry.health.borrow();
                let rank = match health.state(now) {
                    State::Works => 0,
                    State::Unknown => 1,
                    State::Failing => 2,
                    State::Rests | State::Struck => return None,
                };
                Some((rank, health.latency.unwrap_or(0), number))
            })
            .collect();
        usable.sort_unstable();
        usable.into_iter().map(|(_, _, number)| number).collect()
    }

    fn note<T>(&self, entry: &Entry, began: u64, done: &Result<T, Failure>) {
        let now = self.clock.now();
        let mut health = entry.health.borrow_mut();
        match done {
            Ok(_) => health.worked(now, now.saturating_sub(began)),
            Err(failure) => health.failed(now, failure),
        }
    }

    /// The wait before a round: twice as long each time, and not the same for all who wait.
    fn wait(&self, round: u32) -> u64 {
        let wait = self.patience.backoff << (round - 1).min(16);
        let noise = self.clock.now().wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32;
        wait / 2 + noise % (wait + 1)
    }

    async fn in_time<T>(&self, done: impl Future<Output = Result<T, Failure>>) -> Result<T, Failure> {
        let done = std::pin::pin!(done);
        match future::select(done, self.network.sleep(self.patience.silence)).await {
            Either::Left((done, _)) => done,
            Either::Right(_) => Err(Failure::Silent),
        }
    }
}
