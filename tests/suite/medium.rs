//! A medium whose power can be cut, and what a packed store on it must hold.
//!
//! It keeps what was synced. Of the writes after that, a cut keeps a random part: any of them may be missing, as if others
//! had overtaken it, and any may be torn. Files whose creation or removal was not synced may be there or not.

use std::{
    cell::{Cell, RefCell},
    collections::{BTreeMap, BTreeSet},
    rc::Rc,
};

use async_trait::async_trait;
use bytes::Bytes;
use futures_executor::block_on;
use ipfs_kit_storage::{
    Error, Result,
    block::{self, Block, Cid},
    hash::{CpuHasher, HashFunction},
    platform::{
        Clock,
        files::{Directory, RandomAccessFile},
    },
    tier::{
        Commit, Compacted, Durability, Held, Pin, Root, Tier, conformance,
        pack::{Limits, Opening, PackTier},
    },
};

/// Small enough that each history goes through checkpoints and several segments.
pub const LIMITS: Limits = Limits {
    segment_bytes: 6_000,
    checkpoint_bytes: 3_000,
    checkpoint_frames: 12,
    step_bytes: 700,
    worthwhile_bytes: 200,
};

/// A generator of the test's own, so that a seed printed today gives the same history tomorrow.
#[derive(Clone)]
pub struct Dice(Rc<Cell<u64>>);

impl Dice {
    pub fn new(seed: u64) -> Self {
        Dice(Rc::new(Cell::new(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ 0x5851_f42d_4c95_7f2d)))
    }

    pub fn below(&self, bound: u64) -> u64 {
        let mut state = self.0.get();
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        self.0.set(state);
        (state.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33) % bound
    }
}

pub enum Change {
    Write(u64, Vec<u8>),
    Length(u64),
}

#[derive(Default)]
pub struct File {
    durable: Vec<u8>,
    pub seen: Vec<u8>,
    unsynced: Vec<Change>,
}

impl Change {
    fn apply(&self, to: &mut Vec<u8>) {
        match self {
            Change::Write(at, bytes) => {
                let end = *at as usize + bytes.len();
                if to.len() < end {
                    to.resize(end, 0);
                }
                to[*at as usize..end].copy_from_slice(bytes);
            }
            Change::Length(length) => to.resize(*length as usize, 0),
        }
    }
}

pub type Files = BTreeMap<String, Rc<RefCell<File>>>;

pub fn bytes_of(files: &Files) -> u64 {
    // What says who owns the store is no part of it.
    let of_store = files.iter().filter(|(name, _)| *name != "owner");
    of_store.map(|(_, file)| file.borrow().seen.len() as u64).sum()
}

/// A folder on a medium whose power can be cut.
pub struct Medium {
    pub seen: Rc<RefCell<Files>>,
    durable: RefCell<Files>,
    /// The most bytes that there were at once.
    pub peak: Rc<Cell<u64>>,
    /// The most bytes that there may be.
    pub room: Rc<Cell<u64>>,
    /// Calls until the power goes; none left: every call fails.
    pub left: Rc<Cell<u64>>,
    dice: Dice,
}

pub struct Handle {
    file: Rc<RefCell<File>>,
    files: Rc<RefCell<Files>>,
    peak: Rc<Cell<u64>>,
    room: Rc<Cell<u64>>,
    left: Rc<Cell<u64>>,
    dice: Dice,
}

pub fn spend(left: &Cell<u64>) -> Result<()> {
    match left.get() {
        0 => Err(Error::Io("the power is off".into())),
        calls => {
            left.set(calls - 1);
            Ok(())
        }
    }
}

impl Medium {
    pub fn new(dice: Dice) -> Self {
        let left = Rc::new(Cell::new(u64::MAX));
        Medium {
            seen: Rc::default(),
            durable: RefCell::default(),
            peak: Rc::default(),
            room: Rc::new(Cell::new(u64::MAX)),
            left,
            dice,
        }
    }

    pub fn bytes(&self) -> u64 {
        bytes_of(&self.seen.borrow())
    }

    /// What is left when the power comes back.
    pub fn after_cut(&self) -> Medium {
        let (seen, durable) = (self.seen.borrow(), self.durable.borrow());
        let names: BTreeSet<&String> = seen.keys().chain(durable.keys()).collect();
        let mut files = Files::new();
        for name in names {
            let file = match (seen.get(name), durable.get(name)) {
                (Some(file), Some(_)) => file,
                // Created or removed, and the folder not synced since.
                (Some(file), None) | (None, Some(file)) if self.dice.below(2) == 0 => file,
                _ => continue,
            };
            let file = file.borrow();
            let mut content = file.durable.clone();
            for change in &file.unsynced {
                match (self.dice.below(5), change) {
                    (0, _) => {}
                    (2, Change::Write(at, bytes)) => {
                        // Its pages were written in no order, and some of them not.
                        let from = self.dice.below(bytes.len() as u64 + 1) as usize;
                        let to = from + self.dice.below((bytes.len() - from) as u64 + 1) as usize;
                        Change::Write(*at, bytes[..from].to_vec()).apply(&mut content);
                        Change::Write(*at + to as u64, bytes[to..].to_vec()).apply(&mut content);
                    }
                    (1, Change::Write(at, bytes)) => {
                        let torn = self.dice.below(bytes.len() as u64 + 1) as usize;
                        Change::Write(*at, bytes[..torn].to_vec()).apply(&mut content);
                    }
                    _ => change.apply(&mut content),
                }
            }
            let kept = File { durable: content.clone(), seen: content, unsynced: Vec::new() };
            files.insert(name.clone(), Rc::new(RefCell::new(kept)));
        }
        let medium = Medium::new(self.dice.clone());
        medium.durable.replace(files.clone());
        medium.seen.replace(files);
        medium
    }
}

#[async_trait(?Send)]
impl Directory for Medium {
    async fn open(&self, name: &str) -> Result<Rc<dyn RandomAccessFile>> {
        spend(&self.left)?;
        let file = self.seen.borrow_mut().entry(name.to_owned()).or_default().clone();
        let (files, peak, room) = (self.seen.clone(), self.peak.clone(), self.room.clone());
        Ok(Rc::new(Handle { file, files, peak, room, left: self.left.clone(), dice: self.dice.clone() }))
    }

    async fn list(&self) -> Result<Vec<String>> {
        spend(&self.left)?;
        Ok(self.seen.borrow().keys().cloned().collect())
    }

    async fn remove(&self, name: &str) -> Result<()> {
        spend(&self.left)?;
        self.seen.borrow_mut().remove(name);
        Ok(())
    }

    async fn sync(&self) -> Result<()> {
        spend(&self.left)?;
        self.durable.replace(self.seen.borrow().clone());
        Ok(())
    }
}

impl Handle {
    fn change(&self, change: Change) {
        {
            let mut file = self.file.borrow_mut();
            change.apply(&mut file.seen);
            file.unsynced.push(change);
        }
        self.peak.set(self.peak.get().max(bytes_of(&self.files.borrow())));
    }
}

impl RandomAccessFile for Handle {
    fn len(&self) -> Result<u64> {
        spend(&self.left)?;
        Ok(self.file.borrow().seen.len() as u64)
    }

    fn read_at(&self, offset: u64, length: usize) -> Result<Vec<u8>> {
        spend(&self.left)?;
        let file = self.file.borrow();
        let from = (offset as usize).min(file.seen.len());
        let to = (from + length).min(file.seen.len());
        Ok(file.seen[from..to].to_vec())
    }

    fn write_at(&self, offset: u64, bytes: &[u8]) -> Result<()> {
        if spend(&self.left).is_err() {
            // The power goes in the midst of it.
            let torn = self.dice.below(bytes.len() as u64 + 1) as usize;
            self.change(Change::Write(offset, bytes[..torn].to_vec()));
            return Err(Error::Io("the power went".into()));
        }
        let growth = (offset + bytes.len() as u64).saturating_sub(self.file.borrow().seen.len() as u64);
        if bytes_of(&self.files.borrow()) + growth > self.room.get() {
            return Err(Error::QuotaExceeded { needed: growth, limit: self.room.get() });
        }
        self.change(Change::Write(offset, bytes.to_vec()));
        Ok(())
    }

    fn set_len(&self, length: u64) -> Result<()> {
        spend(&self.left)?;
        self.change(Change::Length(length));
        Ok(())
    }

    fn sync(&self) -> Result<()> {
        spend(&self.left)?;
        let mut file = self.file.borrow_mut();
        file.durable = file.seen.clone();
        file.unsynced.clear();
        Ok(())
    }
}

/// What the store must hold.
#[derive(Clone, Default, PartialEq, Debug)]
pub struct Model {
    pub roots: BTreeMap<String, Option<String>>,
    pub pins: BTreeMap<String, Pin>,
    pub notes: BTreeMap<String, Bytes>,
    pub blocks: BTreeMap<String, Bytes>,
}

/// The blocks that histories are made of: few, so that they meet again.
pub fn blocks() -> Vec<Block> {
    let parts = (0..24u64).map(|n| conformance::noise(n + 1, (n * n * 9) as usize)).collect();
    block_on(conformance::blocks_of(HashFunction::Sha2_256, parts))
}

pub fn root(cid: &Cid, name: u64) -> Root {
    Root {
        cid: cid.clone(),
        filename: Some(format!("name {name}")),
        size: name,
        modified: name,
        profile: None,
        kind: None,
    }
}

pub async fn held(tier: &PackTier, blocks: &[Block]) -> Model {
    let mut model = Model::default();
    for stored in tier.roots(None, 1000).await.unwrap() {
        model.roots.insert(stored.root.cid.to_string(), stored.root.filename);
    }
    for pin in tier.pins(None, 1000).await.unwrap() {
        model.pins.insert(pin.cid.to_string(), pin);
    }
    model.notes.extend(tier.notes("", None, 1000).await.unwrap());
    for block in blocks {
        let key = block::key(block.cid()).unwrap();
        let (got, has) = (tier.get(&[key]).await.unwrap().remove(0), tier.has(&[key]).await.unwrap()[0]);
        assert_eq!(got.is_some(), has);
        if let Some(Held { bytes, .. }) = got {
            assert_eq!(&bytes, block.bytes(), "a block came back damaged");
            model.blocks.insert(block.cid().to_string(), bytes);
        }
    }
    let usage = tier.usage().await.unwrap();
    assert_eq!(usage.blocks, model.blocks.len() as u64);
    assert_eq!(usage.bytes, model.blocks.values().map(|bytes| bytes.len() as u64).sum::<u64>());
    model
}

/// More than a compacted store takes: twice its live frames, what is not worth the work, and two checkpoints, of which the
/// older may be twice the newer one.
pub async fn bound(tier: &PackTier) -> u64 {
    let usage = tier.usage().await.unwrap();
    let frames = usage.bytes + usage.blocks * 46;
    let index = 200 + usage.blocks * 20 + usage.roots * 80 + usage.pinned * 120;
    2 * frames + 3 * LIMITS.worthwhile_bytes + 3 * index
}

pub fn single(block: &Block, name: u64, durability: Durability) -> Commit {
    Commit { blocks: vec![block.clone()], set_roots: vec![root(block.cid(), name)], durability, ..Commit::default() }
}

/// A clock that the test moves.
#[derive(Default)]
pub struct TestClock(pub Cell<u64>);

impl Clock for TestClock {
    fn now(&self) -> u64 {
        self.0.get()
    }
}

/// Opens a store in its turn: the owner before is gone, well or not.
pub async fn try_open(folder: Rc<dyn Directory>) -> Result<PackTier> {
    let opening = Opening { limits: LIMITS, take_over: true, ..Opening::default() };
    PackTier::open_with(folder, Rc::new(CpuHasher), Rc::new(TestClock::default()), opening).await
}

pub async fn open(medium: &Rc<Medium>) -> PackTier {
    try_open(medium.clone()).await.unwrap()
}

/// Compacts all there is, and looks at what is left.
pub async fn compact(tier: &PackTier, medium: &Medium, tally: &mut Tally) {
    while tally.count(tier.compact().await.unwrap()) {}
    let stored = tier.usage().await.unwrap().stored;
    assert_eq!(stored, medium.bytes());
    assert!(stored <= bound(tier).await, "{stored} bytes of {:?}", tier.usage().await);
}

/// What the histories came to.
#[derive(Default, Debug)]
pub struct Tally {
    pub cuts: u64,
    /// Cuts in a step of a compaction,
    pub in_steps: u64,
    /// or between two of them.
    pub between_steps: u64,
    pub moved: u64,
    pub freed: u64,
}

impl Tally {
    pub fn count(&mut self, done: Compacted) -> bool {
        self.moved += done.moved;
        self.freed += done.freed;
        done.more
    }
}
