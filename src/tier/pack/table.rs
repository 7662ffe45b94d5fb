//! The index in memory: where each block lies, in 20 bytes a slot.
//!
//! It keeps eight bytes of each digest and not the key itself: the frame on disk has the whole key and is asked before a
//! hit is believed, so two blocks may share the eight bytes without harm.

use std::mem;

use super::frame::Position;
use crate::block::Key;

/// Where a block lies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Entry {
    /// Eight bytes of the digest.
    pub prefix: u64,
    /// Its frame.
    pub at: Position,
    /// Its bytes.
    pub length: u32,
}

/// The digest bytes that the table goes by.
pub fn prefix(key: &Key) -> u64 {
    key.digest().iter().take(8).fold(key.code(), |prefix, byte| prefix.rotate_left(8) ^ u64::from(*byte))
}

/// Where a prefix stands in the order that pages follow: no two stand at the same place.
pub fn order(prefix: u64) -> u64 {
    prefix.wrapping_mul(0x9e37_79b9_7f4a_7c15)
}

/// An open-addressing table with linear probing. A slot with segment 0 is empty.
#[derive(Debug, Default)]
pub struct Table {
    prefixes: Vec<u64>,
    places: Vec<Place>,
    len: usize,
}

#[derive(Debug, Clone, Copy, Default)]
struct Place {
    at: Position,
    length: u32,
}

impl Table {
    /// A table with room for `entries`.
    pub fn with_capacity(entries: usize) -> Self {
        let mut table = Table::default();
        table.resize((entries * 5 / 4 + 1).next_power_of_two().max(MIN_SLOTS));
        table
    }

    /// How many entries it has.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Bytes of memory it takes.
    pub fn memory_bytes(&self) -> usize {
        self.prefixes.capacity() * size_of::<u64>() + self.places.capacity() * size_of::<Place>()
    }

    /// The entries that may be the key's.
    pub fn candidates(&self, prefix: u64) -> impl Iterator<Item = Entry> + '_ {
        self.probe(prefix).filter(move |entry| entry.prefix == prefix)
    }

    /// Every entry.
    pub fn iter(&self) -> impl Iterator<Item = Entry> + '_ {
        let slots = self.prefixes.iter().zip(&self.places).filter(|(_, place)| place.at.segment != 0);
        slots.map(|(prefix, place)| Entry { prefix: *prefix, at: place.at, length: place.length })
    }

    /// The entries that come first from `first` on, in the order of [`order`]: `limit` of them, and all that share the last
    /// one's prefix. Fewer: these are the last.
    pub fn page(&self, first: u64, limit: usize) -> Vec<Entry> {
        let slots = self.prefixes.len();
        let mut page = Vec::new();
        // Behind the last slot the first ones follow, with what was pushed past the end.
        for index in self.home(first)..slots * 2 {
            let slot = index & slots.wrapping_sub(1);
            match self.slot(slot) {
                Some(entry) => {
                    let place = order(entry.prefix);
                    let pushed_past_end = self.home(place) > slot;
                    if place >= first && pushed_past_end == (index >= slots) {
                        page.push(entry);
                    }
                }
                // Nothing that belongs before an empty slot lies behind it.
                None if page.len() >= limit || index >= slots => break,
                None => {}
            }
        }
        page.sort_unstable_by_key(|entry| order(entry.prefix));
        if let Some(last) = page.get(limit.saturating_sub(1)).map(|entry| entry.prefix) {
            page.truncate(page.partition_point(|entry| order(entry.prefix) <= order(last)));
        }
        page
    }

    /// Adds an entry.
    pub fn insert(&mut self, entry: Entry) {
        if (self.len + 1) * 5 > self.prefixes.len() * 4 {
            self.resize((self.prefixes.len() * 2).max(MIN_SLOTS));
        }
        self.place(entry);
    }

    /// Takes out the entry whose frame is at this place.
    pub fn remove(&mut self, prefix: u64, at: Position) -> Option<Entry> {
        let mask = self.prefixes.len().checked_sub(1)?;
        let distance = self.probe(prefix).position(|entry| entry.prefix == prefix && entry.at == at)?;
        let mut hole = (self.home(order(prefix)) + distance) & mask;
        let removed = self.slot(hole)?;
        self.len -= 1;
        // Close the hole: what follows and was pushed past it moves back.
        let mut next = (hole + 1) & mask;
        while let Some(entry) = self.slot(next) {
            let home = self.home(order(entry.prefix));
            if (next.wrapping_sub(home) & mask) >= (next.wrapping_sub(hole) & mask) {
                self.set(hole, entry.prefix, Place { at: entry.at, length: entry.length });
                hole = next;
            }
            next = (next + 1) & mask;
        }
        self.set(hole, 0, Place::default());
        Some(removed)
    }

    /// The slot for a place in the order. Its highest bits say which, so that the table lies in that order, nearly.
    fn home(&self, place: u64) -> usize {
        let shift = (self.prefixes.len() as u64).leading_zeros() + 1;
        place.checked_shr(shift).unwrap_or_default() as usize
    }

    fn probe(&self, prefix: u64) -> impl Iterator<Item = Entry> + '_ {
        let mask = self.prefixes.len().wrapping_sub(1);
        let home = self.home(order(prefix));
        (0..self.prefixes.len()).map_while(move |step| self.slot((home + step) & mask))
    }

    fn slot(&self, index: usize) -> Option<Entry> {
        let place = self.places.get(index).filter(|place| place.at.segment != 0)?;
        Some(Entry { prefix: *self.prefixes.get(index)?, at: place.at, length: place.length })
    }

    fn set(&mut self, index: usize, prefix: u64, place: Place) {
        if let (Some(to_prefix), Some(to_place)) = (self.prefixes.get_mut(index), self.places.get_mut(index)) {
            *to_prefix = prefix;
            *to_place = place;
        }
    }

    fn place(&mut self, entry: Entry) {
        let free = self.probe(entry.prefix).count();
        let index = (self.home(order(entry.prefix)) + free) & self.prefixes.len().wrapping_sub(1);
        self.set(index, entry.prefix, Place { at: entry.at, length: entry.length });
        self.len += 1;
    }

    fn resize(&mut self, slots: usize) {
        let new = Table { prefixes: vec![0; slots], places: vec![Place::default(); slots], len: 0 };
        let old = mem::replace(self, new);
        old.iter().for_each(|entry| self.place(entry));
    }
}

const MIN_SLOTS: usize = 64;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn entry(prefix: u64, offset: u32) -> Entry {
        Entry { prefix, at: Position { segment: 1, offset }, length: offset }
    }

    proptest! {
        /// Against a plain list, with so few prefixes that most of them collide.
        #[test]
        fn behaves_like_a_multimap(steps in prop::collection::vec((any::<bool>(), 0u64..12, 0u32..40), 1..400)) {
            let mut table = Table::default();
            let mut model: Vec<Entry> = Vec::new();
            for (insert, prefix, offset) in steps {
                let entry = entry(prefix, offset);
                if insert && !model.contains(&entry) {
                    table.insert(entry);
                    model.push(entry);
                } else if !insert {
                    let expected = model.iter().position(|held| held == &entry).map(|index| model.remove(index));
                    prop_assert_eq!(table.remove(prefix, entry.at), expected);
                }
                prop_assert_eq!(table.len(), model.len());
            }
            for prefix in 0..12 {
                let mut found: Vec<u32> = table.candidates(prefix).map(|entry| entry.length).collect();
                let mut expected: Vec<u32> =
                    model.iter().filter(|entry| entry.prefix == prefix).map(|entry| entry.length).collect();
                found.sort_unstable();
                expected.sort_unstable();
                prop_assert_eq!(found, expected);
            }
        }
    }

    proptest! {
        #[test]
        fn pages_in_order(
            prefixes in prop::collection::vec(prop_oneof![0u64..40, any::<u64>()], 0..200),
            limit in 1usize..20,
        ) {
            let mut table = Table::default();
            prefixes.iter().zip(0..).for_each(|(prefix, offset)| table.insert(entry(*prefix, offset)));
            let mut listed = Vec::new();
            let mut from = Some(0);
            while let Some(first) = from {
                let page = table.page(first, limit);
                listed.extend(page.iter().map(|entry| entry.prefix));
                from = page.last().filter(|_| page.len() >= limit).and_then(|last| order(last.prefix).checked_add(1));
            }
            let mut expected = prefixes;
            expected.sort_unstable_by_key(|prefix| order(*prefix));
            prop_assert_eq!(listed, expected);
        }
    }

    #[test]
    fn takes_well_under_a_hundred_bytes_a_block() {
        let mut table = Table::default();
        for index in 0..1_000_000u64 {
            table.insert(entry(index.wrapping_mul(0x2545_f491_4f6c_dd1d), index as u32));
        }
        assert!(table.memory_bytes() / table.len() < 50, "{} bytes a block", table.memory_bytes() / table.len());
    }
}
