//! How to open a store and how to store a file.

use std::{collections::BTreeMap, rc::Rc};

use super::{OnFetched, outbox};
use crate::{
    backend::Backends,
    block::Cid,
    error::{Error, OfflineReason, Result},
    policy::Policy,
    remote::Remotes,
    tier::{Durability, Pin, PinKind},
    unixfs::Layout,
};

/// Longest filename, in bytes of UTF-8: what common file systems allow for a whole path.
pub(super) const MAX_FILENAME: usize = 4096;

/// Blocks kept in memory unless configured otherwise: a file's nodes and a few leaves.
const DEFAULT_MEMORY_BYTES: u64 = 8 * 1024 * 1024;

/// When a block read from the local tier is hashed against its CID.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Verification {
    /// On each read.
    #[default]
    Always,
    /// On the first read after the store was opened.
    OnFirstRead,
    /// Never: for a medium that verifies by itself.
    Never,
}

/// How to open a store.
#[derive(Debug, Clone)]
pub struct OpenOptions {
    /// The layout of files stored without one of their own.
    pub layout: Layout,
    /// What an acknowledged write survives.
    pub durability: Durability,
    /// When reads are verified.
    pub verification: Verification,
    /// Why no network may be used, if none may.
    pub offline: Option<OfflineReason>,
    /// Who else may have what is not held here.
    pub remotes: Option<Rc<Remotes>>,
    /// Who keeps copies of what is stored here.
    pub backends: Option<Rc<Backends>>,
    /// Who of them gets one, unless a call says otherwise.
    pub policy: outbox::ReplicationPolicy,
    /// Bytes of blocks kept in memory.
    pub memory_bytes: u64,
}

impl Default for OpenOptions {
    fn default() -> Self {
        OpenOptions {
            layout: Layout::default(),
            durability: Durability::Strict,
            verification: Verification::Always,
            offline: None,
            remotes: None,
            backends: None,
            policy: outbox::ReplicationPolicy::default(),
            memory_bytes: DEFAULT_MEMORY_BYTES,
        }
    }
}

/// How to store one file.
#[derive(Debug, Clone, Default)]
pub struct StoreOptions {
    /// A name to list it by.
    pub filename: Option<String>,
    /// Whether to pin it with the same commit. An earlier pin stays in any case.
    pub pin: bool,
    /// Its layout; without one, the store's.
    pub layout: Option<Layout>,
    /// Where copies of it are to be, laid over the store's policy. They are queued with the same commit.
    pub replicate: outbox::ReplicationPolicy,
}

impl StoreOptions {
    /// Refuses what cannot be stored.
    pub(super) fn check(self) -> Result<Self> {
        if let Some(name) = &self.filename
            && name.len() > MAX_FILENAME
        {
            let problem = format!("a filename of {} bytes; allowed are {MAX_FILENAME}", name.len());
            return Err(Error::InvalidArgument(problem));
        }
        self.layout.map(Layout::check).transpose()?;
        Ok(self)
    }
}

/// Longest name of a pin, and longest label's name and value, in bytes of UTF-8.
const MAX_PIN_TEXT: usize = 1024;

/// Most labels of a pin.
const MAX_LABELS: usize = 64;

/// How to pin something.
#[derive(Clone, Default)]
pub struct PinOptions {
    /// All of a DAG, or one block.
    pub kind: PinKind,
    /// A name to find it by.
    pub name: Option<String>,
    /// What else is to be noted of it.
    pub labels: BTreeMap<String, String>,
    /// When it ends, in milliseconds since the Unix epoch; none: never.
    pub expires: Option<u64>,
    /// Whether this call must not use a network.
    pub offline: bool,
    /// Told of what comes from elsewhere.
    pub on_fetched: Option<OnFetched>,
}

impl PinOptions {
    /// The pin that is wanted.
    pub(super) fn pin(&self, cid: &Cid, now: u64) -> Result<Pin> {
        let refused = |problem: String| Err(Error::InvalidArgument(problem));
        let mut texts = self.name.iter().chain(self.labels.keys()).chain(self.labels.values());
        if let Some(text) = texts.find(|text| text.len() > MAX_PIN_TEXT) {
            return refused(format!("a name or label of {} bytes; allowed are {MAX_PIN_TEXT}", text.len()));
        }
        if self.labels.len() > MAX_LABELS {
            return refused(format!("{} labels; allowed are {MAX_LABELS}", self.labels.len()));
        }
        if let Some(expires) = self.expires.filter(|expires| *expires <= now) {
            return refused(format!("a pin that ended at {expires}, which is past"));
        }
        Ok(Pin {
            kind: self.kind,
            name: self.name.clone(),
            labels: self.labels.clone(),
            created: now,
            expires: self.expires,
            ..Pin::recursive(cid.clone())
        })
    }
}

/// Limits of the caches; what is left out stays as it is.
#[derive(Debug, Clone, Copy, Default)]
pub struct CacheConfig {
    /// Bytes of blocks kept in memory; 0 keeps none.
    pub memory_bytes: Option<u64>,
    /// Bytes of blocks kept in the local tier; `u64::MAX` takes the limit away. A write that would come near it evicts
    /// stored roots that are not pinned, each as a whole.
    pub disk_bytes: Option<u64>,
    /// The order in which blocks leave the memory, and roots the local tier.
    pub policy: Option<Policy>,
    /// Above so many hundredths of the limit room is made, 95 by default,
    pub high_water: Option<u8>,
    /// and down to so many, 85 by default.
    pub low_water: Option<u8>,
}
