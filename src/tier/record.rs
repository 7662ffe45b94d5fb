//! What a commit says besides its blocks, as bytes: of roots, pins, and blocks that go.

use minicbor::{Decode, Encode, bytes::ByteVec};

use super::{Commit, Root};
use crate::{
    block::{self, Cid, Key},
    error::{Error, Result},
};

/// A commit without its blocks: CBOR by field number, so that later versions can add fields.
#[derive(Debug, Default, Encode, Decode)]
pub struct Record {
    #[n(0)]
    set_roots: Vec<ByteVec>,
    #[n(1)]
    drop_roots: Vec<ByteVec>,
    #[n(2)]
    drop_blocks: Vec<ByteVec>,
    #[n(3)]
    quarantine: Vec<ByteVec>,
    #[n(4)]
    pin: Vec<ByteVec>,
    #[n(5)]
    unpin: Vec<ByteVec>,
}

/// What a record says, decoded.
#[derive(Debug, Default)]
pub struct Change {
    /// See [`Commit`].
    pub set_roots: Vec<Root>,
    /// See [`Commit`].
    pub drop_roots: Vec<Cid>,
    /// See [`Commit`].
    pub pin: Vec<Cid>,
    /// See [`Commit`].
    pub unpin: Vec<Cid>,
    /// See [`Commit`].
    pub drop_blocks: Vec<Key>,
    /// See [`Commit`].
    pub quarantine: Vec<Key>,
}

impl Record {
    /// The record of a commit.
    pub fn of(commit: &Commit) -> Record {
        let keys = |keys: &[Key]| keys.iter().map(|key| key.to_bytes().into()).collect();
        let cids = |cids: &[Cid]| cids.iter().map(|cid| cid.to_bytes().into()).collect();
        Record {
            set_roots: commit.set_roots.iter().map(|root| root.encode().into()).collect(),
            drop_roots: cids(&commit.drop_roots),
            pin: cids(&commit.pin),
            unpin: cids(&commit.unpin),
            drop_blocks: keys(&commit.drop_blocks),
            quarantine: keys(&commit.quarantine),
        }
    }

    /// Its bytes.
    pub fn encode(&self) -> Vec<u8> {
        // Writing to memory cannot fail.
        minicbor::to_vec(self).unwrap_or_default()
    }

    /// Reads what [`Record::encode`] wrote.
    pub fn decode(body: &[u8]) -> Result<Change> {
        let broken = |error: String| Error::Corrupt { cid: None, detail: format!("a commit record: {error}") };
        let record: Record = minicbor::decode(body).map_err(|error| broken(error.to_string()))?;
        let keys = |keys: &[ByteVec]| -> Result<Vec<Key>> {
            keys.iter().map(|key| Key::from_bytes(key).map_err(|error| broken(error.to_string()))).collect()
        };
        let cids = |cids: &[ByteVec]| -> Result<Vec<Cid>> {
            cids.iter().map(|cid| block::from_bytes(cid).map_err(|error| broken(error.to_string()))).collect()
        };
        Ok(Change {
            set_roots: record.set_roots.iter().map(|root| Root::decode(root)).collect::<Result<_>>()?,
            drop_roots: cids(&record.drop_roots)?,
            pin: cids(&record.pin)?,
            unpin: cids(&record.unpin)?,
            drop_blocks: keys(&record.drop_blocks)?,
            quarantine: keys(&record.quarantine)?,
        })
    }
}
