//! The endless import that the kill test interrupts. Every file of it follows from a seed, so what a store gives back can
//! be compared with what was put in, without a note of it that a kill could tear.

use crate::random_bytes;

/// Steps whose files are kept; older ones are deleted, so that deleting is interrupted too.
pub const KEPT_STEPS: u64 = 24;

const MIB: usize = 1024 * 1024;

/// One step of the import.
pub struct Step {
    seed: u64,
    /// Its number.
    pub number: u64,
    /// How it stores.
    pub way: Way,
    sizes: Vec<usize>,
}

/// How a step stores.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    /// One file, with `store`.
    Whole,
    /// One file, through a writer in pieces of this size.
    Pieces(usize),
    /// Some small files with `store-many`: all of them or none.
    Many,
}

impl Step {
    /// The step with this number.
    pub fn new(seed: u64, number: u64) -> Step {
        let mut random = fastrand::Rng::with_seed(seed ^ number.wrapping_mul(0x9e37_79b9_7f4a_7c15));
        // No file is so small that two could be equal.
        let (way, sizes) = match random.u8(..8) {
            0 => (Way::Many, (0..5).map(|_| random.usize(16..20_000)).collect()),
            1 => (Way::Whole, vec![8 * MIB]),
            2 => (Way::Pieces(random.usize(1000..900_000)), vec![8 * MIB + random.usize(..1000)]),
            3 | 4 => (Way::Whole, vec![random.usize(16..100_000)]),
            5 => (Way::Pieces(random.usize(1000..900_000)), vec![random.usize(16..3 * MIB)]),
            _ => (Way::Whole, vec![random.usize(16..3 * MIB)]),
        };
        Step { seed, number, way, sizes }
    }

    /// Whether its files are pinned.
    pub fn pinned(&self) -> bool {
        self.number.is_multiple_of(5)
    }

    /// How many files it stores.
    pub fn files(&self) -> usize {
        self.sizes.len()
    }

    /// The bytes of one of them.
    pub fn data(&self, part: usize) -> Vec<u8> {
        random_bytes(self.seed ^ (self.number * 100 + part as u64), self.sizes[part])
    }

    /// The name of one of them.
    pub fn name(&self, part: usize) -> String {
        format!("{}.{part}", self.number)
    }
}

/// The number of the step, and of the file in it, that [`Step::name`] names.
pub fn parse_name(name: &str) -> (u64, usize) {
    let parsed = name.split_once('.').and_then(|(step, part)| Some((step.parse().ok()?, part.parse().ok()?)));
    parsed.unwrap_or_else(|| panic!("no step has stored {name:?}"))
}
