//! Collections under way.

use std::cell::RefCell;

use super::world::exports::ipfs_kit::storage::storage::{Collection, GuestCollection};
use crate::{
    bindings::wit,
    platform::wasi::run,
    storage::{self, CollectOptions, Storage},
};

pub struct OpenCollection(RefCell<storage::Collection>);

pub fn begin(storage: &Storage, dry_run: bool) -> Result<Collection, wit::Error> {
    let collection = storage.collection(CollectOptions { dry_run })?;
    Ok(Collection::new(OpenCollection(RefCell::new(collection))))
}

impl GuestCollection for OpenCollection {
    fn step(&self) -> Result<Option<wit::CollectionProgress>, wit::Error> {
        Ok(run(self.0.borrow_mut().step())?.map(wit::CollectionProgress::from))
    }

    fn report(&self) -> wit::CollectionReport {
        self.0.borrow().report().clone().into()
    }
}
