//! Checks under way.

use std::cell::RefCell;

use super::world::{
    exports::ipfs_kit::storage::storage::{Check, GuestCheck},
    ipfs_kit::storage::types as wit,
};
use crate::{
    platform::wasi::run,
    storage::{self, Fault, Finding, Storage, Tally},
};

pub struct OpenCheck(RefCell<storage::Check>);

pub fn begin(storage: &Storage, options: wit::VerifyOptions) -> Result<Check, wit::Error> {
    let wit::VerifyOptions { sample, seed, repair, offline } = options;
    let check = storage.check(storage::VerifyOptions { sample, seed, repair, offline })?;
    Ok(Check::new(OpenCheck(RefCell::new(check))))
}

impl GuestCheck for OpenCheck {
    fn step(&self) -> Result<Option<wit::VerifyProgress>, wit::Error> {
        let progress = run(self.0.borrow_mut().step())?;
        let told =
            |storage::Progress { blocks, total, bytes, keepers }| wit::VerifyProgress { blocks, total, bytes, keepers };
        Ok(progress.map(told))
    }

    fn report(&self) -> wit::VerifyReport {
        let check = self.0.borrow();
        let report = check.report();
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
