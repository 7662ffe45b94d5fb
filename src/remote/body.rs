//! Bodies that are collected: with a limit, and whole.

use async_trait::async_trait;
use bytes::{Bytes, BytesMut};

use super::Failure;
use crate::{
    json::Json,
    platform::http::{Body, Response},
};

/// As much is read of what a service says when it fails, and so much of that is passed on.
const MAX_COMPLAINT_BYTES: usize = 4096;
const MAX_COMPLAINT_CHARS: usize = 200;

/// A body that comes in one piece.
#[derive(Debug)]
pub struct Whole(Option<Bytes>);

impl<T: Into<Bytes>> From<T> for Whole {
    fn from(bytes: T) -> Self {
        Whole(Some(bytes.into()))
    }
}

#[async_trait(?Send)]
impl Body for Whole {
    async fn next(&mut self) -> Result<Option<Bytes>, Failure> {
        Ok(self.0.take())
    }
}

/// A body that is broken where it ends before the length that was stated, or after it.
struct Stated {
    body: Box<dyn Body>,
    length: usize,
    came: usize,
}

#[async_trait(?Send)]
impl Body for Stated {
    async fn next(&mut self) -> Result<Option<Bytes>, Failure> {
        let next = self.body.next().await?;
        self.came += next.as_ref().map_or(0, Bytes::len);
        match next {
            None if self.came != self.length => {
                Err(Failure::Broken(format!("{} bytes where it says {}", self.came, self.length)))
            }
            next => Ok(next),
        }
    }
}

/// The body of a response, which must be as long as that says.
pub fn stated(response: Response) -> Box<dyn Body> {
    // What was compressed on the way has another length than it says.
    let plain = response.header("content-encoding").is_none_or(|encoding| encoding == "identity");
    match response.header("content-length").filter(|_| plain).and_then(|length| length.parse().ok()) {
        Some(length) => Box::new(Stated { body: response.body, length, came: 0 }),
        None => response.body,
    }
}

/// All the bytes that come, of which there must not be more than this.
pub async fn collect(
    mut next: impl AsyncFnMut() -> Result<Option<Bytes>, Failure>,
    most: usize,
) -> Result<Bytes, Failure> {
    let mut whole = BytesMut::new();
    while let Some(bytes) = next().await? {
        if whole.len() + bytes.len() > most {
            return Err(Failure::Broken(format!("more than {most} bytes")));
        }
        whole.extend_from_slice(&bytes);
    }
    Ok(whole.freeze())
}

/// What a service says of its failure, as far as that can be read: where it says it in JSON, `reason` finds it there.
pub async fn complaint(mut response: Response, reason: impl Fn(Json<'_>) -> Option<String>) -> String {
    let mut said = Vec::new();
    while let Ok(Some(bytes)) = response.body.next().await {
        said.extend_from_slice(&bytes);
        if said.len() > MAX_COMPLAINT_BYTES {
            break;
        }
    }
    let whole = Json::one(&said).ok().and_then(reason);
    shortened(&whole.unwrap_or_else(|| String::from_utf8_lossy(&said).into_owned()))
}

/// As much of it as is passed on.
pub fn shortened(said: &str) -> String {
    said.trim().chars().take(MAX_COMPLAINT_CHARS).collect()
}
