//! The tier over IndexedDB: the browser's default. It works in windows, workers and service workers, and several of them
//! may have the same database open.
//!
//! Blocks are looked up in the database. Roots, pins and figures are a log in it, one entry a commit, which each opener
//! follows in memory: a listing costs no request for each root, and small files no record for each.

use std::{cell::RefCell, collections::HashSet, rc::Rc};

use async_trait::async_trait;
use bytes::Bytes;
use js_sys::{Array, Float64Array, Reflect, Uint8Array};
use wasm_bindgen::{JsCast, JsValue, closure::Closure};

use super::{
    Amount, Commit, Committed, Durability, Guard, Held, Pin, Room, StoredRoot, Tier, Usage, record::Change,
    root::RootMap, turn::Turn,
};
use crate::{
    block::{self, Block, Cid, Key},
    error::{Error, Result},
    platform::browser::{self as host, failed},
};

/// The log is written anew, as one entry, when it has this many more entries than the last time.
const COMPACT_ENTRIES: u64 = 512;

/// Bytes of blocks from which on there is a reserve in the database, which is as large: a smaller store is not to take
/// more than twice what it holds.
const RESERVE_FROM: f64 = 4.0 * 1024.0 * 1024.0;

/// A database with blocks and roots.
pub struct IdbTier {
    log: Rc<Log>,
    reading: Turn<Result<()>>,
    locks: host::Locks,
}

struct Log {
    database: JsValue,
    followed: RefCell<Followed>,
}

/// The log, as far as it was read.
#[derive(Default)]
struct Followed {
    /// The last entry's place.
    place: f64,
    entries: u64,
    /// All entries ever read, and those among them that were written here.
    read: u64,
    own: u64,
    roots: RootMap,
    blocks: f64,
    bytes: f64,
    quarantined: f64,
}

impl IdbTier {
    /// Opens the database of this name, or makes it.
    pub async fn open(name: &str) -> Result<Self> {
        let database = host::open_database(name).await.map_err(|error| failed("cannot open the database", &error))?;
        let log = Rc::new(Log { database, followed: RefCell::default() });
        let tier = IdbTier { log, reading: Turn::default(), locks: host::Locks::new(name) };
        tier.follow().await?;
        Ok(tier)
    }

    /// Closes the database; no call works after it.
    pub fn close(&self) {
        host::close_database(&self.log.database, &self.locks);
    }

    /// Reads what was written to the log since the last time, here or in another tab.
    async fn follow(&self) -> Result<()> {
        // A reading under way may have begun before what the caller has to see was written.
        if let Some(earlier) = self.reading.under_way() {
            let _ = earlier.await;
        }
        let log = self.log.clone();
        self.reading.join_or_begin(async move { log.read().await }).await
    }

    /// Writes a change, and follows the log up to it: its own entry, and what others wrote in between. Tells which of the
    /// blocks were held, and what was dropped.
    async fn write(&self, change: host::Change) -> Result<(Vec<u8>, Amount)> {
        let after = self.log.followed.borrow().place;
        let done = host::write(&self.log.database, change, after).await;
        let (entries, present) = done.map_err(|error| failed("cannot write", &error))?;
        self.log.apply(&entries)?;
        // Its own entry is the last, and says by how much the figures have changed.
        let own = Array::from(&entries).pop();
        self.log.followed.borrow_mut().own += u64::from(own.is_object());
        let fewer = |key: &str| -number(&own, key).min(0.0) as u64;
        Ok((present, Amount { blocks: fewer("blocks"), bytes: fewer("bytes") }))
    }
}

impl Log {
    async fn read(&self) -> Result<()> {
        let after = self.followed.borrow().place;
        let entries = host::read_log(&self.database, after).await.map_err(|error| failed("cannot read", &error))?;
        self.apply(&entries)?;
        if self.followed.borrow().entries > COMPACT_ENTRIES {
            // A log that cannot be written anew, on a full disk perhaps, is only longer; reading goes on.
            let _ = self.compact().await;
        }
        Ok(())
    }

    fn apply(&self, entries: &JsValue) -> Result<()> {
        let mut followed = self.followed.borrow_mut();
        Array::from(entries).iter().try_for_each(|entry| followed.apply(&entry))
    }

    async fn compact(&self) -> Result<()> {
        let (place, entry) = {
            let mut followed = self.followed.borrow_mut();
            followed.entries = 0;
            let whole = Change {
                set_roots: followed.roots.page(None, usize::MAX).into_iter().map(|stored| stored.root).collect(),
                pin: followed.roots.pins(None, usize::MAX),
                notes: followed.roots.notes(),
                ..Change::default()
            };
            let entry = host::object(&[
                ("record", Uint8Array::from(whole.encode().as_slice()).into()),
                ("blocks", followed.blocks.into()),
                ("bytes", followed.bytes.into()),
                ("quarantined", followed.quarantined.into()),
            ]);
            (followed.place, entry)
        };
        host::compact_log(&self.database, place, entry)
            .await
            .map(drop)
            .map_err(|error| failed("cannot compact the log", &error))
    }
}

/// Looks at notes inside the transaction that is to change them: whoever else writes has done so before, or will after.
struct Expecting {
    /// Called with the log's entries that were not read yet, before anything is written; says whether to go on.
    check: Closure<dyn FnMut(JsValue) -> bool>,
    /// Why not.
    refused: Rc<RefCell<Option<Error>>>,
}

impl Expecting {
    fn new(log: Rc<Log>, expect: Vec<(String, Option<Bytes>)>) -> Self {
        let refused = Rc::new(RefCell::new(None));
        let why = refused.clone();
        let check = Closure::new(move |entries| {
            let checked = log.apply(&entries).and_then(|()| log.followed.borrow().roots.check(&expect));
            let met = checked.is_ok();
            why.replace(checked.err());
            met
        });
        Expecting { check, refused }
    }
}

impl Followed {
    fn apply(&mut self, entry: &JsValue) -> Result<()> {
        let get = |key: &str| Reflect::get(entry, &key.into()).unwrap_or_default();
        let number = |key: &str| number(entry, key);
        if number("place") <= self.place {
            return Ok(()); // read by somebody else in the meantime
        }
        if get("whole").is_truthy() {
            let Followed { entries, read, own, .. } = *self;
            *self = Followed { entries, read, own, ..Followed::default() };
        }
        if let Ok(record) = get("record").dyn_into::<Uint8Array>() {
            let Change { set_roots, drop_roots, pin, unpin, notes, .. } = Change::decode(&record.to_vec())?;
            self.roots.apply(set_roots, &drop_roots, pin, &unpin);
            self.roots.set_notes(notes);
        }
        self.place = number("place");
        self.entries += 1;
        self.read += 1;
        self.blocks += number("blocks");
        self.bytes += number("bytes");
        self.quarantined += number("quarantined");
        Ok(())
    }
}

fn number(entry: &JsValue, key: &str) -> f64 {
    Reflect::get(entry, &key.into()).unwrap_or_default().as_f64().unwrap_or_default()
}

fn bytes_of(key: &Key) -> JsValue {
    Uint8Array::from(key.to_bytes().as_slice()).into()
}

#[async_trait(?Send)]
impl Tier for IdbTier {
    fn kind(&self) -> &'static str {
        "indexeddb"
    }

    async fn get(&self, keys: &[Key]) -> Result<Vec<Option<Held>>> {
        if keys.is_empty() {
            return Ok(Vec::new());
        }
        let wanted = keys.iter().map(bytes_of).collect();
        let found = host::read_blocks(&self.log.database, wanted).await;
        let found = Array::from(&found.map_err(|error| failed("cannot read", &error))?);
        let held = |at: u32| {
            let view = found.get(2 * at).dyn_into::<Uint8Array>().ok()?;
            Some(Held { bytes: host::buffers::adopt(view), place: found.get(2 * at + 1).as_f64()? as u64 })
        };
        Ok((0..keys.len() as u32).map(held).collect())
    }

    async fn has(&self, keys: &[Key]) -> Result<Vec<bool>> {
        if keys.is_empty() {
            return Ok(Vec::new());
        }
        let wanted = keys.iter().map(bytes_of).collect();
        let found =
            host::has_blocks(&self.log.database, wanted).await.map_err(|error| failed("cannot read", &error))?;
        Ok(Uint8Array::from(found).to_vec().into_iter().map(|held| held == 1).collect())
    }

    async fn lengths(&self, keys: &[Key]) -> Result<Vec<Option<u64>>> {
        if keys.is_empty() {
            return Ok(Vec::new());
        }
        let wanted = keys.iter().map(bytes_of).collect();
        let found = host::block_lengths(&self.log.database, wanted).await;
        let found = Float64Array::from(found.map_err(|error| failed("cannot read", &error))?).to_vec();
        Ok(found.into_iter().map(|length| (length >= 0.0).then_some(length as u64)).collect())
    }

    /// In the order of the keys' bytes, which is that of the index.
    async fn keys(&self, after: Option<&Key>, limit: usize) -> Result<Vec<Key>> {
        let after = after.map_or(JsValue::UNDEFINED, bytes_of);
        let found = host::list_keys(&self.log.database, after, limit as u32).await;
        let found = Array::from(&found.map_err(|error| failed("cannot read", &error))?);
        let key = |bytes: JsValue| {
            let bytes = Uint8Array::new(&bytes).to_vec();
            Key::from_bytes(&bytes)
                .map_err(|error| Error::Corrupt { cid: None, detail: format!("a key of the database: {error}") })
        };
        found.iter().map(key).collect()
    }

    async fn commit(&self, commit: Commit) -> Result<Committed> {
        let (strict, ahead) = (commit.durability == Durability::Strict, commit.ahead);
        let drops = commit.drop_blocks.iter().map(bytes_of).collect();
        let only_drops = commit.blocks.is_empty() && commit.quarantine.is_empty();
        let aside = commit.quarantine.iter().map(|(key, _)| bytes_of(key)).collect();
        let places = commit.quarantine.iter().map(|(_, place)| *place as f64).collect();
        let expecting = (!commit.expect.is_empty()).then(|| Expecting::new(self.log.clone(), commit.expect.clone()));
        let (blocks, change) = commit.split(Vec::new());
        // What goes is taken out of the database, and need not be in the log.
        let change = Change { drop_blocks: Vec::new(), ..change };
        let record = match change.is_empty() {
            true => JsValue::UNDEFINED,
            false => Uint8Array::from(change.encode().as_slice()).into(),
        };
        let mut seen = HashSet::new();
        let (keys, mut unique, mut spans) = (Array::new(), Vec::new(), Vec::new());
        for block in &blocks {
            if let Some(key) = block::key(block.cid()).filter(|key| seen.insert(*key)) {
                keys.push(&bytes_of(&key));
                unique.push(key);
                spans.push(block.bytes().as_ref());
            }
        }
        let values = host::spans(&spans);
        let check = expecting.as_ref().map_or(JsValue::UNDEFINED, |expecting| expecting.check.as_ref().clone());
        let reserve = self.log.followed.borrow().bytes >= RESERVE_FROM;
        let write = host::Change { keys, values, drops, aside, places, record, strict, ahead, reserve, check };
        let written = self.write(write).await;
        let refused = expecting.and_then(|expecting| expecting.refused.take());
        let (present, dropped) = written.map_err(|error| match refused.unwrap_or(error) {
            Error::QuotaExceeded { .. } => {
                Error::QuotaExceeded { needed: blocks.iter().map(|block| block.bytes().len() as u64).sum(), limit: 0 }
            }
            error => error,
        })?;
        let present: HashSet<Key> =
            unique.into_iter().zip(present).filter(|(_, present)| *present == 1).map(|(key, _)| key).collect();
        let held = |block: &Block| block::key(block.cid()).is_none_or(|key| present.contains(&key));
        let followed = self.log.followed.borrow();
        Ok(Committed {
            held: blocks.iter().map(held).collect(),
            pinned: change.set_roots.iter().map(|root| followed.roots.is_pinned(&root.cid)).collect(),
            dropped: if only_drops { dropped } else { Amount::default() },
        })
    }

    async fn root(&self, cid: &Cid) -> Result<Option<StoredRoot>> {
        self.follow().await?;
        Ok(self.log.followed.borrow().roots.get(cid))
    }

    async fn roots(&self, after: Option<&Cid>, limit: usize) -> Result<Vec<StoredRoot>> {
        self.follow().await?;
        Ok(self.log.followed.borrow().roots.page(after, limit))
    }

    async fn pin(&self, cid: &Cid) -> Result<Option<Pin>> {
        self.follow().await?;
        Ok(self.log.followed.borrow().roots.pin(cid))
    }

    async fn pins(&self, after: Option<&Cid>, limit: usize) -> Result<Vec<Pin>> {
        self.follow().await?;
        Ok(self.log.followed.borrow().roots.pins(after, limit))
    }

    async fn note(&self, name: &str) -> Result<Option<Bytes>> {
        self.follow().await?;
        Ok(self.log.followed.borrow().roots.note(name))
    }

    async fn notes(&self, prefix: &str, after: Option<&str>, limit: usize) -> Result<Vec<(String, Bytes)>> {
        self.follow().await?;
        Ok(self.log.followed.borrow().roots.notes_page(prefix, after, limit))
    }

    async fn changes_by_others(&self) -> Result<u64> {
        self.follow().await?;
        let followed = self.log.followed.borrow();
        Ok(followed.read.saturating_sub(followed.own))
    }

    async fn usage(&self) -> Result<Usage> {
        self.follow().await?;
        let followed = self.log.followed.borrow();
        Ok(Usage {
            blocks: followed.blocks as u64,
            bytes: followed.bytes as u64,
            roots: followed.roots.len(),
            pinned: followed.roots.pinned(),
            quarantined: followed.quarantined as u64,
            stored: followed.bytes as u64,
        })
    }

    /// A commit that changes nothing, with strict durability: the browser syncs what was written before with it.
    async fn flush(&self) -> Result<()> {
        self.write(host::Change { strict: true, ..host::Change::default() }).await.map(drop)
    }

    async fn enter(&self) -> Result<Guard> {
        // The guard is there before the lock: who stops waiting for it gives it back.
        let locks = self.locks.clone();
        let guard = Guard::new(move || locks.leave());
        self.locks.enter().await.map_err(|error| failed("cannot lock", &error))?;
        Ok(guard)
    }

    async fn alone(&self) -> Result<Option<Guard>> {
        let locks = self.locks.clone();
        let guard = Guard::new(move || locks.ended());
        let alone = self.locks.alone().await.map_err(|error| failed("cannot lock", &error))?;
        Ok(alone.is_truthy().then_some(guard))
    }

    async fn room(&self) -> Result<Option<Room>> {
        host::room().await
    }
}
