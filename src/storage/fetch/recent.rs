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
        let (cid, bytes) = (*block.cid(), block.bytes().len());
        if state.blocks.insert(cid, block).is_some() {
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

    /// These blocks, if all of them are here.
    pub fn get(&self, cids: &[Cid]) -> Option<Vec<Block>> {
        let state = self.0.borrow();
        cids.iter().map(|cid| state.blocks.get(cid).cloned()).collect()
    }
}
