//! Bytes that came from a JavaScript buffer and remember it, so that a caller in JavaScript can be given that very buffer:
//! new memory for a copy costs more than hashing does.

use std::{cell::RefCell, collections::HashMap};

use bytes::Bytes;
use js_sys::{ArrayBuffer, Object, Uint8Array};

thread_local! {
    /// The views that were adopted, by where their copies lie. Each goes with its copy, or before.
    static VIEWS: RefCell<HashMap<usize, Uint8Array>> = RefCell::default();
}

/// The copy of a view.
struct Adopted(Vec<u8>);

impl AsRef<[u8]> for Adopted {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

impl Drop for Adopted {
    fn drop(&mut self) {
        VIEWS.with_borrow_mut(|views| views.remove(&place(&self.0)));
    }
}

fn place(bytes: &[u8]) -> usize {
    bytes.as_ptr() as usize
}

/// Views below this size are only copied: each keeps all of its buffer alive, and a copy of them costs little.
const ADOPTED_BYTES: u32 = 56 * 1024;

/// A copy of the view here. Nobody else may have its buffer.
pub(crate) fn adopt(view: Uint8Array) -> Bytes {
    let copy = view.to_vec();
    if view.length() < ADOPTED_BYTES {
        return copy.into();
    }
    VIEWS.with_borrow_mut(|views| views.insert(place(&copy), view));
    Bytes::from_owner(Adopted(copy))
}

/// The view of which this is the whole copy; once, for whoever gets it may change it.
pub(crate) fn take(bytes: &Bytes) -> Option<Uint8Array> {
    VIEWS.with_borrow_mut(|views| {
        let whole = views.get(&place(bytes)).is_some_and(|view| view.length() as usize == bytes.len());
        if whole { views.remove(&place(bytes)) } else { None }
    })
}

/// The same, if that view begins here in this buffer: where it ends.
pub(crate) fn take_next(bytes: &Bytes, buffer: &ArrayBuffer, start: u32) -> Option<u32> {
    let view = take(bytes)?;
    (view.byte_offset() == start && Object::is(&view.buffer(), buffer)).then(|| start + view.length())
}
