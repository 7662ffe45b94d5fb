//! Where blocks go that are made.

use async_trait::async_trait;

use crate::{block::Block, error::Result};

/// Takes blocks, and waits when too many are on the way.
#[async_trait(?Send)]
pub trait BlockSink {
    /// Takes these.
    async fn put(&mut self, blocks: Vec<Block>) -> Result<()>;
}

/// In memory.
#[async_trait(?Send)]
impl BlockSink for Vec<Block> {
    async fn put(&mut self, blocks: Vec<Block>) -> Result<()> {
        self.extend(blocks);
        Ok(())
    }
}
