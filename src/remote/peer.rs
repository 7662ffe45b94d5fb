//! A remote that a store asks, and what it remembers of it.

use std::{
    cell::{RefCell, RefMut},
    rc::Rc,
};

use super::{Failure, Health, Remote, State};

/// A remote, and what is known of it.
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

impl Peer {
    pub(super) fn new(remote: Rc<dyn Remote>) -> Self {
        Peer(Rc::new(Known { remote, health: RefCell::default() }))
    }

    /// Its name.
    pub fn name(&self) -> &str {
        self.0.remote.name()
    }

    /// The remote itself.
    pub(super) fn remote(&self) -> &Rc<dyn Remote> {
        &self.0.remote
    }

    /// What is known of it.
    pub(super) fn health(&self) -> RefMut<'_, Health> {
        self.0.health.borrow_mut()
    }

    /// That it was asked in vain.
    pub(super) fn attempt(&self, failure: Failure) -> Attempt {
        Attempt { remote: self.name().to_owned(), failure }
    }

    /// Why it is not asked now.
    pub(super) fn out(&self) -> Option<Attempt> {
        let health = self.health();
        let lie = health.lie.clone().map(Failure::Lied);
        let failure = lie.or_else(|| health.last.as_ref().and_then(|(_, last)| last.clone().err()))?;
        Some(self.attempt(failure))
    }

    /// How good a choice it is; none if it is not to be asked.
    pub(super) fn rank(&self, now: u64) -> Option<(u8, u64)> {
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

/// A name by which a remote is told from others: a slash at the end of an address makes no other of it.
pub(super) fn bare(name: &str) -> &str {
    name.trim_end_matches('/')
}
