//! Checks under way.

use std::rc::Rc;

use futures_util::lock::Mutex;
use js_sys::Promise;
use wasm_bindgen::prelude::*;

use super::{Cancel, Engine, Outcome, cancellable, convert, promise};
use crate::storage;

/// A check of a store.
#[wasm_bindgen]
pub struct Check {
    check: Rc<Mutex<storage::Check>>,
}

#[wasm_bindgen]
impl Engine {
    /// Begins to check the store.
    pub fn check(&self, options: JsValue) -> Outcome<Check> {
        let check = self.storage.check(convert::verify_options(options)?)?;
        Ok(Check { check: Rc::new(Mutex::new(check)) })
    }
}

#[wasm_bindgen]
impl Check {
    /// Goes on for a while; how far it has come, or undefined at its end.
    pub fn step(&self, cancel: &Cancel) -> Promise {
        let check = self.check.clone();
        cancellable(cancel, async move { check.lock().await.step().await })
    }

    /// What it has found.
    pub fn report(&self) -> Promise {
        let check = self.check.clone();
        promise(async move { Ok(convert::report(check.lock().await.report())) })
    }
}
