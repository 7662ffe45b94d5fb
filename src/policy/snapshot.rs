//! The order as bytes, so that it survives a restart.
//!
//! ```text
//! snapshot  version:1 (1)  policy:1 (0 lru, 1 lfu, 2 arc)  target  age  entry*      the one used last at the end
//! entry     state:1 (0 held, 1 ghost, 2 newcomer, 3 newcomer out of B2)  bytes  uses  rank (lfu alone)  key length  key
//! ```
//!
//! What has no width is a varint (LEB128). Lists and places follow from state, uses, rank and order.

use std::hash::Hash;

use super::{
    Policy, Replacement,
    queues::{Entry, Newcomer, Queues},
};
use crate::error::{Error, Result};

const VERSION: u8 = 1;

/// Most entries in a snapshot. With more than these, those unused for longest are left out.
const MAX_ENTRIES: usize = 1 << 20;

impl<K: Clone + Eq + Hash> Replacement<K> {
    /// All that is known but the capacity, as bytes, for [`Replacement::restore`]; `encode` gives those of a key.
    ///
    /// At most 1,048,576 entries are written, the last used ones.
    pub fn snapshot(&self, encode: impl Fn(&K) -> Vec<u8>) -> Vec<u8> {
        let mut out = head(&self.queues);
        for slot in self.queues.by_use().skip(self.slots.len().saturating_sub(MAX_ENTRIES)) {
            if let Some(key) = self.keys.get(slot) {
                write_entry(&mut out, &self.queues, slot, &encode(key));
            }
        }
        out
    }

    /// What [`Replacement::snapshot`] wrote, with room for `capacity` bytes; `decode` reads a key. What was not written by
    /// it is [`Error::Corrupt`].
    ///
    /// The snapshot may be older than what is held now: the holder removes and admits what differs.
    pub fn restore(snapshot: &[u8], capacity: u64, decode: impl Fn(&[u8]) -> Option<K>) -> Result<Self> {
        let mut reader = Reader(snapshot);
        let queues = reader.head(capacity).ok_or_else(|| corrupt("its head"))?;
        let mut all = Replacement { queues, slots: Default::default(), keys: Vec::new() };
        while !reader.0.is_empty() {
            let (slot, key) = reader.entry(&mut all.queues).ok_or_else(|| corrupt("an entry"))?;
            let key = decode(key).filter(|key| !all.slots.contains_key(key));
            all.name(slot, key.ok_or_else(|| corrupt("a key"))?);
        }
        all.trim();
        Ok(all)
    }
}

fn corrupt(what: &str) -> Error {
    Error::Corrupt { cid: None, detail: format!("the snapshot of an order of eviction: {what} is malformed") }
}

fn head(queues: &Queues) -> Vec<u8> {
    let policy = match queues.policy {
        Policy::Lru => 0,
        Policy::Lfu => 1,
        Policy::Arc => 2,
    };
    let mut out = vec![VERSION, policy];
    varint(&mut out, queues.target);
    varint(&mut out, queues.age);
    out
}

fn write_entry(out: &mut Vec<u8>, queues: &Queues, slot: usize, key: &[u8]) {
    let entry = queues.entry(slot);
    out.push(match queues.newcomer {
        _ if entry.ghost => 1,
        Some(newcomer) if newcomer.slot == slot => 2 + u8::from(newcomer.from_b2),
        _ => 0,
    });
    varint(out, entry.bytes);
    varint(out, entry.uses);
    if queues.policy == Policy::Lfu {
        varint(out, entry.place.0);
    }
    varint(out, key.len() as u64);
    out.extend_from_slice(key);
}

fn varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

/// What is left to read.
struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn head(&mut self, capacity: u64) -> Option<Queues> {
        if self.byte()? != VERSION {
            return None;
        }
        let policy = match self.byte()? {
            0 => Policy::Lru,
            1 => Policy::Lfu,
            2 => Policy::Arc,
            _ => return None,
        };
        let mut queues = Queues::new(policy, capacity);
        queues.target = self.varint()?.min(capacity);
        queues.age = self.varint()?;
        Some(queues)
    }

    /// Reads an entry into the queues; its slot and the bytes of its key.
    fn entry(&mut self, queues: &mut Queues) -> Option<(usize, &'a [u8])> {
        let state = self.byte()?;
        let ghost = state == 1;
        let mut entry = Entry { bytes: self.varint()?, uses: self.varint()?, ghost, ..Entry::default() };
        if queues.policy == Policy::Lfu {
            entry.place.0 = self.varint()?;
        }
        let length = usize::try_from(self.varint()?).ok()?;
        let (key, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        let known = state <= 3 && entry.uses > 0 && (!ghost || queues.policy == Policy::Arc);
        if !known || (state >= 2 && queues.newcomer.is_some()) {
            return None;
        }
        let slot = queues.restore(entry).filter(|slot| *slot < MAX_ENTRIES)?;
        if state >= 2 {
            queues.newcomer = Some(Newcomer { slot, from_b2: state == 3 });
        }
        Some((slot, key))
    }

    fn byte(&mut self) -> Option<u8> {
        let (byte, rest) = self.0.split_first()?;
        self.0 = rest;
        Some(*byte)
    }

    fn varint(&mut self) -> Option<u64> {
        let mut value = 0u64;
        for shift in (0..64).step_by(7) {
            let byte = self.byte()?;
            let bits = u64::from(byte & 0x7f);
            if bits << shift >> shift != bits {
                return None;
            }
            value |= bits << shift;
            if byte < 0x80 {
                return Some(value);
            }
        }
        None
    }
}
