//! Values of linked data: put as blocks of dag-cbor or dag-json, and got by path.
//!
//! A value that was put is a stored root. What it links to may be here or not: what is here stays as long as the value does,
//! and what is not holds nothing up. A pin has all of it fetched, and then all of it is needed.

use cid::Version;

use super::{PinOptions, ReplicationPolicy, Storage, StoreOptions, room::Hold, sweep};
use crate::{
    block::{Block, Cid, Codec, MAX_BLOCK_BYTES},
    dag::{self, Value},
    error::{Error, Result},
    hash::HashFunction,
    tier::{Commit, Pin, Root, StoredRoot},
    unixfs::BlockSource,
    unixfs::{EntryKind, Path, Place, locate, one},
};

/// How to put a value.
#[derive(Debug, Clone)]
pub struct ValueOptions {
    /// dag-cbor, or dag-json.
    pub codec: Codec,
    /// The hash of its CID.
    pub hash: HashFunction,
    /// A name to list it by.
    pub filename: Option<String>,
    /// Whether to pin it, and all that it links to; what of that is not held is fetched.
    pub pin: bool,
    /// Whether this call must not use a network.
    pub offline: bool,
}

impl Default for ValueOptions {
    fn default() -> Self {
        let hash = HashFunction::default();
        ValueOptions { codec: Codec::DagCbor, hash, filename: None, pin: false, offline: false }
    }
}

impl Storage {
    /// Stores a value as one block, and as a root.
    ///
    /// One over 2 MiB, or that its codec cannot say, is [`Error::InvalidArgument`]. When it is stored and what it links to
    /// cannot be fetched to be pinned, that is the error, and its pin is pending.
    pub async fn put_value(&self, value: &Value, options: ValueOptions) -> Result<StoredRoot> {
        let ValueOptions { codec, hash, filename, pin, offline } = options;
        let filename = StoreOptions { filename, ..StoreOptions::default() }.check()?.filename;
        if !matches!(codec, Codec::DagCbor | Codec::DagJson) {
            let problem = "a value is put as dag-cbor or dag-json; bytes are stored as a file";
            return Err(Error::InvalidArgument(problem.into()));
        }
        let written = dag::encode(codec, value).map_err(|malformed| Error::InvalidArgument(malformed.to_string()))?;
        if written.len() > MAX_BLOCK_BYTES {
            return Err(Error::InvalidArgument(format!(
                "a value of {} bytes; one block has {MAX_BLOCK_BYTES} at most: put parts of it as values of their own, or \
                 large bytes as files, and link to them",
                written.len()
            )));
        }
        let mut links = Vec::new();
        value.links(&mut links);
        let shared = &self.shared;
        let (size, modified, durability) = (written.len() as u64, shared.clock.now(), shared.options.durability);
        let block = Block::make(shared.hasher.as_ref(), Version::V1, codec, hash, vec![written.into()]).await?.pop();
        let block = block.ok_or_else(|| Error::Io("the hasher returned no digest".into()))?;
        let cid = block.cid().clone();
        let root = Root { cid: cid.clone(), filename, size, modified, profile: None, kind: Some(EntryKind::Value) };
        // Until what it links to is known to be here.
        let pending = !links.is_empty();
        let with = Pin { created: modified, pending, ..Pin::recursive(cid.clone()) };
        let (blocks, set_roots) = (vec![block], vec![root.clone()]);
        // What it links to may never have been here: then there is nothing to send.
        let notes = match pin || !pending {
            true => shared.queue_in_commit(&cid, &ReplicationPolicy::default()).await?,
            false => Vec::new(),
        };
        let commit = Commit {
            blocks,
            set_roots,
            pin: pin.then_some(with).into_iter().collect(),
            notes,
            durability,
            ..Commit::default()
        };
        let open = sweep::enter(shared).await?;
        let done = shared.write(commit, async |commit| shared.blocks.commit(commit).await).await?;
        shared.used(&cid);
        if pin && pending {
            self.pin(&cid, PinOptions { offline, ..PinOptions::default() }).await?;
        }
        sweep::leave(open).await;
        Ok(StoredRoot { root, pinned: done.pinned.contains(&true) })
    }

    /// What a path leads to, as a value, and where that is. Names lead through maps, lists and directories, and links are
    /// followed, also the last. A file, a directory and a raw block are values too: those of their root block.
    ///
    /// What is not held is fetched, proven, and kept until room is made. Errors are those of [`locate`].
    pub async fn get_value(&self, path: impl Into<Path>, offline: bool) -> Result<(Place, Value)> {
        let (shared, path) = (&self.shared, path.into());
        let root = path.cid().clone();
        let _hold = Hold::new(shared, root.clone());
        // No bytes of a file, but the blocks that lead there.
        let source = shared.source(path.clone(), Some(0..0), offline, None);
        let place = locate(&source, &path).await?;
        source.session().into_iter().for_each(|session| session.found(&place.cid));
        let block = one(source.blocks(std::slice::from_ref(&place.cid)).await?, &place.cid)?;
        let mut value = dag::value(&block)?;
        for name in &place.within {
            value = value.take(name).ok_or_else(|| Error::NotFound(path.clone()))?;
        }
        shared.used(&root);
        if source.session().is_some_and(|session| session.fetched().blocks > 0) {
            shared.room.litter();
        }
        Ok((place, value))
    }
}

/// Whether it is the CID of a value of linked data.
pub fn is_value(cid: &Cid) -> bool {
    matches!(Codec::of(cid), Ok(Codec::DagCbor | Codec::DagJson))
}
