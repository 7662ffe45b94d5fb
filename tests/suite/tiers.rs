//! The tiers that run natively, through the suite that every tier must pass.

use std::rc::Rc;

use async_trait::async_trait;
use futures_executor::block_on;
use futures_util::future::poll_immediate;
use ipfs_kit_storage::{
    Error, Result,
    block::Cid,
    hash::{CpuHasher, HashFunction, Hasher},
    platform::{
        files::Directory,
        native::{NativeDirectory, SystemClock},
    },
    tier::{Commit, MemoryTier, Pin, Root, Shared, Sharing, Tier, conformance, has_all, pack::PackTier, take_over},
};
use tempfile::TempDir;

use crate::medium;

struct Memory;

#[async_trait(?Send)]
impl conformance::Fixture for Memory {
    async fn open(&self) -> Result<Rc<dyn Tier>> {
        Ok(Rc::new(MemoryTier::new()))
    }

    fn persists(&self) -> bool {
        false
    }
}

struct Pack(TempDir);

#[async_trait(?Send)]
impl conformance::Fixture for Pack {
    async fn open(&self) -> Result<Rc<dyn Tier>> {
        let directory = Rc::new(NativeDirectory::open(self.0.path())?);
        Ok(Rc::new(PackTier::open(directory, Rc::new(CpuHasher), Rc::new(SystemClock)).await?))
    }
}

#[test]
fn memory() {
    block_on(conformance::all(|_| Memory));
}

#[test]
fn pack_on_native_files() {
    block_on(conformance::all(|_| Pack(TempDir::new().unwrap())));
}

/// One of several openings.
struct Opened(TempDir, std::cell::RefCell<Option<Sharing<PackTier>>>);

#[async_trait(?Send)]
impl conformance::Fixture for Opened {
    async fn open(&self) -> Result<Rc<dyn Tier>> {
        self.1.take();
        let directory = Rc::new(NativeDirectory::open(self.0.path())?);
        let sharing = Sharing::new(PackTier::open(directory, Rc::new(CpuHasher), Rc::new(SystemClock)).await?);
        let opened = sharing.open();
        self.1.replace(Some(sharing));
        Ok(Rc::new(opened))
    }
}

#[test]
fn a_pack_that_is_shared() {
    block_on(conformance::all(|_| Opened(TempDir::new().unwrap(), Default::default())));
}

fn openings<const N: usize>() -> [Shared<MemoryTier>; N] {
    let sharing = Sharing::new(MemoryTier::new());
    std::array::from_fn(|_| sharing.open())
}

#[test]
fn nobody_drops_blocks_while_another_opening_is_under_way() {
    block_on(async {
        let [one, other, third] = openings();
        let first = one.enter().await.unwrap();
        let second = one.enter().await.unwrap();
        drop(first);
        assert!(other.alone().await.unwrap().is_none());
        // What is under way in an opening itself is its own affair.
        let own = one.alone().await.unwrap().expect("only it is under way");
        assert!(third.alone().await.unwrap().is_none());
        drop((own, second));
        let right = other.alone().await.unwrap().expect("nobody is under way");
        let again = other.alone().await.unwrap().expect("it is its own");
        assert!(one.alone().await.unwrap().is_none());
        // Who begins elsewhere waits for the end of both; the one who has the right does not.
        let _own = other.enter().await.unwrap();
        let mut begins = one.enter();
        assert!(poll_immediate(&mut begins).await.is_none());
        assert!(poll_immediate(third.enter()).await.is_none());
        drop(right);
        assert!(poll_immediate(&mut begins).await.is_none());
        drop(again);
        let begun = begins.await.unwrap();
        assert!(other.alone().await.unwrap().is_none());
        drop(begun);
        assert!(other.alone().await.unwrap().is_some());
    });
}

#[test]
fn an_opening_counts_what_the_others_commit() {
    block_on(async {
        let [one, other] = openings();
        for _ in 0..3 {
            one.commit(Commit::default()).await.unwrap();
        }
        other.commit(Commit::default()).await.unwrap();
        let counts = [one.changes_by_others().await.unwrap(), other.changes_by_others().await.unwrap()];
        assert_eq!(counts, [1, 3]);
    });
}

async fn filled(tier: &dyn Tier, seeds: std::ops::Range<u64>) -> Vec<Cid> {
    let parts = seeds.map(|seed| conformance::noise(seed, 40_000 + seed as usize)).collect();
    let blocks = conformance::blocks_of(HashFunction::Sha2_256, parts).await;
    let cids: Vec<Cid> = blocks.iter().map(|block| block.cid().clone()).collect();
    let root = |cid: &Cid| Root {
        cid: cid.clone(),
        filename: Some(cid.to_string()),
        size: 7,
        modified: 9,
        profile: None,
        kind: None,
    };
    let commit = Commit {
        set_roots: cids.iter().map(root).collect(),
        pin: cids
            .iter()
            .step_by(3)
            .map(|cid| Pin { name: Some("kept".into()), ..Pin::recursive(cid.clone()) })
            .collect(),
        notes: vec![(format!("note {}", cids[0]), Some("a value".into()))],
        blocks,
        ..Commit::default()
    };
    tier.commit(commit).await.unwrap();
    cids
}

/// All that a tier says of itself.
async fn told(tier: &dyn Tier) -> String {
    let usage = tier.usage().await.unwrap();
    let mut keys = tier.keys(None, usize::MAX).await.unwrap();
    keys.sort();
    let roots = tier.roots(None, usize::MAX).await.unwrap();
    let pins = tier.pins(None, usize::MAX).await.unwrap();
    let notes = tier.notes("", None, usize::MAX).await.unwrap();
    format!("{} {} {keys:?} {roots:?} {pins:?} {notes:?}", usage.blocks, usage.bytes)
}

#[test]
fn a_store_moves_to_another_tier_with_all_that_it_has() {
    block_on(async {
        let from = MemoryTier::new();
        filled(&from, 0..500).await;
        let before = told(&from).await;
        let folder = TempDir::new().unwrap();
        let open = async || {
            let directory = Rc::new(NativeDirectory::open(folder.path()).unwrap());
            PackTier::open(directory, Rc::new(CpuHasher), Rc::new(SystemClock)).await.unwrap()
        };
        // Something is there from before: a copy that was given up, and the source has changed since.
        let to = open().await;
        filled(&to, 495..502).await;
        let moved = take_over(&from, &to, &CpuHasher).await.unwrap();
        assert_eq!((moved.copied.blocks, moved.corrupt), (495, 0));
        drop(to);
        let to = open().await;
        assert!(has_all(&to).await.unwrap());
        assert_eq!(told(&from).await, before);
        // The two blocks that nothing reaches any more are garbage.
        let usage = to.usage().await.unwrap();
        assert_eq!((usage.blocks, usage.roots, usage.pinned), (502, 500, 167));
        let records = |told: String| told.split_once("] [StoredRoot").unwrap().1.to_owned();
        assert_eq!(records(told(&to).await), records(before));
        // Once more: nothing is left to do.
        assert_eq!(take_over(&from, &to, &CpuHasher).await.unwrap().copied.blocks, 0);
    });
}

#[test]
fn a_copy_that_is_not_finished_says_so() {
    block_on(async {
        let from = MemoryTier::new();
        filled(&from, 0..2000).await;
        let to = MemoryTier::new();
        assert!(!has_all(&to).await.unwrap(), "it has not begun");
        let mut moving = Box::pin(take_over(&from, &to, &Stalling));
        assert!(poll_immediate(&mut moving).await.is_none());
        drop(moving);
        assert!(!has_all(&to).await.unwrap());
        take_over(&from, &to, &CpuHasher).await.unwrap();
        assert!(has_all(&to).await.unwrap());
        assert_eq!(told(&to).await, told(&from).await);
    });
}

/// A hasher that never answers.
struct Stalling;

#[async_trait(?Send)]
impl Hasher for Stalling {
    async fn digest(&self, _: HashFunction, _: &[bytes::Bytes]) -> Result<Vec<ipfs_kit_storage::hash::Digest>> {
        std::future::pending().await
    }
}

#[test]
fn what_a_later_version_wrote_is_refused_and_left_alone() {
    let folder = TempDir::new().unwrap();
    // With limits so small that there are checkpoints.
    let open = || block_on(medium::try_open(Rc::new(NativeDirectory::open(folder.path()).unwrap())));
    let tier = open().unwrap();
    block_on(filled(&tier, 0..50));
    drop(tier);
    let names = block_on(NativeDirectory::open(folder.path()).unwrap().list()).unwrap();
    let newest = |kind: &str| names.iter().filter(|name| name.starts_with(kind)).max().unwrap();
    for name in [newest("segment-"), newest("index-")] {
        let path = folder.path().join(name);
        let ours = std::fs::read(&path).unwrap();
        let version = |version: u8| {
            let mut bytes = ours.clone();
            bytes[7] = version;
            std::fs::write(&path, bytes).unwrap();
        };
        version(2);
        let Err(Error::Unsupported(why)) = open().map(drop) else { panic!("{name} of version 2 was opened") };
        assert!(why.contains("version 2"), "{why}");
        assert_eq!(std::fs::read(&path).unwrap()[8..], ours[8..]);
        version(1);
        assert!(open().is_ok());
    }
}
