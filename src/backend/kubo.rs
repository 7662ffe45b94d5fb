//! A Kubo node, by its RPC: it takes a DAG as archives of a few MiB, one after the other, and pins it.
//!
//! Not as one archive: browsers do not stream what they send, and of one that was cut off a node keeps no place to go on from.

use std::rc::Rc;

use async_trait::async_trait;
use bytes::Bytes;

use super::{Backend, Feed, Next, Step, Trouble, one_by_one};
use crate::{
    block::{Block, Cid},
    error::Result as Outcome,
    platform::http::Http,
    remote::{Failure, Kubo, Remote},
};

/// An archive ends with the block that brings it to so many bytes, or is the so-manieth: a slow link sends them well before
/// it counts as silent.
const ARCHIVE_BYTES: usize = 2 * 1024 * 1024;
const ARCHIVE_BLOCKS: usize = 8 * 1024;

/// Seconds after which a node that has been told to pin what it should have counts as not having it.
const PIN_SECONDS: u32 = 120;

/// Likewise where it was asked for a block.
const BLOCK_SECONDS: u32 = 20;

/// A node that keeps copies, as recursive pins.
pub struct KuboNode {
    node: Kubo,
    name: String,
    pin_seconds: u32,
}

impl KuboNode {
    /// The node whose RPC is at `url`, under a name of the caller's.
    pub fn new(http: Rc<dyn Http>, name: &str, url: &str) -> Outcome<Self> {
        Ok(KuboNode { node: Kubo::new(http, url)?, name: name.to_owned(), pin_seconds: PIN_SECONDS })
    }

    /// The same, but a node that says nothing for so many seconds does not have what it was asked for.
    pub fn patient_for(self, seconds: u32) -> Self {
        KuboNode { pin_seconds: seconds, ..self }
    }
}

#[async_trait(?Send)]
impl Backend for KuboNode {
    fn name(&self) -> &str {
        &self.name
    }

    fn is_networked(&self) -> bool {
        true
    }

    fn kind(&self) -> &str {
        "kubo"
    }

    async fn probe(&self) -> Result<(), Failure> {
        self.node.probe().await
    }

    /// The state is the place in the feed up to which the node has taken it.
    async fn put(&self, feed: &mut Feed, state: Option<&Bytes>) -> Result<Step, Trouble> {
        let place = state.and_then(|state| minicbor::decode(state).ok()).unwrap_or_default();
        feed.seek(place).await?;
        let (mut archive, mut sent) = (Vec::<Block>::new(), 0);
        while sent < ARCHIVE_BYTES
            && archive.len() < ARCHIVE_BLOCKS
            && let Some(block) = feed.next().await?
        {
            sent += block.bytes().len();
            archive.push(block);
        }
        let next = if archive.is_empty() {
            // Nothing that it has was kept from its collector until now. What is gone is given anew.
            self.node.pin_held(feed.root(), self.pin_seconds).await?;
            Next::Stored
        } else {
            self.node.put(&archive).await?;
            Next::More
        };
        Ok(Step { state: place_of(feed), sent: sent as u64, next })
    }

    async fn blocks(&self, _root: &Cid, _state: &Bytes, cids: &[Cid]) -> Result<Vec<Bytes>, Failure> {
        let seconds = self.pin_seconds.min(BLOCK_SECONDS);
        one_by_one(cids.iter().map(|cid| self.node.held(cid, seconds))).await
    }

    async fn remove(&self, root: &Cid, _state: &Bytes) -> Result<(), Failure> {
        self.node.unpin(root).await
    }
}

fn place_of(feed: &Feed) -> Bytes {
    // Writing to memory cannot fail.
    minicbor::to_vec(feed.place()).unwrap_or_default().into()
}
