//! Several openings of a tier that has one owner: the tabs of a browser, whose calls all come to the one worker that has the
//! files open. Each opening knows what it relies on itself, and the others here see to it that nothing of that is dropped.

use std::{
    cell::{Cell, RefCell},
    rc::Rc,
};

use async_trait::async_trait;
use bytes::Bytes;
use futures_channel::oneshot;

use super::{Commit, Committed, Compacted, Guard, Held, Pin, Recovery, StoredRoot, Tier, Usage};
use crate::{
    block::{Cid, Key},
    error::Result,
    platform::Room,
};

/// A tier, for as many openings as want it.
pub struct Sharing<T> {
    shared: Rc<Common<T>>,
    openings: Cell<u64>,
}

struct Common<T> {
    tier: T,
    parties: RefCell<Parties>,
    /// Commits of all openings.
    commits: Cell<u64>,
}

#[derive(Default)]
struct Parties {
    /// An opening's number for each thing that is under way.
    under_way: Vec<u64>,
    /// The opening that may drop blocks, for each right that it was given.
    alone: Vec<u64>,
    /// Who waits for the end of these rights.
    waiting: Vec<oneshot::Sender<()>>,
}

/// One opening.
pub struct Shared<T> {
    shared: Rc<Common<T>>,
    number: u64,
    /// Commits of this opening.
    own: Cell<u64>,
}

impl<T: Tier> Sharing<T> {
    /// Shares a tier.
    pub fn new(tier: T) -> Self {
        let shared = Common { tier, parties: RefCell::default(), commits: Cell::new(0) };
        Sharing { shared: Rc::new(shared), openings: Cell::new(0) }
    }

    /// Another opening.
    pub fn open(&self) -> Shared<T> {
        self.openings.set(self.openings.get() + 1);
        Shared { shared: self.shared.clone(), number: self.openings.get(), own: Cell::new(0) }
    }

    /// The tier itself.
    pub fn tier(&self) -> &T {
        &self.shared.tier
    }
}

impl Parties {
    fn end(list: &mut Vec<u64>, number: u64) {
        if let Some(at) = list.iter().position(|other| *other == number) {
            list.swap_remove(at);
        }
    }
}

impl<T: Tier + 'static> Shared<T> {
    fn tier(&self) -> &T {
        &self.shared.tier
    }
}

#[async_trait(?Send)]
impl<T: Tier + 'static> Tier for Shared<T> {
    fn kind(&self) -> &'static str {
        self.tier().kind()
    }

    async fn get(&self, keys: &[Key]) -> Result<Vec<Option<Held>>> {
        self.tier().get(keys).await
    }

    async fn has(&self, keys: &[Key]) -> Result<Vec<bool>> {
        self.tier().has(keys).await
    }

    async fn lengths(&self, keys: &[Key]) -> Result<Vec<Option<u64>>> {
        self.tier().lengths(keys).await
    }

    async fn keys(&self, after: Option<&Key>, limit: usize) -> Result<Vec<Key>> {
        self.tier().keys(after, limit).await
    }

    async fn commit(&self, commit: Commit) -> Result<Committed> {
        let committed = self.tier().commit(commit).await?;
        self.shared.commits.set(self.shared.commits.get() + 1);
        self.own.set(self.own.get() + 1);
        Ok(committed)
    }

    async fn root(&self, cid: &Cid) -> Result<Option<StoredRoot>> {
        self.tier().root(cid).await
    }

    async fn roots(&self, after: Option<&Cid>, limit: usize) -> Result<Vec<StoredRoot>> {
        self.tier().roots(after, limit).await
    }

    async fn pin(&self, cid: &Cid) -> Result<Option<Pin>> {
        self.tier().pin(cid).await
    }

    async fn pins(&self, after: Option<&Cid>, limit: usize) -> Result<Vec<Pin>> {
        self.tier().pins(after, limit).await
    }

    async fn note(&self, name: &str) -> Result<Option<Bytes>> {
        self.tier().note(name).await
    }

    async fn notes(&self, prefix: &str, after: Option<&str>, limit: usize) -> Result<Vec<(String, Bytes)>> {
        self.tier().notes(prefix, after, limit).await
    }

    async fn usage(&self) -> Result<Usage> {
        self.tier().usage().await
    }

    async fn flush(&self) -> Result<()> {
        self.tier().flush().await
    }

    async fn enter(&self) -> Result<Guard> {
        loop {
            let ended = {
                let mut parties = self.shared.parties.borrow_mut();
                if parties.alone.iter().all(|number| *number == self.number) {
                    parties.under_way.push(self.number);
                    break;
                }
                let (sender, ended) = oneshot::channel();
                parties.waiting.push(sender);
                ended
            };
            let _ = ended.await;
        }
        let (shared, number) = (self.shared.clone(), self.number);
        Ok(Guard::new(move || Parties::end(&mut shared.parties.borrow_mut().under_way, number)))
    }

    async fn alone(&self) -> Result<Option<Guard>> {
        let mut parties = self.shared.parties.borrow_mut();
        if parties.under_way.iter().chain(&parties.alone).any(|number| *number != self.number) {
            return Ok(None);
        }
        parties.alone.push(self.number);
        let (shared, number) = (self.shared.clone(), self.number);
        Ok(Some(Guard::new(move || {
            let mut parties = shared.parties.borrow_mut();
            Parties::end(&mut parties.alone, number);
            // Who waits no more has gone, and those who do look again.
            for waiting in parties.waiting.drain(..) {
                let _ = waiting.send(());
            }
        })))
    }

    async fn changes_by_others(&self) -> Result<u64> {
        Ok(self.shared.commits.get() - self.own.get())
    }

    async fn compact(&self) -> Result<Compacted> {
        self.tier().compact().await
    }

    async fn room(&self) -> Result<Option<Room>> {
        self.tier().room().await
    }

    fn recovery(&self) -> Recovery {
        self.tier().recovery()
    }
}
