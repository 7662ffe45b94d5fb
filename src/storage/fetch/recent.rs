//! Blocks that have come and may not have been read yet. A cache, which thinks most of what was used last, would let go of
//! just these.

use std::{
    cell::RefCell,
    collections::{HashMap, VecDeque},
};

use crate::block::{Block, Cid};

/// What a reader asks for ahead, and a commit.
const MAX_BYTES: usize = 16 * 1024 * 1024;

/// Most of them, however small.
const MAX_BLOCKS: usize = 4 * 1024;

/// The last blocks of a session.
#[derive(Default)]
pub struct Recent(RefCell<State>);

#[derive(Default)]
struct State {
    blocks: HashMap<Cid, Block>,
    order: VecDeque<Cid>,
    bytes: usize,
}

impl Recent {
    /// Takes a block, and lets the oldest go that have no room beside it.
    pub fn push(&self, block: Block) {
        let mut state = self.0.borrow_mut();
        let (cid, bytes) = (block.cid().clone(), block.bytes().len());
        if state.blocks.insert(cid.clone(), block).is_some() {
            return;
        }
        state.order.push_back(cid);
        state.bytes += bytes;
        while state.bytes > MAX_BYTES || state.order.len() > MAX_BLOCKS {
            let Some(oldest) = state.order.pop_front() else { break };
            let gone = state.blocks.remove(&oldest);
            state.bytes -= gone.map_or(0, |block| block.bytes().len());
        }
    }

    /// Gives these blocks away, if all of them are here: what was read need not wait for it in memory any more.
    pub fn take(&self, cids: &[Cid]) -> Option<Vec<Block>> {
        let mut state = self.0.borrow_mut();
        let found: Vec<Block> = cids.iter().map(|cid| state.blocks.get(cid).cloned()).collect::<Option<_>>()?;
        for cid in cids {
            let gone = state.blocks.remove(cid);
            state.bytes -= gone.map_or(0, |block| block.bytes().len());
        }
        // Mostly they are read in the order in which they came.
        while state.order.front().is_some_and(|oldest| !state.blocks.contains_key(oldest)) {
            state.order.pop_front();
        }
        Some(found)
    }
}

#[cfg(all(test, not(target_family = "wasm")))]
#[allow(clippy::unwrap_used)]
mod tests {
    use bytes::Bytes;
    use cid::Version;
    use futures_executor::block_on;

    use super::*;
    use crate::{
        block::Codec,
        hash::{CpuHasher, HashFunction},
    };

    fn blocks(count: usize, bytes: usize) -> Vec<Block> {
        let parts = (0..count).map(|number| Bytes::from(vec![number as u8; bytes + number / 256])).collect();
        block_on(Block::make(&CpuHasher, Version::V1, Codec::Raw, HashFunction::Sha2_256, parts)).unwrap()
    }

    #[test]
    fn what_is_not_read_makes_room_and_what_is_read_is_gone() {
        let recent = Recent::default();
        let blocks = blocks(20, 1024 * 1024);
        blocks.iter().for_each(|block| recent.push(block.clone()));
        let cid = |number: usize| blocks.get(number).unwrap().cid().clone();
        assert_eq!(recent.0.borrow().bytes, MAX_BYTES);
        assert!(recent.take(&[cid(3), cid(4)]).is_none(), "the oldest have made room");
        assert_eq!(
            recent.take(&[cid(5), cid(4)]).unwrap(),
            [blocks.get(5).unwrap().clone(), blocks.get(4).unwrap().clone()]
        );
        assert!(recent.take(&[cid(5)]).is_none());
        assert_eq!(recent.0.borrow().bytes, MAX_BYTES - 2 * 1024 * 1024);
        // The same once more is no more.
        recent.push(blocks.get(6).unwrap().clone());
        recent.push(blocks.get(5).unwrap().clone());
        assert_eq!(recent.0.borrow().bytes, MAX_BYTES - 1024 * 1024);
    }

    #[test]
    fn small_ones_are_counted() {
        let recent = Recent::default();
        blocks(MAX_BLOCKS + 10, 8).into_iter().for_each(|block| recent.push(block));
        assert!(recent.0.borrow().blocks.len() <= MAX_BLOCKS && recent.0.borrow().order.len() <= MAX_BLOCKS);
    }
}
