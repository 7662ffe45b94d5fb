//! An archive, such as a service that keeps data on Filecoin: it takes CARs by HTTP, pins what it was given when it is requested
//! to by the IPFS Pinning Service API, and gives it back through a trustless gateway.
//!
//! A DAG goes there as archives of some MiB, one after the other, each of which names its root; a service puts together what
//! belongs together. Then a request is followed until it is `pinned`, which can take days.

mod pins;

use std::rc::Rc;

use async_trait::async_trait;
use bytes::Bytes;
use minicbor::{Decode, Encode};

use self::pins::{Pins, Request, Status};
use super::{
    Backend, Endpoint, Feed, Next, Step, Trouble, from_gateway,
    service::{FIRST_LOOK, Service, look_in},
};
use crate::{
    block::Cid,
    error::{Error, Result as Outcome},
    platform::http::{Http, Method},
    remote::{Failure, Gateway},
};

/// An archive ends with the block that brings it to so many bytes. Each is a request of its own, of which services take so
/// many a minute.
const ARCHIVE_BYTES: usize = 8 * 1024 * 1024;

/// The media type of archives.
const CAR: &str = "application/vnd.ipld.car";

/// Most origins that a request can name.
const MAX_ORIGINS: usize = 20;

/// A service that keeps copies.
pub struct Archive {
    upload: Service,
    method: Method,
    pins: Pins,
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
    /// The request that was there before anything was sent; it says nothing of what was sent since.
    #[n(1)]
    before: Option<String>,
    /// The one that is followed,
    #[n(2)]
    request: Option<Request>,
    /// and how often it was looked after.
    #[n(3)]
    looks: u32,
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

impl Archive {
    /// The service that takes CARs by POST at `upload`, has `/pins` below `pinning`, and a trustless gateway at `gateway`,
    /// under a name of the caller's. The gateway is to be the service's own: what it gives is the proof that the service has it.
    pub fn new(http: Rc<dyn Http>, name: &str, upload: Endpoint, pinning: Endpoint, gateway: &str) -> Outcome<Self> {
        Ok(Archive {
            upload: Service::new(http.clone(), upload)?,
            method: Method::Post,
            pins: Pins::new(Service::new(http.clone(), pinning)?, name),
            gateway: Gateway::new(http, gateway)?,
            name: name.to_owned(),
            bytes: ARCHIVE_BYTES,
            first_look: FIRST_LOOK,
        })
    }

    /// The same, but it takes CARs by PUT.
    pub fn by_put(self) -> Self {
        Archive { method: Method::Put, ..self }
    }

    /// The same, and its requests name these multiaddresses, 20 at most, as of those who have the data.
    pub fn with_origins(mut self, origins: Vec<String>) -> Outcome<Self> {
        if origins.len() > MAX_ORIGINS || origins.iter().any(|origin| !origin.starts_with('/')) {
            let problem = format!("origins are multiaddresses, /ip4/… or the like, at most {MAX_ORIGINS}");
            return Err(Error::InvalidArgument(problem));
        }
        self.pins.origins = origins;
        Ok(self)
    }

    /// The same, but archives end at so many bytes, and requests are looked after so many milliseconds after they were made.
    #[cfg(any(test, feature = "testing"))]
    #[doc(hidden)]
    pub fn cut(self, bytes: usize, first_look: u64) -> Self {
        Archive { bytes, first_look, ..self }
    }

    /// What was given is to be pinned. A request that has come since it was begun is one that nobody had heard of.
    async fn ask(&self, root: &Cid, state: &State) -> Result<Request, Failure> {
        let found = self.pins.find(root).await?;
        let is_before = |request: &Request| state.before.as_deref() == Some(request.id.as_str());
        match found.iter().find(|request| !is_before(request)) {
            Some(new) => Ok(new.clone()),
            None => self.pins.add(root, state.before.as_deref()).await,
        }
    }

    /// How it goes on when this is how far a request has come.
    fn follow(&self, mut state: State, request: Request) -> Step {
        let next = match request.status {
            Status::Pinned => Next::Stored,
            _ => Next::Wait(look_in(self.first_look, state.looks)),
        };
        state.looks += 1;
        state.request = Some(request);
        Step { state: state.encode(), sent: 0, next }
    }
}

#[async_trait(?Send)]
impl Backend for Archive {
    fn name(&self) -> &str {
        &self.name
    }

    fn kind(&self) -> &str {
        "archive"
    }

    async fn probe(&self) -> Result<(), Failure> {
        self.pins.probe().await
    }

    async fn put(&self, feed: &mut Feed, state: Option<&Bytes>) -> Result<Step, Trouble> {
        let root = feed.root().clone();
        let mut state = match state {
            Some(state) => State::of(state),
            // Whoever must not request anything learns that before it has sent anything.
            None => State {
                before: self.pins.find(&root).await?.first().map(|request| request.id.clone()),
                ..State::default()
            },
        };
        if let Some(Request { id, .. }) = &state.request {
            let request = self.pins.look(&root, id).await?;
            if request.status == Status::Failed {
                // With it goes what is known of it here: the next try does not find it, and all is given anew.
                self.pins.remove(id).await?;
                return Err(self.pins.failure(&request).into());
            }
            return Ok(self.follow(state, request));
        }
        feed.seek(state.place).await?;
        let Some(archive) = feed.archive(self.bytes).await? else {
            let request = self.ask(&root, &state).await?;
            return Ok(self.follow(state, request));
        };
        let sent = archive.len() as u64;
        match self.upload.call(self.method, "", Some((CAR, archive.into()))).await {
            Err(Failure::NotFound) => return Err(Failure::Unsupported("uploads at its URL".into()).into()),
            done => drop(done?),
        }
        state.place = feed.place();
        Ok(Step { state: state.encode(), sent, next: Next::More })
    }

    async fn blocks(&self, root: &Cid, state: &Bytes, cids: &[Cid]) -> Result<Vec<Bytes>, Failure> {
        // Each proof begins with the root. What nothing keeps there any more is no copy, although it may still be read.
        if let Some(Request { id, .. }) = State::of(state).request.filter(|_| cids.contains(root)) {
            match self.pins.look(root, &id).await?.status {
                Status::Pinned => {}
                Status::Failed => return Err(Failure::NotFound),
                Status::Queued | Status::Pinning => return Err(Failure::Busy(None)),
            }
        }
        from_gateway(&self.gateway, cids).await
    }

    async fn remove(&self, root: &Cid, state: &Bytes) -> Result<(), Failure> {
        // One that nobody had heard of may be there all the same.
        let ids = match State::of(state).request {
            Some(request) => vec![request.id],
            None => self.pins.find(root).await?.into_iter().map(|request| request.id).collect(),
        };
        for id in ids {
            self.pins.remove(&id).await?;
        }
        Ok(())
    }

    fn describe(&self, state: &Bytes) -> Vec<(&'static str, String)> {
        let Some(request) = State::of(state).request else { return Vec::new() };
        let mut told = vec![("request", request.id), ("status", request.status.name().to_owned())];
        let lists = [("delegates", request.delegates), ("origins", request.origins)];
        told.extend(request.details.map(|details| ("details", details)));
        told.extend(lists.into_iter().filter(|(_, list)| !list.is_empty()).map(|(name, list)| (name, list.join(" "))));
        told
    }
}
