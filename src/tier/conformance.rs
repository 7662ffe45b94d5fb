//! What every tier must do. Each implementation's tests call [`all`].
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use std::{future::poll_fn, rc::Rc, task::Poll};

use async_trait::async_trait;
use bytes::Bytes;
use cid::Version;

use super::{Amount, Commit, Durability, GroupCommit, Pin, PinKind, Root, StoredRoot, Tier, Usage};
use crate::{
    block::{self, Block, Cid, Codec, Key},
    error::{Error, Result},
    hash::{CpuHasher, HashFunction},
    unixfs::{EntryKind, Profile},
};

/// A store that can be opened again and again.
#[async_trait(?Send)]
pub trait Fixture {
    /// Opens it. What an earlier opening returned has been dropped.
    async fn open(&self) -> Result<Rc<dyn Tier>>;

    /// Whether it keeps anything when it is closed.
    fn persists(&self) -> bool {
        true
    }
}

/// Runs every case, each on a fixture of its own, named after it.
pub async fn all<F: Fixture>(fresh: impl Fn(&str) -> F) {
    empty(&fresh("empty")).await;
    blocks(&fresh("blocks")).await;
    sizes(&fresh("sizes")).await;
    lengths(&fresh("lengths")).await;
    roots(&fresh("roots")).await;
    pages(&fresh("pages")).await;
    pins(&fresh("pins")).await;
    named_pins(&fresh("named")).await;
    notes(&fresh("notes")).await;
    listed_notes(&fresh("listed-notes")).await;
    expected_notes(&fresh("expected")).await;
    swaps(&fresh("swaps")).await;
    drops(&fresh("drops")).await;
    quarantine(&fresh("quarantine")).await;
    keys(&fresh("keys")).await;
    large_commits(&fresh("large")).await;
    reopening(&fresh("reopening")).await;
    compaction(&fresh("compaction")).await;
    group(&fresh("group")).await;
}

pub async fn blocks_of(function: HashFunction, parts: Vec<Vec<u8>>) -> Vec<Block> {
    let parts = parts.into_iter().map(Bytes::from).collect();
    Block::make(&CpuHasher, Version::V1, Codec::Raw, function, parts).await.unwrap()
}

async fn block_of(text: &str) -> Block {
    blocks_of(HashFunction::Sha2_256, vec![text.into()]).await.pop().unwrap()
}

fn key(block: &Block) -> Key {
    block::key(block.cid()).unwrap()
}

fn root(cid: &Cid, name: &str) -> Root {
    let filename = (!name.is_empty()).then(|| name.to_owned());
    Root {
        cid: cid.clone(),
        filename,
        size: name.len() as u64,
        modified: 1_700_000_000_123,
        profile: Some(Profile::UnixfsV1_2025),
        kind: Some(EntryKind::File),
    }
}

async fn get(tier: &Rc<dyn Tier>, keys: &[Key]) -> Vec<Option<Bytes>> {
    tier.get(keys).await.unwrap().into_iter().map(|held| held.map(|held| held.bytes)).collect()
}

async fn empty(fixture: &dyn Fixture) {
    let tier = fixture.open().await.unwrap();
    let block = block_of("never stored").await;
    assert_eq!(get(&tier, &[key(&block)]).await, [None]);
    assert_eq!(tier.has(&[key(&block)]).await.unwrap(), [false]);
    assert_eq!(get(&tier, &[]).await, []);
    assert_eq!(tier.root(block.cid()).await.unwrap(), None);
    assert_eq!(tier.roots(None, 10).await.unwrap(), []);
    let usage = tier.usage().await.unwrap();
    assert_eq!(usage, Usage { stored: usage.stored, ..Usage::default() });
    assert!(usage.stored < 100, "{} bytes of nothing", usage.stored);
    tier.commit(Commit::default()).await.unwrap();
    tier.flush().await.unwrap();
}

async fn blocks(fixture: &dyn Fixture) {
    let tier = fixture.open().await.unwrap();
    for function in HashFunction::ALL {
        let made = blocks_of(function, vec![b"one".to_vec(), b"two".to_vec(), Vec::new()]).await;
        tier.commit(Commit { blocks: made.clone(), ..Commit::default() }).await.unwrap();
        let missing = blocks_of(function, vec![b"three".to_vec()]).await;
        let keys: Vec<Key> = made.iter().chain(&missing).rev().map(key).collect();
        let expected: Vec<Option<Bytes>> =
            [None].into_iter().chain(made.iter().rev().map(|block| Some(block.bytes().clone()))).collect();
        assert_eq!(get(&tier, &keys).await, expected, "{function}");
        assert_eq!(tier.has(&keys).await.unwrap(), [false, true, true, true]);
    }
    let usage = tier.usage().await.unwrap();
    assert_eq!((usage.blocks, usage.bytes), (9, 18));
    // The same again, twice in one commit: nothing grows, and it is told.
    let again = blocks_of(HashFunction::Sha2_256, vec![b"one".to_vec(), b"one".to_vec()]).await;
    let commit = Commit { blocks: again, durability: Durability::Relaxed, ..Commit::default() };
    assert_eq!(tier.commit(commit).await.unwrap().held, [true, true]);
    assert_eq!(tier.usage().await.unwrap(), usage);
    let fresh = blocks_of(HashFunction::Sha2_256, vec![b"new".to_vec(), b"one".to_vec(), b"new".to_vec()]).await;
    let commit = Commit { blocks: fresh, ..Commit::default() };
    assert_eq!(tier.commit(commit).await.unwrap().held, [false, true, false]);
}

/// Sizes around every threshold of the implementations, in one commit and in one each.
async fn sizes(fixture: &dyn Fixture) {
    let tier = fixture.open().await.unwrap();
    let sizes = [0, 1, 100, 4096, 16_383, 16_384, 65_535, 65_536, 65_537, 262_144, 1 << 20, block::MAX_BLOCK_BYTES];
    let parts: Vec<Vec<u8>> = sizes.iter().map(|size| noise(*size as u64, *size)).collect();
    let made = blocks_of(HashFunction::Sha2_256, parts).await;
    let (alone, together) = made.split_at(6);
    tier.commit(Commit { blocks: together.to_vec(), ..Commit::default() }).await.unwrap();
    for block in alone {
        tier.commit(Commit { blocks: vec![block.clone()], ahead: true, ..Commit::default() }).await.unwrap();
    }
    for block in &made {
        assert_eq!(get(&tier, &[key(block)]).await, [Some(block.bytes().clone())]);
    }
    assert_eq!(tier.usage().await.unwrap().bytes, sizes.iter().sum::<usize>() as u64);
}

/// Small and large blocks, some of them together, asked for out of order, twice, and some not there.
async fn lengths(fixture: &dyn Fixture) {
    let tier = fixture.open().await.unwrap();
    let parts = (0..60u64).map(|n| noise(n, if n % 4 == 0 { 7_000 } else { 40 } * n as usize));
    let made = blocks_of(HashFunction::Sha2_256, parts.collect()).await;
    let (held, gone) = made.split_at(50);
    tier.commit(Commit { blocks: made.clone(), ..Commit::default() }).await.unwrap();
    let drop_blocks = gone.iter().map(key).collect();
    tier.commit(Commit { drop_blocks, ..Commit::default() }).await.unwrap();
    let asked: Vec<&Block> = made.iter().rev().chain(held.first()).collect();
    let keys: Vec<Key> = asked.iter().map(|block| key(block)).collect();
    let length = |block: &&Block| held.contains(block).then_some(block.bytes().len() as u64);
    let expected: Vec<Option<u64>> = asked.iter().map(length).collect();
    assert_eq!(tier.lengths(&keys).await.unwrap(), expected);
    assert_eq!(tier.lengths(&[]).await.unwrap(), []);
}

async fn roots(fixture: &dyn Fixture) {
    let tier = fixture.open().await.unwrap();
    let block = block_of("a file").await;
    let named = root(block.cid(), "näme with spaces/and\u{1f980}.txt");
    tier.commit(Commit { blocks: vec![block.clone()], set_roots: vec![named.clone()], ..Commit::default() })
        .await
        .unwrap();
    assert_eq!(tier.root(block.cid()).await.unwrap(), Some(StoredRoot { root: named, pinned: false }));
    let renamed = Root { profile: None, ..root(block.cid(), "") };
    tier.commit(Commit { set_roots: vec![renamed.clone()], ..Commit::default() }).await.unwrap();
    assert_eq!(tier.root(block.cid()).await.unwrap(), Some(StoredRoot { root: renamed, pinned: false }));
    assert_eq!(tier.usage().await.unwrap().roots, 1);
}

async fn pages(fixture: &dyn Fixture) {
    let tier = fixture.open().await.unwrap();
    let made = blocks_of(HashFunction::Sha2_256, (0..50u8).map(|n| vec![n]).collect()).await;
    let set_roots: Vec<Root> = made.iter().map(|block| root(block.cid(), "x")).collect();
    tier.commit(Commit { set_roots, ..Commit::default() }).await.unwrap();
    let mut expected: Vec<String> = made.iter().map(|block| block.cid().to_string()).collect();
    expected.sort();
    let mut listed = Vec::new();
    let mut after = None;
    loop {
        let page = tier.roots(after.as_ref(), 7).await.unwrap();
        assert!(page.len() <= 7);
        let Some(last) = page.last() else { break };
        after = Some(last.root.cid.clone());
        listed.extend(page.into_iter().map(|stored| stored.root.cid.to_string()));
    }
    assert_eq!(listed, expected);
}

async fn pins(fixture: &dyn Fixture) {
    let tier = fixture.open().await.unwrap();
    let block = block_of("pinned").await;
    let cid = block.cid().clone();
    let pinned = async || tier.root(&cid).await.unwrap().unwrap().pinned;
    tier.commit(Commit {
        set_roots: vec![root(&cid, "a")],
        pin: vec![Pin::recursive(cid.clone())],
        ..Commit::default()
    })
    .await
    .unwrap();
    assert!(pinned().await);
    // Storing it again does not unpin it.
    tier.commit(Commit { set_roots: vec![root(&cid, "b")], ..Commit::default() }).await.unwrap();
    assert!(pinned().await);
    assert!(tier.roots(None, 10).await.unwrap()[0].pinned);
    assert_eq!(tier.usage().await.unwrap().pinned, 1);
    tier.commit(Commit { unpin: vec![cid.clone()], ..Commit::default() }).await.unwrap();
    assert!(!pinned().await);
    assert_eq!(tier.usage().await.unwrap().pinned, 0);
    tier.commit(Commit { pin: vec![Pin::recursive(cid.clone())], ..Commit::default() }).await.unwrap();
    assert!(pinned().await);
    // A pinned root is dropped only together with its pin.
    tier.commit(Commit { drop_roots: vec![cid.clone()], ..Commit::default() }).await.unwrap();
    assert!(pinned().await);
    tier.commit(Commit { drop_roots: vec![cid.clone()], unpin: vec![cid.clone()], ..Commit::default() }).await.unwrap();
    assert_eq!(tier.root(&cid).await.unwrap(), None);
    tier.commit(Commit { set_roots: vec![root(&cid, "c")], ..Commit::default() }).await.unwrap();
    assert!(!pinned().await);
}

/// Pins that say more, also on what is no root.
async fn named_pins(fixture: &dyn Fixture) {
    let tier = fixture.open().await.unwrap();
    let [file, block] = [block_of("a file").await, block_of("a block").await].map(|block| block.cid().clone());
    let named = Pin {
        name: Some("the model".into()),
        labels: [("owner".to_owned(), "me".to_owned()), ("task".to_owned(), "é".to_owned())].into(),
        created: 1_700_000_000_000,
        expires: Some(1_800_000_000_000),
        pending: true,
        size: Some((3, 1 << 40)),
        ..Pin::recursive(file.clone())
    };
    let direct = Pin { kind: PinKind::Direct, ..Pin::recursive(block.clone()) };
    let pin = vec![named.clone(), direct.clone()];
    tier.commit(Commit { set_roots: vec![root(&file, "a")], pin, ..Commit::default() }).await.unwrap();
    let tier = if fixture.persists() {
        drop(tier);
        fixture.open().await.unwrap()
    } else {
        tier
    };
    assert_eq!(tier.pin(&file).await.unwrap(), Some(named.clone()));
    assert_eq!(tier.pin(&block).await.unwrap(), Some(direct.clone()));
    assert_eq!(tier.root(&block).await.unwrap(), None);
    assert!(tier.roots(None, 9).await.unwrap()[0].pinned);
    assert_eq!(tier.usage().await.unwrap().pinned, 2);
    // By pages, in the order of the CIDs' text.
    let mut expected = vec![named.clone(), direct.clone()];
    expected.sort_by_key(|pin| pin.cid.to_string());
    let first = tier.pins(None, 1).await.unwrap();
    let second = tier.pins(Some(&first[0].cid), 9).await.unwrap();
    assert_eq!([first, second].concat(), expected);
    // A plain pin does not cut one short that says more, but makes one lasting that would end.
    tier.commit(Commit { pin: vec![Pin::recursive(file.clone())], ..Commit::default() }).await.unwrap();
    assert_eq!(tier.pin(&file).await.unwrap(), Some(Pin::recursive(file.clone())));
    let lasting = Pin { name: Some("the model".into()), ..Pin::recursive(file.clone()) };
    for pin in [lasting.clone(), Pin::recursive(file.clone())] {
        tier.commit(Commit { pin: vec![pin], ..Commit::default() }).await.unwrap();
    }
    assert_eq!(tier.pin(&file).await.unwrap(), Some(lasting));
    // A direct one does not keep a file.
    tier.commit(Commit { set_roots: vec![root(&block, "b")], ..Commit::default() }).await.unwrap();
    assert!(!tier.root(&block).await.unwrap().unwrap().pinned);
    tier.commit(Commit { unpin: vec![block, file.clone()], drop_roots: vec![file], ..Commit::default() })
        .await
        .unwrap();
    assert_eq!(tier.pins(None, 9).await.unwrap(), []);
    assert_eq!(tier.usage().await.unwrap().pinned, 0);
}

async fn notes(fixture: &dyn Fixture) {
    let tier = fixture.open().await.unwrap();
    let note = |name: &str, value: Option<&'static [u8]>| (name.to_owned(), value.map(Bytes::from_static));
    let commit = |notes| Commit { notes, ..Commit::default() };
    assert_eq!(tier.note("one").await.unwrap(), None);
    tier.commit(commit(vec![note("one", Some(b"1")), note("two", Some(b"2")), note("one", Some(b"\0"))]))
        .await
        .unwrap();
    tier.commit(commit(vec![note("two", None), note("three", Some(b""))])).await.unwrap();
    let tier = if fixture.persists() {
        drop(tier);
        fixture.open().await.unwrap()
    } else {
        tier
    };
    assert_eq!(tier.note("one").await.unwrap(), Some(Bytes::from_static(b"\0")));
    assert_eq!(tier.note("two").await.unwrap(), None);
    assert_eq!(tier.note("three").await.unwrap(), Some(Bytes::new()));
}

async fn listed_notes(fixture: &dyn Fixture) {
    let tier = fixture.open().await.unwrap();
    let value = |name: &str| Bytes::from(name.to_uppercase());
    let names = ["n/b", "n/a", "n/é", "n/a/1", "n", "m/z", "n0", "n/c"];
    let notes = names.iter().map(|name| ((*name).to_owned(), Some(value(name)))).collect();
    tier.commit(Commit { notes, ..Commit::default() }).await.unwrap();
    tier.commit(Commit { notes: vec![("n/c".into(), None)], ..Commit::default() }).await.unwrap();
    let listed = async |prefix: &str, after: Option<&str>, limit| {
        let page = tier.notes(prefix, after, limit).await.unwrap();
        page.iter().for_each(|(name, found)| assert_eq!(*found, value(name)));
        page.into_iter().map(|(name, _)| name).collect::<Vec<String>>()
    };
    assert_eq!(listed("", None, 99).await, ["m/z", "n", "n/a", "n/a/1", "n/b", "n/é", "n0"]);
    assert_eq!(listed("n/", None, 99).await, ["n/a", "n/a/1", "n/b", "n/é"]);
    assert_eq!(listed("n/", None, 2).await, ["n/a", "n/a/1"]);
    assert_eq!(listed("n/", Some("n/a/1"), 1).await, ["n/b"]);
    // After what is no note, or comes before the first, or is the last.
    assert_eq!(listed("n/", Some("n/ab"), 99).await, ["n/b", "n/é"]);
    assert_eq!(listed("n/", Some("a"), 1).await, ["n/a"]);
    assert_eq!(listed("n/", Some("n/é"), 99).await, [""; 0]);
    assert_eq!(listed("o", None, 99).await, [""; 0]);
    assert_eq!(listed("", None, 0).await, [""; 0]);
}

/// A commit that expects something else does nothing at all.
async fn expected_notes(fixture: &dyn Fixture) {
    let tier = fixture.open().await.unwrap();
    let note = |name: &str, value: Option<&'static str>| (name.to_owned(), value.map(Bytes::from));
    let kept = block_of("kept").await;
    tier.commit(Commit {
        blocks: vec![kept.clone()],
        set_roots: vec![root(kept.cid(), "kept")],
        notes: vec![note("a", Some("1")), note("b", Some(""))],
        ..Commit::default()
    })
    .await
    .unwrap();
    let added = blocks_of(HashFunction::Sha2_256, vec![noise(1, 100), noise(2, 300_000)]).await;
    let change = |expect: &[(String, Option<Bytes>)]| Commit {
        blocks: added.clone(),
        set_roots: vec![root(added[0].cid(), "added")],
        pin: vec![Pin::recursive(added[0].cid().clone())],
        drop_roots: vec![kept.cid().clone()],
        drop_blocks: vec![key(&kept)],
        notes: vec![note("a", Some("2")), note("c", Some("3"))],
        expect: expect.to_vec(),
        ..Commit::default()
    };
    let before = tier.usage().await.unwrap();
    let wrong = [
        (vec![note("a", Some("0"))], "a"),
        (vec![note("a", None)], "a"),
        (vec![note("a", Some("1")), note("b", Some("0"))], "b"),
        (vec![note("a", Some("1")), note("c", Some("3"))], "c"),
    ];
    for (expect, name) in &wrong {
        let done = tier.commit(change(expect)).await;
        assert_eq!(done, Err(Error::Conflict { name: (*name).to_owned() }), "{expect:?}");
        assert_eq!(tier.usage().await.unwrap(), before);
        assert_eq!(tier.has(&[key(&kept), key(&added[0]), key(&added[1])]).await.unwrap(), [true, false, false]);
        assert_eq!(tier.root(added[0].cid()).await.unwrap(), None);
        assert_eq!(tier.note("a").await.unwrap(), Some("1".into()));
        assert_eq!(tier.note("c").await.unwrap(), None);
    }
    let met = [note("a", Some("1")), note("b", Some("")), note("c", None)];
    tier.commit(change(&met)).await.unwrap();
    assert_eq!(tier.has(&[key(&kept), key(&added[0]), key(&added[1])]).await.unwrap(), [false, true, true]);
    // Only to look is possible, too.
    let look = |value| Commit { expect: vec![note("a", Some(value))], ..Commit::default() };
    tier.commit(look("2")).await.unwrap();
    assert!(matches!(tier.commit(look("1")).await, Err(Error::Conflict { .. })));
    let tier = if fixture.persists() {
        drop(tier);
        fixture.open().await.unwrap()
    } else {
        tier
    };
    assert_eq!(tier.note("a").await.unwrap(), Some("2".into()));
    assert_eq!(tier.note("c").await.unwrap(), Some("3".into()));
}

async fn turn() {
    let mut waited = false;
    poll_fn(|context| {
        context.waker().wake_by_ref();
        if std::mem::replace(&mut waited, true) { Poll::Ready(()) } else { Poll::Pending }
    })
    .await;
}

/// Many count up in one note at once, each from what it saw, among others who only add blocks: nothing is lost.
async fn swaps(fixture: &dyn Fixture) {
    let tier = Rc::new(GroupCommit::new(fixture.open().await.unwrap()));
    let made = blocks_of(HashFunction::Sha2_256, (0..40u64).map(|n| noise(n, 100)).collect()).await;
    let counters = (0..10).map(|_| async {
        let mut conflicts = 0;
        let mut left = 5;
        while left > 0 {
            let seen = tier.note("count").await.unwrap();
            let count: u32 = seen.as_ref().map_or(0, |seen| std::str::from_utf8(seen).unwrap().parse().unwrap());
            let notes = vec![("count".to_owned(), Some(Bytes::from((count + 1).to_string())))];
            let expect = vec![("count".to_owned(), seen)];
            // The others see the same.
            turn().await;
            match tier.commit(Commit { notes, expect, ..Commit::default() }).await {
                Ok(_) => left -= 1,
                Err(Error::Conflict { name }) if name == "count" => conflicts += 1,
                Err(error) => panic!("{error}"),
            }
        }
        conflicts
    });
    let adders = made.iter().map(|block| async {
        tier.commit(Commit { blocks: vec![block.clone()], ..Commit::default() }).await.unwrap();
    });
    let (conflicts, _) =
        futures_util::future::join(futures_util::future::join_all(counters), futures_util::future::join_all(adders))
            .await;
    assert!(conflicts.iter().sum::<u32>() > 0, "they did not get in each other's way");
    assert_eq!(tier.note("count").await.unwrap(), Some("50".into()));
    assert_eq!(tier.usage().await.unwrap().blocks, 40);
}

async fn drops(fixture: &dyn Fixture) {
    let tier = fixture.open().await.unwrap();
    let (keep, lose, small) = (block_of("keep").await, block_of("lose").await, block_of("lose also").await);
    let all = vec![keep.clone(), lose.clone(), small.clone()];
    let set_roots = vec![root(keep.cid(), "keep"), root(lose.cid(), "lose")];
    tier.commit(Commit { blocks: all, set_roots, ..Commit::default() }).await.unwrap();
    let drop_blocks = vec![key(&lose), key(&small)];
    let done =
        tier.commit(Commit { drop_roots: vec![lose.cid().clone()], drop_blocks, ..Commit::default() }).await.unwrap();
    assert_eq!(done.dropped, Amount { blocks: 2, bytes: 13 });
    assert_eq!(tier.has(&[key(&keep), key(&lose), key(&small)]).await.unwrap(), [true, false, false]);
    assert_eq!(get(&tier, &[key(&lose), key(&keep)]).await, [None, Some(keep.bytes().clone())]);
    assert_eq!(tier.root(lose.cid()).await.unwrap(), None);
    let usage = tier.usage().await.unwrap();
    assert_eq!((usage.blocks, usage.bytes, usage.roots), (1, 4, 1));
    // What was dropped can come back.
    tier.commit(Commit { blocks: vec![lose.clone()], ..Commit::default() }).await.unwrap();
    assert_eq!(get(&tier, &[key(&lose)]).await, [Some(lose.bytes().clone())]);
    // Dropping what is not there is no error.
    tier.commit(Commit { drop_blocks: vec![key(&small)], drop_roots: vec![small.cid().clone()], ..Commit::default() })
        .await
        .unwrap();
}

async fn quarantine(fixture: &dyn Fixture) {
    let tier = fixture.open().await.unwrap();
    let (block, other) = (block_of("suspect").await, block_of("beside it").await);
    tier.commit(Commit { blocks: vec![block.clone(), other.clone()], ..Commit::default() }).await.unwrap();
    let place = async || tier.get(&[key(&block)]).await.unwrap()[0].as_ref().unwrap().place;
    let aside = async |place| {
        let quarantine = vec![(key(&block), place), (key(&block), place)];
        tier.commit(Commit { quarantine, ..Commit::default() }).await.unwrap();
    };
    let first = place().await;
    aside(first).await;
    assert_eq!(get(&tier, &[key(&block)]).await, [None]);
    assert_eq!(tier.has(&[key(&block), key(&other)]).await.unwrap(), [false, true]);
    let usage = tier.usage().await.unwrap();
    assert_eq!((usage.blocks, usage.bytes, usage.quarantined), (1, 9, 1));
    tier.commit(Commit { blocks: vec![block.clone()], ..Commit::default() }).await.unwrap();
    assert_eq!(get(&tier, &[key(&block)]).await, [Some(block.bytes().clone())]);
    // Somebody who read the first copy comes late: the second is not what he saw.
    aside(first).await;
    assert_eq!(get(&tier, &[key(&block)]).await, [Some(block.bytes().clone())]);
    assert_eq!(tier.usage().await.unwrap().quarantined, 1);
    aside(place().await).await;
    assert_eq!(tier.has(&[key(&block)]).await.unwrap(), [false]);
    assert_eq!(tier.usage().await.unwrap().quarantined, 2);
}

async fn keys(fixture: &dyn Fixture) {
    let tier = fixture.open().await.unwrap();
    assert!(tier.keys(None, 10).await.unwrap().is_empty());
    let mut expected = Vec::new();
    for function in HashFunction::ALL {
        let made = blocks_of(function, (0..40u64).map(|n| noise(n, 1 + 3000 * n as usize)).collect()).await;
        expected.extend(made.iter().map(key));
        tier.commit(Commit { blocks: made, ..Commit::default() }).await.unwrap();
    }
    let all = async |limit| {
        let mut listed: Vec<Key> = Vec::new();
        loop {
            let page = tier.keys(listed.last(), limit).await.unwrap();
            assert!(page.len() <= limit);
            if page.is_empty() {
                return listed;
            }
            listed.extend(page);
        }
    };
    let listed = all(7).await;
    assert_eq!(all(1).await, listed, "the order does not hang on the pages");
    assert_eq!(all(1000).await, listed);
    let sorted = |mut keys: Vec<Key>| {
        keys.sort_unstable();
        keys
    };
    assert_eq!(sorted(listed.clone()), sorted(expected));
    // What is dropped is not listed, and can still be the place to go on from.
    let (gone, kept) = listed.split_at(50);
    tier.commit(Commit { drop_blocks: gone.to_vec(), ..Commit::default() }).await.unwrap();
    assert_eq!(all(9).await, kept);
    assert_eq!(tier.keys(gone.last(), 1000).await.unwrap(), kept);
    assert_eq!(tier.keys(gone.first(), 3).await.unwrap(), kept[..3]);
    assert!(tier.keys(kept.last(), 3).await.unwrap().is_empty());
}

async fn large_commits(fixture: &dyn Fixture) {
    let tier = fixture.open().await.unwrap();
    let made = blocks_of(HashFunction::Sha2_256, (0..2000u64).map(|n| noise(n, 900)).collect()).await;
    let set_roots: Vec<Root> = made.iter().map(|block| root(block.cid(), "many")).collect();
    tier.commit(Commit { blocks: made.clone(), set_roots, ..Commit::default() }).await.unwrap();
    let keys: Vec<Key> = made.iter().map(key).collect();
    let expected: Vec<Option<Bytes>> = made.iter().map(|block| Some(block.bytes().clone())).collect();
    assert_eq!(get(&tier, &keys).await, expected);
    assert_eq!(tier.roots(None, 10_000).await.unwrap().len(), 2000);
}

async fn reopening(fixture: &dyn Fixture) {
    if !fixture.persists() {
        return;
    }
    let first = block_of("first").await;
    let second = blocks_of(HashFunction::Blake3, vec![noise(7, 300_000)]).await.pop().unwrap();
    for round in 0..3u8 {
        let tier = fixture.open().await.unwrap();
        let extra = blocks_of(HashFunction::Sha2_256, vec![vec![round; 50]]).await;
        let blocks = [vec![first.clone(), second.clone()], extra].concat();
        let set_roots = vec![root(first.cid(), "first"), root(second.cid(), "second")];
        tier.commit(Commit { blocks, set_roots, pin: vec![Pin::recursive(second.cid().clone())], ..Commit::default() })
            .await
            .unwrap();
        if round == 1 {
            tier.flush().await.unwrap();
        }
    }
    let tier = fixture.open().await.unwrap();
    let found = get(&tier, &[key(&first), key(&second)]).await;
    assert_eq!(found, [Some(first.bytes().clone()), Some(second.bytes().clone())]);
    let stored: Vec<(Option<String>, bool)> =
        tier.roots(None, 9).await.unwrap().into_iter().map(|stored| (stored.root.filename, stored.pinned)).collect();
    assert!(stored.contains(&(Some("first".into()), false)) && stored.contains(&(Some("second".into()), true)));
    let usage = tier.usage().await.unwrap();
    assert_eq!((usage.blocks, usage.bytes, usage.roots, usage.pinned), (5, 5 + 300_000 + 150, 2, 1));
    tier.commit(Commit { drop_roots: vec![first.cid().clone()], drop_blocks: vec![key(&first)], ..Commit::default() })
        .await
        .unwrap();
    drop(tier);
    let tier = fixture.open().await.unwrap();
    assert_eq!(tier.has(&[key(&first), key(&second)]).await.unwrap(), [false, true]);
    assert_eq!(tier.root(first.cid()).await.unwrap(), None);
}

/// Most of a store is dropped, and its room given back while others write: what is alive stays, and nothing else.
async fn compaction(fixture: &dyn Fixture) {
    let tier: Rc<dyn Tier> = Rc::new(GroupCommit::new(fixture.open().await.unwrap()));
    let made = blocks_of(HashFunction::Sha2_256, (0..60u64).map(|n| noise(n, 200_000)).collect()).await;
    for blocks in made.chunks(10) {
        tier.commit(Commit { blocks: blocks.to_vec(), ..Commit::default() }).await.unwrap();
    }
    let (kept, gone): (Vec<Block>, Vec<Block>) = made.into_iter().partition(|block| key(block).digest()[0] < 32);
    let keys = |blocks: &[Block]| blocks.iter().map(key).collect::<Vec<Key>>();
    let mut kept = kept;
    let before = tier.usage().await.unwrap().stored;
    tier.commit(Commit { drop_blocks: keys(&gone), ..Commit::default() }).await.unwrap();
    for n in 0.. {
        let more = blocks_of(HashFunction::Blake3, vec![noise(1000 + n, 1000)]).await;
        kept.extend(more.iter().cloned());
        let commit = tier.commit(Commit { blocks: more, ..Commit::default() });
        let (committed, compacted) = futures_util::future::join(commit, tier.compact()).await;
        committed.unwrap();
        if !compacted.unwrap().more {
            break;
        }
        assert!(n < 1000, "it comes to no end");
    }
    let check = async |tier: &Rc<dyn Tier>| {
        let expected: Vec<Option<Bytes>> = kept.iter().map(|block| Some(block.bytes().clone())).collect();
        assert_eq!(get(tier, &keys(&kept)).await, expected);
        assert!(tier.has(&keys(&gone)).await.unwrap().into_iter().all(|held| !held));
        assert_eq!(tier.keys(None, 1000).await.unwrap().len(), kept.len());
        let usage = tier.usage().await.unwrap();
        assert_eq!((usage.blocks, usage.bytes), (kept.len() as u64, kept.iter().map(|b| b.bytes().len() as u64).sum()));
        let bound = 2 * usage.bytes + (2 << 20);
        assert!(usage.stored <= bound && bound < before, "{} bytes are left of {before}", usage.stored);
    };
    check(&tier).await;
    drop(tier);
    if fixture.persists() {
        check(&fixture.open().await.unwrap()).await;
    }
}

/// Many commits at once, as callers make them who do not wait for one another.
async fn group(fixture: &dyn Fixture) {
    let tier = Rc::new(GroupCommit::new(fixture.open().await.unwrap()));
    let made = blocks_of(HashFunction::Sha2_256, (0..100u64).map(|n| noise(n, 2000)).collect()).await;
    let commits = made.iter().map(|block| {
        let commit =
            Commit { blocks: vec![block.clone()], set_roots: vec![root(block.cid(), "g")], ..Commit::default() };
        let tier = tier.clone();
        async move { tier.commit(commit).await }
    });
    for result in futures_util::future::join_all(commits).await {
        result.unwrap();
    }
    let keys: Vec<Key> = made.iter().map(key).collect();
    assert!(tier.has(&keys).await.unwrap().into_iter().all(|held| held));
    assert_eq!(tier.usage().await.unwrap().roots, 100);
}

/// Bytes that do not repeat, the same for the same seed (xorshift64*).
pub fn noise(seed: u64, length: usize) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut out = Vec::with_capacity(length + 8);
    while out.len() < length {
        state ^= state >> 12;
        state ^= state << 25;
        state ^= state >> 27;
        out.extend_from_slice(&state.wrapping_mul(0x2545_f491_4f6c_dd1d).to_le_bytes());
    }
    out.truncate(length);
    out
}
