//! Blocks of the tree: from here, and what was only linked into it from elsewhere, one by one.

use std::rc::Rc;

use async_trait::async_trait;

use crate::{
    block::{Block, Cid},
    error::{Error, OfflineReason, Result},
    storage::{
        Shared,
        fetch::{Session, Source},
    },
    unixfs::BlockSource,
};

/// The blocks of the tree.
#[derive(Clone)]
pub struct TreeSource {
    shared: Rc<Shared>,
}

impl TreeSource {
    pub fn new(shared: &Rc<Shared>) -> Self {
        TreeSource { shared: shared.clone() }
    }

    fn with(&self, session: Result<Rc<Session>, OfflineReason>) -> Source {
        Source::new(self.shared.blocks.clone(), session)
    }
}

#[async_trait(?Send)]
impl BlockSource for TreeSource {
    async fn blocks(&self, cids: &[Cid]) -> Result<Vec<Block>> {
        let remotes = self.shared.elsewhere(false);
        let reason = remotes.as_ref().err().copied().unwrap_or(OfflineReason::Requested);
        match (self.with(Err(reason)).blocks(cids).await, remotes) {
            (Err(Error::NotAvailableOffline { .. } | Error::Corrupt { .. }), Ok(remotes)) => {
                let mut blocks = Vec::with_capacity(cids.len());
                for cid in cids {
                    let session = Session::of_block(self.shared.clone(), remotes.clone(), cid.clone());
                    blocks.extend(self.with(Ok(session.into())).blocks(std::slice::from_ref(cid)).await?);
                }
                Ok(blocks)
            }
            (done, _) => done,
        }
    }
}
