//! HTTP as remotes need it: one request, a body that comes in pieces. `fetch` and wasi:http fit behind it.

use std::any::Any;

use async_trait::async_trait;
use bytes::Bytes;

use crate::remote::Failure;

/// How a request is made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Method {
    /// GET.
    Get,
    /// POST.
    Post,
}

/// A request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// The method.
    pub method: Method,
    /// The whole URL, escaped as it is to be sent.
    pub url: String,
    /// Names in lower case.
    pub headers: Vec<(&'static str, String)>,
    /// What is sent with a POST.
    pub body: Option<Bytes>,
}

/// A response, its body still to come. Dropping it ends the exchange.
pub struct Response {
    /// The status code.
    pub status: u16,
    /// Names in lower case.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: Box<dyn Body>,
}

impl Response {
    /// A header's value.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }
}

/// Bytes as they arrive.
#[async_trait(?Send)]
pub trait Body: Any {
    /// The next bytes; none at the end.
    async fn next(&mut self) -> Result<Option<Bytes>, Failure>;
}

/// Sends requests.
#[async_trait(?Send)]
pub trait Http {
    /// Sends one, and returns when the head of the response is there. Redirects within HTTP(S) are followed.
    async fn send(&self, request: Request) -> Result<Response, Failure>;
}
