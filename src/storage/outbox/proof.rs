//! Reading a copy back.

use std::{collections::HashMap, rc::Rc};

use super::{Shared, record::Work, rule::ReadBack, source::CopySource};
use crate::{
    backend::{Feed, Member, Trouble},
    block::{Block, Cid},
    dag::{self, is_leaf},
    error::Error,
    remote::Failure,
    unixfs::{BlockSource, one},
};

/// Bytes of a proof of all blocks after which it is noted how far it has come.
const NOTED_BYTES: u64 = 16 * 1024 * 1024;

/// What was read back: blocks and bytes, and whether that was all.
pub struct Evidence {
    pub read: (u64, u64),
    pub all: bool,
}

/// A proof that goes on.
pub struct Proof {
    source: Rc<CopySource>,
    feed: Feed,
    read_back: ReadBack,
}

impl Proof {
    pub fn new(shared: &Shared, member: &Rc<Member>, root: &Cid, work: &Work, read_back: ReadBack) -> Option<Self> {
        let source = Rc::new(CopySource::new(shared, member, root, work.state().unwrap_or_default())?);
        let feed = Feed::new(source.clone(), root.clone());
        let read_back = match read_back {
            // As many ways as that would go through most of it.
            ReadBack::Sample(ways) if (1..=u64::from(ways)).contains(&work.whole.0) => ReadBack::All,
            other => other,
        };
        Some(Proof { source, feed, read_back })
    }

    /// Reads some of it back, and notes how far it has come; at the end what that shows.
    pub async fn step(&mut self, work: &mut Work, seed: u64) -> Result<Option<Evidence>, Trouble> {
        match self.read_back {
            ReadBack::Sample(ways) => self.sample(ways, seed).await.map(Some),
            ReadBack::All => self.all(work).await,
        }
    }

    async fn all(&mut self, work: &mut Work) -> Result<Option<Evidence>, Trouble> {
        let source = self.source.clone();
        let told = |error| source.trouble(error);
        self.feed.seek(work.blocks).await.map_err(told)?;
        let mut bytes = 0;
        while bytes < NOTED_BYTES {
            let Some(block) = self.feed.next().await.map_err(told)? else {
                work.blocks = self.feed.place();
                work.bytes += bytes;
                return Ok(Some(Evidence { read: (work.blocks, work.bytes), all: true }));
            };
            bytes += block.bytes().len() as u64;
        }
        work.blocks = self.feed.place();
        work.bytes += bytes;
        Ok(None)
    }

    /// Ways from the root down, at each node by a link that is left to chance. Nothing need be held here for it.
    async fn sample(&self, ways: u32, seed: u64) -> Result<Evidence, Trouble> {
        let source = &self.source;
        let mut chance = Chance(seed | 1);
        // Nodes come again on each way; what is read of leaves is not kept.
        let mut below: HashMap<Cid, Vec<Cid>> = HashMap::new();
        for _ in 0..ways {
            let mut cid = self.feed.root().clone();
            loop {
                let links = match below.get(&cid) {
                    Some(links) => links,
                    None => {
                        let block = self.read(&cid).await?;
                        let links = if is_leaf(&cid) { Vec::new() } else { dag::links(&block)? };
                        below.entry(cid.clone()).or_insert(links)
                    }
                };
                let Some(next) = chance.one_of(links) else { break };
                cid = next.clone();
            }
        }
        let (blocks, bytes) = source.read.get();
        Ok(Evidence { read: (blocks, bytes), all: false })
    }

    async fn read(&self, cid: &Cid) -> Result<Block, Trouble> {
        if let Some(inline) = Block::inline(cid.clone()) {
            return Ok(inline);
        }
        let told = |error: Error| self.source.trouble(error);
        let blocks = self.source.blocks(std::slice::from_ref(cid)).await.map_err(told)?;
        one(blocks, cid)
            .map_err(|_| Failure::Broken("it gave another number of blocks than it was asked for".into()).into())
    }
}

/// Chance enough that nobody is asked for the same blocks each time.
struct Chance(u64);

impl Chance {
    fn one_of<'a, T>(&mut self, all: &'a [T]) -> Option<&'a T> {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        let at = self.0.wrapping_mul(0x2545_f491_4f6c_dd1d).checked_rem(all.len() as u64)?;
        all.get(at as usize)
    }
}
