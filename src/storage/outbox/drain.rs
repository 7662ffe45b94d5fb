//! Draining the queue: what is due is done, some roots of each backend at once.

use std::{
    collections::{HashMap, VecDeque},
    pin::pin,
    rc::Rc,
};

use futures_util::{
    StreamExt,
    future::{self, Either, LocalBoxFuture},
    stream::FuturesUnordered,
};

use super::{
    Busy, Delivery, Shared, Storage,
    job::{Job, Tally},
    record::{self, NEVER, OUTBOX, Pair, Promise, Work},
};
use crate::{
    backend::Backends,
    block::{self, Cid},
    error::{OfflineReason, Result},
};

/// Who cannot begin, because somebody else here is at it, looks again after so many milliseconds.
const ELSEWHERE: u64 = 1_000;

/// Told of each step: the root, the backend's name, and what is still to be done; none when it is at its end.
pub type OnDelivery = Rc<dyn Fn(&Cid, &str, Option<&Delivery>)>;

/// How to drain the queue.
#[derive(Clone, Default)]
pub struct SyncOptions {
    /// Milliseconds in which what is due later is waited for; what has begun by then is brought to its next rest.
    pub wait: u64,
    /// Told of each step.
    pub on_delivery: Option<OnDelivery>,
}

/// What draining the queue did.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SyncReport {
    /// Bytes sent.
    pub sent: u64,
    /// Copies that were read back, and are whole.
    pub verified: u64,
    /// Copies that were not there, or not whole, when they were read back; they are made anew.
    pub lost: u64,
    /// Copies that were removed.
    pub removed: u64,
    /// Deliveries that were given up, now or earlier.
    pub failed: u64,
    /// Deliveries that wait.
    pub waiting: u64,
    /// When the first of them, or an audit, is due, in milliseconds since the Unix epoch.
    pub next: Option<u64>,
    /// Why nothing was asked of anybody, if so.
    pub offline: Option<OfflineReason>,
}

/// What can be begun, for each backend.
#[derive(Default)]
struct Agenda {
    ready: HashMap<String, VecDeque<Pair>>,
    next: u64,
    failed: u64,
    waiting: u64,
}

type Jobs = FuturesUnordered<LocalBoxFuture<'static, (Cid, Result<Tally>)>>;

impl Storage {
    /// Does what is due for the backends: sends, reads back, removes. It may be called at any time, be dropped at any point,
    /// and be under way more than once.
    pub async fn sync(&self, options: SyncOptions) -> Result<SyncReport> {
        let shared = &self.shared;
        let mut report = SyncReport::default();
        let Some(backends) = shared.backends() else {
            report.offline = shared.options.offline;
            return Ok(report);
        };
        shared.look_after_all().await?;
        let until = shared.clock.now().saturating_add(options.wait);
        let mut jobs = Jobs::new();
        let mut agenda = shared.agenda(backends).await?;
        report.offline = shared.backends_offline(backends);
        while report.offline.is_none() {
            begin(shared, backends, &mut agenda, &jobs, &options);
            let sooner = agenda.next <= until;
            if jobs.is_empty() && !sooner {
                break;
            }
            let tick = async {
                match sooner {
                    true => backends.sleep(agenda.next.saturating_sub(shared.clock.now())).await,
                    false => future::pending().await,
                }
            };
            let woken = match future::select(pin!(next_of(&mut jobs)), pin!(tick)).await {
                Either::Left(((cid, tally), _)) => {
                    report.add(tally?);
                    // What was proven may let it go from here, or from other backends.
                    shared.tend(&cid).await?;
                    false
                }
                Either::Right(_) => true,
            };
            if woken || agenda.ready.values().all(VecDeque::is_empty) {
                agenda = shared.agenda(backends).await?;
            }
        }
        (report.failed, report.waiting) = (agenda.failed, agenda.waiting);
        report.next = Some(agenda.next.min(shared.next_promise().await?)).filter(|next| *next != NEVER);
        Ok(report)
    }
}

impl SyncReport {
    fn add(&mut self, tally: Tally) {
        self.sent += tally.sent;
        self.verified += tally.verified;
        self.lost += tally.lost;
        self.removed += tally.removed;
    }
}

/// Begins what can be begun.
fn begin(shared: &Rc<Shared>, backends: &Rc<Backends>, agenda: &mut Agenda, jobs: &Jobs, options: &SyncOptions) {
    for member in backends.members() {
        let Some(ready) = agenda.ready.get_mut(member.name()) else { continue };
        while !ready.is_empty()
            && let Some(slot) = member.slot()
        {
            let Some(busy) = ready.pop_front().and_then(|pair| Busy::new(shared, &pair)) else { continue };
            let cid = busy.pair.cid.clone();
            let job = Job::new(shared, backends, member, busy, options.on_delivery.clone());
            jobs.push(Box::pin(async move {
                let _slot = slot;
                (cid, job.run().await)
            }));
        }
        if !ready.is_empty() && jobs.is_empty() {
            // Another drain of this store has all its slots.
            agenda.next = agenda.next.min(shared.clock.now() + ELSEWHERE);
        }
    }
}

async fn next_of(jobs: &mut Jobs) -> (Cid, Result<Tally>) {
    match jobs.next().await {
        Some(ended) => ended,
        None => future::pending().await,
    }
}

impl Shared {
    /// All that is to be done, by when.
    async fn agenda(&self, backends: &Backends) -> Result<Agenda> {
        let now = self.clock.now();
        let mut agenda = Agenda { next: NEVER, ..Agenda::default() };
        for (name, note) in self.notes(OUTBOX).await? {
            let (pair, work) = (Pair::of(&name, OUTBOX)?, Work::decode(&name, &note)?);
            if work.has_failed() {
                agenda.failed += 1;
                continue;
            }
            agenda.waiting += 1;
            // One that is not configured now is waited for, whoever configures it again.
            let Some(member) = backends.named(&pair.backend) else { continue };
            let due = work.due.max(member.ready_at());
            if self.outbox.under_way.borrow().contains(&pair) {
                continue;
            } else if due <= now {
                agenda.ready.entry(pair.backend.clone()).or_default().push_back(pair);
            } else {
                agenda.next = agenda.next.min(due);
            }
        }
        Ok(agenda)
    }

    /// Does what is due of a promise: copies move on, the local one leaves, and what is to be sent or read back is queued.
    async fn tend(self: &Rc<Self>, cid: &Cid) -> Result<()> {
        self.change(async || self.move_on(cid).await).await?;
        self.demote(cid).await?;
        self.change(async || self.look_after(cid).await).await
    }

    /// Does what is due of all.
    async fn look_after_all(self: &Rc<Self>) -> Result<()> {
        let now = self.clock.now();
        for (name, note) in self.notes(record::policies()).await? {
            if Promise::decode(&name, &note)?.next <= now
                && let Some(cid) = name.strip_prefix(record::policies())
            {
                self.tend(&block::parse(cid)?).await?;
            }
        }
        Ok(())
    }

    /// When the next of them is due.
    async fn next_promise(&self) -> Result<u64> {
        let mut next = NEVER;
        for (name, note) in self.notes(record::policies()).await? {
            next = next.min(Promise::decode(&name, &note)?.next);
        }
        Ok(next)
    }
}
