//! Collections under way, and evictions to be told.

use std::{cell::RefCell, collections::VecDeque, rc::Rc};

use super::world::{
    exports::ipfs_kit::storage::storage::{Collection, GuestCollection},
    ipfs_kit::storage::types as wit,
};
use crate::{
    platform::wasi::run,
    storage::{self, CollectOptions, CollectPhase, CollectProgress, CollectReport, Evicted, EvictionReason, Storage},
};

/// Evictions that wait to be asked for.
const MAX_EVICTIONS: usize = 1000;

pub struct OpenCollection(RefCell<storage::Collection>);

pub fn begin(storage: &Storage, dry_run: bool) -> Result<Collection, wit::Error> {
    let collection = storage.collection(CollectOptions { dry_run })?;
    Ok(Collection::new(OpenCollection(RefCell::new(collection))))
}

impl GuestCollection for OpenCollection {
    fn step(&self) -> Result<Option<wit::CollectionProgress>, wit::Error> {
        Ok(run(self.0.borrow_mut().step())?.map(wit::CollectionProgress::from))
    }

    fn report(&self) -> wit::CollectionReport {
        self.0.borrow().report().clone().into()
    }
}

impl From<CollectProgress> for wit::CollectionProgress {
    fn from(progress: CollectProgress) -> Self {
        let CollectProgress { phase, keepers, examined, held, freed } = progress;
        wit::CollectionProgress {
            phase: match phase {
                CollectPhase::Marking => wit::CollectionPhase::Marking,
                CollectPhase::Sweeping => wit::CollectionPhase::Sweeping,
                CollectPhase::Compacting => wit::CollectionPhase::Compacting,
            },
            keepers,
            examined,
            held,
            freed_blocks: freed.blocks,
            freed_bytes: freed.bytes,
        }
    }
}

impl From<CollectReport> for wit::CollectionReport {
    fn from(report: CollectReport) -> Self {
        wit::CollectionReport {
            dry_run: report.dry_run,
            began: report.began,
            ended: report.ended,
            freed_blocks: report.freed_blocks,
            freed_bytes: report.freed_bytes,
            given_back: report.given_back,
            pinned: report.pinned,
            stored: report.stored,
            in_use: report.in_use,
            obstacles: report.obstacles.iter().map(ToString::to_string).collect(),
            postponed: report.postponed,
        }
    }
}

/// The latest evictions that were not asked for yet.
#[derive(Default)]
pub struct Evictions(Rc<RefCell<VecDeque<Evicted>>>);

impl Evictions {
    /// From now on.
    pub fn of(storage: &Storage) -> Self {
        let told = Evictions::default();
        let waiting = told.0.clone();
        storage.on_evicted(Rc::new(move |evicted| {
            let mut waiting = waiting.borrow_mut();
            if waiting.len() == MAX_EVICTIONS {
                waiting.pop_front();
            }
            waiting.push_back(evicted.clone());
        }));
        told
    }

    /// Gives them, once.
    pub fn take(&self) -> Vec<wit::Eviction> {
        let told = |Evicted { cid, filename, size, reason, when }| wit::Eviction {
            cid: cid.to_string(),
            filename,
            size,
            reason: match reason {
                EvictionReason::Limit => wit::EvictionReason::Limit,
                EvictionReason::MediumFull => wit::EvictionReason::MediumFull,
            },
            at: when,
        };
        self.0.take().into_iter().map(told).collect()
    }
}
