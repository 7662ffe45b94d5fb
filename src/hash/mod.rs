//! Hash functions, and the trait behind which every way of computing them fits: one thread, SIMD lanes, worker pools.

mod lanes;

use std::{fmt, future::poll_fn, mem, task::Poll};

use async_trait::async_trait;
use bytes::Bytes;
use multihash::Multihash;
use sha2::Digest as _;

use crate::error::{Error, Result};

/// A multihash made by one of the [`HashFunction`]s.
pub type Digest = Multihash<64>;

/// Multicodec of the identity "hash": the digest is the data.
pub const IDENTITY_CODE: u64 = 0x00;

/// Longest identity digest (UnixFS specification, IPIP-512).
pub const MAX_IDENTITY_BYTES: usize = 128;

/// The hash functions that files may be stored under.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum HashFunction {
    /// SHA2-256 (FIPS 180-4).
    #[default]
    Sha2_256,
    /// SHA2-512 (FIPS 180-4).
    Sha2_512,
    /// BLAKE3 with 32 bytes.
    Blake3,
}

impl HashFunction {
    /// All of them.
    pub const ALL: [HashFunction; 3] = [HashFunction::Sha2_256, HashFunction::Sha2_512, HashFunction::Blake3];

    /// Its multicodec number.
    pub const fn code(self) -> u64 {
        match self {
            HashFunction::Sha2_256 => 0x12,
            HashFunction::Sha2_512 => 0x13,
            HashFunction::Blake3 => 0x1e,
        }
    }

    /// Length of its digests.
    pub const fn digest_bytes(self) -> usize {
        match self {
            HashFunction::Sha2_512 => 64,
            _ => 32,
        }
    }
}

impl fmt::Display for HashFunction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            HashFunction::Sha2_256 => "sha2-256",
            HashFunction::Sha2_512 => "sha2-512",
            HashFunction::Blake3 => "blake3",
        })
    }
}

/// Computes digests of many independent buffers at once.
#[async_trait(?Send)]
pub trait Hasher {
    /// The digest of each input, in their order.
    async fn digest(&self, function: HashFunction, inputs: &[Bytes]) -> Result<Vec<Digest>>;
}

/// Hashes on the calling thread: SHA2-256 in four SIMD lanes where the processor has no instruction for it.
#[derive(Debug, Default, Clone, Copy)]
pub struct CpuHasher;

#[async_trait(?Send)]
impl Hasher for CpuHasher {
    async fn digest(&self, function: HashFunction, inputs: &[Bytes]) -> Result<Vec<Digest>> {
        match function {
            HashFunction::Sha2_256 if LANES_PAY => {
                let slices: Vec<&[u8]> = inputs.iter().map(Bytes::as_ref).collect();
                let mut hashing = lanes::Sha256Many::new(&slices);
                let digests = loop {
                    match hashing.step(STEP_BLOCKS) {
                        Some(digests) => break digests,
                        None => turn().await,
                    }
                };
                digests.iter().map(|digest| wrap(function, digest)).collect()
            }
            _ => inputs.iter().map(|input| digest(function, input)).collect(),
        }
    }
}

/// So many blocks of each lane are hashed before others get a turn: who receives from a host that keeps little ready must
/// be quick to ask for more. 64 KiB of four lanes.
const STEP_BLOCKS: usize = 256;

/// Lets others go on.
async fn turn() {
    let mut waited = false;
    poll_fn(|context| {
        context.waker().wake_by_ref();
        if mem::replace(&mut waited, true) { Poll::Ready(()) } else { Poll::Pending }
    })
    .await;
}

/// Four lanes beat one in wasm, where SHA instructions are out of reach; natively the `sha2` crate uses those.
const LANES_PAY: bool = cfg!(target_family = "wasm");

fn digest(function: HashFunction, input: &[u8]) -> Result<Digest> {
    match function {
        HashFunction::Sha2_256 => wrap(function, &sha2::Sha256::digest(input)),
        HashFunction::Sha2_512 => wrap(function, &sha2::Sha512::digest(input)),
        HashFunction::Blake3 => wrap(function, blake3::hash(input).as_bytes()),
    }
}

/// The multihash of a digest that was computed elsewhere.
pub(crate) fn wrap(function: HashFunction, digest: &[u8]) -> Result<Digest> {
    Multihash::wrap(function.code(), digest).map_err(|error| Error::Io(format!("a {function} digest: {error}")))
}
