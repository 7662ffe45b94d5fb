//! Trees being stored, as a resource.

use std::cell::RefCell;

use super::{
    convert, metadata,
    world::exports::ipfs_kit::storage::storage::{GuestTreeWriter, TreeWriter},
};
use crate::{
    bindings::wit::{Error, FileInfo, Metadata, StoreOptions},
    platform::wasi::run,
    storage::{self, Storage},
};

pub struct OpenTree(RefCell<storage::TreeWriter>);

pub fn begin(storage: &Storage, options: StoreOptions) -> Result<TreeWriter, Error> {
    let tree = storage.tree(convert::store_options(options)?)?;
    Ok(TreeWriter::new(OpenTree(RefCell::new(tree))))
}

impl GuestTreeWriter for OpenTree {
    fn directory(&self, path: String, metadata: Metadata) -> Result<(), Error> {
        let metadata = metadata::metadata(metadata)?;
        Ok(run(self.0.borrow_mut().directory(&path, metadata))?)
    }

    fn symlink(&self, path: String, target: String, metadata: Metadata) -> Result<(), Error> {
        let metadata = metadata::metadata(metadata)?;
        Ok(run(self.0.borrow_mut().symlink(&path, &target, metadata))?)
    }

    fn file(&self, path: String, data: Vec<u8>, metadata: Metadata) -> Result<(), Error> {
        let metadata = metadata::metadata(metadata)?;
        Ok(run(self.0.borrow_mut().file(&path, data, metadata))?)
    }

    fn begin_file(&self, path: String, metadata: Metadata) -> Result<(), Error> {
        Ok(self.0.borrow_mut().begin_file(&path, metadata::metadata(metadata)?)?)
    }

    fn write(&self, bytes: Vec<u8>) -> Result<(), Error> {
        Ok(run(self.0.borrow_mut().write(bytes.into()))?)
    }

    fn end_file(&self) -> Result<(), Error> {
        Ok(run(self.0.borrow_mut().end_file())?)
    }

    fn finish(&self) -> Result<FileInfo, Error> {
        Ok(run(self.0.borrow_mut().finish())?.into())
    }
}

impl Drop for OpenTree {
    fn drop(&mut self) {
        let _ = run(async {
            self.0.get_mut().abort().await;
            Ok(())
        });
    }
}
