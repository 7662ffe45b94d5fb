//! The layout of blocks: of each block an object, named by its CID, which all roots share that have it; and of each root lists of
//! its blocks, `roots/CID.blocks`, `roots/CID.2.blocks` and so on, texts with a CID on each line.
//!
//! A list is there before what it names, so a removal, which takes what no list of another root names, takes nothing that is
//! being sent. Here the two take turns besides; of others who write below the same prefix nobody here knows.

use std::{cell::Cell, collections::HashSet};

use bytes::Bytes;
use cid::Version;
use futures_util::{
    StreamExt,
    lock::{Mutex, MutexGuard},
    stream,
};
use minicbor::{Decode, Encode};

use super::S3;
use crate::{
    backend::{BLOCKS_AT_ONCE, Feed, Trouble, one_by_one},
    block::{self, Cid, Codec, MAX_BLOCK_BYTES},
    dag::mark,
    remote::Failure,
};

/// Most blocks of a step: small ones cost a request each, too, and a step ends before it counts as silent.
const STEP_BLOCKS: usize = 512;

/// Longest list that is read: several times what one of 16,384 blocks takes.
const MAX_LIST_BYTES: usize = 8 * 1024 * 1024;

/// Below the prefix, so that they are found without going through all blocks.
const LISTS: &str = "roots/";

/// The end of their keys.
const LIST: &str = ".blocks";

/// So many steps at once; the backends' own limits are lower.
const LANES: usize = 16;

/// How much of a root is listed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Encode, Decode)]
pub struct Listed {
    /// Lists that are there.
    #[n(0)]
    lists: u32,
    /// Blocks that they name.
    #[n(1)]
    pub blocks: u64,
}

/// Steps go on beside each other, and a removal alone.
#[derive(Default)]
pub struct Lanes {
    lanes: [Mutex<()>; LANES],
    next: Cell<usize>,
}

impl Lanes {
    async fn one(&self) -> Option<MutexGuard<'_, ()>> {
        self.next.set((self.next.get() + 1) % LANES);
        Some(self.lanes.get(self.next.get())?.lock().await)
    }

    async fn all(&self) -> Vec<MutexGuard<'_, ()>> {
        let mut all = Vec::with_capacity(LANES);
        for lane in &self.lanes {
            all.push(lane.lock().await);
        }
        all
    }
}

impl S3 {
    /// Sends some blocks, and before the first that is in no list yet the next list; how many bytes that were.
    pub(super) async fn put_blocks(
        &self,
        feed: &mut Feed,
        place: &mut u64,
        listed: &mut Listed,
    ) -> Result<u64, Trouble> {
        let _lane = self.lanes.one().await;
        feed.seek(*place).await?;
        if *place == listed.blocks {
            let cids = feed.ahead(self.cut.blocks as usize).await?;
            let list: String = cids.iter().map(|cid| format!("{}\n", name(cid))).collect();
            self.bucket.put(&self.list_key(feed.root(), listed.lists), list.into()).await?;
            *listed = Listed { lists: listed.lists + 1, blocks: listed.blocks + cids.len() as u64 };
        }
        let (mut blocks, mut sent) = (Vec::new(), 0);
        while sent < self.cut.part
            && blocks.len() < STEP_BLOCKS
            && feed.place() < listed.blocks
            && let Some(block) = feed.next().await?
        {
            sent += block.bytes().len();
            blocks.push(block);
        }
        // One that is there is sent all the same: that its bytes are right only reading it would say, which costs as much.
        one_by_one(
            blocks
                .into_iter()
                .map(|block| async move { self.bucket.put(&self.block_key(block.cid()), block.bytes().clone()).await }),
        )
        .await?;
        *place = feed.place();
        Ok(sent as u64)
    }

    pub(super) async fn get_blocks(&self, root: &Cid, listed: Listed, cids: &[Cid]) -> Result<Vec<Bytes>, Failure> {
        // Each proof begins with the root. What its lists do not name any more others' removals would take.
        if cids.contains(root) {
            let mut blocks = 0;
            for at in 0..listed.lists {
                let key = self.list_key(root, at);
                blocks += self.list(&key).await?.ok_or(Failure::NotFound)?.len() as u64;
            }
            if blocks != listed.blocks {
                let problem = format!("lists of {blocks} blocks, where {} were given", listed.blocks);
                return Err(Failure::Lied(problem));
            }
        }
        one_by_one(
            cids.iter().map(|cid| async move { self.bucket.get_all(&self.block_key(cid), MAX_BLOCK_BYTES).await }),
        )
        .await
    }

    /// Removes what only this root needs, list by list, so that whoever is broken off goes on from there.
    pub(super) async fn remove_blocks(&self, root: &Cid) -> Result<(), Failure> {
        let _alone = self.lanes.all().await;
        let lists = self.lists().await?;
        let (ours, others): (Vec<String>, Vec<String>) = lists.into_iter().partition(|key| self.is_of(key, root));
        let mut needless = HashSet::new();
        for key in &ours {
            needless.extend(self.list(key).await?.unwrap_or_default().iter().map(mark));
        }
        if !needless.is_empty() {
            let mut others = stream::iter(others.iter().map(|key| self.list(key))).buffer_unordered(BLOCKS_AT_ONCE);
            while let Some(list) = others.next().await {
                for cid in list?.unwrap_or_default() {
                    needless.remove(&mark(&cid));
                }
            }
        }
        for key in &ours {
            let named = self.list(key).await?.unwrap_or_default();
            let gone = named.iter().filter(|cid| needless.contains(&mark(cid)));
            one_by_one(gone.map(|cid| async move { self.bucket.delete(&self.block_key(cid)).await })).await?;
            self.bucket.delete(key).await?;
        }
        Ok(())
    }

    fn block_key(&self, cid: &Cid) -> String {
        format!("{}{}", self.prefix, name(cid))
    }

    /// The list of a root that is the so-manieth, counted from none.
    fn list_key(&self, root: &Cid, at: u32) -> String {
        let number = if at == 0 { String::new() } else { format!(".{}", u64::from(at) + 1) };
        format!("{}{LISTS}{}{number}{LIST}", self.prefix, name(root))
    }

    fn is_of(&self, list: &str, root: &Cid) -> bool {
        list.strip_prefix(&format!("{}{LISTS}{}.", self.prefix, name(root))).is_some()
    }

    /// The keys of all lists below the prefix.
    async fn lists(&self) -> Result<Vec<String>, Failure> {
        let place = format!("{}{LISTS}", self.prefix);
        let keys = self.bucket.list(&place, self.cut.page).await?;
        // Only what is beside it is known to be written as it was given.
        let names = keys.iter().filter_map(|key| key.rsplit('/').next()).filter(|name| name.ends_with(LIST));
        Ok(names.map(|name| format!("{place}{name}")).collect())
    }

    /// What a list names; none if there is no such list. Where it cannot be read nobody can tell what is needed.
    async fn list(&self, key: &str) -> Result<Option<Vec<Cid>>, Failure> {
        let list = match self.bucket.get_all(key, MAX_LIST_BYTES).await {
            Err(Failure::NotFound) => return Ok(None),
            list => list?,
        };
        let text = std::str::from_utf8(&list).unwrap_or("no text").lines();
        let cids: Result<Vec<Cid>, _> = text.map(block::parse).collect();
        cids.map(Some).map_err(|_| Failure::Lied(format!("{key} is no list of blocks")))
    }
}

/// A CID in the one form that all keys have: version 1, in base32.
fn name(cid: &Cid) -> Cid {
    match (Codec::of(cid), block::key(cid)) {
        (Ok(codec), Some(hash)) => block::new_cid(Version::V1, codec, hash),
        _ => cid.clone(),
    }
}
