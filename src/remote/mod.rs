//! Elsewhere: who may have what is not held here. What a remote gives is bytes; that they are what was asked for is proven
//! by whoever stores them.

mod address;
mod body;
#[cfg(feature = "remotes")]
mod component;
#[cfg(any(test, feature = "testing"))]
#[doc(hidden)]
pub mod conformance;
mod form;
mod found;
mod gateway;
mod health;
mod kubo;
mod peer;
mod router;
mod routing;

use std::{fmt, ops::Range, rc::Rc};

use async_trait::async_trait;

#[cfg(feature = "remotes")]
pub use self::component::ComponentConnector;
pub use self::{
    address::HttpConnector,
    body::Whole,
    gateway::Gateway,
    health::{Health, State},
    kubo::Kubo,
    peer::{Attempt, Peer},
    router::{Answer, Begun, Patience, Remotes},
    routing::Routing,
};
pub(crate) use self::{
    address::base_url,
    body::{collect, complaint, shortened, stated},
    form::{FORM, form},
    gateway::{ESCAPED, retry_after},
};
use crate::{
    block::{Block, Cid},
    error::Result as Outcome,
    json::Unusable,
    platform::http::Body,
};

/// The kind of those who know who has what, and have nothing themselves.
const ROUTING: &str = "routing";

/// What is asked for with one request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wanted {
    /// The root of it.
    pub cid: Cid,
    /// The names that lead from there to what is wanted; mostly none.
    pub path: Vec<String>,
    /// How much of what is found there.
    pub scope: Scope,
}

/// How much of a DAG is wanted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Scope {
    /// All of it.
    All,
    /// The blocks of a file that hold these bytes of it.
    Bytes(Range<u64>),
}

/// Why a remote did not give what it was asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Failure {
    /// It does not have it.
    NotFound,
    /// It asks for patience, perhaps for so many milliseconds.
    Busy(Option<u64>),
    /// It refuses, for good.
    Refused(String),
    /// It does not speak this form.
    Unsupported(String),
    /// What it sent is not what was asked for: its bytes do not hash to their CID, or nobody wanted them.
    Lied(String),
    /// What it sent cannot be read, or ended too early.
    Broken(String),
    /// It sent nothing, or hardly anything, for too long.
    Silent,
    /// It cannot be reached, or failed itself.
    Unreachable(String),
    /// The host does not let this connection be made.
    Denied(String),
}

impl Failure {
    /// Whether asking again may help.
    pub fn is_passing(&self) -> bool {
        matches!(self, Failure::Busy(_) | Failure::Broken(_) | Failure::Silent | Failure::Unreachable(_))
    }
}

impl From<Unusable> for Failure {
    fn from(_: Unusable) -> Self {
        Failure::Broken("its JSON is malformed, or says nothing that is known here".into())
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Failure::NotFound => f.write_str("it does not have it"),
            Failure::Busy(None) => f.write_str("it is busy"),
            Failure::Busy(Some(wait)) => write!(f, "it is busy, and asks to wait for {wait} ms"),
            Failure::Refused(why) => write!(f, "it refuses: {why}"),
            Failure::Unsupported(what) => write!(f, "it does not offer this: {what}"),
            Failure::Lied(what) => write!(f, "it sent what was not asked for: {what}"),
            Failure::Broken(how) => write!(f, "its answer cannot be used: {how}"),
            Failure::Silent => f.write_str("it sent nothing, or hardly anything, for too long"),
            Failure::Unreachable(why) => write!(f, "it cannot be reached: {why}"),
            Failure::Denied(why) => write!(f, "the host denies the connection: {why}"),
        }
    }
}

/// A place that may have blocks, and may take them.
#[async_trait(?Send)]
pub trait Remote {
    /// What to call it: its address where it has one.
    fn name(&self) -> &str;

    /// What kind it is: `gateway`, `kubo`, `helia`, `routing`, or a word of the host's.
    fn kind(&self) -> &str;

    /// Asks it for the least thing it can be asked for.
    async fn probe(&self) -> Result<(), Failure>;

    /// The bytes of one block, as they come. They are not verified, and whoever collects them keeps to a limit.
    async fn block(&self, cid: &Cid) -> Result<Box<dyn Body>, Failure>;

    /// A CAR of what is wanted: parents before children, each block once; first what leads along the path, if there is one.
    /// [`Failure::Unsupported`] from a remote that gives single blocks only, or follows no paths.
    async fn car(&self, _wanted: &Wanted) -> Result<Box<dyn Body>, Failure> {
        Err(unsupported("CARs"))
    }

    /// Gives it blocks, which it has on return.
    async fn put(&self, _blocks: &[Block]) -> Result<(), Failure> {
        Err(unsupported("taking blocks"))
    }

    /// Has it keep all that is below this. On return it has all of it.
    async fn pin(&self, _cid: &Cid) -> Result<(), Failure> {
        Err(unsupported("pins"))
    }

    /// Takes that back; no failure if there is nothing to take back.
    async fn unpin(&self, _cid: &Cid) -> Result<(), Failure> {
        Err(unsupported("pins"))
    }

    /// Whether it keeps all that is below this.
    async fn is_pinned(&self, _cid: &Cid) -> Result<bool, Failure> {
        Err(unsupported("pins"))
    }

    /// Addresses of others who may have it.
    async fn providers(&self, _cid: &Cid) -> Result<Vec<String>, Failure> {
        Err(unsupported("looking for providers"))
    }
}

/// Makes remotes of addresses.
pub trait Connector {
    /// The remote at this address. Nothing is sent yet.
    fn connect(&self, address: &str) -> Outcome<Rc<dyn Remote>>;
}

fn unsupported(what: &str) -> Failure {
    Failure::Unsupported(what.to_owned())
}
