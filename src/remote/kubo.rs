//! The RPC of Kubo, and of what speaks like it (`/api/v0`, documented with Kubo). A node's own door: it gives, takes and pins.

use std::rc::Rc;

use async_trait::async_trait;
use bytes::Bytes;

use super::{
    Failure, Remote, Scope, Wanted,
    address::base_url,
    gateway::{collect, retry_after},
    unsupported,
};
use crate::{
    block::{Block, Cid, MAX_BLOCK_BYTES},
    car,
    error::Result as Outcome,
    platform::http::{Body, Http, Method, Request, Response},
};

/// Longest answer that is read to learn what went wrong, or that it went well.
const MAX_ANSWER_BYTES: usize = 64 * 1024;

/// Parts of a form are told apart by this; no block holds it, as far as chance goes.
const BOUNDARY: &str = "ipfs-kit-storage-5f9b2c71e0d84a36";

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
        let kind = form.as_ref().map(|_| ("content-type", format!("multipart/form-data; boundary={BOUNDARY}")));
        let request = Request { method: Method::Post, url, headers: kind.into_iter().collect(), body: form };
        accepted(self.http.send(request).await?).await
    }

    /// A call of which only matters that it went well, and what it says then.
    async fn call(&self, call: &str, form: Option<Bytes>) -> Result<Bytes, Failure> {
        collect(self.post(call, form).await?, MAX_ANSWER_BYTES).await
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

    async fn block(&self, cid: &Cid) -> Result<Bytes, Failure> {
        let response = self.post(&format!("block/get?arg={cid}"), None).await?;
        collect(response, MAX_BLOCK_BYTES).await
    }

    async fn car(&self, wanted: &Wanted) -> Result<Box<dyn Body>, Failure> {
        match &wanted.scope {
            _ if !wanted.path.is_empty() => Err(unsupported("CARs along a path")),
            Scope::All => Ok(self.post(&format!("dag/export?arg={}&progress=false", wanted.cid), None).await?.body),
            Scope::Bytes(_) => Err(unsupported("CARs of a part of a file")),
        }
    }

    async fn put(&self, blocks: &[Block]) -> Result<(), Failure> {
        let Some(first) = blocks.first() else { return Ok(()) };
        let archive = car::encode(first.cid(), blocks);
        self.call("dag/import?pin-roots=false", Some(form(&archive))).await.map(drop)
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
        match self.call(&format!("pin/ls?arg={cid}&type=recursive"), None).await {
            Err(Failure::NotFound) => Ok(false),
            done => done.map(|_| true),
        }
    }
}

/// A form with one file.
fn form(file: &[u8]) -> Bytes {
    let head = format!(
        "--{BOUNDARY}\r\ncontent-disposition: form-data; name=\"file\"; filename=\"blocks.car\"\r\n\
         content-type: application/octet-stream\r\n\r\n"
    );
    [head.as_bytes(), file, format!("\r\n--{BOUNDARY}--\r\n").as_bytes()].concat().into()
}

/// What a status other than success means. A node tells most of what goes wrong by 500 and a text.
async fn accepted(response: Response) -> Result<Response, Failure> {
    let status = response.status;
    Err(match status {
        200 => return Ok(response),
        404 => unsupported("this call"),
        429 | 503 => Failure::Busy(retry_after(&response)),
        500 => {
            let said = collect(response, MAX_ANSWER_BYTES).await?;
            let said = String::from_utf8_lossy(&said);
            let absent =
                ["not found", "could not find", "not pinned", "no link"].iter().any(|words| said.contains(words));
            if absent { Failure::NotFound } else { Failure::Unreachable(said.chars().take(200).collect()) }
        }
        501.. => Failure::Unreachable(format!("status {status}")),
        _ => Failure::Refused(format!("status {status}")),
    })
}
