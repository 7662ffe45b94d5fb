//! The verbs of `wit/names.wit` and `wit/files.wit`, without what a host that calls them has to repeat each time.

use wasmtime::component::ResourceAny;

use crate::{
    Plugin,
    bindings::exports::ipfs_kit::storage::{
        files::{CopyFrom, FileStat, Metadata, Mtime, PastRoot, WriteOptions},
        names::{Expected, NamePage, Named},
    },
    plugin::TRAP,
    types::{Error, FilePage},
};

/// What makes a file and writes it from its beginning.
pub fn creating() -> WriteOptions {
    let metadata = Metadata { mode: None, mtime: None };
    WriteOptions { offset: 0, append: false, create: true, parents: false, truncate: false, metadata }
}

macro_rules! verbs {
    ($of:ident: $(fn $verb:ident($($name:ident: $type:ty),*) -> $result:ty = $call:ident;)*) => {
        #[allow(missing_docs)]
        impl Plugin {$(
            pub fn $verb(&mut self, $($name: $type),*) -> $result {
                self.local.$of().$call(&mut self.store, self.handle, $($name),*).expect(TRAP)
            }
        )*}
    };
}

verbs! {
    ipfs_kit_storage_names:
    fn set_name(name: &str, cid: &String, expected: &Expected) -> Result<Named, Error> = call_set_name;
    fn get_name(name: &str) -> Result<Named, Error> = call_get_name;
    fn remove_name(name: &str, expected: &Expected) -> Result<(), Error> = call_remove_name;
    fn list_names(prefix: &str, after: Option<&str>, limit: u32) -> Result<NamePage, Error> = call_list_names;
}

verbs! {
    ipfs_kit_storage_files:
    fn files_write(path: &str, data: &[u8], options: WriteOptions) -> Result<(), Error> = call_write;
    fn files_writer(path: &str, options: WriteOptions) -> Result<ResourceAny, Error> = call_create_writer;
    fn files_truncate(path: &str, length: u64) -> Result<(), Error> = call_truncate;
    fn files_reader(path: &str, offset: u64, length: Option<u64>) -> Result<ResourceAny, Error> = call_open_reader;
    fn files_mkdir(path: &str, parents: bool, metadata: Metadata) -> Result<(), Error> = call_mkdir;
    fn files_ls(path: &str, after: Option<&str>, limit: u32) -> Result<FilePage, Error> = call_ls;
    fn files_stat(path: &str) -> Result<FileStat, Error> = call_stat;
    fn files_cp(from: &CopyFrom, to: &str, parents: bool) -> Result<(), Error> = call_cp;
    fn files_mv(from: &str, to: &str) -> Result<(), Error> = call_mv;
    fn files_rm(path: &str, recursive: bool, force: bool) -> Result<(), Error> = call_rm;
    fn files_touch(path: &str, mtime: Mtime) -> Result<(), Error> = call_touch;
    fn files_chmod(path: &str, mode: u32) -> Result<(), Error> = call_chmod;
    fn files_flush(path: &str) -> Result<String, Error> = call_flush;
    fn files_history() -> Result<Vec<PastRoot>, Error> = call_history;
}

impl Plugin {
    /// Writes the next bytes of a file of the tree.
    pub fn files_push(&mut self, writer: ResourceAny, bytes: &[u8]) -> Result<(), Error> {
        self.local.ipfs_kit_storage_files().file_writer().call_write(&mut self.store, writer, bytes).expect(TRAP)
    }

    /// Ends a file of the tree.
    pub fn files_finish(&mut self, writer: ResourceAny) -> Result<(), Error> {
        self.local.ipfs_kit_storage_files().file_writer().call_finish(&mut self.store, writer).expect(TRAP)
    }

    /// All of a file of the tree.
    pub fn files_read(&mut self, path: &str) -> Result<Vec<u8>, Error> {
        let reader = self.files_reader(path, 0, None)?;
        let mut whole = Vec::new();
        let read = self.read_with(reader, u32::MAX, |bytes| whole.extend_from_slice(bytes));
        read.map(|_| whole)
    }
}
