//! The component for WASI 0.3: world `local` of `wit/p3/`.
//!
//! Calls wait for nothing but their callers' streams; that is where others go on.
#![allow(unsafe_code)] // in what `export!` generates

mod close;
mod streams;

#[allow(missing_docs, unsafe_code, clippy::all, clippy::indexing_slicing, clippy::panic, clippy::unwrap_used)]
mod world {
    wit_bindgen::generate!({
        path: "wit/p3",
        world: "ipfs-kit:storage-p3/local",
        generate_all,
        with: {
            "ipfs-kit:storage/types@0.1.0": crate::bindings::wit,
            "wasi:filesystem/types@0.3.0": crate::platform::wasi::host::wasi::filesystem::types,
            "wasi:filesystem/preopens@0.3.0": crate::platform::wasi::host::wasi::filesystem::preopens,
            "wasi:clocks/types@0.3.0": crate::platform::wasi::host::wasi::clocks::types,
            "wasi:clocks/system-clock@0.3.0": crate::platform::wasi::host::wasi::clocks::system_clock,
            "wasi:cli/environment@0.3.0": crate::platform::wasi::host::wasi::cli::environment,
        },
    });
}

use std::{ops::ControlFlow, rc::Rc};

use wit_bindgen::{StreamReader, yield_async};

use self::world::{
    export,
    exports::ipfs_kit::storage_p3::storage::{Content, Guest, GuestHandle, Handle, Listing},
};
use super::{
    convert,
    reports::Evictions,
    wasi,
    wit::{
        CacheConfig, CollectionReport, Error, Eviction, FileInfo, FolderOptions, Imported, OpenOptions, PinInfo,
        PinOptions, PinPage, ReadOptions, Status, StoreOptions, VerifyOptions, VerifyReport,
    },
};
use crate::{
    block,
    platform::wasi::{files::WasiDirectory, run},
    storage::{CollectOptions, ReadOptions as Reading, Storage},
    unixfs::Path,
};

struct Component;
export!(Component with_types_in world);

impl Guest for Component {
    type Handle = OpenStore;
}

struct OpenStore {
    storage: Storage,
    evictions: Evictions,
}

impl GuestHandle for OpenStore {
    async fn open(options: OpenOptions) -> Result<Handle, Error> {
        close::all()?;
        let settings = convert::open_options(&options)?;
        let storage = wasi::open(convert::place(options)?, settings)?;
        let evictions = Evictions::of(&storage);
        Ok(Handle::new(OpenStore { storage, evictions }))
    }

    async fn close(store: Handle) -> Result<(), Error> {
        drop(store.into_inner::<OpenStore>());
        Ok(close::all()?)
    }

    async fn store(&self, data: StreamReader<u8>, size: Option<u64>, options: StoreOptions) -> Result<FileInfo, Error> {
        let writer = self.storage.writer(convert::store_options(options)?)?;
        Ok(streams::store(writer, data, size).await?.into())
    }

    async fn store_many(&self, files: Vec<(Vec<u8>, StoreOptions)>) -> Result<Vec<FileInfo>, Error> {
        let files = convert::files(files)?;
        Ok(run(self.storage.store_many(files))?.into_iter().map(FileInfo::from).collect())
    }

    async fn retrieve(&self, path: String, options: ReadOptions) -> Result<Content, Error> {
        let path = Path::parse(&path)?;
        Ok(streams::content(run(self.storage.reader(path, convert::read_options(&options)))?))
    }

    async fn stat(&self, path: String) -> Result<FileInfo, Error> {
        let path = Path::parse(&path)?;
        Ok(run(self.storage.stat(path, true))?.into())
    }

    async fn list_files(&self, path: String) -> Result<Listing, Error> {
        Ok(streams::listing(self.storage.clone(), path)?)
    }

    async fn store_folder(&self, directory: String, options: FolderOptions) -> Result<FileInfo, Error> {
        let options = convert::folder_options(options)?;
        Ok(run(async {
            let folder = Rc::new(WasiDirectory::existing(&directory)?);
            self.storage.store_folder(folder, options, &mut |_, _| ControlFlow::Continue(())).await
        })?
        .into())
    }

    async fn write_to(&self, path: String, directory: String, name: String) -> Result<u64, Error> {
        let path = Path::parse(&path)?;
        Ok(run(async {
            let folder = Rc::new(WasiDirectory::to_change(&directory)?);
            self.storage.write_to(path, folder, &name, Reading::default(), &mut |_, _| ControlFlow::Continue(())).await
        })?)
    }

    async fn exists(&self, cid: String) -> Result<bool, Error> {
        let cid = block::parse(&cid)?;
        Ok(run(self.storage.exists(&cid))?)
    }

    async fn delete(&self, cid: String, force: bool) -> Result<(), Error> {
        let cid = block::parse(&cid)?;
        Ok(run(self.storage.delete(&cid, force))?)
    }

    async fn pin(&self, cid: String, options: PinOptions) -> Result<PinInfo, Error> {
        let cid = block::parse(&cid)?;
        Ok(run(self.storage.pin(&cid, convert::pin_options(options)?))?.into())
    }

    async fn unpin(&self, cid: String) -> Result<(), Error> {
        let cid = block::parse(&cid)?;
        Ok(run(self.storage.unpin(&cid))?)
    }

    async fn pins(&self, after: Option<String>, limit: u32) -> Result<PinPage, Error> {
        let after = after.map(|cid| block::parse(&cid)).transpose()?;
        Ok(run(self.storage.pins(after.as_ref(), limit as usize))?.into())
    }

    async fn backend_status(&self) -> Result<Status, Error> {
        Ok(run(async { Ok(self.storage.backend_status().await) })?.into())
    }

    async fn configure_cache(&self, config: CacheConfig) -> Result<(), Error> {
        Ok(self.storage.configure_cache(config.into())?)
    }

    async fn flush(&self) -> Result<(), Error> {
        Ok(run(self.storage.flush())?)
    }

    async fn evictions(&self) -> Vec<Eviction> {
        self.evictions.take()
    }

    async fn collect(&self, dry_run: bool) -> Result<CollectionReport, Error> {
        let mut collection = self.storage.collection(CollectOptions { dry_run })?;
        while run(collection.step())?.is_some() {
            yield_async().await;
        }
        Ok(collection.report().clone().into())
    }

    async fn verify(&self, options: VerifyOptions) -> Result<VerifyReport, Error> {
        let mut check = self.storage.check(convert::verify_options(options))?;
        while run(check.step())?.is_some() {
            yield_async().await;
        }
        Ok(check.report().into())
    }

    async fn import_legacy(&self, directory: String) -> Result<Vec<Imported>, Error> {
        let folder = Rc::new(WasiDirectory::existing(&directory)?);
        let mut import = run(self.storage.import_legacy(folder))?;
        let mut all = Vec::new();
        while let Some(one) = run(async { Ok(import.next().await) })? {
            all.push(one.into());
            yield_async().await;
        }
        Ok(all)
    }
}

impl Drop for OpenStore {
    fn drop(&mut self) {
        close::later(self.storage.clone());
    }
}
