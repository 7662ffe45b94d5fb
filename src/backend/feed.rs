//! The blocks of a DAG in the order in which they are given to backends: depth first, a node before what is below it, each
//! once. So a place in it is a number, and whoever was broken off goes on from there.

use std::{
    collections::{HashSet, VecDeque},
    rc::Rc,
};

use crate::{
    block::{Block, Cid},
    car,
    dag::{self, is_leaf, mark},
    error::{Error, Result},
    unixfs::{BlockSource, one},
};

/// Leaves read at once.
const LEAVES_AT_ONCE: usize = 8;

/// The blocks of a DAG, one after the other.
pub struct Feed {
    source: Rc<dyn BlockSource>,
    root: Cid,
    /// The next is last.
    stack: Vec<Cid>,
    seen: HashSet<[u8; 20]>,
    place: u64,
    ready: VecDeque<Block>,
}

impl Feed {
    /// From the beginning.
    pub fn new(source: Rc<dyn BlockSource>, root: Cid) -> Self {
        let stack = vec![root.clone()];
        Feed { source, root, stack, seen: HashSet::new(), place: 0, ready: VecDeque::new() }
    }

    /// What is below this.
    pub fn root(&self) -> &Cid {
        &self.root
    }

    /// How many blocks have been given.
    pub fn place(&self) -> u64 {
        self.place
    }

    /// Goes to a place. Of what lies before it only nodes are read.
    pub async fn seek(&mut self, place: u64) -> Result<()> {
        if place < self.place {
            *self = Feed::new(self.source.clone(), self.root.clone());
        }
        while self.place < place {
            if self.ready.pop_front().is_none() && self.pass().await?.is_none() {
                return Ok(());
            }
            self.place += 1;
        }
        Ok(())
    }

    /// Which blocks come next, so many at most. None is given, and only nodes are read.
    pub async fn ahead(&self, count: usize) -> Result<Vec<Cid>> {
        let mut cids: Vec<Cid> = self.ready.iter().map(|block| block.cid().clone()).take(count).collect();
        let mut onward = Feed::new(self.source.clone(), self.root.clone());
        (onward.stack, onward.seen) = (self.stack.clone(), self.seen.clone());
        while cids.len() < count
            && let Some(cid) = onward.pass().await?
        {
            cids.push(cid);
        }
        Ok(cids)
    }

    /// The next block, which is not given yet; none at the end.
    pub async fn peek(&mut self) -> Result<Option<&Block>> {
        if self.ready.is_empty() {
            self.read().await?;
        }
        Ok(self.ready.front())
    }

    /// The next block; none at the end.
    pub async fn next(&mut self) -> Result<Option<Block>> {
        self.peek().await?;
        let next = self.ready.pop_front();
        self.place += u64::from(next.is_some());
        Ok(next)
    }

    /// The next blocks as an archive, up to the one that brings it to so many bytes; none at the end.
    pub async fn archive(&mut self, bytes: usize) -> Result<Option<Vec<u8>>> {
        let mut archive = None;
        while archive.as_ref().is_none_or(|archive: &Vec<u8>| archive.len() < bytes)
            && let Some(block) = self.next().await?
        {
            let archive = archive.get_or_insert_with(|| car::header(std::slice::from_ref(&self.root)));
            archive.extend(car::section_head(block.cid(), block.bytes().len()));
            archive.extend_from_slice(block.bytes());
        }
        Ok(archive)
    }

    /// Goes past the next one, of which only a node is read.
    async fn pass(&mut self) -> Result<Option<Cid>> {
        let Some(cid) = self.next_cid() else { return Ok(None) };
        if !is_leaf(&cid) {
            let block = one(self.source.blocks(std::slice::from_ref(&cid)).await?, &cid)?;
            self.descend(&block)?;
        }
        Ok(Some(cid))
    }

    async fn read(&mut self) -> Result<()> {
        let Some(first) = self.next_cid() else { return Ok(()) };
        let mut cids = vec![first];
        while cids.len() < LEAVES_AT_ONCE && cids.last().is_some_and(is_leaf) && self.stack.last().is_some_and(is_leaf)
        {
            cids.extend(self.next_cid());
        }
        let blocks = self.source.blocks(&cids).await?;
        if blocks.len() != cids.len() {
            return Err(Error::Io("a source of blocks gave fewer than it was asked for".into()));
        }
        for block in blocks {
            self.descend(&block)?;
            self.ready.push_back(block);
        }
        Ok(())
    }

    /// The next one that was not there before. Those that carry their bytes in themselves are not given, only followed.
    fn next_cid(&mut self) -> Option<Cid> {
        loop {
            let cid = self.stack.pop()?;
            match Block::inline(cid.clone()) {
                // One that cannot be followed has nothing to give either.
                Some(inline) => drop(self.descend(&inline)),
                None if self.seen.insert(mark(&cid)) => return Some(cid),
                None => {}
            }
        }
    }

    fn descend(&mut self, block: &Block) -> Result<()> {
        if !is_leaf(block.cid()) {
            self.stack.extend(dag::links(block)?.into_iter().rev());
        }
        Ok(())
    }
}
