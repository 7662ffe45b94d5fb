//! What a session knows of what is here, so that it need not ask the tier for it over and over: that waits where something
//! is being committed.

use std::{cell::RefCell, collections::HashMap};

use crate::block::Key;

/// Most blocks that are remembered, in some 2 MiB; then it begins anew.
const MAX_KNOWN: usize = 16 * 1024;

/// Of blocks whether they are held. What is said to be missing may have come by another way meanwhile.
#[derive(Default)]
pub struct Known(RefCell<HashMap<Key, bool>>);

impl Known {
    /// Whether it is held, if that is known.
    pub fn is_held(&self, key: &Key) -> Option<bool> {
        self.0.borrow().get(key).copied()
    }

    /// Remembers these.
    pub fn learn(&self, keys: &[Key], held: bool) {
        let mut known = self.0.borrow_mut();
        if known.len() + keys.len() > MAX_KNOWN {
            known.clear();
        }
        known.extend(keys.iter().take(MAX_KNOWN).map(|key| (*key, held)));
    }

    /// Nothing is known of these any more.
    pub fn forget(&self, keys: &[Key]) {
        let mut known = self.0.borrow_mut();
        keys.iter().for_each(|key| _ = known.remove(key));
    }
}
