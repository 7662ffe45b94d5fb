//! A packed store has one owner at a time.

use std::rc::Rc;

use futures_executor::block_on;
use ipfs_kit_storage::{
    Error, Result,
    block::{self, Block},
    hash::CpuHasher,
    tier::{
        Durability, Tier,
        pack::{Limits, OWNER_TIMEOUT, Opening, PackTier},
    },
};

use crate::medium::{Dice, LIMITS, Medium, TestClock, blocks, held, single};

struct Store {
    medium: Rc<Medium>,
    clock: Rc<TestClock>,
    blocks: Vec<Block>,
}

impl Store {
    fn new() -> Store {
        let clock = Rc::new(TestClock::default());
        clock.0.set(1_700_000_000_000);
        Store { medium: Rc::new(Medium::new(Dice::new(1))), clock, blocks: blocks() }
    }

    fn open(&self, take_over: bool, limits: Limits) -> Result<PackTier> {
        let opening = Opening { limits, take_over, ..Opening::default() };
        block_on(PackTier::open_with(self.medium.clone(), Rc::new(CpuHasher), self.clock.clone(), opening))
    }

    fn owner(&self) -> PackTier {
        self.open(false, LIMITS).unwrap()
    }

    fn is_locked(&self) -> bool {
        matches!(self.open(false, LIMITS), Err(Error::Locked(_)))
    }

    fn wait(&self, milliseconds: u64) {
        self.clock.0.set(self.clock.0.get() + milliseconds);
    }

    fn write(&self, tier: &PackTier, number: usize) -> Result<()> {
        block_on(tier.commit(single(&self.blocks[number], 1, Durability::Strict))).map(drop)
    }

    /// What of the store is there, byte by byte, and whose it is.
    fn files(&self) -> Vec<(String, Vec<u8>)> {
        let files = self.medium.seen.borrow();
        files.iter().map(|(name, file)| (name.clone(), file.borrow().seen.clone())).collect()
    }
}

#[test]
fn a_second_opener_is_locked_out_at_once_until_the_owner_leaves() {
    let store = Store::new();
    let owner = store.owner();
    store.write(&owner, 5).unwrap();
    store.wait(3_200);
    let Err(Error::Locked(reason)) = store.open(false, LIMITS) else { panic!("a second owner") };
    assert!(reason.contains("3.2 s ago") && reason.contains("in 7 s"), "{reason}");
    store.write(&owner, 6).unwrap();
    drop(owner);
    let next = store.owner();
    assert_eq!(block_on(held(&next, &store.blocks)).blocks.len(), 2);
}

#[test]
fn an_opening_that_failed_holds_nobody_up_for_long() {
    let store = Store::new();
    store.medium.left.set(12);
    assert!(matches!(store.open(false, LIMITS), Err(Error::Io(_))));
    store.medium.left.set(u64::MAX);
    store.wait(OWNER_TIMEOUT);
    let owner = store.owner();
    assert!(store.is_locked());
    drop(owner);
    store.owner();
}

/// An owner that is called stays the owner; one that has died, or sleeps, does not.
#[test]
fn a_lease_is_renewed_by_calls_and_grows_old_without() {
    let store = Store::new();
    let owner = store.owner();
    let key = block::key(store.blocks[5].cid()).unwrap();
    for second in 0..30 {
        store.wait(1_000);
        if second % 2 == 0 {
            block_on(owner.get(&[key])).unwrap();
        } else {
            store.write(&owner, second).unwrap_or_else(|error| panic!("{second}: {error}"));
        }
        assert!(store.is_locked(), "after {second} s");
        if second > 20 {
            break;
        }
    }
    std::mem::forget(owner);
    store.wait(OWNER_TIMEOUT - 2_001);
    assert!(store.is_locked());
    store.wait(2_001);
    store.owner();
}

#[test]
fn a_clock_that_was_set_back_locks_nobody_out_for_long() {
    let store = Store::new();
    std::mem::forget(store.owner());
    store.clock.0.set(store.clock.0.get() - 1_000_000);
    store.owner();
}

#[test]
fn an_overtaken_owner_cannot_write() {
    let store = Store::new();
    let first = store.owner();
    store.write(&first, 5).unwrap();
    let second = store.open(true, LIMITS).unwrap();
    let before = store.files();
    assert!(matches!(store.write(&first, 6), Err(Error::Locked(_))));
    assert!(matches!(block_on(first.compact()), Err(Error::Locked(_))));
    assert!(store.files() == before, "it has touched something");
    drop(first);
    assert!(store.files() == before, "it has touched something on leaving");
    store.write(&second, 7).unwrap();
}

/// Who took it over, looked and left again, did no harm.
#[test]
fn an_owner_takes_its_lease_back_when_nothing_has_changed() {
    let store = Store::new();
    let first = store.owner();
    store.write(&first, 5).unwrap();
    drop(store.open(true, LIMITS).unwrap());
    store.write(&first, 6).unwrap();
    assert!(store.is_locked());
}

#[test]
fn an_owner_does_not_take_its_lease_back_when_something_has_changed() {
    // A block in the same segment, one in a segment of its own, and nothing but a checkpoint.
    type Change<'a> = &'a dyn Fn(&Store, &PackTier);
    let changes: [Change; 3] =
        [&|store, tier| store.write(tier, 4).unwrap(), &|store, tier| store.write(tier, 23).unwrap(), &|_, tier| {
            while block_on(tier.compact()).unwrap().more {}
        }];
    for (number, change) in changes.iter().enumerate() {
        let store = Store::new();
        let first = store.owner();
        for block in 12..16 {
            store.write(&first, block).unwrap();
        }
        let gone = store.blocks[12..16].iter().filter_map(|block| block::key(block.cid())).collect();
        let commit = ipfs_kit_storage::tier::Commit { drop_blocks: gone, ..Default::default() };
        block_on(first.commit(commit)).unwrap();
        let other = store.open(true, LIMITS).unwrap();
        change(&store, &other);
        drop(other);
        let before = store.files();
        assert!(matches!(store.write(&first, 6), Err(Error::Locked(_))), "change {number}");
        let of_store =
            |files: Vec<(String, Vec<u8>)>| files.into_iter().filter(|(name, _)| name != "owner").collect::<Vec<_>>();
        assert!(of_store(store.files()) == of_store(before), "change {number}: it has touched something");
        assert!(!store.is_locked(), "change {number}: it holds a store that it cannot write");
    }
}
