//! Folders of a host, with all that is in them: what trees are read from, and written to.
//!
//! No name leads out of a folder, and none is followed where it is a symbolic link.

use std::rc::Rc;

use super::files::RandomAccessFile;
use crate::{error::Result, unixfs::Mtime};

/// What a name in a folder stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum FileType {
    /// A file.
    File,
    /// A folder.
    Folder,
    /// A symbolic link.
    Symlink,
    /// Anything else: a device, a socket.
    Other,
}

/// A folder.
pub trait Folder {
    /// What is in it, in the order of the names' bytes.
    fn entries(&self) -> Result<Vec<(String, FileType)>>;

    /// A folder in it.
    fn folder(&self, name: &str) -> Result<Rc<dyn Folder>>;

    /// A file in it, to be read.
    fn file(&self, name: &str) -> Result<Rc<dyn RandomAccessFile>>;

    /// Where a symbolic link in it leads.
    fn link(&self, name: &str) -> Result<String>;

    /// When a file or folder in it was last changed, if the host tells.
    fn mtime(&self, name: &str) -> Result<Option<Mtime>>;

    /// Makes a folder; [`Error::Denied`](crate::Error::Denied) if there is anything of this name, as with the next two.
    fn make_folder(&self, name: &str) -> Result<Rc<dyn Folder>>;

    /// Makes a file, to be written.
    fn make_file(&self, name: &str) -> Result<Rc<dyn RandomAccessFile>>;

    /// Removes a file.
    fn remove_file(&self, name: &str) -> Result<()>;

    /// Makes a symbolic link.
    fn make_link(&self, name: &str, target: &str) -> Result<()>;

    /// Says when a file or folder was last changed.
    fn set_mtime(&self, name: &str, mtime: Mtime) -> Result<()>;
}
