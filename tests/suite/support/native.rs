//! Real servers from native tests: HTTP and waiting, each call in a thread of its own.

use std::{io::Read, rc::Rc, thread, time::Duration};

use async_trait::async_trait;
use bytes::Bytes;
use futures_channel::oneshot;
use ipfs_kit_storage::{
    platform::{
        Network,
        http::{Body, Http, Method, Request, Response},
    },
    remote::Failure,
};
use ureq::{Agent, BodyReader, http};

/// As much of a body is read at once.
const PIECE: usize = 64 * 1024;

async fn aside<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    let (give, take) = oneshot::channel();
    thread::spawn(move || give.send(work()));
    take.await.expect("the thread ends well")
}

/// The system's network.
pub struct Loopback;

#[async_trait(?Send)]
impl Network for Loopback {
    async fn sleep(&self, milliseconds: u64) {
        aside(move || thread::sleep(Duration::from_millis(milliseconds))).await;
    }
}

/// Whoever lets go of a call leaves it to its thread.
pub struct Client(Agent);

impl Client {
    pub fn http() -> Rc<dyn Http> {
        Rc::new(Client(Agent::config_builder().http_status_as_error(false).build().into()))
    }
}

struct Incoming(Option<BodyReader<'static>>);

#[async_trait(?Send)]
impl Http for Client {
    async fn send(&self, request: Request) -> Result<Response, Failure> {
        let agent = self.0.clone();
        let sent = aside(move || {
            let mut head = http::Request::builder().method(request.method.name()).uri(request.url);
            for (name, value) in request.headers {
                head = head.header(name, value);
            }
            match request.body {
                Some(body) => agent.run(head.body(body.to_vec()).expect("a request")),
                None if request.method == Method::Post => agent.run(head.body(Vec::new()).expect("a request")),
                None => agent.run(head.body(()).expect("a request")),
            }
        });
        let response = sent.await.map_err(|error| Failure::Unreachable(error.to_string()))?;
        let (head, body) = response.into_parts();
        let text = |value: &http::HeaderValue| value.to_str().unwrap_or_default().to_owned();
        let headers = head.headers.iter().map(|(name, value)| (name.to_string(), text(value))).collect();
        Ok(Response { status: head.status.as_u16(), headers, body: Box::new(Incoming(Some(body.into_reader()))) })
    }
}

#[async_trait(?Send)]
impl Body for Incoming {
    async fn next(&mut self) -> Result<Option<Bytes>, Failure> {
        let Some(mut reader) = self.0.take() else { return Ok(None) };
        let (reader, read) = aside(move || {
            let mut piece = vec![0; PIECE];
            let read = reader.read(&mut piece).map(|length| {
                piece.truncate(length);
                Bytes::from(piece)
            });
            (reader, read)
        })
        .await;
        let piece = read.map_err(|error| Failure::Broken(error.to_string()))?;
        self.0 = Some(reader);
        Ok((!piece.is_empty()).then_some(piece))
    }
}
