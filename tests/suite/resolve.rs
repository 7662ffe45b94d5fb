//! Paths through values of linked data, through directories, and from one to the other.

use std::{cell::RefCell, collections::HashMap};

use async_trait::async_trait;
use bytes::Bytes;
use cid::Version;
use futures_executor::block_on;
use ipfs_kit_storage::{
    Cid, Error, Path, Result,
    block::{Block, Codec},
    dag::{
        cbor, json,
        pb::{Link, Node},
    },
    hash::{CpuHasher, HashFunction},
    unixfs::{BlockSource, Data, Kind, MAX_PATH_NAMES, Place, locate, resolve},
};

/// Blocks by CID; a missing one is an error.
#[derive(Default)]
struct Shelf {
    blocks: RefCell<HashMap<Cid, Block>>,
    read: RefCell<Vec<Cid>>,
    hints: RefCell<Vec<(Cid, Vec<String>)>>,
}

#[async_trait(?Send)]
impl BlockSource for Shelf {
    async fn blocks(&self, cids: &[Cid]) -> Result<Vec<Block>> {
        self.read.borrow_mut().extend_from_slice(cids);
        let blocks = self.blocks.borrow();
        cids.iter().map(|cid| blocks.get(cid).cloned().ok_or(Error::NotFound(cid.into()))).collect()
    }

    fn on_the_way(&self, node: &Cid, _: &Cid, names: &[String]) {
        self.hints.borrow_mut().push((node.clone(), names.to_vec()));
    }
}

impl Shelf {
    fn put(&self, codec: Codec, bytes: impl Into<Bytes>) -> Cid {
        let parts = vec![bytes.into()];
        let made = block_on(Block::make(&CpuHasher, Version::V1, codec, HashFunction::Sha2_256, parts));
        let block = made.unwrap().pop().unwrap();
        let cid = block.cid().clone();
        self.blocks.borrow_mut().insert(cid.clone(), block);
        cid
    }

    /// A value that is written as dag-json, in this codec.
    fn value(&self, codec: Codec, text: &str) -> Cid {
        let value = json::decode(text.as_bytes()).unwrap();
        self.put(codec, if codec == Codec::DagCbor { cbor::encode(&value) } else { json::encode(&value) }.unwrap())
    }

    fn node(&self, links: &[(&str, Cid)], data: Data) -> Cid {
        let links = links.iter().map(|(name, cid)| Link { cid: cid.clone(), name: Some((*name).into()), tsize: None });
        let node = Node { links: links.collect(), data: Some(data.encode().into()) };
        self.put(Codec::DagPb, node.encode())
    }

    fn directory(&self, links: &[(&str, Cid)]) -> Cid {
        self.node(links, Data::new(Kind::Directory))
    }

    fn symlink(&self, target: &'static str) -> Cid {
        self.node(&[], Data { data: Some(target.into()), ..Data::new(Kind::Symlink) })
    }

    fn find(&self, root: Cid, path: &str) -> Result<Place> {
        block_on(locate(self, &Path::parse(&format!("{root}/{path}"))?))
    }
}

fn place(cid: Cid, within: &[&str]) -> Result<Place> {
    Ok(Place { cid, within: within.iter().map(|name| (*name).to_owned()).collect() })
}

fn is_missing(found: Result<Place>) -> bool {
    matches!(found, Err(Error::NotFound(_)))
}

#[test]
fn names_and_numbers_lead_through_values_and_links_into_other_blocks() {
    for codec in [Codec::DagCbor, Codec::DagJson] {
        let shelf = Shelf::default();
        let raw = shelf.put(Codec::Raw, "raw");
        let inner = shelf.value(codec, &format!(r#"{{"list":[1,{{"raw":{{"/":"{raw}"}}}}],"":0}}"#));
        let root = shelf.value(codec, &format!(r#"{{"a":{{"b":{{"/":"{inner}"}},"c":null}},"0":"zero"}}"#));
        assert_eq!(shelf.find(root.clone(), ""), place(root.clone(), &[]));
        assert_eq!(shelf.read.borrow().len(), 0, "a plain CID leads to itself");
        assert_eq!(shelf.find(root.clone(), "a"), place(root.clone(), &["a"]));
        assert_eq!(shelf.find(root.clone(), "a/c"), place(root.clone(), &["a", "c"]));
        assert_eq!(shelf.find(root.clone(), "0"), place(root.clone(), &["0"]));
        // A link at the end is followed.
        shelf.read.take();
        assert_eq!(shelf.find(root.clone(), "a/b"), place(inner.clone(), &[]));
        assert_eq!(*shelf.read.borrow(), std::slice::from_ref(&root), "where it ends nothing need be read");
        assert_eq!(shelf.find(root.clone(), "a/b/list"), place(inner.clone(), &["list"]));
        assert_eq!(shelf.find(root.clone(), "a/b/list/0"), place(inner.clone(), &["list", "0"]));
        shelf.hints.take();
        assert_eq!(shelf.find(root.clone(), "a/b/list/1/raw"), place(raw.clone(), &[]));
        let names = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
        let hints = [
            (root.clone(), names(&["a", "b", "list", "1", "raw"])),
            (inner.clone(), names(&["list", "1", "raw"])),
            (raw, names(&[])),
        ];
        assert_eq!(*shelf.hints.borrow(), hints);
        for none in ["b", "a/b/list/2", "a/b/list/01", "a/b/list/-1", "a/b/list/x", "a/c/d", "0/0", "a/b/list/1/raw/x"]
        {
            assert!(is_missing(shelf.find(root.clone(), none)), "{none}");
        }
        // To whom a part of a value is of no use, it is said so.
        let part = block_on(resolve(&shelf, &format!("{root}/a").parse().unwrap()));
        assert!(matches!(part, Err(Error::Unsupported(why)) if why.contains("part of a value")));
        assert_eq!(block_on(resolve(&shelf, &format!("{root}/a/b").parse().unwrap())), Ok(inner));
    }
}

#[test]
fn values_lead_into_directories_and_back_and_symbolic_links_through_both() {
    let shelf = Shelf::default();
    let file = shelf.put(Codec::Raw, "the file");
    let deep = shelf.value(Codec::DagJson, &format!(r#"{{"file":{{"/":"{file}"}},"x":{{"y":[7]}}}}"#));
    let directory = shelf.directory(&[
        ("deep", deep.clone()),
        ("file", file.clone()),
        ("to-y", shelf.symlink("deep/x/y")),
        ("zigzag", shelf.symlink("deep/x/y/../../file")),
        ("back", shelf.symlink("deep/../file")),
        ("up", shelf.symlink("../name")),
        ("beside", shelf.symlink("../../other/0")),
        ("top", shelf.symlink("../..")),
        ("out", shelf.symlink("../../../name")),
        ("bad", shelf.symlink("deep/x/../nothing")),
    ]);
    let other = r#"{"dirs":[{"/":"DIRECTORY"}],"name":"n","other":["o"]}"#.replace("DIRECTORY", &directory.to_string());
    let root = shelf.value(Codec::DagCbor, &other);
    assert_eq!(shelf.find(root.clone(), "dirs/0"), place(directory.clone(), &[]));
    assert_eq!(shelf.find(root.clone(), "dirs/0/file"), place(file.clone(), &[]));
    assert_eq!(shelf.find(root.clone(), "dirs/0/deep"), place(deep.clone(), &[]));
    assert_eq!(shelf.find(root.clone(), "dirs/0/deep/file"), place(file.clone(), &[]));
    assert_eq!(shelf.find(root.clone(), "dirs/0/deep/x/y/0"), place(deep.clone(), &["x", "y", "0"]));
    assert_eq!(shelf.find(root.clone(), "dirs/0/to-y/0"), place(deep, &["x", "y", "0"]));
    assert_eq!(shelf.find(root.clone(), "dirs/0/zigzag"), place(file.clone(), &[]));
    assert_eq!(shelf.find(root.clone(), "dirs/0/back"), place(file, &[]));
    // What is above a directory is the list that links to it.
    assert!(is_missing(shelf.find(root.clone(), "dirs/0/up")));
    assert_eq!(shelf.find(root.clone(), "dirs/0/beside"), place(root.clone(), &["other", "0"]));
    assert_eq!(shelf.find(root.clone(), "dirs/0/top"), place(root.clone(), &[]));
    assert_eq!(shelf.find(root.clone(), "dirs/0/top/name"), place(root.clone(), &["name"]));
    assert!(matches!(shelf.find(root.clone(), "dirs/0/out"), Err(Error::Denied(_))));
    assert!(matches!(shelf.find(directory, "beside"), Err(Error::Denied(_))));
    assert!(is_missing(shelf.find(root, "dirs/0/bad")));
}

#[test]
fn a_value_that_is_none_is_refused_and_a_missing_block_is_told() {
    let shelf = Shelf::default();
    let bad = shelf.put(Codec::DagCbor, vec![0x18, 0]);
    assert!(matches!(shelf.find(bad.clone(), "a"), Err(Error::Unsupported(why)) if why.contains(&bad.to_string())));
    let gone = shelf.put(Codec::DagCbor, vec![0xa0]);
    shelf.blocks.borrow_mut().remove(&gone);
    let root = shelf.value(Codec::DagJson, &format!(r#"[{{"/":"{gone}"}}]"#));
    assert_eq!(shelf.find(root.clone(), "0"), place(gone.clone(), &[]));
    assert_eq!(shelf.find(root, "0/a"), Err(Error::NotFound(gone.into())));
    // A link to what this engine has no codec for is found, and leads no further.
    let git = "baf4bcfgio3hovkftaer3yx6jsnm6navhg4yimwi";
    let root = shelf.value(Codec::DagJson, &format!(r#"[{{"/":"{git}"}}]"#));
    assert!(matches!(shelf.find(root, "0/a"), Err(Error::InvalidCid { .. })));
    // As deep as a path may be.
    let deep = (0..MAX_PATH_NAMES).fold(shelf.value(Codec::DagCbor, "1"), |below, _| {
        shelf.value(Codec::DagCbor, &format!(r#"[{{"/":"{below}"}}]"#))
    });
    assert!(shelf.find(deep, &"0/".repeat(MAX_PATH_NAMES)).is_ok());
}
