//! Places that keep copies of what is stored here. One trait; `conformance` holds what every implementation must pass.
//!
//! A [`Remote`] is asked for what is not here, and believed in nothing. A backend is given a DAG for
//! good, and what it says of that is believed in nothing either: a copy counts when it was read back.

mod archive;
mod cluster;
#[cfg(any(test, feature = "testing"))]
#[doc(hidden)]
pub mod conformance;
mod feed;
mod kubo;
mod pool;
mod s3;
mod secret;
mod service;

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::{StreamExt, TryStreamExt, stream};

#[cfg(feature = "s3-keys")]
pub use self::s3::S3Keys;
pub use self::{
    archive::Archive,
    cluster::Cluster,
    feed::Feed,
    kubo::KuboNode,
    pool::{Backends, Limits, Member, Retries, Slot},
    s3::{Action, Layout, S3, Signer},
    secret::Secret,
    service::{Credentials, Endpoint},
};
use crate::{
    block::{Cid, MAX_BLOCK_BYTES},
    error::Error,
    remote::{Failure, Gateway, Remote, collect},
};

/// Blocks that are asked for, or given, one by one: so many at once.
const BLOCKS_AT_ONCE: usize = 8;

/// Why a step of a backend failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Trouble {
    /// What was to be sent could not be read here.
    Here(Error),
    /// The backend failed. [`Failure::NotFound`] where it has lost what it was given: then it is given all of it anew.
    There(Failure),
}

impl From<Error> for Trouble {
    fn from(error: Error) -> Self {
        Trouble::Here(error)
    }
}

impl<T: Into<Failure>> From<T> for Trouble {
    fn from(failure: T) -> Self {
        Trouble::There(failure.into())
    }
}

/// What a step did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Step {
    /// What the next step needs to know; after the last one, what is needed to read and to remove the copy.
    pub state: Bytes,
    /// Bytes that this step sent.
    pub sent: u64,
    /// What comes next.
    pub next: Next,
}

/// What comes after a step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Next {
    /// Another one.
    More,
    /// Another one, in so many milliseconds: the backend is at work.
    Wait(u64),
    /// Nothing: it says that it has all of it.
    Stored,
}

/// A place that keeps copies of DAGs.
#[async_trait(?Send)]
pub trait Backend {
    /// What to call it. Records name it by this, so it stays the same from one opening to the next.
    fn name(&self) -> &str;

    /// What kind it is: `kubo`, `cluster`, `s3`, `archive`, or a word of the host's.
    fn kind(&self) -> &str;

    /// Whether it is a part of the IPFS network: what it keeps is read from there before remotes are asked. Others are archives,
    /// which are asked after them.
    fn is_networked(&self) -> bool {
        false
    }

    /// Asks it for the least thing it can be asked for.
    async fn probe(&self) -> Result<(), Failure>;

    /// Takes a part of a DAG, of some MiB at most. `state` is what the step before returned; none for the first one. A step
    /// that was broken off, or whose outcome nobody has heard of, may be taken again with the same state.
    async fn put(&self, feed: &mut Feed, state: Option<&Bytes>) -> Result<Step, Trouble>;

    /// The bytes of these blocks of a copy, in order, as this place itself has them and not as others may. They are not
    /// verified. [`Failure::NotFound`] if it lacks one of them.
    async fn blocks(&self, root: &Cid, state: &Bytes, cids: &[Cid]) -> Result<Vec<Bytes>, Failure>;

    /// Removes a copy, or what was put of one. No failure if there is nothing.
    async fn remove(&self, root: &Cid, state: &Bytes) -> Result<(), Failure>;

    /// What is to be told of a copy, or of one under way, as names and values: a request's id, where it lies.
    fn describe(&self, _state: &Bytes) -> Vec<(&'static str, String)> {
        Vec::new()
    }
}

/// What is asked one by one, some at once, and answered in order.
async fn one_by_one<T>(
    calls: impl Iterator<Item = impl Future<Output = Result<T, Failure>>>,
) -> Result<Vec<T>, Failure> {
    stream::iter(calls).buffered(BLOCKS_AT_ONCE).try_collect().await
}

/// Blocks as a gateway gives them. They are of a copy only as far as it gives nothing else than its service has.
async fn from_gateway(gateway: &Gateway, cids: &[Cid]) -> Result<Vec<Bytes>, Failure> {
    let reads = cids.iter().map(|cid| async move {
        let mut body = gateway.block(cid).await?;
        collect(async || body.next().await, MAX_BLOCK_BYTES).await
    });
    one_by_one(reads).await
}
