//! What is known of a stored root, and its bytes on disk.

use std::{collections::BTreeMap, ops::Bound};

use bytes::Bytes;
use minicbor::{CborLen, Decode, Encode};

use super::{Pin, PinKind};
use crate::{
    block::{self, Cid},
    error::{Error, Result},
    unixfs::{EntryKind, Profile},
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
    /// What it is; none where it was stored by a version that did not say.
    pub kind: Option<EntryKind>,
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
    #[b(5)]
    kind: Option<&'a str>,
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
            kind: self.kind.map(EntryKind::name),
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
            kind: record.kind.and_then(EntryKind::from_name),
        })
    }
}

/// Roots and pins in memory, in the order of the CIDs' text, and notes.
#[derive(Debug, Default)]
pub(super) struct RootMap {
    entries: BTreeMap<String, Entry>,
    roots: u64,
    pins: u64,
    notes: BTreeMap<String, Bytes>,
}

#[derive(Debug, Default)]
struct Entry {
    root: Option<Root>,
    pin: Option<Pin>,
}

impl RootMap {
    /// Applies the part of a commit that concerns roots and pins, and tells which of the roots set are pinned now.
    pub fn apply(&mut self, set: Vec<Root>, drop: &[Cid], pin: Vec<Pin>, unpin: &[Cid]) -> Vec<bool> {
        for cid in unpin {
            self.change(cid, |entry| entry.pin = None);
        }
        for cid in drop {
            self.change(cid, |entry| entry.root = entry.root.take().filter(|_| entry.is_pinned()));
        }
        for pin in pin {
            self.change(&pin.cid.clone(), |entry| {
                // A plain one, of a file that is stored again, adds nothing to one that is there, and takes nothing from it.
                if !(pin.is_plain() && entry.pin.as_ref().is_some_and(Pin::is_lasting)) {
                    entry.pin = Some(pin);
                }
            });
        }
        let set = set.into_iter().map(|root| {
            self.change(&root.cid.clone(), |entry| {
                entry.root = Some(root);
                entry.is_pinned()
            })
        });
        set.collect()
    }

    pub fn get(&self, cid: &Cid) -> Option<StoredRoot> {
        self.entries.get(&cid.to_string()).and_then(Entry::stored)
    }

    pub fn page(&self, after: Option<&Cid>, limit: usize) -> Vec<StoredRoot> {
        self.after(after).filter_map(Entry::stored).take(limit).collect()
    }

    pub fn pin(&self, cid: &Cid) -> Option<Pin> {
        self.entries.get(&cid.to_string()).and_then(|entry| entry.pin.clone())
    }

    pub fn pins(&self, after: Option<&Cid>, limit: usize) -> Vec<Pin> {
        self.after(after).filter_map(|entry| entry.pin.clone()).take(limit).collect()
    }

    pub fn set_notes(&mut self, notes: Vec<(String, Option<Bytes>)>) {
        for (name, value) in notes {
            match value {
                Some(value) => self.notes.insert(name, value),
                None => self.notes.remove(&name),
            };
        }
    }

    pub fn note(&self, name: &str) -> Option<Bytes> {
        self.notes.get(name).cloned()
    }

    /// Those whose names begin with `prefix`, after a name.
    pub fn notes_page(&self, prefix: &str, after: Option<&str>, limit: usize) -> Vec<(String, Bytes)> {
        let start = match after {
            Some(after) if after >= prefix => Bound::Excluded(after),
            _ => Bound::Included(prefix),
        };
        let notes = self.notes.range::<str, _>((start, Bound::Unbounded));
        let page = notes.take_while(|(name, _)| name.starts_with(prefix)).take(limit);
        page.map(|(name, value)| (name.clone(), value.clone())).collect()
    }

    /// Whether notes say what is expected of them; [`Error::Conflict`] names the first that does not.
    pub fn check(&self, expect: &[(String, Option<Bytes>)]) -> Result<()> {
        let other = |(name, value): &&(String, Option<Bytes>)| self.notes.get(name) != value.as_ref();
        match expect.iter().find(other) {
            Some((name, _)) => Err(Error::Conflict { name: name.clone() }),
            None => Ok(()),
        }
    }

    /// All of them, as they are set.
    pub fn notes(&self) -> Vec<(String, Option<Bytes>)> {
        self.notes.iter().map(|(name, value)| (name.clone(), Some(value.clone()))).collect()
    }

    pub fn len(&self) -> u64 {
        self.roots
    }

    pub fn pinned(&self) -> u64 {
        self.pins
    }

    /// Whether a root is pinned.
    #[cfg(feature = "browser")]
    pub fn is_pinned(&self, cid: &Cid) -> bool {
        self.entries.get(&cid.to_string()).is_some_and(Entry::is_pinned)
    }

    fn after(&self, after: Option<&Cid>) -> impl Iterator<Item = &Entry> {
        let start = after.map_or(Bound::Unbounded, |cid| Bound::Excluded(cid.to_string()));
        self.entries.range((start, Bound::Unbounded)).map(|(_, entry)| entry)
    }

    fn change<T>(&mut self, cid: &Cid, change: impl FnOnce(&mut Entry) -> T) -> T {
        let text = cid.to_string();
        let entry = self.entries.entry(text.clone()).or_default();
        let counts = |entry: &Entry| (u64::from(entry.root.is_some()), u64::from(entry.pin.is_some()));
        let before = counts(entry);
        let done = change(entry);
        let now = counts(entry);
        self.roots = self.roots + now.0 - before.0;
        self.pins = self.pins + now.1 - before.1;
        if now == (0, 0) {
            self.entries.remove(&text);
        }
        done
    }
}

impl Entry {
    fn stored(&self) -> Option<StoredRoot> {
        self.root.clone().map(|root| StoredRoot { root, pinned: self.is_pinned() })
    }

    /// Whether all of it is kept.
    fn is_pinned(&self) -> bool {
        self.pin.as_ref().is_some_and(|pin| pin.kind == PinKind::Recursive)
    }
}
