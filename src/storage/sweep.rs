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

use super::{MAX_PAGE, Shared, fetch::Source};
use crate::{
    block::{self, Cid, Codec, Key},
    dag,
    error::{Error, Result},
    tier::Commit,
    unixfs::BlockSource,
};

/// Most candidates, in some 20 MiB of memory; what is over waits for a garbage collection.
const MAX_CANDIDATES: usize = 256 * 1024;

/// Blocks dropped in one commit: a tier holds up everything else for that long.
const MAX_DROPS: usize = 8 * 1024;

/// Who is writing, and what may be dropped when nobody is.
#[derive(Default)]
pub struct Sweeper {
    writers: Cell<usize>,
    candidates: RefCell<HashSet<Key>>,
    /// Somebody wanted to sweep while files were being stored.
    postponed: Cell<bool>,
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
    let mut candidates = shared.sweeper.candidates.borrow_mut();
    let room = MAX_CANDIDATES.saturating_sub(candidates.len());
    candidates.extend(keys.into_iter().take(room));
    shared.sweeper.postponed.set(true);
}

/// Forgets a root, and drops what only it reached.
pub async fn delete(shared: &Rc<Shared>, root: &Cid) -> Result<()> {
    let mut keys = Vec::new();
    let mut note = |cid: &Cid| keys.extend(block::key(cid));
    walk(shared, root, &mut note).await?;
    suspect(shared, keys);
    sweep(shared, Some(root)).await
}

/// Drops the candidates that no root reaches, and forgets `root` with the first of them.
pub async fn sweep(shared: &Rc<Shared>, root: Option<&Cid>) -> Result<()> {
    let _sweeping = shared.sweeper.sweeping.lock().await;
    let busy = shared.sweeper.writers.get() > 0;
    shared.sweeper.postponed.set(busy);
    let garbage = if busy { None } else { garbage(shared, root).await? };
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
            if !walk(shared, &stored.root.cid, &mut keep).await? {
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
    if shared.sweeper.writers.get() == 0 && shared.sweeper.postponed.get() {
        let _roots = shared.roots.lock().await;
        // If this fails the blocks wait for the next sweep.
        let _ = sweep(&shared, None).await;
    }
}

/// Visits the part of a DAG that is held, each node once; leaves may come more than once. Tells whether every node could
/// be read.
async fn walk(shared: &Shared, root: &Cid, visit: &mut dyn FnMut(&Cid)) -> Result<bool> {
    let mut whole = true;
    let mut seen = HashSet::new();
    let mut stack = vec![*root];
    while let Some(cid) = stack.pop() {
        visit(&cid);
        if Codec::of(&cid)? == Codec::Raw || !seen.insert(cid) {
            continue;
        }
        match below(shared.blocks.as_ref(), &cid).await {
            Ok(below) => stack.extend(below.into_iter().rev()),
            Err(Error::NotAvailableOffline { .. } | Error::Corrupt { .. } | Error::Unsupported(_)) => whole = false,
            Err(error) => return Err(error),
        }
    }
    Ok(whole)
}

/// Goes through a DAG of which everything must be held, or be fetched.
pub async fn walk_all(source: &Source, root: &Cid) -> Result<()> {
    let mut seen = HashSet::new();
    let mut stack = vec![*root];
    source.ensure(&stack).await?;
    while let Some(cid) = stack.pop() {
        if Codec::of(&cid)? == Codec::Raw || !seen.insert(cid) {
            continue;
        }
        let below = below(source, &cid).await?;
        source.ensure(&below).await?;
        stack.extend(below.into_iter().rev());
    }
    Ok(())
}

async fn below(source: &dyn BlockSource, cid: &Cid) -> Result<Vec<Cid>> {
    source.blocks(&[*cid]).await?.first().map_or(Ok(Vec::new()), dag::links)
}
