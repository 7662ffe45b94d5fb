//! Dropping what nothing reaches any more: after a deletion, or after an import that failed.
//!
//! What a file being stored has written ahead is not reachable yet, so nothing is dropped while one is open; the
//! candidates wait for the next occasion.

use std::{
    cell::{Cell, RefCell},
    collections::HashSet,
    rc::Rc,
};

use super::{
    Shared,
    fetch::Source,
    gate::Gate,
    keepers::{Keeper, Keepers},
};
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
    /// Who stores or fetches a file, and may need any block that is held.
    writers: Cell<usize>,
    /// Who puts single blocks.
    putters: Cell<usize>,
    candidates: RefCell<HashSet<Key>>,
    /// Put by themselves while files are being stored: one that fails does not take them along.
    spared: RefCell<HashSet<Key>>,
    /// Somebody wanted to sweep while files were being stored.
    postponed: Cell<bool>,
    sweeping: Gate,
}

/// As long as it lives, nothing is swept.
pub struct Open {
    shared: Rc<Shared>,
    puts: bool,
}

/// Says that a file is about to be stored; waits for a sweep under way.
pub async fn enter(shared: &Rc<Shared>) -> Open {
    shared.sweeper.sweeping.clear().await;
    Open::new(shared, false)
}

/// Says that these blocks are about to be put, as blocks and not as parts of a file: they are no candidates any more,
/// whatever they were before. Waits for a sweep under way.
pub async fn enter_to_put(shared: &Rc<Shared>, keys: impl IntoIterator<Item = Key>) -> Open {
    shared.sweeper.sweeping.clear().await;
    let Sweeper { writers, candidates, spared, .. } = &shared.sweeper;
    let (mut candidates, mut spared) = (candidates.borrow_mut(), spared.borrow_mut());
    for key in keys {
        candidates.remove(&key);
        if writers.get() > 0 && spared.len() < MAX_CANDIDATES {
            spared.insert(key);
        }
    }
    Open::new(shared, true)
}

impl Open {
    fn new(shared: &Rc<Shared>, puts: bool) -> Self {
        let open = Open { shared: shared.clone(), puts };
        open.count().set(open.count().get() + 1);
        open
    }

    fn count(&self) -> &Cell<usize> {
        if self.puts { &self.shared.sweeper.putters } else { &self.shared.sweeper.writers }
    }
}

impl Sweeper {
    fn is_busy(&self) -> bool {
        self.writers.get() > 0 || self.putters.get() > 0
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.count().set(self.count().get().saturating_sub(1));
        if self.shared.sweeper.writers.get() == 0 {
            self.shared.sweeper.spared.take();
        }
    }
}

/// Notes blocks that may have become garbage.
pub fn suspect(shared: &Shared, keys: impl IntoIterator<Item = Key>) {
    let spared = shared.sweeper.spared.borrow();
    let mut candidates = shared.sweeper.candidates.borrow_mut();
    // When not all that is to be spared could be noted, nothing is a candidate.
    let room = if spared.len() < MAX_CANDIDATES { MAX_CANDIDATES.saturating_sub(candidates.len()) } else { 0 };
    candidates.extend(keys.into_iter().filter(|key| !spared.contains(key)).take(room));
    shared.sweeper.postponed.set(true);
}

/// Drops blocks, unless a root reaches one of them, or a file being stored or fetched may.
pub async fn drop_blocks(shared: &Rc<Shared>, keys: HashSet<Key>) -> Result<()> {
    shared.sweeper.sweeping.pass(drop_unneeded(shared.clone(), keys)).await
}

async fn drop_unneeded(shared: Rc<Shared>, keys: HashSet<Key>) -> Result<()> {
    if shared.sweeper.writers.get() > 0 {
        return Err(Error::Denied(
            "files are being stored or fetched, and may need these blocks; try again later".into(),
        ));
    }
    let mut keepers = Keepers::default();
    loop {
        let page = keepers.next_page(&shared).await?;
        if page.is_empty() {
            break;
        }
        for keeper in page {
            let mut reached = None;
            let mut look = |cid: &Cid| {
                reached = reached.or(block::key(cid).filter(|key| keys.contains(key)).map(|_| *cid));
            };
            let known = visit(&shared, &keeper, &mut look).await?;
            let Keeper { cid: keeper, .. } = keeper;
            if let Some(cid) = reached {
                return Err(Error::Denied(format!("{cid} is part of {keeper}, which is stored or pinned here")));
            }
            if !known {
                let problem = format!("part of {keeper} cannot be read, so that nobody can tell which blocks it needs");
                return Err(Error::Denied(problem));
            }
        }
    }
    let keys: Vec<Key> = keys.into_iter().collect();
    for drop_blocks in keys.chunks(MAX_DROPS).map(<[Key]>::to_vec) {
        let durability = shared.options.durability;
        shared.blocks.commit(Commit { drop_blocks, durability, ..Commit::default() }).await?;
    }
    Ok(())
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
    shared.sweeper.sweeping.pass(drop_garbage(shared.clone(), root.copied())).await
}

async fn drop_garbage(shared: Rc<Shared>, root: Option<Cid>) -> Result<()> {
    let busy = shared.sweeper.is_busy();
    shared.sweeper.postponed.set(busy);
    let garbage = if busy { None } else { garbage(&shared, root.as_ref()).await? };
    let mut commit = Commit { drop_roots: root.into_iter().collect(), ..Commit::default() };
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
    let mut keepers = Keepers::default();
    while !garbage.is_empty() {
        let page = keepers.next_page(shared).await?;
        if page.is_empty() {
            break;
        }
        for keeper in page.iter().filter(|keeper| Some(&keeper.cid) != root) {
            let mut keep = |cid: &Cid| {
                block::key(cid).inspect(|key| _ = garbage.remove(key));
            };
            if !visit(shared, keeper, &mut keep).await? {
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
    if !shared.sweeper.is_busy() && shared.sweeper.postponed.get() {
        let store = shared.clone();
        // If this fails the blocks wait for the next sweep.
        let _ = shared.roots.pass(async move { sweep(&store, None).await }).await;
    }
}

/// Visits what of it is held. Tells whether all that it needs is known: what is still to come of a pin is not needed yet.
pub async fn visit(shared: &Shared, keeper: &Keeper, visit: &mut dyn FnMut(&Cid)) -> Result<bool> {
    if !keeper.recursive {
        visit(&keeper.cid);
        return Ok(true);
    }
    Ok(match walk(shared, &keeper.cid, visit).await? {
        Walked::Whole => true,
        Walked::Missing => keeper.pending,
        Walked::Unreadable => false,
    })
}

/// How much of a DAG could be walked.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Walked {
    /// All of it.
    Whole,
    /// Some nodes are not held.
    Missing,
    /// Some are held, and cannot be read.
    Unreadable,
}

/// Visits the part of a DAG that is held, each node once; leaves may come more than once.
async fn walk(shared: &Shared, root: &Cid, visit: &mut dyn FnMut(&Cid)) -> Result<Walked> {
    let mut walked = Walked::Whole;
    let mut seen = HashSet::new();
    let mut stack = vec![*root];
    while let Some(cid) = stack.pop() {
        visit(&cid);
        if Codec::of(&cid)? == Codec::Raw || !seen.insert(cid) {
            continue;
        }
        match below(shared.blocks.as_ref(), &cid).await {
            Ok(below) => stack.extend(below.into_iter().rev()),
            Err(Error::NotAvailableOffline { .. }) => walked = walked.max(Walked::Missing),
            Err(Error::Corrupt { .. } | Error::Unsupported(_)) => walked = Walked::Unreadable,
            Err(error) => return Err(error),
        }
    }
    Ok(walked)
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
        source.ensure_below(cid, &below).await?;
        stack.extend(below.into_iter().rev());
    }
    Ok(())
}

async fn below(source: &dyn BlockSource, cid: &Cid) -> Result<Vec<Cid>> {
    source.blocks(&[*cid]).await?.first().map_or(Ok(Vec::new()), dag::links)
}
