//! Archives made by others, in pieces of every size.
#![cfg(not(target_family = "wasm"))]

use bytes::Bytes;
use futures_executor::block_on;
use ipfs_kit_storage::{
    Block, Cid,
    car::{CarDecoder, Item, Malformed},
    hash::CpuHasher,
};
use proptest::prelude::*;

fn load(name: &str) -> Vec<u8> {
    std::fs::read(format!("{}/tests/vectors/car/{name}", env!("CARGO_MANIFEST_DIR"))).unwrap()
}

type Archive = (Vec<Cid>, Vec<(Cid, Bytes)>);

fn decode(archive: &[u8], piece: usize) -> Result<Archive, Malformed> {
    let mut decoder = CarDecoder::new();
    let (mut roots, mut blocks) = (Vec::new(), Vec::new());
    for piece in archive.chunks(piece) {
        decoder.push(piece);
        while let Some(item) = decoder.next_item()? {
            match item {
                Item::Header(named) => roots = named,
                Item::Block(cid, bytes) => blocks.push((cid, bytes)),
            }
        }
    }
    decoder.finish()?;
    Ok((roots, blocks))
}

fn all_hold(blocks: Vec<(Cid, Bytes)>) -> bool {
    block_on(Block::verify(&CpuHasher, blocks)).unwrap().into_iter().all(|checked| checked.is_ok())
}

#[test]
fn archives_of_kubo_and_go_car_are_read() {
    for (name, root, count) in [
        ("dir3-v1.car", "bafybei", 4),
        ("file1048577-chunk1024-v1.car", "bafybei", 5),
        ("sample-v1.car", "bafy2bzaced4ueelaegfs5fqu4tzsh6ywbbpfk3cxppupmxfdhbpbhzawfw5oy", 1049),
    ] {
        let archive = load(name);
        let (roots, blocks) = decode(&archive, archive.len()).unwrap_or_else(|error| panic!("{name}: {error}"));
        assert!(roots[0].to_string().starts_with(root) && blocks.len() >= count, "{name}");
        for piece in [1, 2, 7, 1000, 65_537] {
            assert_eq!(decode(&archive, piece).unwrap(), (roots.clone(), blocks.clone()), "{name} by {piece}");
        }
    }
    assert!(all_hold(decode(&load("dir3-v1.car"), 4096).unwrap().1));
}

#[test]
fn broken_ones_are_refused() {
    let good = load("dir3-v1.car");
    for end in [0, 1, 10, 58, 60, good.len() / 2, good.len() - 1] {
        assert!(decode(&good[..end], 4096).is_err(), "cut off at {end}");
    }
    let v2 = decode(&load("sample-unixfs-v2.car"), 4096).unwrap_err();
    assert!(v2.0.contains("version 2"), "{v2}");
    assert!(decode(&load("sample-corrupt-pragma.car"), 4096).is_err());
    assert!(decode(&load("sample-v1-tailing-corrupt-section.car"), 4096).is_err());
    // A part that says it is larger than any may be is refused before it is there.
    let mut decoder = CarDecoder::new();
    decoder.push(&[0xff, 0xff, 0xff, 0xff, 0x7f]);
    assert!(decoder.next_item().is_err());
}

proptest! {
    /// Whatever comes, it is decoded or refused.
    #[test]
    fn nothing_makes_it_panic(bytes in prop::collection::vec(any::<u8>(), 0..400), from in 0usize..300, piece in 1usize..50) {
        let _ = decode(&bytes, piece);
        let mut archive = load("dir3-v1.car")[..2000].to_vec();
        let to = (from + bytes.len()).min(archive.len());
        archive[from..to].copy_from_slice(&bytes[..to - from]);
        let _ = decode(&archive, piece);
    }
}
