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

/// Blocks dropped in one commit: a tier holds up everything else for that long.
const MAX_DROPS: usize = 8 * 1024;

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

/// Drops the candidates that no root reaches, and forgets `root` with the first of them.
pub async fn sweep(shared: &Rc<Shared>, root: Option<&Cid>) -> Result<()> {
    let _sweeping = shared.sweeper.sweeping.lock().await;
    let garbage = if shared.sweeper.writers.get() > 0 { None } else { garbage(shared, root).await? };
    let mut commit = Commit { drop_roots: root.into_iter().copied().collect(), ..Commit::default() };
    let mut rest = garbage.iter().flatten().copied();
    loop {
        commit.drop_blocks = rest.by_ref().take(MAX_DROPS).collect();
        if commit.drop_roots.is_empty() && commit.drop_blocks.is_empty() {
            break;
        }
        commit.durability = shared.options.durability;
        shared.blocks.commit(std::mem::take(&mut commit)).await?;
    }
    if garbage.is_some() {
        shared.sweeper.candidates.borrow_mut().clear();
    }
    Ok(())
}

/// The candidates that nothing reaches but `root`; none if that cannot be known: below a node that cannot be read nobody
/// can tell what is reachable. Then the candidates wait.
async fn garbage(shared: &Rc<Shared>, root: Option<&Cid>) -> Result<Option<HashSet<Key>>> {
    let mut garbage = shared.sweeper.candidates.borrow().clone();
    let mut after = None;
    while !garbage.is_empty() {
        let page = shared.tier.roots(after.as_ref(), MAX_PAGE).await?;
        let Some(last) = page.last() else { break };
        after = Some(last.root.cid);
        for stored in page.iter().filter(|stored| Some(&stored.root.cid) != root) {
            let mut keep = |cid: &Cid| {
                block::key(cid).inspect(|key| _ = garbage.remove(key));
            };
            if !walk(shared, &stored.root.cid, &mut keep, Missing::Skipped).await? {
                return Ok(None);
            }
        }
    }
    Ok(Some(garbage))
}

/// Sweeps what had to wait for the last file being stored, now that it is.
pub async fn leave(open: Open) {
    let shared = open.shared.clone();
    drop(open);
    if shared.sweeper.writers.get() == 0 && !shared.sweeper.candidates.borrow().is_empty() {
        let _roots = shared.roots.lock().await;
        // If this fails the blocks wait for the next sweep.
        let _ = sweep(&shared, None).await;
    }
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
    if missing == Missing::Fails {
        check_held(shared, &stack).await?;
    }
    while let Some(cid) = stack.pop() {
        visit(&cid);
        if Codec::of(&cid)? == Codec::Raw || !seen.insert(cid) {
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
        if missing == Missing::Fails {
            check_held(shared, &below).await?;
        }
        stack.extend(below.into_iter().rev());
    }
    Ok(whole)
}

/// Fails at the first block that the local tier does not hold, whatever a cache may have.
async fn check_held(shared: &Shared, cids: &[Cid]) -> Result<()> {
    let (cids, keys): (Vec<Cid>, Vec<Key>) = cids.iter().filter_map(|cid| Some((*cid, block::key(cid)?))).unzip();
    let held = shared.tier.has(&keys).await?;
    match cids.into_iter().zip(held).find(|(_, held)| !held) {
        Some((cid, _)) => Err(Error::NotAvailableOffline { cid, reason: shared.options.offline }),
        None => Ok(()),
    }
}
