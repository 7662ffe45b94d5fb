//! dag-pb and UnixFS: what is written is read back, what does not fit is refused, and nothing makes it panic.

use async_trait::async_trait;
use bytes::Bytes;
use cid::Version;
use futures_executor::block_on;
use ipfs_kit_storage::{
    Cid, Error, Result,
    block::{Block, Codec},
    dag::pb::{Link, Node},
    hash::{CpuHasher, HashFunction},
    unixfs::{BlockSource, Data, FileReader, Kind, Metadata, Mtime},
};
use proptest::prelude::*;

/// Blocks by CID; a missing one is an error.
#[derive(Default, Clone)]
struct Shelf(Vec<Block>);

#[async_trait(?Send)]
impl BlockSource for Shelf {
    async fn blocks(&self, cids: &[Cid]) -> Result<Vec<Block>> {
        let find = |cid: &Cid| self.0.iter().find(|block| block.cid() == cid).cloned();
        cids.iter().map(|cid| find(cid).ok_or(Error::NotFound(cid.into()))).collect()
    }
}

impl Shelf {
    fn put(&mut self, codec: Codec, bytes: impl Into<Bytes>) -> Cid {
        let parts = vec![bytes.into()];
        let made = block_on(Block::make(&CpuHasher, Version::V1, codec, HashFunction::Sha2_256, parts));
        let block = made.unwrap().pop().unwrap();
        let cid = block.cid().clone();
        self.0.push(block);
        cid
    }

    fn node(&mut self, children: &[(Cid, u64)], file_size: Option<u64>, data: Option<&'static [u8]>) -> Cid {
        let data = Data {
            data: data.map(Bytes::from_static),
            file_size,
            block_sizes: children.iter().map(|(_, size)| *size).collect(),
            ..Data::new(Kind::File)
        };
        let link = |(cid, size): &(Cid, u64)| Link { cid: cid.clone(), name: Some(String::new()), tsize: Some(*size) };
        let links = children.iter().map(link).collect();
        self.put(Codec::DagPb, Node { links, data: Some(data.encode().into()) }.encode())
    }

    fn read(&self, root: Cid) -> Result<Vec<u8>> {
        block_on(async {
            let mut reader = FileReader::open(self.clone(), root, 0, None).await?;
            let mut whole = Vec::new();
            while let Some(bytes) = reader.next().await? {
                whole.extend_from_slice(&bytes);
            }
            assert_eq!(whole.len() as u64, reader.size());
            Ok(whole)
        })
    }
}

fn is_malformed(outcome: Result<Vec<u8>>) -> bool {
    matches!(outcome, Err(Error::Unsupported(_)))
}

#[test]
fn sizes_that_do_not_fit_are_refused() {
    let mut shelf = Shelf::default();
    let (one, two) = (shelf.put(Codec::Raw, "one"), shelf.put(Codec::Raw, "two!"));
    let good = shelf.node(&[(one.clone(), 3), (two.clone(), 4)], Some(7), None);
    assert_eq!(shelf.read(good.clone()).unwrap(), b"onetwo!");
    let unstated = shelf.node(&[(one.clone(), 3)], None, None);
    assert_eq!(shelf.read(unstated).unwrap(), b"one");
    let with_data = shelf.node(&[(one.clone(), 3)], Some(5), Some(b"0:"));
    assert_eq!(shelf.read(with_data).unwrap(), b"0:one");
    let nested = shelf.node(&[(good.clone(), 7), (one.clone(), 3)], Some(10), None);
    assert_eq!(shelf.read(nested).unwrap(), b"onetwo!one");

    let wrong = [
        shelf.node(&[(one.clone(), 3), (two.clone(), 4)], Some(8), None),
        shelf.node(&[(one.clone(), 4), (two.clone(), 3)], Some(7), None),
        shelf.node(&[(one.clone(), u64::MAX), (two, 2)], Some(1), None),
        shelf.node(&[(good.clone(), 6)], Some(6), None),
        shelf.node(&[(good, 8)], Some(8), None),
    ];
    for (number, root) in wrong.into_iter().enumerate() {
        assert!(is_malformed(shelf.read(root)), "case {number}");
    }
    let missing_size = Node {
        links: vec![Link { cid: one, name: None, tsize: None }],
        data: Some(Data { file_size: Some(0), ..Data::new(Kind::File) }.encode().into()),
    };
    let root = shelf.put(Codec::DagPb, missing_size.encode());
    assert!(is_malformed(shelf.read(root)));
    let no_data = shelf.put(Codec::DagPb, Node::default().encode());
    assert!(is_malformed(shelf.read(no_data)));
}

#[test]
fn a_chain_of_nodes_is_not_followed_for_ever() {
    let mut shelf = Shelf::default();
    let mut root = shelf.put(Codec::Raw, "x");
    for _ in 0..70 {
        root = shelf.node(&[(root, 1)], Some(1), None);
    }
    assert!(is_malformed(shelf.read(root)));
}

#[test]
fn what_is_no_file_is_unsupported() {
    let mut shelf = Shelf::default();
    for kind in [Kind::Directory, Kind::HamtShard, Kind::Symlink, Kind::Metadata] {
        let data = Data::new(kind);
        let root = shelf.put(Codec::DagPb, Node { links: vec![], data: Some(data.encode().into()) }.encode());
        assert!(matches!(shelf.read(root), Err(Error::Unsupported(_))), "{kind:?}");
    }
    let value = shelf.put(Codec::DagCbor, vec![0xa0]);
    assert!(matches!(shelf.read(value), Err(Error::Unsupported(_))));
}

/// The rules of the specification on the order and number of fields.
#[test]
fn disordered_nodes_are_refused() {
    let mut shelf = Shelf::default();
    let cid = shelf.put(Codec::Raw, "x");
    let link = |name: &str| Link { cid, name: Some(name.into()), tsize: Some(1) };
    let node = |links: Vec<Link>, data: Option<&'static [u8]>| Node { links, data: data.map(Bytes::from_static) };
    let one = node(vec![link("a")], None).encode();
    let data = node(vec![], Some(b"d")).encode();
    let joined = |parts: &[&[u8]]| Bytes::from(parts.concat());
    assert!(Node::decode(&joined(&[&one, &one, &data])).is_ok());
    // Data before links is the order of the schema, and is accepted.
    assert!(Node::decode(&joined(&[&data, &one, &one])).is_ok());
    assert!(Node::decode(&joined(&[&one, &data, &one])).is_err(), "links in two groups");
    assert!(Node::decode(&joined(&[&data, &data])).is_err(), "data twice");
    assert!(Node::decode(&joined(&[&one, b"\x1a\x00"])).is_err(), "an unknown field");
    assert!(Node::decode(&joined(&[b"\x08\x01"])).is_err(), "data as a varint");
    assert!(Node::decode(&joined(&[b"\x12\x03\x12\x01a"])).is_err(), "a link without a CID");
    assert!(Node::decode(&joined(&[b"\x0a\x05abc"])).is_err(), "a field longer than the node");
    assert!(Node::decode(&joined(&[b"\x0a\x80\x00"])).is_err(), "an overlong varint");
}

proptest! {
    #[test]
    fn no_bytes_make_it_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let bytes = Bytes::from(bytes);
        let _ = Data::decode(&bytes);
        if let Ok(node) = Node::decode(&bytes) {
            prop_assert_eq!(Node::decode(&node.encode().into()).unwrap(), node);
        }
    }

    #[test]
    fn nodes_come_back(
        names in prop::collection::vec(prop::option::of("\\PC{0,12}"), 0..6),
        sizes in prop::collection::vec(prop::option::of(any::<u64>()), 6),
        data in prop::option::of(prop::collection::vec(any::<u8>(), 0..40)),
    ) {
        let mut shelf = Shelf::default();
        let cid = shelf.put(Codec::Raw, "x");
        let links = names.into_iter().zip(sizes).map(|(name, tsize)| Link { cid: cid.clone(), name, tsize }).collect();
        let node = Node { links, data: data.map(Bytes::from) };
        prop_assert_eq!(Node::decode(&node.encode().into()).unwrap(), node);
    }

    #[test]
    fn data_comes_back(
        kind in prop::sample::select(vec![Kind::Raw, Kind::Directory, Kind::File, Kind::Symlink, Kind::HamtShard]),
        data in prop::option::of(prop::collection::vec(any::<u8>(), 0..40)),
        file_size in prop::option::of(any::<u64>()),
        block_sizes in prop::collection::vec(any::<u64>(), 0..10),
        hash_type in prop::option::of(any::<u64>()),
        fanout in prop::option::of(any::<u64>()),
        mode in prop::option::of(any::<u32>()),
        mtime in prop::option::of((any::<i64>(), 0..1_000_000_000u32)),
    ) {
        // The usual mode is not written, so it does not come back.
        let mode = mode.filter(|mode| *mode != kind.default_mode());
        let mtime = mtime.map(|(seconds, nanoseconds)| Mtime { seconds, nanoseconds });
        let metadata = Metadata { mode, mtime };
        let message = Data { kind, data: data.map(Bytes::from), file_size, block_sizes, hash_type, fanout, metadata };
        prop_assert_eq!(Data::decode(&message.encode().into()).unwrap(), message);
    }
}
