//! An S3-compatible bucket: of each root an archive, `CID.car`, and beside it `CID.car.idx`, by which single blocks of it are
//! read. A root of more than 16,384 blocks has more than one of both: `CID.2.car`, and so on.
//!
//! The archives are of version 1, the indexes are MultihashIndexSorted. Or, by option, of each block an object ([`Layout`]). Every request is made by a presigned URL, so whoever
//! has the keys need not be here.

mod blocks;
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
    blocks::{Lanes, Listed},
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

/// How copies lie in a bucket. One that is there is read and removed by the layout that it was made with.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Layout {
    /// Of each root an archive and its index, or some of both: few requests, and each root stands by itself.
    #[default]
    Archives,
    /// Of each block an object, which roots share, and of each root lists of its blocks: a request for each block, and removing a
    /// copy reads the lists of all others.
    Blocks,
}

/// A bucket that keeps copies.
pub struct S3 {
    bucket: Bucket,
    layout: Layout,
    lanes: Lanes,
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
    /// In the layout of blocks: how much of it is listed.
    #[n(3)]
    listed: Option<Listed>,
}

impl State {
    fn begun(layout: Layout) -> Self {
        State { listed: (layout == Layout::Blocks).then(Listed::default), ..State::default() }
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
        Ok(S3 {
            bucket: Bucket { http, signer },
            layout: Layout::default(),
            lanes: Lanes::default(),
            reader: Reader::new(clock),
            cut: Cut::default(),
            prefix,
            name,
        })
    }

    /// The same, but copies that it makes lie so.
    pub fn laid_out(self, layout: Layout) -> Self {
        S3 { layout, ..self }
    }

    /// The same, but archives are cut into parts of so many bytes, and into archives of so many blocks; steps and lists
    /// likewise, and lists are told two at once.
    #[cfg(any(test, feature = "testing"))]
    #[doc(hidden)]
    pub fn cut(self, part: usize, blocks: u32) -> Self {
        S3 { cut: Cut { part, blocks, page: 2 }, ..self }
    }

    /// What is known of a copy; nothing yet where there is none.
    fn state(&self, state: Option<&Bytes>) -> State {
        match state.filter(|state| !state.is_empty()) {
            Some(state) => minicbor::decode(state).unwrap_or_default(),
            None => State::begun(self.layout),
        }
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
        let mut state = self.state(state);
        let mut sent = 0;
        match (&mut state.listed, state.draft.take_if(|draft| draft.ended)) {
            (Some(listed), _) => sent = self.put_blocks(feed, &mut state.place, listed).await?,
            (None, Some(draft)) => self.complete(feed.root(), draft, &mut state).await?,
            (None, None) => {
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
        let state = self.state(Some(state));
        if let Some(listed) = state.listed {
            return self.get_blocks(root, listed, cids).await;
        }
        let archives: Vec<(String, u64)> =
            state.archives.into_iter().enumerate().map(|(at, bytes)| (self.key(root, at), bytes)).collect();
        self.reader.blocks(&self.bucket, &archives, cids).await
    }

    async fn remove(&self, root: &Cid, state: &Bytes) -> Result<(), Failure> {
        let state = self.state(Some(state));
        if state.listed.is_some() {
            return self.remove_blocks(root).await;
        }
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
        let State { archives, draft, place, listed } = self.state(Some(state));
        if listed.is_some() {
            return vec![("blocks", place.to_string())];
        }
        let mut told = vec![("archives", archives.len().to_string())];
        if let Some(Draft { upload: Some(upload), etags, .. }) = draft {
            told.extend([("upload", upload), ("parts", etags.len().to_string())]);
        }
        told
    }
}
