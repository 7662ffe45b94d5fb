//! Gateways that routers named.

use std::{cell::RefCell, collections::VecDeque};

use super::peer::{Peer, bare};

/// Most gateways that are remembered of those that routers named; the one least of use goes first.
const MAX_FOUND: usize = 16;

/// Most that are taken from the routers at once, so that those which proved useful stay.
pub const MAX_NEW: usize = MAX_FOUND / 2;

/// Of those that lied and had to make room, so many names are kept.
const MAX_LIARS: usize = 256;

/// Those that were found.
#[derive(Default)]
pub struct Found {
    /// The newest first.
    peers: RefCell<Vec<Peer>>,
    /// Names of those among them that lied and are not remembered otherwise.
    liars: RefCell<VecDeque<String>>,
}

impl Found {
    /// Those that are remembered.
    pub fn peers(&self) -> Vec<Peer> {
        self.peers.borrow().clone()
    }

    /// Whether one of this name lied, and had to make room.
    pub fn has_struck_out(&self, name: &str) -> bool {
        self.liars.borrow().iter().any(|liar| bare(liar) == bare(name))
    }

    /// Adds new ones; those of the least use make room for them.
    pub fn remember(&self, new: &[Peer], now: u64) {
        let mut peers = self.peers.borrow_mut();
        peers.sort_by_key(|peer| {
            let (rank, latency) = peer.rank(now).unwrap_or((u8::MAX, 0));
            // One that always answered, and never had anything, is of little use.
            (rank, peer.health().bytes_in == 0, latency)
        });
        let kept = peers.len().min(MAX_FOUND - new.len());
        let mut liars = self.liars.borrow_mut();
        liars.extend(peers.drain(kept..).filter(|peer| peer.health().lie.is_some()).map(|peer| peer.name().to_owned()));
        while liars.len() > MAX_LIARS {
            liars.pop_front();
        }
        peers.splice(..0, new.iter().cloned());
    }
}
