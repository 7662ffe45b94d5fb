//! Finding things in the tree, and changing it: a plan of changes goes down, and new directories come up.

use std::collections::BTreeMap;

use futures_util::future::LocalBoxFuture;

use super::{
    path::{Names, text},
    source::TreeSource,
};
use crate::{
    block::{Block, Cid, Codec},
    dag::pb::{Link, Node},
    error::{Error, Result},
    hash::Hasher,
    unixfs::{BlockSink, BlockSource, Edit, EntryKind, Inspected, Layout, Target, find, inspect},
};

/// The tree under one root.
pub struct Tree<'a> {
    pub source: TreeSource,
    pub hasher: &'a dyn Hasher,
    pub layout: Layout,
    /// None: it is empty.
    pub root: Option<Cid>,
}

/// Something in the tree.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Found {
    /// A directory of which there is nothing yet: the root of an empty tree.
    Empty,
    Entry(Target),
}

/// What becomes of a directory.
#[derive(Default)]
pub struct Plan(BTreeMap<String, Step>);

enum Step {
    Set(Target),
    Remove,
    Below(Plan),
}

impl Plan {
    /// Has a path lead to something, or to nothing. What is on the way becomes a directory, if there is nothing yet.
    pub fn set(&mut self, names: &[String], target: Option<Target>) {
        let Some((first, rest)) = names.split_first() else { return };
        if rest.is_empty() {
            self.0.insert(first.clone(), target.map_or(Step::Remove, Step::Set));
            return;
        }
        let step = self.0.entry(first.clone()).or_insert_with(|| Step::Below(Plan::default()));
        if let Step::Below(below) = step {
            below.set(rest, target);
        }
    }
}

impl Tree<'_> {
    /// What a path leads to, if it leads to anything.
    pub async fn find(&self, names: &[String]) -> Result<Option<Found>> {
        let Some(root) = &self.root else { return Ok(names.is_empty().then_some(Found::Empty)) };
        let mut here = Target { cid: root.clone(), tsize: 0 };
        for name in names {
            match self.entry(&here.cid, name).await? {
                Some(found) => here = found,
                None => return Ok(None),
            }
        }
        Ok(Some(Found::Entry(here)))
    }

    async fn entry(&self, directory: &Cid, name: &str) -> Result<Option<Target>> {
        let found = find(&self.source, directory, name).await?;
        Ok(found.map(|Link { cid, tsize, .. }| Target { cid, tsize: tsize.unwrap_or_default() }))
    }

    /// The same of what must be there.
    pub async fn get(&self, names: &[String]) -> Result<Found> {
        self.find(names).await?.ok_or_else(|| Error::NoEntry(text(names)))
    }

    /// What something is, by its root block.
    pub async fn inspect(&self, cid: &Cid) -> Result<(Inspected, Block)> {
        let block = self.source.blocks(std::slice::from_ref(cid)).await?.pop();
        let block = block.ok_or_else(|| Error::corrupt(cid.clone(), "the source gave no block"))?;
        Ok((inspect(&block)?, block))
    }

    /// Bytes of all blocks of something, as its root block has it.
    pub async fn size_of(&self, cid: &Cid) -> Result<u64> {
        let (_, block) = self.inspect(cid).await?;
        let own = block.bytes().len() as u64;
        match Codec::of(cid)? {
            Codec::DagPb => {
                let node = Node::decode(block.bytes()).map_err(|wrong| Error::Unsupported(wrong.0.into()))?;
                Ok(node.links.iter().filter_map(|link| link.tsize).fold(own, u64::saturating_add))
            }
            _ => Ok(own),
        }
    }

    /// The same, for a link to it: 0 if its root block is not to be had, for then nobody can tell.
    pub async fn known_size_of(&self, cid: &Cid) -> Result<u64> {
        match self.size_of(cid).await {
            Err(Error::NotAvailableOffline { .. } | Error::Unavailable { .. }) => Ok(0),
            size => size,
        }
    }

    pub async fn is_directory(&self, found: &Found) -> Result<bool> {
        match found {
            Found::Empty => Ok(true),
            Found::Entry(target) => Ok(self.inspect(&target.cid).await?.0.kind == EntryKind::Directory),
        }
    }

    /// Proves that something can be put at a path: that what is above it is a directory, or may be made.
    pub async fn check_parent(&self, parent: &[String], make: bool) -> Result<()> {
        match self.find(parent).await? {
            None if make => Ok(()),
            None => Err(Error::NoEntry(text(parent))),
            Some(found) if self.is_directory(&found).await? => Ok(()),
            Some(_) => Err(no_directory(parent)),
        }
    }

    /// Where something goes that is to have this path: below it, where there is a directory or must be one.
    pub async fn destination(&self, to: &Names, name: &str, into: bool) -> Result<Vec<String>> {
        let below = match self.find(&to.names).await? {
            _ if to.slash || to.names.is_empty() => true,
            Some(found) if into => self.is_directory(&found).await?,
            _ => false,
        };
        Ok(if below { to.clone().join(name).names } else { to.names.clone() })
    }

    /// The root after these changes.
    pub async fn apply(&self, sink: &mut dyn BlockSink, plan: Plan) -> Result<Target> {
        self.directory(sink, self.root.clone(), plan).await
    }

    fn directory<'a>(
        &'a self,
        sink: &'a mut dyn BlockSink,
        from: Option<Cid>,
        Plan(steps): Plan,
    ) -> LocalBoxFuture<'a, Result<Target>> {
        Box::pin(async move {
            let mut changes = BTreeMap::new();
            for (name, step) in steps {
                let target = match step {
                    Step::Set(target) => Some(target),
                    Step::Remove => None,
                    Step::Below(plan) => {
                        let below = match &from {
                            Some(from) => self.entry(from, &name).await?,
                            None => None,
                        };
                        Some(self.directory(sink, below.map(|below| below.cid), plan).await?)
                    }
                };
                changes.insert(name, target);
            }
            let edit = Edit { source: &self.source, hasher: self.hasher, layout: self.layout };
            edit.directory(sink, from, None, changes).await
        })
    }
}

fn no_directory(names: &[String]) -> Error {
    Error::InvalidArgument(format!("{} is no directory", text(names)))
}
