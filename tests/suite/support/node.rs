//! A node that is scripted: it gives, takes and pins, over an origin's blocks, and fails as it is told.

use std::{
    cell::{Cell, RefCell},
    collections::HashSet,
    rc::Rc,
};

use async_trait::async_trait;
use bytes::Bytes;
use ipfs_kit_storage::{
    Block, Cid, Path, block,
    platform::http::Body,
    remote::{Failure, Remote, Scope, Wanted, Whole},
    tier::{Commit, Tier},
};

use super::{Origin, archive};

/// What it does with what it is given.
#[derive(Debug, Clone, PartialEq)]
pub enum Mood {
    Well,
    /// To puts.
    Fails(Failure),
    /// To puts: it says that it has them.
    Forgets,
    /// To pins: it says that it has pinned.
    PinsNothing,
}

pub struct Node {
    pub origin: Rc<Origin>,
    pub name: String,
    pub mood: RefCell<Mood>,
    /// After so many puts it is well again.
    pub moody: Cell<usize>,
    pub pins: RefCell<HashSet<Cid>>,
    /// Of each put how many blocks it held, and their bytes.
    pub puts: RefCell<Vec<(usize, usize)>>,
}

impl Node {
    pub fn new(origin: Rc<Origin>, name: &str) -> Rc<Self> {
        Rc::new(Node {
            origin,
            name: name.to_owned(),
            mood: RefCell::new(Mood::Well),
            moody: Cell::new(usize::MAX),
            pins: RefCell::default(),
            puts: RefCell::default(),
        })
    }

    pub fn is(&self, mood: Mood, times: usize) {
        self.mood.replace(mood);
        self.moody.set(times);
    }
}

struct Pieces(std::vec::IntoIter<Bytes>);

#[async_trait(?Send)]
impl Body for Pieces {
    async fn next(&mut self) -> Result<Option<Bytes>, Failure> {
        Ok(self.0.next())
    }
}

#[async_trait(?Send)]
impl Remote for Node {
    fn name(&self) -> &str {
        &self.name
    }

    fn kind(&self) -> &str {
        "node"
    }

    async fn probe(&self) -> Result<(), Failure> {
        Ok(())
    }

    async fn block(&self, cid: &Cid) -> Result<Box<dyn Body>, Failure> {
        let bytes = self.origin.block(cid).await.ok_or(Failure::NotFound)?;
        Ok(Box::new(Whole::from(bytes)))
    }

    async fn car(&self, wanted: &Wanted) -> Result<Box<dyn Body>, Failure> {
        let path =
            Path::new(wanted.cid.clone(), wanted.path.clone()).map_err(|error| Failure::Refused(error.to_string()))?;
        let blocks = match &wanted.scope {
            Scope::All if !wanted.path.is_empty() => return Err(Failure::Unsupported("all along a path".into())),
            Scope::All => self.origin.dag(wanted.cid.clone()).await,
            Scope::Bytes(range) => self.origin.entity(&path, range.clone()).await,
        };
        let bytes = archive(&blocks.ok_or(Failure::NotFound)?);
        let pieces: Vec<Bytes> = bytes.chunks(10_000).map(Bytes::copy_from_slice).collect();
        Ok(Box::new(Pieces(pieces.into_iter())))
    }

    async fn put(&self, blocks: &[Block]) -> Result<(), Failure> {
        let bytes = blocks.iter().map(|block| block.bytes().len()).sum();
        self.puts.borrow_mut().push((blocks.len(), bytes));
        let mood = if self.moody.get() == 0 { Mood::Well } else { self.mood.borrow().clone() };
        self.moody.set(self.moody.get().saturating_sub(1));
        match mood {
            Mood::Fails(failure) => return Err(failure),
            Mood::Forgets => return Ok(()),
            _ => {}
        }
        let blocks = blocks.iter().filter(|one| block::key(one.cid()).is_some()).cloned().collect();
        let taken = self.origin.tier.commit(Commit { blocks, ..Commit::default() }).await;
        taken.map(drop).map_err(|error| Failure::Unreachable(error.to_string()))
    }

    async fn pin(&self, cid: &Cid) -> Result<(), Failure> {
        if *self.mood.borrow() == Mood::PinsNothing {
            return Ok(());
        }
        self.origin.dag(cid.clone()).await.ok_or(Failure::NotFound)?;
        self.pins.borrow_mut().insert(cid.clone());
        Ok(())
    }

    async fn unpin(&self, cid: &Cid) -> Result<(), Failure> {
        self.pins.borrow_mut().remove(cid);
        Ok(())
    }

    async fn is_pinned(&self, cid: &Cid) -> Result<bool, Failure> {
        Ok(self.pins.borrow().contains(cid))
    }
}
