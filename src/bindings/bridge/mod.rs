//! The bridge: a component that provides the interfaces `remote` and `outgoing-http` over wasi:http, for a store that has none
//! itself.
#![allow(unsafe_code)] // in what `export!` generates

mod http;

#[allow(missing_docs, unsafe_code, clippy::all, clippy::indexing_slicing, clippy::panic, clippy::unwrap_used)]
mod world {
    wit_bindgen::generate!({
        path: "wit",
        world: "gateway-bridge",
        generate_all,
        with: {
            "wasi:io/error@0.2.12": crate::platform::wasi::host::wasi::io::error,
            "wasi:io/poll@0.2.12": crate::platform::wasi::host::wasi::io::poll,
            "wasi:io/streams@0.2.12": crate::platform::wasi::host::wasi::io::streams,
        },
    });
}

use std::{any::Any, cell::RefCell, rc::Rc, task::Poll};

use bytes::Bytes;
use futures_util::{
    StreamExt,
    future::LocalBoxFuture,
    stream::{self, LocalBoxStream, Stream},
};

use self::world::{
    export,
    exports::ipfs_kit::storage::remote::{
        self as wit, Connection, Exchange, Guest, GuestConnection, GuestExchange, Piece,
    },
};
use crate::{
    block::{self, Block, Cid},
    hash::CpuHasher,
    platform::{
        http::Body,
        wasi::{
            host::wasi::io::poll::Pollable,
            http::{Incoming, IncomingBody, IncomingResponse, WasiHttp},
            reactor,
        },
    },
    remote::{Connector, Failure, HttpConnector, Remote, Scope, Wanted},
};

struct Bridge;
export!(Bridge with_types_in world);

impl Guest for Bridge {
    type Connection = Connected;
    type Exchange = UnderWay;
}

struct Connected(Rc<dyn Remote>);

struct UnderWay(RefCell<State>);

struct State {
    /// What it waits for; it must go before what it belongs to does.
    pending: Option<Pollable>,
    pieces: LocalBoxStream<'static, Result<Part, Failure>>,
    /// What a stream given away belongs to.
    rest: Option<(IncomingBody, IncomingResponse)>,
}

/// A part of an answer.
enum Part {
    Bytes(Bytes),
    Rest(Box<Incoming>),
}

type Answer<T> = LocalBoxFuture<'static, Result<T, Failure>>;

impl Connected {
    /// Begins a call with one answer.
    fn begin(&self, call: impl FnOnce(Rc<dyn Remote>) -> Answer<Bytes>) -> Exchange {
        under_way(stream::once(call(self.0.clone())).filter_map(|piece| async move {
            match piece {
                Ok(bytes) if bytes.is_empty() => None,
                piece => Some(piece.map(Part::Bytes)),
            }
        }))
    }

    /// Begins a call about one CID.
    fn about(&self, cid: &str, call: impl FnOnce(Rc<dyn Remote>, Cid) -> Answer<Bytes>) -> Exchange {
        match parse(cid) {
            Ok(cid) => self.begin(|remote| call(remote, cid)),
            Err(failure) => under_way(stream::once(async move { Err(failure) })),
        }
    }
}

fn under_way(pieces: impl Stream<Item = Result<Part, Failure>> + 'static) -> Exchange {
    Exchange::new(UnderWay(RefCell::new(State { pieces: pieces.boxed_local(), pending: None, rest: None })))
}

/// The parts of a body that is still to come. One that the host has as a stream is given away as that.
fn pieces(
    body: impl Future<Output = Result<Box<dyn Body>, Failure>> + 'static,
) -> impl Stream<Item = Result<Part, Failure>> {
    stream::once(body).flat_map(|body| match body {
        Err(failure) => stream::once(async move { Err(failure) }).boxed_local(),
        Ok(body) if (body.as_ref() as &dyn Any).is::<Incoming>() => {
            let incoming = (body as Box<dyn Any>).downcast().map(Part::Rest);
            stream::iter(incoming.ok().map(Ok)).boxed_local()
        }
        Ok(body) => stream::unfold(Some(body), |body| async move {
            let mut body = body?;
            match body.next().await {
                Ok(None) => None,
                Ok(Some(bytes)) => Some((Ok(Part::Bytes(bytes)), Some(body))),
                Err(failure) => Some((Err(failure), None)),
            }
        })
        .boxed_local(),
    })
}

fn parse(cid: &str) -> Result<Cid, Failure> {
    block::parse(cid).map_err(|error| Failure::Unsupported(error.to_string()))
}

impl GuestConnection for Connected {
    fn connect(address: String) -> Result<Connection, String> {
        let connector = HttpConnector(Rc::new(WasiHttp));
        let remote = connector.connect(&address).map_err(|error| match error {
            crate::Error::InvalidArgument(problem) => problem,
            other => other.to_string(),
        })?;
        Ok(Connection::new(Connected(remote)))
    }

    fn kind(&self) -> String {
        self.0.kind().to_owned()
    }

    fn block(&self, cid: String) -> Exchange {
        let remote = self.0.clone();
        under_way(pieces(async move { remote.block(&parse(&cid)?).await }))
    }

    fn car(&self, wanted: wit::Wanted) -> Exchange {
        let remote = self.0.clone();
        under_way(pieces(async move {
            let scope =
                wanted.bytes.map_or(Scope::All, |bytes| Scope::Bytes(bytes.first..bytes.last.saturating_add(1)));
            let wanted = Wanted { cid: parse(&wanted.cid)?, path: wanted.path, scope };
            remote.car(&wanted).await
        }))
    }

    fn put(&self, blocks: Vec<(String, Vec<u8>)>) -> Exchange {
        self.begin(|remote| {
            Box::pin(async move {
                let claim = |(cid, bytes): (String, Vec<u8>)| Ok((parse(&cid)?, Bytes::from(bytes)));
                let claims = blocks.into_iter().map(claim).collect::<Result<Vec<_>, Failure>>()?;
                let refused = |error: crate::Error| Failure::Refused(error.to_string());
                let blocks = Block::verify(&CpuHasher, claims).await.map_err(refused)?;
                let blocks = blocks.into_iter().collect::<Result<Vec<_>, _>>().map_err(refused)?;
                remote.put(&blocks).await.map(|()| Bytes::new())
            })
        })
    }

    fn pin(&self, cid: String) -> Exchange {
        self.about(&cid, |remote, cid| Box::pin(async move { remote.pin(&cid).await.map(|()| Bytes::new()) }))
    }

    fn unpin(&self, cid: String) -> Exchange {
        self.about(&cid, |remote, cid| Box::pin(async move { remote.unpin(&cid).await.map(|()| Bytes::new()) }))
    }

    fn is_pinned(&self, cid: String) -> Exchange {
        let ask = |remote: Rc<dyn Remote>, cid: Cid| -> Answer<Bytes> {
            Box::pin(async move {
                match remote.is_pinned(&cid).await? {
                    true => Ok(Bytes::new()),
                    false => Err(Failure::NotFound),
                }
            })
        };
        self.about(&cid, ask)
    }

    fn providers(&self, cid: String) -> Exchange {
        self.about(&cid, |remote, cid| {
            Box::pin(async move { remote.providers(&cid).await.map(|addresses| addresses.join("\n").into()) })
        })
    }

    fn probe(&self) -> Exchange {
        self.begin(|remote| Box::pin(async move { remote.probe().await.map(|()| Bytes::new()) }))
    }
}

impl GuestExchange for UnderWay {
    fn next(&self) -> Result<Piece, wit::Failure> {
        let mut state = self.0.borrow_mut();
        state.pending = None;
        match reactor::poll_once(std::pin::pin!(state.pieces.next())) {
            Poll::Pending => {
                state.pending = reactor::hand_over();
                Ok(Piece::Pending)
            }
            Poll::Ready(None) => Ok(Piece::End),
            Poll::Ready(Some(Ok(Part::Bytes(bytes)))) => Ok(Piece::Bytes(bytes.into())),
            Poll::Ready(Some(Ok(Part::Rest(incoming)))) => {
                let Incoming { stream, response } = *incoming;
                state.rest = Some(response);
                Ok(Piece::Rest(stream))
            }
            Poll::Ready(Some(Err(failure))) => Err(failure.into()),
        }
    }

    fn subscribe(&self) -> Option<Pollable> {
        self.0.borrow_mut().pending.take()
    }
}

impl From<Failure> for wit::Failure {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::NotFound => wit::Failure::NotFound,
            Failure::Busy(wait) => wit::Failure::Busy(wait),
            Failure::Refused(why) => wit::Failure::Refused(why),
            Failure::Unsupported(what) => wit::Failure::Unsupported(what),
            Failure::Lied(what) | Failure::Broken(what) => wit::Failure::Broken(what),
            Failure::Silent => wit::Failure::Unreachable(Failure::Silent.to_string()),
            Failure::Unreachable(why) => wit::Failure::Unreachable(why),
            Failure::Denied(why) => wit::Failure::Denied(why),
        }
    }
}
