//! CIDs that other implementations give for the same bytes, and the bytes back.

use tempfile::TempDir;
use wasmtime_host_tests::{
    Keystream, Plugin, assert_error, buffer, ipip_cid, ipip_text_cid, kubo_cids, profile_name,
    types::{Error, HashFunction, Layout, Profile},
    with_layout,
};

const PROFILES: [Profile; 2] = [Profile::UnixfsV12025, Profile::UnixfsV02015];

#[test]
fn files_get_the_cids_that_kubo_gives_them() {
    let folder = TempDir::new().unwrap();
    let mut plugin = Plugin::open(folder.path());
    for profile in PROFILES {
        let vectors = kubo_cids(profile);
        assert!(vectors.iter().any(|(size, _)| *size == 10_485_760));
        for (size, cid) in vectors {
            let data = buffer(size);
            let stored = plugin.store(&data, &with_layout(profile.into())).unwrap();
            assert_eq!(stored.cid, cid, "{size} bytes, {}", profile_name(profile));
            assert_eq!((stored.size, stored.profile), (Some(size as u64), Some(profile)));
            assert!(plugin.retrieve(&cid).unwrap() == data, "{size} bytes come back as others");
        }
    }
}

#[test]
fn files_get_the_cids_of_ipip_499() {
    let folder = TempDir::new().unwrap();
    let mut plugin = Plugin::open(folder.path());
    for profile in PROFILES {
        let stored = plugin.store(b"hello world", &with_layout(profile.into())).unwrap();
        assert_eq!(stored.cid, ipip_text_cid(profile, "hello world"));
    }
    let files = [
        (Profile::UnixfsV12025, "chunk-v1-seed", 1_048_576),
        (Profile::UnixfsV12025, "chunk-v1-seed", 1_048_577),
        (Profile::UnixfsV02015, "chunk-v0-seed", 262_144),
        (Profile::UnixfsV02015, "chunk-v0-seed", 262_145),
        // One node is full, and one leaf over it.
        (Profile::UnixfsV02015, "v0-seed", 45_613_056),
        (Profile::UnixfsV02015, "v0-seed", 45_613_057),
    ];
    for (profile, seed, size) in files {
        let stored = plugin.stream(Keystream::new(seed, size, 1 << 20), &with_layout(profile.into())).unwrap();
        assert_eq!(stored.cid, ipip_cid(profile, seed, size), "{size} bytes of {seed}");
    }
}

#[test]
fn a_cid_is_taken_in_any_base_and_given_back_in_its_canonical_text() {
    let folder = TempDir::new().unwrap();
    let mut plugin = Plugin::open(folder.path());
    let cid = plugin.store(b"hello world", &with_layout(Profile::UnixfsV12025.into())).unwrap().cid;
    let digest = "b94d27b9934d3e08a52e52d7da7dabfac484efe37a5380ee9088f7ace2efcde9";
    for text in [format!("f01551220{digest}"), format!("F01551220{}", digest.to_uppercase()), cid.to_uppercase()] {
        assert_eq!(plugin.stat(&text).unwrap().cid, cid, "{text}");
        assert_eq!(plugin.retrieve(&text).unwrap(), b"hello world");
    }
    // The same block, as a node: these bytes are none.
    let as_node = format!("f01701220{digest}");
    assert!(plugin.exists(&as_node).unwrap());
    assert_error!(plugin.stat(&as_node), Error::Unsupported(_));
}

#[test]
fn every_hash_function_and_layout_gives_the_bytes_back() {
    let folder = TempDir::new().unwrap();
    let mut plugin = Plugin::open(folder.path());
    let data = buffer(100_000);
    let mut cids = Vec::new();
    for hash in [HashFunction::Sha2256, HashFunction::Sha2512, HashFunction::Blake3] {
        for raw_leaves in [true, false] {
            let layout = Layout {
                chunk_size: Some(1000),
                width: Some(3),
                raw_leaves: Some(raw_leaves),
                hash: Some(hash),
                ..Layout::from(Profile::UnixfsV12025)
            };
            let stored = plugin.store(&data, &with_layout(layout)).unwrap();
            assert_eq!(stored.profile, None);
            assert!(plugin.retrieve(&stored.cid).unwrap() == data);
            cids.push(stored.cid);
        }
    }
    cids.sort();
    cids.dedup();
    assert_eq!(cids.len(), 6, "each layout has a CID of its own");
}
