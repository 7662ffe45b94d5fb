//! Group commit: commits that wait while another is being written are written together.
//!
//! A wrapper, because every tier gains by it: one sync, or one transaction, for many callers. Since every write comes
//! through here, one at a time, the limit on what is held is kept here, too.

use std::{
    cell::{Cell, RefCell},
    collections::VecDeque,
    rc::Rc,
};

use async_trait::async_trait;
use bytes::Bytes;
use futures_channel::oneshot;
use futures_util::future::{self, Either};

use super::{
    Commit, Committed, Compacted, Durability, Guard, Held, Pin, Recovery, Room, StoredRoot, Tier, Usage, turn::Turn,
};
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
    queue: Rc<Queue<T>>,
    writing: Turn<()>,
}

struct Queue<T: ?Sized> {
    waiting: RefCell<VecDeque<Waiting>>,
    /// Who waits for a step of a compaction.
    compacting: RefCell<VecDeque<oneshot::Sender<Result<Compacted>>>>,
    /// Most bytes of blocks held.
    limit: Cell<Option<u64>>,
    tier: Rc<T>,
}

struct Waiting {
    commit: Commit,
    done: oneshot::Sender<Result<Committed>>,
}

impl<T: Tier + ?Sized> GroupCommit<T> {
    /// Wraps a tier.
    pub fn new(tier: Rc<T>) -> Self {
        let queue = Queue { waiting: RefCell::default(), compacting: RefCell::default(), limit: Cell::new(None), tier };
        GroupCommit { queue: Rc::new(queue), writing: Turn::default() }
    }

    /// The limit on the bytes of blocks held.
    pub fn limit(&self) -> Option<u64> {
        self.queue.limit.get()
    }

    /// Sets the limit. What is held already stays.
    pub fn set_limit(&self, limit: Option<u64>) {
        self.queue.limit.set(limit);
    }
}

impl<T: Tier + ?Sized + 'static> GroupCommit<T> {
    /// Moves the writing along until what was queued is answered.
    async fn write_until<A>(&self, mut answer: oneshot::Receiver<Result<A>>) -> Result<A> {
        loop {
            let queue = self.queue.clone();
            let writing = self.writing.join_or_begin(async move { queue.write_next().await });
            match future::select(&mut answer, writing).await {
                Either::Left((answer, _)) => return answer.unwrap_or(Err(Error::Cancelled)),
                Either::Right(((), _)) => {}
            }
        }
    }
}

impl<T: Tier + ?Sized> Queue<T> {
    /// The commits to write together next. One that drops something is written alone: merged, it could undo a
    /// neighbour. So is one that expects something: merged, it could fail its neighbours, or be met by one of them.
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

    /// Writes what waits: commits first, then a step of a compaction.
    async fn write_next(&self) {
        self.write_group().await;
        let compacting = self.compacting.borrow_mut().pop_front();
        if let Some(done) = compacting {
            let _ = done.send(self.tier.compact().await);
        }
    }

    async fn write_group(&self) {
        let group = self.next_group();
        if group.len() > 1 {
            let mut merged = Commit { durability: Durability::Relaxed, ahead: true, ..Commit::default() };
            group.iter().for_each(|waiting| merged.merge(waiting.commit.clone()));
            if let Ok(Committed { held, pinned, dropped }) = self.commit(merged).await {
                let (mut held, mut pinned) = (held.into_iter(), pinned.into_iter());
                for Waiting { commit, done } in group {
                    let held = held.by_ref().take(commit.blocks.len()).collect();
                    let pinned = pinned.by_ref().take(commit.set_roots.len()).collect();
                    // One that drops something is alone.
                    let _ = done.send(Ok(Committed { held, pinned, dropped }));
                }
                return;
            }
        }
        // Alone, or the group failed: each gets its own answer, so that one which is too large fails nobody else.
        for Waiting { commit, done } in group {
            let _ = done.send(self.commit(commit).await);
        }
    }

    async fn commit(&self, commit: Commit) -> Result<Committed> {
        self.check_room(&commit).await?;
        self.tier.commit(commit).await
    }

    async fn check_room(&self, commit: &Commit) -> Result<()> {
        let Some(limit) = self.limit.get().filter(|_| !commit.blocks.is_empty()) else { return Ok(()) };
        let held = self.tier.usage().await?.bytes;
        if held + commit.bytes() <= limit {
            return Ok(());
        }
        // It may fit yet: what is held already takes no room.
        let needed = commit.lacking(self.tier.as_ref()).await?;
        if held + needed <= limit { Ok(()) } else { Err(Error::QuotaExceeded { needed, limit }) }
    }
}

#[async_trait(?Send)]
impl<T: Tier + ?Sized + 'static> Tier for GroupCommit<T> {
    fn kind(&self) -> &'static str {
        self.queue.tier.kind()
    }

    async fn get(&self, keys: &[Key]) -> Result<Vec<Option<Held>>> {
        self.queue.tier.get(keys).await
    }

    async fn has(&self, keys: &[Key]) -> Result<Vec<bool>> {
        self.queue.tier.has(keys).await
    }

    async fn lengths(&self, keys: &[Key]) -> Result<Vec<Option<u64>>> {
        self.queue.tier.lengths(keys).await
    }

    async fn keys(&self, after: Option<&Key>, limit: usize) -> Result<Vec<Key>> {
        self.queue.tier.keys(after, limit).await
    }

    async fn commit(&self, commit: Commit) -> Result<Committed> {
        let (done, answer) = oneshot::channel();
        self.queue.waiting.borrow_mut().push_back(Waiting { commit, done });
        self.write_until(answer).await
    }

    async fn root(&self, cid: &Cid) -> Result<Option<StoredRoot>> {
        self.queue.tier.root(cid).await
    }

    async fn roots(&self, after: Option<&Cid>, limit: usize) -> Result<Vec<StoredRoot>> {
        self.queue.tier.roots(after, limit).await
    }

    async fn pin(&self, cid: &Cid) -> Result<Option<Pin>> {
        self.queue.tier.pin(cid).await
    }

    async fn pins(&self, after: Option<&Cid>, limit: usize) -> Result<Vec<Pin>> {
        self.queue.tier.pins(after, limit).await
    }

    async fn note(&self, name: &str) -> Result<Option<Bytes>> {
        self.queue.tier.note(name).await
    }

    async fn notes(&self, prefix: &str, after: Option<&str>, limit: usize) -> Result<Vec<(String, Bytes)>> {
        self.queue.tier.notes(prefix, after, limit).await
    }

    async fn usage(&self) -> Result<Usage> {
        self.queue.tier.usage().await
    }

    async fn flush(&self) -> Result<()> {
        let mut flush = self.queue.tier.flush();
        // It may have to wait for a write that nobody else moves along.
        while let Some(writing) = self.writing.under_way() {
            if let Either::Left((done, _)) = future::select(&mut flush, writing).await {
                return done;
            }
        }
        flush.await
    }

    async fn enter(&self) -> Result<Guard> {
        self.queue.tier.enter().await
    }

    async fn alone(&self) -> Result<Option<Guard>> {
        self.queue.tier.alone().await
    }

    async fn changes_by_others(&self) -> Result<u64> {
        self.queue.tier.changes_by_others().await
    }

    async fn compact(&self) -> Result<Compacted> {
        let (done, answer) = oneshot::channel();
        self.queue.compacting.borrow_mut().push_back(done);
        self.write_until(answer).await
    }

    async fn room(&self) -> Result<Option<Room>> {
        self.queue.tier.room().await
    }

    fn recovery(&self) -> Recovery {
        self.queue.tier.recovery()
    }
}

#[cfg(all(test, not(target_family = "wasm")))]
#[allow(clippy::unwrap_used, clippy::indexing_slicing)]
mod tests {
    use std::{future::poll_fn, pin::pin, task::Poll};

    use bytes::Bytes;
    use cid::Version;
    use futures_executor::block_on;

    use super::*;
    use crate::{
        block::{Block, Codec},
        hash::{CpuHasher, HashFunction},
        tier::MemoryTier,
    };

    /// A tier whose commits take a few turns of the executor, one at a time.
    #[derive(Default)]
    struct Slow {
        inner: MemoryTier,
        lock: futures_util::lock::Mutex<()>,
        commits: Cell<usize>,
        entered: Rc<Cell<usize>>,
    }

    async fn turn() {
        let mut waited = false;
        poll_fn(|context| {
            context.waker().wake_by_ref();
            if std::mem::replace(&mut waited, true) { Poll::Ready(()) } else { Poll::Pending }
        })
        .await;
    }

    #[async_trait(?Send)]
    impl Tier for Slow {
        fn kind(&self) -> &'static str {
            "slow"
        }

        async fn get(&self, keys: &[Key]) -> Result<Vec<Option<Held>>> {
            self.inner.get(keys).await
        }

        async fn has(&self, keys: &[Key]) -> Result<Vec<bool>> {
            self.inner.has(keys).await
        }

        async fn lengths(&self, keys: &[Key]) -> Result<Vec<Option<u64>>> {
            self.inner.lengths(keys).await
        }

        async fn keys(&self, after: Option<&Key>, limit: usize) -> Result<Vec<Key>> {
            self.inner.keys(after, limit).await
        }

        async fn commit(&self, commit: Commit) -> Result<Committed> {
            let _writing = self.lock.lock().await;
            self.commits.set(self.commits.get() + 1);
            for _ in 0..20 {
                turn().await;
            }
            self.inner.commit(commit).await
        }

        async fn root(&self, cid: &Cid) -> Result<Option<StoredRoot>> {
            self.inner.root(cid).await
        }

        async fn roots(&self, after: Option<&Cid>, limit: usize) -> Result<Vec<StoredRoot>> {
            self.inner.roots(after, limit).await
        }

        async fn pin(&self, cid: &Cid) -> Result<Option<Pin>> {
            self.inner.pin(cid).await
        }

        async fn pins(&self, after: Option<&Cid>, limit: usize) -> Result<Vec<Pin>> {
            self.inner.pins(after, limit).await
        }

        async fn note(&self, name: &str) -> Result<Option<Bytes>> {
            self.inner.note(name).await
        }

        async fn notes(&self, prefix: &str, after: Option<&str>, limit: usize) -> Result<Vec<(String, Bytes)>> {
            self.inner.notes(prefix, after, limit).await
        }

        async fn usage(&self) -> Result<Usage> {
            self.inner.usage().await
        }

        async fn flush(&self) -> Result<()> {
            let _writing = self.lock.lock().await;
            self.inner.flush().await
        }

        async fn enter(&self) -> Result<Guard> {
            let (entered, left) = (self.entered.clone(), self.entered.clone());
            entered.set(entered.get() + 1);
            Ok(Guard::new(move || left.set(left.get() - 1)))
        }

        async fn alone(&self) -> Result<Option<Guard>> {
            Ok((self.entered.get() == 0).then(Guard::default))
        }
    }

    async fn adding(text: &'static str) -> Commit {
        let parts = vec![Bytes::from(text)];
        let blocks = Block::make(&CpuHasher, Version::V1, Codec::Raw, HashFunction::Sha2_256, parts).await.unwrap();
        Commit { blocks, ..Commit::default() }
    }

    #[test]
    fn a_caller_that_stands_still_holds_nobody_up() {
        block_on(async {
            let group = GroupCommit::new(Rc::new(Slow::default()));
            let mut stalled = pin!(group.commit(adding("begun, and not moved along").await));
            assert!(future::poll_immediate(&mut stalled).await.is_none());
            group.commit(adding("another's").await).await.unwrap();
            assert_eq!(group.usage().await.unwrap().blocks, 2);
            let mut again = pin!(group.commit(adding("a third").await));
            assert!(future::poll_immediate(&mut again).await.is_none());
            group.flush().await.unwrap();
            assert_eq!(group.usage().await.unwrap().blocks, 3);
            stalled.await.unwrap();
        });
    }

    #[test]
    fn who_shares_the_medium_is_asked() {
        block_on(async {
            let slow = Rc::new(Slow::default());
            let group = GroupCommit::new(slow.clone());
            let guard = group.enter().await.unwrap();
            assert_eq!(slow.entered.get(), 1);
            assert!(group.alone().await.unwrap().is_none());
            drop(guard);
            assert_eq!(slow.entered.get(), 0);
            assert!(group.alone().await.unwrap().is_some());
        });
    }

    #[test]
    fn what_waits_together_is_written_together_and_fails_alone() {
        block_on(async {
            let slow = Rc::new(Slow::default());
            let group = GroupCommit::new(slow.clone());
            group.set_limit(Some(20));
            let commits =
                [adding("first").await, adding("four").await, adding("too large for it").await, adding("six").await];
            let done = future::join_all(commits.into_iter().map(|commit| group.commit(commit))).await;
            let fitted: Vec<bool> = done.iter().map(Result::is_ok).collect();
            assert_eq!(fitted, [true, true, false, true]);
            assert_eq!(group.usage().await.unwrap().bytes, 12);
            assert!(matches!(done[2], Err(Error::QuotaExceeded { needed: 16, limit: 20 })));
            group.set_limit(None);
            slow.commits.set(0);
            let many = ["a", "b", "c", "d", "e"].map(adding);
            future::join_all(many.map(|commit| async { group.commit(commit.await).await.unwrap() })).await;
            assert_eq!(slow.commits.get(), 2, "the first alone, the others with one another");
        });
    }
}
