//! What is stored, and the CIDs it must get: `tests/vectors/`.

use std::{fs, path::Path};

use chacha20::{
    ChaCha20,
    cipher::{KeyIvInit, StreamCipher},
};
use serde_json::Value;
use sha2::{Digest, Sha256};

use crate::types::Profile;

/// Bytes as `unixfs-cids.json` has them.
pub fn buffer(size: usize) -> Vec<u8> {
    (0..size).map(|i| (i * 31 + 7) as u8).collect()
}

/// Bytes that differ with the seed.
pub fn random_bytes(seed: u64, size: usize) -> Vec<u8> {
    let mut bytes = vec![0; size];
    fastrand::Rng::with_seed(seed).fill(&mut bytes);
    bytes
}

/// A file as `ipip-0499.json` has it, in pieces, with a running hash of what was given.
pub struct Keystream {
    cipher: ChaCha20,
    left: u64,
    piece: usize,
    hash: Sha256,
}

impl Keystream {
    /// The file of this seed and size.
    pub fn new(seed: &str, size: u64, piece: usize) -> Self {
        let cipher = ChaCha20::new(&Sha256::digest(seed), &[0; 12].into());
        Keystream { cipher, left: size, piece, hash: Sha256::new() }
    }

    /// The hash of everything given so far.
    pub fn digest(self) -> [u8; 32] {
        self.hash.finalize().into()
    }
}

impl Iterator for Keystream {
    type Item = Vec<u8>;

    fn next(&mut self) -> Option<Vec<u8>> {
        let length = self.left.min(self.piece as u64) as usize;
        let mut piece = vec![0; length];
        self.cipher.apply_keystream(&mut piece);
        self.hash.update(&piece);
        self.left -= length as u64;
        (length > 0).then_some(piece)
    }
}

/// A profile's name, as in IPIP-499.
pub fn profile_name(profile: Profile) -> &'static str {
    match profile {
        Profile::UnixfsV12025 => "unixfs-v1-2025",
        Profile::UnixfsV02015 => "unixfs-v0-2015",
    }
}

/// What Kubo gives for a [`buffer`] of each size.
pub fn kubo_cids(profile: Profile) -> Vec<(usize, String)> {
    let vectors = read("unixfs-cids.json");
    let files = vectors["variants"][profile_name(profile)]["files"].as_object().expect("an object");
    files.iter().map(|(size, cid)| (size.parse().expect("a size"), text(cid))).collect()
}

/// What IPIP-499 says of a keystream file.
pub fn ipip_cid(profile: Profile, seed: &str, size: u64) -> String {
    let file = ipip(profile, |file| file["seed"] == seed && file["size"] == size);
    file.unwrap_or_else(|| panic!("no vector of {size} bytes of {seed}"))
}

/// What IPIP-499 says of a file with this text.
pub fn ipip_text_cid(profile: Profile, content: &str) -> String {
    ipip(profile, |file| file["text"] == content).unwrap_or_else(|| panic!("no vector of {content:?}"))
}

fn ipip(profile: Profile, wanted: impl Fn(&Value) -> bool) -> Option<String> {
    let vectors = read("ipip-0499.json");
    let mut vectors = vectors["vectors"].as_array().expect("an array").iter();
    let found = vectors.find(|vector| vector["profile"] == profile_name(profile) && wanted(&vector["file"]))?;
    Some(text(&found["cid"]))
}

fn read(name: &str) -> Value {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../vectors").join(name);
    serde_json::from_str(&fs::read_to_string(path).expect("the vectors are there")).expect("they are JSON")
}

fn text(value: &Value) -> String {
    value.as_str().expect("a string").to_owned()
}
