//! What of an import outlives whoever made it: a note of how far it has come, and pins that keep what has come so far.

use bytes::Bytes;
use minicbor::{Decode, Encode, bytes::ByteVec};

use crate::{
    block::{self, Cid},
    car::Place,
    error::{Error, Result},
    storage::Shared,
    tier::{Commit, Pin},
};

/// Longest token, in bytes of UTF-8.
const MAX_TOKEN: usize = 256;

/// The label of a pin that an import has set: what has come of that root stays.
const LABEL: &str = "car-import";

/// How far an import has come.
#[derive(Debug, Clone, Default)]
pub struct Progress {
    /// Everything before it is stored.
    pub place: Place,
    /// What the archive's header names.
    pub roots: Vec<Cid>,
    /// Sections stored, and the bytes of their blocks.
    pub blocks: u64,
    pub bytes: u64,
}

/// On disk: CBOR by field number, so that later versions can add fields.
#[derive(Encode, Decode)]
struct Record {
    #[n(0)]
    offset: u64,
    #[n(1)]
    end: Option<u64>,
    #[n(2)]
    roots: Vec<ByteVec>,
    #[n(3)]
    blocks: u64,
    #[n(4)]
    bytes: u64,
}

/// An import that can be resumed, by the name that its maker has given it.
#[derive(Debug, Clone)]
pub struct Token(String);

impl Token {
    pub fn new(token: String) -> Result<Self> {
        match token.len() {
            1..=MAX_TOKEN => Ok(Token(token)),
            bytes => Err(Error::InvalidArgument(format!("a token of {bytes} bytes; allowed are 1 to {MAX_TOKEN}"))),
        }
    }

    fn note(&self) -> String {
        format!("car import {}", self.0)
    }

    /// How far it has come; none if there is no such import, or it has stored nothing yet.
    pub async fn progress(&self, shared: &Shared) -> Result<Option<Progress>> {
        let Some(note) = shared.tier.note(&self.note()).await? else { return Ok(None) };
        let damaged = || Error::Corrupt { cid: None, detail: format!("the record of the import {:?}", self.0) };
        let record: Record = minicbor::decode(&note).map_err(|_| damaged())?;
        let roots: Result<Vec<Cid>> = record.roots.iter().map(|root| block::from_bytes(root)).collect();
        Ok(Some(Progress {
            place: Place { offset: record.offset, end: record.end },
            roots: roots.map_err(|_| damaged())?,
            blocks: record.blocks,
            bytes: record.bytes,
        }))
    }

    /// Has a commit say how far the import has come with it.
    pub fn note_in(&self, commit: &mut Commit, progress: &Progress) {
        let record = Record {
            offset: progress.place.offset,
            end: progress.place.end,
            roots: progress.roots.iter().map(|root| root.to_bytes().into()).collect(),
            blocks: progress.blocks,
            bytes: progress.bytes,
        };
        commit.notes.push((self.note(), Some(Bytes::from(minicbor::to_vec(record).unwrap_or_default()))));
    }

    /// Has a commit forget the import.
    pub fn end_in(&self, commit: &mut Commit) {
        commit.notes.push((self.note(), None));
    }

    /// The pin that keeps what has come of a root meanwhile.
    pub fn pin(&self, root: Cid, now: u64) -> Pin {
        let labels = [(LABEL.to_owned(), self.0.clone())].into();
        Pin { pending: true, labels, created: now, ..Pin::recursive(root) }
    }

    /// Whether this is one.
    pub fn has_set(&self, pin: &Pin) -> bool {
        pin.pending && pin.labels.get(LABEL) == Some(&self.0)
    }
}
