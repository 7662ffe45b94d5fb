//! Files that are read and written at any offset: what the pack tier stands on, and all that a new home for it needs.
//!
//! File calls are synchronous, as those of WASI, of OPFS sync access handles and of native files are.

use std::rc::Rc;

use async_trait::async_trait;

use super::Room;
use crate::error::Result;

/// An open file.
pub trait RandomAccessFile {
    /// Bytes in it.
    fn len(&self) -> Result<u64>;

    /// Whether it is empty.
    fn is_empty(&self) -> Result<bool> {
        Ok(self.len()? == 0)
    }

    /// The bytes at `offset`: `length` of them, or fewer where the file ends.
    fn read_at(&self, offset: u64, length: usize) -> Result<Vec<u8>>;

    /// Writes all of `bytes` at `offset`. What is written is visible to readers at once, and durable after [`sync`].
    ///
    /// [`sync`]: RandomAccessFile::sync
    fn write_at(&self, offset: u64, bytes: &[u8]) -> Result<()>;

    /// Cuts it, or fills it up with zeros.
    fn set_len(&self, length: u64) -> Result<()>;

    /// Returns when everything written before survives a power cut.
    fn sync(&self) -> Result<()>;
}

/// A folder of such files, without folders in it.
#[async_trait(?Send)]
pub trait Directory {
    /// Opens a file, and creates it when it is not there.
    async fn open(&self, name: &str) -> Result<Rc<dyn RandomAccessFile>>;

    /// Opens a file that is there, to read it and no more.
    async fn open_to_read(&self, name: &str) -> Result<Rc<dyn RandomAccessFile>> {
        self.open(name).await
    }

    /// The names of its files.
    async fn list(&self) -> Result<Vec<String>>;

    /// Removes a file. It must not be open. No error if it is not there.
    async fn remove(&self, name: &str) -> Result<()>;

    /// Returns when the creation and removal of files before survive a power cut.
    async fn sync(&self) -> Result<()>;

    /// What a store in it is called in its status.
    fn kind(&self) -> &'static str {
        "pack"
    }

    /// What the host says of the room for it; none where hosts do not tell.
    async fn room(&self) -> Result<Option<Room>> {
        Ok(None)
    }
}
