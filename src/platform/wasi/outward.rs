//! The imports of world `outward`: the interfaces `remote` and `outgoing-http`, and a clock to wait by.

#[allow(missing_docs, unsafe_code, clippy::all, clippy::indexing_slicing, clippy::panic, clippy::unwrap_used)]
mod world {
    wit_bindgen::generate!({
        path: "wit",
        world: "outward",
        generate_all,
        pub_export_macro: false,
        with: {
            "wasi:io/error@0.2.12": crate::platform::wasi::host::wasi::io::error,
            "wasi:io/poll@0.2.12": crate::platform::wasi::host::wasi::io::poll,
            "wasi:io/streams@0.2.12": crate::platform::wasi::host::wasi::io::streams,
        },
    });
}

use async_trait::async_trait;
use bytes::Bytes;

pub use self::world::ipfs_kit::storage::remote;
use self::{
    remote::{Exchange, Piece},
    world::{
        ipfs_kit::storage::outgoing_http::{self, RequestHeader},
        wasi::clocks::monotonic_clock,
    },
};
use super::{host::wasi::io::streams::InputStream, reactor, stream};
use crate::{
    platform::{
        Network,
        http::{Body, Http, Method, Request, Response},
    },
    remote::Failure,
};

/// The host's monotonic clock.
#[derive(Debug, Default, Clone, Copy)]
pub struct WasiNetwork;

#[async_trait(?Send)]
impl Network for WasiNetwork {
    async fn sleep(&self, milliseconds: u64) {
        let until = monotonic_clock::now().saturating_add(milliseconds.saturating_mul(1_000_000));
        reactor::ready(|| Some(monotonic_clock::subscribe_instant(until))).await;
    }
}

/// HTTP, by whoever provides `outgoing-http`.
#[derive(Debug, Default, Clone, Copy)]
pub struct OutwardHttp;

#[async_trait(?Send)]
impl Http for OutwardHttp {
    async fn send(&self, request: Request) -> Result<Response, Failure> {
        let headers = request.headers.into_iter().map(|(name, value)| Ok((header(name)?, value)));
        let call = outgoing_http::send(&outgoing_http::Request {
            method: match request.method {
                Method::Get => outgoing_http::Method::Get,
                Method::Post => outgoing_http::Method::Post,
                Method::Put => outgoing_http::Method::Put,
                Method::Delete => outgoing_http::Method::Delete,
            },
            url: request.url,
            headers: headers.collect::<Result<_, Failure>>()?,
            body: request.body.map(Into::into),
        });
        loop {
            if let Some(head) = call.head()? {
                let body = Box::new(Answer::from(call.body()));
                return Ok(Response { status: head.status, headers: head.headers, body });
            }
            reactor::ready(|| call.subscribe()).await;
        }
    }
}

fn header(name: &str) -> Result<RequestHeader, Failure> {
    Ok(match name {
        "accept" => RequestHeader::Accept,
        "authorization" => RequestHeader::Authorization,
        "content-type" => RequestHeader::ContentType,
        "range" => RequestHeader::Range,
        other => return Err(Failure::Unsupported(format!("the header {other}, which `outgoing-http` does not have"))),
    })
}

/// An answer as it comes.
pub struct Answer {
    /// The rest of it, if the host has that; it must go before the exchange does.
    rest: Option<InputStream>,
    exchange: Exchange,
}

impl From<Exchange> for Answer {
    fn from(exchange: Exchange) -> Self {
        Answer { rest: None, exchange }
    }
}

#[async_trait(?Send)]
impl Body for Answer {
    async fn next(&mut self) -> Result<Option<Bytes>, Failure> {
        loop {
            if let Some(rest) = &self.rest {
                return stream::next(rest).await;
            }
            match self.exchange.next().map_err(Failure::from)? {
                Piece::Pending => reactor::ready(|| self.exchange.subscribe()).await,
                Piece::Rest(stream) => self.rest = Some(stream),
                Piece::Bytes(bytes) => return Ok(Some(bytes.into())),
                Piece::End => return Ok(None),
            }
        }
    }
}
