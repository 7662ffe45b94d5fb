//! Moving a store from one tier to another: from IndexedDB to OPFS, where that has come, and back when it is asked for.
//!
//! The copy carries a note from its first commit to its last. As long as it does, the source alone counts, and nothing is
//! taken from the copy; so a move that was cut off goes on, whichever way the store is opened next. The caller drops the
//! source, which it does not change, once this has returned.

use std::collections::HashSet;

use bytes::Bytes;

use super::{Amount, Commit, Durability, Pin, StoredRoot, Tier};
use crate::{
    block::{Block, Cid, Codec, Key, new_cid},
    error::Result,
    hash::Hasher,
};

/// What an unfinished copy carries.
const NOTE: &str = "moving";

/// Keys looked at, or records written, at a time.
const PAGE: usize = 1024;
/// Bytes of blocks in a commit.
const BATCH_BYTES: u64 = 8 * 1024 * 1024;

/// What a move has brought.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Moved {
    /// Blocks that were copied.
    pub copied: Amount,
    /// Blocks that did not hash to their keys, and were left behind.
    pub corrupt: u64,
}

/// Whether there is something to take from a tier: not if it is a copy that is not finished, or that has not begun.
pub async fn has_all(tier: &dyn Tier) -> Result<bool> {
    if tier.note(NOTE).await?.is_some() {
        return Ok(false);
    }
    let usage = tier.usage().await?;
    Ok(usage.blocks + usage.roots + usage.pinned > 0 || !tier.notes("", None, 1).await?.is_empty())
}

/// Makes `to` hold what `from` holds, durably, and no roots, pins and notes besides. Nobody else may change either.
pub async fn take_over(from: &dyn Tier, to: &dyn Tier, hasher: &dyn Hasher) -> Result<Moved> {
    commit(to, Commit { notes: vec![(NOTE.into(), Some(Bytes::new()))], ..relaxed() }).await?;
    let moved = blocks(from, to, hasher).await?;
    let Records { roots, pins, notes } = records(from).await?;
    let before = records(to).await?;
    let kept: HashSet<Cid> = roots.iter().map(|root| root.root.cid.clone()).collect();
    let pinned: HashSet<Cid> = pins.iter().map(|pin| pin.cid.clone()).collect();
    let noted: HashSet<&str> = notes.iter().map(|(name, _)| name.as_str()).collect();
    for some in before.pins.chunks(PAGE) {
        let unpin = some.iter().map(|pin| pin.cid.clone()).filter(|cid| !pinned.contains(cid)).collect();
        commit(to, Commit { unpin, ..relaxed() }).await?;
    }
    for some in before.roots.chunks(PAGE) {
        let drop_roots = some.iter().map(|root| root.root.cid.clone()).filter(|cid| !kept.contains(cid)).collect();
        commit(to, Commit { drop_roots, ..relaxed() }).await?;
    }
    for some in roots.chunks(PAGE) {
        let set_roots = some.iter().map(|stored| stored.root.clone()).collect();
        commit(to, Commit { set_roots, ..relaxed() }).await?;
    }
    for some in pins.chunks(PAGE) {
        commit(to, Commit { pin: some.to_vec(), ..relaxed() }).await?;
    }
    let stale = before.notes.iter().filter(|(name, _)| !noted.contains(name.as_str()) && name != NOTE);
    let stale: Vec<_> = stale.map(|(name, _)| (name.clone(), None)).collect();
    commit(to, Commit { notes: stale, ..relaxed() }).await?;
    for (name, value) in notes {
        commit(to, Commit { notes: vec![(name, Some(value))], ..relaxed() }).await?;
    }
    commit(to, Commit { notes: vec![(NOTE.into(), None)], ..Commit::default() }).await?;
    to.flush().await?;
    Ok(moved)
}

async fn blocks(from: &dyn Tier, to: &dyn Tier, hasher: &dyn Hasher) -> Result<Moved> {
    let mut moved = Moved::default();
    let mut after: Option<Key> = None;
    loop {
        let page = from.keys(after.as_ref(), PAGE).await?;
        let Some(last) = page.last() else { return Ok(moved) };
        after = Some(*last);
        let held = to.has(&page).await?;
        let wanted: Vec<Key> = page.into_iter().zip(held).filter(|(_, held)| !held).map(|(key, _)| key).collect();
        let lengths = from.lengths(&wanted).await?;
        let (mut batch, mut bytes) = (Vec::new(), 0);
        for (key, length) in wanted.into_iter().zip(lengths) {
            batch.push(key);
            bytes += length.unwrap_or_default();
            if bytes >= BATCH_BYTES {
                copy(from, to, hasher, &batch, &mut moved).await?;
                (batch, bytes) = (Vec::new(), 0);
            }
        }
        copy(from, to, hasher, &batch, &mut moved).await?;
    }
}

async fn copy(from: &dyn Tier, to: &dyn Tier, hasher: &dyn Hasher, keys: &[Key], moved: &mut Moved) -> Result<()> {
    let found = from.get(keys).await?;
    let claim =
        |(key, held): (&Key, Option<super::Held>)| Some((new_cid(cid::Version::V1, Codec::Raw, *key), held?.bytes));
    let claims = keys.iter().zip(found).filter_map(claim).collect();
    let mut blocks = Vec::new();
    for proof in Block::verify(hasher, claims).await? {
        match proof {
            Ok(block) => {
                moved.copied.count(block.bytes().len() as u64);
                blocks.push(block);
            }
            Err(_) => moved.corrupt += 1,
        }
    }
    commit(to, Commit { blocks, ahead: true, ..Commit::default() }).await
}

struct Records {
    roots: Vec<StoredRoot>,
    pins: Vec<Pin>,
    notes: Vec<(String, Bytes)>,
}

async fn records(tier: &dyn Tier) -> Result<Records> {
    Ok(Records {
        roots: tier.roots(None, usize::MAX).await?,
        pins: tier.pins(None, usize::MAX).await?,
        notes: tier.notes("", None, usize::MAX).await?,
    })
}

fn relaxed() -> Commit {
    Commit { durability: Durability::Relaxed, ..Commit::default() }
}

async fn commit(to: &dyn Tier, commit: Commit) -> Result<()> {
    to.commit(commit).await.map(drop)
}
