//! Looking blocks up: in the table, then on disk, where the whole key is.
//!
//! Whoever looks something up may find, when he gets to read it, that a compaction has moved it and removed the segment.
//! Then he looks again.

use bytes::Bytes;

use super::{
    PackTier,
    frame::{self, HEADER_BYTES, Header},
    table::{self, Entry},
};
use crate::{block::Key, error::Result, tier::Held};

impl PackTier {
    /// The entry of a block, its key confirmed on disk.
    pub(super) async fn find(&self, key: &Key) -> Result<Option<Entry>> {
        Ok(self.locate(key, false).await?.map(|(entry, _)| entry))
    }

    /// What is held under a key.
    pub(super) async fn get_one(&self, key: &Key) -> Result<Option<Held>> {
        let body = HEADER_BYTES + key.encoded_len();
        let held = |(entry, frame): (Entry, Vec<u8>)| Held {
            bytes: Bytes::from(frame).slice(body..),
            place: entry.at.place(),
        };
        Ok(self.locate(key, true).await?.map(held))
    }

    /// A block's entry, and its frame, with or without the body.
    async fn locate(&self, key: &Key, whole: bool) -> Result<Option<(Entry, Vec<u8>)>> {
        let candidates = || self.state.borrow().table.candidates(table::prefix(key)).collect::<Vec<Entry>>();
        let key_bytes = key.to_bytes();
        let body = HEADER_BYTES + key_bytes.len();
        let mut looked = candidates();
        loop {
            let mut failure = None;
            for entry in &looked {
                match self.read(*entry, if whole { body + entry.length as usize } else { body }).await {
                    Ok(frame) if frame.get(HEADER_BYTES..body) == Some(key_bytes.as_slice()) => {
                        return Ok(Some((*entry, frame)));
                    }
                    Ok(_) => {}
                    Err(error) => failure = Some(error),
                }
            }
            let now = if looked.is_empty() { Vec::new() } else { candidates() };
            if now == looked {
                if !looked.is_empty() {
                    // Another owner may have moved it.
                    self.owner.holds().await?;
                }
                return failure.map_or(Ok(None), Err);
            }
            looked = now;
        }
    }

    /// The first bytes of an entry's frame; fewer if its segment is shorter, or not there.
    pub(super) async fn read(&self, entry: Entry, length: usize) -> Result<Vec<u8>> {
        match self.log.look(entry.at.segment).await? {
            Some(file) => file.read_at(u64::from(entry.at.offset), length),
            None => Ok(Vec::new()),
        }
    }

    /// The order is that of the table, then of the keys: a page lies together in the table, and only its own keys are read
    /// from disk.
    pub(super) async fn keys_after(&self, after: Option<&Key>, limit: usize) -> Result<Vec<Key>> {
        let place = |key: &Key| (table::order(table::prefix(key)), *key);
        let after = after.map(place);
        let mut from = Some(after.map_or(0, |(place, _)| place));
        let mut found = Vec::new();
        while let Some(first) = from.filter(|_| found.len() < limit) {
            let page = self.state.borrow().table.page(first, limit);
            let mut keys = Vec::with_capacity(page.len());
            for entry in &page {
                keys.extend(self.key_of(*entry).await?);
            }
            let state = self.state.borrow();
            if page.iter().all(|entry| state.holds(*entry)) {
                found.extend(keys.iter().map(place).filter(|key| after.is_none_or(|after| *key > after)));
                from = page
                    .last()
                    .filter(|_| page.len() >= limit)
                    .and_then(|last| table::order(last.prefix).checked_add(1));
            }
        }
        found.sort_unstable();
        found.truncate(limit);
        Ok(found.into_iter().map(|(_, key)| key).collect())
    }

    /// The key of an entry; none if its frame is damaged, or gone since.
    async fn key_of(&self, entry: Entry) -> Result<Option<Key>> {
        let frame = self.read(entry, HEADER_BYTES + frame::MAX_KEY_BYTES).await?;
        let bytes = Header::decode(&frame).and_then(|header| frame.get(HEADER_BYTES..HEADER_BYTES + header.key_bytes));
        Ok(bytes.and_then(|bytes| Key::from_bytes(bytes).ok()).filter(|key| table::prefix(key) == entry.prefix))
    }
}
