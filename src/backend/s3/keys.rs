//! Keys that sign: AWS Signature Version 4, in the query.

use std::{fmt, rc::Rc};

use async_trait::async_trait;
use jiff::Timestamp;
use rusty_s3::{Bucket, Credentials, UrlStyle, signing::sign};

use super::{Action, Signer};
use crate::{
    error::{Error, Result as Outcome},
    platform::{Clock, http::Method},
    remote::{Failure, base_url},
};

/// Seconds for which a URL is good: long enough for a slow link, and for clocks that differ.
const GOOD_FOR: u64 = 900;

/// The keys to a bucket. They are shown by nothing.
pub struct S3Keys {
    bucket: Bucket,
    credentials: Credentials,
    clock: Rc<dyn Clock>,
}

impl fmt::Debug for S3Keys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("S3Keys").field("bucket", &self.bucket.name()).finish_non_exhaustive()
    }
}

impl S3Keys {
    /// For a bucket of the service at `endpoint`, which has it as a part of the path.
    pub fn new(
        clock: Rc<dyn Clock>,
        endpoint: &str,
        region: &str,
        bucket: &str,
        (key, secret, session): (&str, &str, Option<&str>),
    ) -> Outcome<Self> {
        let wrong = |what: String| Error::InvalidArgument(what);
        if bucket.is_empty() || region.is_empty() || key.is_empty() || secret.is_empty() {
            return Err(wrong("a bucket of S3 has a name, a region, and a key with its secret".into()));
        }
        let url = base_url(endpoint)?;
        let url = url.parse().map_err(|_| wrong(format!("{endpoint:?} is no URL of a service")))?;
        let made = Bucket::new(url, UrlStyle::Path, bucket.to_owned(), region.to_owned());
        let bucket = made.map_err(|_| wrong(format!("{bucket:?} is no name of a bucket")))?;
        let credentials = match session {
            Some(session) => Credentials::new_with_token(key, secret, session),
            None => Credentials::new(key, secret),
        };
        Ok(S3Keys { bucket, credentials, clock })
    }
}

#[async_trait(?Send)]
impl Signer for S3Keys {
    async fn sign(&self, action: Action<'_>) -> Result<String, Failure> {
        let method = match action.method {
            Method::Get => rusty_s3::Method::Get,
            Method::Post => rusty_s3::Method::Post,
            Method::Put => rusty_s3::Method::Put,
            Method::Delete => rusty_s3::Method::Delete,
        };
        let now = i64::try_from(self.clock.now() / 1000).ok().and_then(|now| Timestamp::from_second(now).ok());
        let now = now.ok_or_else(|| Failure::Denied("the host's clock shows no date".into()))?;
        let (url, credentials) = (self.bucket.object_url(action.key), &self.credentials);
        let (key, secret, session) = (credentials.key(), credentials.secret(), credentials.token());
        let (region, query) = (self.bucket.region(), action.query.iter().copied());
        Ok(sign(&now, method, url, key, secret, session, region, GOOD_FOR, query, std::iter::empty()).into())
    }
}
