//! What a commit says besides its blocks, as bytes: of roots, pins, and blocks that go.

use bytes::Bytes;
use minicbor::{Decode, Encode, bytes::ByteVec};

use super::{Pin, Root};
use crate::{
    block::{self, Cid, Key},
    error::{Error, Result},
};

/// On disk: CBOR by field number, so that later versions can add fields.
#[derive(Encode, Decode)]
struct Record {
    #[n(0)]
    set_roots: Vec<ByteVec>,
    #[n(1)]
    drop_roots: Vec<ByteVec>,
    #[n(2)]
    drop_blocks: Vec<ByteVec>,
    #[n(3)]
    quarantine: Vec<ByteVec>,
    /// CIDs, as pins were before they had names: read, and not written any more.
    #[n(4)]
    bare_pins: Vec<ByteVec>,
    #[n(5)]
    unpin: Vec<ByteVec>,
    #[n(6)]
    pin: Option<Vec<ByteVec>>,
    #[n(7)]
    notes: Option<Vec<(String, Option<ByteVec>)>>,
}

/// What a commit says besides its blocks; see [`super::Commit`].
#[derive(Debug, Default)]
pub struct Change {
    pub set_roots: Vec<Root>,
    pub drop_roots: Vec<Cid>,
    pub pin: Vec<Pin>,
    pub unpin: Vec<Cid>,
    pub drop_blocks: Vec<Key>,
    pub quarantine: Vec<Key>,
    pub notes: Vec<(String, Option<Bytes>)>,
}

impl Change {
    /// Whether it says nothing.
    pub fn is_empty(&self) -> bool {
        let Change { set_roots, drop_roots, pin, unpin, drop_blocks, quarantine, notes } = self;
        let cids = drop_roots.is_empty() && pin.is_empty() && unpin.is_empty();
        set_roots.is_empty() && cids && drop_blocks.is_empty() && quarantine.is_empty() && notes.is_empty()
    }

    /// Its bytes.
    pub fn encode(&self) -> Vec<u8> {
        let keys = |keys: &[Key]| keys.iter().map(|key| key.to_bytes().into()).collect();
        let cids = |cids: &[Cid]| cids.iter().map(|cid| cid.to_bytes().into()).collect();
        let record = Record {
            set_roots: self.set_roots.iter().map(|root| root.encode().into()).collect(),
            drop_roots: cids(&self.drop_roots),
            bare_pins: Vec::new(),
            pin: Some(self.pin.iter().map(|pin| pin.encode().into()).collect()),
            unpin: cids(&self.unpin),
            drop_blocks: keys(&self.drop_blocks),
            quarantine: keys(&self.quarantine),
            notes: (!self.notes.is_empty()).then(|| self.notes.iter().map(note_record).collect()),
        };
        // Writing to memory cannot fail.
        minicbor::to_vec(record).unwrap_or_default()
    }

    /// Reads what [`Change::encode`] wrote.
    pub fn decode(body: &[u8]) -> Result<Change> {
        let broken = |error: String| Error::Corrupt { cid: None, detail: format!("a commit record: {error}") };
        let record: Record = minicbor::decode(body).map_err(|_| broken("it does not decode".into()))?;
        let keys = |keys: &[ByteVec]| -> Result<Vec<Key>> {
            keys.iter().map(|key| Key::from_bytes(key).map_err(|error| broken(error.to_string()))).collect()
        };
        let cids = |cids: &[ByteVec]| -> Result<Vec<Cid>> {
            cids.iter().map(|cid| block::from_bytes(cid).map_err(|error| broken(error.to_string()))).collect()
        };
        let mut pin: Vec<Pin> = cids(&record.bare_pins)?.into_iter().map(Pin::recursive).collect();
        for bytes in record.pin.iter().flatten() {
            pin.push(Pin::decode(bytes)?);
        }
        Ok(Change {
            set_roots: record.set_roots.iter().map(|root| Root::decode(root)).collect::<Result<_>>()?,
            drop_roots: cids(&record.drop_roots)?,
            pin,
            unpin: cids(&record.unpin)?,
            drop_blocks: keys(&record.drop_blocks)?,
            quarantine: keys(&record.quarantine)?,
            notes: record.notes.into_iter().flatten().map(|(name, value)| (name, value.map(bytes_of))).collect(),
        })
    }
}

fn note_record((name, value): &(String, Option<Bytes>)) -> (String, Option<ByteVec>) {
    (name.clone(), value.as_ref().map(|value| value.to_vec().into()))
}

fn bytes_of(value: ByteVec) -> Bytes {
    Vec::from(value).into()
}
