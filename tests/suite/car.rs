//! Archives made by others, in pieces of every size.

use bytes::Bytes;
use futures_executor::block_on;
use ipfs_kit_storage::{
    Block, Cid,
    car::{self, CarDecoder, Index, Item, Malformed},
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
fn version_2_is_read_as_the_version_1_within() {
    let inner = load("sample-v1.car");
    let bare = decode(&inner, inner.len()).unwrap();
    for name in ["sample-v2-indexless.car", "sample-wrapped-v2.car"] {
        let archive = load(name);
        for piece in [1, 13, 51, 4096, archive.len()] {
            assert_eq!(decode(&archive, piece).unwrap(), bare, "{name} by {piece}");
        }
        // The index may be cut off, the data not.
        assert_eq!(decode(&archive[..51 + inner.len()], 4096).unwrap(), bare);
        let cut = decode(&archive[..51 + inner.len() - 1], 4096).unwrap_err();
        assert_eq!(cut.offset, 51 + offsets(&inner).last().unwrap().1, "{cut}");
    }
    let padded = [car::header_v2(inner.len() as u64), vec![7; 100], inner.clone(), vec![9; 33]].concat();
    let mut padded_right = padded.clone();
    padded_right[27..35].copy_from_slice(&151u64.to_le_bytes());
    padded_right[43..51].copy_from_slice(&(151 + 33 + inner.len() as u64).to_le_bytes());
    assert_eq!(decode(&padded_right, 17).unwrap(), bare);
    assert_eq!(decode(&padded, 17).unwrap_err().offset, 51);
    let (roots, blocks) = decode(&load("carv2-basic.car"), 5).unwrap();
    assert_eq!((roots.len(), blocks.len()), (1, 5));
    assert!(all_hold(blocks));
    let (roots, blocks) = decode(&load("carv1-basic.car"), 5).unwrap();
    assert_eq!((roots.len(), blocks.len()), (2, 8));
    assert!(all_hold(blocks));
}

/// The blocks of an archive of version 1 and where their sections begin.
fn offsets(archive: &[u8]) -> Vec<(Cid, u64, Bytes)> {
    let mut decoder = CarDecoder::new();
    decoder.push(archive);
    let (mut found, mut at) = (Vec::new(), 0);
    while let Some(item) = decoder.next_item().unwrap() {
        if let Item::Block(cid, bytes) = item {
            found.push((cid, at, bytes));
        }
        at = decoder.place().offset;
    }
    found
}

#[test]
fn what_is_written_is_what_others_write() {
    for name in ["sample-v1.car", "dir3-v1.car", "carv1-basic.car", "many5000-v1.car"] {
        let archive = load(name);
        let (roots, blocks) = decode(&archive, archive.len()).unwrap();
        let mut written = car::header(&roots);
        for (cid, bytes) in blocks {
            let head = car::section_head(&cid, bytes.len());
            assert_eq!((head.len() + bytes.len()) as u64, car::section_bytes(&cid, bytes.len() as u64));
            written.extend([&head, bytes.as_ref()].concat());
        }
        assert!(written == archive, "{name}");
    }
    for name in ["sample-wrapped-v2.car", "sample-unixfs-v2.car"] {
        let archive = load(name);
        let data = u64::from_le_bytes(archive[35..43].try_into().unwrap());
        let inner = &archive[51..51 + data as usize];
        let mut index = Index::default();
        offsets(inner).iter().for_each(|(cid, offset, _)| index.push(cid, *offset));
        let written = index.encode();
        assert_eq!(written.len() as u64, index.encoded_len());
        assert!([&car::header_v2(data), inner, &written].concat() == archive, "{name}");
    }
    // Two functions, two lengths of one of them.
    let mut index = Index::default();
    for text in [
        "bafkrgqhhyivzstcz3hhswshfjgy6ertgmnqeleynhwt4dlfsthi4hn7zgh4uvlsb5xncykzapi3ocd4lzogukir6ksdy6wzrnz6ohnv4aglcs",
        "bafkreifzjut3te2nhyekklss27nh3k72ysco7y32koao5eei66wof36n5e",
        "bafkqaaa",
    ] {
        index.push(&ipfs_kit_storage::block::parse(text).unwrap(), 9);
    }
    let written = index.encode();
    assert_eq!(written.len() as u64, index.encoded_len());
    assert_eq!(&written[..14], [0x81, 8, 2, 0, 0, 0, 0x12, 0, 0, 0, 0, 0, 0, 0]);
}

#[test]
fn one_goes_on_from_any_place() {
    for name in ["dir3-v1.car", "carv2-basic.car"] {
        let archive = load(name);
        let (_, blocks) = decode(&archive, archive.len()).unwrap();
        let mut decoder = CarDecoder::new();
        decoder.push(&archive);
        let mut given = 0;
        while let Some(item) = decoder.next_item().unwrap() {
            given += usize::from(matches!(item, Item::Block(..)));
            let place = decoder.place();
            let mut later = CarDecoder::at(place);
            later.push(&archive[place.offset as usize..]);
            let rest: Vec<Item> = std::iter::from_fn(|| later.next_item().unwrap()).collect();
            later.finish().unwrap();
            assert_eq!(rest.len(), blocks.len() - given);
            assert_eq!(later.place(), {
                let mut to_the_end = CarDecoder::at(place);
                to_the_end.push(&archive[place.offset as usize..]);
                while to_the_end.next_item().unwrap().is_some() {}
                to_the_end.push(b"more");
                to_the_end.place()
            });
        }
    }
}

#[test]
fn broken_ones_are_refused_where_they_break() {
    let good = load("dir3-v1.car");
    let starts: Vec<u64> = offsets(&good).iter().map(|(_, at, _)| *at).collect();
    for end in [0, 1, 10, 58, 60, good.len() / 2, good.len() - 1] {
        let broken = decode(&good[..end], 4096).unwrap_err();
        let begun = starts.iter().rev().find(|start| **start < end as u64).copied().unwrap_or(0);
        assert_eq!(broken.offset, begun, "cut off at {end}: {broken}");
    }
    assert!(decode(&load("sample-corrupt-pragma.car"), 4096).is_err());
    let tail = load("sample-v1-tailing-corrupt-section.car");
    let broken = decode(&tail, 4096).unwrap_err();
    let sound = offsets(&load("sample-v1.car"));
    assert_eq!(broken.offset, sound.last().unwrap().1, "{broken}");
    // Zeros at the end are no padding, for the format has none.
    let padded = [good.as_slice(), &[0; 64]].concat();
    assert_eq!(decode(&padded, 4096).unwrap_err().offset, good.len() as u64);
    // A part that says it is larger than any may be is refused before it is there.
    let mut decoder = CarDecoder::new();
    decoder.push(&[0xff, 0xff, 0xff, 0xff, 0x7f]);
    assert!(decoder.next_item().is_err());
    let mut reaches_out = load("carv2-basic.car");
    reaches_out[35] -= 1;
    let last = offsets(&reaches_out[51..51 + 448]).last().unwrap().1;
    assert_eq!(decode(&reaches_out, 4096).unwrap_err().offset, 51 + last);
    reaches_out[43] = 60;
    assert_eq!(decode(&reaches_out, 4096).unwrap_err().offset, 11);
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
        let mut archive = load("carv2-basic.car");
        let to = (from + bytes.len()).min(archive.len());
        archive[from..to].copy_from_slice(&bytes[..to - from]);
        let _ = decode(&archive, piece);
    }
}
