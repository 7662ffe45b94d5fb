//! HTTP by wasi:http.

#[allow(missing_docs, unsafe_code, clippy::all, clippy::indexing_slicing, clippy::panic, clippy::unwrap_used)]
mod world {
    wit_bindgen::generate!({
        path: "wit",
        world: "http",
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

pub use self::world::wasi::http::types::{IncomingBody, IncomingResponse};
use self::world::wasi::http::{
    outgoing_handler,
    types::{ErrorCode, Fields, FutureIncomingResponse, Method as WasiMethod, OutgoingBody, OutgoingRequest, Scheme},
};
use super::{
    host::wasi::io::streams::{InputStream, StreamError},
    reactor::ready,
    stream,
};
use crate::{
    platform::http::{Body, Http, Method, Request, Response, leads_inward, origin},
    remote::Failure,
};

/// Redirects that are followed for one request, as browsers do it about.
const MAX_REDIRECTS: usize = 10;

/// The host's HTTP client.
#[derive(Debug, Default, Clone, Copy)]
pub struct WasiHttp;

#[async_trait(?Send)]
impl Http for WasiHttp {
    async fn send(&self, mut request: Request) -> Result<Response, Failure> {
        for _ in 0..=MAX_REDIRECTS {
            let response = exchange(&request).await?;
            let head = Response {
                status: response.status(),
                headers: headers(&response),
                body: Box::new(Incoming::new(response)?),
            };
            let onward = request.method == Method::Get && matches!(head.status, 301 | 302 | 303 | 307 | 308);
            match head.header("location").filter(|_| onward) {
                Some(location) => {
                    let to = resolve(&request.url, location)?;
                    request = request.redirected(to);
                }
                None => return plain(head),
            }
        }
        Err(Failure::Broken(format!("more than {MAX_REDIRECTS} redirects")))
    }
}

/// Sends one request; returns when the head of its response is there.
async fn exchange(request: &Request) -> Result<IncomingResponse, Failure> {
    let (scheme, rest) = match request.url.split_once("://") {
        Some(("https", rest)) => (Scheme::Https, rest),
        Some(("http", rest)) => (Scheme::Http, rest),
        _ => return Err(Failure::Refused(format!("{} is no URL of HTTP", request.url))),
    };
    let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
    let malformed = |()| Failure::Refused(format!("the host takes {} for malformed", request.url));
    let fields = Fields::new();
    for (name, value) in &request.headers {
        fields.append(name, value.as_bytes()).map_err(|_| malformed(()))?;
    }
    let outgoing = OutgoingRequest::new(fields);
    let method = match request.method {
        Method::Get => WasiMethod::Get,
        Method::Post => WasiMethod::Post,
        Method::Put => WasiMethod::Put,
        Method::Delete => WasiMethod::Delete,
    };
    outgoing.set_method(&method).map_err(malformed)?;
    outgoing.set_scheme(Some(&scheme)).map_err(malformed)?;
    outgoing.set_authority(Some(authority)).map_err(malformed)?;
    outgoing.set_path_with_query(Some(if path.is_empty() { "/" } else { path })).map_err(malformed)?;
    let body = outgoing.body().map_err(malformed)?;
    let incoming = outgoing_handler::handle(outgoing, None).map_err(|code| failed(&code))?;
    let written = match &request.body {
        Some(bytes) => write(&body, bytes).await,
        None => Ok(()),
    };
    let Err(unwritten) = written else {
        OutgoingBody::finish(body, None).map_err(|code| failed(&code))?;
        return response(&incoming).await;
    };
    // A server may answer, and read no more, before it has all of the body: its answer counts, or what the host says of it.
    // Until then the body lives, for the host would give up both where it is dropped before its end.
    match response(&incoming).await {
        Err(Failure::Unreachable(_)) => Err(unwritten),
        answer => answer,
    }
}

async fn response(incoming: &FutureIncomingResponse) -> Result<IncomingResponse, Failure> {
    loop {
        match incoming.get() {
            Some(Ok(response)) => return response.map_err(|code| failed(&code)),
            Some(Err(())) => return Err(Failure::Broken("the host gave the response twice".into())),
            None => ready(|| Some(incoming.subscribe())).await,
        }
    }
}

async fn write(body: &OutgoingBody, mut bytes: &[u8]) -> Result<(), Failure> {
    let stream = body.write().map_err(|()| Failure::Broken("the host takes no body".into()))?;
    let cut = |error: StreamError| Failure::Unreachable(format!("sending the body: {error:?}"));
    while !bytes.is_empty() {
        match stream.check_write().map_err(cut)? as usize {
            0 => ready(|| Some(stream.subscribe())).await,
            room => {
                let (piece, rest) = bytes.split_at(room.min(bytes.len()));
                stream.write(piece).map_err(cut)?;
                bytes = rest;
            }
        }
    }
    stream.flush().map_err(cut)
}

fn headers(response: &IncomingResponse) -> Vec<(String, String)> {
    let entry =
        |(name, value): (String, Vec<u8>)| (name.to_ascii_lowercase(), String::from_utf8_lossy(&value).into_owned());
    response.headers().entries().into_iter().map(entry).collect()
}

/// Nothing here unpacks what is compressed, and nothing here asks for it.
fn plain(response: Response) -> Result<Response, Failure> {
    match response.header("content-encoding").filter(|encoding| *encoding != "identity") {
        Some(encoding) => Err(Failure::Unsupported(format!("it sends {encoding} where it was asked for none"))),
        None => Ok(response),
    }
}

/// Where a redirect leads. What was asked for securely is not asked for in the open, and who is outside does not lead inward.
fn resolve(from: &str, location: &str) -> Result<String, Failure> {
    let (scheme, _) = from.split_once("://").unwrap_or_default();
    let to = match location {
        absolute if absolute.starts_with("https://") || absolute.starts_with("http://") => absolute.to_owned(),
        beside if beside.starts_with("//") => format!("{scheme}:{beside}"),
        path if path.starts_with('/') => format!("{}{path}", origin(from)),
        other => return Err(Failure::Unsupported(format!("a redirect to {other:?}"))),
    };
    if scheme == "https" && !to.starts_with("https://") {
        return Err(Failure::Refused("it redirects from https to http".into()));
    }
    if leads_inward(from, &to) {
        return Err(Failure::Refused(format!("it redirects inward, to {to}")));
    }
    Ok(to)
}

fn failed(code: &ErrorCode) -> Failure {
    let said = format!("{code:?}").trim_start_matches("ErrorCode::").to_owned();
    match code {
        ErrorCode::HttpRequestDenied | ErrorCode::DestinationIpProhibited => Failure::Denied(said),
        _ => Failure::Unreachable(said),
    }
}

/// The body of a response. Its parts are dropped in this order.
pub struct Incoming {
    /// Its bytes.
    pub stream: InputStream,
    /// What the stream belongs to, and must be dropped after it.
    pub response: (IncomingBody, IncomingResponse),
}

impl Incoming {
    fn new(response: IncomingResponse) -> Result<Self, Failure> {
        let gone = |()| Failure::Broken("the host gave the body twice".into());
        let body = response.consume().map_err(gone)?;
        let stream = body.stream().map_err(gone)?;
        Ok(Incoming { stream, response: (body, response) })
    }
}

#[async_trait(?Send)]
impl Body for Incoming {
    async fn next(&mut self) -> Result<Option<Bytes>, Failure> {
        stream::next(&self.stream).await
    }
}
