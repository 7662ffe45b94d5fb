//! The tier over IndexedDB: the browser's default. It works in windows, workers and service workers, and several of them
//! may have the same database open.
//!
//! Blocks are looked up in the database. Roots, pins and figures are a log in it, one entry a commit, which each opener
//! follows in memory: a listing costs no request for each root, and small files no record for each.

use std::cell::{Cell, RefCell};

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::lock::Mutex;
use js_sys::{Array, Object, Reflect, Uint8Array};
use wasm_bindgen::{JsCast, JsValue};

use super::{
    Commit, Durability, StoredRoot, Tier, Usage,
    record::{Change, Record},
    root::RootMap,
};
use crate::{
    block::{self, Cid, Key},
    error::{Error, Result},
    platform::browser::{self as host, failed},
};

/// The log is written anew, as one entry, when it has this many more entries than the last time.
const COMPACT_ENTRIES: u64 = 512;

/// A database with blocks and roots.
pub struct IdbTier {
    database: JsValue,
    followed: RefCell<Followed>,
    /// Held while the log is read, so that no entry is applied twice. The number of the last reading that ended.
    following: Mutex<u64>,
    /// The number of the last reading that began.
    begun: Cell<u64>,
}

/// The log, as far as it was read.
#[derive(Default)]
struct Followed {
    /// The last entry's place.
    place: f64,
    entries: u64,
    roots: RootMap,
    blocks: f64,
    bytes: f64,
    quarantined: f64,
}

impl IdbTier {
    /// Opens the database of this name, or makes it.
    pub async fn open(name: &str) -> Result<Self> {
        let database = host::open_database(name).await.map_err(|error| failed("cannot open the database", &error))?;
        let tier = IdbTier { database, followed: RefCell::default(), following: Mutex::new(0), begun: Cell::new(0) };
        tier.follow().await?;
        Ok(tier)
    }

    /// Closes the database; no call works after it.
    pub fn close(&self) {
        host::close_database(&self.database);
    }

    /// Reads what was written to the log since the last time, here or in another tab.
    async fn follow(&self) -> Result<()> {
        let asked = self.begun.get();
        let mut done = self.following.lock().await;
        if *done > asked {
            return Ok(()); // a reading that began after this call has ended while it waited
        }
        self.begun.set(self.begun.get() + 1);
        let after = self.followed.borrow().place;
        let entries = host::read_log(&self.database, after).await.map_err(|error| failed("cannot read", &error))?;
        for entry in Array::from(&entries).iter() {
            self.followed.borrow_mut().apply(&entry)?;
        }
        if self.followed.borrow().entries > COMPACT_ENTRIES {
            // A log that cannot be written anew, on a full disk perhaps, is only longer; reading goes on.
            let _ = self.compact().await;
        }
        *done = self.begun.get();
        Ok(())
    }

    /// Writes a change, and follows the log up to it: its own entry, and what others wrote in between.
    async fn write(&self, change: host::Change, strict: bool) -> Result<()> {
        let after = self.followed.borrow().place;
        let entries =
            host::write(&self.database, change, strict, after).await.map_err(|error| failed("cannot write", &error))?;
        let mut followed = self.followed.borrow_mut();
        Array::from(&entries).iter().try_for_each(|entry| followed.apply(&entry))
    }

    /// `following` must be held.
    async fn compact(&self) -> Result<()> {
        let (place, entry) = {
            let mut followed = self.followed.borrow_mut();
            followed.entries = 0;
            let whole = Commit {
                set_roots: followed.roots.iter().map(|stored| stored.root).collect(),
                pin: followed.roots.iter().filter(|stored| stored.pinned).map(|stored| stored.root.cid).collect(),
                ..Commit::default()
            };
            let entry = Object::new();
            let record = Uint8Array::from(Record::of(&whole).encode().as_slice());
            set(&entry, "record", &record)?;
            set(&entry, "blocks", &followed.blocks.into())?;
            set(&entry, "bytes", &followed.bytes.into())?;
            set(&entry, "quarantined", &followed.quarantined.into())?;
            (followed.place, entry)
        };
        host::compact_log(&self.database, place, entry.into())
            .await
            .map(drop)
            .map_err(|error| failed("cannot compact the log", &error))
    }
}

impl Followed {
    fn apply(&mut self, entry: &JsValue) -> Result<()> {
        let get = |key: &str| Reflect::get(entry, &key.into()).unwrap_or_default();
        let number = |key: &str| get(key).as_f64().unwrap_or_default();
        if number("place") <= self.place {
            return Ok(()); // read by somebody else in the meantime
        }
        if get("whole").is_truthy() {
            *self = Followed { entries: self.entries, ..Followed::default() };
        }
        if let Ok(record) = get("record").dyn_into::<Uint8Array>() {
            let Change { set_roots, drop_roots, pin, unpin, .. } = Record::decode(&record.to_vec())?;
            self.roots.apply(set_roots, &drop_roots, &pin, &unpin);
        }
        self.place = number("place");
        self.entries += 1;
        self.blocks += number("blocks");
        self.bytes += number("bytes");
        self.quarantined += number("quarantined");
        Ok(())
    }
}

fn set(object: &Object, key: &str, value: &JsValue) -> Result<()> {
    Reflect::set(object, &key.into(), value).map(drop).map_err(|error| failed("cannot make a log entry", &error))
}

fn bytes_of(key: &Key) -> JsValue {
    Uint8Array::from(key.to_bytes().as_slice()).into()
}

#[async_trait(?Send)]
impl Tier for IdbTier {
    fn kind(&self) -> &'static str {
        "indexeddb"
    }

    async fn get(&self, keys: &[Key]) -> Result<Vec<Option<Bytes>>> {
        if keys.is_empty() {
            return Ok(Vec::new());
        }
        let wanted = keys.iter().map(bytes_of).collect();
        let found = host::read_blocks(&self.database, wanted).await.map_err(|error| failed("cannot read", &error))?;
        let value = |value: JsValue| value.dyn_into::<Uint8Array>().ok().map(|bytes| Bytes::from(bytes.to_vec()));
        Ok(Array::from(&found).iter().map(value).collect())
    }

    async fn has(&self, keys: &[Key]) -> Result<Vec<bool>> {
        if keys.is_empty() {
            return Ok(Vec::new());
        }
        let wanted = keys.iter().map(bytes_of).collect();
        let found = host::has_blocks(&self.database, wanted).await.map_err(|error| failed("cannot read", &error))?;
        Ok(Uint8Array::from(found).to_vec().into_iter().map(|held| held == 1).collect())
    }

    async fn commit(&self, commit: Commit) -> Result<Vec<bool>> {
        let record = match commit.speaks() {
            true => Uint8Array::from(Record::of(&commit).encode().as_slice()).into(),
            false => JsValue::UNDEFINED,
        };
        let mut seen = std::collections::HashSet::new();
        let (keys, mut spans) = (Array::new(), Vec::new());
        for block in &commit.blocks {
            if let Some(key) = block::key(block.cid()).filter(|key| seen.insert(*key)) {
                keys.push(&bytes_of(&key));
                spans.push(block.bytes().as_ref());
            }
        }
        let drops = commit.drop_blocks.iter().map(bytes_of).collect();
        let aside = commit.quarantine.iter().map(bytes_of).collect();
        let change = host::Change { keys, values: host::spans(&spans), drops, aside, record };
        let strict = commit.durability == Durability::Strict;
        match self.write(change, strict).await {
            Err(Error::QuotaExceeded { .. }) => Err(Error::QuotaExceeded { needed: commit.bytes(), limit: 0 }),
            Err(error) => Err(error),
            Ok(()) => {
                let followed = self.followed.borrow();
                Ok(commit.set_roots.iter().map(|root| followed.roots.is_pinned(&root.cid)).collect())
            }
        }
    }

    async fn root(&self, cid: &Cid) -> Result<Option<StoredRoot>> {
        self.follow().await?;
        Ok(self.followed.borrow().roots.get(cid))
    }

    async fn roots(&self, after: Option<&Cid>, limit: usize) -> Result<Vec<StoredRoot>> {
        self.follow().await?;
        Ok(self.followed.borrow().roots.page(after, limit))
    }

    async fn usage(&self) -> Result<Usage> {
        self.follow().await?;
        let followed = self.followed.borrow();
        Ok(Usage {
            blocks: followed.blocks as u64,
            bytes: followed.bytes as u64,
            roots: followed.roots.len(),
            pinned: followed.roots.pinned(),
            quarantined: followed.quarantined as u64,
        })
    }

    /// A commit that changes nothing, with strict durability: the browser syncs what was written before with it.
    async fn flush(&self) -> Result<()> {
        self.write(host::Change::default(), true).await
    }
}
