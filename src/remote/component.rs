//! A remote that the host, or another component, provides through the WIT interface `remote`.

use std::rc::Rc;

use async_trait::async_trait;
use bytes::Bytes;

use super::{Connector, Failure, Remote, Scope, Wanted, body};
use crate::{
    block::{Block, Cid},
    error::{Error, Result as Outcome},
    platform::{
        http::Body,
        wasi::outward::{
            Answer,
            remote::{self as wit, Connection, Exchange},
        },
    },
};

/// Longest answer to a probe.
const MAX_PROBE_BYTES: usize = 64 * 1024;

/// Longest list of providers.
const MAX_PROVIDERS_BYTES: usize = 1024 * 1024;

/// Makes remotes of addresses, as the provider of the interface understands them.
pub struct ComponentConnector;

impl Connector for ComponentConnector {
    fn connect(&self, address: &str) -> Outcome<Rc<dyn Remote>> {
        let connection = Connection::connect(address).map_err(Error::InvalidArgument)?;
        Ok(Rc::new(ComponentRemote { name: address.to_owned(), kind: connection.kind(), connection }))
    }
}

struct ComponentRemote {
    name: String,
    kind: String,
    connection: Connection,
}

#[async_trait(?Send)]
impl Remote for ComponentRemote {
    fn name(&self) -> &str {
        &self.name
    }

    fn kind(&self) -> &str {
        &self.kind
    }

    async fn probe(&self) -> Result<(), Failure> {
        collect(self.connection.probe(), MAX_PROBE_BYTES).await.map(drop)
    }

    async fn block(&self, cid: &Cid) -> Result<Box<dyn Body>, Failure> {
        Ok(Box::new(Answer::from(self.connection.block(&cid.to_string()))))
    }

    async fn car(&self, wanted: &Wanted) -> Result<Box<dyn Body>, Failure> {
        let bytes = match &wanted.scope {
            Scope::All => None,
            Scope::Bytes(range) => {
                let last = range.end.saturating_sub(1).max(range.start);
                Some(wit::ByteRange { first: range.start, last })
            }
        };
        let wanted = wit::Wanted { cid: wanted.cid.to_string(), path: wanted.path.clone(), bytes };
        Ok(Box::new(Answer::from(self.connection.car(&wanted))))
    }

    async fn put(&self, blocks: &[Block]) -> Result<(), Failure> {
        let blocks: Vec<_> = blocks.iter().map(|block| (block.cid().to_string(), block.bytes().to_vec())).collect();
        collect(self.connection.put(&blocks), 0).await.map(drop)
    }

    async fn pin(&self, cid: &Cid) -> Result<(), Failure> {
        collect(self.connection.pin(&cid.to_string()), 0).await.map(drop)
    }

    async fn unpin(&self, cid: &Cid) -> Result<(), Failure> {
        collect(self.connection.unpin(&cid.to_string()), 0).await.map(drop)
    }

    async fn is_pinned(&self, cid: &Cid) -> Result<bool, Failure> {
        match collect(self.connection.is_pinned(&cid.to_string()), 0).await {
            Err(Failure::NotFound) => Ok(false),
            done => done.map(|_| true),
        }
    }

    async fn providers(&self, cid: &Cid) -> Result<Vec<String>, Failure> {
        let lines = collect(self.connection.providers(&cid.to_string()), MAX_PROVIDERS_BYTES).await?;
        Ok(String::from_utf8_lossy(&lines).lines().map(str::to_owned).collect())
    }
}

async fn collect(exchange: Exchange, most: usize) -> Result<Bytes, Failure> {
    let mut answer = Answer::from(exchange);
    body::collect(async || answer.next().await, most).await
}

impl From<wit::Failure> for Failure {
    fn from(failure: wit::Failure) -> Self {
        match failure {
            wit::Failure::NotFound => Failure::NotFound,
            wit::Failure::Busy(wait) => Failure::Busy(wait),
            wit::Failure::Refused(why) => Failure::Refused(why),
            wit::Failure::Unsupported(what) => Failure::Unsupported(what),
            wit::Failure::Broken(how) => Failure::Broken(how),
            wit::Failure::Unreachable(why) => Failure::Unreachable(why),
            wit::Failure::Denied(why) => Failure::Denied(why),
        }
    }
}
