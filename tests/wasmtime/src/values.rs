//! The functions of `wit/values.wit`.

use crate::{
    Plugin,
    bindings::exports::ipfs_kit::storage::values::{FoundValue, ValueCodec, ValueOptions},
    plugin::TRAP,
    types::{Error, FileInfo},
};

impl Plugin {
    /// Puts a value that is written as dag-json.
    pub fn put_json(&mut self, value: &str, options: &ValueOptions) -> Result<FileInfo, Error> {
        self.put_value(value.as_bytes(), ValueCodec::DagJson, options)
    }

    /// Puts a value.
    pub fn put_value(&mut self, value: &[u8], codec: ValueCodec, options: &ValueOptions) -> Result<FileInfo, Error> {
        let values = self.local.ipfs_kit_storage_values();
        values.call_put_value(&mut self.store, self.handle, value, codec, options).expect(TRAP)
    }

    /// Gets what a path leads to, as dag-json.
    pub fn get_json(&mut self, path: &str) -> Result<String, Error> {
        let found = self.get_value(path, ValueCodec::DagJson, false)?;
        Ok(String::from_utf8(found.bytes).expect("dag-json is text"))
    }

    /// Gets what a path leads to.
    pub fn get_value(&mut self, path: &str, codec: ValueCodec, offline: bool) -> Result<FoundValue, Error> {
        let values = self.local.ipfs_kit_storage_values();
        values.call_get_value(&mut self.store, self.handle, &path.to_owned(), codec, offline).expect(TRAP)
    }
}

/// Puts a value, with nothing else said.
pub fn value() -> ValueOptions {
    ValueOptions { store_codec: None, hash: None, filename: None, pin: false, offline: false }
}
