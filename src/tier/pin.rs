//! Pins: what must stay, whatever else goes.

use std::collections::BTreeMap;

use minicbor::{CborLen, Decode, Encode};

use crate::{
    block::{self, Cid},
    error::{Error, Result},
};

/// How much of a DAG a pin keeps.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum PinKind {
    /// All that is reachable from its CID.
    #[default]
    Recursive,
    /// The one block.
    Direct,
}

impl PinKind {
    /// Its name, as options give it.
    pub const fn name(self) -> &'static str {
        match self {
            PinKind::Recursive => "recursive",
            PinKind::Direct => "direct",
        }
    }
}

/// A pin. There is one for each CID at most.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pin {
    /// What is pinned.
    pub cid: Cid,
    /// How much of it.
    pub kind: PinKind,
    /// A name to find it by.
    pub name: Option<String>,
    /// What else its owner notes of it.
    pub labels: BTreeMap<String, String>,
    /// When it was made, in milliseconds since the Unix epoch.
    pub created: u64,
    /// When it ends, likewise; none: never.
    pub expires: Option<u64>,
    /// Whether some of it is still to be fetched. What of it is here stays all the same.
    pub pending: bool,
    /// How many blocks it keeps, each counted once, and their bytes; none as long as nobody has counted them.
    pub size: Option<(u64, u64)>,
}

/// The record on disk: CBOR by field number, so that later versions can add fields and skip unknown ones.
#[derive(Encode, Decode, CborLen)]
struct Record<'a> {
    #[b(0)]
    #[cbor(with = "minicbor::bytes")]
    cid: &'a [u8],
    #[n(1)]
    direct: bool,
    #[b(2)]
    name: Option<&'a str>,
    #[b(3)]
    labels: BTreeMap<&'a str, &'a str>,
    #[n(4)]
    created: u64,
    #[n(5)]
    expires: Option<u64>,
    #[n(6)]
    pending: bool,
    #[n(7)]
    size: Option<(u64, u64)>,
}

impl Pin {
    /// A recursive pin without a name, for ever, of what is all here.
    pub fn recursive(cid: Cid) -> Self {
        Pin {
            cid,
            kind: PinKind::Recursive,
            name: None,
            labels: BTreeMap::new(),
            created: 0,
            expires: None,
            pending: false,
            size: None,
        }
    }

    /// Whether it says no more than that all of it is kept.
    pub(super) fn is_plain(&self) -> bool {
        self.is_lasting() && self.name.is_none() && self.labels.is_empty() && self.size.is_none()
    }

    /// Whether it keeps all of it, for ever.
    pub(crate) fn is_lasting(&self) -> bool {
        self.kind == PinKind::Recursive && self.expires.is_none() && !self.pending
    }

    /// The bytes to keep.
    pub fn encode(&self) -> Vec<u8> {
        let record = Record {
            cid: &self.cid.to_bytes(),
            direct: self.kind == PinKind::Direct,
            name: self.name.as_deref(),
            labels: self.labels.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect(),
            created: self.created,
            expires: self.expires,
            pending: self.pending,
            size: self.size,
        };
        let mut out = Vec::with_capacity(minicbor::len(&record));
        // Writing to memory cannot fail.
        minicbor::encode(&record, &mut out).unwrap_or_default();
        out
    }

    /// Reads what [`Pin::encode`] wrote, in this version or a later one.
    pub fn decode(bytes: &[u8]) -> Result<Pin> {
        let corrupt = |detail: String| Error::Corrupt { cid: None, detail: format!("a pin's record: {detail}") };
        let record: Record = minicbor::decode(bytes).map_err(|error| corrupt(error.to_string()))?;
        Ok(Pin {
            cid: block::from_bytes(record.cid).map_err(|error| corrupt(error.to_string()))?,
            kind: if record.direct { PinKind::Direct } else { PinKind::Recursive },
            name: record.name.map(str::to_owned),
            labels: record.labels.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect(),
            created: record.created,
            expires: record.expires,
            pending: record.pending,
            size: record.size,
        })
    }
}
