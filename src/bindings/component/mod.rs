//! The component: world `local` of `wit/`.
#![allow(unsafe_code)] // in what `export!` generates

mod car;
mod check;
mod collection;
mod files;
mod metadata;
mod names;
mod outbox;
mod tree;
mod values;

use std::{cell::RefCell, ops::ControlFlow, rc::Rc};

use bytes::Bytes;

#[allow(missing_docs, unsafe_code, clippy::all, clippy::indexing_slicing, clippy::panic, clippy::unwrap_used)]
mod world {
    wit_bindgen::generate!({
        path: "wit",
        world: "local",
        generate_all,
        with: {
            "ipfs-kit:storage/types@0.1.0": crate::bindings::wit,
            "wasi:filesystem/types@0.2.12": crate::platform::wasi::host::wasi::filesystem::types,
            "wasi:filesystem/preopens@0.2.12": crate::platform::wasi::host::wasi::filesystem::preopens,
            "wasi:clocks/wall-clock@0.2.12": crate::platform::wasi::host::wasi::clocks::wall_clock,
            "wasi:cli/environment@0.2.12": crate::platform::wasi::host::wasi::cli::environment,
            "wasi:io/error@0.2.12": crate::platform::wasi::host::wasi::io::error,
            "wasi:io/poll@0.2.12": crate::platform::wasi::host::wasi::io::poll,
            "wasi:io/streams@0.2.12": crate::platform::wasi::host::wasi::io::streams,
        },
    });
}

use self::world::{
    export,
    exports::ipfs_kit::storage::storage::{
        Check, Collection, Guest, GuestHandle, GuestReader, GuestWriter, Handle, Reader, TreeWriter, Writer,
    },
};
use super::{
    convert,
    reports::Evictions,
    wasi,
    wit::{
        CacheConfig, Error, Eviction, Fetched, FileInfo, FilePage, FolderOptions, Imported, OpenOptions, PinInfo,
        PinOptions, PinPage, Pushed, ReadOptions, Status, StoreOptions, VerifyOptions,
    },
};
use crate::{
    block, error,
    platform::wasi::{files::WasiDirectory, run},
    storage::{self, PushOptions, Storage},
    unixfs::Path,
};

/// Most bytes that a call returns in one piece: hosts bound it, wasmtime to 128 MiB by default, and trap over that.
const MAX_RETRIEVED: u64 = 64 * 1024 * 1024;

struct Component;
export!(Component with_types_in world);

impl Guest for Component {
    type Handle = OpenStore;
    type Writer = OpenWriter;
    type TreeWriter = tree::OpenTree;
    type Reader = OpenReader;
    type Check = check::OpenCheck;
    type Collection = collection::OpenCollection;
}

struct OpenStore {
    storage: Storage,
    evictions: Evictions,
}
struct OpenWriter(RefCell<storage::Writer>);
struct OpenReader(RefCell<Reading>);

struct Reading {
    reader: storage::Reader,
    /// What one block gave and the caller has not taken yet.
    rest: Bytes,
}

impl GuestHandle for OpenStore {
    fn open(options: OpenOptions) -> Result<Handle, Error> {
        let settings = convert::open_options(&options)?;
        let storage = wasi::open(convert::place(options)?, settings)?;
        let evictions = Evictions::of(&storage);
        Ok(Handle::new(OpenStore { storage, evictions }))
    }

    fn store(&self, data: Vec<u8>, options: StoreOptions) -> Result<FileInfo, Error> {
        Ok(run(self.storage.store(data, convert::store_options(options)?))?.into())
    }

    fn store_many(&self, files: Vec<(Vec<u8>, StoreOptions)>) -> Result<Vec<FileInfo>, Error> {
        let files = convert::files(files)?;
        Ok(run(self.storage.store_many(files))?.into_iter().map(FileInfo::from).collect())
    }

    fn create_writer(&self, options: StoreOptions) -> Result<Writer, Error> {
        let writer = self.storage.writer(convert::store_options(options)?)?;
        Ok(Writer::new(OpenWriter(RefCell::new(writer))))
    }

    fn retrieve(&self, path: String, options: ReadOptions) -> Result<Vec<u8>, Error> {
        let path = Path::parse(&path)?;
        Ok(run(async {
            let mut reader = self.storage.reader(path, convert::read_options(&options)).await?;
            let size = reader.remaining();
            if size > MAX_RETRIEVED {
                let message = format!("{size} bytes in one piece; over {MAX_RETRIEVED} bytes take open-reader");
                return Err(error::Error::Unsupported(message));
            }
            let mut whole = Vec::with_capacity(size as usize);
            while let Some(bytes) = reader.next().await? {
                whole.extend_from_slice(&bytes);
            }
            Ok(whole)
        })?)
    }

    fn open_reader(&self, path: String, options: ReadOptions) -> Result<Reader, Error> {
        let path = Path::parse(&path)?;
        let reader = run(self.storage.reader(path, convert::read_options(&options)))?;
        Ok(Reader::new(OpenReader(RefCell::new(Reading { reader, rest: Bytes::new() }))))
    }

    fn stat(&self, path: String, offline: bool) -> Result<FileInfo, Error> {
        let path = Path::parse(&path)?;
        Ok(run(self.storage.stat(path, offline))?.into())
    }

    fn list_files(&self, path: String, after: Option<String>, limit: u32, offline: bool) -> Result<FilePage, Error> {
        Ok(run(self.storage.list_files(&path, after.as_deref(), limit as usize, offline))?.into())
    }

    fn create_tree(&self, options: StoreOptions) -> Result<TreeWriter, Error> {
        tree::begin(&self.storage, options)
    }

    fn store_folder(&self, directory: String, options: FolderOptions) -> Result<FileInfo, Error> {
        let options = convert::folder_options(options)?;
        Ok(run(async {
            let folder = Rc::new(WasiDirectory::existing(&directory)?);
            self.storage.store_folder(folder, options, &mut |_, _| ControlFlow::Continue(())).await
        })?
        .into())
    }

    fn write_to(&self, path: String, directory: String, name: String, offline: bool) -> Result<u64, Error> {
        let path = Path::parse(&path)?;
        Ok(run(async {
            let folder = Rc::new(WasiDirectory::to_change(&directory)?);
            let options = storage::ReadOptions { offline, ..storage::ReadOptions::default() };
            self.storage.write_to(path, folder, &name, options, &mut |_, _| ControlFlow::Continue(())).await
        })?)
    }

    fn exists(&self, cid: String) -> Result<bool, Error> {
        let cid = block::parse(&cid)?;
        Ok(run(self.storage.exists(&cid))?)
    }

    fn delete(&self, cid: String, force: bool) -> Result<(), Error> {
        let cid = block::parse(&cid)?;
        Ok(run(self.storage.delete(&cid, force))?)
    }

    fn pin(&self, cid: String, options: PinOptions) -> Result<PinInfo, Error> {
        let cid = block::parse(&cid)?;
        Ok(run(self.storage.pin(&cid, convert::pin_options(options)?))?.into())
    }

    fn unpin(&self, cid: String) -> Result<(), Error> {
        let cid = block::parse(&cid)?;
        Ok(run(self.storage.unpin(&cid))?)
    }

    fn pins(&self, after: Option<String>, limit: u32) -> Result<PinPage, Error> {
        let after = after.map(|cid| block::parse(&cid)).transpose()?;
        Ok(run(self.storage.pins(after.as_ref(), limit as usize))?.into())
    }

    fn push(&self, cid: String, remote: String, pin: bool) -> Result<Pushed, Error> {
        let cid = block::parse(&cid)?;
        Ok(run(self.storage.push(&cid, &remote, PushOptions { pin, ..PushOptions::default() }))?.into())
    }

    fn backend_status(&self) -> Result<Status, Error> {
        Ok(run(async { Ok(self.storage.backend_status().await) })?.into())
    }

    fn is_available(&self) -> bool {
        self.storage.is_available()
    }

    fn configure_cache(&self, config: CacheConfig) -> Result<(), Error> {
        Ok(self.storage.configure_cache(config.into())?)
    }

    fn flush(&self) -> Result<(), Error> {
        Ok(run(self.storage.flush())?)
    }

    fn evictions(&self) -> Vec<Eviction> {
        self.evictions.take()
    }

    fn collect(&self, dry_run: bool) -> Result<Collection, Error> {
        collection::begin(&self.storage, dry_run)
    }

    fn verify(&self, options: VerifyOptions) -> Result<Check, Error> {
        check::begin(&self.storage, options)
    }

    fn import_legacy(&self, directory: String) -> Result<Vec<Imported>, Error> {
        Ok(run(async {
            let mut import = self.storage.import_legacy(Rc::new(WasiDirectory::existing(&directory)?)).await?;
            let mut all = Vec::new();
            while let Some(one) = import.next().await {
                all.push(one.into());
            }
            Ok(all)
        })?)
    }
}

impl Drop for OpenStore {
    fn drop(&mut self) {
        // Spares the next opening some work; nothing acknowledged depends on it.
        let _ = run(self.storage.flush());
    }
}

impl GuestWriter for OpenWriter {
    fn write(&self, bytes: Vec<u8>) -> Result<(), Error> {
        Ok(run(self.0.borrow_mut().write(bytes.into()))?)
    }

    fn finish(&self) -> Result<FileInfo, Error> {
        Ok(run(self.0.borrow_mut().finish())?.into())
    }
}

impl Drop for OpenWriter {
    fn drop(&mut self) {
        let _ = run(async {
            self.0.get_mut().abort().await;
            Ok(())
        });
    }
}

impl GuestReader for OpenReader {
    fn size(&self) -> u64 {
        self.0.borrow().reader.size()
    }

    fn fetched(&self) -> Fetched {
        self.0.borrow().reader.fetched().into()
    }

    fn read(&self, max: u32) -> Result<Vec<u8>, Error> {
        let reading = &mut *self.0.borrow_mut();
        if max == 0 {
            return Err(Error::InvalidArgument("a read of 0 bytes; at least 1".into()));
        }
        if reading.rest.is_empty() {
            reading.rest = run(reading.reader.next())?.unwrap_or_default();
        }
        let count = reading.rest.len().min(max as usize);
        Ok(reading.rest.split_to(count).into())
    }
}
