//! The interface `outgoing-http`: requests as a store makes them, over wasi:http.

use std::{cell::RefCell, task::Poll};

use futures_util::{FutureExt, future::LocalBoxFuture};

use super::{
    Bridge, pieces, under_way,
    world::exports::ipfs_kit::storage::{
        outgoing_http::{Call, Guest, GuestCall, Head, Method as WitMethod, Request as WitRequest, RequestHeader},
        remote::{Exchange, Failure as WitFailure},
    },
};
use crate::{
    platform::{
        http::{Body, Http, Method, Request, Response},
        wasi::{host::wasi::io::poll::Pollable, http::WasiHttp, reactor},
    },
    remote::Failure,
};

impl Guest for Bridge {
    type Call = Calling;

    fn send(request: WitRequest) -> Call {
        let request = Request {
            method: match request.method {
                WitMethod::Get => Method::Get,
                WitMethod::Post => Method::Post,
                WitMethod::Put => Method::Put,
                WitMethod::Delete => Method::Delete,
            },
            url: request.url,
            headers: request.headers.into_iter().map(|(header, value)| (name(header), value)).collect(),
            body: request.body.map(Into::into),
        };
        let response = async move { WasiHttp.send(request).await }.boxed_local();
        Call::new(Calling(RefCell::new(State { pending: None, response: Some(response), body: None })))
    }
}

fn name(header: RequestHeader) -> &'static str {
    match header {
        RequestHeader::Accept => "accept",
        RequestHeader::Authorization => "authorization",
        RequestHeader::ContentType => "content-type",
        RequestHeader::Range => "range",
    }
}

/// A request under way.
pub struct Calling(RefCell<State>);

struct State {
    /// What it waits for; it must go before what it belongs to does.
    pending: Option<Pollable>,
    response: Option<LocalBoxFuture<'static, Result<Response, Failure>>>,
    body: Option<Box<dyn Body>>,
}

impl GuestCall for Calling {
    fn head(&self) -> Result<Option<Head>, WitFailure> {
        let state = &mut *self.0.borrow_mut();
        state.pending = None;
        let Some(response) = &mut state.response else {
            return Err(Failure::Broken("its head was given already".into()).into());
        };
        match reactor::poll_once(response.as_mut()) {
            Poll::Pending => {
                state.pending = reactor::hand_over();
                Ok(None)
            }
            Poll::Ready(answer) => {
                state.response = None;
                let Response { status, headers, body } = answer?;
                state.body = Some(body);
                Ok(Some(Head { status, headers }))
            }
        }
    }

    fn subscribe(&self) -> Option<Pollable> {
        self.0.borrow_mut().pending.take()
    }

    fn body(&self) -> Exchange {
        let body = self.0.borrow_mut().body.take();
        under_way(pieces(async move { body.ok_or_else(|| Failure::Broken("there is no body to be given".into())) }))
    }
}
