//! WASI's files and folders.

use std::rc::Rc;

use async_trait::async_trait;

use super::{
    host::wasi::filesystem::{
        preopens,
        types::{Descriptor, DescriptorFlags, DescriptorType, ErrorCode, OpenFlags, PathFlags},
    },
    version,
};
use crate::{
    error::{Error, Result},
    platform::files::{Directory, RandomAccessFile},
};

/// A folder that the host has opened for the component, or one below it.
pub struct WasiDirectory {
    pub(super) folder: Descriptor,
    pub(super) path: String,
}

impl WasiDirectory {
    /// Opens a folder by its path, and creates it when it is not there; its parents must be.
    pub fn open(path: &str) -> Result<Self> {
        let (parent, rest) = locate(path)?;
        if rest != "." {
            match parent.create_directory_at(&rest) {
                Ok(()) | Err(ErrorCode::Exist) => {}
                Err(code) => return Err(failed("create the folder", path, code)),
            }
        }
        Self::existing(path)
    }

    /// Opens a folder that is there already.
    pub fn existing(path: &str) -> Result<Self> {
        Self::open_existing(path, DescriptorFlags::READ)
    }

    /// Opens one in which something will be made.
    pub fn to_change(path: &str) -> Result<Self> {
        Self::open_existing(path, DescriptorFlags::READ | DescriptorFlags::MUTATE_DIRECTORY)
    }

    fn open_existing(path: &str, flags: DescriptorFlags) -> Result<Self> {
        let (parent, rest) = locate(path)?;
        let folder = parent
            .open_at(PathFlags::SYMLINK_FOLLOW, &rest, OpenFlags::DIRECTORY, flags)
            .map_err(|code| failed("open the folder", path, code))?;
        Ok(WasiDirectory { folder, path: path.to_owned() })
    }

    fn open_with(&self, name: &str, open: OpenFlags, flags: DescriptorFlags) -> Result<Rc<dyn RandomAccessFile>> {
        let path = self.at(name);
        let file =
            self.folder.open_at(PathFlags::empty(), name, open, flags).map_err(|code| failed("open", &path, code))?;
        Ok(Rc::new(WasiFile { file, path }))
    }

    pub(super) fn at(&self, name: &str) -> String {
        format!("{}/{name}", self.path)
    }
}

/// The descriptor the host gave for the longest beginning of `path`, and what is left of the path.
fn locate(path: &str) -> Result<(Descriptor, String)> {
    let path = if path.len() > 1 { path.trim_end_matches('/') } else { path };
    let rest_below = |root: &str| -> Option<String> {
        if path == root {
            return Some(".".into());
        }
        if root == "." && !path.starts_with('/') {
            return Some(path.to_owned());
        }
        let rest = path.strip_prefix(root.trim_end_matches('/'))?.strip_prefix('/')?;
        Some(rest.to_owned())
    };
    preopens::get_directories()
        .into_iter()
        .filter_map(|(folder, root)| Some((root.len(), folder, rest_below(&root)?)))
        .max_by_key(|(length, ..)| *length)
        .map(|(_, folder, rest)| (folder, rest))
        .ok_or_else(|| {
            Error::Denied(format!("the host has opened no folder that holds {path}; with wasmtime give it --dir"))
        })
}

#[async_trait(?Send)]
impl Directory for WasiDirectory {
    async fn open(&self, name: &str) -> Result<Rc<dyn RandomAccessFile>> {
        self.open_with(name, OpenFlags::CREATE, DescriptorFlags::READ | DescriptorFlags::WRITE)
    }

    async fn open_to_read(&self, name: &str) -> Result<Rc<dyn RandomAccessFile>> {
        self.open_with(name, OpenFlags::empty(), DescriptorFlags::READ)
    }

    async fn list(&self) -> Result<Vec<String>> {
        let entries = version::entries(&self.folder).map_err(|code| failed("list", &self.path, code))?;
        let files = entries.into_iter().filter(|entry| matches!(entry.type_, DescriptorType::RegularFile));
        Ok(files.map(|entry| entry.name).collect())
    }

    async fn remove(&self, name: &str) -> Result<()> {
        match self.folder.unlink_file_at(name) {
            Ok(()) | Err(ErrorCode::NoEntry) => Ok(()),
            Err(code) => Err(failed("remove", &self.at(name), code)),
        }
    }

    async fn sync(&self) -> Result<()> {
        // Some hosts open folders in a way that cannot be synced; their file systems keep entries with the files.
        match self.folder.sync() {
            Ok(()) | Err(ErrorCode::BadDescriptor | ErrorCode::Unsupported | ErrorCode::Invalid) => Ok(()),
            Err(code) => Err(failed("sync", &self.path, code)),
        }
    }
}

/// A file.
pub struct WasiFile {
    pub(super) file: Descriptor,
    pub(super) path: String,
}

impl WasiFile {
    /// Opens a file that is there, to read it.
    pub fn open(path: &str) -> Result<Self> {
        Self::open_with(path, OpenFlags::empty(), DescriptorFlags::READ)
    }

    /// Makes a file, or empties the one that is there, to write it.
    pub fn create(path: &str) -> Result<Self> {
        Self::open_with(path, OpenFlags::CREATE | OpenFlags::TRUNCATE, DescriptorFlags::WRITE)
    }

    /// Removes a file, if that can be done.
    pub fn remove(path: &str) {
        if let Ok((folder, rest)) = locate(path) {
            let _ = folder.unlink_file_at(&rest);
        }
    }

    fn open_with(path: &str, open: OpenFlags, flags: DescriptorFlags) -> Result<Self> {
        let (folder, rest) = locate(path)?;
        let file =
            folder.open_at(PathFlags::SYMLINK_FOLLOW, &rest, open, flags).map_err(|code| failed("open", path, code))?;
        if matches!(file.get_type(), Ok(DescriptorType::Directory)) {
            return Err(Error::Unsupported(format!("{path} is a folder")));
        }
        Ok(WasiFile { file, path: path.to_owned() })
    }
}

impl RandomAccessFile for WasiFile {
    fn len(&self) -> Result<u64> {
        Ok(self.file.stat().map_err(|code| failed("look at", &self.path, code))?.size)
    }

    fn read_at(&self, offset: u64, length: usize) -> Result<Vec<u8>> {
        let mut read = Vec::new();
        loop {
            let missing = length - read.len();
            let (part, ended) = version::read(&self.file, missing as u64, offset + read.len() as u64)
                .map_err(|code| failed("read", &self.path, code))?;
            let whole = part.len() == missing;
            let empty = part.is_empty();
            // The host's buffer is taken as it is when it holds everything, which it nearly always does.
            if read.is_empty() {
                read = part;
            } else {
                // Hosts give a large part of a file, as an index is, in pieces: doubling would take twice its room.
                read.reserve_exact(missing);
                read.extend_from_slice(&part);
            }
            if whole || ended || empty {
                return Ok(read);
            }
        }
    }

    fn write_at(&self, offset: u64, bytes: &[u8]) -> Result<()> {
        let mut rest = bytes;
        let mut at = offset;
        while !rest.is_empty() {
            let written = version::write(&self.file, rest, at).map_err(|code| failed("write", &self.path, code))?;
            rest = rest
                .get(written as usize..)
                .filter(|_| written > 0)
                .ok_or_else(|| Error::Io(format!("cannot write {}: the host took no bytes", self.path)))?;
            at += written;
        }
        Ok(())
    }

    fn set_len(&self, length: u64) -> Result<()> {
        self.file.set_size(length).map_err(|code| failed("resize", &self.path, code))
    }

    fn sync(&self) -> Result<()> {
        self.file.sync_data().map_err(|code| failed("sync", &self.path, code))
    }
}

pub(super) fn failed(what: &str, path: &str, code: ErrorCode) -> Error {
    match code {
        ErrorCode::InsufficientSpace | ErrorCode::Quota | ErrorCode::FileTooLarge => {
            Error::QuotaExceeded { needed: 0, limit: 0 }
        }
        ErrorCode::Access | ErrorCode::NotPermitted | ErrorCode::ReadOnly | ErrorCode::Exist | ErrorCode::Loop => {
            Error::Denied(format!("cannot {what} {path}: {}", version::name(&code)))
        }
        _ => Error::Io(format!("cannot {what} {path}: {}", version::name(&code))),
    }
}
