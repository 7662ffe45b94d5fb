//! What a check has found.

use crate::block::Cid;

/// Findings that a report lists; its counts are whole in any case.
const MAX_FINDINGS: usize = 1000;

/// What is wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// A block's bytes do not hash to it. That copy was set aside.
    Corrupt,
    /// The medium fails to read a block, which stays where it is.
    Unreadable,
    /// Blocks that a root or pin needs are not held.
    Missing,
    /// A node whose links are not known here, so that nothing below it was checked.
    Unwalked,
    /// The size recorded with a pin is not that of what it keeps.
    PinSize,
    /// The tier's figures are not those of the blocks it holds.
    Figures,
}

impl Fault {
    /// Its name, as in `wit/types.wit`.
    pub const fn name(self) -> &'static str {
        match self {
            Fault::Corrupt => "corrupt",
            Fault::Unreadable => "unreadable",
            Fault::Missing => "missing",
            Fault::Unwalked => "unwalked",
            Fault::PinSize => "pin-size",
            Fault::Figures => "figures",
        }
    }
}

/// One thing that is wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// What is wrong.
    pub fault: Fault,
    /// The block, root or pin concerned; none for the figures. A block that no root is known to need is named as `raw`.
    pub cid: Option<Cid>,
    /// How many faults these are: of a root the blocks that are missing.
    pub found: u64,
    /// How many of them were repaired.
    pub repaired: u64,
    /// Some of the missing blocks.
    pub some: Vec<Cid>,
    /// What was found, or why it was not repaired.
    pub detail: String,
}

/// How often a fault was found.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Tally {
    /// So often,
    pub found: u64,
    /// and so often repaired.
    pub repaired: u64,
}

/// What a check has found so far.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Report {
    /// Whether it went on to its end.
    pub finished: bool,
    /// Which sample it was: the same seed takes the same blocks.
    pub seed: u32,
    /// Blocks held.
    pub blocks: u64,
    /// Of these, blocks that were read and hashed,
    pub checked: u64,
    /// and their bytes.
    pub bytes: u64,
    /// Roots and pins whose DAGs were walked.
    pub keepers: u64,
    /// Recorded sizes of pins that were compared.
    pub sizes: u64,
    /// Whether the tier's figures were compared. They are not when something was written meanwhile.
    pub figures_compared: bool,
    /// Blocks that no root or pin reaches, which a collection would take; none if that is not known.
    pub unreached: Option<u64>,
    /// Their bytes; none if that is not known, as of a sample.
    pub unreached_bytes: Option<u64>,
    /// See [`Fault::Corrupt`].
    pub corrupt: Tally,
    /// See [`Fault::Unreadable`].
    pub unreadable: Tally,
    /// See [`Fault::Missing`]. What several roots need counts for each.
    pub missing: Tally,
    /// See [`Fault::Unwalked`].
    pub unwalked: Tally,
    /// See [`Fault::PinSize`].
    pub pin_sizes: Tally,
    /// See [`Fault::Figures`].
    pub figures: Tally,
    /// The first thousand of all these.
    pub findings: Vec<Finding>,
}

impl Report {
    /// Whether the check went on to its end, and all that it found is repaired.
    pub fn is_sound(&self) -> bool {
        self.finished && self.tallies().iter().all(|(_, tally)| tally.found == tally.repaired)
    }

    /// How often each fault was found.
    pub fn tallies(&self) -> [(Fault, Tally); 6] {
        [
            (Fault::Corrupt, self.corrupt),
            (Fault::Unreadable, self.unreadable),
            (Fault::Missing, self.missing),
            (Fault::Unwalked, self.unwalked),
            (Fault::PinSize, self.pin_sizes),
            (Fault::Figures, self.figures),
        ]
    }

    pub(super) fn tally(&mut self, fault: Fault) -> &mut Tally {
        match fault {
            Fault::Corrupt => &mut self.corrupt,
            Fault::Unreadable => &mut self.unreadable,
            Fault::Missing => &mut self.missing,
            Fault::Unwalked => &mut self.unwalked,
            Fault::PinSize => &mut self.pin_sizes,
            Fault::Figures => &mut self.figures,
        }
    }

    /// Adds a finding; its place in the list, if there is room for it.
    pub(super) fn add(&mut self, finding: Finding) -> Option<usize> {
        let tally = self.tally(finding.fault);
        tally.found += finding.found;
        tally.repaired += finding.repaired;
        let place = self.findings.len();
        (place < MAX_FINDINGS).then(|| {
            self.findings.push(finding);
            place
        })
    }

    /// Adds one fault that is not repaired.
    pub(super) fn one(&mut self, fault: Fault, cid: Option<Cid>, detail: String) -> Option<usize> {
        self.add(Finding { fault, cid, found: 1, repaired: 0, some: Vec::new(), detail })
    }
}
