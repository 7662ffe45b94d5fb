//! Where the blocks come from that are sent, and those that are read back.

use std::{
    cell::{Cell, RefCell},
    rc::Rc,
};

use async_trait::async_trait;
use bytes::Bytes;

use super::Shared;
use crate::{
    backend::{Backends, Member, Trouble},
    block::{Block, Cid},
    error::{Error, OfflineReason, Result},
    hash::Hasher,
    remote::Failure,
    storage::fetch::Source,
    unixfs::BlockSource,
};

/// The blocks of one copy, each proven as it comes.
pub struct CopySource {
    pub backends: Rc<Backends>,
    pub member: Rc<Member>,
    pub hasher: Rc<dyn Hasher>,
    pub root: Cid,
    pub state: Bytes,
    /// What came.
    pub read: Cell<(u64, u64)>,
    /// Why a read failed.
    pub trouble: RefCell<Option<Trouble>>,
}

impl CopySource {
    pub fn new(shared: &Shared, member: &Rc<Member>, root: &Cid, state: Bytes) -> Option<Self> {
        Some(CopySource {
            backends: shared.backends()?.clone(),
            member: member.clone(),
            hasher: shared.hasher.clone(),
            root: root.clone(),
            state,
            read: Cell::default(),
            trouble: RefCell::default(),
        })
    }

    /// The backend's name.
    pub fn name(&self) -> &str {
        self.member.name()
    }

    /// Whether the backend is a part of the IPFS network.
    pub fn is_networked(&self) -> bool {
        self.member.backend().is_networked()
    }

    /// Whether it is not to be asked now, for it has failed.
    pub fn rests(&self, now: u64) -> bool {
        self.member.rests(now)
    }

    /// These blocks.
    pub async fn get(&self, cids: &[Cid]) -> Result<Vec<Block>, Trouble> {
        let call = async {
            let came = self.member.backend().blocks(&self.root, &self.state, cids).await?;
            if came.len() != cids.len() {
                return Err(
                    Failure::Broken(format!("{} blocks where it was asked for {}", came.len(), cids.len())).into()
                );
            }
            let claims = cids.iter().cloned().zip(came).collect();
            let mut blocks = Vec::with_capacity(cids.len());
            for proven in Block::verify(self.hasher.as_ref(), claims).await? {
                match proven {
                    Ok(block) => blocks.push(block),
                    Err(Error::Integrity(cid)) => return Err(Failure::Lied(format!("other bytes for {cid}")).into()),
                    Err(error) => return Err(error.into()),
                }
            }
            Ok(blocks)
        };
        let blocks = self.backends.read(&self.member, call).await?;
        let (count, bytes) = self.read.get();
        let came: usize = blocks.iter().map(|block| block.bytes().len()).sum();
        self.read.set((count + blocks.len() as u64, bytes + came as u64));
        self.member.gave(came as u64);
        Ok(blocks)
    }

    /// What a failure of this source, that came as an error, was.
    pub fn trouble(&self, error: Error) -> Trouble {
        self.trouble.take().unwrap_or(Trouble::Here(error))
    }
}

#[async_trait(?Send)]
impl BlockSource for CopySource {
    async fn blocks(&self, cids: &[Cid]) -> Result<Vec<Block>> {
        self.get(cids).await.map_err(|trouble| {
            let error = Error::Io(format!("{} failed: {trouble:?}", self.member.name()));
            self.trouble.replace(Some(trouble));
            error
        })
    }
}

/// What is held here; or else, proven on its way, what other copies have; or else what remotes have.
pub struct Anywhere {
    pub shared: Rc<Shared>,
    pub root: Cid,
    /// For whom it is: its own copy is none to make it of.
    pub member: Rc<Member>,
}

#[async_trait(?Send)]
impl BlockSource for Anywhere {
    async fn blocks(&self, cids: &[Cid]) -> Result<Vec<Block>> {
        let shared = &self.shared;
        let local = Source::new(shared.blocks.clone(), Err(OfflineReason::Requested));
        let error = match local.blocks(cids).await {
            Err(error @ (Error::NotAvailableOffline { .. } | Error::Corrupt { .. })) => error,
            done => return done,
        };
        for copy in shared.copies_of(&self.root).await? {
            if copy.name() != self.member.name()
                && let Ok(blocks) = copy.get(cids).await
            {
                return Ok(blocks);
            }
        }
        if shared.remotes(false).is_err() {
            return Err(error);
        }
        shared.source((&self.root).into(), None, false, None).blocks(cids).await
    }
}
