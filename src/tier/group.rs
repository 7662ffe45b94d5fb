//! Group commit: commits that wait while another is being written are written together.
//!
//! A wrapper, because every tier gains by it: one sync, or one transaction, for many callers.

use std::{cell::RefCell, collections::VecDeque, rc::Rc};

use async_trait::async_trait;
use bytes::Bytes;
use futures_channel::oneshot;
use futures_util::{
    future::{self, Either},
    lock::Mutex,
};

use super::{Commit, Recovery, StoredRoot, Tier, Usage};
use crate::{
    block::{Cid, Key},
    error::{Error, Result},
};

/// Most bytes of blocks in one merged commit: what it holds in memory, and what is lost when it fails.
const MAX_GROUP_BYTES: u64 = 8 * 1024 * 1024;

/// Most commits merged into one.
const MAX_GROUP: usize = 1024;

/// A tier whose concurrent commits share one write.
pub struct GroupCommit<T: ?Sized> {
    waiting: RefCell<VecDeque<Waiting>>,
    writing: Mutex<()>,
    tier: Rc<T>,
}

struct Waiting {
    commit: Commit,
    done: oneshot::Sender<Result<Vec<bool>>>,
}

impl<T: Tier + ?Sized> GroupCommit<T> {
    /// Wraps a tier.
    pub fn new(tier: Rc<T>) -> Self {
        GroupCommit { waiting: RefCell::default(), writing: Mutex::new(()), tier }
    }

    /// The commits to write together next. One that drops something is written alone: merged, it could undo a
    /// neighbour.
    fn next_group(&self) -> Vec<Waiting> {
        let mut waiting = self.waiting.borrow_mut();
        let mut group: Vec<Waiting> = Vec::new();
        let mut bytes = 0;
        while let Some(next) = waiting.front() {
            bytes += next.commit.bytes();
            let alone = !next.commit.only_adds();
            if !group.is_empty() && (alone || bytes > MAX_GROUP_BYTES || group.len() == MAX_GROUP) {
                break;
            }
            group.extend(waiting.pop_front());
            if alone {
                break;
            }
        }
        group
    }

    async fn write(&self, group: Vec<Waiting>) {
        if group.len() > 1 {
            let mut merged = Commit::default();
            group.iter().for_each(|waiting| merged.merge(waiting.commit.clone()));
            if let Ok(pinned) = self.tier.commit(merged).await {
                let mut pinned = pinned.into_iter();
                for Waiting { commit, done } in group {
                    let _ = done.send(Ok(pinned.by_ref().take(commit.set_roots.len()).collect()));
                }
                return;
            }
        }
        // Alone, or the group failed: each gets its own answer, so that one which is too large fails nobody else.
        for Waiting { commit, done } in group {
            let _ = done.send(self.tier.commit(commit).await);
        }
    }
}

#[async_trait(?Send)]
impl<T: Tier + ?Sized> Tier for GroupCommit<T> {
    fn kind(&self) -> &'static str {
        self.tier.kind()
    }

    async fn get(&self, keys: &[Key]) -> Result<Vec<Option<Bytes>>> {
        self.tier.get(keys).await
    }

    async fn has(&self, keys: &[Key]) -> Result<Vec<bool>> {
        self.tier.has(keys).await
    }

    async fn commit(&self, commit: Commit) -> Result<Vec<bool>> {
        let (done, mut answer) = oneshot::channel();
        self.waiting.borrow_mut().push_back(Waiting { commit, done });
        // Whoever gets the lock writes for all that wait then. Those who have their answer go without it: if they had to
        // take their turn first, each newcomer would find an empty queue but for itself.
        loop {
            match future::select(&mut answer, self.writing.lock()).await {
                Either::Left((answer, _)) => return answer.unwrap_or(Err(Error::Cancelled)),
                Either::Right((_writing, _)) => self.write(self.next_group()).await,
            }
        }
    }

    async fn root(&self, cid: &Cid) -> Result<Option<StoredRoot>> {
        self.tier.root(cid).await
    }

    async fn roots(&self, after: Option<&Cid>, limit: usize) -> Result<Vec<StoredRoot>> {
        self.tier.roots(after, limit).await
    }

    async fn usage(&self) -> Result<Usage> {
        self.tier.usage().await
    }

    async fn flush(&self) -> Result<()> {
        self.tier.flush().await
    }

    fn recovery(&self) -> Recovery {
        self.tier.recovery()
    }
}
