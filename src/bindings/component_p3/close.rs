//! Closing stores. It takes calls that wait, and a host that drops a handle allows none: so what is dropped is closed later.

use std::cell::RefCell;

use crate::{error::Result, platform::wasi::run, storage::Storage};

thread_local! {
    static DROPPED: RefCell<Vec<Storage>> = const { RefCell::new(Vec::new()) };
}

/// Keeps a store until there is a call that may close it.
pub fn later(storage: Storage) {
    DROPPED.with_borrow_mut(|dropped| dropped.push(storage));
}

/// Closes all that were dropped.
pub fn all() -> Result<()> {
    // Spares the next opening some work; nothing acknowledged depends on it.
    DROPPED.take().into_iter().map(|storage| run(storage.flush())).fold(Ok(()), Result::and)
}
