//! Checks under way.

use std::cell::RefCell;

use super::world::exports::ipfs_kit::storage::storage::{Check, GuestCheck};
use crate::{
    bindings::{convert, wit},
    platform::wasi::run,
    storage::{self, Storage},
};

pub struct OpenCheck(RefCell<storage::Check>);

pub fn begin(storage: &Storage, options: wit::VerifyOptions) -> Result<Check, wit::Error> {
    let check = storage.check(convert::verify_options(options))?;
    Ok(Check::new(OpenCheck(RefCell::new(check))))
}

impl GuestCheck for OpenCheck {
    fn step(&self) -> Result<Option<wit::VerifyProgress>, wit::Error> {
        let progress = run(self.0.borrow_mut().step())?;
        let told =
            |storage::Progress { blocks, total, bytes, keepers }| wit::VerifyProgress { blocks, total, bytes, keepers };
        Ok(progress.map(told))
    }

    fn report(&self) -> wit::VerifyReport {
        self.0.borrow().report().into()
    }
}
