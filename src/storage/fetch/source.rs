//! Where readers get blocks from.

use std::{ops::Range, rc::Rc};

use async_trait::async_trait;

use super::Session;
use crate::{
    block::{self, Block, Cid, Key},
    error::{Error, OfflineReason, Result},
    storage::blocks::Blocks,
    unixfs::BlockSource,
};

/// Blocks from here, or else from elsewhere.
#[derive(Clone)]
pub struct Source {
    blocks: Rc<Blocks>,
    session: Result<Rc<Session>, OfflineReason>,
}

impl Source {
    /// With a session, or with the reason why there is none.
    pub fn new(blocks: Rc<Blocks>, session: Result<Rc<Session>, OfflineReason>) -> Self {
        Source { blocks, session }
    }

    /// The session, if there is one.
    pub fn session(&self) -> Option<&Rc<Session>> {
        self.session.as_ref().ok()
    }

    /// Returns when all that a node links to is held here, whatever a cache may have.
    pub async fn ensure_below(&self, node: Cid, links: &[Cid]) -> Result<()> {
        match &self.session {
            Ok(session) => session.fetch_below(node, links).await,
            Err(_) => self.ensure(links).await,
        }
    }

    /// Returns when all of these are held here, whatever a cache may have.
    pub async fn ensure(&self, cids: &[Cid]) -> Result<()> {
        match &self.session {
            Ok(session) => session.fetch(cids).await,
            Err(reason) => {
                let (cids, keys): (Vec<Cid>, Vec<Key>) =
                    cids.iter().filter_map(|cid| Some((cid.clone(), block::key(cid)?))).unzip();
                let held = self.blocks.has(&keys).await?;
                match cids.into_iter().zip(held).find(|(_, held)| !held) {
                    Some((cid, _)) => Err(Error::NotAvailableOffline { cid, reason: *reason }),
                    None => Ok(()),
                }
            }
        }
    }
}

#[async_trait(?Send)]
impl BlockSource for Source {
    async fn blocks(&self, cids: &[Cid]) -> Result<Vec<Block>> {
        if let Ok(session) = &self.session {
            session.fetch_known(cids).await?;
        }
        self.blocks.rely_on(cids);
        // One for each corrupt copy: one that could not be set aside is found again and again.
        let mut tries = cids.len();
        loop {
            if let Some(blocks) = self.session().and_then(|session| session.take_recent(cids)) {
                return Ok(blocks);
            }
            match (self.blocks.blocks(cids).await, &self.session) {
                (Err(Error::NotAvailableOffline { .. }), Ok(session)) => session.fetch_anew(cids).await?,
                // It was set aside, and may be had whole elsewhere.
                (Err(Error::Corrupt { .. }), Ok(session)) if tries > 0 => {
                    tries -= 1;
                    session.fetch_anew(cids).await?;
                }
                (Err(Error::NotAvailableOffline { cid, .. }), Err(reason)) => {
                    return Err(Error::NotAvailableOffline { cid, reason: *reason });
                }
                (done, _) => return done,
            }
        }
    }

    fn expect(&self, parts: &[(Cid, Range<u64>)]) {
        if let Ok(session) = &self.session {
            session.expect(parts);
        }
    }

    fn on_the_way(&self, node: &Cid, from: &Cid, names: &[String]) {
        if let Ok(session) = &self.session {
            session.on_the_way(node, from, names);
        }
    }
}
