//! A trustless HTTP gateway (IPFS specification `http-gateways/trustless-gateway`): it gives blocks and CARs, and nothing
//! that has to be believed.

use std::rc::Rc;

use async_trait::async_trait;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

use super::{Failure, Remote, Scope, Wanted, address::base_url, body::stated};
use crate::{
    block::Cid,
    error::Result as Outcome,
    platform::http::{Body, Http, Method, Request, Response},
};

const RAW: &str = "application/vnd.ipld.raw";
const CAR: &str = "application/vnd.ipld.car";

/// The empty block, inlined in its CID: every gateway has it.
const PROBE: &str = "bafkqaaa";

/// What is escaped in a name: all but the characters that mean themselves everywhere in a URL.
pub(crate) const ESCAPED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// A gateway at a URL.
pub struct Gateway {
    http: Rc<dyn Http>,
    /// Without a slash at its end.
    url: String,
}

impl Gateway {
    /// A gateway at `url`, such as `https://example.org` or `http://127.0.0.1:8080`.
    pub fn new(http: Rc<dyn Http>, url: &str) -> Outcome<Self> {
        Ok(Gateway { http, url: base_url(url)? })
    }

    async fn get(&self, path: &str, accept: String, kind: &str) -> Result<Response, Failure> {
        let url = format!("{}/ipfs/{path}", self.url);
        let request = Request { method: Method::Get, url, headers: vec![("accept", accept)], body: None };
        let response = accepted(self.http.send(request).await?)?;
        let given = response.header("content-type").unwrap_or_default();
        if given.split(';').next().map(str::trim) == Some(kind) {
            Ok(response)
        } else {
            Err(Failure::Unsupported(format!("asked for {kind}, it gives {given:?}")))
        }
    }
}

#[async_trait(?Send)]
impl Remote for Gateway {
    fn name(&self) -> &str {
        &self.url
    }

    fn kind(&self) -> &str {
        "gateway"
    }

    async fn probe(&self) -> Result<(), Failure> {
        self.get(&format!("{PROBE}?format=raw"), RAW.into(), RAW).await.map(drop)
    }

    async fn block(&self, cid: &Cid) -> Result<Box<dyn Body>, Failure> {
        self.get(&format!("{cid}?format=raw"), RAW.into(), RAW).await.map(stated)
    }

    async fn car(&self, wanted: &Wanted) -> Result<Box<dyn Body>, Failure> {
        let scope = match &wanted.scope {
            Scope::All => "dag-scope=all".into(),
            // The range is inclusive; an empty one still needs the way to it. Numbers over 63 bits are refused.
            Scope::Bytes(range) if range.end > i64::MAX as u64 => {
                format!("dag-scope=entity&entity-bytes={}:*", range.start)
            }
            Scope::Bytes(range) => {
                let last = range.end.saturating_sub(1).max(range.start);
                format!("dag-scope=entity&entity-bytes={}:{last}", range.start)
            }
        };
        let names: String = wanted.path.iter().map(|name| format!("/{}", utf8_percent_encode(name, ESCAPED))).collect();
        let path = format!("{}{names}?format=car&{scope}&car-version=1&car-order=dfs&car-dups=n", wanted.cid);
        let response = self.get(&path, format!("{CAR}; version=1; order=dfs; dups=n"), CAR).await?;
        match response.header("content-type").unwrap_or_default() {
            other if other.contains("order=") && !other.contains("order=dfs") => {
                Err(Failure::Unsupported("CARs in the order of the DAG".into()))
            }
            _ => Ok(response.body),
        }
    }
}

/// What a status other than success means.
pub(super) fn accepted(response: Response) -> Result<Response, Failure> {
    let status = response.status;
    Err(match status {
        200 => return Ok(response),
        404 | 410 | 412 => Failure::NotFound,
        429 | 503 => Failure::Busy(retry_after(&response)),
        406 | 415 | 501 => Failure::Unsupported(format!("status {status}")),
        500.. => Failure::Unreachable(format!("status {status}")),
        _ => Failure::Refused(format!("status {status}")),
    })
}

/// `Retry-After` in seconds; its other form, a date, is left to the usual waiting.
pub(crate) fn retry_after(response: &Response) -> Option<u64> {
    response.header("retry-after")?.trim().parse::<u64>().ok().map(|seconds| seconds.saturating_mul(1000))
}
