//! A pinning service, by the IPFS Pinning Service API, version 1 (repository `ipfs/pinning-services-api-spec`).

use minicbor::{Decode, Encode};
use percent_encoding::utf8_percent_encode;

use crate::{
    backend::service::{Service, is_for},
    block::{Cid, Codec},
    dag::{self, Map, Value},
    json::{Json, Unusable},
    platform::http::Method,
    remote::{ESCAPED, Failure},
};

/// The name of requests, by which they are known again.
const NAME: &str = "ipfs-kit-storage";

/// Longest id of a request, and address, that is kept; so many addresses are in a list at most, by the specification.
const MAX_TEXT_BYTES: usize = 512;
const MAX_ADDRESSES: usize = 20;

/// How far a request has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, Decode)]
#[cbor(index_only)]
pub enum Status {
    #[n(0)]
    Queued,
    #[n(1)]
    Pinning,
    #[n(2)]
    Pinned,
    #[n(3)]
    Failed,
}

impl Status {
    const ALL: [Status; 4] = [Status::Queued, Status::Pinning, Status::Pinned, Status::Failed];

    pub const fn name(self) -> &'static str {
        match self {
            Status::Queued => "queued",
            Status::Pinning => "pinning",
            Status::Pinned => "pinned",
            Status::Failed => "failed",
        }
    }
}

/// A request, as the service told of it last.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct Request {
    #[n(0)]
    pub id: String,
    #[n(1)]
    pub status: Status,
    /// Who takes the data of it, by multiaddress.
    #[n(2)]
    pub delegates: Vec<String>,
    /// Who has them.
    #[n(3)]
    pub origins: Vec<String>,
    /// What it says of its status.
    #[n(4)]
    pub details: Option<String>,
}

pub struct Pins {
    service: Service,
    /// The backend's name, which goes with requests.
    backend: String,
    pub origins: Vec<String>,
}

impl Pins {
    pub fn new(service: Service, backend: &str) -> Self {
        Pins { service, backend: backend.to_owned(), origins: Vec::new() }
    }

    /// Whether it speaks to us at all.
    pub async fn probe(&self) -> Result<(), Failure> {
        self.service.call(Method::Get, "/pins?limit=1", None).await.map(drop).map_err(elsewhere)
    }

    /// The requests for a root that are of this name, whatever has become of them.
    pub async fn find(&self, root: &Cid) -> Result<Vec<Request>, Failure> {
        let statuses = Status::ALL.map(Status::name).join(",");
        let path = format!("/pins?cid={root}&name={NAME}&match=exact&status={statuses}&limit=10");
        let said = match self.service.call(Method::Get, &path, None).await {
            Err(Failure::NotFound) => return Ok(Vec::new()),
            said => said?,
        };
        let results = Json::one(&said)?.object()?.get("results").and_then(Json::items).ok_or(Unusable)?;
        // A service need not filter.
        let ours = results.filter(|one| {
            one.get("pin").is_some_and(|pin| is_for(pin, root) && text(pin, "name").as_deref() == Some(NAME))
        });
        ours.map(|one| request(root, one)).collect()
    }

    /// Requests that a root be pinned; in place of an earlier request, if there is one.
    pub async fn add(&self, root: &Cid, before: Option<&str>) -> Result<Request, Failure> {
        let said = match before {
            Some(id) => match self.service.call(Method::Post, &path(id), Some(self.pin(root)?)).await {
                // It went meanwhile.
                Err(Failure::NotFound) => None,
                said => Some(said?),
            },
            None => None,
        };
        let said = match said {
            Some(said) => said,
            None => self.service.call(Method::Post, "/pins", Some(self.pin(root)?)).await.map_err(elsewhere)?,
        };
        request(root, Json::one(&said)?)
    }

    /// How far a request has come. [`Failure::NotFound`] if it is forgotten there.
    pub async fn look(&self, root: &Cid, id: &str) -> Result<Request, Failure> {
        let said = self.service.call(Method::Get, &path(id), None).await?;
        let found = request(root, Json::one(&said)?)?;
        if found.id != id {
            return Err(Failure::Broken(format!("asked for the pin request {id}, it tells of {}", found.id)));
        }
        Ok(found)
    }

    /// Takes a request back; no failure if there is none.
    pub async fn remove(&self, id: &str) -> Result<(), Failure> {
        match self.service.call(Method::Delete, &path(id), None).await {
            Err(Failure::NotFound) => Ok(()),
            done => done.map(drop),
        }
    }

    /// That a request has failed, and why.
    pub fn failure(&self, request: &Request) -> Failure {
        let said = format!("its pin request {} failed: {}", request.id, request.details.as_deref().unwrap_or_default());
        self.service.redacted(Failure::Unreachable(said.trim_end_matches(": ").to_owned()))
    }

    fn pin(&self, root: &Cid) -> Result<(&'static str, bytes::Bytes), Failure> {
        let text = |text: &str| Value::String(text.to_owned());
        let map = |entries: Vec<(&str, Value)>| {
            let entries = entries.into_iter().map(|(name, value)| (name.to_owned(), value));
            Value::Map(Map::of(entries.collect()).unwrap_or_default())
        };
        let mut pin = vec![
            ("cid", Value::String(root.to_string())),
            ("name", text(NAME)),
            ("meta", map(vec![("backend", text(&self.backend))])),
        ];
        if !self.origins.is_empty() {
            pin.push(("origins", Value::List(self.origins.iter().map(|origin| text(origin)).collect())));
        }
        let unwritten = |_| Failure::Refused("its pin request cannot be written as JSON".into());
        Ok(("application/json", dag::encode(Codec::DagJson, &map(pin)).map_err(unwritten)?.into()))
    }
}

/// Where a request is.
fn path(id: &str) -> String {
    format!("/pins/{}", utf8_percent_encode(id, ESCAPED))
}

/// Nothing is where it should be at the least.
fn elsewhere(failure: Failure) -> Failure {
    match failure {
        Failure::NotFound => Failure::Unsupported("a pinning service: there are no /pins below its URL".into()),
        other => other,
    }
}

fn request(root: &Cid, said: Json<'_>) -> Result<Request, Failure> {
    let id = text(said, "requestid").filter(|id| is_short(id) && !id.trim_matches('.').is_empty()).ok_or(Unusable)?;
    let status = text(said, "status").ok_or(Unusable)?;
    let status = Status::ALL.into_iter().find(|known| known.name() == status).ok_or(Unusable)?;
    let pin = said.get("pin").ok_or(Unusable)?;
    if !is_for(pin, root) {
        return Err(Failure::Broken(format!("its pin request {id} is not for {root}")));
    }
    let details = said.get("info").and_then(|info| text(info, "status_details")).filter(|details| is_short(details));
    Ok(Request { id, status, delegates: texts(said, "delegates"), origins: texts(pin, "origins"), details })
}

fn text(said: Json<'_>, name: &str) -> Option<String> {
    said.get(name).and_then(Json::text)
}

fn texts(said: Json<'_>, name: &str) -> Vec<String> {
    let texts = said.get(name).and_then(Json::items).into_iter().flatten().filter_map(Json::text);
    texts.filter(|text| is_short(text)).take(MAX_ADDRESSES).collect()
}

fn is_short(text: &str) -> bool {
    text.len() <= MAX_TEXT_BYTES && !text.contains(char::is_control)
}
