//! Files in pieces: writers, readers and ranges, and how little memory they take.

use sha2::{Digest, Sha256};
use tempfile::TempDir;
use wasmtime_host_tests::{
    BARE, Keystream, Plugin, assert_error, buffer, ipip_cid, kubo_cids, named, part, plain, random_bytes,
    types::{Error, Layout, Profile},
    whole, with_layout,
};

const MIB: usize = 1024 * 1024;

#[test]
fn pieces_of_any_size_give_the_same_file() {
    let folder = TempDir::new().unwrap();
    let mut plugin = Plugin::open(folder.path());
    let size = 10 * MIB;
    let data = buffer(size);
    let (_, cid) = kubo_cids(Profile::UnixfsV12025).into_iter().find(|(of, _)| *of == size).unwrap();
    for piece in [977, 65_537, MIB - 1, MIB, MIB + 1, 3 * MIB + 7, size] {
        let stored = plugin.stream(data.chunks(piece), &named(piece.to_string())).unwrap();
        assert_eq!((stored.cid, stored.size), (cid.clone(), Some(size as u64)), "in pieces of {piece}");
    }
    let mut random = fastrand::Rng::with_seed(7);
    let mut rest = data.as_slice();
    let uneven = std::iter::from_fn(|| {
        let (piece, later) = rest.split_at(random.usize(..400_000).min(rest.len()));
        let over = rest.is_empty();
        rest = later;
        (!over).then_some(piece)
    });
    assert_eq!(plugin.stream(uneven, &plain()).unwrap().cid, cid);
    let empty = plugin.stream([b""; 3], &plain()).unwrap();
    assert_eq!((empty.size, plugin.retrieve(&empty.cid).unwrap()), (Some(0), Vec::new()));
}

#[test]
fn a_reader_gives_exactly_its_range() {
    let folder = TempDir::new().unwrap();
    let mut plugin = Plugin::open(folder.path());
    let data = random_bytes(1, 300_000);
    let small = Layout { chunk_size: Some(1000), width: Some(4), ..Layout::from(Profile::UnixfsV12025) };
    for options in [plain(), with_layout(small), with_layout(Profile::UnixfsV02015.into())] {
        let cid = plugin.store(&data, &options).unwrap().cid;
        let edges = [0, 1, 999, 1000, 1001, 262_144, 299_999, 300_000, 300_001, u64::MAX];
        let lengths = [Some(0), Some(1), Some(1000), Some(70_001), Some(u64::MAX), None];
        for (offset, length) in edges.iter().flat_map(|offset| lengths.map(|length| (*offset, length))) {
            let from = data.len().min(usize::try_from(offset).unwrap());
            let to = length.map_or(data.len(), |length| data.len().min(from.saturating_add(length as usize)));
            let range = plugin.read_range(&cid, offset, length, 4096).unwrap();
            assert!(range == data[from..to], "offset {offset}, length {length:?} gave {} bytes", range.len());
        }
        for max in [1, 7, 4096, u32::MAX] {
            assert!(plugin.read_range(&cid, 1234, Some(5000), max).unwrap() == data[1234..6234], "{max} at a time");
        }
    }
}

#[test]
fn a_reader_tells_the_size_and_refuses_to_read_nothing() {
    let folder = TempDir::new().unwrap();
    let mut plugin = Plugin::open(folder.path());
    let cid = plugin.store(&buffer(5000), &plain()).unwrap().cid;
    let reader = plugin.open_reader(&cid, part(4990, Some(2))).unwrap();
    assert_eq!(plugin.size(reader), 5000);
    assert_error!(plugin.read(reader, 0), Error::InvalidArgument(_));
    assert_eq!(plugin.read(reader, 100).unwrap(), buffer(5000)[4990..4992]);
    assert_eq!(plugin.read(reader, 100).unwrap(), b"");
    assert_eq!(plugin.read(reader, 100).unwrap(), b"");
}

/// Wasmtime would stop the component that returns too much at once.
#[test]
fn a_large_file_in_one_piece_is_refused_and_read_in_pieces() {
    let folder = TempDir::new().unwrap();
    let mut plugin = Plugin::open(folder.path());
    let most = 64 * MIB;
    let data = random_bytes(3, most + 1);
    let fits = plugin.stream(data[..most].chunks(MIB), &plain()).unwrap();
    let larger = plugin.stream(data.chunks(MIB), &plain()).unwrap();
    assert!(plugin.retrieve(&fits.cid).unwrap() == data[..most]);
    assert_error!(plugin.retrieve(&larger.cid), Error::Unsupported(message) if message.contains("open-reader"));
    assert!(plugin.read_range(&larger.cid, 0, None, 1 << 20).unwrap() == data);
}

#[test]
fn a_finished_writer_takes_nothing_more() {
    let folder = TempDir::new().unwrap();
    let mut plugin = Plugin::open(folder.path());
    let writer = plugin.create_writer(&plain()).unwrap();
    plugin.write(writer, b"hello").unwrap();
    plugin.finish(writer).unwrap();
    assert_error!(plugin.write(writer, b"more"), Error::Cancelled);
    assert_error!(plugin.finish(writer), Error::Cancelled);
    assert_eq!(plugin.list().len(), 1);
}

#[test]
fn writers_and_readers_can_be_open_side_by_side() {
    let folder = TempDir::new().unwrap();
    let mut plugin = Plugin::open(folder.path());
    let read = random_bytes(1, 6 * MIB);
    let cid = plugin.store(&read, &plain()).unwrap().cid;
    let written = [random_bytes(2, 20 * MIB), random_bytes(3, 20 * MIB)];
    let writers = [plugin.create_writer(&plain()).unwrap(), plugin.create_writer(&plain()).unwrap()];
    let reader = plugin.open_reader(&cid, whole()).unwrap();
    let mut back = Vec::new();
    for (one, other) in written[0].chunks(777_777).zip(written[1].chunks(777_777)) {
        plugin.write(writers[0], one).unwrap();
        back.extend(plugin.read(reader, 300_000).unwrap());
        plugin.write(writers[1], other).unwrap();
        // Waits for the writers with dropping what they have written ahead.
        let passing = plugin.store(one, &plain()).unwrap().cid;
        plugin.delete(&passing).unwrap();
    }
    plugin.read_with(reader, 1 << 20, |bytes| back.extend_from_slice(bytes)).unwrap();
    assert!(back == read);
    for (writer, data) in writers.into_iter().zip(&written) {
        let cid = plugin.finish(writer).unwrap().cid;
        assert!(plugin.retrieve(&cid).unwrap() == *data);
    }
}

/// The measure of "memory stays bounded": through the whole file, writing and reading.
#[test]
fn a_gibibyte_passes_through_less_than_64_mib_of_memory() {
    const SIZE: u64 = 1 << 30;
    let folder = TempDir::new().unwrap();
    let mut plugin = Plugin::open(folder.path());
    // Odd pieces, so that they never fall together with chunks.
    let mut source = Keystream::new("v1-2025-seed", SIZE, 3 * MIB + 12_345);
    let stored = plugin.stream(&mut source, &named("large")).unwrap();
    assert_eq!(stored.cid, ipip_cid(Profile::UnixfsV12025, "v1-2025-seed", SIZE));
    assert_eq!(stored.size, Some(SIZE));
    let written = plugin.peak_memory();

    let mut hash = Sha256::new();
    let reader = plugin.open_reader(&stored.cid, whole()).unwrap();
    assert_eq!(plugin.read_with(reader, 1 << 20, |bytes| hash.update(bytes)).unwrap(), SIZE);
    assert_eq!(<[u8; 32]>::from(hash.finalize()), source.digest());
    let read = plugin.peak_memory();
    println!(
        "peak linear memory: {:.1} MiB after writing 1 GiB, {:.1} MiB after reading it",
        written as f64 / MIB as f64,
        read as f64 / MIB as f64
    );
    assert!(read < 64 * MIB, "{read} bytes");
}

/// The memory that many small files take together goes with their bytes, not with their number.
#[test]
fn thousands_of_small_files_take_little_memory() {
    let folder = TempDir::new().unwrap();
    let mut plugin = Plugin::open(folder.path());
    let files: Vec<_> = (0..5000).map(|n| (random_bytes(n, 100), plain())).collect();
    assert_eq!(plugin.store_many(&files).unwrap().len(), 5000);
    println!("peak linear memory: {:.1} MiB with 5000 files of 100 bytes", plugin.peak_memory() as f64 / MIB as f64);
    assert!(plugin.peak_memory() < 32 * MIB, "{} bytes", plugin.peak_memory());
}

/// More entries than a tree keeps in memory, in one directory and in many.
#[test]
fn trees_of_very_many_files_take_little_memory() {
    const FILES: usize = 200_000;
    let one: fn(usize) -> String = |n| format!("file-{n:06}");
    let nested: fn(usize) -> String = |n| format!("{:02}/{:02}/file-{n:06}", n % 10, n / 10 % 100);
    for path in [one, nested] {
        let folder = TempDir::new().unwrap();
        let mut plugin = Plugin::open(folder.path());
        let tree = plugin.create_tree(&plain()).unwrap();
        for n in 0..FILES {
            plugin.tree_file(tree, &path(n), format!("This is file {n}.").as_bytes(), BARE).unwrap();
        }
        let root = plugin.tree_finish(tree).unwrap().cid;
        let memory = plugin.peak_memory();
        println!("peak linear memory: {:.1} MiB with {FILES} files like {}", memory as f64 / MIB as f64, path(7));
        let some = plugin.retrieve(&format!("{root}/{}", path(77_777))).unwrap();
        assert_eq!(String::from_utf8(some).unwrap(), "This is file 77777.");
        assert!(memory < 144 * MIB, "{memory} bytes");
    }
}
