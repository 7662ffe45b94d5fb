//! The door for single blocks, as other IPFS libraries see a store: no files, no roots.
//!
//! A block that is put here belongs to no root, so a collection takes it, and one that makes room. It may be a part of a
//! stored file as well: whoever deletes that file drops what only the file used, this block too. A pin keeps it, its own or
//! one on the DAG it belongs to.

use std::collections::HashSet;

use bytes::Bytes;

use super::{
    MAX_PAGE, Storage,
    fetch::{Session, Source},
    sweep,
};
use crate::{
    block::{self, Block, Cid, Key, MAX_BLOCK_BYTES},
    error::{Error, Result},
    tier::Commit,
    unixfs::BlockSource,
};

impl Storage {
    /// Stores blocks in one commit, all of them or none; [`Error::Integrity`] when one does not hash to its CID.
    pub async fn put_blocks(&self, blocks: Vec<(Cid, Bytes)>) -> Result<()> {
        for (cid, bytes) in &blocks {
            block::check(cid)?;
            if bytes.len() > MAX_BLOCK_BYTES {
                let size = format!("a block of {} bytes is over the limit of {MAX_BLOCK_BYTES}", bytes.len());
                return Err(Error::InvalidArgument(size));
            }
        }
        let proven = Block::verify(self.shared.hasher.as_ref(), blocks).await?;
        let blocks = proven.into_iter().collect::<Result<Vec<Block>>>()?;
        let open = sweep::enter_to_put(&self.shared, blocks.iter().filter_map(|block| block::key(block.cid()))).await?;
        let durability = self.shared.options.durability;
        let commit = Commit { blocks, durability, ..Commit::default() };
        self.shared.write(commit, async |commit| self.shared.blocks.commit(commit).await).await?;
        sweep::leave(open).await;
        Ok(())
    }

    /// A block's bytes. One that is not held here is fetched, proven and kept, unless `offline` or the store says that no
    /// network may be used. Whether it is held tells [`Storage::exists`].
    pub async fn get_block(&self, cid: &Cid, offline: bool) -> Result<Bytes> {
        block::check(cid)?;
        let shared = &self.shared;
        let session =
            shared.elsewhere(offline).map(|remotes| Session::of_block(shared.clone(), remotes, cid.clone()).into());
        let source = Source::new(shared.blocks.clone(), session);
        let block =
            source.blocks(std::slice::from_ref(cid)).await?.pop().ok_or_else(|| Error::NotFound(cid.clone().into()))?;
        Ok(block.into_bytes())
    }

    /// Drops blocks, all of them or none. [`Error::Denied`] when a stored root reaches one, and while files are being stored
    /// or fetched, which may need them. One that is not held is no error.
    ///
    /// Every stored DAG is walked for it, so give many at once.
    pub async fn delete_blocks(&self, cids: &[Cid]) -> Result<()> {
        let keys: HashSet<Key> = cids.iter().filter_map(block::key).collect();
        if keys.is_empty() {
            return Ok(());
        }
        let shared = self.shared.clone();
        self.shared.roots.pass(async move { sweep::drop_blocks(&shared, keys).await }).await
    }

    /// At most `limit` multihashes of the blocks held after `after`, in an order that never changes; none when there are no
    /// more. Go on after the last one, which need not be held any more.
    pub async fn block_keys(&self, after: Option<&Key>, limit: usize) -> Result<Vec<Key>> {
        if !(1..=MAX_PAGE).contains(&limit) {
            return Err(Error::InvalidArgument(format!("a page of {limit}; allowed are 1 to {MAX_PAGE}")));
        }
        self.shared.tier.keys(after, limit).await
    }
}
