//! Collections under way.

use std::rc::Rc;

use futures_util::lock::Mutex;
use js_sys::{Function, Promise};
use wasm_bindgen::prelude::*;

use super::{Cancel, Engine, Outcome, cancellable, promise};
use crate::storage::{self, CollectOptions};

/// A collection.
#[wasm_bindgen]
pub struct Collection {
    collection: Rc<Mutex<storage::Collection>>,
}

#[wasm_bindgen]
impl Engine {
    /// Begins a collection.
    pub fn collection(&self, dry_run: bool) -> Outcome<Collection> {
        let collection = self.storage.collection(CollectOptions { dry_run })?;
        Ok(Collection { collection: Rc::new(Mutex::new(collection)) })
    }

    /// Has a function called with each root that is evicted.
    #[wasm_bindgen(js_name = onEvicted)]
    pub fn on_evicted(&self, listener: Function) {
        self.storage.on_evicted(Rc::new(move |evicted| {
            // What a listener throws is its own affair.
            let _ = listener.call1(&JsValue::UNDEFINED, &evicted.clone().into());
        }));
    }
}

#[wasm_bindgen]
impl Collection {
    /// Goes on for some milliseconds; how far it is, or undefined at its end.
    pub fn step(&self, cancel: &Cancel) -> Promise {
        let collection = self.collection.clone();
        cancellable(cancel, async move { collection.lock().await.step().await })
    }

    /// What it has done.
    pub fn report(&self) -> Promise {
        let collection = self.collection.clone();
        promise(async move { Ok(collection.lock().await.report().clone()) })
    }
}
