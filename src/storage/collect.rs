//! Collection: finds what no root and no pin reaches, and drops it, in steps that are bounded in time.
//!
//! Others store, read, pin and delete meanwhile. What they write or rely on from the beginning of the run is marked
//! (`relied.rs`) and is not taken; roots and pins that appear in another tab are walked before anything is dropped.

use std::{collections::HashSet, mem, rc::Rc, vec};

use minicbor::{Decode, Encode};

use super::{
    Shared, Storage,
    keepers::{Keeper, Keepers},
    relied::{Watch, mark},
    sweep::{self, MAX_DROPS},
    walk::{Walk, Walked},
};
use crate::{
    block::{self, Cid, Key},
    error::{Error, Result},
    tier::{Amount, Commit, Compacted, Durability},
};

/// A step ends after so many milliseconds, and with what it has begun by then: a few blocks read, or a page of keys.
const STEP_MILLISECONDS: u64 = 8;

/// Keys looked at together. What is dropped of them goes in one commit, which writes each record of IndexedDB anew that has
/// one of these blocks: a smaller number would write them more often.
const KEYS_AT_ONCE: usize = 4 * 1024;

/// Roots told of that stand in the way.
const MAX_OBSTACLES: usize = 16;

/// Under which name the last report is kept.
const LAST: &str = "last collection";

/// What to collect.
#[derive(Debug, Clone, Copy, Default)]
pub struct CollectOptions {
    /// Tell what would go, and drop nothing.
    pub dry_run: bool,
}

/// How far a collection is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CollectProgress {
    /// What it does.
    pub phase: CollectPhase,
    /// Roots and pins walked.
    pub keepers: u64,
    /// Blocks looked at, of all that were held when it began.
    pub examined: u64,
    /// Blocks held when it began.
    pub held: u64,
    /// What was dropped so far, or would be.
    pub freed: Amount,
}

/// What a collection does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CollectPhase {
    /// It walks what must stay.
    Marking,
    /// It drops what is left.
    Sweeping,
    /// The tier gives the room back.
    Compacting,
}

impl CollectPhase {
    /// Its name, as in `wit/types.wit`.
    pub const fn name(self) -> &'static str {
        match self {
            CollectPhase::Marking => "marking",
            CollectPhase::Sweeping => "sweeping",
            CollectPhase::Compacting => "compacting",
        }
    }
}

/// What a collection did, and why the rest stayed.
#[derive(Debug, Clone, Default, PartialEq, Eq, Encode, Decode)]
pub struct CollectReport {
    /// Whether it only told what would go.
    #[n(0)]
    pub dry_run: bool,
    /// When it began, in milliseconds since the Unix epoch,
    #[n(1)]
    pub began: u64,
    /// and when it ended.
    #[n(2)]
    pub ended: u64,
    /// Blocks that were dropped, or would be.
    #[n(3)]
    pub freed_blocks: u64,
    /// Their bytes.
    #[n(4)]
    pub freed_bytes: u64,
    /// Bytes that compaction gave back to the medium, also of what was dropped earlier.
    #[n(8)]
    pub given_back: u64,
    /// Blocks that stayed because a pin reaches them.
    #[n(5)]
    pub pinned: u64,
    /// Blocks that stayed because a stored root or a name reaches them, and no pin.
    #[n(6)]
    pub stored: u64,
    /// Blocks that stayed because they were written, or relied on, while it ran.
    #[n(7)]
    pub in_use: u64,
    /// Roots and pins below which something is missing or cannot be read, so that nobody can tell what they need: nothing
    /// was dropped. At most 16 of them.
    #[cbor(skip)]
    pub obstacles: Vec<Cid>,
    /// Whether it dropped less than it could have, because another tab was storing or fetching at that moment, or too much
    /// was going on here.
    #[n(9)]
    pub postponed: bool,
}

/// A collection under way. Dropped, it ends; what it has dropped by then was garbage.
pub struct Collection {
    shared: Rc<Shared>,
    /// What is written from now on is marked.
    _watch: Watch,
    _running: Running,
    begun: bool,
    /// A step is under way, or was not done to its end.
    stepping: bool,
    /// Whether it runs behind the gate of what changes pins.
    gated: bool,
    work: Work,
    /// Reached by a pin,
    pinned: HashSet<u64>,
    /// or by a stored root alone.
    stored: HashSet<u64>,
    /// The roots and pins that were walked as a whole,
    known: HashSet<Cid>,
    /// and what others had changed before that.
    changes: u64,
    keepers: u64,
    examined: u64,
    held: u64,
    freed: Amount,
    report: CollectReport,
}

/// What is next.
enum Work {
    /// What pins reach, then what stored roots reach, then what is here of pins that are pending, and of what is named.
    Mark(Box<Marking>),
    /// What comes after this key.
    Sweep {
        after: Option<Key>,
    },
    Compact,
    Ended,
}

struct Marking {
    keepers: Keepers,
    page: vec::IntoIter<Keeper>,
    walk: Walk,
    of: Option<Keeper>,
}

/// Says that no other collection of this store runs here.
struct Running(Rc<Shared>);

impl Drop for Running {
    fn drop(&mut self) {
        self.0.collecting.set(false);
    }
}

impl Storage {
    /// Begins a collection: nothing happens before its first step. [`Error::Denied`] when another one is under way.
    ///
    /// Blocks that were put by themselves, and ranges that were fetched, belong to no root: they go, unless they are pinned.
    pub fn collection(&self, options: CollectOptions) -> Result<Collection> {
        Collection::new(self.shared.clone(), options, false)
    }

    /// Collects all at once.
    pub async fn collect(&self, options: CollectOptions) -> Result<CollectReport> {
        let mut collection = self.collection(options)?;
        while collection.step().await?.is_some() {}
        Ok(collection.report().clone())
    }
}

impl Collection {
    pub(super) fn new(shared: Rc<Shared>, options: CollectOptions, gated: bool) -> Result<Self> {
        if shared.collecting.replace(true) {
            return Err(Error::Denied("another collection of this store is under way; wait for it, or end it".into()));
        }
        let running = Running(shared.clone());
        let report = CollectReport { dry_run: options.dry_run, began: shared.clock.now(), ..CollectReport::default() };
        Ok(Collection {
            _watch: shared.relied.watch(),
            _running: running,
            work: Work::Mark(Box::new(Marking {
                keepers: Keepers::default(),
                page: Vec::new().into_iter(),
                walk: Walk::default(),
                of: None,
            })),
            pinned: HashSet::new(),
            stored: HashSet::new(),
            known: HashSet::new(),
            changes: 0,
            begun: false,
            stepping: false,
            gated,
            keepers: 0,
            examined: 0,
            held: 0,
            freed: Amount::default(),
            report,
            shared,
        })
    }

    /// Goes on for some milliseconds, and tells how far it is; none: it has ended.
    ///
    /// After a step that failed or was dropped nobody can tell what it had walked: there is no other one
    /// ([`Error::Cancelled`]), and a new collection is to be begun.
    pub async fn step(&mut self) -> Result<Option<CollectProgress>> {
        if mem::replace(&mut self.stepping, true) {
            return Err(Error::Cancelled);
        }
        let progress = self.go_on().await?;
        self.stepping = false;
        Ok(progress)
    }

    async fn go_on(&mut self) -> Result<Option<CollectProgress>> {
        let until = self.shared.clock.now() + STEP_MILLISECONDS;
        loop {
            let phase = match &self.work {
                Work::Mark(_) => CollectPhase::Marking,
                Work::Sweep { .. } => CollectPhase::Sweeping,
                Work::Compact => CollectPhase::Compacting,
                Work::Ended => return Ok(None),
            };
            match phase {
                CollectPhase::Marking => self.mark().await?,
                CollectPhase::Sweeping => self.sweep().await?,
                CollectPhase::Compacting => self.compact().await?,
            }
            let Collection { keepers, examined, held, freed, .. } = *self;
            if self.shared.clock.now() >= until {
                return Ok(Some(CollectProgress { phase, keepers, examined, held, freed }));
            }
        }
    }

    /// What it has done so far; all of it, when it has ended.
    pub fn report(&self) -> &CollectReport {
        &self.report
    }

    async fn mark(&mut self) -> Result<()> {
        if !mem::replace(&mut self.begun, true) {
            if !self.gated {
                self.shared.end_pins().await?;
            }
            self.changes = self.shared.tier.changes_by_others().await?;
            self.held = self.shared.tier.usage().await?.blocks;
            self.shared.room.tidied();
        }
        let Work::Mark(marking) = &mut self.work else { return Ok(()) };
        let Marking { keepers, page, walk, of } = marking.as_mut();
        let Some(keeper) = of.clone() else {
            match page.next() {
                Some(next) => {
                    self.keepers += 1;
                    if next.recursive {
                        walk.begin(&next.cid);
                    }
                    *of = Some(next);
                }
                None => {
                    *page = keepers.next_page(&self.shared).await?.into_iter();
                    if page.as_slice().is_empty() {
                        self.marked();
                    }
                }
            }
            return Ok(());
        };
        let (pinned, stored) = (&mut self.pinned, &mut self.stored);
        let mut reach = |cid: &Cid| {
            if let Some(mark) = block::key(cid).as_ref().map(mark) {
                match keeper.pinned {
                    true => _ = pinned.insert(mark),
                    false if !pinned.contains(&mark) => _ = stored.insert(mark),
                    false => {}
                }
            }
        };
        let walked = match keeper.recursive {
            true => walk.step(&self.shared, &mut reach).await?,
            false => {
                reach(&keeper.cid);
                Some(Walked::Whole)
            }
        };
        if let Some(walked) = walked {
            *of = None;
            // Of a pending pin more may come; a direct one may become one of all.
            if keeper.recursive && walked == Walked::Whole {
                self.known.insert(keeper.cid.clone());
            }
            if !keeper.knows(walked) && self.report.obstacles.len() < MAX_OBSTACLES {
                self.report.obstacles.push(keeper.cid.clone());
            }
        }
        Ok(())
    }

    fn marked(&mut self) {
        self.work = match self.report.obstacles.is_empty() {
            true => Work::Sweep { after: None },
            // What is missing may link to anything.
            false => Work::Compact,
        };
    }

    async fn sweep(&mut self) -> Result<()> {
        let Work::Sweep { after } = &self.work else { return Ok(()) };
        let keys = self.shared.tier.keys(after.as_ref(), KEYS_AT_ONCE.min(MAX_DROPS)).await?;
        let Some(last) = keys.last().copied() else {
            self.work = Work::Compact;
            return Ok(());
        };
        self.examined += keys.len() as u64;
        let mut garbage = Vec::new();
        for key in keys {
            let mark = mark(&key);
            match (self.pinned.contains(&mark), self.stored.contains(&mark)) {
                (true, _) => self.report.pinned += 1,
                (false, true) => self.report.stored += 1,
                (false, false) if self.shared.relied.spares(&key) => self.report.in_use += 1,
                (false, false) => garbage.push(key),
            }
        }
        if self.report.dry_run {
            let lengths = self.shared.tier.lengths(&garbage).await?;
            lengths.into_iter().flatten().for_each(|bytes| self.freed.count(bytes));
        } else if !garbage.is_empty() {
            let dropped = self.drop(garbage).await?;
            self.freed.add(dropped);
        }
        self.report.freed_blocks = self.freed.blocks;
        self.report.freed_bytes = self.freed.bytes;
        self.work = Work::Sweep { after: Some(last) };
        Ok(())
    }

    /// Drops these, unless somebody in another tab is under way.
    async fn drop(&mut self, mut garbage: Vec<Key>) -> Result<Amount> {
        let right = self.shared.tier.alone().await?;
        if right.is_none() || self.shared.relied.spares_all() || !self.catch_up().await? {
            self.report.postponed = true;
            return Ok(Amount::default());
        }
        garbage.retain(|key| !self.stored.contains(&mark(key)));
        sweep::drop_now(&self.shared, &garbage).await
    }

    /// Marks what was stored or pinned in other tabs since it was marked last. Tells whether all of it is known.
    async fn catch_up(&mut self) -> Result<bool> {
        let changes = self.shared.tier.changes_by_others().await?;
        if changes == self.changes {
            return Ok(true);
        }
        let (mut keepers, mut walk, mut whole) = (Keepers::default(), Walk::default(), true);
        let stored = &mut self.stored;
        let mut reach = |cid: &Cid| stored.extend(block::key(cid).as_ref().map(mark));
        loop {
            let page = keepers.next_page(&self.shared).await?;
            if page.is_empty() {
                break;
            }
            for keeper in page.iter().filter(|keeper| !self.known.contains(&keeper.cid)) {
                whole &= sweep::visit(&self.shared, keeper, &mut walk, &mut reach).await?;
            }
        }
        self.changes = changes;
        Ok(whole)
    }

    async fn compact(&mut self) -> Result<()> {
        if !self.report.dry_run {
            let Compacted { freed, more, .. } = self.shared.tier.compact().await?;
            self.report.given_back += freed;
            if more {
                return Ok(());
            }
        }
        self.work = Work::Ended;
        self.report.ended = self.shared.clock.now();
        if !self.report.dry_run {
            let note = minicbor::to_vec(&self.report).unwrap_or_default();
            let notes = vec![(LAST.to_owned(), Some(note.into()))];
            let commit = Commit { notes, durability: Durability::Relaxed, ..Commit::default() };
            self.shared.blocks.commit(commit).await?;
        }
        Ok(())
    }
}

impl Shared {
    /// What the last collection that ended did, also before the store was opened.
    pub(super) async fn last_collection(&self) -> Option<CollectReport> {
        let note = self.tier.note(LAST).await.ok().flatten()?;
        minicbor::decode(&note).ok()
    }
}
