//! Content-addressable archives: blocks one after the other, as gateways send DAGs and files keep them.
//!
//! Specifications: IPLD `transport/car/carv1` and `transport/car/carv2`. What comes out is not verified: that is done by
//! making a [`Block`](crate::block::Block) of it.

mod decode;
mod encode;
mod index;

use bytes::Bytes;

pub use self::{
    decode::{CarDecoder, Place},
    encode::{encode, header, header_v2, section_bytes, section_head},
    index::Index,
};
use crate::block::Cid;

/// How an archive of version 2 begins: a header of version 1 that says 2.
const PRAGMA: [u8; 11] = *b"\x0a\xa1\x67version\x02";

/// What follows it: characteristics:16, data offset:8, data size:8, index offset:8, all little endian.
const FIXED_BYTES: usize = 40;

/// Where the data of an archive of version 2 can begin at the earliest.
const DATA_START: u64 = (PRAGMA.len() + FIXED_BYTES) as u64;

/// Why bytes are no archive.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("at byte {offset} of it, {problem}")]
pub struct Malformed {
    /// Where the part begins that is wrong.
    pub offset: u64,
    /// What is wrong with it.
    pub problem: String,
}

/// What an archive is made of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Item {
    /// The roots it names; a reader who asked for something does not rely on them.
    Header(Vec<Cid>),
    /// A block, as it claims to be.
    Block(Cid, Bytes),
}
