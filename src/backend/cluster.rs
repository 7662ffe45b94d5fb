//! An IPFS Cluster, by its REST API: it takes a DAG as archives of some MiB, which one of its peers keeps unpinned, then pins it
//! on as many peers as it is set to.

use std::rc::Rc;

use async_trait::async_trait;
use bytes::Bytes;
use minicbor::{Decode, Encode};

use super::{
    Backend, Endpoint, Feed, Next, Step, Trouble, from_gateway,
    service::{FIRST_LOOK, Service, is_for, look_in},
};
use crate::{
    block::Cid,
    error::Result as Outcome,
    json::{Json, Unusable},
    platform::http::{Http, Method},
    remote::{FORM, Failure, Gateway, form, shortened},
};

/// An archive ends with the block that brings it to so many bytes: a slow link sends them well before it counts as silent.
const ARCHIVE_BYTES: usize = 4 * 1024 * 1024;

/// The name of pins, by which they are known again.
const NAME: &str = "ipfs-kit-storage";

/// Adds no pin, and says what went wrong by its status: in a stream it would do so in a trailer, which nobody sees.
const ADD: &str = "/add?format=car&local=true&no-pin=true&stream-channels=false";

/// Of so many peers it is told how far they have come.
const MAX_PEERS: usize = 32;

/// A cluster that keeps copies.
pub struct Cluster {
    api: Service,
    gateway: Gateway,
    name: String,
    bytes: usize,
    first_look: u64,
}

/// What is known of a copy.
#[derive(Debug, Clone, Default, PartialEq, Eq, Encode, Decode)]
struct State {
    /// The place in the feed up to which it was sent.
    #[n(0)]
    place: u64,
    /// Whether it was to be pinned,
    #[n(1)]
    asked: bool,
    /// and how often that was looked after.
    #[n(2)]
    looks: u32,
    /// The peers that are to have it, and how far each has come.
    #[n(3)]
    peers: Vec<(String, String)>,
}

impl State {
    fn of(state: &Bytes) -> Self {
        minicbor::decode(state).unwrap_or_default()
    }

    fn encode(&self) -> Bytes {
        // Writing to memory cannot fail.
        minicbor::to_vec(self).unwrap_or_default().into()
    }
}

/// How far a peer has come.
struct Peer {
    name: String,
    status: String,
    error: String,
}

impl Peer {
    fn of(id: String, said: Json<'_>) -> Result<Self, Failure> {
        let text = |name| said.get(name).and_then(Json::text).map(|text| shortened(&text));
        let name = text("peername").filter(|name| !name.is_empty()).unwrap_or_else(|| shortened(&id));
        Ok(Peer { name, status: text("status").ok_or(Unusable)?, error: text("error").unwrap_or_default() })
    }

    fn has_it(&self) -> bool {
        self.status == "pinned"
    }

    fn is_at_work(&self) -> bool {
        matches!(self.status.as_str(), "pinning" | "pin_queued" | "queued")
    }

    /// It has tried, and could not get it; or it had it.
    fn lacks_it(&self) -> bool {
        matches!(self.status.as_str(), "pin_error" | "error" | "unexpectedly_unpinned")
    }

    /// Whether it is to have it at all: others keep track of it only, or do not know it.
    fn is_concerned(&self) -> bool {
        self.has_it() || self.is_at_work() || self.lacks_it() || self.status == "cluster_error"
    }
}

impl Cluster {
    /// The cluster, of version 1, whose REST API is at `api`, with a user and password that it knows, or a token that it made by
    /// `POST /token`; and a trustless gateway to its own peers, for what that gives is the proof that they have it. Under a name
    /// of the caller's.
    pub fn new(http: Rc<dyn Http>, name: &str, api: Endpoint, gateway: &str) -> Outcome<Self> {
        let (api, gateway) = (Service::new(http.clone(), api)?, Gateway::new(http, gateway)?);
        Ok(Cluster { api, gateway, name: name.to_owned(), bytes: ARCHIVE_BYTES, first_look: FIRST_LOOK })
    }

    /// The same, but archives end at so many bytes, and pins are looked after so many milliseconds after they were set.
    #[cfg(any(test, feature = "testing"))]
    #[doc(hidden)]
    pub fn cut(self, bytes: usize, first_look: u64) -> Self {
        Cluster { bytes, first_look, ..self }
    }

    async fn add(&self, root: &Cid, archive: &[u8]) -> Result<(), Failure> {
        let said = self.api.call(Method::Post, ADD, Some((FORM, form(archive)))).await.map_err(elsewhere)?;
        let added = Json::one(&said)?.items().and_then(|mut added| added.next()).ok_or(Unusable)?;
        if is_for(added, root) { Ok(()) } else { Err(Failure::Broken(format!("it did not add {root}"))) }
    }

    /// The peers that are to have it. [`Failure::NotFound`] if there are none.
    async fn look(&self, root: &Cid) -> Result<Vec<Peer>, Failure> {
        let said = self.api.call(Method::Get, &format!("/pins/{root}"), None).await?;
        let said = Json::one(&said)?.object()?;
        if !is_for(said, root) {
            return Err(Failure::Broken(format!("asked for the pin of {root}, it tells of another")));
        }
        let peers = said.get("peer_map").into_iter().flat_map(Json::members).map(|(id, peer)| Peer::of(id, peer));
        let peers: Vec<Peer> = peers.collect::<Result<_, _>>()?;
        let concerned: Vec<Peer> = peers.into_iter().filter(Peer::is_concerned).collect();
        if concerned.is_empty() { Err(Failure::NotFound) } else { Ok(concerned) }
    }

    /// Has it pinned, unless it is already: a pin by another name is another's, and is left as it is.
    async fn pin(&self, root: &Cid) -> Result<(), Failure> {
        if self.pinned_as(root).await?.is_some_and(|name| name != NAME) {
            return Ok(());
        }
        let path = format!("/pins/{root}?name={NAME}&mode=recursive");
        let said = self.api.call(Method::Post, &path, None).await.map_err(elsewhere)?;
        if is_for(Json::one(&said)?, root) { Ok(()) } else { Err(Failure::Broken(format!("it did not pin {root}"))) }
    }

    /// That a peer has failed, after what can be done for it: it is to try again; or if none could get it, it is given anew,
    /// for with the pin, if that is ours, goes what is known of it here.
    async fn mend(&self, root: &Cid, peers: &[Peer], failed: &Peer) -> Result<Failure, Failure> {
        if peers.iter().all(Peer::lacks_it) && self.is_ours(root).await? {
            self.unpin(root).await?;
        } else {
            self.api.call(Method::Post, &format!("/pins/{root}/recover"), None).await?;
        }
        let said = format!("its peer {} has {}: {}", failed.name, failed.status, failed.error);
        Ok(self.api.redacted(Failure::Unreachable(said.trim_end_matches(": ").to_owned())))
    }

    async fn unpin(&self, root: &Cid) -> Result<(), Failure> {
        match self.api.call(Method::Delete, &format!("/pins/{root}"), None).await {
            Err(Failure::NotFound) => Ok(()),
            done => done.map(drop),
        }
    }

    async fn is_ours(&self, root: &Cid) -> Result<bool, Failure> {
        Ok(self.pinned_as(root).await?.is_some_and(|name| name == NAME))
    }

    /// The name of its pin; none where it is not pinned with all that is below it.
    async fn pinned_as(&self, root: &Cid) -> Result<Option<String>, Failure> {
        let said = match self.api.call(Method::Get, &format!("/allocations/{root}"), None).await {
            Err(Failure::NotFound) => return Ok(None),
            said => said?,
        };
        let said = Json::one(&said)?.object()?;
        if !is_for(said, root) {
            return Err(Failure::Broken(format!("asked how {root} is pinned, it tells of another")));
        }
        let text = |name| said.get(name).and_then(Json::text);
        let whole = text("mode").is_none_or(|mode| mode == "recursive");
        Ok(whole.then(|| text("name").unwrap_or_default()))
    }
}

#[async_trait(?Send)]
impl Backend for Cluster {
    fn name(&self) -> &str {
        &self.name
    }

    fn is_networked(&self) -> bool {
        true
    }

    fn kind(&self) -> &str {
        "cluster"
    }

    async fn probe(&self) -> Result<(), Failure> {
        self.api.call(Method::Get, "/id", None).await.map(drop).map_err(elsewhere)
    }

    async fn put(&self, feed: &mut Feed, state: Option<&Bytes>) -> Result<Step, Trouble> {
        let root = feed.root().clone();
        let mut state = state.map(State::of).unwrap_or_default();
        let wait = Next::Wait(look_in(self.first_look, state.looks));
        if state.asked {
            let peers = self.look(&root).await?;
            let next = match peers.iter().find(|peer| !peer.has_it()) {
                None => Next::Stored,
                Some(_) if peers.iter().any(Peer::is_at_work) => wait,
                Some(failed) => return Err(self.mend(&root, &peers, failed).await?.into()),
            };
            state.looks += 1;
            state.peers = peers.into_iter().take(MAX_PEERS).map(|peer| (peer.name, peer.status)).collect();
            return Ok(Step { state: state.encode(), sent: 0, next });
        }
        feed.seek(state.place).await?;
        let (sent, next) = match feed.archive(self.bytes).await? {
            Some(archive) => {
                self.add(&root, &archive).await?;
                (archive.len() as u64, Next::More)
            }
            None => {
                self.pin(&root).await?;
                state.asked = true;
                (0, wait)
            }
        };
        state.place = feed.place();
        Ok(Step { state: state.encode(), sent, next })
    }

    async fn blocks(&self, root: &Cid, _state: &Bytes, cids: &[Cid]) -> Result<Vec<Bytes>, Failure> {
        // Each proof begins with the root. What nobody keeps there any more is no copy, although it may still be read.
        if cids.contains(root) && !self.look(root).await?.iter().any(Peer::has_it) {
            return Err(Failure::NotFound);
        }
        from_gateway(&self.gateway, cids).await
    }

    async fn remove(&self, root: &Cid, _state: &Bytes) -> Result<(), Failure> {
        // Whatever is known of it here: a pin that nobody had heard of may be there all the same, and others' are theirs.
        if self.is_ours(root).await? { self.unpin(root).await } else { Ok(()) }
    }

    fn describe(&self, state: &Bytes) -> Vec<(&'static str, String)> {
        let peers: Vec<String> =
            State::of(state).peers.iter().map(|(name, status)| format!("{name} {status}")).collect();
        if peers.is_empty() { Vec::new() } else { vec![("peers", peers.join(", "))] }
    }
}

/// Nothing is where it should be at the least.
fn elsewhere(failure: Failure) -> Failure {
    match failure {
        Failure::NotFound => Failure::Unsupported("the REST API of a cluster at its URL".into()),
        other => other,
    }
}
