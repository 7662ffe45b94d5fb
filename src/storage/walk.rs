//! Walking DAGs, for all that asks what is reachable.

use std::{collections::HashSet, mem};

use super::{Shared, fetch::Source};
pub use crate::dag::{is_leaf, mark};
use crate::{
    block::{self, Block, Cid},
    dag,
    error::{Error, Result},
    unixfs::BlockSource,
};

/// Nodes read at once.
const NODES_AT_ONCE: usize = 16;

/// How much of a DAG could be walked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub enum Walked {
    /// All of it.
    #[default]
    Whole,
    /// Some nodes below its root are not held.
    Below,
    /// Its root is not held.
    Missing,
    /// Some are held, and cannot be read.
    Unreadable,
}

/// A walk through what is held here of one DAG after another, each node once, some nodes a step.
#[derive(Default)]
pub struct Walk {
    stack: Vec<Cid>,
    seen: HashSet<[u8; 20]>,
    root: Option<Cid>,
    walked: Walked,
}

impl Walk {
    /// Goes on with another DAG; what was seen before is not visited again.
    pub fn begin(&mut self, root: &Cid) {
        self.stack.push(root.clone());
        self.root = Some(root.clone());
        self.walked = Walked::Whole;
    }

    /// A step: visits some blocks. Tells at the end how much could be walked. Leaves may come more than once.
    pub async fn step(&mut self, shared: &Shared, visit: &mut dyn FnMut(&Cid)) -> Result<Option<Walked>> {
        let mut nodes = Vec::new();
        while let Some(cid) = self.stack.pop() {
            visit(&cid);
            if !is_leaf(&cid) && !self.seen.contains(&mark(&cid)) {
                nodes.push(cid);
                if nodes.len() == NODES_AT_ONCE {
                    break;
                }
            }
        }
        if nodes.is_empty() {
            return Ok(Some(mem::take(&mut self.walked)));
        }
        match shared.blocks.blocks(&nodes).await {
            Ok(blocks) => blocks.iter().for_each(|block| self.descend(block)),
            // One of them stands in the way: each by itself.
            Err(_) => {
                for node in nodes {
                    match shared.blocks.blocks(std::slice::from_ref(&node)).await {
                        Ok(block) => block.iter().for_each(|block| self.descend(block)),
                        Err(Error::NotAvailableOffline { .. }) => {
                            let missing = if self.root == Some(node) { Walked::Missing } else { Walked::Below };
                            self.walked = self.walked.max(missing);
                        }
                        Err(Error::Corrupt { .. }) => self.walked = Walked::Unreadable,
                        Err(error) => return Err(error),
                    }
                }
            }
        }
        Ok(None)
    }

    /// A node that could not be read is not noted as seen: the next DAG that needs it fails as well.
    fn descend(&mut self, block: &Block) {
        match dag::links(block) {
            Ok(links) => {
                self.seen.insert(mark(block.cid()));
                self.stack.extend(links.into_iter().rev());
            }
            Err(_) => self.walked = Walked::Unreadable,
        }
    }
}

/// Visits the part of a DAG that is held, each node once; leaves may come more than once.
pub async fn walk_held(shared: &Shared, root: &Cid, visit: &mut dyn FnMut(&Cid)) -> Result<Walked> {
    let mut walk = Walk::default();
    walk.begin(root);
    loop {
        if let Some(walked) = walk.step(shared, visit).await? {
            return Ok(walked);
        }
    }
}

/// Goes through a DAG of which everything must be held, or be fetched.
pub async fn walk_all(source: &Source, root: &Cid) -> Result<()> {
    let mut seen = HashSet::new();
    let mut stack = vec![root.clone()];
    source.ensure(&stack).await?;
    while let Some(cid) = stack.pop() {
        if is_leaf(&cid) || !seen.insert(cid.clone()) {
            continue;
        }
        let below = source.blocks(std::slice::from_ref(&cid)).await?.first().map_or(Ok(Vec::new()), dag::links)?;
        if let Some((foreign, Err(why))) =
            below.iter().map(|below| (below, block::check(below))).find(|(_, known)| known.is_err())
        {
            return Err(Error::Unsupported(format!(
                "{cid} links to {foreign}, and so not all of it can be had: {why}"
            )));
        }
        source.ensure_below(cid, &below).await?;
        stack.extend(below.into_iter().rev());
    }
    Ok(())
}
