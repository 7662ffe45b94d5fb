//! A backend that is scripted: it keeps copies in memory, and fails as it is told.

use std::{
    cell::{Cell, RefCell},
    collections::{HashMap, VecDeque},
    rc::Rc,
};

use async_trait::async_trait;
use bytes::Bytes;
use ipfs_kit_storage::{
    Cid,
    backend::{Backend, Feed, Next, Step, Trouble},
    platform::Network,
    remote::Failure,
};

use crate::support::Time;

/// What a step does instead of going well.
#[derive(Debug, Clone, PartialEq)]
pub enum Mood {
    Well,
    Fails(Failure),
    /// It takes the blocks, and the answer is lost.
    Deaf,
    /// It says that it has them, and keeps none.
    Forgets,
    /// It keeps other bytes.
    Garbles,
    /// It never answers.
    Hangs,
}

pub struct Shelf {
    name: String,
    time: Time,
    /// Blocks taken in a step.
    pub step: Cell<usize>,
    /// Milliseconds that a call takes.
    pub slow: Cell<u64>,
    /// Of the next steps; then it is well.
    pub moods: RefCell<VecDeque<Mood>>,
    /// When it is asked for blocks, likewise.
    pub reads: RefCell<VecDeque<Mood>>,
    /// When it is probed,
    pub probe: RefCell<Mood>,
    /// and how often it was.
    pub probed: Cell<usize>,
    pub held: RefCell<HashMap<Cid, HashMap<Cid, Bytes>>>,
    /// What was put, in order.
    pub puts: RefCell<Vec<Cid>>,
    pub asked: RefCell<Vec<Cid>>,
    pub removed: RefCell<Vec<Cid>>,
    /// Calls under way, and the most that ever were.
    pub under_way: Cell<(usize, usize)>,
    /// Milliseconds for which it is at work when it has all of it.
    pub polls: Cell<u32>,
}

impl Shelf {
    pub fn new(name: &str, time: &Time) -> Rc<Self> {
        Rc::new(Shelf {
            name: name.to_owned(),
            time: time.clone(),
            step: Cell::new(4),
            slow: Cell::new(1),
            moods: RefCell::default(),
            reads: RefCell::default(),
            probe: RefCell::new(Mood::Well),
            probed: Cell::new(0),
            held: RefCell::default(),
            puts: RefCell::default(),
            asked: RefCell::default(),
            removed: RefCell::default(),
            under_way: Cell::default(),
            polls: Cell::new(0),
        })
    }

    pub fn next_steps(&self, moods: impl IntoIterator<Item = Mood>) {
        self.moods.borrow_mut().extend(moods);
    }

    pub fn has_all(&self, root: &Cid, blocks: usize) -> bool {
        self.held.borrow().get(root).is_some_and(|copy| copy.len() == blocks)
    }

    async fn busy(&self) -> Busy<'_> {
        let (now, most) = self.under_way.get();
        self.under_way.set((now + 1, most.max(now + 1)));
        let busy = Busy(self);
        self.time.sleep(self.slow.get()).await;
        busy
    }
}

struct Busy<'a>(&'a Shelf);

impl Drop for Busy<'_> {
    fn drop(&mut self) {
        let (now, most) = self.0.under_way.get();
        self.0.under_way.set((now - 1, most));
    }
}

#[async_trait(?Send)]
impl Backend for Shelf {
    fn name(&self) -> &str {
        &self.name
    }

    fn kind(&self) -> &str {
        "shelf"
    }

    async fn probe(&self) -> Result<(), Failure> {
        self.probed.set(self.probed.get() + 1);
        let mood = self.probe.borrow().clone();
        match mood {
            Mood::Fails(failure) => Err(failure),
            Mood::Hangs => std::future::pending().await,
            _ => Ok(()),
        }
    }

    /// The state is the place in the feed, and how often it was asked since it has all.
    async fn put(&self, feed: &mut Feed, state: Option<&Bytes>) -> Result<Step, Trouble> {
        let _busy = self.busy().await;
        let (place, polls): (u64, u32) = state.map(|state| minicbor::decode(state).unwrap()).unwrap_or_default();
        let mood = self.moods.borrow_mut().pop_front().unwrap_or(Mood::Well);
        match &mood {
            Mood::Fails(failure) => return Err(failure.clone().into()),
            Mood::Hangs => std::future::pending().await,
            _ => {}
        }
        feed.seek(place).await?;
        let (mut sent, mut taken) = (0, 0);
        while taken < self.step.get()
            && let Some(block) = feed.next().await?
        {
            taken += 1;
            sent += block.bytes().len() as u64;
            self.puts.borrow_mut().push(block.cid().clone());
            let mut held = self.held.borrow_mut();
            let copy = held.entry(feed.root().clone()).or_default();
            match mood {
                Mood::Forgets => {}
                Mood::Garbles => drop(copy.insert(block.cid().clone(), "other bytes".into())),
                _ => drop(copy.insert(block.cid().clone(), block.bytes().clone())),
            }
        }
        if mood == Mood::Deaf {
            return Err(Failure::Unreachable("the answer was lost".into()).into());
        }
        let next = match taken {
            0 if polls < self.polls.get() => Next::Wait(10_000),
            0 => Next::Stored,
            _ => Next::More,
        };
        let state = minicbor::to_vec((feed.place(), polls + u32::from(taken == 0))).unwrap().into();
        Ok(Step { state, sent, next })
    }

    async fn blocks(&self, root: &Cid, _state: &Bytes, cids: &[Cid]) -> Result<Vec<Bytes>, Failure> {
        let _busy = self.busy().await;
        self.asked.borrow_mut().extend_from_slice(cids);
        let mood = self.reads.borrow_mut().pop_front();
        match mood {
            Some(Mood::Fails(failure)) => return Err(failure),
            Some(Mood::Hangs) => std::future::pending().await,
            Some(Mood::Garbles) => return Ok(cids.iter().map(|_| "other bytes".into()).collect()),
            Some(Mood::Forgets) => return Ok(Vec::new()),
            _ => {}
        }
        let held = self.held.borrow();
        let copy = held.get(root).ok_or(Failure::NotFound)?;
        cids.iter().map(|cid| copy.get(cid).cloned().ok_or(Failure::NotFound)).collect()
    }

    async fn remove(&self, root: &Cid, _state: &Bytes) -> Result<(), Failure> {
        let _busy = self.busy().await;
        let mood = self.moods.borrow_mut().pop_front();
        match mood {
            Some(Mood::Fails(failure)) => return Err(failure),
            _ => self.removed.borrow_mut().push(root.clone()),
        }
        self.held.borrow_mut().remove(root);
        Ok(())
    }

    fn describe(&self, state: &Bytes) -> Vec<(&'static str, String)> {
        let (place, _): (u64, u32) = minicbor::decode(state).unwrap_or_default();
        vec![("place", place.to_string())]
    }
}
