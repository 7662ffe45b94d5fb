//! What collections, checks and evictions tell, in the types of `wit/types.wit`.

use std::{cell::RefCell, collections::VecDeque, rc::Rc};

use super::wit;
use crate::storage::{
    CollectPhase, CollectProgress, CollectReport, Evicted, EvictionReason, Fault, Finding, Report, Storage, Tally,
};

/// Evictions that wait to be asked for.
const MAX_EVICTIONS: usize = 1000;

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
                EvictionReason::Age => wit::EvictionReason::Age,
            },
            at: when,
        };
        self.0.take().into_iter().map(told).collect()
    }
}

impl From<&Report> for wit::VerifyReport {
    fn from(report: &Report) -> Self {
        let tally = |Tally { found, repaired }: Tally| wit::Tally { found, repaired };
        wit::VerifyReport {
            finished: report.finished,
            sound: report.is_sound(),
            seed: report.seed,
            blocks: report.blocks,
            checked: report.checked,
            bytes: report.bytes,
            keepers: report.keepers,
            sizes: report.sizes,
            figures_compared: report.figures_compared,
            unreached: report.unreached,
            unreached_bytes: report.unreached_bytes,
            corrupt: tally(report.corrupt),
            unreadable: tally(report.unreadable),
            missing: tally(report.missing),
            unwalked: tally(report.unwalked),
            pin_sizes: tally(report.pin_sizes),
            figures: tally(report.figures),
            findings: report.findings.iter().map(finding).collect(),
        }
    }
}

fn finding(finding: &Finding) -> wit::Finding {
    wit::Finding {
        fault: match finding.fault {
            Fault::Corrupt => wit::Fault::Corrupt,
            Fault::Unreadable => wit::Fault::Unreadable,
            Fault::Missing => wit::Fault::Missing,
            Fault::Unwalked => wit::Fault::Unwalked,
            Fault::PinSize => wit::Fault::PinSize,
            Fault::Figures => wit::Fault::Figures,
        },
        cid: finding.cid.as_ref().map(ToString::to_string),
        found: finding.found,
        repaired: finding.repaired,
        some: finding.some.iter().map(ToString::to_string).collect(),
        detail: finding.detail.clone(),
    }
}
