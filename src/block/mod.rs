//! Blocks: bytes proven to match their CID.
//!
//! The type is the proof. A [`Block`] is made by hashing, so whoever holds one holds verified bytes, and a tier can be
//! given nothing else to keep. The one other door, `Block::vouched`, is for reads under a policy that trusts the medium.

mod cid;
pub(crate) mod multibase;

use bytes::Bytes;

pub use self::cid::{Cid, Codec, Key, check, from_bytes, from_text, key, new_cid, parse};
pub(crate) use self::multibase::base64;
use crate::{
    error::{Error, Result},
    hash::{HashFunction, Hasher},
};

/// Largest block accepted from anywhere and made here: what the network's peers agree to carry (Bitswap, gateways).
pub const MAX_BLOCK_BYTES: usize = 2 * 1024 * 1024;

/// Bytes and the CID they were proven to match.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Block {
    cid: Cid,
    bytes: Bytes,
}

impl Block {
    /// Hashes each of `parts` and names it.
    pub async fn make(
        hasher: &dyn Hasher,
        version: ::cid::Version,
        codec: Codec,
        function: HashFunction,
        parts: Vec<Bytes>,
    ) -> Result<Vec<Block>> {
        if let Some(large) = parts.iter().find(|part| part.len() > MAX_BLOCK_BYTES) {
            return Err(too_large(large.len()));
        }
        let digests = hasher.digest(function, &parts).await?;
        Ok(parts
            .into_iter()
            .zip(digests)
            .map(|(bytes, digest)| Block { cid: new_cid(version, codec, digest), bytes })
            .collect())
    }

    /// Checks bytes that claim to be `cid`: each result is the block, or [`Error::Integrity`].
    pub async fn verify(hasher: &dyn Hasher, claims: Vec<(Cid, Bytes)>) -> Result<Vec<Result<Block>>> {
        let mut checked: Vec<Option<Result<Block>>> = Vec::new();
        checked.resize_with(claims.len(), || None);
        for function in HashFunction::ALL {
            let of_function = |(cid, _): &&(Cid, Bytes)| cid.hash().code() == function.code();
            let inputs: Vec<Bytes> = claims.iter().filter(of_function).map(|(_, bytes)| bytes.clone()).collect();
            if inputs.is_empty() {
                continue;
            }
            let mut digests = hasher.digest(function, &inputs).await?.into_iter();
            for (slot, (cid, bytes)) in checked.iter_mut().zip(&claims) {
                if cid.hash().code() != function.code() {
                    continue;
                }
                let digest = digests.next();
                let holds = bytes.len() <= MAX_BLOCK_BYTES
                    && digest.is_some_and(|digest| digest.digest() == cid.hash().digest());
                *slot = Some(if holds {
                    Ok(Block { cid: cid.clone(), bytes: bytes.clone() })
                } else {
                    Err(Error::Integrity(cid.clone()))
                });
            }
        }
        Ok(checked
            .into_iter()
            .zip(claims)
            .map(|(slot, (cid, bytes))| {
                slot.unwrap_or_else(|| match Block::inline(cid.clone()) {
                    Some(block) if block.bytes == bytes => Ok(block),
                    _ => Err(Error::Integrity(cid)),
                })
            })
            .collect())
    }

    /// The block that an identity CID carries in itself.
    pub fn inline(cid: Cid) -> Option<Block> {
        key(&cid).is_none().then(|| Block { bytes: Bytes::copy_from_slice(cid.hash().digest()), cid })
    }

    /// A block that a tier vouches for under a read policy that does not hash. Nowhere else may this be called.
    pub(crate) fn vouched(cid: Cid, bytes: Bytes) -> Block {
        Block { cid, bytes }
    }

    /// Its CID.
    pub fn cid(&self) -> &Cid {
        &self.cid
    }

    /// Its bytes.
    pub fn bytes(&self) -> &Bytes {
        &self.bytes
    }

    /// Its bytes, without a copy.
    pub fn into_bytes(self) -> Bytes {
        self.bytes
    }
}

fn too_large(bytes: usize) -> Error {
    Error::InvalidArgument(format!("a block of {bytes} bytes is over the limit of {MAX_BLOCK_BYTES}"))
}
