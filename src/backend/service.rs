//! A service that is spoken to by HTTP, with a secret that no failure says.

use std::rc::Rc;

use bytes::Bytes;

use super::secret::{Secret, without};
use crate::{
    error::{Error, Result as Outcome},
    json::Json,
    platform::http::{Http, Method, Request, Response, is_local},
    remote::{Failure, base_url, collect, complaint, retry_after, stated},
};

/// Longest answer that is read.
const MAX_ANSWER_BYTES: usize = 256 * 1024;

/// Where a service is, and the bearer token that it wants, if it wants one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Endpoint {
    /// A URL without a query. With a token it is of https, or leads to this machine or its own network.
    pub url: String,
    /// The token.
    pub token: Option<Secret>,
}

pub struct Service {
    http: Rc<dyn Http>,
    /// Without a slash at its end.
    url: String,
    token: Option<Secret>,
}

impl Service {
    pub fn new(http: Rc<dyn Http>, endpoint: Endpoint) -> Outcome<Self> {
        let (url, token) = (base_url(&endpoint.url)?, endpoint.token);
        if token.is_some() && !url.starts_with("https:") && !is_local(&url) {
            let problem = format!("{url:?} would send a token where others listen in: take https");
            return Err(Error::InvalidArgument(problem));
        }
        Ok(Service { http, url, token })
    }

    /// What it says to a request that it accepts: to a path below its own, with a body of this type.
    pub async fn call(
        &self,
        method: Method,
        path: &str,
        body: Option<(&'static str, Bytes)>,
    ) -> Result<Bytes, Failure> {
        self.ask(method, path, body).await.map_err(|failure| self.redacted(failure))
    }

    /// A failure that does not say the token.
    pub fn redacted(&self, failure: Failure) -> Failure {
        match &self.token {
            Some(token) => without(failure, token.reveal()),
            None => failure,
        }
    }

    async fn ask(&self, method: Method, path: &str, body: Option<(&'static str, Bytes)>) -> Result<Bytes, Failure> {
        let mut headers = Vec::new();
        headers.extend(self.token.as_ref().map(|token| ("authorization", format!("Bearer {}", token.reveal()))));
        headers.extend(body.as_ref().map(|(kind, _)| ("content-type", (*kind).to_owned())));
        let body = body.map(|(_, bytes)| bytes);
        let request = Request { method, url: format!("{}{path}", self.url), headers, body };
        let mut said = stated(accepted(self.http.send(request).await?).await?);
        collect(async || said.next().await, MAX_ANSWER_BYTES).await
    }
}

/// What a status other than success means.
async fn accepted(response: Response) -> Result<Response, Failure> {
    let status = response.status;
    if (200..300).contains(&status) {
        return Ok(response);
    }
    let wait = retry_after(&response);
    let said = complaint(response, reason).await;
    let said = || format!("status {status}: {said}").trim_end_matches(": ").to_owned();
    Err(match status {
        404 | 410 => Failure::NotFound,
        429 | 503 => Failure::Busy(wait),
        501 => Failure::Unsupported(said()),
        ..400 | 408 | 425 | 500.. => Failure::Unreachable(said()),
        _ => Failure::Refused(said()),
    })
}

/// As the pinning services say it: `{"error": {"reason", "details"}}`; or as others do: `{"message"}`.
fn reason(said: Json<'_>) -> Option<String> {
    let Some(error) = said.get("error") else { return said.get("message")?.text() };
    let reason = error.get("reason").and_then(Json::text).or_else(|| error.text())?;
    Some(match error.get("details").and_then(Json::text).filter(|details| !details.is_empty()) {
        Some(details) => format!("{reason}: {details}"),
        None => reason,
    })
}
