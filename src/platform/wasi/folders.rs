//! WASI's folders with all that is in them.

use std::rc::Rc;

use super::{
    files::{WasiDirectory, WasiFile, failed},
    host::wasi::filesystem::types::{DescriptorFlags, DescriptorType, NewTimestamp, OpenFlags, PathFlags},
    version,
};
use crate::{
    error::{Error, Result},
    platform::{
        files::RandomAccessFile,
        folders::{FileType, Folder},
    },
    unixfs::Mtime,
};

impl Folder for WasiDirectory {
    fn entries(&self) -> Result<Vec<(String, FileType)>> {
        let found = version::entries(&self.folder).map_err(|code| failed("list", &self.path, code))?;
        let kind = |kind| match kind {
            DescriptorType::RegularFile => FileType::File,
            DescriptorType::Directory => FileType::Folder,
            DescriptorType::SymbolicLink => FileType::Symlink,
            _ => FileType::Other,
        };
        let mut entries: Vec<_> = found.into_iter().map(|entry| (entry.name, kind(entry.type_))).collect();
        entries.sort_unstable();
        Ok(entries)
    }

    fn folder(&self, name: &str) -> Result<Rc<dyn Folder>> {
        let path = self.at(name);
        let flags = DescriptorFlags::READ | DescriptorFlags::MUTATE_DIRECTORY;
        let open = |flags| self.folder.open_at(PathFlags::empty(), name, OpenFlags::DIRECTORY, flags);
        // The host may have opened it to be read only.
        let folder = open(flags).or_else(|_| open(DescriptorFlags::READ));
        let folder = folder.map_err(|code| failed("open the folder", &path, code))?;
        Ok(Rc::new(WasiDirectory { folder, path }))
    }

    fn file(&self, name: &str) -> Result<Rc<dyn RandomAccessFile>> {
        self.open_file(name, OpenFlags::empty(), DescriptorFlags::READ)
    }

    fn link(&self, name: &str) -> Result<String> {
        self.folder.readlink_at(name).map_err(|code| failed("read the symbolic link", &self.at(name), code))
    }

    fn mtime(&self, name: &str) -> Result<Option<Mtime>> {
        let stat = self.folder.stat_at(PathFlags::empty(), name);
        let stat = stat.map_err(|code| failed("look at", &self.at(name), code))?;
        Ok(version::modified(&stat))
    }

    fn make_folder(&self, name: &str) -> Result<Rc<dyn Folder>> {
        self.folder.create_directory_at(name).map_err(|code| failed("make the folder", &self.at(name), code))?;
        self.folder(name)
    }

    fn make_file(&self, name: &str) -> Result<Rc<dyn RandomAccessFile>> {
        self.open_file(name, OpenFlags::CREATE | OpenFlags::EXCLUSIVE, DescriptorFlags::WRITE)
    }

    fn remove_file(&self, name: &str) -> Result<()> {
        self.folder.unlink_file_at(name).map_err(|code| failed("remove", &self.at(name), code))
    }

    fn make_link(&self, name: &str, target: &str) -> Result<()> {
        let made = self.folder.symlink_at(target, name);
        made.map_err(|code| failed("make the symbolic link", &self.at(name), code))
    }

    fn set_mtime(&self, name: &str, mtime: Mtime) -> Result<()> {
        let time = version::timestamp(mtime)
            .ok_or_else(|| Error::Unsupported(format!("{}: a time before 1970, which WASI has not", self.at(name))))?;
        let set = self.folder.set_times_at(PathFlags::empty(), name, NewTimestamp::NoChange, time);
        set.map_err(|code| failed("set the time of", &self.at(name), code))
    }
}

impl WasiDirectory {
    fn open_file(&self, name: &str, open: OpenFlags, flags: DescriptorFlags) -> Result<Rc<dyn RandomAccessFile>> {
        let path = self.at(name);
        let file = self.folder.open_at(PathFlags::empty(), name, open, flags);
        Ok(Rc::new(WasiFile { file: file.map_err(|code| failed("open", &path, code))?, path }))
    }
}
