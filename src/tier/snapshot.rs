//! A pack that is read where files cannot be read at once: in service workers, when no page has the store open.
//!
//! Files there answer reads from what of them is in memory. A read of anything else fails, is remembered, loaded, and then the
//! call is made again: so the pack knows nothing of it. Nothing is written, and an owner may come at any time; what it has changed
//! below a reader does not hash to its key any more.

use std::rc::Rc;

use async_trait::async_trait;
use bytes::Bytes;

use super::{
    Commit, Committed, Held, Pin, Recovery, StoredRoot, Tier, Usage,
    pack::{Opening, PackTier},
};
use crate::{
    block::{Cid, Key},
    error::{Error, Result},
    hash::Hasher,
    platform::{Clock, Room, browser::BrowserDirectory},
};

/// A store in files, as it was when it was opened.
pub struct SnapshotTier {
    pack: PackTier,
    directory: Rc<BrowserDirectory>,
}

/// Makes a call until nothing is wanting that it reads.
macro_rules! loading {
    ($directory:expr, $call:expr) => {
        loop {
            match $call.await {
                Err(_) if $directory.load().await? => {}
                done => {
                    $directory.trim();
                    break done;
                }
            }
        }
    };
}

impl SnapshotTier {
    /// Reads the store in this folder, which must be there.
    pub async fn open(
        directory: Rc<BrowserDirectory>,
        hasher: Rc<dyn Hasher>,
        clock: Rc<dyn Clock>,
    ) -> Result<SnapshotTier> {
        let opening = Opening { exclusive: true, ..Opening::default() };
        let open = || PackTier::open_with(directory.clone(), hasher.clone(), clock.clone(), opening);
        let pack = loading!(directory, open())?;
        Ok(SnapshotTier { pack, directory })
    }
}

#[async_trait(?Send)]
impl Tier for SnapshotTier {
    fn kind(&self) -> &'static str {
        self.pack.kind()
    }

    /// One by one: each may load what was loaded for the one before.
    async fn get(&self, keys: &[Key]) -> Result<Vec<Option<Held>>> {
        let mut found = Vec::with_capacity(keys.len());
        for key in keys {
            found.extend(loading!(self.directory, self.pack.get(&[*key]))?);
        }
        Ok(found)
    }

    async fn has(&self, keys: &[Key]) -> Result<Vec<bool>> {
        let mut found = Vec::with_capacity(keys.len());
        for key in keys {
            found.extend(loading!(self.directory, self.pack.has(&[*key]))?);
        }
        Ok(found)
    }

    async fn lengths(&self, keys: &[Key]) -> Result<Vec<Option<u64>>> {
        let mut found = Vec::with_capacity(keys.len());
        for key in keys {
            found.extend(loading!(self.directory, self.pack.lengths(&[*key]))?);
        }
        Ok(found)
    }

    async fn keys(&self, after: Option<&Key>, limit: usize) -> Result<Vec<Key>> {
        loading!(self.directory, self.pack.keys(after, limit))
    }

    async fn commit(&self, _: Commit) -> Result<Committed> {
        Err(Error::Denied("no page has this store open, and without one it can only be read: open a page".into()))
    }

    async fn root(&self, cid: &Cid) -> Result<Option<StoredRoot>> {
        self.pack.root(cid).await
    }

    async fn roots(&self, after: Option<&Cid>, limit: usize) -> Result<Vec<StoredRoot>> {
        self.pack.roots(after, limit).await
    }

    async fn pin(&self, cid: &Cid) -> Result<Option<Pin>> {
        self.pack.pin(cid).await
    }

    async fn pins(&self, after: Option<&Cid>, limit: usize) -> Result<Vec<Pin>> {
        self.pack.pins(after, limit).await
    }

    async fn note(&self, name: &str) -> Result<Option<Bytes>> {
        self.pack.note(name).await
    }

    async fn notes(&self, prefix: &str, after: Option<&str>, limit: usize) -> Result<Vec<(String, Bytes)>> {
        self.pack.notes(prefix, after, limit).await
    }

    async fn usage(&self) -> Result<Usage> {
        self.pack.usage().await
    }

    async fn flush(&self) -> Result<()> {
        Ok(())
    }

    async fn room(&self) -> Result<Option<Room>> {
        self.pack.room().await
    }

    fn recovery(&self) -> Recovery {
        self.pack.recovery()
    }
}
