//! Copies that backends keep, as places to get blocks from.

use std::{
    cell::{Cell, RefCell},
    collections::HashSet,
    rc::Rc,
};

use super::Fetch;
use crate::{
    backend::{Backends, Trouble},
    block::{Block, Cid},
    error::Result,
    remote::{Attempt, Failure},
    storage::outbox::CopySource,
};

/// Blocks that are asked for together where nobody knows how long they are, and where that is known,
const BLOCKS_AT_ONCE: usize = 16;
const MAX_AT_ONCE: usize = 256;

/// of so many bytes.
const BYTES_AT_ONCE: u64 = 4 * 1024 * 1024;

/// How often one is asked, and the first wait between, in milliseconds, which doubles.
const ROUNDS: u32 = 3;
const BACKOFF: u64 = 250;

/// Those that a session may ask.
pub struct Copies {
    /// What was asked for, by which a path may have led on.
    asked: Cid,
    /// Of which roots they were looked up,
    of: RefCell<HashSet<Cid>>,
    /// and which they are. One that failed is none any more.
    known: RefCell<Vec<Rc<CopySource>>>,
    /// The remotes have failed, and an archive has not: it is asked first.
    archived: Cell<bool>,
}

impl Copies {
    pub fn new(asked: Cid) -> Self {
        Copies { asked, of: RefCell::default(), known: RefCell::default(), archived: Cell::new(false) }
    }

    fn strike(&self, copy: &Rc<CopySource>) {
        self.known.borrow_mut().retain(|known| !Rc::ptr_eq(known, copy));
    }
}

impl Fetch {
    /// Asks copies for some of what is missing, from the first on: those on the IPFS network, or archives. Whether one gave it.
    pub(super) async fn ask_copies(&self, missing: &[Cid], archives: bool) -> Result<bool> {
        let Some(backends) = self.shared.backends() else { return Ok(false) };
        if self.shared.backends_offline(backends).is_some() {
            return Ok(false);
        }
        self.look_up_copies().await?;
        let known = self.copies.known.borrow().clone();
        let asked =
            |copy: &&Rc<CopySource>| copy.is_networked() != archives || (!archives && self.copies.archived.get());
        let asked: Vec<_> = known.iter().filter(asked).collect();
        if asked.is_empty() {
            return Ok(false);
        }
        let wanted = self.at_once(missing).await?;
        for copy in asked {
            if let Some(blocks) = self.ask_copy(backends, copy, &wanted).await? {
                self.store(blocks, copy.name()).await?;
                self.copies.archived.set(self.copies.archived.get() || archives);
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Asks one, again where that may help; none if it is of no use to this session any more.
    async fn ask_copy(&self, backends: &Backends, copy: &Rc<CopySource>, wanted: &[Cid]) -> Result<Option<Vec<Block>>> {
        let mut failure = Failure::Unreachable("it failed lately, and is not asked for a while".into());
        for round in 0..ROUNDS {
            if copy.rests(self.shared.clock.now()) {
                break;
            }
            match copy.get(wanted).await {
                Ok(blocks) => return Ok(Some(blocks)),
                Err(Trouble::Here(error)) => return Err(error),
                Err(Trouble::There(again)) => failure = again,
            }
            if !failure.is_passing() || failure == Failure::Silent {
                break;
            }
            backends.sleep(BACKOFF << round).await;
        }
        self.copies.strike(copy);
        if matches!(failure, Failure::NotFound | Failure::Lied(_)) {
            // It may be none: it is read back, and made anew.
            self.shared.doubt(copy).await?;
        }
        self.attempts.borrow_mut().push(Attempt { remote: copy.name().to_owned(), failure });
        Ok(None)
    }

    async fn look_up_copies(&self) -> Result<()> {
        let roots = [self.copies.asked.clone(), self.root.borrow().clone()];
        for root in roots {
            if self.copies.of.borrow_mut().insert(root.clone()) {
                let copies = self.shared.copies_of(&root).await?;
                self.copies.known.borrow_mut().extend(copies.into_iter().map(Rc::new));
            }
        }
        Ok(())
    }

    /// What is asked for together: what the reader needs next, or else of what is missing as much as must fit whatever it is.
    async fn at_once(&self, missing: &[Cid]) -> Result<Vec<Cid>> {
        let later = missing.first().map(|first| self.later(first)).unwrap_or_default();
        let Some((start, ..)) = later.first() else {
            return Ok(missing.iter().take(BLOCKS_AT_ONCE).cloned().collect());
        };
        let near = later.iter().enumerate().take_while(|(at, (_, _, end))| *at == 0 || end - start <= BYTES_AT_ONCE);
        let near: Vec<Cid> = near.take(MAX_AT_ONCE).map(|(_, (_, cid, _))| cid.clone()).collect();
        self.missing(&near).await
    }
}
