//! The mutable tree.

use std::cell::RefCell;

use bytes::Bytes;

use super::{
    Component, OpenReader, OpenStore, Reading, metadata,
    world::exports::ipfs_kit::storage::{
        files::{CopyFrom, FileStat, FileWriter, Guest, GuestFileWriter, PastRoot, WriteOptions},
        storage::{HandleBorrow, Reader},
    },
};
use crate::{
    bindings::wit::{Error, FilePage, Metadata, Mtime},
    error,
    platform::wasi::run,
    storage::{self, Files, ReadOptions},
    unixfs::Path,
};

pub struct OpenFileWriter(RefCell<storage::FileWriter>);

impl Guest for Component {
    type FileWriter = OpenFileWriter;

    fn write(store: HandleBorrow<'_>, path: String, data: Vec<u8>, options: WriteOptions) -> Result<(), Error> {
        Ok(run(files(&store).write(&path, data, write_options(options)?))?)
    }

    fn create_writer(store: HandleBorrow<'_>, path: String, options: WriteOptions) -> Result<FileWriter, Error> {
        let writer = run(files(&store).writer(&path, write_options(options)?))?;
        Ok(FileWriter::new(OpenFileWriter(RefCell::new(writer))))
    }

    fn truncate(store: HandleBorrow<'_>, path: String, length: u64) -> Result<(), Error> {
        Ok(run(files(&store).truncate(&path, length))?)
    }

    fn open_reader(store: HandleBorrow<'_>, path: String, offset: u64, length: Option<u64>) -> Result<Reader, Error> {
        let reader = run(files(&store).reader(&path, ReadOptions::range(offset, length)))?;
        Ok(Reader::new(OpenReader(RefCell::new(Reading { reader, rest: Bytes::new() }))))
    }

    fn mkdir(store: HandleBorrow<'_>, path: String, parents: bool, metadata: Metadata) -> Result<(), Error> {
        Ok(run(files(&store).mkdir(&path, parents, metadata::metadata(metadata)?))?)
    }

    fn ls(store: HandleBorrow<'_>, path: String, after: Option<String>, limit: u32) -> Result<FilePage, Error> {
        Ok(run(files(&store).ls(&path, after.as_deref(), limit as usize))?.into())
    }

    fn stat(store: HandleBorrow<'_>, path: String) -> Result<FileStat, Error> {
        let stat = run(files(&store).stat(&path))?;
        Ok(FileStat {
            cid: stat.cid.to_string(),
            kind: stat.kind.into(),
            size: stat.size,
            cumulative_size: stat.cumulative_size,
            links: stat.links,
            metadata: stat.metadata.into(),
        })
    }

    fn cp(store: HandleBorrow<'_>, from: CopyFrom, to: String, parents: bool) -> Result<(), Error> {
        let from = match from {
            CopyFrom::Tree(path) => storage::CopyFrom::Tree(path),
            CopyFrom::Path(path) => storage::CopyFrom::Path(Path::parse(&path)?),
        };
        Ok(run(files(&store).cp(&from, &to, parents))?)
    }

    fn mv(store: HandleBorrow<'_>, from: String, to: String) -> Result<(), Error> {
        Ok(run(files(&store).mv(&from, &to))?)
    }

    fn rm(store: HandleBorrow<'_>, path: String, recursive: bool, force: bool) -> Result<(), Error> {
        Ok(run(files(&store).rm(&path, recursive, force))?)
    }

    fn touch(store: HandleBorrow<'_>, path: String, mtime: Mtime) -> Result<(), Error> {
        Ok(run(files(&store).touch(&path, metadata::mtime(mtime)?))?)
    }

    fn chmod(store: HandleBorrow<'_>, path: String, mode: u32) -> Result<(), Error> {
        Ok(run(files(&store).chmod(&path, mode))?)
    }

    fn flush(store: HandleBorrow<'_>, path: String) -> Result<String, Error> {
        Ok(run(files(&store).flush(&path))?.to_string())
    }

    fn history(store: HandleBorrow<'_>) -> Result<Vec<PastRoot>, Error> {
        let past = |storage::PastRoot { cid, changed }| PastRoot { cid: cid.to_string(), changed };
        Ok(run(files(&store).history())?.into_iter().map(past).collect())
    }
}

impl GuestFileWriter for OpenFileWriter {
    fn write(&self, bytes: Vec<u8>) -> Result<(), Error> {
        Ok(run(self.0.borrow_mut().write(bytes.into()))?)
    }

    fn finish(&self) -> Result<(), Error> {
        Ok(run(self.0.borrow_mut().finish())?)
    }
}

impl Drop for OpenFileWriter {
    fn drop(&mut self) {
        let _ = run(async {
            self.0.get_mut().abort().await;
            Ok(())
        });
    }
}

fn files(store: &HandleBorrow<'_>) -> Files {
    store.get::<OpenStore>().storage.files()
}

fn write_options(options: WriteOptions) -> error::Result<storage::WriteOptions> {
    let WriteOptions { offset, append, create, parents, truncate, metadata } = options;
    let metadata = metadata::metadata(metadata)?;
    Ok(storage::WriteOptions { offset, append, create, parents, truncate, metadata })
}
