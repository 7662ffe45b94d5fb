//! Dropping what nothing reaches any more: after a deletion or an eviction, or after an import that failed.
//!
//! What may have become garbage is a candidate. Candidates that callers under way rely on wait until these are done.

use std::{
    cell::{Cell, RefCell},
    collections::HashSet,
    rc::Rc,
};

use super::{
    Shared,
    keepers::{Keeper, Keepers},
    relied::Watch,
    walk::{Walk, walk_held},
};
use crate::{
    block::{self, Cid, Key},
    error::{Error, Result},
    tier::{Amount, Commit, Guard},
};

/// Most candidates, in some 20 MiB of memory; what is over waits for a collection.
const MAX_CANDIDATES: usize = 256 * 1024;

/// Blocks dropped in one commit: a tier holds up everything else for that long.
pub const MAX_DROPS: usize = 8 * 1024;

/// Steps of compaction after a sweep, of some 4 MiB each: who waits for it must not wait for long. Later sweeps and
/// collections go on.
const MAX_COMPACTIONS: usize = 4;

/// What may be dropped.
#[derive(Default)]
pub struct Sweeper {
    candidates: RefCell<HashSet<Key>>,
    /// Put by themselves while files are being stored: one that fails does not take them along.
    spared: RefCell<HashSet<Key>>,
    /// Some candidates wait.
    postponed: Cell<bool>,
}

/// As long as it lives, nothing that its holder writes or looks up is dropped.
pub struct Open {
    shared: Rc<Shared>,
    _watch: Watch,
    _guard: Guard,
}

/// Says that a file is about to be stored, or fetched, or pinned.
pub async fn enter(shared: &Rc<Shared>) -> Result<Open> {
    let watch = shared.relied.enter();
    Ok(Open { shared: shared.clone(), _watch: watch, _guard: shared.tier.enter().await? })
}

/// Says that these blocks are about to be put, as blocks and not as parts of a file: they are no candidates any more,
/// whatever they were before.
pub async fn enter_to_put(shared: &Rc<Shared>, keys: impl IntoIterator<Item = Key>) -> Result<Open> {
    let storing = shared.relied.is_in_use();
    {
        let Sweeper { candidates, spared, .. } = &shared.sweeper;
        let (mut candidates, mut spared) = (candidates.borrow_mut(), spared.borrow_mut());
        for key in keys {
            candidates.remove(&key);
            if storing && spared.len() < MAX_CANDIDATES {
                spared.insert(key);
            }
        }
    }
    shared.room.litter();
    enter(shared).await
}

/// Notes blocks that may have become garbage.
pub fn suspect(shared: &Shared, keys: impl IntoIterator<Item = Key>) {
    let spared = shared.sweeper.spared.borrow();
    let mut candidates = shared.sweeper.candidates.borrow_mut();
    // When not all that is to be spared could be noted, nothing is a candidate.
    let room = if spared.len() < MAX_CANDIDATES { MAX_CANDIDATES.saturating_sub(candidates.len()) } else { 0 };
    let before = candidates.len();
    candidates.extend(keys.into_iter().filter(|key| !spared.contains(key)).take(room));
    if candidates.len() == before + room {
        shared.room.litter();
    }
    shared.sweeper.postponed.set(true);
}

/// Drops blocks, unless a root or a pin reaches one of them, or a caller under way may need it.
pub async fn drop_blocks(shared: &Rc<Shared>, keys: HashSet<Key>) -> Result<()> {
    let in_use =
        || Error::Denied("files are being stored or fetched, and may need these blocks; try again later".into());
    let _watch = shared.relied.watch();
    let _right = shared.tier.alone().await?.ok_or_else(in_use)?;
    let (mut keepers, mut walk) = (Keepers::default(), Walk::default());
    loop {
        let page = keepers.next_page(shared).await?;
        if page.is_empty() {
            break;
        }
        for keeper in page {
            let mut reached = None;
            let mut look = |cid: &Cid| {
                if reached.is_none() && block::key(cid).is_some_and(|key| keys.contains(&key)) {
                    reached = Some(cid.clone());
                }
            };
            let known = visit(shared, &keeper, &mut walk, &mut look).await?;
            let Keeper { cid: keeper, .. } = keeper;
            if let Some(cid) = reached {
                return Err(Error::Denied(format!("{cid} is part of {keeper}, which is stored, pinned or named here")));
            }
            if !known {
                let problem = format!("part of {keeper} cannot be read, so that nobody can tell which blocks it needs");
                return Err(Error::Denied(problem));
            }
        }
    }
    if keys.iter().any(|key| shared.relied.spares(key)) {
        return Err(in_use());
    }
    let keys: Vec<Key> = keys.into_iter().collect();
    for keys in keys.chunks(MAX_DROPS) {
        drop_now(shared, keys).await?;
    }
    Ok(())
}

/// Drops those of these blocks that nobody under way relies on.
pub async fn drop_now(shared: &Shared, keys: &[Key]) -> Result<Amount> {
    let drop_blocks: Vec<Key> = keys.iter().filter(|key| !shared.relied.spares(key)).copied().collect();
    if drop_blocks.is_empty() {
        return Ok(Amount::default());
    }
    let durability = shared.options.durability;
    // No turn of anybody else may come between the look at the marks and this.
    let done = shared.blocks.commit(Commit { drop_blocks, durability, ..Commit::default() }).await?;
    Ok(done.dropped)
}

/// Drops those of these roots that are not pinned, with whatever else this says, and then what only they reached.
pub async fn forget(shared: &Rc<Shared>, commit: Commit) -> Result<Amount> {
    for root in &commit.drop_roots {
        let mut keys = Vec::new();
        walk_held(shared, root, &mut |cid| keys.extend(block::key(cid))).await?;
        suspect(shared, keys);
    }
    let durability = shared.options.durability;
    shared.blocks.commit(Commit { durability, ..commit }).await?;
    sweep(shared).await
}

/// Drops the candidates that nothing reaches.
pub async fn sweep(shared: &Rc<Shared>) -> Result<Amount> {
    let Sweeper { candidates, postponed, .. } = &shared.sweeper;
    let mut dropped = Amount::default();
    let _watch = shared.relied.watch();
    let examined = candidates.borrow().clone();
    postponed.set(!examined.is_empty());
    let Some(_right) = shared.tier.alone().await?.filter(|_| !shared.relied.spares_all()) else { return Ok(dropped) };
    let Some(garbage) = garbage(shared, examined.clone()).await? else { return Ok(dropped) };
    let keys: Vec<Key> = garbage.iter().copied().collect();
    for batch in keys.chunks(MAX_DROPS) {
        dropped.add(drop_now(shared, batch).await?);
    }
    // What is reached is none any more. What somebody relies on may be garbage once he is done.
    let waits = |key: &Key| !examined.contains(key) || (garbage.contains(key) && shared.relied.spares(key));
    candidates.borrow_mut().retain(waits);
    postponed.set(!candidates.borrow().is_empty());
    if dropped.blocks > 0 {
        compact(shared).await;
    }
    Ok(dropped)
}

/// Gives some room back to the medium: what was dropped is dropped in any case, so that a failure may pass.
async fn compact(shared: &Shared) {
    for _ in 0..MAX_COMPACTIONS {
        if !shared.tier.compact().await.is_ok_and(|done| done.more) {
            break;
        }
    }
}

/// Those that nothing reaches; none if that cannot be known: below a node that cannot be read nobody can tell what is
/// reachable.
async fn garbage(shared: &Rc<Shared>, mut candidates: HashSet<Key>) -> Result<Option<HashSet<Key>>> {
    let (mut keepers, mut walk) = (Keepers::default(), Walk::default());
    while !candidates.is_empty() {
        let page = keepers.next_page(shared).await?;
        if page.is_empty() {
            break;
        }
        for keeper in page {
            let mut keep = |cid: &Cid| {
                block::key(cid).inspect(|key| _ = candidates.remove(key));
            };
            if !visit(shared, &keeper, &mut walk, &mut keep).await? {
                return Ok(None);
            }
        }
    }
    Ok(Some(candidates))
}

/// Sweeps what had to wait for whoever was under way, now that nobody is.
pub async fn leave(open: Open) {
    let shared = open.shared.clone();
    drop(open);
    if shared.relied.is_in_use() {
        return;
    }
    shared.sweeper.spared.take();
    if shared.sweeper.postponed.get() {
        let store = shared.clone();
        // If this fails the blocks wait for the next sweep.
        let _ = shared.roots.pass(async move { sweep(&store).await.map(drop) }).await;
    }
}

/// Visits what of it is held, but for nodes that the walk has seen. Tells whether all that it needs is known: what is still
/// to come of a pin is not needed yet.
pub async fn visit(shared: &Shared, keeper: &Keeper, walk: &mut Walk, visit: &mut dyn FnMut(&Cid)) -> Result<bool> {
    if !keeper.recursive {
        visit(&keeper.cid);
        return Ok(true);
    }
    walk.begin(&keeper.cid);
    loop {
        if let Some(walked) = walk.step(shared, visit).await? {
            return Ok(keeper.knows(walked));
        }
    }
}
