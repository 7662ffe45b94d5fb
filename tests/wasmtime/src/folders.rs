//! The verbs for trees and folders.

use wasmtime::component::ResourceAny;

use crate::{
    Plugin,
    plugin::TRAP,
    types::{Error, FileInfo, FolderOptions, Metadata, StoreOptions},
};

/// What was not kept of a file.
pub const BARE: Metadata = Metadata { mode: None, mtime: None };

impl Plugin {
    /// Begins a tree.
    pub fn create_tree(&mut self, options: &StoreOptions) -> Result<ResourceAny, Error> {
        let handle = self.local.ipfs_kit_storage_storage().handle();
        handle.call_create_tree(&mut self.store, self.handle, options).expect(TRAP)
    }

    /// Adds a file to one.
    pub fn tree_file(&mut self, tree: ResourceAny, path: &str, data: &[u8], metadata: Metadata) -> Result<(), Error> {
        let writer = self.local.ipfs_kit_storage_storage().tree_writer();
        writer.call_file(&mut self.store, tree, path, data, metadata).expect(TRAP)
    }

    /// Adds one in pieces.
    pub fn tree_pieces(&mut self, tree: ResourceAny, path: &str, pieces: &[&[u8]]) -> Result<(), Error> {
        let writer = self.local.ipfs_kit_storage_storage().tree_writer();
        writer.call_begin_file(&mut self.store, tree, path, BARE).expect(TRAP)?;
        for piece in pieces {
            writer.call_write(&mut self.store, tree, piece).expect(TRAP)?;
        }
        writer.call_end_file(&mut self.store, tree).expect(TRAP)
    }

    /// Adds a directory.
    pub fn tree_directory(&mut self, tree: ResourceAny, path: &str, metadata: Metadata) -> Result<(), Error> {
        let writer = self.local.ipfs_kit_storage_storage().tree_writer();
        writer.call_directory(&mut self.store, tree, path, metadata).expect(TRAP)
    }

    /// Adds a symbolic link.
    pub fn tree_symlink(&mut self, tree: ResourceAny, path: &str, target: &str) -> Result<(), Error> {
        let writer = self.local.ipfs_kit_storage_storage().tree_writer();
        writer.call_symlink(&mut self.store, tree, path, target, BARE).expect(TRAP)
    }

    /// Ends a tree.
    pub fn tree_finish(&mut self, tree: ResourceAny) -> Result<FileInfo, Error> {
        let writer = self.local.ipfs_kit_storage_storage().tree_writer();
        writer.call_finish(&mut self.store, tree).expect(TRAP)
    }

    /// Stores a folder that the component sees.
    pub fn store_folder(&mut self, directory: &str, options: &FolderOptions) -> Result<FileInfo, Error> {
        let handle = self.local.ipfs_kit_storage_storage().handle();
        handle.call_store_folder(&mut self.store, self.handle, directory, options).expect(TRAP)
    }

    /// Writes something into one.
    pub fn write_to(&mut self, path: &str, directory: &str, name: &str) -> Result<u64, Error> {
        let handle = self.local.ipfs_kit_storage_storage().handle();
        handle.call_write_to(&mut self.store, self.handle, &path.to_owned(), directory, name, true).expect(TRAP)
    }
}
