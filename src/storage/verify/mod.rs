//! Verifying a store: every block is hashed, or a sample of them, and what the roots and pins need is walked. What is
//! corrupt is set aside; to repair it, it is fetched again.
//!
//! A check goes on by steps, each bounded, and holds nothing up: others read and write meanwhile. It keeps 20 to 40 bytes
//! for each block held, and those it finds at fault.

mod report;
mod scan;
mod walk;

use std::collections::HashMap;

use cid::Version;
use futures_util::stream::{self, StreamExt};

pub use self::report::{Fault, Finding, Report, Tally};
use self::{scan::Scan, walk::Walk};
use super::Storage;
use crate::{
    block::{self, Cid, Codec, Key},
    error::{Error, Result},
};

/// Bytes read and hashed in a step.
const STEP_BYTES: u64 = 4 * 1024 * 1024;

/// Blocks looked at in a step, however small.
const STEP_BLOCKS: usize = 1024;

/// Blocks fetched in a step,
const FETCHED_IN_STEP: usize = 12;

/// and at once, as many as browsers allow to one host.
const FETCHED_AT_ONCE: usize = 6;

/// Corrupt blocks that are remembered for being fetched, in some 16 MiB.
const MAX_ASIDE: usize = 64 * 1024;

/// What to check.
#[derive(Debug, Clone, Copy, Default)]
pub struct VerifyOptions {
    /// The share of the blocks that are hashed, over 0 and up to 1; without it all of them.
    pub sample: Option<f64>,
    /// Which sample; without it the time decides.
    pub seed: Option<u32>,
    /// Whether to fetch what is corrupt or missing, and to set recorded sizes right.
    pub repair: bool,
    /// Whether no network may be used for it.
    pub offline: bool,
}

/// How far a check has come.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Progress {
    /// Blocks looked at,
    pub blocks: u64,
    /// of so many when it began.
    pub total: u64,
    /// Bytes hashed.
    pub bytes: u64,
    /// Roots and pins walked, when all blocks are.
    pub keepers: u64,
}

/// A check under way. Dropped, it ends; nothing is half done.
pub struct Check {
    storage: Storage,
    options: VerifyOptions,
    phase: Phase,
    report: Report,
    total: u64,
    scan: Scan,
    walk: Walk,
    /// The blocks held, by their marks.
    held: HashMap<u64, Block>,
    /// What was set aside, by the marks.
    aside: HashMap<u64, Aside>,
    /// What of it is still to be looked for.
    mending: Vec<u64>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Phase {
    Beginning,
    Scanning,
    Walking,
    Mending,
    Ended,
}

/// What is known of a block that is held.
struct Block {
    /// Its length, or [`UNKNOWN`].
    length: u32,
    /// The number of the root or pin that was the last to reach it; 0 for none.
    keeper: u32,
}

/// The length of a block that was not read.
const UNKNOWN: u32 = u32::MAX;

struct Aside {
    cid: Cid,
    finding: Option<usize>,
}

impl Storage {
    /// Checks the store, and repairs it if that is asked, to the end.
    pub async fn verify(&self, options: VerifyOptions) -> Result<Report> {
        let mut check = self.check(options)?;
        while check.step().await?.is_some() {}
        Ok(check.report)
    }

    /// Begins a check that goes on by steps.
    pub fn check(&self, options: VerifyOptions) -> Result<Check> {
        if options.sample.is_some_and(|sample| !(sample > 0.0 && sample <= 1.0)) {
            return Err(Error::InvalidArgument("a sample is a share of the blocks, over 0 and up to 1".into()));
        }
        let seed = options.seed.unwrap_or_else(|| self.shared.clock.now() as u32);
        Ok(Check {
            storage: self.clone(),
            options,
            phase: Phase::Beginning,
            report: Report { seed, ..Report::default() },
            total: 0,
            scan: Scan::default(),
            walk: Walk::default(),
            held: HashMap::new(),
            aside: HashMap::new(),
            mending: Vec::new(),
        })
    }
}

impl Check {
    /// Goes on for a while: some 4 MiB are hashed, or some nodes walked, or blocks fetched. None: it has ended.
    ///
    /// After an error, or when a step was dropped, another call goes on from there.
    pub async fn step(&mut self) -> Result<Option<Progress>> {
        match self.phase {
            Phase::Beginning => self.begin().await?,
            Phase::Scanning => self.scan().await?,
            Phase::Walking => self.walk().await?,
            Phase::Mending => self.mend().await?,
            Phase::Ended => return Ok(None),
        }
        let Report { blocks, bytes, keepers, .. } = self.report;
        Ok(Some(Progress { blocks, total: self.total.max(blocks), bytes, keepers }))
    }

    /// What it has found so far.
    pub fn report(&self) -> &Report {
        &self.report
    }

    /// Notes a corrupt copy, which is set aside.
    fn set_aside(&mut self, mark: u64, cid: Cid, detail: &str) {
        let finding = self.report.one(Fault::Corrupt, Some(cid.clone()), detail.to_owned());
        if self.aside.len() < MAX_ASIDE {
            self.aside.insert(mark, Aside { cid, finding });
        }
    }

    /// Looks again for what was set aside: a walk may have fetched it, or it is fetched now.
    async fn mend(&mut self) -> Result<()> {
        let from = self.mending.len().saturating_sub(FETCHED_IN_STEP);
        let marks: Vec<u64> = self.mending.iter().skip(from).copied().collect();
        let cids: Vec<Cid> = marks.iter().filter_map(|mark| Some(self.aside.get(mark)?.cid.clone())).collect();
        let found = self.obtain(&cids).await?;
        let whole = self.are_whole(&cids).await?;
        for ((mark, found), whole) in marks.iter().zip(found).zip(whole) {
            let found = found.and_then(|_| whole.then_some(()).ok_or_else(|| "it is there still".to_owned()));
            let finding = self.aside.get(mark).and_then(|aside| aside.finding);
            let finding = finding.and_then(|place| self.report.findings.get_mut(place));
            match (found, finding) {
                (Ok(()), finding) => {
                    self.report.corrupt.repaired += 1;
                    finding.into_iter().for_each(|finding| finding.repaired += 1);
                }
                (Err(why), Some(finding)) => finding.detail = format!("{}; {why}", finding.detail),
                (Err(_), None) => {}
            }
        }
        self.mending.truncate(from);
        if self.mending.is_empty() {
            self.phase = Phase::Ended;
            self.report.finished = true;
        }
        Ok(())
    }

    /// Of each block whether what is held of it now is whole: setting a corrupt copy aside may have failed.
    async fn are_whole(&self, cids: &[Cid]) -> Result<Vec<bool>> {
        let shared = &self.storage.shared;
        let keys: Vec<Key> = cids.iter().filter_map(block::key).collect();
        let held = shared.tier.get(&keys).await?;
        let claims =
            cids.iter().zip(held).map(|(cid, held)| (cid.clone(), held.map(|held| held.bytes).unwrap_or_default()));
        let proven = block::Block::verify(shared.hasher.as_ref(), claims.collect()).await?;
        Ok(proven.iter().map(Result::is_ok).collect())
    }

    /// Of each block its length, as far as that is known, if it is held, or has been fetched to repair the store; else why
    /// it is not.
    async fn obtain(&self, cids: &[Cid]) -> Result<Vec<Result<u32, String>>> {
        let keys: Vec<Key> = cids.iter().filter_map(block::key).collect();
        let held = self.storage.shared.blocks.has(&keys).await?;
        let gets = cids.iter().zip(held).map(|(cid, held)| async move {
            if held {
                return Ok(UNKNOWN);
            }
            if !self.options.repair {
                return Err("no repair was asked for".to_owned());
            }
            let got = self.storage.get_block(cid, self.options.offline).await;
            got.map(|bytes| bytes.len() as u32).map_err(|error| error.to_string())
        });
        Ok(stream::iter(gets).buffered(FETCHED_AT_ONCE).collect().await)
    }
}

/// Eight bytes of its digest stand for a block: two that are alike by chance do not occur in one store.
fn mark(key: &Key) -> u64 {
    let mut mark = [0; 8];
    mark.iter_mut().zip(key.digest()).for_each(|(to, from)| *to = *from);
    u64::from_le_bytes(mark)
}

/// The name of a block of which only the multihash is known.
fn named(key: &Key) -> Cid {
    block::new_cid(Version::V1, Codec::Raw, *key)
}
