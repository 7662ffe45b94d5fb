//! What every remote must do. Each implementation's tests call [`all`], or [`router`] for one that only knows others.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use std::{
    collections::{HashMap, HashSet},
    ops::Range,
    rc::Rc,
};

use async_trait::async_trait;
use bytes::Bytes;
use cid::Version;
use futures_util::future::{self, Either};

use super::{Failure, ROUTING, Remote, Scope, Wanted, body};
use crate::{
    block::{self, Block, Cid, Codec, MAX_BLOCK_BYTES},
    car::{CarDecoder, Item},
    dag::{
        self,
        pb::{Link, Node},
    },
    error::{Error, Result as Outcome},
    hash::{CpuHasher, Digest, HashFunction, IDENTITY_CODE},
    platform::Network,
    tier::conformance::noise,
    unixfs::{BlockSource, Data, FileBuilder, FileReader, Kind, Layout, Metadata},
};

/// A directory with a file of three levels below another directory.
pub struct Sample {
    pub root: Cid,
    /// The names that lead from the root to the file.
    pub names: Vec<String>,
    pub file: Cid,
    /// What the file holds: the first of its chunks is also the last.
    pub bytes: Vec<u8>,
    /// The blocks below the root, each once, parents first.
    pub blocks: Vec<Block>,
}

/// What a remote may do when it is asked for a block that it does not have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unknown {
    /// Say so: [`Failure::NotFound`].
    IsNotFound,
    /// Look for it elsewhere for as long as it likes. If it gives up, it need not say why.
    MayHang,
}

pub struct Fixture {
    pub remote: Rc<dyn Remote>,
    pub network: Rc<dyn Network>,
    /// It holds this.
    pub sample: Sample,
    pub unknown: Unknown,
    /// Milliseconds after which a call that may hang counts as hanging.
    pub deadline: u64,
}

/// What a remote offers of that which it need not offer.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Offers {
    pub cars: bool,
    pub ranges: bool,
    pub paths: bool,
    pub puts: bool,
    pub pins: bool,
    pub providers: bool,
}

const CHUNK: usize = 2000;

/// What may not hang is given so many times the deadline: a machine may be busy.
const SLOW: u64 = 10;

/// Runs every case.
pub async fn all(fixture: &Fixture) -> Offers {
    names(fixture).await;
    blocks(fixture).await;
    unknown(fixture).await;
    let cars = cars(fixture, &fixture.sample).await;
    let ranges = ranges(fixture).await;
    let paths = paths(fixture).await;
    left(fixture).await;
    at_once(fixture).await;
    let puts = puts(fixture).await;
    let pins = pins(fixture, puts).await;
    let providers = providers(fixture).await;
    names(fixture).await;
    Offers { cars, ranges, paths, puts, pins, providers }
}

/// A router names others, and gives, takes and keeps nothing.
pub async fn router(remote: &dyn Remote, known: &Cid, expected: &[&str]) {
    let unsupported =
        |failure: Option<Failure>| assert!(matches!(failure, Some(Failure::Unsupported(_))), "{failure:?}");
    assert_eq!(remote.kind(), ROUTING);
    assert_eq!(remote.probe().await, Ok(()));
    assert_eq!(remote.providers(known).await.unwrap(), expected);
    assert_eq!(remote.providers(&absent(1).await).await.unwrap(), [""; 0], "nobody has that");
    let sample = sample(1).await;
    unsupported(remote.block(known).await.err());
    unsupported(remote.car(&Wanted { cid: known.clone(), path: Vec::new(), scope: Scope::All }).await.err());
    unsupported(remote.put(&sample.blocks).await.err());
    unsupported(remote.pin(known).await.err());
    unsupported(remote.unpin(known).await.err());
    unsupported(remote.is_pinned(known).await.err());
}

/// The same for the same seed.
pub async fn sample(seed: u64) -> Sample {
    let mut bytes = noise(seed, 59 * CHUNK);
    bytes.extend_from_within(..CHUNK);
    let layout = Layout { chunk_bytes: CHUNK, width: 8, ..Layout::default() };
    let chunks = bytes.chunks(CHUNK).map(Bytes::copy_from_slice).collect();
    let leaves = FileBuilder::leaves(&CpuHasher, layout, chunks).await.unwrap();
    let mut builder = FileBuilder::new(layout);
    let mut made = Vec::new();
    for leaf in leaves {
        made.extend(builder.link(&CpuHasher, leaf).await.unwrap());
    }
    let (nodes, built) = builder.finish(&CpuHasher, Metadata::default()).await.unwrap();
    made.extend(nodes);
    let names = vec!["Über uns".to_owned(), "50% of a+b?.bin".to_owned()];
    let beside = make(Codec::Raw, HashFunction::Sha2_256, noise(seed + 1, 50)).await;
    let below = directory(&[(&names[1], built.root.clone()), ("beside", beside.cid().clone())]).await;
    let root = directory(&[("a copy", beside.cid().clone()), (&names[0], below.cid().clone())]).await;
    let found = (root.cid().clone(), built.root);
    made.extend([beside, below, root]);
    let shelf: HashMap<Cid, Block> = made.into_iter().map(|block| (block.cid().clone(), block)).collect();
    let (mut blocks, mut stack, mut seen) = (Vec::new(), vec![found.0.clone()], HashSet::new());
    while let Some(cid) = stack.pop() {
        if seen.insert(cid.clone()) {
            stack.extend(dag::links(&shelf[&cid]).unwrap().into_iter().rev());
            blocks.push(shelf[&cid].clone());
        }
    }
    assert_eq!(blocks.len(), 59 + 8 + 1 + 3);
    Sample { root: found.0, names, file: found.1, bytes, blocks }
}

async fn make(codec: Codec, function: HashFunction, bytes: Vec<u8>) -> Block {
    let made = Block::make(&CpuHasher, Version::V1, codec, function, vec![bytes.into()]).await;
    made.unwrap().pop().unwrap()
}

async fn directory(entries: &[(&str, Cid)]) -> Block {
    let links = entries.iter().map(|(name, cid)| Link { cid: cid.clone(), name: Some((*name).into()), tsize: Some(1) });
    let node = Node { links: links.collect(), data: Some(Data::new(Kind::Directory).encode().into()) };
    make(Codec::DagPb, HashFunction::Sha2_256, node.encode()).await
}

/// The CID of what nobody has.
async fn absent(seed: u64) -> Cid {
    make(Codec::Raw, HashFunction::Sha2_256, noise(seed ^ 0x5eed, 40)).await.cid().clone()
}

/// A call that ends in time, or may hang.
async fn within<T>(fixture: &Fixture, call: impl Future<Output = T>) -> Option<T> {
    let patience = if fixture.unknown == Unknown::MayHang { 1 } else { SLOW };
    before(fixture, patience * fixture.deadline, call).await
}

async fn before<T>(fixture: &Fixture, deadline: u64, call: impl Future<Output = T>) -> Option<T> {
    let call = std::pin::pin!(call);
    match future::select(call, fixture.network.sleep(deadline)).await {
        Either::Left((done, _)) => Some(done),
        Either::Right(_) => None,
    }
}

/// A call that need not be offered; none if it is not.
async fn offered<T>(fixture: &Fixture, what: &str, call: impl Future<Output = Result<T, Failure>>) -> Option<T> {
    match before(fixture, SLOW * fixture.deadline, call).await.unwrap_or_else(|| panic!("{what}: it hangs")) {
        Ok(done) => Some(done),
        Err(Failure::Unsupported(_)) => None,
        Err(failure) => panic!("{what}: {failure:?}"),
    }
}

/// A call that must go well.
async fn done<T>(fixture: &Fixture, what: &str, call: impl Future<Output = Result<T, Failure>>) -> T {
    offered(fixture, what, call).await.unwrap_or_else(|| panic!("{what}: it does not offer that"))
}

async fn holds(fixture: &Fixture, block: &Block) {
    let given = done(fixture, &block.cid().to_string(), get(fixture, block.cid())).await;
    assert_eq!(given, block.bytes(), "{}", block.cid());
}

/// A block, with the limit that whoever asks for one keeps to.
async fn get(fixture: &Fixture, cid: &Cid) -> Result<Bytes, Failure> {
    let mut given = fixture.remote.block(cid).await?;
    body::collect(async || given.next().await, MAX_BLOCK_BYTES).await
}

async fn names(fixture: &Fixture) {
    let remote = &fixture.remote;
    let said = (remote.name().to_owned(), remote.kind().to_owned());
    assert!(!said.0.is_empty() && !said.1.is_empty() && said.1 != ROUTING, "{said:?}");
    done(fixture, "probe", remote.probe()).await;
    assert_eq!(said, (remote.name().to_owned(), remote.kind().to_owned()));
}

async fn blocks(fixture: &Fixture) {
    for block in &fixture.sample.blocks {
        holds(fixture, block).await;
    }
}

async fn unknown(fixture: &Fixture) {
    let cid = absent(2).await;
    let hangs = match within(fixture, get(fixture, &cid)).await {
        None => true,
        Some(Ok(_)) => panic!("it gives a block that it cannot have"),
        Some(Err(failure)) => {
            let allowed = failure == Failure::NotFound || fixture.unknown == Unknown::MayHang;
            assert!(allowed, "a block that it does not have: {failure:?}");
            false
        }
    };
    assert!(!hangs || fixture.unknown == Unknown::MayHang, "it hangs on a block that it does not have");
    // Of a CAR some may have come before that was known, but no block.
    let wanted = Wanted { cid, path: Vec::new(), scope: Scope::All };
    let mut decoder = CarDecoder::new();
    let reading = within(fixture, async {
        let mut body = fixture.remote.car(&wanted).await?;
        while let Some(piece) = body.next().await? {
            decoder.push(&piece);
        }
        Ok::<(), Failure>(())
    });
    assert!(
        reading.await.is_some() || fixture.unknown == Unknown::MayHang,
        "it hangs on a CAR of what it does not have"
    );
    while let Ok(Some(item)) = decoder.next_item() {
        assert!(matches!(item, Item::Header(_)), "a block of what it does not have: {item:?}");
    }
    // It is none the worse for it.
    holds(fixture, &fixture.sample.blocks[0]).await;
}

/// The blocks of a CAR, each proven, wanted by one before it, and there once. None if it gives no such CARs.
async fn car(fixture: &Fixture, wanted: &Wanted) -> Option<HashMap<Cid, Block>> {
    let what = format!("{wanted:?}");
    let mut body = offered(fixture, &what, fixture.remote.car(wanted)).await?;
    let mut decoder = CarDecoder::new();
    let (mut given, mut expected) = (HashMap::new(), HashSet::from([wanted.cid.clone()]));
    loop {
        let piece = done(fixture, &what, body.next()).await;
        decoder.push(piece.as_deref().unwrap_or_default());
        while let Some(item) = decoder.next_item().expect(&what) {
            let Item::Block(cid, bytes) = item else { continue };
            let block = Block::verify(&CpuHasher, vec![(cid.clone(), bytes)]).await.unwrap().remove(0).expect(&what);
            assert!(expected.contains(&cid), "{what}: {cid} before any block that links to it");
            expected.extend(dag::links(&block).unwrap());
            assert!(given.insert(cid.clone(), block).is_none(), "{what}: {cid} twice");
        }
        if piece.is_none() {
            decoder.finish().expect(&what);
            return Some(given);
        }
    }
}

async fn cars(fixture: &Fixture, sample: &Sample) -> bool {
    let all = |cid: Cid| Wanted { cid, path: Vec::new(), scope: Scope::All };
    let Some(given) = car(fixture, &all(sample.root.clone())).await else { return false };
    assert_eq!(given.len(), sample.blocks.len(), "it is not complete");
    // A leaf is a DAG too.
    let leaf = sample.blocks.last().unwrap();
    assert_eq!(car(fixture, &all(leaf.cid().clone())).await.unwrap().len(), 1);
    true
}

/// Reads these bytes of a file from no more than these blocks.
async fn read(given: HashMap<Cid, Block>, file: Cid, range: Range<u64>) -> Vec<u8> {
    #[derive(Clone)]
    struct Given(Rc<HashMap<Cid, Block>>);

    #[async_trait(?Send)]
    impl BlockSource for Given {
        async fn blocks(&self, cids: &[Cid]) -> Outcome<Vec<Block>> {
            cids.iter().map(|cid| self.0.get(cid).cloned().ok_or(Error::NotFound(cid.into()))).collect()
        }
    }

    let length = Some(range.end - range.start);
    let mut reader = FileReader::open(Given(Rc::new(given)), file, range.start, length).await.unwrap();
    let mut bytes = Vec::new();
    while let Some(part) = reader.next().await.expect("a block of the range is missing") {
        bytes.extend_from_slice(&part);
    }
    bytes
}

async fn ranges(fixture: &Fixture) -> bool {
    let Sample { file, bytes, .. } = &fixture.sample;
    let size = bytes.len() as u64;
    // Each with the most blocks that a remote may give for it: its leaves, and the nodes above them.
    let cases =
        [(0..1, 3), (0..2000, 3), (1999..2001, 4), (50_000..50_001, 3), (50_500..56_000, 6), (size - 1..size, 3)];
    for (range, most) in cases {
        let wanted = Wanted { cid: file.clone(), path: Vec::new(), scope: Scope::Bytes(range.clone()) };
        let Some(given) = car(fixture, &wanted).await else { return false };
        assert!(given.len() <= most, "{} blocks for {range:?}", given.len());
        let part = &bytes[range.start as usize..range.end as usize];
        assert_eq!(read(given, file.clone(), range).await, part);
    }
    // All that there is; none of it, which leads at least to the file; and past its end.
    let of = |range| Wanted { cid: file.clone(), path: Vec::new(), scope: Scope::Bytes(range) };
    let whole = car(fixture, &of(0..u64::MAX)).await.unwrap();
    assert_eq!(whole.len(), 59 + 8 + 1);
    assert_eq!(read(whole, file.clone(), 0..size).await, *bytes);
    assert!(car(fixture, &of(0..0)).await.unwrap().contains_key(file));
    let tail = car(fixture, &of(size - 10..size + 1_000_000)).await.unwrap();
    assert_eq!(read(tail, file.clone(), size - 10..size).await, bytes[bytes.len() - 10..]);
    true
}

async fn paths(fixture: &Fixture) -> bool {
    let Sample { root, names, file, bytes, blocks } = &fixture.sample;
    let along =
        |names: &[String], range| Wanted { cid: root.clone(), path: names.to_vec(), scope: Scope::Bytes(range) };
    let Some(given) = car(fixture, &along(names, 50_000..50_100)).await else { return false };
    assert!(given.contains_key(root) && given.len() <= 5, "{} blocks", given.len());
    assert_eq!(read(given, file.clone(), 50_000..50_100).await, bytes[50_000..50_100]);
    let whole = car(fixture, &along(names, 0..u64::MAX)).await.unwrap();
    assert_eq!(whole.len(), blocks.len() - 1, "all but the file beside it");
    // A name that is not there: a failure, or what proves it, which does not go past the directory that has it not.
    let none = along(&[names[0].clone(), "not there".into()], 0..10);
    if let Some(Ok(mut body)) = within(fixture, fixture.remote.car(&none)).await {
        let mut decoder = CarDecoder::new();
        while let Some(Ok(Some(piece))) = within(fixture, body.next()).await {
            decoder.push(&piece);
        }
        let mut count = 0;
        while let Ok(Some(item)) = decoder.next_item() {
            count += usize::from(matches!(item, Item::Block(..)));
        }
        assert!(count <= 2, "{count} blocks for a name that is not there");
    }
    true
}

/// Whoever asked lets go of a body before its end, and of a call before its answer.
async fn left(fixture: &Fixture) {
    let Sample { root, blocks, .. } = &fixture.sample;
    let wanted = Wanted { cid: root.clone(), path: Vec::new(), scope: Scope::All };
    for read_some in [false, true, true] {
        if let Some(mut body) = offered(fixture, "a CAR", fixture.remote.car(&wanted)).await
            && read_some
        {
            assert!(done(fixture, "its first bytes", body.next()).await.is_some());
        }
        let _ = future::poll_immediate(get(fixture, root)).await;
        holds(fixture, &blocks[1]).await;
    }
}

async fn at_once(fixture: &Fixture) {
    let Sample { root, blocks, .. } = &fixture.sample;
    let several = blocks.iter().step_by(9).map(|block| holds(fixture, block));
    let wanted = Wanted { cid: root.clone(), path: Vec::new(), scope: Scope::All };
    let (_, first, second) =
        future::join3(future::join_all(several), car(fixture, &wanted), car(fixture, &wanted)).await;
    assert_eq!(first, second);
}

async fn puts(fixture: &Fixture) -> bool {
    let remote = &fixture.remote;
    let fresh = sample(77).await;
    if offered(fixture, "put", remote.put(&fresh.blocks)).await.is_none() {
        return false;
    }
    done(fixture, "put nothing", remote.put(&[])).await;
    for block in &fresh.blocks {
        holds(fixture, block).await;
    }
    cars(fixture, &fresh).await;
    let mut kinds = Vec::new();
    for function in HashFunction::ALL {
        kinds.push(make(Codec::Raw, function, noise(78, 100)).await);
    }
    let node = directory(&[("a", kinds[0].cid().clone()), ("b", kinds[2].cid().clone())]).await;
    let legacy = block::new_cid(Version::V0, Codec::DagPb, block::key(node.cid()).unwrap());
    let legacy = Block::verify(&CpuHasher, vec![(legacy, node.bytes().clone())]).await.unwrap();
    kinds.extend(legacy.into_iter().map(Result::unwrap));
    kinds.extend([
        directory(&[]).await,
        make(Codec::DagCbor, HashFunction::Sha2_256, b"\xa1\x61a\x01".to_vec()).await,
        make(Codec::DagJson, HashFunction::Sha2_512, b"{\"a\":1}".to_vec()).await,
        make(Codec::DagPb, HashFunction::Blake3, node.bytes().to_vec()).await,
        make(Codec::Raw, HashFunction::Sha2_256, Vec::new()).await,
        make(Codec::Raw, HashFunction::Sha2_256, noise(79, MAX_BLOCK_BYTES)).await,
    ]);
    let digest = Digest::wrap(IDENTITY_CODE, b"inline").unwrap();
    kinds.extend(Block::inline(block::new_cid(Version::V1, Codec::Raw, digest)));
    // Each alone; then all together, although they are there.
    for block in &kinds {
        done(fixture, &format!("put {}", block.cid()), remote.put(std::slice::from_ref(block))).await;
        if block::key(block.cid()).is_some() {
            holds(fixture, block).await;
        }
    }
    done(fixture, "put again", remote.put(&kinds)).await;
    let several = (80..88).map(|seed| make(Codec::Raw, HashFunction::Sha2_256, noise(seed, 5000)));
    let several = future::join_all(several).await;
    let puts = several.iter().map(|block| done(fixture, "put at once", remote.put(std::slice::from_ref(block))));
    future::join_all(puts).await;
    for block in &several {
        holds(fixture, block).await;
    }
    true
}

async fn pins(fixture: &Fixture, puts: bool) -> bool {
    let (remote, root) = (&fixture.remote, &fixture.sample.root);
    let Some(pinned) = offered(fixture, "is_pinned", remote.is_pinned(root)).await else {
        for call in [remote.pin(root), remote.unpin(root)] {
            assert!(offered(fixture, "pin, unpin", call).await.is_none(), "half of pinning");
        }
        return false;
    };
    assert!(!pinned, "it is pinned already");
    done(fixture, "unpin what is not pinned", remote.unpin(root)).await;
    for _ in 0..2 {
        done(fixture, "pin", remote.pin(root)).await;
        assert!(done(fixture, "is_pinned", remote.is_pinned(root)).await);
    }
    done(fixture, "unpin", remote.unpin(root)).await;
    assert!(!done(fixture, "is_pinned", remote.is_pinned(root)).await);
    done(fixture, "unpin again", remote.unpin(root)).await;
    holds(fixture, &fixture.sample.blocks[0]).await;
    let unknown = absent(3).await;
    assert!(!done(fixture, "is_pinned of what it does not have", remote.is_pinned(&unknown)).await);
    done(fixture, "unpin what it does not have", remote.unpin(&unknown)).await;
    if puts {
        // What it has not wholly it cannot keep, and does not say that it does.
        let partial = sample(99).await;
        let (rest, last) = partial.blocks.split_at(partial.blocks.len() - 1);
        done(fixture, "put", remote.put(rest)).await;
        match within(fixture, remote.pin(&partial.root)).await {
            None => assert_eq!(fixture.unknown, Unknown::MayHang, "it hangs on pinning what it does not wholly have"),
            Some(pinned) => assert!(pinned.is_err(), "it pinned what it does not wholly have"),
        }
        assert!(!done(fixture, "is_pinned of a part", remote.is_pinned(&partial.root)).await);
        done(fixture, "put the rest", remote.put(last)).await;
        done(fixture, "pin when it is whole", remote.pin(&partial.root)).await;
        assert!(done(fixture, "is_pinned when it is whole", remote.is_pinned(&partial.root)).await);
    }
    true
}

async fn providers(fixture: &Fixture) -> bool {
    let remote = &fixture.remote;
    let named = offered(fixture, "providers", remote.providers(&fixture.sample.root)).await;
    assert!(named.iter().flatten().all(|address| !address.is_empty()));
    named.is_some()
}
