//! An S3-compatible bucket: of each root an archive, `CID.car`, and beside it `CID.car.idx`, by which single blocks of it are
//! read. A root of more than 16,384 blocks has more than one of both: `CID.2.car`, and so on.
//!
//! The archives are of version 1, the indexes are MultihashIndexSorted. Every request is made by a presigned URL, so whoever
//! has the keys need not be here.

mod bucket;
mod draft;
#[cfg(feature = "s3-keys")]
mod keys;
mod reader;

use std::rc::Rc;

use async_trait::async_trait;
use bytes::Bytes;
use minicbor::{Decode, Encode};

pub use self::bucket::{Action, Signer};
#[cfg(feature = "s3-keys")]
pub use self::keys::S3Keys;
use self::{
    bucket::Bucket,
    draft::{Cut, Draft},
    reader::Reader,
};
use super::{Backend, Feed, Next, Step, Trouble};
use crate::{
    block::Cid,
    error::{Error, Result as Outcome},
    platform::{Clock, http::Http},
    remote::Failure,
};

/// What a probe asks for: it need not be there.
const PROBE: &str = "probe";

/// Longest prefix of keys; keys have at most 1,024 bytes.
const MAX_PREFIX_BYTES: usize = 512;

/// A bucket that keeps copies.
pub struct S3 {
    bucket: Bucket,
    reader: Reader,
    cut: Cut,
    prefix: String,
    name: String,
}

/// What is known of a copy.
#[derive(Debug, Clone, Default, PartialEq, Eq, Encode, Decode)]
struct State {
    /// Bytes of each archive that is there, with its index.
    #[n(0)]
    archives: Vec<u64>,
    /// The one under way,
    #[n(1)]
    draft: Option<Draft>,
    /// and the place in the feed where it goes on.
    #[n(2)]
    place: u64,
}

impl State {
    fn of(state: &Bytes) -> Self {
        minicbor::decode(state).unwrap_or_default()
    }

    fn encode(&self) -> Bytes {
        // Writing to memory cannot fail.
        minicbor::to_vec(self).unwrap_or_default().into()
    }
}

impl S3 {
    /// The bucket that `signer` signs for, under a name of the caller's. Keys begin with `prefix`, which may be empty.
    pub fn new(
        http: Rc<dyn Http>,
        signer: Rc<dyn Signer>,
        clock: Rc<dyn Clock>,
        name: &str,
        prefix: &str,
    ) -> Outcome<Self> {
        let plain = prefix.split('/').all(|part| !matches!(part, "." | "..")) && !prefix.contains("//");
        if prefix.len() > MAX_PREFIX_BYTES || prefix.starts_with('/') || prefix.contains(char::is_control) || !plain {
            let problem = format!(
                "{prefix:?} is no prefix of keys: at most {MAX_PREFIX_BYTES} bytes, no slash at its beginning, no empty \
                 part, no part . or .."
            );
            return Err(Error::InvalidArgument(problem));
        }
        let (prefix, name) = (prefix.to_owned(), name.to_owned());
        Ok(S3 { bucket: Bucket { http, signer }, reader: Reader::new(clock), cut: Cut::default(), prefix, name })
    }

    /// The same, but archives are cut into parts of so many bytes, and into archives of so many blocks.
    #[cfg(any(test, feature = "testing"))]
    #[doc(hidden)]
    pub fn cut(self, part: usize, blocks: u32) -> Self {
        S3 { cut: Cut { part, blocks }, ..self }
    }

    /// The archive of a root that is the so-manieth, counted from none.
    fn key(&self, root: &Cid, at: usize) -> String {
        match at {
            0 => format!("{}{root}.car", self.prefix),
            at => format!("{}{root}.{}.car", self.prefix, at + 1),
        }
    }

    /// Sends the next part, or all of an archive that is no longer than one.
    async fn send(&self, feed: &mut Feed, state: &mut State) -> Result<u64, Trouble> {
        let key = self.key(feed.root(), state.archives.len());
        let mut draft = state.draft.take().unwrap_or_default();
        let part = draft.fill(feed, self.cut).await?;
        let sent = part.len() as u64;
        match &draft.upload {
            Some(upload) if !part.is_empty() => {
                let number = draft.etags.len() + 1;
                draft.etags.push(self.bucket.put_part(&key, upload, number, part.into()).await?);
            }
            Some(_) => {}
            None if draft.ended => {
                self.bucket.put(&key, part.into()).await?;
                self.close(&key, draft, state).await?;
                state.place = feed.place();
                return Ok(sent);
            }
            // What nothing has been sent of yet costs nobody anything, if this is the last that is heard of it.
            None => {
                let upload = self.bucket.begin(&key).await?;
                state.draft = Some(Draft::begun(upload));
                return Ok(0);
            }
        }
        state.draft = Some(draft);
        state.place = feed.place();
        Ok(sent)
    }

    /// Makes an archive of what was sent.
    async fn complete(&self, root: &Cid, draft: Draft, state: &mut State) -> Result<(), Failure> {
        let key = self.key(root, state.archives.len());
        match self.bucket.complete(&key, draft.upload.as_deref().unwrap_or_default(), &draft.etags).await {
            // It may be that it was made, and nobody heard of that.
            Err(Failure::NotFound) => {
                self.bucket.get(&key, draft.bytes.saturating_sub(1)..draft.bytes).await.map(drop)?;
            }
            done => done?,
        }
        self.close(&key, draft, state).await
    }

    /// After the archive, its index.
    async fn close(&self, key: &str, draft: Draft, state: &mut State) -> Result<(), Failure> {
        let bytes = draft.bytes;
        self.bucket.put(&index_of(key), draft.into_index().into()).await?;
        self.reader.forget(key);
        state.archives.push(bytes);
        Ok(())
    }
}

/// The key of an archive's index.
fn index_of(archive: &str) -> String {
    format!("{archive}.idx")
}

#[async_trait(?Send)]
impl Backend for S3 {
    fn name(&self) -> &str {
        &self.name
    }

    fn kind(&self) -> &str {
        "s3"
    }

    async fn probe(&self) -> Result<(), Failure> {
        match self.bucket.get_all(&format!("{}{PROBE}", self.prefix), usize::MAX).await {
            Err(Failure::NotFound) => Ok(()),
            done => done.map(drop),
        }
    }

    async fn put(&self, feed: &mut Feed, state: Option<&Bytes>) -> Result<Step, Trouble> {
        let mut state = state.map(State::of).unwrap_or_default();
        let mut sent = 0;
        match state.draft.take_if(|draft| draft.ended) {
            Some(draft) => self.complete(feed.root(), draft, &mut state).await?,
            None => {
                feed.seek(state.place).await?;
                sent = self.send(feed, &mut state).await?;
            }
        }
        let mut next = Next::More;
        if state.draft.is_none() {
            feed.seek(state.place).await?;
            if feed.peek().await?.is_none() {
                next = Next::Stored;
            }
        }
        Ok(Step { state: state.encode(), sent, next })
    }

    async fn blocks(&self, root: &Cid, state: &Bytes, cids: &[Cid]) -> Result<Vec<Bytes>, Failure> {
        let archives: Vec<(String, u64)> =
            State::of(state).archives.into_iter().enumerate().map(|(at, bytes)| (self.key(root, at), bytes)).collect();
        self.reader.blocks(&self.bucket, &archives, cids).await
    }

    async fn remove(&self, root: &Cid, state: &Bytes) -> Result<(), Failure> {
        let state = State::of(state);
        // Of one that is not known to be whole there may be something.
        let begun = state.archives.len();
        if let Some(upload) = state.draft.as_ref().and_then(|draft| draft.upload.as_deref()) {
            self.bucket.abort(&self.key(root, begun), upload).await?;
        }
        for at in (0..=begun).rev() {
            let key = self.key(root, at);
            self.reader.forget(&key);
            self.bucket.delete(&index_of(&key)).await?;
            self.bucket.delete(&key).await?;
        }
        Ok(())
    }

    fn describe(&self, state: &Bytes) -> Vec<(&'static str, String)> {
        let State { archives, draft, .. } = State::of(state);
        let mut told = vec![("archives", archives.len().to_string())];
        if let Some(Draft { upload: Some(upload), etags, .. }) = draft {
            told.extend([("upload", upload), ("parts", etags.len().to_string())]);
        }
        told
    }
}
