//! The second part of a check: what roots and pins need is walked, and compared with what is held and recorded.

use std::collections::{HashSet, VecDeque, hash_map::Entry};

use super::{Block, Check, FETCHED_IN_STEP, Fault, Finding, Phase, STEP_BLOCKS, STEP_BYTES, UNKNOWN, mark};
use crate::{
    block::{self, Cid},
    dag,
    error::{Error, Result},
    storage::{
        keepers::{Keeper, Keepers},
        walk::is_leaf,
    },
    tier::Pin,
    unixfs::BlockSource,
};

/// Of the missing blocks of a root so many are named.
const SOME: usize = 8;

/// Roots and pins, one after another.
#[derive(Default)]
pub(super) struct Walk {
    keepers: Keepers,
    page: VecDeque<Keeper>,
    /// Pins that were walked.
    pinned: HashSet<Cid>,
    /// How many were begun.
    number: u32,
    current: Option<Dag>,
    /// Some of what is reachable is not known.
    blind: bool,
}

/// What one of them keeps, as far as it is walked.
struct Dag {
    keeper: Keeper,
    /// Its pin, if a size is recorded with that.
    pin: Option<Pin>,
    stack: Vec<Cid>,
    /// Nodes that were read.
    nodes: HashSet<(u64, u64)>,
    /// What was not held when it was looked for, and is to be looked for again.
    absent: Vec<Cid>,
    /// What is missing, or was.
    missed: HashSet<u64>,
    blocks: u64,
    /// None when the length of one is not known.
    bytes: Option<u64>,
    lost: Finding,
    /// Below some of its nodes nothing is known.
    blind: bool,
}

impl Dag {
    fn new(keeper: Keeper, pin: Option<Pin>) -> Self {
        let lost = Finding {
            fault: Fault::Missing,
            cid: Some(keeper.cid.clone()),
            found: 0,
            repaired: 0,
            some: Vec::new(),
            detail: String::new(),
        };
        Dag {
            stack: vec![keeper.cid.clone()],
            keeper,
            pin,
            nodes: HashSet::new(),
            absent: Vec::new(),
            missed: HashSet::new(),
            blocks: 0,
            bytes: Some(0),
            lost,
            blind: false,
        }
    }

    /// Whether there is nothing to be read in it.
    fn is_leaf(&self, cid: &Cid) -> bool {
        !self.keeper.recursive || is_leaf(cid)
    }

    fn count(&mut self, length: u32) {
        self.blocks += 1;
        self.bytes = self.bytes.filter(|_| length != UNKNOWN).map(|bytes| bytes + u64::from(length));
    }
}

impl Check {
    pub(super) async fn walk(&mut self) -> Result<()> {
        let (mut bytes, mut looked) = (0, 0);
        while bytes < STEP_BYTES && looked < STEP_BLOCKS {
            looked += 1;
            let Some(dag) = &self.walk.current else {
                match self.next_keeper().await? {
                    true => continue,
                    false => return Ok(()),
                }
            };
            match dag.stack.last().cloned() {
                Some(cid) if dag.is_leaf(&cid) => {
                    self.reach(&cid);
                    self.pop();
                }
                Some(cid) => bytes += self.read_node(cid).await?,
                None if !dag.absent.is_empty() => {
                    self.look_again().await?;
                    looked += STEP_BLOCKS / 4;
                }
                None => self.end_keeper().await?,
            }
        }
        Ok(())
    }

    fn pop(&mut self) {
        self.walk.current.iter_mut().for_each(|dag| _ = dag.stack.pop());
    }

    /// Takes up the next one; when there are none left, what nothing reaches is counted.
    async fn next_keeper(&mut self) -> Result<bool> {
        let shared = self.storage.shared.clone();
        if self.walk.number == 0 {
            shared.end_pins().await?;
        }
        let Some(keeper) = self.walk.page.front().cloned() else {
            let page = self.walk.keepers.next_page(&shared).await?;
            if page.is_empty() {
                self.end_walk();
                return Ok(false);
            }
            self.walk.page.extend(page);
            return Ok(true);
        };
        let pin = shared.tier.pin(&keeper.cid).await?.filter(|pin| pin.size.is_some() && !pin.pending);
        // A direct one is a keeper of its own.
        let pin = pin.filter(|_| keeper.pinned);
        self.walk.page.pop_front();
        if keeper.pinned && keeper.recursive && !keeper.pending {
            self.walk.pinned.insert(keeper.cid.clone());
        } else if self.walk.pinned.contains(&keeper.cid) {
            return Ok(true); // a root that was walked as a pin
        }
        self.walk.number += 1;
        self.walk.current = Some(Dag::new(keeper, pin));
        Ok(true)
    }

    /// Notes that a block is reached; one that is not held is looked for later.
    fn reach(&mut self, cid: &Cid) {
        let Some(dag) = &mut self.walk.current else { return };
        let Some(mark) = block::key(cid).as_ref().map(mark) else { return };
        match self.held.entry(mark) {
            Entry::Occupied(mut held) => {
                let held = held.get_mut();
                if held.keeper != self.walk.number {
                    held.keeper = self.walk.number;
                    dag.count(held.length);
                }
            }
            // What is still to come of a pin is not needed yet.
            Entry::Vacant(_) if !dag.keeper.needs(cid) => {}
            Entry::Vacant(_) if dag.missed.insert(mark) => dag.absent.push(cid.clone()),
            Entry::Vacant(_) => {}
        }
    }

    /// Reads the node on top of the stack, and goes on below it. Tells how many bytes it has.
    async fn read_node(&mut self, cid: Cid) -> Result<u64> {
        let Some(dag) = &self.walk.current else { return Ok(0) };
        let mark = block::key(&cid).as_ref().map(mark);
        let place = mark.map(|mark| (mark, cid.codec()));
        if place.is_some_and(|place| dag.nodes.contains(&place)) {
            self.pop();
            return Ok(0);
        }
        let read =
            self.storage.shared.blocks.blocks(std::slice::from_ref(&cid)).await.map(|blocks| blocks.into_iter().next());
        self.pop();
        match read {
            Ok(Some(node)) => {
                let length = node.bytes().len() as u32;
                if let Some(mark) = mark {
                    self.held.entry(mark).or_insert(Block { length, keeper: 0 }).length = length;
                    self.reach(&cid);
                }
                match dag::links(&node) {
                    Ok(links) => self.go_below(place, &links),
                    Err(error) => {
                        self.report.one(Fault::Unwalked, Some(cid), error.to_string());
                        self.stop_at(place);
                    }
                }
                return Ok(length.into());
            }
            Ok(None) | Err(Error::NotAvailableOffline { .. }) => self.lack(&cid, mark),
            // Nobody has looked at it, or it has rotted since.
            Err(Error::Corrupt { detail, .. }) => {
                mark.iter().for_each(|mark| self.set_aside(*mark, cid.clone(), &detail));
                self.lack(&cid, mark);
            }
            Err(Error::Io(why)) => {
                let mut known = self.report.findings.iter_mut().filter(|known| known.fault == Fault::Unreadable);
                match known.find(|known| known.cid.as_ref().is_some_and(|known| known.hash() == cid.hash())) {
                    Some(known) => known.cid = Some(cid.clone()),
                    None => _ = self.report.one(Fault::Unreadable, Some(cid.clone()), why),
                }
                self.reach(&cid);
                self.stop_at(place);
            }
            Err(error) => return Err(error),
        }
        Ok(0)
    }

    /// A node is not held. One that was there when it was looked for again, and cannot be had all the same, is lost.
    fn lack(&mut self, cid: &Cid, mark: Option<u64>) {
        let (Some(mark), Some(dag)) = (mark, &mut self.walk.current) else { return };
        self.held.remove(&mark);
        if dag.missed.contains(&mark) {
            dag.lost.found += 1;
            dag.lost.detail = "it was there, and is not any more".into();
            self.stop_at(None);
        } else {
            self.reach(cid);
        }
    }

    /// Nobody knows what is below a node.
    fn stop_at(&mut self, node: Option<(u64, u64)>) {
        self.walk.blind = true;
        if let Some(dag) = &mut self.walk.current {
            dag.blind = true;
            dag.nodes.extend(node);
        }
    }

    /// A node has been read: leaves are held or not, and other nodes are to be read.
    fn go_below(&mut self, node: Option<(u64, u64)>, links: &[Cid]) {
        self.walk.current.iter_mut().for_each(|dag| dag.nodes.extend(node));
        for link in links.iter().rev() {
            if is_leaf(link) {
                self.reach(link);
            } else if let Some(dag) = &mut self.walk.current {
                dag.stack.push(link.clone());
            }
        }
    }

    /// Looks once more for what was not held: it may have come meanwhile, or it is fetched to repair the store.
    async fn look_again(&mut self) -> Result<()> {
        let Some(dag) = &self.walk.current else { return Ok(()) };
        let most = if self.options.repair { FETCHED_IN_STEP } else { STEP_BLOCKS };
        let from = dag.absent.len().saturating_sub(most);
        let cids: Vec<Cid> = dag.absent.iter().skip(from).cloned().collect();
        let found = self.obtain(&cids).await?;
        let Some(dag) = &mut self.walk.current else { return Ok(()) };
        dag.absent.truncate(from);
        for (cid, found) in cids.iter().zip(found) {
            let (Some(key), Some(dag)) = (block::key(cid), &mut self.walk.current) else { continue };
            let mark = mark(&key);
            if let Some(aside) = self.aside.get_mut(&mark) {
                // Now its codec is known.
                aside.cid = cid.clone();
                if let Some(finding) = aside.finding.and_then(|place| self.report.findings.get_mut(place)) {
                    finding.cid = Some(cid.clone());
                }
            }
            let length = found.as_ref().ok().copied();
            if length != Some(UNKNOWN) {
                dag.lost.found += 1;
                if dag.lost.some.len() < SOME {
                    dag.lost.some.push(cid.clone());
                }
            }
            match found {
                Ok(length) => {
                    dag.lost.repaired += u64::from(length != UNKNOWN);
                    self.held.insert(mark, Block { length, keeper: self.walk.number });
                    dag.count(length);
                    if !dag.is_leaf(cid) {
                        dag.stack.push(cid.clone());
                    }
                }
                Err(why) => {
                    if dag.lost.detail.is_empty() {
                        dag.lost.detail = why;
                    }
                    if !dag.is_leaf(cid) {
                        self.stop_at(None);
                    }
                }
            }
        }
        Ok(())
    }

    async fn end_keeper(&mut self) -> Result<()> {
        let Some(dag) = &self.walk.current else { return Ok(()) };
        let shared = &self.storage.shared;
        let cid = dag.keeper.cid.clone();
        // It may have been deleted meanwhile, and its blocks with it.
        let there = shared.tier.root(&cid).await?.is_some() || shared.tier.pin(&cid).await?.is_some();
        let whole = !dag.blind && dag.lost.found == dag.lost.repaired;
        let counted = (dag.blocks, dag.bytes);
        let pin = dag.pin.clone().filter(|_| there && whole);
        let mut wrong = None;
        if let Some(pin) = &pin
            && let Some((blocks, bytes)) = pin.size
            && (blocks != counted.0 || counted.1.is_some_and(|counted| counted != bytes))
        {
            let said = format!("{blocks} blocks of {bytes} bytes are recorded; there are {} blocks", counted.0);
            let mut finding = Finding {
                fault: Fault::PinSize,
                cid: Some(cid),
                found: 1,
                repaired: 0,
                some: Vec::new(),
                detail: counted.1.map_or_else(|| said.clone(), |bytes| format!("{said} of {bytes} bytes")),
            };
            match counted.1 {
                Some(bytes) if self.options.repair => match self.set_size(pin, (counted.0, bytes)).await? {
                    true => finding.repaired = 1,
                    false => finding.detail += "; not set right: the pin has changed meanwhile",
                },
                Some(_) => {}
                None => finding.detail += "; not set right: of a sample not all lengths are known",
            }
            wrong = Some(finding);
        }
        let Some(dag) = self.walk.current.take() else { return Ok(()) };
        self.report.keepers += 1;
        self.report.sizes += u64::from(pin.is_some() && (dag.bytes.is_some() || wrong.is_some()));
        if there && dag.lost.found > 0 {
            self.report.add(dag.lost);
        }
        wrong.into_iter().for_each(|finding| _ = self.report.add(finding));
        Ok(())
    }

    /// Records another size of a pin that is as it was.
    async fn set_size(&self, pin: &Pin, size: (u64, u64)) -> Result<bool> {
        let (shared, was) = (self.storage.shared.clone(), pin.clone());
        let set = async move {
            if shared.tier.pin(&was.cid).await?.as_ref() != Some(&was) {
                return Ok(());
            }
            shared.set_pin(Pin { size: Some(size), ..was }, None).await
        };
        self.storage.shared.roots.pass(set).await?;
        let now = self.storage.shared.tier.pin(&pin.cid).await?;
        Ok(now.is_some_and(|now| now.size == Some(size)))
    }

    fn end_walk(&mut self) {
        if !self.walk.blind {
            let unreached = || self.held.values().filter(|block| block.keeper == 0);
            self.report.unreached = Some(unreached().count() as u64);
            let known = unreached().all(|block| block.length != UNKNOWN);
            self.report.unreached_bytes = known.then(|| unreached().map(|block| u64::from(block.length)).sum());
        }
        self.mending = self.aside.keys().copied().collect();
        self.phase = Phase::Mending;
    }
}
