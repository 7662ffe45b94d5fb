//! The native home: the operating system's files and clock.

use std::{
    fs::{self, File, OpenOptions},
    io,
    os::unix::fs::{FileExt, MetadataExt},
    path::{Path, PathBuf},
    rc::Rc,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use async_trait::async_trait;

use super::{
    Clock,
    files::{Directory, RandomAccessFile},
    folders::{FileType, Folder},
};
use crate::{
    error::{Error, Result},
    unixfs::Mtime,
};

/// The system's clock.
#[derive(Debug, Default, Clone, Copy)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> u64 {
        SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis() as u64)
    }

    fn nanoseconds(&self) -> u64 {
        SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_nanos() as u64)
    }
}

/// A folder of the file system.
#[derive(Debug)]
pub struct NativeDirectory {
    path: PathBuf,
}

impl NativeDirectory {
    /// Opens a folder, and creates it when it is not there.
    pub fn open(path: impl AsRef<Path>) -> Result<Self> {
        let path = path.as_ref().to_path_buf();
        fs::create_dir_all(&path).map_err(failed("create the folder", &path))?;
        Ok(NativeDirectory { path })
    }

    /// A folder that is there already.
    pub fn existing(path: impl AsRef<Path>) -> Self {
        NativeDirectory { path: path.as_ref().to_path_buf() }
    }
}

#[async_trait(?Send)]
impl Directory for NativeDirectory {
    async fn open(&self, name: &str) -> Result<Rc<dyn RandomAccessFile>> {
        let path = self.path.join(name);
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(&path)
            .map_err(failed("open", &path))?;
        Ok(Rc::new(NativeFile { file, path }))
    }

    async fn open_to_read(&self, name: &str) -> Result<Rc<dyn RandomAccessFile>> {
        let path = self.path.join(name);
        let file = File::open(&path).map_err(failed("open", &path))?;
        Ok(Rc::new(NativeFile { file, path }))
    }

    async fn list(&self) -> Result<Vec<String>> {
        let entries = fs::read_dir(&self.path).map_err(failed("list", &self.path))?;
        let names = entries.map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned()));
        names.collect::<io::Result<_>>().map_err(failed("list", &self.path))
    }

    async fn remove(&self, name: &str) -> Result<()> {
        let path = self.path.join(name);
        match fs::remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(failed("remove", &path)(error)),
            _ => Ok(()),
        }
    }

    async fn sync(&self) -> Result<()> {
        let folder = File::open(&self.path).map_err(failed("open", &self.path))?;
        folder.sync_all().map_err(failed("sync", &self.path))
    }
}

/// What is in the folder can be exchanged by others between two of these calls.
impl Folder for NativeDirectory {
    fn entries(&self) -> Result<Vec<(String, FileType)>> {
        let read = || -> io::Result<Vec<(String, FileType)>> {
            let mut entries = Vec::new();
            for entry in fs::read_dir(&self.path)? {
                let entry = entry?;
                let name = entry.file_name().into_string();
                let name = name.map_err(|_| io::Error::new(io::ErrorKind::InvalidData, "a name is not UTF-8"))?;
                entries.push((name, type_of(entry.file_type()?)));
            }
            entries.sort();
            Ok(entries)
        };
        read().map_err(failed("list", &self.path))
    }

    fn folder(&self, name: &str) -> Result<Rc<dyn Folder>> {
        let path = self.no_link(name)?;
        fs::read_dir(&path).map_err(failed("open the folder", &path))?;
        Ok(Rc::new(NativeDirectory { path }))
    }

    fn file(&self, name: &str) -> Result<Rc<dyn RandomAccessFile>> {
        let path = self.no_link(name)?;
        let file = File::open(&path).map_err(failed("open", &path))?;
        Ok(Rc::new(NativeFile { file, path }))
    }

    fn link(&self, name: &str) -> Result<String> {
        let path = self.path.join(name);
        let target = fs::read_link(&path).map_err(failed("read the symbolic link", &path))?;
        target.into_os_string().into_string().map_err(|_| Error::Unsupported("a symbolic link is not UTF-8".into()))
    }

    fn mtime(&self, name: &str) -> Result<Option<Mtime>> {
        let path = self.path.join(name);
        let metadata = fs::symlink_metadata(&path).map_err(failed("look at", &path))?;
        Ok(Some(Mtime { seconds: metadata.mtime(), nanoseconds: metadata.mtime_nsec() as u32 }))
    }

    fn make_folder(&self, name: &str) -> Result<Rc<dyn Folder>> {
        let path = self.path.join(name);
        fs::create_dir(&path).map_err(failed("make the folder", &path))?;
        Ok(Rc::new(NativeDirectory { path }))
    }

    fn make_file(&self, name: &str) -> Result<Rc<dyn RandomAccessFile>> {
        let path = self.path.join(name);
        let file = OpenOptions::new().write(true).create_new(true).open(&path).map_err(failed("make", &path))?;
        Ok(Rc::new(NativeFile { file, path }))
    }

    fn remove_file(&self, name: &str) -> Result<()> {
        let path = self.path.join(name);
        fs::remove_file(&path).map_err(failed("remove", &path))
    }

    fn make_link(&self, name: &str, target: &str) -> Result<()> {
        let path = self.path.join(name);
        std::os::unix::fs::symlink(target, &path).map_err(failed("make the symbolic link", &path))
    }

    fn set_mtime(&self, name: &str, mtime: Mtime) -> Result<()> {
        let path = self.no_link(name)?;
        let since = Duration::new(mtime.seconds.unsigned_abs(), 0);
        let second = if mtime.seconds < 0 { UNIX_EPOCH.checked_sub(since) } else { UNIX_EPOCH.checked_add(since) };
        let time = second.and_then(|second| second.checked_add(Duration::from_nanos(mtime.nanoseconds.into())));
        let time =
            time.ok_or_else(|| Error::Unsupported(format!("{}: a time that is out of reach", path.display())))?;
        let set = File::open(&path).and_then(|file| file.set_modified(time));
        set.map_err(failed("set the time of", &path))
    }
}

impl NativeDirectory {
    fn no_link(&self, name: &str) -> Result<PathBuf> {
        let path = self.path.join(name);
        match fs::symlink_metadata(&path) {
            Ok(metadata) if metadata.is_symlink() => {
                Err(Error::Denied(format!("{} is a symbolic link", path.display())))
            }
            _ => Ok(path),
        }
    }
}

fn type_of(kind: fs::FileType) -> FileType {
    match kind {
        kind if kind.is_file() => FileType::File,
        kind if kind.is_dir() => FileType::Folder,
        kind if kind.is_symlink() => FileType::Symlink,
        _ => FileType::Other,
    }
}

struct NativeFile {
    file: File,
    path: PathBuf,
}

impl RandomAccessFile for NativeFile {
    fn len(&self) -> Result<u64> {
        Ok(self.file.metadata().map_err(failed("look at", &self.path))?.len())
    }

    fn read_at(&self, offset: u64, length: usize) -> Result<Vec<u8>> {
        let mut bytes = vec![0; length];
        let mut read = 0;
        while let Some(rest) = bytes.get_mut(read..).filter(|rest| !rest.is_empty()) {
            match self.file.read_at(rest, offset + read as u64) {
                Ok(0) => break,
                Ok(count) => read += count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(failed("read", &self.path)(error)),
            }
        }
        bytes.truncate(read);
        Ok(bytes)
    }

    fn write_at(&self, offset: u64, bytes: &[u8]) -> Result<()> {
        self.file.write_all_at(bytes, offset).map_err(failed("write", &self.path))
    }

    fn set_len(&self, length: u64) -> Result<()> {
        self.file.set_len(length).map_err(failed("resize", &self.path))
    }

    fn sync(&self) -> Result<()> {
        self.file.sync_data().map_err(failed("sync", &self.path))
    }
}

fn failed(what: &str, path: &Path) -> impl Fn(io::Error) -> Error {
    move |error| match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded | io::ErrorKind::FileTooLarge => {
            Error::QuotaExceeded { needed: 0, limit: 0 }
        }
        io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem | io::ErrorKind::AlreadyExists => {
            Error::Denied(format!("cannot {what} {}: {error}", path.display()))
        }
        _ => Error::Io(format!("cannot {what} {}: {error}", path.display())),
    }
}
