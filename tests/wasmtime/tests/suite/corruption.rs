//! Damage on the medium: it is noticed, it stays where it is, and it heals when the file is stored again.

use std::{
    fs,
    path::{Path, PathBuf},
};

use tempfile::TempDir;
use wasmtime_host_tests::{
    Plugin, assert_error, named, plain, random_bytes,
    types::{Error, FileInfo},
};

const MIB: usize = 1024 * 1024;

fn segments(folder: &Path) -> Vec<PathBuf> {
    let paths = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let mut segments: Vec<PathBuf> = paths.filter(|path| name(path).starts_with("segment-")).collect();
    segments.sort();
    segments
}

fn name(path: &Path) -> &str {
    path.file_name().unwrap().to_str().unwrap()
}

/// Flips one bit in the middle of these bytes, in the segment that holds them.
fn damage(folder: &Path, body: &[u8]) {
    for segment in segments(folder) {
        let mut bytes = fs::read(&segment).unwrap();
        if let Some(at) = bytes.windows(32).position(|window| window == &body[..32]) {
            bytes[at + body.len() / 2] ^= 0x10;
            return fs::write(segment, bytes).unwrap();
        }
    }
    panic!("no segment holds it");
}

fn flip_bit(path: &Path, at: usize) {
    let mut bytes = fs::read(path).unwrap();
    bytes[at] ^= 0x10;
    fs::write(path, bytes).unwrap();
}

/// The CID of these bytes as a block.
fn block_cid(bytes: &[u8]) -> String {
    let folder = TempDir::new().unwrap();
    Plugin::open(folder.path()).store(bytes, &plain()).unwrap().cid
}

#[test]
fn a_flipped_bit_is_found_set_aside_and_healed() {
    let folder = TempDir::new().unwrap();
    let (small, large, other) = (random_bytes(1, 5000), random_bytes(2, 3 * MIB), random_bytes(3, 3 * MIB));
    let leaf = &large[MIB..2 * MIB];
    let leaf_cid = block_cid(leaf);
    let mut plugin = Plugin::open(folder.path());
    let cids = [&small, &large, &other].map(|data| plugin.store(data, &plain()).unwrap().cid);
    plugin.close();
    damage(folder.path(), &small);
    damage(folder.path(), leaf);

    let mut plugin = Plugin::open(folder.path());
    let [small_cid, large_cid, other_cid] = &cids;
    assert_eq!(plugin.list().len(), 3);
    for (file, block) in [(small_cid, small_cid), (large_cid, &leaf_cid)] {
        assert!(plugin.exists(block).unwrap(), "nobody has looked at it yet");
        let corruption = assert_error!(plugin.retrieve(file), Error::Corrupt(corruption) => corruption);
        assert_eq!(corruption.cid.as_ref(), Some(block));
        assert!(!plugin.exists(block).unwrap(), "what was set aside is not there");
        let missing = assert_error!(plugin.retrieve(file), Error::NotAvailableOffline(missing) => missing);
        assert_eq!(&missing.cid, block);
    }
    assert_eq!(plugin.backend_status().unwrap().quarantined, 2);
    // Around the damage everything can be read, even of the same file.
    assert!(plugin.retrieve(other_cid).unwrap() == other);
    assert!(plugin.read_range(large_cid, 0, Some(MIB as u64), u32::MAX).unwrap() == large[..MIB]);
    assert!(plugin.read_range(large_cid, 2 * MIB as u64, None, u32::MAX).unwrap() == large[2 * MIB..]);
    plugin.close();

    let mut plugin = Plugin::open(folder.path());
    assert_eq!(plugin.backend_status().unwrap().quarantined, 2, "it is remembered");
    assert!(!plugin.exists(&leaf_cid).unwrap());
    for (data, cid) in [&small, &large, &other].into_iter().zip(&cids) {
        assert_eq!(&plugin.store(data, &plain()).unwrap().cid, cid);
    }
    for reopens in [false, true] {
        if reopens {
            plugin.close();
            plugin = Plugin::open(folder.path());
        }
        assert!(plugin.exists(&leaf_cid).unwrap());
        for (data, cid) in [&small, &large, &other].into_iter().zip(&cids) {
            assert!(plugin.retrieve(cid).unwrap() == *data);
        }
    }
}

#[test]
fn a_damaged_file_can_be_deleted() {
    let folder = TempDir::new().unwrap();
    let data = random_bytes(1, 3 * MIB);
    let mut plugin = Plugin::open(folder.path());
    let cid = plugin.store(&data, &plain()).unwrap().cid;
    plugin.close();
    damage(folder.path(), &data[..MIB]);
    let mut plugin = Plugin::open(folder.path());
    assert_error!(plugin.retrieve(&cid), Error::Corrupt(_));
    plugin.delete(&cid).unwrap();
    let status = plugin.backend_status().unwrap();
    assert_eq!((status.blocks, status.bytes, status.roots), (0, 0, 0));
}

/// Between the header of a frame and the next one nothing says where that next one is; all the same it is not lost.
#[test]
fn a_flipped_bit_in_a_header_costs_no_other_file() {
    let folder = TempDir::new().unwrap();
    let datas: Vec<Vec<u8>> = (0..10).map(|n| random_bytes(n, 50_000)).collect();
    let mut plugin = Plugin::open(folder.path());
    let cids: Vec<String> = datas.iter().map(|data| plugin.store(data, &plain()).unwrap().cid).collect();
    plugin.close();
    let segment = segments(folder.path()).remove(0);
    let log = fs::read(&segment).unwrap();
    let body = log.windows(32).position(|window| window == &datas[2][..32]).unwrap();
    // In the block's key, which lies before its bytes.
    flip_bit(&segment, body - 10);
    let mut plugin = Plugin::open(folder.path());
    for (n, (data, cid)) in datas.iter().zip(&cids).enumerate().filter(|(n, _)| *n != 2) {
        let back = plugin.retrieve(cid);
        assert!(back.as_ref() == Ok(data), "file {n}: {:?}", back.map(|back| back.len()));
    }
}

/// A store with two checkpoints and some log after them.
fn with_checkpoints(folder: &Path) -> Vec<FileInfo> {
    let mut plugin = Plugin::open(folder);
    for round in 0..2 {
        for n in 0..9 {
            plugin.store(&random_bytes(round * 10 + n, 8 * MIB), &named(format!("{round}.{n}"))).unwrap();
        }
        let gone = plugin.store(&[round as u8; 100], &plain()).unwrap().cid;
        plugin.delete(&gone).unwrap();
    }
    plugin.list()
}

#[test]
fn opening_survives_any_damage_to_the_checkpoints() {
    let folder = TempDir::new().unwrap();
    let files = with_checkpoints(folder.path());
    let indexes = ["index-a", "index-b"].map(|name| folder.path().join(name));
    let whole = indexes.clone().map(|path| fs::read(path).unwrap());
    let log: Vec<Vec<u8>> = segments(folder.path()).iter().map(|path| fs::read(path).unwrap()).collect();
    let lengths = whole.each_ref().map(Vec::len);
    println!("checkpoints of {lengths:?} bytes");

    type Damage = fn(&Path, usize);
    let damages: [(&str, Damage); 6] = [
        ("a bit of the magic", |path, _| flip_bit(path, 1)),
        ("a bit of the check", |path, _| flip_bit(path, 9)),
        ("a bit of the head", |path, _| flip_bit(path, 20)),
        ("a bit of the last entry", |path, length| flip_bit(path, length - 3)),
        ("its second half", |path, length| fs::write(path, &fs::read(path).unwrap()[..length / 2]).unwrap()),
        ("all of it", |path, _| fs::write(path, b"").unwrap()),
    ];
    for (what, damage) in damages {
        for damaged in [&[0][..], &[1], &[0, 1]] {
            for index in 0..2 {
                fs::write(&indexes[index], &whole[index]).unwrap();
            }
            for (path, bytes) in segments(folder.path()).iter().zip(&log) {
                fs::write(path, bytes).unwrap();
            }
            damaged.iter().for_each(|index| damage(&indexes[*index], lengths[*index]));
            let mut plugin = Plugin::open(folder.path());
            assert_eq!(plugin.list(), files, "{what} is damaged in {damaged:?}");
            let status = plugin.backend_status().unwrap();
            assert_eq!((status.roots, status.recovery.truncated_bytes), (18, 0), "{what}, {damaged:?}");
            let file = &files[status.blocks as usize % files.len()];
            let (round, n) = file.filename.as_deref().and_then(|name| name.split_once('.')).unwrap();
            let seed = round.parse::<u64>().unwrap() * 10 + n.parse::<u64>().unwrap();
            assert!(plugin.retrieve(&file.cid).unwrap() == random_bytes(seed, 8 * MIB), "{what}, {damaged:?}");
        }
    }
}

/// The last records only pin and unpin, so each length of the log between two of them says exactly what must be left.
#[test]
fn a_torn_tail_costs_only_what_it_tears() {
    let source = TempDir::new().unwrap();
    let mut plugin = Plugin::open(source.path());
    let datas: Vec<Vec<u8>> = (0..3).map(|n| random_bytes(n, 50_000)).collect();
    let cids: Vec<String> = datas.iter().map(|data| plugin.store(data, &plain()).unwrap().cid).collect();
    let length = || fs::metadata(&segments(source.path())[0]).unwrap().len();
    let mut records = vec![(length(), false)];
    while records[records.len() - 1].0 - records[0].0 <= 250 {
        let pinned = !records[records.len() - 1].1;
        if pinned {
            plugin.pin(&cids[2]).unwrap();
        } else {
            plugin.unpin(&cids[2]).unwrap();
        }
        records.push((length(), pinned));
    }
    drop(plugin);
    let segment = segments(source.path()).remove(0);
    let log = fs::read(&segment).unwrap();
    for cut in 1..=200 {
        let folder = TempDir::new().unwrap();
        let left = log.len() - cut;
        fs::write(folder.path().join(name(&segment)), &log[..left]).unwrap();
        let (whole, pinned) = *records.iter().rfind(|(length, _)| *length <= left as u64).unwrap();
        let mut plugin = Plugin::open(folder.path());
        let status = plugin.backend_status().unwrap();
        assert_eq!(status.recovery.truncated_bytes, left as u64 - whole, "{cut} bytes cut");
        assert_eq!(plugin.stat(&cids[2]).unwrap().pinned, pinned, "{cut} bytes cut");
        for (data, cid) in datas.iter().zip(&cids) {
            assert!(plugin.retrieve(cid).unwrap() == *data, "{cut} bytes cut");
        }
        // And the store goes on from there.
        plugin.store(b"later", &plain()).unwrap();
        drop(plugin);
        assert_eq!(Plugin::open(folder.path()).list().len(), 4, "{cut} bytes cut");
    }
}

/// A checkpoint speaks of more than the log has left.
#[test]
fn a_log_shorter_than_its_checkpoint_can_be_written_again() {
    let folder = TempDir::new().unwrap();
    let mut plugin = Plugin::open(folder.path());
    // Files that are one commit each, so that the checkpoint comes right behind one.
    let mut cids = Vec::new();
    while !folder.path().join("index-b").exists() {
        cids.push(plugin.store(&random_bytes(cids.len() as u64, 3 * MIB), &plain()).unwrap().cid);
    }
    drop(plugin);
    let segment = fs::OpenOptions::new().write(true).open(&segments(folder.path())[0]).unwrap();
    segment.set_len(segment.metadata().unwrap().len() - 20).unwrap();
    let mut plugin = Plugin::open(folder.path());
    for (n, cid) in cids.iter().enumerate().take(cids.len() - 1) {
        assert!(plugin.retrieve(cid).unwrap() == random_bytes(n as u64, 3 * MIB), "file {n}");
    }
    plugin.store(b"later", &plain()).unwrap();
}

/// The file stored last loses its tail, as when the power was cut before it was acknowledged.
#[test]
fn a_torn_file_is_gone_as_a_whole() {
    let source = TempDir::new().unwrap();
    let mut plugin = Plugin::open(source.path());
    let first = plugin.store(&random_bytes(1, 3 * MIB), &named("first")).unwrap();
    let before = fs::metadata(&segments(source.path())[0]).unwrap().len() as usize;
    let torn = plugin.store(&random_bytes(2, 3 * MIB), &named("torn")).unwrap();
    drop(plugin);
    let segment = segments(source.path()).remove(0);
    let log = fs::read(&segment).unwrap();
    let mut random = fastrand::Rng::with_seed(5);
    let cuts: Vec<usize> = (0..25).map(|n| random.usize(1..if n < 10 { 200 } else { log.len() - before })).collect();
    for cut in cuts {
        let folder = TempDir::new().unwrap();
        fs::write(folder.path().join(name(&segment)), &log[..log.len() - cut]).unwrap();
        let mut plugin = Plugin::open(folder.path());
        assert_eq!(plugin.list(), std::slice::from_ref(&first), "{cut} bytes cut");
        assert!(plugin.retrieve(&first.cid).unwrap() == random_bytes(1, 3 * MIB), "{cut} bytes cut");
        // A block of it may be held.
        assert!(plugin.stat(&torn.cid).map_or(true, |info| info.modified.is_none()), "{cut} bytes cut");
        assert!(plugin.backend_status().unwrap().recovery.truncated_bytes > 0, "{cut} bytes cut");
        assert_eq!(plugin.store(&random_bytes(2, 3 * MIB), &plain()).unwrap().cid, torn.cid);
        assert!(plugin.retrieve(&torn.cid).unwrap() == random_bytes(2, 3 * MIB), "{cut} bytes cut");
    }
}
