//! Requests to a bucket, each by a URL that somebody signs.

use std::{ops::Range, rc::Rc};

use async_trait::async_trait;
use bytes::Bytes;

use crate::{
    backend::secret::without,
    platform::http::{Http, Method, Request, Response},
    remote::{Failure, collect, retry_after, stated},
};

/// As much is read of an answer that is no object.
const MAX_ANSWER_BYTES: usize = 64 * 1024;

/// As much of a page of keys.
const MAX_PAGE_BYTES: usize = 4 * 1024 * 1024;

/// What such answers say where an upload, or a part of it, is not there any more.
const LOST: [&str; 3] = ["NoSuchUpload", "InvalidPart", "InvalidPartOrder"];

/// What they say where it is only for now.
const PASSING: [&str; 4] = ["RequestTimeout", "OperationAborted", "ConditionalRequestConflict", "InternalError"];

/// A request that is to be signed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Action<'a> {
    /// Its method.
    pub method: Method,
    /// The object's key, not escaped; none of an object, but of the bucket itself, where it is empty.
    pub key: &'a str,
    /// Names and values, not escaped, in the order of the names.
    pub query: &'a [(&'static str, &'a str)],
}

/// Makes presigned URLs: whoever has one can make that request for some minutes, and no other.
#[async_trait(?Send)]
pub trait Signer {
    /// The URL of this request. The host is all that may be signed of its headers.
    async fn sign(&self, action: Action<'_>) -> Result<String, Failure>;
}

pub struct Bucket {
    pub http: Rc<dyn Http>,
    pub signer: Rc<dyn Signer>,
}

impl Bucket {
    /// Bytes of an object, all of them there.
    pub async fn get(&self, key: &str, range: Range<u64>) -> Result<Bytes, Failure> {
        let length = range.end.saturating_sub(range.start);
        let header = ("range", format!("bytes={}-{}", range.start, range.end.saturating_sub(1)));
        let action = Action { method: Method::Get, key, query: &[] };
        let response = self.send(action, Some(header), None).await?;
        if response.status != 206 {
            return Err(Failure::Unsupported("parts of objects".into()));
        }
        let bytes = whole(response, length as usize).await?;
        // It was not cut on its way: there is no more of it.
        if (bytes.len() as u64) < length { Err(Failure::NotFound) } else { Ok(bytes) }
    }

    /// All of an object, of so many bytes at most.
    pub async fn get_all(&self, key: &str, most: usize) -> Result<Bytes, Failure> {
        whole(self.send(Action { method: Method::Get, key, query: &[] }, None, None).await?, most).await
    }

    pub async fn put(&self, key: &str, body: Bytes) -> Result<(), Failure> {
        self.send(Action { method: Method::Put, key, query: &[] }, None, Some(body)).await.map(drop)
    }

    /// Removes an object; no failure if there is none.
    pub async fn delete(&self, key: &str) -> Result<(), Failure> {
        match self.send(Action { method: Method::Delete, key, query: &[] }, None, None).await {
            Err(Failure::NotFound) => Ok(()),
            done => done.map(drop),
        }
    }

    /// The keys that begin so, told by so many at once.
    pub async fn list(&self, prefix: &str, page: u32) -> Result<Vec<String>, Failure> {
        let (page, mut keys, mut after) = (page.to_string(), Vec::new(), None::<String>);
        loop {
            let mut query: Vec<(&'static str, &str)> = Vec::new();
            query.extend(after.as_deref().map(|after| ("continuation-token", after)));
            query.extend([("list-type", "2"), ("max-keys", &page), ("prefix", prefix)]);
            let response = self.send(Action { method: Method::Get, key: "", query: &query }, None, None).await?;
            let said = whole(response, MAX_PAGE_BYTES).await?;
            let said = String::from_utf8_lossy(&said);
            keys.extend(elements(&said, "Key"));
            let next = element(&said, "NextContinuationToken").filter(|next| Some(next) != after.as_ref());
            match (element(&said, "IsTruncated").as_deref(), next) {
                (Some("false"), _) => return Ok(keys),
                (Some("true"), Some(next)) => after = Some(next),
                _ => return Err(Failure::Broken("it told keys, and not whether these are all".into())),
            }
        }
    }

    /// Begins an object that is to come in parts; the upload's id.
    pub async fn begin(&self, key: &str) -> Result<String, Failure> {
        let action = Action { method: Method::Post, key, query: &[("uploads", "")] };
        let said = text(self.send(action, None, Some(Bytes::new())).await?).await?;
        let id = element(&said, "UploadId").filter(|id| !id.is_empty());
        id.ok_or_else(|| Failure::Broken("it began an upload, and did not say which".into()))
    }

    /// A part, counted from one; its ETag.
    pub async fn put_part(&self, key: &str, upload: &str, number: usize, body: Bytes) -> Result<String, Failure> {
        let number = number.to_string();
        let query = [("partNumber", number.as_str()), ("uploadId", upload)];
        let response = self.send(Action { method: Method::Put, key, query: &query }, None, Some(body)).await?;
        let hidden = "ETags: where a page asks, the bucket's rules for other origins must expose them";
        response.header("etag").map(str::to_owned).ok_or_else(|| Failure::Unsupported(hidden.into()))
    }

    /// Makes an object of its parts.
    pub async fn complete(&self, key: &str, upload: &str, etags: &[String]) -> Result<(), Failure> {
        let mut body = String::from("<CompleteMultipartUpload>");
        for (at, etag) in etags.iter().enumerate() {
            let (number, etag) = (at + 1, escaped(etag));
            body += &format!("<Part><PartNumber>{number}</PartNumber><ETag>{etag}</ETag></Part>");
        }
        body += "</CompleteMultipartUpload>";
        let action = Action { method: Method::Post, key, query: &[("uploadId", upload)] };
        let response = self.send(action, None, Some(body.into())).await?;
        // It may say yes before it knows.
        let (status, said) = (response.status, text(response).await?);
        match element(&said, "Code") {
            Some(code) => Err(failure(status, &code, None)),
            None => Ok(()),
        }
    }

    /// Gives an upload up; no failure if there is none.
    pub async fn abort(&self, key: &str, upload: &str) -> Result<(), Failure> {
        let action = Action { method: Method::Delete, key, query: &[("uploadId", upload)] };
        match self.send(action, None, None).await {
            Err(Failure::NotFound) => Ok(()),
            done => done.map(drop),
        }
    }

    /// Returns when it has been accepted. What is signed in the URL is in no failure.
    async fn send(
        &self,
        action: Action<'_>,
        header: Option<(&'static str, String)>,
        body: Option<Bytes>,
    ) -> Result<Response, Failure> {
        let url = self.signer.sign(action).await?;
        if !url.starts_with("https://") && !url.starts_with("http://") {
            return Err(Failure::Refused("what was to sign for it gave no URL".into()));
        }
        let headers = header.into_iter().collect();
        let request = Request { method: action.method, url: url.clone(), headers, body };
        match self.http.send(request).await {
            Ok(response) => accepted(response).await,
            Err(failure) => Err(without(failure, url.split_once('?').map_or("", |(_, query)| query))),
        }
    }
}

async fn accepted(response: Response) -> Result<Response, Failure> {
    let status = response.status;
    if (200..300).contains(&status) {
        return Ok(response);
    }
    let wait = retry_after(&response);
    let said = text(response).await.unwrap_or_default();
    Err(failure(status, &element(&said, "Code").unwrap_or_default(), wait))
}

/// What a status means, and the code beside it.
fn failure(status: u16, code: &str, wait: Option<u64>) -> Failure {
    let said = || format!("status {status} {code}").trim_end().to_owned();
    match (status, code) {
        (_, code) if LOST.contains(&code) => Failure::NotFound,
        (_, "SlowDown") | (429 | 503, _) => Failure::Busy(wait),
        (_, code) if PASSING.contains(&code) => Failure::Unreachable(said()),
        (_, "NoSuchBucket") => Failure::Refused(said()),
        (404 | 410 | 416, _) => Failure::NotFound,
        (501, _) => Failure::Unsupported(said()),
        (..400 | 408 | 409 | 500.., _) => Failure::Unreachable(said()),
        _ => Failure::Refused(said()),
    }
}

async fn whole(response: Response, most: usize) -> Result<Bytes, Failure> {
    let mut body = stated(response);
    collect(async || body.next().await, most).await
}

async fn text(response: Response) -> Result<String, Failure> {
    Ok(String::from_utf8_lossy(&whole(response, MAX_ANSWER_BYTES).await?).into_owned())
}

/// What stands in the first element of this name that has no others in it.
fn element(xml: &str, name: &str) -> Option<String> {
    elements(xml, name).next()
}

/// What stands in each of them.
fn elements<'a>(xml: &'a str, name: &str) -> impl Iterator<Item = String> + use<'a> {
    let (begin, end) = (format!("<{name}>"), format!("</{name}>"));
    let mut rest = xml;
    std::iter::from_fn(move || {
        let (text, after) = rest.split_once(&begin)?.1.split_once(&end)?;
        rest = after;
        let plain = [("&lt;", "<"), ("&gt;", ">"), ("&quot;", "\""), ("&#34;", "\""), ("&apos;", "'"), ("&amp;", "&")];
        Some(plain.iter().fold(text.trim().to_owned(), |text, (escaped, plain)| text.replace(escaped, plain)))
    })
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn elements_are_read_as_they_are_written() {
        let xml = "<?xml version=\"1.0\"?>\n<Error><Code>NoSuchKey</Code><Key>a&amp;lt;b</Key></Error>";
        assert_eq!(element(xml, "Code").as_deref(), Some("NoSuchKey"));
        assert_eq!(element(xml, "Key").as_deref(), Some("a&lt;b"));
        for broken in ["", "<Code>", "</Code><Code>", "<Code/>", "plain"] {
            assert_eq!(element(broken, "Code"), None, "{broken}");
        }
        let list = "<A><Key>a</Key></A><A><Key> b&amp;c </Key></A><A><Key>cut";
        assert_eq!(elements(list, "Key").collect::<Vec<_>>(), ["a", "b&c"]);
        assert_eq!(escaped("\"a&b<c>\""), "\"a&amp;b&lt;c&gt;\"");
    }

    #[test]
    fn what_is_for_now_is_told_from_what_is_for_good_and_from_what_is_lost() {
        let of = |status, code| failure(status, code, Some(7));
        assert_eq!(of(404, "NoSuchKey"), Failure::NotFound);
        assert_eq!(of(404, ""), Failure::NotFound);
        assert_eq!(of(400, "InvalidPart"), Failure::NotFound);
        assert_eq!(of(416, "InvalidRange"), Failure::NotFound);
        assert_eq!(of(404, "NoSuchBucket"), Failure::Refused("status 404 NoSuchBucket".into()));
        assert_eq!(of(403, "AccessDenied"), Failure::Refused("status 403 AccessDenied".into()));
        assert_eq!(of(301, "PermanentRedirect"), Failure::Unreachable("status 301 PermanentRedirect".into()));
        assert_eq!(of(400, "RequestTimeout"), Failure::Unreachable("status 400 RequestTimeout".into()));
        assert_eq!(of(200, "InternalError"), Failure::Unreachable("status 200 InternalError".into()));
        assert_eq!(of(502, ""), Failure::Unreachable("status 502".into()));
        assert_eq!((of(503, "SlowDown"), of(429, "")), (Failure::Busy(Some(7)), Failure::Busy(Some(7))));
    }
}
