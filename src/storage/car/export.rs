//! Exporting an archive: a first walk learns what belongs to it and how long it is, a second one writes it.

use std::{cell::RefCell, collections::HashMap, mem, ops::Range, rc::Rc};

use async_trait::async_trait;
use bytes::Bytes;

use super::order::{Order, Start, Step, Way};
use crate::{
    block::{self, Block, Cid, Key},
    car::{self, Index},
    error::{Error, OfflineReason, Result},
    storage::{
        Shared, Storage,
        fetch::{Session, Source},
        room::Hold,
        sweep,
    },
    unixfs::{self, BlockSource, Path},
};

/// Bytes that are given out at once, or more by a block.
const PIECE_BYTES: usize = 256 * 1024;

/// Blocks read at once,
const BLOCKS_AHEAD: usize = 8;

/// unless so many bytes of some are waiting already.
const BYTES_AHEAD: usize = 4 * 1024 * 1024;

/// Blocks whose lengths are asked for at once.
const LENGTHS: usize = 1024;

/// Most roots of one archive: as many as its header may have.
const MAX_ROOTS: usize = 1000;

/// Which format to write.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum CarVersion {
    /// A header and blocks.
    #[default]
    V1,
    /// The same, and an index of where each block lies.
    V2,
}

/// What below a path belongs to an archive, besides the nodes that lead there. As trustless gateways have it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum CarScope {
    /// All that is reachable.
    #[default]
    All,
    /// What it takes to read a file, or some of it, or to list a directory.
    Entity,
    /// The one block.
    Block,
}

/// Bytes of a file, both ends included; negative numbers count from its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CarRange {
    /// The first.
    pub from: i64,
    /// The last; none: that of the file.
    pub to: Option<i64>,
}

/// How to export an archive.
#[derive(Debug, Clone, Default)]
pub struct CarExportOptions {
    /// The format.
    pub version: CarVersion,
    /// How much of it.
    pub scope: CarScope,
    /// Of a file these bytes only; the scope is the entity then. Of what is no file it says nothing.
    pub range: Option<CarRange>,
    /// Whether this call must not use a network.
    pub offline: bool,
}

/// An archive being written. Of the same DAG it has the same bytes, whoever writes it.
pub struct CarExporter {
    /// Nothing of it goes meanwhile.
    open: Option<sweep::Open>,
    _holds: Vec<Hold>,
    order: Order,
    stage: Stage,
    size: u64,
    /// Bytes of the archive of version 1 that have been written.
    written: u64,
    index: Option<Index>,
    /// Read ahead.
    ready: HashMap<Cid, Block>,
    ready_bytes: usize,
}

enum Stage {
    Header(Vec<u8>),
    Blocks,
    Ended,
}

impl Storage {
    /// Starts exporting what these paths lead to, in this order. What is not held is fetched, if that may be; if it cannot be
    /// had that is told here, before there is a first byte.
    pub async fn car_exporter(&self, paths: Vec<Path>, options: CarExportOptions) -> Result<CarExporter> {
        if !(1..=MAX_ROOTS).contains(&paths.len()) {
            return Err(Error::InvalidArgument(format!("{} roots; allowed are 1 to {MAX_ROOTS}", paths.len())));
        }
        if options.range.is_some() && options.scope == CarScope::Block {
            return Err(Error::InvalidArgument("a range of one block; ranges are of files".into()));
        }
        let shared = &self.shared;
        let open = sweep::enter(shared).await?;
        let holds = paths.iter().map(|path| Hold::new(shared, path.cid().clone())).collect();
        let mut starts = Vec::with_capacity(paths.len());
        for path in &paths {
            starts.push(start(shared, path, &options).await?);
        }
        let header = car::header(&starts.iter().map(|start| start.cid.clone()).collect::<Vec<Cid>>());
        let (data, index) = measure(shared, starts.clone(), options.version).await?;
        let data = data + header.len() as u64;
        let mut before = match index {
            Some(_) => car::header_v2(data),
            None => Vec::new(),
        };
        let size = before.len() as u64 + data + index.as_ref().map_or(0, Index::encoded_len);
        let written = header.len() as u64;
        before.extend(header);
        paths.iter().for_each(|path| shared.used(path.cid()));
        Ok(CarExporter {
            open: Some(open),
            _holds: holds,
            order: Order::new(starts),
            stage: Stage::Header(before),
            size,
            written,
            index: index.map(|_| Index::default()),
            ready: HashMap::new(),
            ready_bytes: 0,
        })
    }
}

impl CarExporter {
    /// Bytes of the whole archive.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// The next bytes; none at the end.
    pub async fn next(&mut self) -> Result<Option<Bytes>> {
        let mut piece = match &mut self.stage {
            Stage::Header(header) => mem::take(header),
            Stage::Blocks => Vec::new(),
            Stage::Ended => return Ok(None),
        };
        self.stage = Stage::Blocks;
        while piece.len() < PIECE_BYTES {
            let Some(Step { cid, way, written }) = self.order.next() else {
                self.stage = Stage::Ended;
                piece.extend(self.index.take().map(|index| index.encode()).unwrap_or_default());
                if let Some(open) = self.open.take() {
                    sweep::leave(open).await;
                }
                break;
            };
            let block = self.block(&cid).await?;
            self.order.descend(&block, &way)?;
            if written {
                let head = car::section_head(&cid, block.bytes().len());
                self.index.iter_mut().for_each(|index| index.push(&cid, self.written));
                self.written += (head.len() + block.bytes().len()) as u64;
                piece.extend(head);
                piece.extend_from_slice(block.bytes());
            }
        }
        Ok((!piece.is_empty()).then(|| piece.into()))
    }

    /// A block, and with it those that come next.
    async fn block(&mut self, cid: &Cid) -> Result<Block> {
        if let Some(block) = self.ready.remove(cid) {
            self.ready_bytes -= block.bytes().len();
            return Ok(block);
        }
        let mut cids = vec![cid.clone()];
        if self.ready_bytes < BYTES_AHEAD {
            let ahead = self.order.ahead(BLOCKS_AHEAD - 1).filter(|next| !self.ready.contains_key(next));
            for next in ahead {
                if !cids.contains(next) {
                    cids.push(next.clone());
                }
            }
        }
        let mut blocks = self.source()?.blocks(&cids).await?.into_iter();
        let first = blocks.next();
        for block in blocks {
            self.ready_bytes += block.bytes().len();
            self.ready.insert(block.cid().clone(), block);
        }
        first.ok_or_else(|| missing(cid))
    }

    fn source(&self) -> Result<Source> {
        self.order.source().ok_or(Error::Cancelled)
    }
}

/// Follows a path; what it leads through comes first.
async fn start(shared: &Rc<Shared>, path: &Path, options: &CarExportOptions) -> Result<Start> {
    block::check(path.cid())?;
    let mut way_there = Vec::new();
    let mut cid = path.cid().clone();
    if !path.names().is_empty() {
        // Of what it leads to nothing is asked for yet.
        let source = shared.source(path.clone(), Some(0..0), options.offline, None);
        let recorder = Recorder { source, nodes: RefCell::default() };
        cid = unixfs::resolve(&recorder, path).await?;
        way_there = recorder.nodes.into_inner();
        way_there.retain(|node| *node != cid);
    }
    let range = options.range.unwrap_or(CarRange { from: 0, to: None });
    let (way, source) = match options.scope {
        CarScope::Block => {
            let session = shared.elsewhere(options.offline);
            let session = session.map(|remotes| Rc::new(Session::of_block(shared.clone(), remotes, cid.clone())));
            (Way::Block, Source::new(shared.blocks.clone(), session))
        }
        CarScope::All if options.range.is_none() => {
            (Way::All, shared.source((&cid).into(), None, options.offline, None))
        }
        _ => {
            let way = Way::Entity { from: range.from, to: range.to };
            (way, shared.source((&cid).into(), Some(likely(range)), options.offline, None))
        }
    };
    Ok(Start { path: way_there, cid, way, source })
}

/// What of a file is to be fetched, as long as its size is not known.
fn likely(range: CarRange) -> Range<u64> {
    let from = u64::try_from(range.from).unwrap_or(0);
    let to = range.to.and_then(|to| u64::try_from(to).ok()).map_or(u64::MAX, |to| to.saturating_add(1));
    from..to.max(from)
}

/// Learns how many bytes the blocks take in the archive, and, if it is to have an index, how large that will be. Interior
/// nodes are read for it, of leaves only the lengths; and what is not held is fetched.
async fn measure(shared: &Shared, starts: Vec<Start>, version: CarVersion) -> Result<(u64, Option<Index>)> {
    let mut order = Order::new(starts);
    let mut index = (version == CarVersion::V2).then(Index::default);
    let (mut total, mut leaves) = (0, Vec::new());
    while let Some(Step { cid, way, written }) = order.next() {
        if written {
            index.iter_mut().for_each(|index| index.count(&cid));
        }
        let Some(source) = order.source() else { continue };
        if way == Way::Block {
            leaves.push(cid);
            if leaves.len() == LENGTHS {
                total += lengths(shared, &source, mem::take(&mut leaves)).await?;
            }
            continue;
        }
        let block = source.blocks(std::slice::from_ref(&cid)).await?.into_iter().next().ok_or_else(|| missing(&cid))?;
        if written {
            total += car::section_bytes(&cid, block.bytes().len() as u64);
        }
        let below = order.descend(&block, &way)?;
        match way {
            Way::All => source.ensure_below(cid, &below).await?,
            _ => source.ensure(&below).await?,
        }
    }
    if let Some(source) = order.source() {
        total += lengths(shared, &source, leaves).await?;
    }
    Ok((total, index))
}

async fn lengths(shared: &Shared, source: &Source, leaves: Vec<Cid>) -> Result<u64> {
    source.ensure(&leaves).await?;
    let keys: Vec<Key> = leaves.iter().filter_map(block::key).collect();
    let mut total = 0;
    for (cid, length) in leaves.iter().zip(shared.tier.lengths(&keys).await?) {
        total += car::section_bytes(cid, length.ok_or_else(|| missing(cid))?);
    }
    Ok(total)
}

fn missing(cid: &Cid) -> Error {
    Error::NotAvailableOffline { cid: cid.clone(), reason: OfflineReason::NoRemotes }
}

/// Notes which nodes a path leads through.
struct Recorder {
    source: Source,
    nodes: RefCell<Vec<Cid>>,
}

#[async_trait(?Send)]
impl BlockSource for Recorder {
    async fn blocks(&self, cids: &[Cid]) -> Result<Vec<Block>> {
        self.nodes.borrow_mut().extend_from_slice(cids);
        self.source.blocks(cids).await
    }

    fn expect(&self, parts: &[(Cid, Range<u64>)]) {
        self.source.expect(parts);
    }

    fn on_the_way(&self, node: &Cid, from: &Cid, names: &[String]) {
        self.source.on_the_way(node, from, names);
    }
}
