//! The root of the mutable tree, and those before it: a note that is changed by compare-and-swap.

use bytes::Bytes;
use minicbor::{Decode, Encode};

use crate::{
    block::{self, Cid},
    error::{Error, Result},
    storage::Shared,
};

/// Roots that are remembered, the one in use among them. What they reach is kept.
pub const HISTORY: usize = 16;

/// The note.
pub const NOTE: &str = "files";

/// A root of the tree.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PastRoot {
    /// Its CID.
    pub cid: Cid,
    /// Since when the tree had it, in milliseconds since the Unix epoch.
    pub changed: u64,
}

/// The note, as it was read.
pub struct Roots {
    /// What it says; none: nothing was ever put into the tree.
    pub note: Option<Bytes>,
    /// The newest first.
    pub roots: Vec<PastRoot>,
}

/// CBOR by field number, so that later versions can add fields.
#[derive(Encode, Decode)]
struct Record {
    #[n(0)]
    roots: Vec<RootRecord>,
}

#[derive(Encode, Decode)]
struct RootRecord {
    #[n(0)]
    #[cbor(with = "minicbor::bytes")]
    cid: Vec<u8>,
    #[n(1)]
    changed: u64,
}

impl Roots {
    /// What the tier says now.
    pub async fn load(shared: &Shared) -> Result<Roots> {
        let note = shared.tier.note(NOTE).await?;
        let corrupt = || Error::Corrupt { cid: None, detail: "the record of the roots of the mutable tree".into() };
        let record = note.as_ref().map(|note| minicbor::decode::<Record>(note)).transpose().map_err(|_| corrupt())?;
        let root = |RootRecord { cid, changed }: RootRecord| {
            block::from_bytes(&cid).map(|cid| PastRoot { cid, changed }).map_err(|_| corrupt())
        };
        let roots = record.into_iter().flat_map(|record| record.roots).map(root).collect::<Result<_>>()?;
        Ok(Roots { note, roots })
    }

    /// The root in use; none: the tree is empty.
    pub fn current(&self) -> Option<Cid> {
        self.roots.first().map(|root| root.cid.clone())
    }

    /// What the note says with another root in use, and the first ones before it.
    pub fn with(&self, root: PastRoot) -> Bytes {
        let before = self.roots.iter().take(HISTORY - 1);
        let record = |root: &PastRoot| RootRecord { cid: root.cid.to_bytes(), changed: root.changed };
        let record = Record { roots: std::iter::once(&root).chain(before).map(record).collect() };
        // Writing to memory cannot fail.
        minicbor::to_vec(record).unwrap_or_default().into()
    }
}
