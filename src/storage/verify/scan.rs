//! The first part of a check: the blocks held are read and hashed, whatever the read policy says.

use std::collections::VecDeque;

use super::{Block, Check, Fault, Phase, STEP_BLOCKS, STEP_BYTES, UNKNOWN, mark, named};
use crate::{
    block::{self, Cid, Key},
    error::{Error, Result},
    tier::{Held, Place, Usage},
};

/// Keys listed at once: a pack goes through its whole index for a page.
const PAGE: usize = 8192;

/// Blocks read at once: enough for the lanes of the hasher,
const MIN_READ: u64 = 4;

/// and of small ones for a transaction.
const MAX_READ: u64 = 64;

/// The blocks held, page by page.
#[derive(Default)]
pub(super) struct Scan {
    /// What the tier said before,
    before: Usage,
    /// and how much had been written by then; what is set aside here counts as written before.
    writes: u64,
    after: Option<Key>,
    queue: VecDeque<Key>,
    aside: u64,
    /// Some were not read, or not as they were written.
    partial: bool,
    /// Bytes of those that were.
    bytes: u64,
}

impl Check {
    pub(super) async fn begin(&mut self) -> Result<()> {
        let shared = &self.storage.shared;
        self.scan.writes = shared.blocks.writes();
        self.scan.before = shared.tier.usage().await?;
        self.total = self.scan.before.blocks;
        self.phase = Phase::Scanning;
        Ok(())
    }

    pub(super) async fn scan(&mut self) -> Result<()> {
        let (until, mut looked) = (self.report.bytes + STEP_BYTES, 0);
        while self.report.bytes < until && looked < STEP_BLOCKS {
            if self.scan.queue.is_empty() {
                let page = self.storage.shared.tier.keys(self.scan.after.as_ref(), PAGE).await?;
                let Some(last) = page.last() else { return self.end_scan().await };
                self.scan.after = Some(*last);
                self.report.blocks += page.len() as u64;
                looked += page.len();
                for key in page {
                    if self.is_chosen(&key) {
                        self.scan.queue.push_back(key);
                    } else {
                        self.scan.partial = true;
                        self.held.insert(mark(&key), Block { length: UNKNOWN, keeper: 0 });
                    }
                }
                continue;
            }
            // As many as their mean length lets expect to fit.
            let mean = self.report.bytes.checked_div(self.report.checked).unwrap_or(STEP_BYTES).max(1);
            let count = (STEP_BYTES / mean).clamp(MIN_READ, MAX_READ) as usize;
            let keys: Vec<Key> = self.scan.queue.iter().take(count).copied().collect();
            self.check_blocks(&keys).await?;
            self.scan.queue.drain(..keys.len());
            looked += keys.len();
        }
        Ok(())
    }

    /// Whether it is in the sample.
    fn is_chosen(&self, key: &Key) -> bool {
        let Some(share) = self.options.sample else { return true };
        let random = mixed(mark(key) ^ mixed(u64::from(self.report.seed)));
        // As a fraction of 53 bits, which a float has.
        (random >> 11) as f64 / (1u64 << 53) as f64 <= share
    }

    async fn check_blocks(&mut self, keys: &[Key]) -> Result<()> {
        let mut read = Vec::with_capacity(keys.len());
        let mut unreadable = Vec::new();
        for (key, found) in keys.iter().zip(self.read_blocks(keys).await?) {
            match found {
                Ok(Some(held)) => read.push((*key, held)),
                // It has gone since the page was listed.
                Ok(None) => {}
                Err(why) => unreadable.push((*key, why)),
            }
        }
        let claims = read.iter().map(|(key, held)| (named(key), held.bytes.clone())).collect();
        let hasher = self.storage.shared.hasher.clone();
        let proven = block::Block::verify(hasher.as_ref(), claims).await?;
        // From here on all is counted at once: a step that is dropped before does not count these, and repeats them.
        let mut corrupt: Vec<(Key, Cid, Place)> = Vec::new();
        for ((key, held), proven) in read.iter().zip(&proven) {
            let length = held.bytes.len();
            self.report.checked += 1;
            self.report.bytes += length as u64;
            if proven.is_ok() {
                self.scan.bytes += length as u64;
                self.held.insert(mark(key), Block { length: length as u32, keeper: 0 });
            } else {
                self.scan.partial = true;
                corrupt.push((*key, named(key), held.place));
                self.set_aside(mark(key), named(key), "its bytes do not hash to it; it was set aside");
            }
        }
        for (key, why) in unreadable {
            self.scan.partial = true;
            self.held.insert(mark(&key), Block { length: UNKNOWN, keeper: 0 });
            self.report.one(Fault::Unreadable, Some(named(&key)), why);
        }
        if !corrupt.is_empty() {
            self.scan.aside += corrupt.len() as u64;
            let bad = corrupt.iter().map(|(key, _, place)| (*key, *place)).collect();
            let (written, done) = self.storage.shared.blocks.set_aside(bad).await;
            self.scan.writes += written;
            if let Err(error) = done {
                for (key, ..) in &corrupt {
                    let finding = self.aside.get(&mark(key)).and_then(|aside| aside.finding);
                    if let Some(finding) = finding.and_then(|place| self.report.findings.get_mut(place)) {
                        finding.detail = format!("its bytes do not hash to it; setting it aside failed: {error}");
                    }
                }
            }
        }
        Ok(())
    }

    /// What the medium gives for each, or why it fails to.
    async fn read_blocks(&self, keys: &[Key]) -> Result<Vec<Result<Option<Held>, String>>> {
        let tier = &self.storage.shared.tier;
        match tier.get(keys).await {
            Ok(found) => return Ok(found.into_iter().map(Ok).collect()),
            Err(Error::Io(_)) => {}
            Err(error) => return Err(error),
        }
        let mut each = Vec::with_capacity(keys.len());
        for key in keys {
            each.push(match tier.get(&[*key]).await {
                Ok(found) => Ok(found.into_iter().next().flatten()),
                Err(Error::Io(why)) => Err(why),
                Err(error) => return Err(error),
            });
        }
        Ok(each)
    }

    async fn end_scan(&mut self) -> Result<()> {
        let shared = &self.storage.shared;
        let now = shared.tier.usage().await?;
        let Scan { before, writes, aside, partial, bytes, .. } = self.scan;
        let quiet = shared.blocks.writes() == writes
            && now.blocks + aside == before.blocks
            && now.quarantined == before.quarantined + aside;
        self.report.figures_compared = quiet;
        let (listed, checked) = (self.report.blocks, self.report.checked);
        if quiet && (listed != before.blocks || (!partial && bytes != before.bytes)) {
            let detail = format!(
                "{} blocks of {} bytes are noted, {listed} are listed, and {checked} of {bytes} bytes are whole; they \
                 cannot be set right here: what is not listed has a damaged record",
                before.blocks, before.bytes
            );
            self.report.one(Fault::Figures, None, detail);
        }
        self.phase = Phase::Walking;
        Ok(())
    }
}

/// A number that looks random. (SplitMix64 by Sebastiano Vigna.)
fn mixed(number: u64) -> u64 {
    let number = number.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let number = (number ^ (number >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let number = (number ^ (number >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    number ^ (number >> 31)
}
