//! In which order the blocks of an archive come: depth first, a node before what is below it, each block once; the nodes on
//! the way to what was asked for before that.

use std::{collections::HashSet, ops::Range, vec};

use crate::{
    block::{self, Block, Cid, Codec},
    dag::{self, pb::Node},
    error::Result,
    storage::{fetch::Source, walk::mark},
    unixfs::{BlockSource, Data, Kind},
};

/// Where a part of the archive begins.
#[derive(Clone)]
pub struct Start {
    /// The nodes on the way there.
    pub path: Vec<Cid>,
    pub cid: Cid,
    pub way: Way,
    pub source: Source,
}

/// What of the nodes below one belongs to the archive.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Way {
    /// All.
    All,
    /// None.
    Block,
    /// Of a file these bytes, of a directory what lists it.
    Entity { from: i64, to: Option<i64> },
    /// Of a part of a file that begins at `at`, those bytes of the file.
    Bytes { at: u64, range: Range<u64> },
    /// Of a directory in shards the shards.
    Shards,
}

/// A block whose turn it is.
pub struct Step {
    pub cid: Cid,
    pub way: Way,
    /// Whether it is written: it may have been before, and be here for what is below it.
    pub written: bool,
}

/// The blocks in their order.
pub struct Order {
    starts: vec::IntoIter<Start>,
    source: Option<Source>,
    /// The next is last.
    stack: Vec<(Cid, Way)>,
    written: HashSet<[u8; 20]>,
    /// Of these not all that is below them was.
    partly: HashSet<[u8; 20]>,
}

impl Order {
    pub fn new(starts: Vec<Start>) -> Self {
        Order {
            starts: starts.into_iter(),
            source: None,
            stack: Vec::new(),
            written: HashSet::new(),
            partly: HashSet::new(),
        }
    }

    /// Where its blocks are.
    pub fn source(&self) -> Option<Source> {
        self.source.clone()
    }

    /// The next one.
    pub fn next(&mut self) -> Option<Step> {
        loop {
            while let Some((cid, way)) = self.stack.pop() {
                let leaf = cid.codec() == Codec::Raw.code();
                let way = if leaf { Way::Block } else { way };
                if block::key(&cid).is_none() {
                    // It carries itself; what it links to is another thing.
                    match way {
                        Way::Block => continue,
                        way => return Some(Step { cid, way, written: false }),
                    }
                }
                let mark = mark(&cid);
                let whole = leaf || way == Way::All;
                if self.written.insert(mark) {
                    if !whole {
                        self.partly.insert(mark);
                    }
                    return Some(Step { cid, way, written: true });
                }
                let more = if whole { self.partly.remove(&mark) } else { self.partly.contains(&mark) };
                if more && way != Way::Block {
                    return Some(Step { cid, way, written: false });
                }
            }
            let start = self.starts.next()?;
            self.source = Some(start.source);
            self.stack.push((start.cid, start.way));
            self.stack.extend(start.path.into_iter().rev().map(|cid| (cid, Way::Block)));
        }
    }

    /// At most so many of those that come next, as far as that is known.
    pub fn ahead(&self, count: usize) -> impl Iterator<Item = &Cid> {
        let fresh = |cid: &&Cid| block::key(cid).is_some() && !self.written.contains(&mark(cid));
        self.stack.iter().rev().take(count).map(|(cid, _)| cid).filter(fresh)
    }

    /// What is below a block comes next. Tells what that is.
    pub fn descend(&mut self, block: &Block, way: &Way) -> Result<Vec<Cid>> {
        let (below, spans) = match way {
            Way::Block => return Ok(Vec::new()),
            Way::All => (all(dag::links(block)?), Vec::new()),
            _ => part(block, way),
        };
        if let Some(source) = self.source.as_ref().filter(|_| !spans.is_empty()) {
            source.expect(&spans);
        }
        let cids = below.iter().map(|(cid, _)| cid.clone()).collect();
        self.stack.extend(below.into_iter().rev());
        Ok(cids)
    }
}

/// Nodes, and what of those below them is wanted.
type Below = Vec<(Cid, Way)>;

/// Nodes of a file, and the bytes of it that they hold.
type Spans = Vec<(Cid, Range<u64>)>;

fn all(links: Vec<Cid>) -> Below {
    links.into_iter().map(|cid| (cid, Way::All)).collect()
}

/// What of the links of a node belongs to it, and of a file's which bytes they hold. What is no well-formed UnixFS is an
/// entity without anything below it.
fn part(block: &Block, way: &Way) -> (Below, Spans) {
    let nothing = (Vec::new(), Vec::new());
    if block.cid().codec() != Codec::DagPb.code() {
        return nothing;
    }
    let Ok(node) = Node::decode(block.bytes()) else { return nothing };
    let Some(data) = node.data.as_ref().and_then(|message| Data::decode(message).ok()) else { return nothing };
    match data.kind {
        Kind::File | Kind::Raw => bytes(&node, &data, way).unwrap_or(nothing),
        Kind::HamtShard => {
            // The link to a shard has a bucket for its name, and no more.
            let digits = data.fanout.unwrap_or(1).max(1).ilog2().div_ceil(4) as usize;
            let shards = node.links.iter().filter(|link| link.name.as_ref().is_some_and(|name| name.len() == digits));
            (shards.map(|link| (link.cid.clone(), Way::Shards)).collect(), Vec::new())
        }
        _ => nothing,
    }
}

fn bytes(node: &Node, data: &Data, way: &Way) -> Option<(Below, Spans)> {
    let inline = data.data.as_ref().map_or(0, |data| data.len() as u64);
    let (at, range) = match way {
        Way::Entity { from, to } => {
            let size = data.block_sizes.iter().try_fold(inline, |sum, size| sum.checked_add(*size))?;
            (0, absolute(*from, *to, size))
        }
        Way::Bytes { at, range } => (*at, range.clone()),
        _ => return None,
    };
    if node.links.len() != data.block_sizes.len() {
        return None;
    }
    let mut start = at.checked_add(inline)?;
    let (mut below, mut spans) = (Vec::new(), Vec::new());
    for (link, size) in node.links.iter().zip(&data.block_sizes) {
        let span = start..start.checked_add(*size)?;
        start = span.end;
        if span.end <= range.start || span.start >= range.end {
            continue;
        }
        let inside = span.start >= range.start && span.end <= range.end;
        let way = if inside { Way::All } else { Way::Bytes { at: span.start, range: range.clone() } };
        below.push((link.cid.clone(), way));
        spans.push((link.cid.clone(), span));
    }
    Some((below, spans))
}

/// From the first byte to the last, both included; negative ones count from the end.
fn absolute(from: i64, to: Option<i64>, size: u64) -> Range<u64> {
    let place = |at: i64| if at < 0 { size.saturating_sub(at.unsigned_abs()) } else { at.unsigned_abs().min(size) };
    let end = match to {
        None => size,
        Some(to) if to < 0 && to.unsigned_abs() > size => 0,
        Some(to) => place(to).saturating_add(1).min(size),
    };
    place(from)..end
}

#[cfg(test)]
mod tests {
    use super::absolute;

    #[test]
    fn ranges_are_those_of_gateways() {
        assert_eq!(absolute(0, None, 10), 0..10);
        assert_eq!(absolute(3, Some(5), 10), 3..6);
        assert_eq!(absolute(-3, None, 10), 7..10);
        assert_eq!(absolute(-3, Some(-2), 10), 7..9);
        assert_eq!(absolute(-30, Some(100), 10), 0..10);
        assert_eq!(absolute(0, Some(-1), 10), 0..10);
        assert!(absolute(0, Some(-11), 10).is_empty() && absolute(10, None, 10).is_empty());
        assert!(absolute(i64::MIN, Some(i64::MIN), 0).is_empty() && absolute(i64::MAX, Some(i64::MAX), 0).is_empty());
    }
}
