//! Compaction of packed stores: what it needs of room, what it gives back, and what goes on beside it.

use std::{cell::Cell, collections::BTreeSet, future::poll_fn, rc::Rc, task::Poll};

use async_trait::async_trait;
use futures_executor::block_on;
use futures_util::future::poll_immediate;
use ipfs_kit_storage::{
    Result,
    block::{self, Key},
    hash::HashFunction,
    platform::files::{Directory, RandomAccessFile},
    tier::{Commit, Durability, Tier, conformance},
};

use crate::medium::{Dice, LIMITS, Medium, Tally, blocks, compact, held, open, single, try_open};

/// Compaction needs no more room than it says: the live bytes of one segment, which are less than half of it, and a
/// checkpoint. Also when it is killed again and again, where each new owner goes on from what is copied.
#[test]
fn a_compaction_keeps_to_its_room_however_often_it_is_killed() {
    let blocks = blocks();
    let (mut kills, mut tally) = (0, Tally::default());
    for seed in 1..300u64 {
        let dice = Dice::new(seed);
        let medium = Rc::new(Medium::new(dice.clone()));
        block_on(async {
            let tier = open(&medium).await;
            tier.commit(Commit { blocks: blocks.clone(), ..Commit::default() }).await.unwrap();
            let gone = blocks.iter().filter(|_| dice.below(3) > 0).filter_map(|block| block::key(block.cid()));
            tier.commit(Commit { drop_blocks: gone.collect(), ..Commit::default() }).await.unwrap();
            let before = held(&tier, &blocks).await;
            drop(tier);
            let index = 200 + 20 * before.blocks.len() as u64;
            let room = medium.bytes() + u64::from(LIMITS.segment_bytes) / 2 + index;
            medium.peak.set(0);
            for longest in (50..).step_by(5) {
                medium.left.set(dice.below(longest));
                if let Ok(tier) = try_open(medium.clone()).await {
                    let done = loop {
                        match tier.compact().await {
                            Ok(done) if tally.count(done) => {}
                            done => break done,
                        }
                    };
                    if done.is_ok() {
                        break;
                    }
                }
                kills += 1;
            }
            medium.left.set(u64::MAX);
            assert!(medium.peak.get() <= room, "seed {seed}: {} bytes, and room for {room}", medium.peak.get());
            let tier = open(&medium).await;
            compact(&tier, &medium, &mut tally).await;
            assert_eq!(held(&tier, &blocks).await, before, "seed {seed}");
        });
    }
    println!("{kills} kills, {tally:?}");
    assert!(kills > 500);
}

/// Each owner makes one step and is gone: the next goes on from there, and does not begin again.
#[test]
fn a_compaction_goes_on_where_an_earlier_owner_left_it() {
    let blocks = blocks();
    block_on(async {
        let medium = Rc::new(Medium::new(Dice::new(1)));
        let tier = open(&medium).await;
        tier.commit(Commit { blocks: blocks.clone(), ..Commit::default() }).await.unwrap();
        let (_, gone): (Vec<_>, Vec<_>) = blocks.iter().enumerate().partition(|(n, _)| *n < 9 || *n == 12);
        let drop_blocks = gone.iter().filter_map(|(_, block)| block::key(block.cid())).collect();
        tier.commit(Commit { drop_blocks, ..Commit::default() }).await.unwrap();
        let before = held(&tier, &blocks).await;
        drop(tier);
        let room = medium.bytes() + u64::from(LIMITS.segment_bytes) / 2 + 400;
        let mut steps = 0;
        while open(&medium).await.compact().await.unwrap().more {
            steps += 1;
            assert!(steps < 50, "it comes to no end");
            assert!(medium.bytes() <= room, "{} bytes, and room for {room}", medium.bytes());
        }
        assert!(steps >= 3, "{steps} steps");
        assert_eq!(held(&open(&medium).await, &blocks).await, before);
    });
}

/// On a full disk a compaction fails, and nothing else: what it had begun is undone, and it goes on when there is room.
#[test]
fn a_full_disk_stops_a_compaction_and_breaks_nothing() {
    let blocks = blocks();
    let mut refused = 0;
    // In one segment, which must be closed first, and in two.
    for (count, room) in [10, 14].into_iter().flat_map(|count| (0..200).step_by(2).map(move |room| (count, room))) {
        block_on(async {
            let medium = Rc::new(Medium::new(Dice::new(1)));
            let tier = open(&medium).await;
            tier.commit(Commit { blocks: blocks[..count].to_vec(), ..Commit::default() }).await.unwrap();
            let gone = [0, 1, 2, 3, 4, 6, 7, 9, 11, 12, 13].map(|n| block::key(blocks[n].cid()).unwrap());
            tier.commit(Commit { drop_blocks: gone.to_vec(), ..Commit::default() }).await.unwrap();
            let before = held(&tier, &blocks).await;
            medium.room.set(medium.bytes() + room);
            let done = loop {
                match tier.compact().await {
                    Ok(done) if done.more => {}
                    done => break done,
                }
            };
            refused += u32::from(done.is_err());
            assert_eq!(held(&tier, &blocks).await, before, "room {room}");
            medium.room.set(u64::MAX);
            tier.commit(single(&blocks[1], 1, Durability::Strict)).await.unwrap();
            compact(&tier, &medium, &mut Tally::default()).await;
            let after = held(&tier, &blocks).await;
            assert_eq!(after.blocks.len(), before.blocks.len() + 1);
            drop(tier);
            assert_eq!(held(&open(&medium).await, &blocks).await, after, "room {room}");
        });
    }
    assert!(refused > 40 && refused < 200, "{refused} refused");
}

#[test]
fn a_store_shrinks_when_nine_tenths_of_it_are_dropped() {
    let parts = (0..1000u64).map(|n| conformance::noise(n + 1, 500)).collect();
    let blocks = block_on(conformance::blocks_of(HashFunction::Sha2_256, parts));
    block_on(async {
        let medium = Rc::new(Medium::new(Dice::new(1)));
        let tier = open(&medium).await;
        for some in blocks.chunks(7) {
            tier.commit(Commit { blocks: some.to_vec(), ..Commit::default() }).await.unwrap();
        }
        let before = medium.bytes();
        let (_, gone): (Vec<_>, Vec<_>) = blocks.iter().enumerate().partition(|(n, _)| n % 10 == 0);
        let drop_blocks = gone.iter().filter_map(|(_, block)| block::key(block.cid())).collect();
        tier.commit(Commit { drop_blocks, ..Commit::default() }).await.unwrap();
        compact(&tier, &medium, &mut Tally::default()).await;
        assert_eq!(held(&tier, &blocks).await.blocks.len(), 100);
        let index = |name: &&String| name.starts_with("index");
        let files = medium.seen.borrow();
        let index: usize = files.keys().filter(index).map(|name| files[name].borrow().seen.len()).sum();
        println!("{before} bytes before, {} after, {index} of them index", medium.bytes());
        assert!(index <= 3 * 2200 + 200, "{index} bytes of index");
        assert!(before > 500_000 && medium.bytes() <= 2 * (100 * 546) + 3 * 200 + 3 * 2200);
    });
}

/// What has rotted is set aside and not copied: in the log's end it would hide what comes after it.
#[test]
fn a_compaction_sets_aside_what_has_rotted() {
    let blocks = blocks();
    block_on(async {
        let medium = Rc::new(Medium::new(Dice::new(1)));
        let tier = open(&medium).await;
        tier.commit(Commit { blocks: blocks[..14].to_vec(), ..Commit::default() }).await.unwrap();
        let [rotten, nameless, sound] = [&blocks[8], &blocks[9], &blocks[10]];
        let gone = blocks[..14].iter().map(|block| block::key(block.cid()).unwrap());
        let spared = [rotten, nameless, sound].map(|block| block::key(block.cid()).unwrap());
        let drop_blocks = gone.filter(|key| !spared.contains(key)).collect();
        tier.commit(Commit { drop_blocks, ..Commit::default() }).await.unwrap();
        let flip = |bytes: &[u8]| {
            for file in medium.seen.borrow().values() {
                let mut file = file.borrow_mut();
                if let Some(at) = file.seen.windows(bytes.len()).position(|window| window == bytes) {
                    file.seen[at + bytes.len() / 2] ^= 1;
                }
            }
        };
        flip(rotten.bytes());
        flip(nameless.cid().hash().digest());
        while tier.compact().await.unwrap().more {}
        tier.commit(single(&blocks[3], 3, Durability::Strict)).await.unwrap();
        for tier in [tier, open(&medium).await] {
            let found = held(&tier, &blocks).await;
            let expected = BTreeSet::from([sound, &blocks[3]].map(|block| block.cid().to_string()));
            assert!(found.blocks.keys().eq(&expected), "{:?}", found.blocks.keys());
            assert_eq!(found.roots.len(), 1);
            assert_eq!(tier.usage().await.unwrap().quarantined, 2);
        }
    });
}

/// A folder that takes its time to open files.
struct Slow {
    medium: Rc<Medium>,
    slow: Cell<bool>,
}

#[async_trait(?Send)]
impl Directory for Slow {
    async fn open(&self, name: &str) -> Result<Rc<dyn RandomAccessFile>> {
        let mut waited = !self.slow.get();
        poll_fn(|_| if std::mem::replace(&mut waited, true) { Poll::Ready(()) } else { Poll::Pending }).await;
        self.medium.open(name).await
    }

    async fn list(&self) -> Result<Vec<String>> {
        self.medium.list().await
    }

    async fn remove(&self, name: &str) -> Result<()> {
        self.medium.remove(name).await
    }

    async fn sync(&self) -> Result<()> {
        self.medium.sync().await
    }
}

/// Readers that had looked a block up when it was moved, and come to read it when its segment is gone.
#[test]
fn who_looks_a_block_up_while_it_is_moved_finds_it() {
    let blocks = blocks();
    block_on(async {
        let medium = Rc::new(Medium::new(Dice::new(1)));
        let tier = open(&medium).await;
        tier.commit(Commit { blocks: blocks.clone(), ..Commit::default() }).await.unwrap();
        let keys: Vec<Key> = blocks.iter().filter_map(|block| block::key(block.cid())).collect();
        let (kept, gone) = keys.split_at(4);
        tier.commit(Commit { drop_blocks: gone.to_vec(), ..Commit::default() }).await.unwrap();
        drop(tier);
        let folder = Rc::new(Slow { medium: medium.clone(), slow: Cell::new(false) });
        let tier = try_open(folder.clone()).await.unwrap();
        folder.slow.set(true);
        let (mut get, mut has, mut list) = (tier.get(kept), tier.has(kept), tier.keys(None, 100));
        assert!(poll_immediate(&mut get).await.is_none());
        assert!(poll_immediate(&mut has).await.is_none());
        assert!(poll_immediate(&mut list).await.is_none());
        folder.slow.set(false);
        while tier.compact().await.unwrap().more {}
        let files: BTreeSet<String> = medium.seen.borrow().keys().cloned().collect();
        assert!(!files.contains("segment-00000001"));
        let found = get.await.unwrap();
        for (block, held) in blocks.iter().zip(found) {
            assert_eq!(&held.unwrap().bytes, block.bytes());
        }
        assert_eq!(has.await.unwrap(), [true; 4]);
        assert_eq!(list.await.unwrap().len(), 4);
        assert!(medium.seen.borrow().keys().eq(&files), "a file was made again");
    });
}
