//! CIDs against those of Kubo and of IPIP-499, and the bytes back.

use std::rc::Rc;

use bytes::Bytes;
use chacha20::{
    ChaCha20,
    cipher::{KeyIvInit, StreamCipher},
};
use futures_executor::block_on;
use ipfs_kit_storage::{
    OpenOptions, Storage, StoreOptions,
    hash::{CpuHasher, HashFunction},
    platform::native::SystemClock,
    storage::ReadOptions,
    tier::MemoryTier,
    unixfs::{Layout, Metadata, Path, Profile},
};
use serde_json::Value;
use sha2::{Digest, Sha256};

fn storage() -> Storage {
    let options = OpenOptions { memory_bytes: 0, ..OpenOptions::default() };
    Storage::new(Rc::new(MemoryTier::new()), Rc::new(CpuHasher), Rc::new(SystemClock), options).unwrap()
}

fn load(name: &str) -> Value {
    let path = format!("{}/tests/vectors/{name}", env!("CARGO_MANIFEST_DIR"));
    serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
}

/// Stores a file fed in pieces, and gives its CID after reading it back.
fn store(layout: Layout, size: u64, mut piece: impl FnMut(usize) -> Vec<u8>) -> String {
    block_on(async {
        let storage = storage();
        let mut writer = storage.writer(StoreOptions { layout: Some(layout), ..StoreOptions::default() }).unwrap();
        let mut hash = Sha256::new();
        let mut left = size;
        while left > 0 {
            let bytes = piece(left.min(3_000_001) as usize);
            left -= bytes.len() as u64;
            hash.update(&bytes);
            writer.write(bytes.into()).await.unwrap();
        }
        let stored = writer.finish().await.unwrap();
        assert_eq!(stored.root.size, size);
        let mut back = Sha256::new();
        let mut reader = storage.reader(&stored.root.cid, ReadOptions::range(0, None)).await.unwrap();
        while let Some(bytes) = reader.next().await.unwrap() {
            back.update(&bytes);
        }
        assert_eq!(hash.finalize(), back.finalize(), "other bytes came back");
        stored.root.cid.to_string()
    })
}

#[test]
fn files_have_the_cids_that_kubo_gives() {
    let vectors = load("unixfs-cids.json");
    let (mut checked, mut directories) = (0, 0);
    for (variant, expected) in vectors["variants"].as_object().unwrap() {
        let v1 = Layout::from(Profile::UnixfsV1_2025);
        let kubo_v1 = Layout { chunk_bytes: 256 * 1024, width: 174, ..v1 };
        let layout = match variant.as_str() {
            "unixfs-v1-2025" => v1,
            "unixfs-v0-2015" => Profile::UnixfsV0_2015.into(),
            "cidv1" => kubo_v1,
            "cidv1-no-raw-leaves" => Layout { raw_leaves: false, ..kubo_v1 },
            "unixfs-v1-2025-blake3" => Layout { hash: HashFunction::Blake3, ..v1 },
            "cidv1-sha2-512" => Layout { hash: HashFunction::Sha2_512, ..kubo_v1 },
            "unixfs-v1-2025-chunk-1024" => Layout { chunk_bytes: 1024, ..v1 },
            other => panic!("a variant without a layout: {other}"),
        };
        // Kubo's default counts names and CIDs, with CIDs of version 1 as well.
        let by_links = Layout { sharding: Layout::from(Profile::UnixfsV0_2015).sharding, ..layout };
        let of_directories = if expected["repo_profile"] == "default" { by_links } else { layout };
        for (name, cid) in expected["dirs"].as_object().unwrap() {
            assert_eq!(directory(of_directories, &files(name)), cid.as_str().unwrap(), "{variant}, {name}");
            directories += 1;
        }
        for (size, cid) in expected["files"].as_object().unwrap() {
            let size: u64 = size.parse().unwrap();
            let mut index = 0u64;
            let rule = |count: usize| {
                let bytes = (index..index + count as u64).map(|i| (i * 31 + 7) as u8).collect();
                index += count as u64;
                bytes
            };
            assert_eq!(store(layout, size, rule), cid.as_str().unwrap(), "{variant}, {size} bytes");
            checked += 1;
        }
    }
    assert_eq!((checked, directories), (56, 27));
}

/// What is in the directories of the vectors.
fn files(directory: &str) -> Vec<(String, Vec<u8>)> {
    let rule = |size: usize| (0..size).map(|i| (i * 31 + 7) as u8).collect();
    let numbered = |count: usize, name: fn(usize) -> String| -> Vec<(String, Vec<u8>)> {
        (0..count).map(|i| (name(i), i.to_string().into_bytes())).collect()
    };
    match directory {
        "dir3" => vec![("a.txt".into(), rule(11)), ("b.bin".into(), rule(4096)), ("c.dat".into(), rule(300_000))],
        "many100" => numbered(100, |i| format!("f{i}")),
        "many5000" => numbered(5000, |i| format!("file-{i:05}")),
        "emptydir" => Vec::new(),
        other => panic!("a directory without files: {other}"),
    }
}

/// Stores a directory of these files, and gives its CID after listing it and reading some of it back.
fn directory(layout: Layout, files: &[(String, Vec<u8>)]) -> String {
    block_on(async {
        let storage = storage();
        let options = StoreOptions { layout: Some(layout), ..StoreOptions::default() };
        let mut tree = storage.tree(options).unwrap();
        for (name, data) in files {
            tree.file(name, data.clone(), Metadata::default()).await.unwrap();
        }
        let cid = tree.finish().await.unwrap().root.cid;
        for (name, data) in files.iter().step_by(1 + files.len() / 50) {
            let path = Path::new(cid.clone(), [name.clone()]).unwrap();
            assert_eq!(storage.retrieve(path).await.unwrap(), data, "{name}");
        }
        cid.to_string()
    })
}

#[test]
fn directories_have_the_cids_of_ipip_499() {
    let vectors = load("ipip-0499.json");
    let mut checked = 0;
    for vector in vectors["vectors"].as_array().unwrap() {
        let Some(made) = vector.get("directory") else { continue };
        let layout = Profile::from_name(vector["profile"].as_str().unwrap()).unwrap().into();
        let number = |name: &str| made.get(name).map(|number| number.as_u64().unwrap() as usize);
        let key: [u8; 32] = Sha256::digest(made["seed"].as_str().unwrap()).into();
        let mut stream = ChaCha20::new(&key.into(), &[0; 12].into());
        let (entries, length) = (number("entries").unwrap(), number("name_length").unwrap());
        let files: Vec<(String, Vec<u8>)> = (1..=entries)
            .map(|at| {
                let last = number("last_name_length").filter(|_| at == entries);
                let mut name = vec![0; last.unwrap_or(length)];
                stream.apply_keystream(&mut name);
                let letters = b"abcdefghijklmnopqrstuvwxyz01234567890-_";
                let name = name.iter().map(|byte| letters[*byte as usize % 39]).collect();
                (String::from_utf8(name).unwrap(), made["content"].as_str().unwrap().into())
            })
            .collect();
        assert_eq!(directory(layout, &files), vector["cid"].as_str().unwrap(), "{vector}");
        checked += 1;
    }
    assert_eq!(checked, 4);
}

#[test]
fn files_have_the_cids_of_ipip_499() {
    let vectors = load("ipip-0499.json");
    let mut checked = 0;
    for vector in vectors["vectors"].as_array().unwrap() {
        let Some(file) = vector.get("file") else { continue };
        let layout = Profile::from_name(vector["profile"].as_str().unwrap()).unwrap().into();
        let cid = match file.get("text") {
            Some(text) => {
                let text = text.as_str().unwrap().as_bytes();
                store(layout, text.len() as u64, |_| text.to_vec())
            }
            None => {
                let key: [u8; 32] = Sha256::digest(file["seed"].as_str().unwrap()).into();
                let mut stream = ChaCha20::new(&key.into(), &[0; 12].into());
                store(layout, file["size"].as_u64().unwrap(), |count| {
                    let mut bytes = vec![0; count];
                    stream.apply_keystream(&mut bytes);
                    bytes
                })
            }
        };
        assert_eq!(cid, vector["cid"].as_str().unwrap(), "{vector}");
        checked += 1;
    }
    assert_eq!(checked, 10);
}

#[test]
fn ranges_read_only_the_blocks_they_need() {
    block_on(async {
        let storage = storage();
        let data: Bytes = (0..10_000_000u32).map(|i| (i ^ (i >> 8)) as u8).collect::<Vec<u8>>().into();
        let layout = Layout { chunk_bytes: 1000, width: 10, ..Layout::default() };
        let options = StoreOptions { layout: Some(layout), ..StoreOptions::default() };
        let cid = storage.store(data.clone(), options).await.unwrap().root.cid;
        for (offset, length) in
            [(0, 0), (0, 1), (999, 2), (5_000_000, 64 * 1024), (9_999_999, 1), (10_000_000, 5), (123, 999_999)]
        {
            let before = storage.backend_status().await.memory_misses;
            let mut reader = storage.reader(&cid, ReadOptions::range(offset, Some(length))).await.unwrap();
            let mut read = Vec::new();
            while let Some(bytes) = reader.next().await.unwrap() {
                read.extend_from_slice(&bytes);
            }
            let end = (offset + length).min(data.len() as u64);
            assert_eq!(read, data[offset as usize..end as usize], "{offset}+{length}");
            let touched = storage.backend_status().await.memory_misses - before;
            // The leaves of the range, and what leads to them in a tree of width 10 with five levels.
            let allowed = length / 1000 + length / 10_000 + 15;
            assert!(touched <= allowed + length / 9000, "{offset}+{length} touched {touched} blocks");
        }
    });
}
