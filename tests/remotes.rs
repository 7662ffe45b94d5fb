//! Fetching from gateways that are scripted: what they send, and how they fail. Time is counted, not waited for.
#![cfg(not(target_family = "wasm"))]

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
use futures_executor::block_on;
use ipfs_kit_storage::{
    Block, Cid, Error, OfflineReason, OpenOptions, Storage, StoreOptions,
    block::{self, Codec},
    dag,
    hash::CpuHasher,
    platform::{
        Clock, Network,
        http::{Body, Http, Request, Response},
    },
    remote::{Failure, Gateway, Patience, Remote, Remotes},
    storage::{BackendState, ReadOptions},
    tier::{Commit, Committed, Held, MemoryTier, StoredRoot, Tier, Usage, conformance::noise},
    unixfs::{BlockSource, FileReader, Layout},
};

/// Milliseconds that pass only while somebody waits for them.
#[derive(Clone, Default)]
struct Time {
    now: Rc<Cell<u64>>,
    online: Rc<Cell<bool>>,
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
enum Fault {
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
}

/// A gateway with the blocks of a store of its own.
struct Origin {
    tier: Rc<MemoryTier>,
    time: Time,
    fault: Cell<Fault>,
    /// After so many requests it is well again.
    faulty: Cell<usize>,
    requests: RefCell<Vec<String>>,
    sent: Rc<Cell<usize>>,
    /// Responses that somebody holds.
    open: Rc<Cell<usize>>,
}

impl Origin {
    fn new(time: &Time) -> Rc<Self> {
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

    fn fails(&self, fault: Fault, times: usize) {
        self.fault.set(fault);
        self.faulty.set(times);
    }

    async fn store(&self, data: Vec<u8>, options: StoreOptions) -> Cid {
        let storage =
            Storage::new(self.tier.clone(), Rc::new(CpuHasher), Rc::new(self.time.clone()), OpenOptions::default());
        storage.unwrap().store(data, options).await.unwrap().root.cid
    }

    async fn block(&self, cid: &Cid) -> Option<Bytes> {
        self.tier.get(&[block::key(cid)?]).await.unwrap().remove(0).map(|held| held.bytes)
    }

    async fn dag(&self, root: Cid) -> Option<Vec<(Cid, Bytes)>> {
        let mut blocks: Vec<(Cid, Bytes)> = Vec::new();
        let mut stack = vec![root];
        while let Some(cid) = stack.pop() {
            if blocks.iter().any(|(seen, _)| *seen == cid) {
                continue;
            }
            let bytes = self.block(&cid).await?;
            let block = Block::verify(&CpuHasher, vec![(cid, bytes.clone())]).await.unwrap().remove(0).unwrap();
            stack.extend(dag::links(&block).unwrap_or_default().into_iter().rev());
            blocks.push((cid, bytes));
        }
        Some(blocks)
    }

    /// The blocks of a range, as a reader comes by them.
    async fn entity(self: &Rc<Self>, root: Cid, range: Range<u64>) -> Option<Vec<(Cid, Bytes)>> {
        let tape = Tape { origin: self.clone(), blocks: Rc::default() };
        let mut reader = FileReader::open(tape.clone(), root, range.start, Some(range.end - range.start)).await.ok()?;
        while reader.next().await.unwrap().is_some() {}
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
            claims.push((*cid, self.origin.block(cid).await.ok_or(Error::NotFound(cid.into()))?));
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
fn archive(blocks: &[(Cid, Bytes)]) -> Vec<u8> {
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
        if self.fault == Fault::Drip {
            self.time.sleep(100).await;
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

struct Wire(Rc<Origin>);

#[async_trait(?Send)]
impl Http for Wire {
    async fn send(&self, request: Request) -> Result<Response, Failure> {
        let origin = &self.0;
        origin.time.sleep(5).await;
        origin.requests.borrow_mut().push(request.url.clone());
        let fault = if origin.faulty.get() == 0 { Fault::None } else { origin.fault.get() };
        origin.faulty.set(origin.faulty.get().saturating_sub(1));
        let (path, query) = request.url.split_once("/ipfs/").unwrap().1.split_once('?').unwrap();
        let cid = block::parse(path).unwrap();
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
            Fault::NoCar if car => return respond(406, Vec::new(), "text/plain"),
            _ => {}
        }
        let blocks = if block::key(&cid).is_none() {
            Some(vec![(cid, Bytes::new())])
        } else if !car {
            origin.block(&cid).await.map(|bytes| vec![(cid, bytes)])
        } else if let Some((_, range)) = query.split_once("entity-bytes=") {
            let (from, to) = range.split_once('&').unwrap().0.split_once(':').unwrap();
            let to = to.parse::<u64>().map_or(1 << 40, |to| to + 1);
            origin.entity(cid, from.parse().unwrap()..to).await
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
            Fault::Oversize => blocks[last].1 = vec![0; block::MAX_BLOCK_BYTES + 1].into(),
            _ => {}
        }
        let mut bytes = if car { archive(&blocks) } else { blocks[0].1.to_vec() };
        let stated = bytes.len();
        if matches!(fault, Fault::Truncated | Fault::Stall | Fault::Reset) {
            bytes.truncate(bytes.len() * 2 / 3);
        }
        let mut pieces: Vec<Bytes> = bytes.chunks(50_000).map(Bytes::copy_from_slice).collect();
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

/// A store over some gateways.
struct World {
    time: Time,
    origins: Vec<Rc<Origin>>,
    tier: Rc<MemoryTier>,
    storage: Storage,
}

fn world(gateways: usize, options: OpenOptions) -> World {
    let time = Time { now: Rc::new(Cell::new(1_000_000)), online: Rc::new(Cell::new(true)) };
    let origins: Vec<Rc<Origin>> = (0..gateways).map(|_| Origin::new(&time)).collect();
    let gateway = |(number, origin): (usize, &Rc<Origin>)| {
        let gateway = Gateway::new(Rc::new(Wire(origin.clone())), &format!("http://gateway-{number}.test/")).unwrap();
        Rc::new(gateway) as Rc<dyn Remote>
    };
    let remotes = origins.iter().enumerate().map(gateway).collect();
    let clock = Rc::new(time.clone());
    let remotes = Remotes::new(remotes, clock.clone(), clock.clone(), Patience::default());
    let tier: Rc<MemoryTier> = Rc::default();
    let options = OpenOptions { remotes: Some(Rc::new(remotes)), ..options };
    let storage = Storage::new(tier.clone(), Rc::new(CpuHasher), clock, options).unwrap();
    World { time, origins, tier, storage }
}

impl World {
    fn requests(&self) -> Vec<String> {
        self.origins.iter().flat_map(|origin| origin.requests.borrow().clone()).collect()
    }

    /// The same bytes at every gateway.
    async fn everywhere(&self, data: &[u8], options: StoreOptions) -> Cid {
        let mut cid = None;
        for origin in &self.origins {
            cid = Some(origin.store(data.to_vec(), options.clone()).await);
        }
        cid.unwrap()
    }

    /// Everything the store holds is what it says it is, and part of the DAG.
    async fn holds_only(&self, root: &Cid) {
        let dag = self.origins[0].dag(*root).await.unwrap();
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

fn small() -> StoreOptions {
    StoreOptions {
        layout: Some(Layout { chunk_bytes: 10_000, width: 8, ..Layout::default() }),
        ..StoreOptions::default()
    }
}

#[test]
fn a_file_comes_with_one_request_and_is_kept() {
    block_on(async {
        let world = world(1, OpenOptions::default());
        let data = noise(1, 1_000_000);
        let cid = world.everywhere(&data, small()).await;
        assert_eq!(world.storage.retrieve(&cid).await.unwrap(), data);
        assert_eq!(world.requests().len(), 1, "{:?}", world.requests());
        assert!(world.requests()[0].contains("car-version=1&car-order=dfs&car-dups=n"));
        world.holds_only(&cid).await;
        let stored = world.storage.stat(&cid).await.unwrap();
        assert_eq!((stored.root.size, stored.pinned, stored.root.filename), (1_000_000, false, None));
        // From now on it is here.
        world.time.online.set(false);
        assert_eq!(world.storage.retrieve(&cid).await.unwrap(), data);
        assert_eq!(world.requests().len(), 1);
        world.storage.pin(&cid).await.unwrap();
        world.storage.unpin(&cid).await.unwrap();
        world.storage.delete(&cid).await.unwrap();
        assert_eq!(world.tier.usage().await.unwrap().blocks, 0);
    });
}

#[test]
fn a_range_brings_only_what_holds_it() {
    block_on(async {
        let world = world(1, OpenOptions::default());
        let data = noise(2, 1_000_000);
        let cid = world.everywhere(&data, small()).await;
        let mut reader = world.storage.reader(&cid, ReadOptions::range(505_000, Some(3000))).await.unwrap();
        assert_eq!(reader.size(), 1_000_000);
        assert_eq!(reader.next().await.unwrap().unwrap(), data[505_000..508_000]);
        assert_eq!(reader.next().await.unwrap(), None);
        assert_eq!(world.requests().len(), 1, "{:?}", world.requests());
        assert!(world.requests()[0].contains("entity-bytes=505000:507999"));
        assert!(world.tier.usage().await.unwrap().blocks < 6);
        assert!(world.storage.stat(&cid).await.is_err(), "a part of a file is no stored file");
    });
}

#[test]
fn only_what_is_missing_is_asked_for() {
    block_on(async {
        let world = world(1, OpenOptions::default());
        let data = noise(3, 1_000_000);
        let cid = world.everywhere(&data, small()).await;
        let half = ReadOptions::range(0, Some(500_000));
        let mut reader = world.storage.reader(&cid, half).await.unwrap();
        while reader.next().await.unwrap().is_some() {}
        let before = world.origins[0].sent.get();
        assert_eq!(world.storage.retrieve(&cid).await.unwrap(), data);
        let sent = world.origins[0].sent.get() - before;
        assert!(sent < 560_000, "{sent} bytes for the second half");
        assert!(world.requests().len() < 5, "{:?}", world.requests());
        // One leaf that rotted is fetched again, alone.
        let leaf = world.origins[0].store(data[..10_000].to_vec(), small()).await;
        world.tier.damage(&block::key(&leaf).unwrap(), "rotten".into());
        world
            .storage
            .configure_cache(ipfs_kit_storage::storage::CacheConfig { memory_bytes: Some(0), ..Default::default() });
        let before = world.origins[0].sent.get();
        assert_eq!(world.storage.retrieve(&cid).await.unwrap(), data);
        assert_eq!(world.origins[0].sent.get() - before, 10_000);
    });
}

#[test]
fn pinning_fetches_all_of_it() {
    block_on(async {
        let world = world(1, OpenOptions::default());
        let cid = world.everywhere(&noise(4, 400_000), small()).await;
        world.storage.pin(&cid).await.unwrap();
        assert!(world.storage.stat(&cid).await.unwrap().pinned);
        assert_eq!(world.requests().len(), 1, "{:?}", world.requests());
        world.time.online.set(false);
        assert_eq!(world.storage.retrieve(&cid).await.unwrap(), noise(4, 400_000));
    });
}

#[test]
fn blocks_come_one_by_one_where_nobody_gives_cars() {
    block_on(async {
        let world = world(1, OpenOptions::default());
        world.origins[0].fails(Fault::NoCar, usize::MAX);
        let data = noise(5, 200_000);
        let cid = world.everywhere(&data, small()).await;
        assert_eq!(world.storage.retrieve(&cid).await.unwrap(), data);
        assert_eq!(world.requests().iter().filter(|url| url.contains("format=car")).count(), 1);
        world.holds_only(&cid).await;
    });
}

/// Whatever one gateway does, another gives the file, and nothing of what the first sent wrongly is kept.
#[test]
fn another_gateway_helps() {
    let faults = [
        Fault::Status(404),
        Fault::Status(410),
        Fault::Status(412),
        Fault::Status(451),
        Fault::Status(500),
        Fault::Status(504),
        Fault::RetryAfter(3600),
        Fault::Silence,
        Fault::Stall,
        Fault::Reset,
        Fault::Truncated,
        Fault::WrongBytes,
        Fault::Swapped,
        Fault::Unasked,
        Fault::Endless,
        Fault::Oversize,
        Fault::WrongType,
        Fault::NoCar,
        Fault::Drip,
    ];
    for fault in faults {
        block_on(async {
            let world = world(2, OpenOptions::default());
            let data = noise(6, 300_000);
            let cid = world.everywhere(&data, small()).await;
            world.origins[0].fails(fault, usize::MAX);
            let got = world.storage.retrieve(&cid).await;
            assert!(got.as_ref().is_ok_and(|got| *got == data), "{fault:?}: {:?}", got.err());
            world.holds_only(&cid).await;
            let elapsed = world.time.now.get() - 1_000_000;
            assert!(elapsed < 60_000, "{fault:?}: {elapsed} ms");
            let sent = world.origins[0].sent.get();
            assert!(sent < 40 * 1024 * 1024, "{fault:?}: took {sent} bytes");
            let lies = matches!(fault, Fault::WrongBytes | Fault::Swapped | Fault::Unasked);
            let status = world.storage.backend_status().await;
            let first = &status.backends[1];
            assert_eq!(first.state == BackendState::Disabled, lies, "{fault:?}: {first:?}");
            // A liar is not asked again.
            let before = world.origins[0].requests.borrow().len();
            let other = world.everywhere(&noise(7, 50_000), small()).await;
            assert!(world.storage.retrieve(&other).await.is_ok());
            assert!(!lies || world.origins[0].requests.borrow().len() == before);
        });
    }
}

/// The same with that gateway alone: an error that names it and says why, in bounded time.
#[test]
fn alone_it_fails_with_the_reason() {
    let faults = [
        (Fault::Status(404), "does not have it"),
        (Fault::Status(451), "refuses: status 451"),
        (Fault::Status(500), "status 500"),
        (Fault::RetryAfter(3600), "busy"),
        (Fault::Silence, "nothing for too long"),
        (Fault::Stall, "nothing for too long"),
        (Fault::Truncated, "ends within a part"),
        (Fault::WrongBytes, "do not hash"),
        (Fault::Unasked, "nothing asked for"),
        (Fault::Oversize, "2097152"),
        (Fault::WrongType, "text/html"),
    ];
    for (fault, said) in faults {
        block_on(async {
            let world = world(1, OpenOptions::default());
            let cid = world.everywhere(&noise(8, 300_000), small()).await;
            world.origins[0].fails(fault, usize::MAX);
            match world.storage.retrieve(&cid).await {
                Err(error @ Error::Unavailable { .. }) => {
                    let text = error.to_string();
                    assert!(text.contains("http://gateway-0.test") && text.contains(said), "{fault:?}: {text}");
                }
                other => panic!("{fault:?}: {other:?}"),
            }
            world.holds_only(&cid).await;
            let elapsed = world.time.now.get() - 1_000_000;
            assert!(elapsed < 400_000, "{fault:?}: {elapsed} ms");
            assert!(world.requests().len() < 30, "{fault:?}: {} requests", world.requests().len());
            // What had come rightly was kept, so that it goes on from there.
            let sent = world.origins[0].sent.get();
            world.origins[0].fails(Fault::None, 0);
            world.time.now.set(world.time.now.get() + 4_000_000);
            let again = world.storage.retrieve(&cid).await;
            match fault {
                Fault::WrongBytes | Fault::Unasked => assert!(again.is_err(), "{fault:?}: a liar was asked again"),
                _ => assert_eq!(again.unwrap(), noise(8, 300_000), "{fault:?}"),
            }
            if fault == Fault::Truncated {
                assert!(world.origins[0].sent.get() - sent < 200_000, "it began again");
            }
        });
    }
}

#[test]
fn a_passing_failure_is_waited_out() {
    block_on(async {
        let world = world(1, OpenOptions::default());
        let cid = world.everywhere(&noise(9, 100_000), small()).await;
        world.origins[0].fails(Fault::Status(500), 2);
        assert_eq!(world.storage.retrieve(&cid).await.unwrap(), noise(9, 100_000));
        assert!(world.time.now.get() - 1_000_000 > 250, "it did not wait");
    });
}

#[test]
fn a_silent_gateway_is_hedged() {
    block_on(async {
        let world = world(2, OpenOptions::default());
        let cid = world.everywhere(&noise(10, 100_000), small()).await;
        world.origins[0].fails(Fault::Silence, usize::MAX);
        world.storage.retrieve(&cid).await.unwrap();
        let elapsed = world.time.now.get() - 1_000_000;
        assert!((1_500..4_000).contains(&elapsed), "{elapsed} ms");
    });
}

#[test]
fn many_callers_share_one_fetch() {
    block_on(async {
        let world = world(1, OpenOptions::default());
        let cid = world.everywhere(&noise(11, 500_000), small()).await;
        let callers = (0..5).map(|_| world.storage.retrieve(&cid));
        for got in futures_util::future::join_all(callers).await {
            assert_eq!(got.unwrap(), noise(11, 500_000));
        }
        assert_eq!(world.requests().len(), 1, "{:?}", world.requests());
    });
}

/// Reading what is held keeps no deletion from giving its room back; fetching does, until it is done.
#[test]
fn only_fetching_holds_deletions_up() {
    block_on(async {
        let world = world(1, OpenOptions::default());
        let (data, other) = (noise(14, 300_000), noise(15, 50_000));
        let cid = world.everywhere(&data, small()).await;
        let here = world.storage.store(other.clone(), small()).await.unwrap().root.cid;
        let mut reader = world.storage.reader(&here, ReadOptions::default()).await.unwrap();
        reader.next().await.unwrap();
        world.storage.delete(&here).await.unwrap();
        assert_eq!(world.tier.usage().await.unwrap().blocks, 0);
        drop(reader);
        let mut reader = world.storage.reader(&cid, ReadOptions::default()).await.unwrap();
        reader.next().await.unwrap();
        let here = world.storage.store(data[..50_000].to_vec(), small()).await.unwrap().root.cid;
        world.storage.delete(&here).await.unwrap();
        while reader.next().await.unwrap().is_some() {}
        assert_eq!(world.requests().len(), 1, "what it had fetched was swept");
        world.time.online.set(false);
        assert_eq!(world.storage.retrieve(&cid).await.unwrap(), data);
    });
}

/// A reader that is let go of in the midst of waiting ends its request, and holds up nothing.
#[test]
fn letting_go_ends_a_fetch() {
    block_on(async {
        let world = world(1, OpenOptions::default());
        let cid = world.everywhere(&noise(16, 300_000), small()).await;
        world.origins[0].fails(Fault::Stall, usize::MAX);
        let mut reading = Box::pin(world.storage.retrieve(&cid));
        for _ in 0..1000 {
            assert!(futures_util::future::poll_immediate(&mut reading).await.is_none());
        }
        assert_eq!(world.origins[0].open.get(), 1);
        drop(reading);
        assert_eq!(world.origins[0].open.get(), 0, "the request is still open");
        let before = world.tier.usage().await.unwrap().blocks;
        let here = world.storage.store(noise(17, 50_000), small()).await.unwrap().root.cid;
        world.storage.delete(&here).await.unwrap();
        assert_eq!(world.tier.usage().await.unwrap().blocks, before, "sweeps are still held up");
    });
}

/// A medium on which nothing can be set aside.
struct Stuck(Rc<MemoryTier>);

#[async_trait(?Send)]
impl Tier for Stuck {
    fn kind(&self) -> &'static str {
        "stuck"
    }

    async fn get(&self, keys: &[block::Key]) -> ipfs_kit_storage::Result<Vec<Option<Held>>> {
        self.0.get(keys).await
    }

    async fn has(&self, keys: &[block::Key]) -> ipfs_kit_storage::Result<Vec<bool>> {
        self.0.has(keys).await
    }

    async fn commit(&self, commit: Commit) -> ipfs_kit_storage::Result<Committed> {
        if commit.quarantine.is_empty() { self.0.commit(commit).await } else { Err(Error::Io("stuck".into())) }
    }

    async fn root(&self, cid: &Cid) -> ipfs_kit_storage::Result<Option<StoredRoot>> {
        self.0.root(cid).await
    }

    async fn roots(&self, after: Option<&Cid>, limit: usize) -> ipfs_kit_storage::Result<Vec<StoredRoot>> {
        self.0.roots(after, limit).await
    }

    async fn usage(&self) -> ipfs_kit_storage::Result<Usage> {
        self.0.usage().await
    }

    async fn flush(&self) -> ipfs_kit_storage::Result<()> {
        self.0.flush().await
    }
}

#[test]
fn a_corrupt_copy_that_cannot_be_set_aside_is_reported_and_not_tried_for_ever() {
    block_on(async {
        let time = Time { now: Rc::default(), online: Rc::new(Cell::new(true)) };
        let origin = Origin::new(&time);
        let clock = Rc::new(time);
        let gateway: Rc<dyn Remote> =
            Rc::new(Gateway::new(Rc::new(Wire(origin.clone())), "http://gateway-0.test").unwrap());
        let remotes = Remotes::new(vec![gateway], clock.clone(), clock.clone(), Patience::default());
        let options = OpenOptions { remotes: Some(Rc::new(remotes)), memory_bytes: 0, ..OpenOptions::default() };
        let held: Rc<MemoryTier> = Rc::default();
        let storage = Storage::new(Rc::new(Stuck(held.clone())), Rc::new(CpuHasher), clock, options).unwrap();
        let cid = storage.store(noise(18, 5000), small()).await.unwrap().root.cid;
        origin.store(noise(18, 5000), small()).await;
        held.damage(&block::key(&cid).unwrap(), "rotten".into());
        match storage.retrieve(&cid).await {
            Err(Error::Corrupt { detail, .. }) => assert!(detail.contains("setting it aside failed"), "{detail}"),
            other => panic!("{:?}", other.map(|bytes| bytes.len())),
        }
    });
}

#[test]
fn what_comes_is_told() {
    block_on(async {
        let world = world(1, OpenOptions::default());
        let cid = world.everywhere(&noise(12, 5_000_000), StoreOptions::default()).await;
        let told: Rc<RefCell<Vec<(u64, u64, String)>>> = Rc::default();
        let listener = told.clone();
        let on_fetched = Rc::new(move |fetched: &ipfs_kit_storage::storage::Fetched| {
            listener.borrow_mut().push((fetched.blocks, fetched.bytes, fetched.remote.clone()));
        });
        let options = ReadOptions { on_fetched: Some(on_fetched), ..ReadOptions::default() };
        let mut reader = world.storage.reader(&cid, options).await.unwrap();
        while reader.next().await.unwrap().is_some() {}
        let told = told.borrow();
        assert!(told.len() > 1 && told.windows(2).all(|pair| pair[0].1 < pair[1].1), "{told:?}");
        assert_eq!(told.last().unwrap().0, 6);
        assert_eq!(told.last().unwrap().2, "http://gateway-0.test");
    });
}

#[test]
fn offline_each_reason_is_named_at_once_and_local_work_goes_on() {
    block_on(async {
        let cases = [
            (Some(OfflineReason::Disabled), false, true, OfflineReason::Disabled),
            (Some(OfflineReason::ForceFallback), false, true, OfflineReason::ForceFallback),
            (None, true, true, OfflineReason::Requested),
            (None, false, false, OfflineReason::Disconnected),
        ];
        for (configured, offline, online, expected) in cases {
            let world = world(1, OpenOptions { offline: configured, ..OpenOptions::default() });
            let cid = world.everywhere(&noise(13, 100_000), small()).await;
            world.time.online.set(online);
            let here = world.storage.store("here", StoreOptions::default()).await.unwrap().root.cid;
            let options = |cid: &Cid| (*cid, ReadOptions { offline, ..ReadOptions::default() });
            for asked in [cid] {
                let (asked, options) = options(&asked);
                match world.storage.reader(&asked, options).await.err() {
                    Some(Error::NotAvailableOffline { reason, .. }) => assert_eq!(reason, expected),
                    other => panic!("{expected:?}: {other:?}"),
                }
            }
            let (here, options) = options(&here);
            assert_eq!(world.storage.reader(&here, options).await.unwrap().next().await.unwrap().unwrap(), "here");
            assert_eq!(world.requests().len(), 0);
            assert_eq!(world.time.now.get(), 1_000_000);
            let status = world.storage.backend_status().await;
            assert_eq!(status.local_only, configured.or((!online).then_some(expected)));
            assert!(!world.storage.is_available() || expected == OfflineReason::Requested);
        }
        let alone = world(0, OpenOptions::default());
        let missing = block::new_cid(
            cid::Version::V1,
            Codec::Raw,
            block::key(&Origin::new(&alone.time).store(b"x".to_vec(), small()).await).unwrap(),
        );
        let error = alone.storage.retrieve(&missing).await.unwrap_err();
        assert!(matches!(error, Error::NotAvailableOffline { reason: OfflineReason::NoRemotes, .. }));
    });
}

#[test]
fn states_have_evidence() {
    block_on(async {
        let world = world(2, OpenOptions::default());
        world.origins[1].fails(Fault::Status(500), usize::MAX);
        assert!(!world.storage.is_available(), "nothing was seen of any yet");
        let status = world.storage.backend_status().await;
        assert_eq!(status.local_only, None);
        let states: Vec<_> = status.backends.iter().map(|report| (report.kind.as_str(), report.state)).collect();
        let (good, bad) = (BackendState::Available, BackendState::Unavailable);
        assert_eq!(states, [("memory", good), ("gateway", good), ("gateway", bad)]);
        assert!(status.backends[2].evidence.contains("status 500"), "{}", status.backends[2].evidence);
        assert!(world.requests()[0].ends_with("/ipfs/bafkqaaa?format=raw"));
        assert!(world.storage.is_available());
    });
}

#[test]
fn urls_that_are_no_bases_are_refused() {
    let http: Rc<dyn Http> = Rc::new(Wire(Origin::new(&Time::default())));
    for url in [
        "",
        "gateway.test",
        "ftp://x",
        "http://",
        "https:///ipfs",
        "http://a?b",
        "http://u:p@h",
        "http://a b",
        "http://a#f",
    ] {
        assert!(matches!(Gateway::new(http.clone(), url), Err(Error::InvalidArgument(_))), "{url}");
    }
    assert_eq!(Gateway::new(http, "https://gateway.test/base/").unwrap().name(), "https://gateway.test/base");
}
