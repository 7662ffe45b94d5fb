//! Paths and directories: those of Kubo, those made here in every shape, and malformed ones.

use std::{
    cell::{Cell, RefCell},
    collections::{BTreeMap, HashMap},
};

use async_trait::async_trait;
use bytes::Bytes;
use cid::Version;
use futures_executor::block_on;
use ipfs_kit_storage::{
    Cid, Error, Path, Result,
    block::{self, Block, Codec},
    car::{CarDecoder, Item},
    dag::pb::{Link, Node},
    hash::{CpuHasher, HashFunction},
    unixfs::{BlockSource, Data, Kind, MAX_PATH_BYTES, MAX_PATH_NAMES, resolve},
};
use proptest::prelude::*;

/// Blocks by CID; a missing one is an error.
#[derive(Default)]
struct Shelf {
    blocks: RefCell<HashMap<Cid, Block>>,
    read: Cell<usize>,
    hints: RefCell<Vec<(Cid, Cid, Vec<String>)>>,
}

#[async_trait(?Send)]
impl BlockSource for Shelf {
    async fn blocks(&self, cids: &[Cid]) -> Result<Vec<Block>> {
        self.read.set(self.read.get() + cids.len());
        let blocks = self.blocks.borrow();
        cids.iter().map(|cid| blocks.get(cid).cloned().ok_or(Error::NotFound(cid.into()))).collect()
    }

    fn on_the_way(&self, node: &Cid, from: &Cid, names: &[String]) {
        self.hints.borrow_mut().push((node.clone(), from.clone(), names.to_vec()));
    }
}

/// A directory being made: files and directories by their names.
enum Tree {
    File(&'static str),
    Link(&'static str),
    Directory(Vec<(&'static str, Tree)>),
}

impl Shelf {
    /// The blocks of an archive, and its root.
    fn load(name: &str) -> (Shelf, Cid) {
        let archive = std::fs::read(format!("{}/tests/vectors/car/{name}", env!("CARGO_MANIFEST_DIR"))).unwrap();
        let mut decoder = CarDecoder::new();
        decoder.push(&archive);
        let (mut root, mut claims) = (None, Vec::new());
        while let Some(item) = decoder.next_item().unwrap() {
            match item {
                Item::Header(roots) => root = Some(roots[0].clone()),
                Item::Block(cid, bytes) => claims.push((cid, bytes)),
            }
        }
        let shelf = Shelf::default();
        for block in block_on(Block::verify(&CpuHasher, claims)).unwrap() {
            let block = block.unwrap();
            shelf.blocks.borrow_mut().insert(block.cid().clone(), block);
        }
        (shelf, root.unwrap())
    }

    fn put(&self, codec: Codec, bytes: impl Into<Bytes>) -> Cid {
        let parts = vec![bytes.into()];
        let made = block_on(Block::make(&CpuHasher, Version::V1, codec, HashFunction::Sha2_256, parts));
        let block = made.unwrap().pop().unwrap();
        let cid = block.cid().clone();
        self.blocks.borrow_mut().insert(cid.clone(), block);
        cid
    }

    fn node(&self, links: Vec<(String, Cid)>, data: Data) -> Cid {
        let links = links.into_iter().map(|(name, cid)| Link { cid, name: Some(name), tsize: None }).collect();
        self.put(Codec::DagPb, Node { links, data: Some(data.encode().into()) }.encode())
    }

    fn make(&self, tree: Tree) -> Cid {
        match tree {
            Tree::File(text) => self.put(Codec::Raw, text),
            Tree::Link(target) => self.node(vec![], Data { data: Some(target.into()), ..Data::new(Kind::Symlink) }),
            Tree::Directory(entries) => {
                let links = entries.into_iter().map(|(name, tree)| (name.to_owned(), self.make(tree))).collect();
                self.node(links, Data::new(Kind::Directory))
            }
        }
    }

    /// A shard: what is in its buckets, under the rest of each name.
    fn shard(&self, fanout: u64, buckets: Vec<(u64, String, Cid)>) -> Cid {
        let digits = (fanout.ilog2() as usize).div_ceil(4);
        let mut field = vec![0; fanout as usize / 8];
        for (bucket, ..) in &buckets {
            let last = field.len() - 1;
            field[last - *bucket as usize / 8] |= 1 << (bucket % 8);
        }
        let links = buckets.into_iter().map(|(bucket, name, cid)| (format!("{bucket:0digits$X}{name}"), cid)).collect();
        self.node(links, hamt(fanout, field))
    }

    /// A directory in shards of this fanout.
    fn shards(&self, fanout: u64, names: &[(String, Cid)], level: u32) -> Cid {
        let bits = fanout.ilog2();
        let mut buckets: BTreeMap<u64, Vec<(String, Cid)>> = BTreeMap::new();
        for (name, cid) in names {
            let hash = mur3::murmurhash3_x64_128(name.as_bytes(), 0).0;
            let bucket = hash << (level * bits) >> (64 - bits);
            buckets.entry(bucket).or_default().push((name.clone(), cid.clone()));
        }
        let entry = |(bucket, names): (u64, Vec<(String, Cid)>)| match names.as_slice() {
            [(name, cid)] => (bucket, name.clone(), cid.clone()),
            several => (bucket, String::new(), self.shards(fanout, several, level + 1)),
        };
        self.shard(fanout, buckets.into_iter().map(entry).collect())
    }

    fn find(&self, root: Cid, path: &str) -> Result<Cid> {
        block_on(resolve(self, &Path::parse(&format!("{root}/{path}"))?))
    }
}

fn hamt(fanout: u64, field: Vec<u8>) -> Data {
    Data { data: Some(field.into()), hash_type: Some(0x22), fanout: Some(fanout), ..Data::new(Kind::HamtShard) }
}

fn is_missing(outcome: Result<Cid>, root: Cid, path: &str) -> bool {
    matches!(outcome, Err(Error::NotFound(missing)) if missing.to_string() == format!("{root}/{path}"))
}

#[test]
fn names_in_a_directory_of_kubo_are_found() {
    let (shelf, root) = Shelf::load("dir3-v1.car");
    let file = |length: usize| (0..length).map(|at| (at * 31 + 7) as u8).collect::<Vec<u8>>();
    for (name, length) in [("a.txt", 11), ("b.bin", 4096)] {
        let found = shelf.find(root.clone(), name).unwrap();
        assert_eq!(shelf.blocks.borrow()[&found].bytes(), &file(length), "{name}");
    }
    assert!(shelf.blocks.borrow().contains_key(&shelf.find(root.clone(), "c.dat").unwrap()));
    for name in ["a", "a.txt ", "A.TXT", "a.txt/b", "0", "%61.txt"] {
        assert!(is_missing(shelf.find(root.clone(), name), root.clone(), name), "{name}");
    }
    // Nothing needs to be read for a CID alone, nor to know that nothing is below a raw block.
    shelf.read.set(0);
    assert_eq!(shelf.find(root.clone(), "").unwrap(), root);
    let leaf = shelf.put(Codec::Raw, "leaf");
    assert!(is_missing(shelf.find(leaf.clone(), "x"), leaf, "x"));
    assert_eq!(shelf.read.get(), 0);
}

#[test]
fn all_5000_names_in_shards_of_kubo_are_found() {
    let (shelf, root) = Shelf::load("many5000-v1.car");
    let vectors = format!("{}/tests/vectors/unixfs-cids.json", env!("CARGO_MANIFEST_DIR"));
    let vectors: serde_json::Value = serde_json::from_str(&std::fs::read_to_string(vectors).unwrap()).unwrap();
    assert_eq!(root.to_string(), vectors["variants"]["unixfs-v1-2025"]["dirs"]["many5000"].as_str().unwrap());
    for number in 0..5000 {
        let name = format!("file-{number:05}");
        let found = shelf.find(root.clone(), &name).unwrap_or_else(|error| panic!("{name}: {error}"));
        assert_eq!(shelf.blocks.borrow()[&found].bytes(), &number.to_string(), "{name}");
    }
    for number in 5000..8000 {
        let name = format!("file-{number:05}");
        assert!(is_missing(shelf.find(root.clone(), &name), root.clone(), &name), "{name}");
    }
    // Of some seventy shards only those on the way are read.
    shelf.read.set(0);
    shelf.hints.borrow_mut().clear();
    shelf.find(root.clone(), "file-04999").unwrap();
    assert!((1..5).contains(&shelf.read.get()), "{} blocks", shelf.read.get());
    // Within its shards a directory is named by its root, for a name is hashed anew below another.
    let hints = shelf.hints.borrow();
    let (file, ways) = hints.split_last().unwrap();
    assert_eq!((file.0.clone(), file.2.len()), (file.1.clone(), 0));
    assert!(ways.iter().all(|(_, from, names)| *from == root && names == &["file-04999"]), "{ways:?}");
}

#[test]
fn shards_of_every_fanout_are_read() {
    for fanout in [8, 16, 32, 64, 128, 256, 512, 1024] {
        let shelf = Shelf::default();
        let name = |number: u32| format!("näme {number}.txt");
        let names: Vec<_> = (0..600).map(|number| (name(number), shelf.put(Codec::Raw, number.to_string()))).collect();
        let root = shelf.shards(fanout, &names, 0);
        for (name, cid) in &names {
            assert_eq!(shelf.find(root.clone(), name).as_ref(), Ok(cid), "{name}, fanout {fanout}");
        }
        for number in 600..900 {
            assert!(
                is_missing(shelf.find(root.clone(), &name(number)), root.clone(), &name(number)),
                "fanout {fanout}"
            );
        }
        // What is within a shard is no name.
        assert!(shelf.find(root.clone(), "0").is_err() && shelf.find(root, "00").is_err());
    }
}

/// The bucket of a name in the first shard.
fn bucket(name: &str, fanout: u64) -> u64 {
    mur3::murmurhash3_x64_128(name.as_bytes(), 0).0 >> (64 - fanout.ilog2())
}

#[test]
fn malformed_shards_are_refused() {
    let shelf = Shelf::default();
    let cid = shelf.put(Codec::Raw, "x");
    let at = bucket("x", 256);
    let field = |fanout: u64, buckets: &[u64]| {
        let mut field = vec![0u8; (fanout as usize / 8).max(1)];
        let last = field.len() - 1;
        buckets.iter().for_each(|bucket| field[last - *bucket as usize / 8] |= 1 << (bucket % 8));
        field
    };
    let one = |data: Data| shelf.node(vec![(format!("{at:02X}x"), cid.clone())], data);
    let good = one(hamt(256, field(256, &[at])));
    assert_eq!(shelf.find(good, "x"), Ok(cid.clone()));
    // Zeros in front may be left out: some writers do.
    let short: Vec<u8> = field(256, &[at]).into_iter().skip_while(|byte| *byte == 0).collect();
    assert_eq!(shelf.find(one(hamt(256, short)), "x"), Ok(cid.clone()));

    let mut long = field(256, &[at]);
    long.insert(0, 0);
    let links = |names: &[String]| names.iter().map(|name| (name.clone(), cid.clone())).collect::<Vec<_>>();
    let wrong = [
        ("no fanout", one(Data { fanout: None, ..hamt(256, field(256, &[at])) })),
        ("fanout 0", one(hamt(0, field(256, &[at])))),
        ("fanout 1", one(hamt(1, field(256, &[at])))),
        ("fanout 4", one(hamt(4, field(256, &[at])))),
        ("fanout 100", one(hamt(100, field(256, &[at])))),
        ("fanout 2048", one(hamt(2048, field(2048, &[at])))),
        ("fanout 2^40", one(hamt(1 << 40, field(256, &[at])))),
        ("no hash", one(Data { hash_type: None, ..hamt(256, field(256, &[at])) })),
        ("another hash", one(Data { hash_type: Some(0x12), ..hamt(256, field(256, &[at])) })),
        ("no bit field", one(Data { data: None, ..hamt(256, vec![]) })),
        ("an empty bit field", one(hamt(256, field(256, &[])))),
        ("another bit", one(hamt(256, field(256, &[at ^ 1])))),
        ("a bit too many", one(hamt(256, field(256, &[at, at ^ 1])))),
        ("a bit field too long", one(hamt(256, long))),
        ("another order of bits", one(hamt(256, field(256, &[at]).into_iter().rev().collect()))),
        ("a fanout of other digits", one(hamt(1024, field(1024, &[at])))),
        ("no name", shelf.node(links(&[String::new()]), hamt(256, field(256, &[at])))),
        ("a short name", shelf.node(links(&[format!("{:X}", at >> 4)]), hamt(256, field(256, &[at])))),
        ("lower case", shelf.node(links(&["afx".into()]), hamt(256, field(256, &[0xaf])))),
        ("a sign", shelf.node(links(&["+1x".into()]), hamt(256, field(256, &[1])))),
        ("no digits", shelf.node(links(&["äx".into()]), hamt(256, field(256, &[at])))),
        (
            "two in one bucket",
            shelf.node(links(&[format!("{at:02X}x"), format!("{at:02X}y")]), hamt(256, field(256, &[at]))),
        ),
    ];
    for (case, root) in wrong {
        assert!(matches!(shelf.find(root, "x"), Err(Error::Unsupported(_))), "{case}");
    }
    // Below a shard there are shards of the same fanout.
    let directory = shelf.make(Tree::Directory(vec![("x", Tree::File("x"))]));
    let empty = shelf.shard(16, vec![]);
    for below in [cid, directory, empty] {
        let root = shelf.shard(256, vec![(at, String::new(), below)]);
        assert!(matches!(shelf.find(root, "x"), Err(Error::Unsupported(_))));
    }
}

/// Shards as deep as the hash has bits are read; what lies deeper could be there for no name.
#[test]
fn shards_end_where_the_hash_does() {
    for fanout in [8u64, 16, 256, 1024] {
        let shelf = Shelf::default();
        let file = shelf.put(Codec::Raw, "x");
        let hash = mur3::murmurhash3_x64_128(b"x", 0).0;
        let (bits, levels) = (fanout.ilog2(), 64 / fanout.ilog2());
        let chain = |deepest: u32| {
            let first = (deepest, "x".to_owned(), file.clone());
            let (_, name, cid) = (0..deepest).rev().fold(first, |(_, name, cid), level| {
                let bucket = hash.checked_shl(level * bits).unwrap_or(0) >> (64 - bits);
                (level, String::new(), shelf.shard(fanout, vec![(bucket, name, cid)]))
            });
            assert!(name.is_empty());
            cid
        };
        assert_eq!(shelf.find(chain(levels), "x"), Ok(file.clone()), "fanout {fanout}");
        assert!(matches!(shelf.find(chain(levels + 1), "x"), Err(Error::Unsupported(_))), "fanout {fanout}");
    }
}

#[test]
fn directories_within_directories_and_odd_names() {
    use Tree::{Directory, File};
    let shelf = Shelf::default();
    let root = shelf.make(Directory(vec![
        ("a", Directory(vec![("b", Directory(vec![("c.txt", File("deep"))])), ("%41", File("escaped"))])),
        ("twice", File("first")),
        ("twice", File("second")),
        ("", File("nameless")),
        ("..", File("up")),
    ]));
    let text = |path: &str| shelf.find(root.clone(), path).map(|cid| shelf.blocks.borrow()[&cid].bytes().clone());
    assert_eq!(text("a/b/c.txt").unwrap(), "deep");
    assert_eq!(text("//a///b/c.txt/").unwrap(), "deep");
    assert_eq!(text("a/%41").unwrap(), "escaped");
    assert!(is_missing(shelf.find(root.clone(), "a/A"), root.clone(), "a/A"));
    assert_eq!(text("twice").unwrap(), "first", "all readers must find the same");
    assert!(is_missing(shelf.find(root.clone(), "a/b/c.txt/d"), root.clone(), "a/b/c.txt/d"));
    assert!(is_missing(shelf.find(root.clone(), "a/x/c.txt"), root.clone(), "a/x/c.txt"));
    assert!(matches!(shelf.find(root, "a/../twice"), Err(Error::InvalidArgument(_))));
    let value = shelf.put(Codec::DagCbor, vec![0xa0]);
    assert!(is_missing(shelf.find(value.clone(), "a"), value.clone(), "a"));
    let bare = shelf.put(Codec::DagPb, Node::default().encode());
    assert!(matches!(shelf.find(bare, "a"), Err(Error::Unsupported(_))));
    // Large files are nodes, and nothing is below them either.
    let file = shelf.node(vec![(String::new(), value)], Data { block_sizes: vec![1], ..Data::new(Kind::File) });
    assert!(is_missing(shelf.find(file.clone(), "a"), file, "a"));
}

#[test]
fn symbolic_links_are_followed_within_the_root() {
    use Tree::{Directory, File, Link};
    let shelf = Shelf::default();
    let root = shelf.make(Directory(vec![
        ("file", File("the file")),
        ("here", Link("./file")),
        ("again", Link("here")),
        ("sub", Directory(vec![("up", Link("../file")), ("top", Link("..")), ("out", Link("../../file"))])),
        ("to-sub", Link("sub/")),
        ("zigzag", Link("sub/../sub/./up")),
        ("loop", Link("loop")),
        ("ping", Link("pong")),
        ("pong", Link("ping")),
        ("growing", Link("growing/x")),
        ("absolute", Link("/etc/passwd")),
        ("ipfs", Link("/ipfs/bafkqaaa")),
        ("out", Link("..")),
        ("dangling", Link("nothing")),
        ("empty", Link("")),
        ("many", Link(Box::leak("./sub/../".repeat(MAX_PATH_NAMES).into_boxed_str()))),
        ("long", Link(Box::leak(format!(".{}", "/".repeat(MAX_PATH_BYTES)).into_boxed_str()))),
    ]));
    let file = shelf.find(root.clone(), "file").unwrap();
    for path in ["here", "again", "sub/up", "to-sub/up", "zigzag", "sub/top/sub/top/again", "empty/file"] {
        assert_eq!(shelf.find(root.clone(), path), Ok(file.clone()), "{path}");
    }
    for path in ["sub/out", "to-sub/out", "absolute", "ipfs", "out", "out/file", "sub/top/out"] {
        assert!(matches!(shelf.find(root.clone(), path), Err(Error::Denied(_))), "{path}");
    }
    for path in ["loop", "ping", "growing", "many", "long"] {
        assert!(matches!(shelf.find(root.clone(), path), Err(Error::Unsupported(_))), "{path}");
    }
    assert!(is_missing(shelf.find(root.clone(), "dangling"), root.clone(), "dangling"));
    assert!(is_missing(shelf.find(root.clone(), "here/x"), root, "here/x"));
    // No source is asked to go upwards.
    assert!(shelf.hints.borrow().iter().all(|(_, _, names)| !names.contains(&"..".to_owned())));
    // What a link by itself is relative to, nobody knows.
    let alone = shelf.make(Link("file"));
    assert!(matches!(shelf.find(alone, "x"), Err(Error::Denied(_))));
    let no_text = shelf.node(vec![], Data { data: Some(vec![0xff].into()), ..Data::new(Kind::Symlink) });
    let root = shelf.node(vec![("x".into(), no_text)], Data::new(Kind::Directory));
    assert!(matches!(shelf.find(root, "x"), Err(Error::Unsupported(_))));
}

const CID: &str = "bafkreifzjut3te2nhyekklss27nh3k72ysco7y32koao5eei66wof36n5e";

#[test]
fn paths_are_read() {
    let cases: [(String, &[&str]); 14] = [
        (CID.into(), &[]),
        (format!("{CID}/"), &[]),
        (format!("{CID}/a/b.txt"), &["a", "b.txt"]),
        (format!("{CID}//a///b/"), &["a", "b"]),
        (format!("/ipfs/{CID}"), &[]),
        (format!("/ipfs/{CID}/a b"), &["a b"]),
        (format!("ipfs://{CID}"), &[]),
        (format!("ipfs://{CID}/a/b"), &["a", "b"]),
        (format!("{CID}/a%2Fb%/..."), &["a%2Fb%", "..."]),
        (format!("{CID}/?#&="), &["?#&="]),
        (format!("ipfs://{CID}/a%20b/%C3%A4%25%3F%23"), &["a b", "ä%?#"]),
        (format!("{CID}/\u{1f600}/\\"), &["\u{1f600}", "\\"]),
        ("QmaozNR7DZHQK1ZcU9p7QdrshMvXqWK6gpu5rmrkPdT3L4/x".into(), &["x"]),
        (format!("{CID}{}", "/x".repeat(MAX_PATH_NAMES)), &["x"; MAX_PATH_NAMES]),
    ];
    for (text, names) in cases {
        let path = Path::parse(&text).unwrap_or_else(|error| panic!("{text}: {error}"));
        assert_eq!(path.names(), names, "{text}");
        assert!(text.contains(&path.cid().to_string()));
    }
}

#[test]
fn wrong_paths_are_refused() {
    let names = [
        format!("{CID}/."),
        format!("{CID}/a/../b"),
        format!("{CID}/.."),
        format!("ipfs://{CID}/%2e%2E/a"),
        format!("ipfs://{CID}/a%2Fb"),
        format!("ipfs://{CID}/%ff"),
        format!("ipfs://{CID}/a?download=true"),
        format!("ipfs://{CID}/a#b"),
        format!("{CID}{}", "/x".repeat(MAX_PATH_NAMES + 1)),
        format!("{CID}/{}", "x".repeat(MAX_PATH_BYTES)),
    ];
    for text in names {
        assert!(matches!(Path::parse(&text), Err(Error::InvalidArgument(_))), "{text}");
    }
    let cids = [
        String::new(),
        "/".into(),
        "a/b".into(),
        "../x".into(),
        "/etc/passwd".into(),
        "/ipfs/".into(),
        "/ipfs//a".into(),
        "ipfs://".into(),
        format!("/{CID}"),
        format!("ipfs/{CID}"),
        format!("/ipfs/ipfs://{CID}"),
        format!("/ipns/{CID}"),
        format!("https://gateway.example/ipfs/{CID}"),
        format!("IPFS://{CID}"),
        format!(" {CID}/a"),
        format!("{CID} /a"),
        format!("ipfs://{CID}?x"),
        "x".repeat(5000),
    ];
    for text in cids {
        assert!(matches!(Path::parse(&text), Err(Error::InvalidCid { .. })), "{text}");
    }
    let cid = block::parse(CID).unwrap();
    for name in [".", "..", "a/b"] {
        assert!(matches!(Path::new(cid.clone(), [name.to_owned()]), Err(Error::InvalidArgument(_))), "{name}");
    }
}

proptest! {
    #[test]
    fn any_text_is_a_path_or_refused(text in "(/ipfs/|ipfs://)?[a-zQ]{0,3}[\\PC/.%?]{0,40}") {
        if let Ok(path) = Path::parse(&text) {
            prop_assert_eq!(Path::parse(&path.to_string()).unwrap(), path);
        }
    }

    #[test]
    fn paths_come_back(names in prop::collection::vec("[^/]{1,20}", 0..20)) {
        let cid = block::parse(CID).unwrap();
        let allowed = !names.iter().any(|name| matches!(name.as_str(), "." | ".."));
        let path = Path::new(cid, names.clone());
        prop_assert_eq!(path.is_ok(), allowed);
        let Ok(path) = path else { return Ok(()) };
        prop_assert_eq!(path.names(), &names[..]);
        for text in [path.to_string(), format!("/ipfs/{path}"), format!("{CID}//{}/", names.join("//"))] {
            prop_assert_eq!(&text.parse::<Path>().unwrap(), &path);
        }
        let escaped: Vec<String> =
            names.iter().map(|name| name.bytes().map(|byte| format!("%{byte:02x}")).collect()).collect();
        prop_assert_eq!(Path::parse(&format!("ipfs://{CID}/{}", escaped.join("/"))).unwrap(), path);
    }

    #[test]
    fn no_node_makes_it_panic(
        kind in prop::sample::select(vec![Kind::Directory, Kind::HamtShard, Kind::Symlink, Kind::File]),
        names in prop::collection::vec("[0-9A-F]{0,4}\\PC{0,3}", 0..6),
        data in prop::option::of(prop::collection::vec(any::<u8>(), 0..40)),
        hash_type in prop::option::of(Just(0x22)),
        fanout in prop::option::of(prop::sample::select(vec![0, 1, 8, 16, 256, 1024, 1 << 20])),
    ) {
        let shelf = Shelf::default();
        let file = shelf.put(Codec::Raw, "x");
        let links = names.iter().map(|name| (name.clone(), file.clone())).collect();
        let data = Data { data: data.map(Bytes::from), hash_type, fanout, ..Data::new(kind) };
        let root = shelf.node(links, data);
        for name in names.iter().map(String::as_str).chain(["x", "näme"]) {
            let _ = shelf.find(root.clone(), name);
        }
    }
}
