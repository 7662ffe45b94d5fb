//! What is known of a stored root, and its bytes on disk.

use std::{
    collections::{BTreeMap, HashSet},
    ops::Bound,
};

use minicbor::{CborLen, Decode, Encode};

use crate::{
    block::{self, Cid},
    error::{Error, Result},
    unixfs::Profile,
};

/// A stored root and its metadata.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Root {
    /// The root's CID.
    pub cid: Cid,
    /// The name it was last stored under.
    pub filename: Option<String>,
    /// Bytes of file data.
    pub size: u64,
    /// When it was last stored, in milliseconds since the Unix epoch.
    pub modified: u64,
    /// The profile it was stored by.
    pub profile: Option<Profile>,
}

/// A root as a tier gives it back: with its pin, which is a record of its own, so that storing the same file again
/// cannot undo it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredRoot {
    /// The root.
    pub root: Root,
    /// Whether it is pinned: neither deleted nor evicted.
    pub pinned: bool,
}

/// The record on disk: CBOR by field number, so that later versions can add fields and skip unknown ones.
#[derive(Encode, Decode, CborLen)]
struct Record<'a> {
    #[b(0)]
    #[cbor(with = "minicbor::bytes")]
    cid: &'a [u8],
    #[b(1)]
    filename: Option<&'a str>,
    #[n(2)]
    size: u64,
    #[n(3)]
    modified: u64,
    #[b(4)]
    profile: Option<&'a str>,
}

impl Root {
    /// The bytes to keep.
    pub fn encode(&self) -> Vec<u8> {
        let record = Record {
            cid: &self.cid.to_bytes(),
            filename: self.filename.as_deref(),
            size: self.size,
            modified: self.modified,
            profile: self.profile.map(Profile::name),
        };
        let mut out = Vec::with_capacity(minicbor::len(&record));
        // Writing to memory cannot fail.
        minicbor::encode(&record, &mut out).unwrap_or_default();
        out
    }

    /// Reads what [`Root::encode`] wrote, in this version or a later one.
    pub fn decode(bytes: &[u8]) -> Result<Root> {
        let corrupt = |detail: String| Error::Corrupt { cid: None, detail: format!("a root's record: {detail}") };
        let record: Record = minicbor::decode(bytes).map_err(|_| corrupt("it does not decode".into()))?;
        let cid = block::from_bytes(record.cid).map_err(|error| corrupt(error.to_string()))?;
        block::check(&cid).map_err(|error| corrupt(error.to_string()))?;
        Ok(Root {
            cid,
            filename: record.filename.map(str::to_owned),
            size: record.size,
            modified: record.modified,
            profile: record.profile.and_then(|name| Profile::from_name(name).ok()),
        })
    }
}

/// Roots in memory, in the order of the CIDs' text, and pins.
#[derive(Debug, Default)]
pub(super) struct RootMap {
    roots: BTreeMap<String, Root>,
    pins: HashSet<Cid>,
}

impl RootMap {
    /// Applies the part of a commit that concerns roots and pins, and tells which of the roots set are pinned now.
    pub fn apply(&mut self, set: Vec<Root>, drop: &[Cid], pin: &[Cid], unpin: &[Cid]) -> Vec<bool> {
        for cid in drop.iter().chain(unpin) {
            self.pins.remove(cid);
        }
        for cid in drop {
            self.roots.remove(&cid.to_string());
        }
        self.pins.extend(pin);
        set.into_iter()
            .map(|root| {
                let pinned = self.is_pinned(&root.cid);
                self.roots.insert(root.cid.to_string(), root);
                pinned
            })
            .collect()
    }

    pub fn get(&self, cid: &Cid) -> Option<StoredRoot> {
        self.roots.get(&cid.to_string()).map(|root| self.with_pin(root))
    }

    pub fn page(&self, after: Option<&Cid>, limit: usize) -> Vec<StoredRoot> {
        let start = after.map_or(Bound::Unbounded, |cid| Bound::Excluded(cid.to_string()));
        let page = self.roots.range((start, Bound::Unbounded)).take(limit);
        page.map(|(_, root)| self.with_pin(root)).collect()
    }

    pub fn iter(&self) -> impl Iterator<Item = StoredRoot> + '_ {
        self.roots.values().map(|root| self.with_pin(root))
    }

    pub fn len(&self) -> u64 {
        self.roots.len() as u64
    }

    pub fn pinned(&self) -> u64 {
        self.pins.len() as u64
    }

    /// Whether a root is pinned.
    pub fn is_pinned(&self, cid: &Cid) -> bool {
        self.pins.contains(cid)
    }

    fn with_pin(&self, root: &Root) -> StoredRoot {
        StoredRoot { root: root.clone(), pinned: self.is_pinned(&root.cid) }
    }
}
