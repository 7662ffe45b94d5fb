//! Dropping what nothing reaches any more: after a deletion, or after an import that failed.
//!
//! What a file being stored has written ahead is not reachable yet, so nothing is dropped while one is open; the
//! candidates wait for the next occasion.

use std::{
    cell::{Cell, RefCell},
    collections::HashSet,
    rc::Rc,
};

use futures_util::lock::Mutex;

use super::{MAX_PAGE, Shared};
use crate::{
    block::{self, Cid, Codec, Key},
    dag,
    error::{Error, Result},
    tier::Commit,
    unixfs::BlockSource,
};

/// Who is writing, and what may be dropped when nobody is.
#[derive(Default)]
pub struct Sweeper {
    writers: Cell<usize>,
    candidates: RefCell<HashSet<Key>>,
    sweeping: Mutex<()>,
}

/// As long as it lives, nothing is swept.
pub struct Open {
    shared: Rc<Shared>,
}

/// Says that a file is about to be stored; waits for a sweep under way.
pub async fn enter(shared: &Rc<Shared>) -> Open {
    let _sweeping = shared.sweeper.sweeping.lock().await;
    shared.sweeper.writers.set(shared.sweeper.writers.get() + 1);
    Open { shared: shared.clone() }
}

impl Drop for Open {
    fn drop(&mut self) {
        let writers = &self.shared.sweeper.writers;
        writers.set(writers.get().saturating_sub(1));
    }
}

/// Notes blocks that may have become garbage.
pub fn suspect(shared: &Shared, keys: impl IntoIterator<Item = Key>) {
    shared.sweeper.candidates.borrow_mut().extend(keys);
}

/// Forgets a root, and drops what only it reached.
pub async fn delete(shared: &Rc<Shared>, root: &Cid) -> Result<()> {
    let mut keys = Vec::new();
    let mut note = |cid: &Cid| keys.extend(block::key(cid));
    walk(shared, root, &mut note, Missing::Skipped).await?;
    suspect(shared, keys);
    sweep(shared, Some(root)).await
}

/// Drops the candidates that no root reaches, and with the same commit forgets `root`.
pub async fn sweep(shared: &Rc<Shared>, root: Option<&Cid>) -> Result<()> {
    let mut commit = Commit {
        drop_roots: root.into_iter().copied().collect(),
        durability: shared.options.durability,
        ..Commit::default()
    };
    let _sweeping = shared.sweeper.sweeping.lock().await;
    if shared.sweeper.writers.get() > 0 {
        return if root.is_some() { shared.blocks.commit(commit).await.map(drop) } else { Ok(()) };
    }
    let mut garbage = shared.sweeper.candidates.borrow().clone();
    let mut after = None;
    let mut whole = true;
    while whole && !garbage.is_empty() {
        let page = shared.tier.roots(after.as_ref(), MAX_PAGE).await?;
        let Some(last) = page.last() else { break };
        after = Some(last.root.cid);
        for stored in page.iter().filter(|stored| Some(&stored.root.cid) != root) {
            let mut keep = |cid: &Cid| {
                block::key(cid).inspect(|key| _ = garbage.remove(key));
            };
            whole = whole && walk(shared, &stored.root.cid, &mut keep, Missing::Skipped).await?;
        }
    }
    // Below a node that cannot be read nobody knows what is reachable: then nothing is dropped, and the candidates wait.
    if whole {
        commit.drop_blocks = garbage.into_iter().collect();
    }
    if root.is_some() || !commit.drop_blocks.is_empty() {
        shared.blocks.commit(commit).await?;
    }
    if whole {
        shared.sweeper.candidates.borrow_mut().clear();
    }
    Ok(())
}

/// What to do at a block that is not there, or is corrupt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Missing {
    /// Go on without it.
    Skipped,
    /// Fail.
    Fails,
}

/// Visits a DAG, each node once; leaves may come more than once. Tells whether every node could be read.
pub async fn walk(shared: &Shared, root: &Cid, visit: &mut dyn FnMut(&Cid), missing: Missing) -> Result<bool> {
    let mut whole = true;
    let mut seen = HashSet::new();
    let mut stack = vec![*root];
    while let Some(cid) = stack.pop() {
        visit(&cid);
        if Codec::of(&cid)? == Codec::Raw {
            let held = match block::key(&cid) {
                Some(key) if missing == Missing::Fails => shared.tier.has(&[key]).await?.first() == Some(&true),
                _ => true,
            };
            if !held {
                return Err(Error::NotAvailableOffline { cid, reason: shared.options.offline });
            }
            continue;
        }
        if !seen.insert(cid) {
            continue;
        }
        let found = shared.blocks.blocks(&[cid]).await;
        let below = match found.and_then(|blocks| blocks.first().map_or(Ok(Vec::new()), dag::links)) {
            Ok(below) => below,
            Err(Error::NotAvailableOffline { .. } | Error::Corrupt { .. } | Error::Unsupported(_))
                if missing == Missing::Skipped =>
            {
                whole = false;
                Vec::new()
            }
            Err(error) => return Err(error),
        };
        stack.extend(below.into_iter().rev());
    }
    Ok(whole)
}
