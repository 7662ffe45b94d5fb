//! The RPC of Kubo, and of what speaks like it (`/api/v0`, documented with Kubo). A node's own door: it gives, takes and pins.

use std::rc::Rc;

use async_trait::async_trait;
use bytes::Bytes;
use cid::Version;

use super::{
    Failure, Remote, Scope, Wanted,
    address::base_url,
    body::{collect, complaint, stated},
    form::{FORM, form},
    gateway::retry_after,
    shortened, unsupported,
};
use crate::{
    block::{self, Block, Cid, Codec, MAX_BLOCK_BYTES},
    car,
    error::Result as Outcome,
    hash::HashFunction,
    json::{Json, Unusable},
    platform::http::{Body, Http, Method, Request, Response},
};

/// Longest answer that is read to learn that it went well.
const MAX_ANSWER_BYTES: usize = 64 * 1024;

/// A block of up to 2 MiB is none too big here, although nodes of before 2026 ask whether one of over 1 MiB is meant.
const ANY_SIZE: &str = "allow-big-block=true";

/// What a node says where it has not got a block, a link or a pin.
const ABSENT: [&str; 4] = ["not found", "could not find", "not pinned", "no link"];

/// What it says when it was to be done by then.
const LATE: [&str; 2] = ["timed out", "deadline exceeded"];

/// What it says of a codec or a hash function that it does not know.
const UNKNOWN: [&str; 5] =
    ["no hasher found", "no codec found", "unrecognized", "no decoder registered", "unknown multihash"];

/// What it says of a block that is more than it takes.
const TOO_BIG: [&str; 2] = ["big block", "block is over"];

/// A node at a URL.
pub struct Kubo {
    http: Rc<dyn Http>,
    /// Without a slash at its end.
    url: String,
    name: String,
}

impl Kubo {
    /// The node whose RPC is at `url`, such as `http://127.0.0.1:5001`.
    pub fn new(http: Rc<dyn Http>, url: &str) -> Outcome<Self> {
        let url = base_url(url)?;
        Ok(Kubo { http, name: format!("kubo+{url}"), url })
    }

    async fn post(&self, call: &str, form: Option<Bytes>) -> Result<Response, Failure> {
        let url = format!("{}/api/v0/{call}", self.url);
        let kind = form.as_ref().map(|_| ("content-type", FORM.to_owned()));
        let request = Request { method: Method::Post, url, headers: kind.into_iter().collect(), body: form };
        accepted(self.http.send(request).await?).await
    }

    /// A call of which only matters that it went well, and what it says then.
    async fn call(&self, call: &str, form: Option<Bytes>) -> Result<Bytes, Failure> {
        let mut said = stated(self.post(call, form).await?);
        collect(async || said.next().await, MAX_ANSWER_BYTES).await
    }

    /// One block, which the node names itself: it has understood what it is to be found by.
    async fn put_one(&self, block: &Block) -> Result<(), Failure> {
        let cid = block.cid();
        let function = HashFunction::ALL.into_iter().find(|function| function.code() == cid.hash().code());
        let (Some(function), Ok(codec)) = (function, Codec::of(cid)) else { return Err(unsupported("such blocks")) };
        // Kubo knows the version by the format, and calls `format` deprecated; js-ipfs knows no `cid-codec`.
        let (version, format) = match (cid.version(), codec) {
            (Version::V0, _) => (0, "v0"),
            (_, Codec::Raw) => (1, "raw"),
            (_, Codec::DagPb) => (1, "dag-pb"),
            (_, Codec::DagCbor) => (1, "dag-cbor"),
            (_, Codec::DagJson) => (1, "dag-json"),
        };
        let call = format!("block/put?format={format}&version={version}&mhtype={function}&{ANY_SIZE}");
        let said = self.call(&call, Some(form(block.bytes()))).await?;
        let key = Json::one(&said)?.get("Key").and_then(Json::text).ok_or(Unusable)?;
        match block::parse(&key) {
            Ok(named) if named.hash() == cid.hash() && named.codec() == cid.codec() => Ok(()),
            _ => Err(Failure::Broken(format!("it was given {cid}, and says that it has {key}"))),
        }
    }

    /// Has it pin all that is below this, if it holds that already: it looks nowhere else, for so many seconds at most.
    /// [`Failure::NotFound`] if it does not hold all of it.
    pub(crate) async fn pin_held(&self, cid: &Cid, seconds: u32) -> Result<(), Failure> {
        let call = format!("pin/add?arg={cid}&recursive=true&progress=false&offline=true&timeout={seconds}s");
        match self.call(&call, None).await {
            // Some wait for what they lack, wherever they were told to look.
            Err(Failure::Unreachable(said)) if LATE.iter().any(|words| said.contains(words)) => Err(Failure::NotFound),
            Ok(_) if !self.is_pinned(cid).await? => {
                Err(Failure::Broken("it says that it has pinned it, and then that it has not".into()))
            }
            done => done.map(drop),
        }
    }

    /// The bytes of a block that it holds itself: it looks nowhere else, for so many seconds at most.
    pub(crate) async fn held(&self, cid: &Cid, seconds: u32) -> Result<Bytes, Failure> {
        let call = format!("block/get?arg={cid}&offline=true&timeout={seconds}s");
        let mut body = match self.post(&call, None).await {
            Err(Failure::Unreachable(said)) if LATE.iter().any(|words| said.contains(words)) => {
                return Err(Failure::NotFound);
            }
            answer => stated(answer?),
        };
        collect(async || body.next().await, MAX_BLOCK_BYTES).await
    }

    async fn import(&self, blocks: &[Block]) -> Result<(), Failure> {
        let Some(first) = blocks.first() else { return Ok(()) };
        let archive = form(&car::encode(first.cid(), blocks));
        let call = format!("dag/import?pin-roots=false&stats=true&{ANY_SIZE}");
        let said = self.call(&call, Some(archive)).await?;
        for part in Json::many(&said) {
            let part = part?.object()?;
            // An error after it had begun to answer, or of a pin.
            let complaint = part.get("Message").or_else(|| part.get("Root")?.get("PinErrorMsg")).and_then(Json::text);
            if let Some(complaint) = complaint.filter(|complaint| !complaint.is_empty()) {
                return Err(failure(&complaint));
            }
            // Kubo counts them; js-ipfs says nothing.
            if let Some(stats) = part.get("Stats") {
                let count = stats.get("BlockCount").and_then(Json::count).ok_or(Unusable)?;
                if count != blocks.len() {
                    return Err(Failure::Broken(format!("it took {count} blocks of {}", blocks.len())));
                }
            }
        }
        Ok(())
    }
}

#[async_trait(?Send)]
impl Remote for Kubo {
    fn name(&self) -> &str {
        &self.name
    }

    fn kind(&self) -> &str {
        "kubo"
    }

    async fn probe(&self) -> Result<(), Failure> {
        self.call("version", None).await.map(drop)
    }

    async fn block(&self, cid: &Cid) -> Result<Box<dyn Body>, Failure> {
        self.post(&format!("block/get?arg={cid}"), None).await.map(stated)
    }

    async fn car(&self, wanted: &Wanted) -> Result<Box<dyn Body>, Failure> {
        match &wanted.scope {
            _ if !wanted.path.is_empty() => Err(unsupported("CARs along a path")),
            Scope::All => Ok(self.post(&format!("dag/export?arg={}&progress=false", wanted.cid), None).await?.body),
            Scope::Bytes(_) => Err(unsupported("CARs of a part of a file")),
        }
    }

    async fn put(&self, blocks: &[Block]) -> Result<(), Failure> {
        // What a CID carries in itself, everybody has.
        let blocks: Vec<Block> = blocks.iter().filter(|one| block::key(one.cid()).is_some()).cloned().collect();
        match blocks.as_slice() {
            // A node need not know a hash function, or a codec, to keep what comes in an archive.
            [one] => match self.put_one(one).await {
                Err(Failure::Unsupported(_)) => self.import(&blocks).await,
                done => done,
            },
            _ => self.import(&blocks).await,
        }
    }

    async fn pin(&self, cid: &Cid) -> Result<(), Failure> {
        self.call(&format!("pin/add?arg={cid}&recursive=true&progress=false"), None).await.map(drop)
    }

    async fn unpin(&self, cid: &Cid) -> Result<(), Failure> {
        match self.call(&format!("pin/rm?arg={cid}&recursive=true"), None).await {
            Err(Failure::NotFound) => Ok(()),
            done => done.map(drop),
        }
    }

    async fn is_pinned(&self, cid: &Cid) -> Result<bool, Failure> {
        let said = match self.call(&format!("pin/ls?arg={cid}&type=recursive"), None).await {
            Err(Failure::NotFound) => return Ok(false),
            said => said?,
        };
        let mut pins = Json::one(&said)?.object()?.get("Keys").into_iter().flat_map(Json::members);
        Ok(pins.any(|(key, _)| block::parse(&key).is_ok_and(|pinned| pinned.hash() == cid.hash())))
    }
}

/// What a status other than success means. A node tells most of what goes wrong by 500 and a text.
async fn accepted(response: Response) -> Result<Response, Failure> {
    let status = response.status;
    Err(match status {
        200 => return Ok(response),
        404 => unsupported("this call"),
        429 | 503 => Failure::Busy(retry_after(&response)),
        500 => failure(&complaint(response, message).await),
        501.. => Failure::Unreachable(format!("status {status}")),
        _ => {
            let said = complaint(response, message).await;
            Failure::Refused(format!("status {status}: {said}").trim_end_matches(": ").into())
        }
    })
}

/// Where a node says what went wrong.
fn message(said: Json<'_>) -> Option<String> {
    said.get("Message")?.text()
}

/// What it means.
fn failure(said: &str) -> Failure {
    let lower = said.to_ascii_lowercase();
    let has = |words: &[&str]| words.iter().any(|words| lower.contains(words));
    let said = shortened(said);
    if has(&ABSENT) {
        Failure::NotFound
    } else if has(&UNKNOWN) {
        Failure::Unsupported(said)
    } else if has(&TOO_BIG) {
        Failure::Refused(said)
    } else {
        Failure::Unreachable(said)
    }
}
