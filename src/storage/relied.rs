//! What callers under way rely on although no root may reach it yet: none of it is dropped.
//!
//! A file being stored has written blocks ahead, or found them held; one being fetched or pinned likewise. As long as anybody
//! is under way, each block that is written or looked up is marked, before it is. Whoever drops blocks asks for the mark in
//! the same turn in which the drop is queued, so that of a drop and a write of one block either the write comes later, and
//! brings the block back, or the drop does not come.

use std::{
    cell::{Cell, RefCell},
    collections::HashSet,
    rc::Rc,
};

use crate::block::Key;

/// Most marks, in some 40 MiB of memory. Beyond these nothing can be dropped until nobody is under way.
const MAX_MARKS: usize = 2 * 1024 * 1024;

/// Eight bytes stand for a block: two that share them are both kept.
pub fn mark(key: &Key) -> u64 {
    key.digest().iter().take(8).fold(key.code(), |mark, byte| mark.rotate_left(8) ^ u64::from(*byte))
}

/// The marks of one store.
#[derive(Debug, Default)]
pub struct Relied {
    /// Who stores, fetches or pins.
    users: Cell<usize>,
    /// Who is about to drop something, and must know what is written meanwhile.
    watchers: Cell<usize>,
    marks: RefCell<HashSet<u64>>,
    /// There were more than could be marked.
    lost: Cell<bool>,
}

/// As long as it lives, what is written is marked; that of a user also has what is looked up marked.
#[derive(Debug)]
pub struct Watch {
    relied: Rc<Relied>,
    uses: bool,
}

impl Relied {
    /// Somebody begins to store, fetch or pin.
    pub fn enter(self: &Rc<Self>) -> Watch {
        self.users.set(self.users.get() + 1);
        Watch { relied: self.clone(), uses: true }
    }

    /// Somebody begins to look for what may be dropped.
    pub fn watch(self: &Rc<Self>) -> Watch {
        self.watchers.set(self.watchers.get() + 1);
        Watch { relied: self.clone(), uses: false }
    }

    /// Whether somebody stores, fetches or pins.
    pub fn is_in_use(&self) -> bool {
        self.users.get() > 0
    }

    /// These are about to be written.
    pub fn written<'a>(&self, keys: impl IntoIterator<Item = &'a Key>) {
        if self.users.get() + self.watchers.get() > 0 {
            self.mark(keys);
        }
    }

    /// These are about to be looked up.
    pub fn looked_up<'a>(&self, keys: impl IntoIterator<Item = &'a Key>) {
        if self.is_in_use() {
            self.mark(keys);
        }
    }

    /// Whether it must not be dropped now.
    pub fn spares(&self, key: &Key) -> bool {
        self.lost.get() || self.marks.borrow().contains(&mark(key))
    }

    /// Whether nothing at all can be dropped now.
    pub fn spares_all(&self) -> bool {
        self.lost.get()
    }

    fn mark<'a>(&self, keys: impl IntoIterator<Item = &'a Key>) {
        let mut marks = self.marks.borrow_mut();
        if !self.lost.get() {
            marks.extend(keys.into_iter().map(mark));
        }
        if marks.len() > MAX_MARKS {
            self.lost.set(true);
            *marks = HashSet::new();
        }
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        let Relied { users, watchers, marks, lost } = self.relied.as_ref();
        let count = if self.uses { users } else { watchers };
        count.set(count.get().saturating_sub(1));
        if users.get() + watchers.get() == 0 {
            marks.take();
            lost.set(false);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hash::{HashFunction, wrap};

    fn key(number: u32) -> Key {
        let mut digest = [7; 32];
        digest[..4].copy_from_slice(&number.to_le_bytes());
        wrap(HashFunction::Sha2_256, &digest).expect("32 bytes")
    }

    #[test]
    fn marks_last_as_long_as_anybody_is_under_way() {
        let relied = Rc::new(Relied::default());
        relied.written([&key(1)]);
        assert!(!relied.spares(&key(1)), "nobody is under way");
        let dropping = relied.watch();
        relied.written([&key(2)]);
        relied.looked_up([&key(3)]);
        let storing = relied.enter();
        relied.looked_up([&key(4)]);
        drop(dropping);
        assert_eq!([1, 2, 3, 4].map(|number| relied.spares(&key(number))), [false, true, false, true]);
        drop(storing);
        assert!(!relied.spares(&key(2)) && !relied.spares(&key(4)));
    }

    #[test]
    fn more_than_can_be_marked_spares_all() {
        let relied = Rc::new(Relied::default());
        let storing = relied.enter();
        (0..=MAX_MARKS as u32).for_each(|number| relied.written([&key(number)]));
        assert!(relied.spares_all() && relied.spares(&key(u32::MAX)));
        drop(storing);
        assert!(!relied.spares_all() && !relied.spares(&key(1)));
    }
}
