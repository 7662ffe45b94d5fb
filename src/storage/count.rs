//! How large pins are.

use std::collections::HashSet;

use super::{Shared, keepers::Keeper, sweep, walk::Walk};
use crate::{
    block::{self, Cid, Key},
    error::Result,
    tier::Pin,
};

/// Blocks whose lengths are asked for at once.
const BATCH: usize = 1024;

/// What of a pin is here.
#[derive(Debug, Clone, Copy, Default)]
pub struct Count {
    /// Blocks, each counted once.
    blocks: u64,
    /// Their bytes.
    bytes: u64,
    /// Whether there is more to it: some is not held, or cannot be read.
    partial: bool,
}

impl Count {
    /// As a pin notes it.
    pub fn size(self) -> (u64, u64) {
        (self.blocks, self.bytes)
    }

    /// The same, if that is all of it, and will be the same for ever.
    pub fn whole(self) -> Option<(u64, u64)> {
        (!self.partial).then(|| self.size())
    }
}

/// Counts what of each pin is here. Only interior nodes are read for it.
pub async fn count(shared: &Shared, pins: &[Pin]) -> Result<Vec<Count>> {
    let mut counts = vec![Count::default(); pins.len()];
    // Of many pins together, for many are of one block.
    let mut wanted: Vec<(usize, Key)> = Vec::new();
    for (at, pin) in pins.iter().enumerate() {
        let mut keys = HashSet::new();
        let mut note = |cid: &Cid| keys.extend(block::key(cid));
        // Who reads what cannot be read is told why; here it is not counted.
        let known = sweep::visit(shared, &Keeper::of(pin), &mut Walk::default(), &mut note).await.unwrap_or(false);
        if let Some(count) = counts.get_mut(at) {
            count.partial = pin.pending || !known;
        }
        wanted.extend(keys.into_iter().map(|key| (at, key)));
        if wanted.len() >= BATCH {
            measure(shared, std::mem::take(&mut wanted), &mut counts).await?;
        }
    }
    measure(shared, wanted, &mut counts).await?;
    Ok(counts)
}

async fn measure(shared: &Shared, wanted: Vec<(usize, Key)>, counts: &mut [Count]) -> Result<()> {
    for batch in wanted.chunks(BATCH) {
        let keys: Vec<Key> = batch.iter().map(|(_, key)| *key).collect();
        for ((at, _), length) in batch.iter().zip(shared.tier.lengths(&keys).await?) {
            match (counts.get_mut(*at), length) {
                (Some(count), Some(length)) => {
                    count.blocks += 1;
                    count.bytes += length;
                }
                (Some(count), None) => count.partial = true,
                (None, _) => {}
            }
        }
    }
    Ok(())
}
