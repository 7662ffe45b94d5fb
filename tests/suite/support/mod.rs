//! Gateways that are scripted: what they send, and how they fail. Time is counted, not waited for.

pub mod native;
pub mod node;

use std::{
    cell::{Cell, RefCell},
    collections::VecDeque,
    future::poll_fn,
    ops::Range,
    rc::Rc,
    task::Poll,
};

use async_trait::async_trait;
use bytes::Bytes;
use ipfs_kit_storage::{
    Block, Cid, Error, OpenOptions, Path, Storage, StoreOptions, block,
    car::{CarDecoder, Item},
    dag,
    hash::CpuHasher,
    platform::{
        Clock, Network,
        http::{Body, Http, Request, Response},
    },
    remote::{Connector, Failure, Gateway, Patience, Remote, Remotes},
    tier::{Commit, MemoryTier, Tier},
    unixfs::{BlockSource, FileReader, Layout, locate},
};

/// Milliseconds that pass only while somebody waits for them.
#[derive(Clone, Default)]
pub struct Time {
    pub now: Rc<Cell<u64>>,
    pub online: Rc<Cell<bool>>,
}

impl Clock for Time {
    fn now(&self) -> u64 {
        self.now.get()
    }
}

#[async_trait(?Send)]
impl Network for Time {
    async fn sleep(&self, milliseconds: u64) {
        let until = self.now.get() + milliseconds;
        poll_fn(|context| {
            if self.now.get() >= until {
                return Poll::Ready(());
            }
            self.now.set(self.now.get() + 1);
            context.waker().wake_by_ref();
            Poll::Pending
        })
        .await;
    }

    fn is_online(&self) -> bool {
        self.online.get()
    }
}

/// What a gateway does instead of answering well.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Fault {
    None,
    Status(u16),
    RetryAfter(u64),
    Silence,
    /// Silent in the midst of the body.
    Stall,
    Reset,
    Truncated,
    WrongBytes,
    Swapped,
    Unasked,
    Endless,
    Oversize,
    WrongType,
    NoCar,
    Drip,
    /// So many bytes a second.
    Pace(usize),
    /// It answers well, after so many milliseconds.
    Late(u64),
    /// To CARs along a path.
    NoPaths(u16),
    /// A CAR of the file alone, without what leads to it.
    Headless,
}

/// A gateway with the blocks of a store of its own.
pub struct Origin {
    pub tier: Rc<MemoryTier>,
    pub time: Time,
    pub fault: Cell<Fault>,
    /// After so many requests it is well again.
    pub faulty: Cell<usize>,
    pub requests: RefCell<Vec<String>>,
    pub sent: Rc<Cell<usize>>,
    /// Responses that somebody holds.
    pub open: Rc<Cell<usize>>,
}

impl Origin {
    pub fn new(time: &Time) -> Rc<Self> {
        Rc::new(Origin {
            tier: Rc::default(),
            time: time.clone(),
            fault: Cell::new(Fault::None),
            faulty: Cell::new(usize::MAX),
            requests: RefCell::default(),
            sent: Rc::default(),
            open: Rc::default(),
        })
    }

    pub fn fails(&self, fault: Fault, times: usize) {
        self.fault.set(fault);
        self.faulty.set(times);
    }

    pub async fn store(&self, data: Vec<u8>, options: StoreOptions) -> Cid {
        let storage =
            Storage::new(self.tier.clone(), Rc::new(CpuHasher), Rc::new(self.time.clone()), OpenOptions::default());
        storage.unwrap().store(data, options).await.unwrap().root.cid
    }

    /// Holds the blocks of an archive; its root.
    pub async fn load(&self, name: &str) -> Cid {
        let mut decoder = CarDecoder::new();
        decoder.push(&std::fs::read(format!("{}/tests/vectors/car/{name}", env!("CARGO_MANIFEST_DIR"))).unwrap());
        let (mut root, mut claims) = (None, Vec::new());
        while let Some(item) = decoder.next_item().unwrap() {
            match item {
                Item::Header(roots) => root = Some(roots[0].clone()),
                Item::Block(cid, bytes) => claims.push((cid, bytes)),
            }
        }
        let blocks = Block::verify(&CpuHasher, claims).await.unwrap().into_iter().map(Result::unwrap).collect();
        self.tier.commit(Commit { blocks, ..Commit::default() }).await.unwrap();
        root.unwrap()
    }

    pub async fn block(&self, cid: &Cid) -> Option<Bytes> {
        self.tier.get(&[block::key(cid)?]).await.unwrap().remove(0).map(|held| held.bytes)
    }

    pub async fn dag(&self, root: Cid) -> Option<Vec<(Cid, Bytes)>> {
        let mut blocks: Vec<(Cid, Bytes)> = Vec::new();
        let mut stack = vec![root];
        while let Some(cid) = stack.pop() {
            if blocks.iter().any(|(seen, _)| *seen == cid) {
                continue;
            }
            let bytes = self.block(&cid).await?;
            let block = Block::verify(&CpuHasher, vec![(cid.clone(), bytes.clone())]).await.unwrap().remove(0).unwrap();
            stack.extend(dag::links(&block).unwrap_or_default().into_iter().rev());
            blocks.push((cid, bytes));
        }
        Some(blocks)
    }

    /// The blocks of a range of what a path leads to, and before them those on the way, as a reader comes by them.
    pub async fn entity(self: &Rc<Self>, path: &Path, range: Range<u64>) -> Option<Vec<(Cid, Bytes)>> {
        let tape = Tape { origin: self.clone(), blocks: Rc::default() };
        let found = locate(&tape, path).await.ok()?.cid;
        match FileReader::open(tape.clone(), found, range.start, Some(range.end - range.start)).await {
            Ok(mut reader) => while reader.next().await.unwrap().is_some() {},
            // No file: of a directory its nodes, of a value its block.
            Err(Error::Unsupported(_)) => {}
            Err(_) => return None,
        }
        let blocks = tape.blocks.borrow().clone();
        Some(blocks)
    }
}

#[derive(Clone)]
struct Tape {
    origin: Rc<Origin>,
    blocks: Rc<RefCell<Vec<(Cid, Bytes)>>>,
}

#[async_trait(?Send)]
impl BlockSource for Tape {
    async fn blocks(&self, cids: &[Cid]) -> ipfs_kit_storage::Result<Vec<Block>> {
        let mut claims = Vec::new();
        for cid in cids {
            claims.push((cid.clone(), self.origin.block(cid).await.ok_or(Error::NotFound(cid.into()))?));
        }
        {
            let mut tape = self.blocks.borrow_mut();
            let new: Vec<_> = claims.iter().filter(|claim| !tape.contains(claim)).cloned().collect();
            tape.extend(new);
        }
        Block::verify(&CpuHasher, claims).await?.into_iter().collect()
    }
}

fn varint(mut value: usize) -> Vec<u8> {
    let mut out = Vec::new();
    while value > 0x7f {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
    out
}

fn part(cid: &Cid, bytes: &[u8]) -> Vec<u8> {
    [varint(cid.encoded_len() + bytes.len()), cid.to_bytes(), bytes.to_vec()].concat()
}

/// An archive without roots, as a gateway may send it.
pub fn archive(blocks: &[(Cid, Bytes)]) -> Vec<u8> {
    let header = b"\xa2\x65roots\x80\x67version\x01".to_vec();
    let parts = blocks.iter().map(|(cid, bytes)| part(cid, bytes));
    [vec![varint(header.len()), header], parts.map(|part| vec![part]).collect::<Vec<_>>().concat()].concat().concat()
}

struct Pieces {
    pieces: VecDeque<Bytes>,
    fault: Fault,
    time: Time,
    sent: Rc<Cell<usize>>,
    filler: Bytes,
    open: Rc<Cell<usize>>,
}

impl Drop for Pieces {
    fn drop(&mut self) {
        self.open.set(self.open.get() - 1);
    }
}

#[async_trait(?Send)]
impl Body for Pieces {
    async fn next(&mut self) -> Result<Option<Bytes>, Failure> {
        match self.fault {
            Fault::Drip => self.time.sleep(100).await,
            Fault::Pace(_) if !self.pieces.is_empty() => self.time.sleep(1000).await,
            _ => {}
        }
        match self.pieces.pop_front() {
            Some(piece) => {
                self.sent.set(self.sent.get() + piece.len());
                Ok(Some(piece))
            }
            None => match self.fault {
                Fault::Stall => std::future::pending().await,
                Fault::Reset => Err(Failure::Unreachable("reset".into())),
                Fault::Endless => {
                    self.sent.set(self.sent.get() + self.filler.len());
                    Ok(Some(self.filler.clone()))
                }
                _ => Ok(None),
            },
        }
    }
}

pub struct Wire(pub Rc<Origin>);

#[async_trait(?Send)]
impl Http for Wire {
    async fn send(&self, request: Request) -> Result<Response, Failure> {
        let origin = &self.0;
        origin.time.sleep(5).await;
        origin.requests.borrow_mut().push(request.url.clone());
        let fault = if origin.faulty.get() == 0 { Fault::None } else { origin.fault.get() };
        origin.faulty.set(origin.faulty.get().saturating_sub(1));
        let (path, query) = request.url.split_once("/ipfs/").unwrap().1.split_once('?').unwrap();
        let path: Path = format!("ipfs://{path}").parse().unwrap();
        let cid = path.cid().clone();
        let car = query.contains("format=car");
        let (accept, kind) = (&request.headers[0].1, if car { "vnd.ipld.car" } else { "vnd.ipld.raw" });
        assert!(accept.contains(kind), "{accept} with {query}");
        let respond = |status: u16, pieces: Vec<Bytes>, kind: &str| {
            let headers = vec![("content-type".to_owned(), kind.to_owned())];
            let (time, sent) = (origin.time.clone(), origin.sent.clone());
            let filler = pieces.last().cloned().unwrap_or_default();
            let open = origin.open.clone();
            open.set(open.get() + 1);
            let body = Pieces { pieces: pieces.into(), fault, time, sent, filler, open };
            Ok(Response { status, headers, body: Box::new(body) })
        };
        match fault {
            Fault::Status(status) => return respond(status, vec!["no".into()], "text/plain"),
            Fault::RetryAfter(seconds) => {
                let mut response = respond(429, Vec::new(), "text/plain")?;
                response.headers.push(("retry-after".into(), seconds.to_string()));
                return Ok(response);
            }
            Fault::Silence => std::future::pending().await,
            Fault::Late(wait) => origin.time.sleep(wait).await,
            Fault::NoCar if car => return respond(406, Vec::new(), "text/plain"),
            Fault::NoPaths(status) if path != cid => return respond(status, Vec::new(), "text/plain"),
            _ => {}
        }
        let blocks = if block::key(&cid).is_none() {
            Some(vec![(cid, Bytes::new())])
        } else if !car {
            origin.block(&cid).await.map(|bytes| vec![(cid, bytes)])
        } else if let Some((_, range)) = query.split_once("entity-bytes=") {
            let (from, to) = range.split_once('&').unwrap().0.split_once(':').unwrap();
            let to = to.parse::<u64>().map_or(1 << 40, |to| to + 1);
            origin.entity(&path, from.parse().unwrap()..to).await
        } else {
            origin.dag(cid).await
        };
        let Some(mut blocks) = blocks else { return respond(404, Vec::new(), "text/plain") };
        let last = blocks.len() - 1;
        match fault {
            Fault::WrongBytes => blocks[last].1 = vec![7; blocks[last].1.len()].into(),
            Fault::Swapped if last > 1 => {
                let bytes = blocks[last].1.clone();
                blocks[last].1 = std::mem::replace(&mut blocks[last - 1].1, bytes);
            }
            Fault::Unasked => {
                let foreign = origin.store(b"nobody asked for this".to_vec(), StoreOptions::default()).await;
                blocks.insert(last, (foreign, "nobody asked for this".into()));
            }
            Fault::Headless => drop(blocks.drain(..path.names().len())),
            Fault::Oversize => blocks[last].1 = vec![0; block::MAX_BLOCK_BYTES + 1].into(),
            _ => {}
        }
        let mut bytes = if car { archive(&blocks) } else { blocks[0].1.to_vec() };
        let stated = bytes.len();
        if matches!(fault, Fault::Truncated | Fault::Stall | Fault::Reset) {
            bytes.truncate(bytes.len() * 2 / 3);
        }
        let piece = if let Fault::Pace(bytes) = fault { bytes } else { 50_000 };
        let mut pieces: Vec<Bytes> = bytes.chunks(piece).map(Bytes::copy_from_slice).collect();
        if fault == Fault::Endless {
            pieces.push(part(&blocks[0].0, &blocks[0].1).into());
        }
        let kind = if car { "application/vnd.ipld.car; version=1" } else { "application/vnd.ipld.raw" };
        let mut response = respond(200, pieces, if fault == Fault::WrongType { "text/html" } else { kind })?;
        if !car {
            response.headers.push(("content-length".into(), stated.to_string()));
        }
        Ok(response)
    }
}

/// For stores without routers.
pub struct Nobody;

impl Connector for Nobody {
    fn connect(&self, address: &str) -> ipfs_kit_storage::Result<Rc<dyn Remote>> {
        panic!("nobody named {address}")
    }
}

/// A store over some gateways.
pub struct World {
    pub time: Time,
    pub origins: Vec<Rc<Origin>>,
    pub tier: Rc<MemoryTier>,
    pub storage: Storage,
}

pub fn world(gateways: usize, options: OpenOptions) -> World {
    world_of(gateways, options, |gateway, _| Rc::new(gateway))
}

/// The same, each gateway wrapped.
pub fn world_of(gateways: usize, options: OpenOptions, wrap: impl Fn(Gateway, usize) -> Rc<dyn Remote>) -> World {
    let time = Time { now: Rc::new(Cell::new(1_000_000)), online: Rc::new(Cell::new(true)) };
    let origins: Vec<Rc<Origin>> = (0..gateways).map(|_| Origin::new(&time)).collect();
    let gateway = |(number, origin): (usize, &Rc<Origin>)| {
        let gateway = Gateway::new(Rc::new(Wire(origin.clone())), &format!("http://gateway-{number}.test/")).unwrap();
        wrap(gateway, number)
    };
    let remotes = origins.iter().enumerate().map(gateway).collect();
    let clock = Rc::new(time.clone());
    let remotes = Remotes::new(remotes, Rc::new(Nobody), clock.clone(), clock.clone(), Patience::default()).unwrap();
    let tier: Rc<MemoryTier> = Rc::default();
    let options = OpenOptions { remotes: Some(Rc::new(remotes)), ..options };
    let storage = Storage::new(tier.clone(), Rc::new(CpuHasher), clock, options).unwrap();
    World { time, origins, tier, storage }
}

impl World {
    pub fn requests(&self) -> Vec<String> {
        self.origins.iter().flat_map(|origin| origin.requests.borrow().clone()).collect()
    }

    /// The same bytes at every gateway.
    pub async fn everywhere(&self, data: &[u8], options: StoreOptions) -> Cid {
        let mut cid = None;
        for origin in &self.origins {
            cid = Some(origin.store(data.to_vec(), options.clone()).await);
        }
        cid.unwrap()
    }

    /// Everything the store holds is what it says it is, and part of the DAG.
    pub async fn holds_only(&self, root: &Cid) {
        let dag = self.origins[0].dag(root.clone()).await.unwrap();
        let usage = self.tier.usage().await.unwrap();
        let mut held = 0;
        for (cid, bytes) in &dag {
            if let Some(found) = self.tier.get(&[block::key(cid).unwrap()]).await.unwrap().remove(0) {
                assert_eq!(&found.bytes, bytes);
                held += 1;
            }
        }
        assert_eq!(usage.blocks, held, "something is held that nobody asked for");
        assert_eq!(usage.quarantined, 0);
    }
}

pub fn small() -> StoreOptions {
    StoreOptions {
        layout: Some(Layout { chunk_bytes: 10_000, width: 8, ..Layout::default() }),
        ..StoreOptions::default()
    }
}
