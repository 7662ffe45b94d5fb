//! Trees from folders of the host, and into them.

use std::{ops::ControlFlow, rc::Rc};

use futures_util::future::LocalBoxFuture;

use super::{ReadOptions, Reader, Storage, StoreOptions, TreeWriter, listing::FileInfo};
use crate::{
    block::Cid,
    error::{Error, Result},
    platform::{
        files::RandomAccessFile,
        folders::{FileType, Folder},
    },
    tier::StoredRoot,
    unixfs::{EntryKind, MAX_PATH_NAMES, Metadata, Path},
};

/// Read at a time.
const READ_BYTES: u64 = 4 * 1024 * 1024;

/// Entries looked at together.
const PAGE: usize = 1024;

/// What of a folder to store.
#[derive(Debug, Clone, Default)]
pub struct FolderOptions {
    /// As with a file.
    pub store: StoreOptions,
    /// Also files and folders whose names begin with a point.
    pub hidden: bool,
    /// Keep when each file and folder was last changed. The CID differs then.
    pub mtime: bool,
}

/// Told of each entry: its path, and bytes of it so far. It may say that this is enough.
pub type OnEntry<'a> = &'a mut dyn FnMut(&str, u64) -> ControlFlow<()>;

impl Storage {
    /// Stores a folder with all that is in it. Symbolic links are stored as such, and not followed; devices and the like are
    /// [`Error::Unsupported`].
    pub async fn store_folder(
        &self,
        folder: Rc<dyn Folder>,
        options: FolderOptions,
        told: OnEntry<'_>,
    ) -> Result<StoredRoot> {
        let FolderOptions { store, hidden, mtime } = options;
        let mut tree = self.tree(store)?;
        let mut walk = Walk { tree: &mut tree, hidden, mtime, told };
        let done = walk.folder(folder.as_ref(), "", 0).await;
        match done {
            Ok(()) => tree.finish().await,
            Err(error) => {
                tree.abort().await;
                Err(error)
            }
        }
    }

    /// Writes what a path leads to, a file or a whole directory, into a folder under this name. Nothing that is there is
    /// replaced ([`Error::Denied`]), and a symbolic link that leads out of what is written is refused with it. After a failure
    /// the whole files written before it stay there.
    pub async fn write_to(
        &self,
        path: impl Into<Path>,
        folder: Rc<dyn Folder>,
        name: &str,
        options: ReadOptions,
        told: OnEntry<'_>,
    ) -> Result<u64> {
        let path = path.into();
        let info = self.stat(path.clone(), options.offline).await?;
        // A path is followed to its end, as when it is read.
        let info = match info.kind {
            Some(EntryKind::Symlink) => self.stat(self.resolve(&path, options.offline).await?, options.offline).await?,
            _ => info,
        };
        let mut out = Out { storage: self, offline: options.offline, told, written: 0 };
        out.entry(folder.as_ref(), check(name)?, name.to_owned(), &info, 0).await?;
        Ok(out.written)
    }
}

struct Walk<'a> {
    tree: &'a mut TreeWriter,
    hidden: bool,
    mtime: bool,
    told: OnEntry<'a>,
}

impl Walk<'_> {
    fn folder<'b>(&'b mut self, folder: &'b dyn Folder, path: &'b str, depth: usize) -> LocalBoxFuture<'b, Result<()>> {
        Box::pin(async move {
            if depth > MAX_PATH_NAMES {
                return Err(Error::Unsupported(format!("{path}: more than {MAX_PATH_NAMES} folders in one another")));
            }
            for (name, kind) in folder.entries()? {
                if name.starts_with('.') && !self.hidden {
                    continue;
                }
                let below = if path.is_empty() { name.clone() } else { format!("{path}/{name}") };
                // Not of links: not every host can set it again.
                let has_time = self.mtime && matches!(kind, FileType::File | FileType::Folder);
                let mtime = if has_time { folder.mtime(&name)? } else { None };
                let metadata = Metadata { mode: None, mtime };
                match kind {
                    FileType::File => {
                        let file = folder.file(&name)?;
                        self.file(file.as_ref(), &below, metadata).await?;
                    }
                    FileType::Folder => {
                        self.tree.directory(&below, metadata).await?;
                        let folder = folder.folder(&name)?;
                        self.folder(folder.as_ref(), &below, depth + 1).await?;
                    }
                    FileType::Symlink => self.tree.symlink(&below, &folder.link(&name)?, metadata).await?,
                    FileType::Other => {
                        return Err(Error::Unsupported(format!("{below} is neither a file nor a folder nor a link")));
                    }
                }
            }
            Ok(())
        })
    }

    async fn file(&mut self, file: &dyn RandomAccessFile, path: &str, metadata: Metadata) -> Result<()> {
        let length = file.len()?;
        self.tree.begin_file(path, metadata)?;
        let mut done = 0;
        while done < length {
            let bytes = file.read_at(done, (length - done).min(READ_BYTES) as usize)?;
            if bytes.is_empty() {
                return Err(Error::Io(format!("{path} became shorter while it was read")));
            }
            done += bytes.len() as u64;
            self.tree.write(bytes.into()).await?;
            tell(self.told, path, done)?;
        }
        self.tree.end_file().await
    }
}

struct Out<'a> {
    storage: &'a Storage,
    offline: bool,
    told: OnEntry<'a>,
    written: u64,
}

impl Out<'_> {
    /// Writes one thing, so many directories below that which was asked for.
    fn entry<'b>(
        &'b mut self,
        folder: &'b dyn Folder,
        name: &'b str,
        path: String,
        info: &'b FileInfo,
        depth: usize,
    ) -> LocalBoxFuture<'b, Result<()>> {
        Box::pin(async move {
            match info.kind {
                Some(EntryKind::File) => self.file(folder, name, &path, info.cid.clone()).await?,
                Some(EntryKind::Directory) => {
                    let below = folder.make_folder(name)?;
                    self.directory(below.as_ref(), &path, info.cid.clone(), depth).await?;
                }
                Some(EntryKind::Symlink) => {
                    let target = info.target.as_deref().unwrap_or_default();
                    if leads_out(target, depth) {
                        let problem =
                            format!("{path}: a symbolic link that leads out of what is written, to {target:?}");
                        return Err(Error::Denied(problem));
                    }
                    folder.make_link(name, target)?;
                }
                Some(EntryKind::Value) | None => {
                    return Err(Error::Unsupported(format!(
                        "{path} is no file or directory but a value of linked data"
                    )));
                }
            }
            match (info.kind, info.metadata.mtime) {
                (Some(EntryKind::File | EntryKind::Directory), Some(mtime)) => folder.set_mtime(name, mtime),
                _ => Ok(()),
            }
        })
    }

    async fn directory(&mut self, folder: &dyn Folder, path: &str, cid: Cid, depth: usize) -> Result<()> {
        if depth > MAX_PATH_NAMES {
            return Err(Error::Unsupported(format!("{path}: more than {MAX_PATH_NAMES} directories in one another")));
        }
        let mut after: Option<String> = None;
        loop {
            let page = self.storage.list_files(&cid.to_string(), after.as_deref(), PAGE, self.offline).await?;
            for info in page.files {
                let name = info.filename.clone().unwrap_or_default();
                let below = format!("{path}/{name}");
                // What is not held is fetched, to know what it is.
                let info = match info.kind {
                    Some(_) => info,
                    None => self.storage.stat(info.cid, self.offline).await?,
                };
                self.entry(folder, check(&name)?, below, &info, depth + 1).await?;
            }
            match page.next {
                Some(next) => after = Some(next),
                None => return Ok(()),
            }
        }
    }

    async fn file(&mut self, folder: &dyn Folder, name: &str, path: &str, cid: Cid) -> Result<()> {
        let options = ReadOptions { offline: self.offline, ..ReadOptions::default() };
        let mut reader = self.storage.reader(cid, options).await?;
        let file = folder.make_file(name)?;
        let copied = self.copy(&mut reader, file.as_ref(), path).await;
        // Half a file must not be taken for a whole one.
        copied.inspect_err(|_| _ = folder.remove_file(name))
    }

    async fn copy(&mut self, reader: &mut Reader, file: &dyn RandomAccessFile, path: &str) -> Result<()> {
        let mut done = 0;
        while let Some(bytes) = reader.next().await? {
            file.write_at(done, &bytes)?;
            done += bytes.len() as u64;
            self.written += bytes.len() as u64;
            tell(self.told, path, done)?;
        }
        Ok(())
    }
}

fn tell(told: &mut dyn FnMut(&str, u64) -> ControlFlow<()>, path: &str, done: u64) -> Result<()> {
    if told(path, done).is_break() { Err(Error::Cancelled) } else { Ok(()) }
}

/// A name that no host takes for anything else.
fn check(name: &str) -> Result<&str> {
    if matches!(name, "" | "." | "..") || name.contains(['/', '\\', '\0']) {
        return Err(Error::Denied(format!("{name:?} cannot be the name of a file here")));
    }
    Ok(name)
}

/// Whether a symbolic link may lead out of what is written, from so many directories deep in it. Upwards it may go at its
/// beginning only: behind a name, which may be a link itself, nobody knows where up is.
fn leads_out(target: &str, depth: usize) -> bool {
    let mut names = target.split('/').filter(|name| !matches!(*name, "" | ".")).peekable();
    let ups = std::iter::from_fn(|| names.next_if_eq(&"..")).count();
    ups >= depth.max(1) || names.any(|name| name == "..") || target.starts_with('/') || target.contains(['\\', '\0'])
}
