//! A service that is spoken to by HTTP, with a secret that no failure says.

use std::rc::Rc;

use bytes::Bytes;

use super::secret::{Secret, without};
use crate::{
    block::{self, Cid, base64},
    error::{Error, Result as Outcome},
    json::Json,
    platform::http::{Http, Method, Request, Response, is_local},
    remote::{Failure, base_url, collect, complaint, retry_after, stated},
};

/// Longest answer that is read.
const MAX_ANSWER_BYTES: usize = 256 * 1024;

/// Milliseconds before what a service is at work on is looked after for the first time; then twice as many each time, up to
/// the longest.
pub const FIRST_LOOK: u64 = 1_000;
const LONGEST_LOOK: u64 = 600_000;

/// How long to wait before it is looked after again, after so many times.
pub fn look_in(first: u64, looks: u32) -> u64 {
    first.saturating_mul(1u64.checked_shl(looks).unwrap_or(u64::MAX)).min(LONGEST_LOOK)
}

/// What proves to a service who asks. They go over https, or to this machine or its own network.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Credentials {
    /// A bearer token.
    Bearer(Secret),
    /// A name and a password, as basic authentication has them (RFC 7617).
    Basic {
        /// The name: no colon in it.
        user: String,
        /// The password.
        password: Secret,
    },
}

impl Credentials {
    /// The header that says them.
    fn header(&self) -> String {
        match self {
            Credentials::Bearer(token) => format!("Bearer {}", token.reveal()),
            Credentials::Basic { user, password } => {
                let encoded = encoded(user, password);
                let padding = "=".repeat(encoded.len().next_multiple_of(4) - encoded.len());
                format!("Basic {encoded}{padding}")
            }
        }
    }

    /// A failure that says no secret, as it is or as it is sent.
    fn redacted(&self, failure: Failure) -> Failure {
        match self {
            Credentials::Bearer(token) => without(failure, token.reveal()),
            Credentials::Basic { user, password } => {
                without(without(failure, &encoded(user, password)), password.reveal())
            }
        }
    }

    fn check(&self) -> Outcome<()> {
        match self {
            Credentials::Basic { user, .. } if user.contains(|c: char| c == ':' || c.is_control()) => {
                let problem = format!("{user:?} is no name for basic authentication: it can have no colon");
                Err(Error::InvalidArgument(problem))
            }
            _ => Ok(()),
        }
    }
}

/// As basic authentication sends it, but for the padding.
fn encoded(user: &str, password: &Secret) -> String {
    base64(format!("{user}:{}", password.reveal()).as_bytes())
}

/// Where a service is, and what it wants to see, if it wants anything.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Endpoint {
    /// A URL without a query.
    pub url: String,
    /// What proves who asks.
    pub credentials: Option<Credentials>,
}

pub struct Service {
    http: Rc<dyn Http>,
    /// Without a slash at its end.
    url: String,
    credentials: Option<Credentials>,
}

impl Service {
    pub fn new(http: Rc<dyn Http>, endpoint: Endpoint) -> Outcome<Self> {
        let (url, credentials) = (base_url(&endpoint.url)?, endpoint.credentials);
        if let Some(credentials) = &credentials {
            credentials.check()?;
            if !url.starts_with("https:") && !is_local(&url) {
                let problem = format!("{url:?} would send a secret where others listen in: take https");
                return Err(Error::InvalidArgument(problem));
            }
        }
        Ok(Service { http, url, credentials })
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

    /// A failure that says no secret.
    pub fn redacted(&self, failure: Failure) -> Failure {
        match &self.credentials {
            Some(credentials) => credentials.redacted(failure),
            None => failure,
        }
    }

    async fn ask(&self, method: Method, path: &str, body: Option<(&'static str, Bytes)>) -> Result<Bytes, Failure> {
        let mut headers = Vec::new();
        headers.extend(self.credentials.as_ref().map(|credentials| ("authorization", credentials.header())));
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

/// Whether what is said is of this root, which it may name in another form.
pub fn is_for(said: Json<'_>, root: &Cid) -> bool {
    let cid = said.get("cid").and_then(Json::text).and_then(|cid| block::parse(&cid).ok());
    cid.is_some_and(|cid| cid.hash() == root.hash() && cid.codec() == root.codec())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn basic_authentication_is_as_its_rfc_has_it_and_is_told_in_no_form() {
        let basic = |user: &str, password: &str| Credentials::Basic {
            user: user.to_owned(),
            password: Secret::new(password).unwrap(),
        };
        let aladdin = basic("Aladdin", "open-sesame");
        assert_eq!(aladdin.header(), "Basic QWxhZGRpbjpvcGVuLXNlc2FtZQ==");
        assert_eq!(basic("a", "b").header(), "Basic YTpi");
        let said = "Aladdin: no open-sesame, nor Basic QWxhZGRpbjpvcGVuLXNlc2FtZQ== nor QWxhZGRpbjpvcGVuLXNlc2FtZQ";
        let told = aladdin.redacted(Failure::Refused(said.into()));
        assert_eq!(told, Failure::Refused("Aladdin: no …, nor Basic …== nor …".into()));
        assert!(!format!("{aladdin:?}").contains("open-sesame"));
        assert!(aladdin.check().is_ok() && basic("a:b", "c").check().is_err() && basic("a\n", "c").check().is_err());
    }
}
