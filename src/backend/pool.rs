//! The backends of a store: what is known of each, and how much it may do at once.

use std::{
    cell::{Cell, RefCell, RefMut},
    collections::HashSet,
    fmt,
    rc::Rc,
};

use futures_util::future::{self, Either};

use super::{Backend, Trouble};
use crate::{
    error::{Error, Result as Outcome},
    platform::{Clock, Network},
    remote::{Failure, Health, State},
};

/// Roots of a backend that are under way at once, unless limited otherwise.
const AT_ONCE: usize = 4;

/// Milliseconds after which a probe that says nothing is given up: somebody looks at what comes of it.
const PROBE_SILENCE: u64 = 20_000;

/// Likewise for a read: somebody may wait for the bytes.
const READ_SILENCE: u64 = 60_000;

/// What a backend may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Roots under way at once; at least one.
    pub at_once: usize,
    /// Bytes sent a second, over some time; none: as many as go.
    pub bytes_per_second: Option<u64>,
}

impl Default for Limits {
    fn default() -> Self {
        Limits { at_once: AT_ONCE, bytes_per_second: None }
    }
}

/// How often something is tried, and when.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Retries {
    /// Milliseconds before the second try; before each later one twice as many,
    pub first: u64,
    /// but no more than this.
    pub longest: u64,
    /// After so many tries in a row that failed it is given up.
    pub most: u32,
    /// Milliseconds after which a call that says nothing is given up.
    pub silence: u64,
}

impl Default for Retries {
    fn default() -> Self {
        Retries { first: 1_000, longest: 3_600_000, most: 30, silence: 200_000 }
    }
}

impl Retries {
    /// How long to wait after so many failures in a row. Not the same for all who wait: `noise` is anything.
    pub fn wait(&self, failures: u32, noise: u64) -> u64 {
        let doubled = 1u64.checked_shl(failures.saturating_sub(1)).unwrap_or(u64::MAX);
        let wait = self.first.saturating_mul(doubled).min(self.longest);
        wait / 2 + (noise.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32) % (wait / 2 + 1)
    }
}

/// A backend, and what is known of it.
pub struct Member {
    backend: Rc<dyn Backend>,
    limits: Limits,
    health: RefCell<Health>,
    under_way: Cell<usize>,
    /// When the next bytes may be sent.
    free: Cell<u64>,
}

/// The backends of a store.
pub struct Backends {
    members: Vec<Rc<Member>>,
    retries: Retries,
    clock: Rc<dyn Clock>,
    network: Rc<dyn Network>,
}

impl fmt::Debug for Backends {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.members.iter().map(|member| member.name())).finish()
    }
}

/// As long as it lives, one root more is under way.
pub struct Slot(Rc<Member>);

impl Drop for Slot {
    fn drop(&mut self) {
        self.0.under_way.set(self.0.under_way.get().saturating_sub(1));
    }
}

impl Member {
    /// Its name.
    pub fn name(&self) -> &str {
        self.backend.name()
    }

    /// The backend itself.
    pub fn backend(&self) -> &Rc<dyn Backend> {
        &self.backend
    }

    /// Room for one root more, if it has some.
    pub fn slot(self: &Rc<Self>) -> Option<Slot> {
        (self.under_way.get() < self.limits.at_once.max(1)).then(|| {
            self.under_way.set(self.under_way.get() + 1);
            Slot(self.clone())
        })
    }

    /// From when on it can be asked for something that sends: it may be resting, or have been sent enough for now.
    pub fn ready_at(&self) -> u64 {
        self.health.borrow().rests_until.max(self.free.get())
    }

    /// Whether it is not to be asked for anything now, for it has failed.
    pub fn rests(&self, now: u64) -> bool {
        self.health.borrow().rests_until > now
    }

    /// It sent so many bytes.
    pub fn gave(&self, bytes: u64) {
        self.health().bytes_in += bytes;
    }

    /// So many bytes were sent.
    fn sent(&self, now: u64, bytes: u64) {
        self.health.borrow_mut().bytes_out += bytes;
        if let Some(limit) = self.limits.bytes_per_second {
            let takes = bytes.saturating_mul(1000) / limit.max(1);
            self.free.set(self.free.get().max(now).saturating_add(takes));
        }
    }

    fn health(&self) -> RefMut<'_, Health> {
        self.health.borrow_mut()
    }
}

impl Backends {
    /// These, each with a name of its own, which records are kept under: no blanks, at most 256 bytes.
    pub fn new(
        backends: Vec<(Rc<dyn Backend>, Limits)>,
        retries: Retries,
        clock: Rc<dyn Clock>,
        network: Rc<dyn Network>,
    ) -> Outcome<Self> {
        let mut names = HashSet::new();
        for (backend, _) in &backends {
            let name = backend.name();
            let fit = (1..=256).contains(&name.len()) && !name.contains(|c: char| c.is_whitespace() || c.is_control());
            if !fit || !names.insert(name) {
                let problem =
                    format!("{name:?} is no name for a backend: 1 to 256 bytes, no blanks, and none has it yet");
                return Err(Error::InvalidArgument(problem));
            }
        }
        let member = |(backend, limits)| {
            let (health, under_way, free) = (RefCell::default(), Cell::new(0), Cell::new(0));
            Rc::new(Member { backend, limits, health, under_way, free })
        };
        Ok(Backends { members: backends.into_iter().map(member).collect(), retries, clock, network })
    }

    /// All of them, in the order in which they were given.
    pub fn members(&self) -> &[Rc<Member>] {
        &self.members
    }

    /// The one of this name.
    pub fn named(&self, name: &str) -> Option<&Rc<Member>> {
        self.members.iter().find(|member| member.name() == name)
    }

    /// How often something is tried.
    pub fn retries(&self) -> Retries {
        self.retries
    }

    /// Whether the host has a network at all.
    pub fn is_online(&self) -> bool {
        self.network.is_online()
    }

    /// Waits.
    pub async fn sleep(&self, milliseconds: u64) {
        self.network.sleep(milliseconds).await;
    }

    /// Calls a backend, as long as its patience lasts, and notes how that went. `sent` says how many bytes went out.
    pub async fn call<T>(
        &self,
        member: &Member,
        call: impl Future<Output = Result<T, Trouble>>,
        sent: impl FnOnce(&T) -> u64,
    ) -> Result<T, Trouble> {
        self.call_within(self.retries.silence, member, call, sent).await
    }

    /// Calls a backend for blocks of a copy.
    pub async fn read<T>(&self, member: &Member, call: impl Future<Output = Result<T, Trouble>>) -> Result<T, Trouble> {
        self.call_within(self.retries.silence.min(READ_SILENCE), member, call, |_| 0).await
    }

    /// Asks each for the least thing, all at once.
    pub async fn probe(&self) {
        let patience = self.retries.silence.min(PROBE_SILENCE);
        let probes = self.members.iter().map(|member| async move {
            let rests_until = member.health().rests_until;
            let probe = async { member.backend.probe().await.map_err(Trouble::There) };
            // Whoever looks, however often, puts off nothing that is due, but where it is asked for.
            match self.call_within(patience, member, probe, |()| 0).await {
                Ok(()) | Err(Trouble::There(Failure::Busy(_))) => {}
                Err(_) => member.health().rests_until = rests_until,
            }
        });
        future::join_all(probes).await;
    }

    async fn call_within<T>(
        &self,
        patience: u64,
        member: &Member,
        call: impl Future<Output = Result<T, Trouble>>,
        sent: impl FnOnce(&T) -> u64,
    ) -> Result<T, Trouble> {
        let began = self.clock.now();
        let call = std::pin::pin!(call);
        let done = match future::select(call, self.network.sleep(patience)).await {
            Either::Left((done, _)) => done,
            Either::Right(_) => Err(Trouble::There(Failure::Silent)),
        };
        let now = self.clock.now();
        match &done {
            Ok(value) => {
                member.health().worked(now, now.saturating_sub(began));
                member.sent(began, sent(value));
            }
            // It is asked again all the same: a copy of another root may be whole.
            Err(Trouble::There(Failure::Lied(what))) => member.health().failed(now, &Failure::Broken(what.clone())),
            Err(Trouble::There(failure)) => member.health().failed(now, failure),
            Err(Trouble::Here(_)) => {}
        }
        done
    }

    /// Of each its name, its kind, and what is known of it.
    pub fn reports(&self) -> Vec<(String, String, State, Health)> {
        let now = self.clock.now();
        let report = |member: &Rc<Member>| {
            let health = member.health().clone();
            (member.name().to_owned(), member.backend.kind().to_owned(), health.state(now), health)
        };
        self.members.iter().map(report).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_up_to_the_longest_and_differ() {
        let retries = Retries { first: 1_000, longest: 60_000, ..Retries::default() };
        for (failures, wait) in [(1, 1_000), (2, 2_000), (6, 32_000), (7, 60_000), (64, 60_000), (u32::MAX, 60_000)] {
            let waits: HashSet<u64> = (0..100).map(|noise| retries.wait(failures, noise)).collect();
            assert!(waits.iter().all(|some| (wait / 2..=wait).contains(some)), "{failures}: {waits:?}");
            assert!(waits.len() > 50, "{failures}");
        }
    }
}
