//! Working for one root and one backend: one step after another, each noted before the next.

use std::rc::Rc;

use bytes::Bytes;

use super::{
    Busy, OnDelivery, Shared,
    proof::{Evidence, Proof},
    record::{self, Copy, NEVER, Pair, Promise, Stage, Work},
    rule::ReadBack,
    source::Anywhere,
};
use crate::{
    backend::{Backends, Feed, Member, Next, Trouble},
    error::{Error, Result},
    remote::Failure,
    storage::room::Hold,
    tier::{Commit, Durability},
};

/// The longest wait that a backend can ask for.
const LONGEST_STATED: u64 = 3_600_000;

/// What came of the work for a pair.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Tally {
    pub sent: u64,
    pub verified: u64,
    pub lost: u64,
    pub removed: u64,
    pub failed: u64,
}

pub struct Job {
    shared: Rc<Shared>,
    backends: Rc<Backends>,
    member: Rc<Member>,
    pair: Pair,
    feed: Option<Feed>,
    proof: Option<Proof>,
    tally: Tally,
    on_delivery: Option<OnDelivery>,
    /// What is being sent is not evicted meanwhile.
    _hold: Hold,
    _busy: Busy,
}

impl Job {
    pub fn new(
        shared: &Rc<Shared>,
        backends: &Rc<Backends>,
        member: &Rc<Member>,
        busy: Busy,
        on_delivery: Option<OnDelivery>,
    ) -> Self {
        let pair = busy.pair.clone();
        Job {
            _hold: Hold::new(shared, pair.cid.clone()),
            shared: shared.clone(),
            backends: backends.clone(),
            member: member.clone(),
            pair,
            feed: None,
            proof: None,
            tally: Tally::default(),
            on_delivery,
            _busy: busy,
        }
    }

    /// Goes on until there is nothing more to do now.
    pub async fn run(mut self) -> Result<Tally> {
        loop {
            let now = self.shared.clock.now();
            let Some(note) = self.shared.tier.note(&self.pair.work()).await? else { break };
            let work = Work::decode(&self.pair.work(), &note)?;
            if work.due > now || self.member.ready_at() > now {
                break;
            }
            match self.step(work, note).await {
                // It was changed meanwhile: it may be to be done otherwise, or not at all.
                Err(Error::Conflict { .. }) => (self.feed, self.proof) = (None, None),
                done => done?,
            }
        }
        Ok(self.tally)
    }

    async fn step(&mut self, work: Work, note: Bytes) -> Result<()> {
        let done = match work.stage {
            Stage::Send => self.send(&work).await,
            Stage::Prove => self.prove(&work).await,
            Stage::Remove => self.remove(&work).await,
        };
        match done {
            Ok(Done::Goes(next)) => self.note(note, Some(&next), None).await,
            Ok(Done::Proven(copy)) => {
                self.note(note, None, Some(&copy)).await?;
                self.tally.verified += 1;
                Ok(())
            }
            Ok(Done::Removed) => {
                self.note(note, None, None).await?;
                self.tally.removed += 1;
                Ok(())
            }
            Err(trouble) => self.fail(work, note, &trouble).await,
        }
    }

    async fn send(&mut self, work: &Work) -> Result<Done, Trouble> {
        let source = Anywhere { shared: self.shared.clone(), root: self.pair.cid.clone(), member: self.member.clone() };
        // After a failure what it has given is not what has arrived.
        let mut feed = self.feed.take().unwrap_or_else(|| Feed::new(Rc::new(source), self.pair.cid.clone()));
        let state = work.state();
        let put = self.member.backend().put(&mut feed, state.as_ref());
        let step = self.backends.call(&self.member, put, |step| step.sent).await?;
        self.tally.sent += step.sent;
        let now = self.shared.clock.now();
        let mut next = work.gone_well(now);
        next.bytes += step.sent;
        next.blocks = feed.place();
        next.set_state(Some(step.state));
        match step.next {
            Next::More => self.feed = Some(feed),
            Next::Wait(wait) => next.due = now.saturating_add(wait.min(LONGEST_STATED)),
            Next::Stored => {
                next.stage = Stage::Prove;
                (next.whole, next.stored) = ((next.blocks, next.bytes), now);
                (next.blocks, next.bytes) = (0, 0);
            }
        }
        Ok(Done::Goes(next))
    }

    async fn prove(&mut self, work: &Work) -> Result<Done, Trouble> {
        let mut next = work.gone_well(self.shared.clock.now());
        let proof = match self.proof.take() {
            Some(proof) => Some(proof),
            None => {
                let promise = self.shared.promise(&self.pair.cid).await?;
                let read_back = promise.map_or(ReadBack::All, |(promise, _)| promise.rule.read_back);
                Proof::new(&self.shared, &self.member, &self.pair.cid, work, read_back)
            }
        };
        let mut proof = proof.ok_or(Error::Cancelled)?;
        let Some(Evidence { read, all }) = proof.step(&mut next, self.shared.clock.nanoseconds()).await? else {
            self.proof = Some(proof);
            return Ok(Done::Goes(next));
        };
        let state = work.state().unwrap_or_default();
        Ok(Done::Proven(Copy::new(&state, work.stored, work.whole, self.shared.clock.now(), read, all)))
    }

    async fn remove(&self, work: &Work) -> Result<Done, Trouble> {
        let state = work.state().unwrap_or_default();
        let remove = async { Ok(self.member.backend().remove(&self.pair.cid, &state).await?) };
        match self.backends.call(&self.member, remove, |()| 0).await {
            Ok(()) | Err(Trouble::There(Failure::NotFound)) => Ok(Done::Removed),
            Err(trouble) => Err(trouble),
        }
    }

    /// Notes a failure, and when it is tried again; or that it was given up.
    async fn fail(&mut self, work: Work, note: Bytes, trouble: &Trouble) -> Result<()> {
        let (now, retries) = (self.shared.clock.now(), self.backends.retries());
        let mut next = Work { failures: work.failures.saturating_add(1), ..work.clone() };
        next.set_trouble(trouble);
        let gone =
            matches!(trouble, Trouble::There(Failure::NotFound | Failure::Lied(_))) && work.stage != Stage::Remove;
        if gone {
            // What it was given is not there: it is given all of it anew.
            next.stage = Stage::Send;
            next.losses = next.losses.saturating_add(1);
            (next.blocks, next.bytes, next.whole) = (0, 0, (0, 0));
            next.set_state(None);
        }
        let mut wait = retries.wait(next.tries(), self.shared.clock.nanoseconds());
        let mut hopeless = next.tries() >= retries.most;
        match trouble {
            Trouble::There(Failure::Busy(Some(stated))) => wait = wait.max((*stated).min(LONGEST_STATED)),
            Trouble::There(Failure::Refused(_) | Failure::Unsupported(_)) => hopeless = true,
            // It is our host that lets nothing out; a store that is opened elsewhere goes on.
            Trouble::There(Failure::Denied(_)) => hopeless = false,
            _ => {}
        }
        next.due = if hopeless { NEVER } else { now.saturating_add(wait) };
        self.tally.failed += u64::from(hopeless);
        if gone && work.stage == Stage::Prove {
            self.tally.lost += 1;
        }
        self.note(note, Some(&next), None).await
    }

    /// Has the tier say how far it has come: what is still to be done, or the copy that was proven. One that is not there any
    /// more counts no more from then on.
    async fn note(&self, before: Bytes, work: Option<&Work>, copy: Option<&Copy>) -> Result<()> {
        let (shared, pair) = (&self.shared, &self.pair);
        loop {
            let mut commit = Commit {
                notes: vec![(pair.work(), work.map(Work::encode))],
                expect: vec![(pair.work(), Some(before.clone()))],
                durability: shared.options.durability,
                ..Commit::default()
            };
            if work.is_none_or(|work| work.stage != Stage::Prove) {
                commit.notes.push((pair.copy(), copy.map(Copy::encode)));
            } else {
                // Of progress nothing is lost that could not be made again.
                commit.durability = Durability::Relaxed;
            }
            if let (Some(copy), Some((promise, note))) = (copy, shared.promise(&pair.cid).await?) {
                let mut next = promise.next.min(promise.rule.audit_at(copy.proven));
                if promise.rule.moves_to.as_ref() == Some(&pair.backend) {
                    next = copy.proven;
                }
                if next != promise.next {
                    let policy = record::policy(&pair.cid);
                    commit.expect.push((policy.clone(), Some(note)));
                    commit.notes.push((policy, Some(Promise { next, ..promise }.encode())));
                }
            }
            match shared.blocks.commit(commit).await {
                // The promise may have been what was changed.
                Err(Error::Conflict { name }) if name != pair.work() => {}
                done => {
                    done?;
                    break;
                }
            }
        }
        if let Some(tell) = &self.on_delivery {
            let delivery = work.map(|work| shared.delivery(pair.clone(), work));
            tell(&pair.cid, &pair.backend, delivery.as_ref());
        }
        Ok(())
    }
}

enum Done {
    Goes(Work),
    Proven(Copy),
    Removed,
}
