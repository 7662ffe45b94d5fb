//! wasmtime with the component in it.

use std::{
    fs,
    path::Path,
    time::{Duration, Instant},
};

use anyhow::{Result, anyhow, ensure};
use ipfs_kit::storage::types::{
    CacheConfig, FileInfo, FolderOptions, Metadata, OpenOptions, ReadOptions, StoreOptions, VerifyOptions,
};
use wasmtime::{
    Engine, ResourceLimiter, Store,
    component::{Component, Linker, ResourceAny, ResourceTable},
};
use wasmtime_wasi::{FsPerms, WasiCtx, WasiCtxView, WasiView};

pub use ipfs_kit::storage::types::{CollectionPhase, CollectionReport, Durability, Layout, Profile};

wasmtime::component::bindgen!({
    path: "../../wit",
    inline: "
        package bench:host;
        world bench {
            export ipfs-kit:storage/storage@0.1.0;
        }
    ",
    world: "bench:host/bench",
});

/// The component as wasmtime compiles it, beside the component.
const COMPILED: &str = "component.cwasm";

/// Compiles FOLDER/component.wasm, so that no repetition has to.
pub fn compile(folder: &Path) -> Result<()> {
    let bytes = fs::read(folder.join("component.wasm"))?;
    let compiled = Engine::default().precompile_component(&bytes).map_err(to_anyhow)?;
    Ok(fs::write(folder.join(COMPILED), compiled)?)
}

/// One store, open in an instance of its own.
pub struct Host {
    store: Store<State>,
    bench: Bench,
    handle: ResourceAny,
    /// How long the call took that opened it.
    pub opening: Duration,
}

struct State {
    wasi: WasiCtx,
    table: ResourceTable,
    peak: Peak,
}

/// The most linear memory that the instance has had.
#[derive(Default)]
struct Peak(usize);

impl Host {
    /// Opens the store in FOLDER/stores/NAME, or makes it. It sees FOLDER itself as `/data`.
    pub fn open(folder: &Path, name: &str, durability: Durability) -> Result<Self> {
        let stores = folder.join("stores");
        fs::create_dir_all(&stores)?;
        let engine = Engine::default();
        // Safe: `compile` has just made it.
        let component = unsafe { Component::deserialize_file(&engine, folder.join(COMPILED)) }.map_err(to_anyhow)?;
        let mut linker = Linker::<State>::new(&engine);
        wasmtime_wasi::p2::add_to_linker_sync(&mut linker).map_err(to_anyhow)?;
        // As the `wasmtime` command does it: files on the calling thread.
        let wasi = WasiCtx::builder()
            .allow_blocking_current_thread(true)
            .preopened_dir(&stores, "/", FsPerms::ReadWrite)
            .and_then(|wasi| wasi.preopened_dir(folder, "/data", FsPerms::ReadOnly))
            .map_err(to_anyhow)?
            .build();
        let mut store = Store::new(&engine, State { wasi, table: ResourceTable::new(), peak: Peak(0) });
        store.limiter(|state| &mut state.peak);
        let bench = Bench::instantiate(&mut store, &component, &linker).map_err(to_anyhow)?;
        let options = OpenOptions {
            directory: Some(format!("/{name}")),
            take_over: true,
            force_fallback: false,
            remotes: Vec::new(),
            remote_timeout: None,
            layout: None,
            durability: Some(durability),
            verification: None,
        };
        let start = Instant::now();
        let handle = bench.ipfs_kit_storage_storage().handle().call_open(&mut store, &options);
        let opening = start.elapsed();
        let handle = handle.map_err(to_anyhow)?.map_err(failed)?;
        Ok(Host { store, bench, handle, opening })
    }

    /// Closes it; dropping it would be a kill.
    pub fn close(mut self) -> Result<()> {
        self.handle.resource_drop(&mut self.store).map_err(to_anyhow)
    }

    /// Keeps no blocks in memory.
    pub fn cache_nothing(&mut self) -> Result<()> {
        let none =
            CacheConfig { memory_bytes: Some(0), disk_bytes: None, policy: None, high_water: None, low_water: None };
        let handle = self.bench.ipfs_kit_storage_storage().handle();
        handle.call_configure_cache(&mut self.store, self.handle, none).map_err(to_anyhow)?.map_err(failed)
    }

    /// Stores one file.
    pub fn store(&mut self, data: &[u8]) -> Result<()> {
        let handle = self.bench.ipfs_kit_storage_storage().handle();
        let stored = handle.call_store(&mut self.store, self.handle, data, &store_options(None));
        stored.map_err(to_anyhow)?.map(drop).map_err(failed)
    }

    /// Stores many files.
    pub fn store_many(&mut self, files: Vec<Vec<u8>>) -> Result<()> {
        let files: Vec<_> = files.into_iter().map(|data| (data, store_options(None))).collect();
        let handle = self.bench.ipfs_kit_storage_storage().handle();
        let stored = handle.call_store_many(&mut self.store, self.handle, &files);
        stored.map_err(to_anyhow)?.map(drop).map_err(failed)
    }

    /// Stores one file, fed in pieces until one is empty; its CID.
    pub fn write(&mut self, layout: Layout, next: impl FnMut() -> Result<Vec<u8>>) -> Result<String> {
        let writer = self.feed(layout, next)?;
        let storage = self.bench.ipfs_kit_storage_storage();
        let stored = storage.writer().call_finish(&mut self.store, writer).map_err(to_anyhow)?.map_err(failed)?;
        writer.resource_drop(&mut self.store).map_err(to_anyhow)?;
        Ok(stored.cid)
    }

    /// Stores one file in blocks of `chunk_size` bytes; its CID.
    pub fn write_blocks(&mut self, chunk_size: u32, next: impl FnMut() -> Result<Vec<u8>>) -> Result<String> {
        self.write(Layout { chunk_size: Some(chunk_size), ..layout(Profile::UnixfsV12025) }, next)
    }

    /// Stores one and deletes it while another is being written, which may need the blocks; and then comes a kill. So they
    /// are garbage.
    pub fn leave_blocks(mut self, chunk_size: u32, next: impl FnMut() -> Result<Vec<u8>>) -> Result<()> {
        let mut once = Some(vec![0; chunk_size as usize]);
        self.feed(layout(Profile::UnixfsV12025), || Ok(once.take().unwrap_or_default()))?;
        let cid = self.write_blocks(chunk_size, next)?;
        let handle = self.bench.ipfs_kit_storage_storage().handle();
        handle.call_delete(&mut self.store, self.handle, &cid, false).map_err(to_anyhow)?.map_err(failed)
    }

    /// A writer with all pieces in it.
    fn feed(&mut self, layout: Layout, mut next: impl FnMut() -> Result<Vec<u8>>) -> Result<ResourceAny> {
        let storage = self.bench.ipfs_kit_storage_storage();
        let writer = storage.handle().call_create_writer(&mut self.store, self.handle, &store_options(Some(layout)));
        let writer = writer.map_err(to_anyhow)?.map_err(failed)?;
        loop {
            let piece = next()?;
            if piece.is_empty() {
                return Ok(writer);
            }
            storage.writer().call_write(&mut self.store, writer, &piece).map_err(to_anyhow)?.map_err(failed)?;
        }
    }

    /// Stores a folder with all that is in it; its CID.
    pub fn store_folder(&mut self, directory: &str) -> Result<String> {
        let options = FolderOptions { store: store_options(None), hidden: false, mtime: false };
        let handle = self.bench.ipfs_kit_storage_storage().handle();
        let stored = handle.call_store_folder(&mut self.store, self.handle, directory, &options);
        Ok(stored.map_err(to_anyhow)?.map_err(failed)?.cid)
    }

    /// Stores a tree of files; its CID.
    pub fn store_tree(&mut self, files: impl Iterator<Item = Result<(String, Vec<u8>)>>) -> Result<String> {
        let storage = self.bench.ipfs_kit_storage_storage();
        let writer = storage.handle().call_create_tree(&mut self.store, self.handle, &store_options(None));
        let writer = writer.map_err(to_anyhow)?.map_err(failed)?;
        for file in files {
            let (path, data) = file?;
            let plain = Metadata { mode: None, mtime: None };
            let added = storage.tree_writer().call_file(&mut self.store, writer, &path, &data, plain);
            added.map_err(to_anyhow)?.map_err(failed)?;
        }
        let stored = storage.tree_writer().call_finish(&mut self.store, writer).map_err(to_anyhow)?.map_err(failed)?;
        writer.resource_drop(&mut self.store).map_err(to_anyhow)?;
        Ok(stored.cid)
    }

    /// All that is in a directory; how many entries.
    pub fn list(&mut self, path: &str, page: u32) -> Result<usize> {
        let (mut entries, mut after) = (0, None::<String>);
        loop {
            let handle = self.bench.ipfs_kit_storage_storage().handle();
            let listed = handle.call_list_files(&mut self.store, self.handle, path, after.as_deref(), page, true);
            let listed = listed.map_err(to_anyhow)?.map_err(failed)?;
            entries += listed.files.len();
            match listed.next {
                Some(next) => after = Some(next),
                None => return Ok(entries),
            }
        }
    }

    /// What is at a path.
    pub fn stat(&mut self, path: &String) -> Result<FileInfo> {
        let handle = self.bench.ipfs_kit_storage_storage().handle();
        handle.call_stat(&mut self.store, self.handle, path, true).map_err(to_anyhow)?.map_err(failed)
    }

    /// A whole file.
    pub fn retrieve(&mut self, cid: &String) -> Result<Vec<u8>> {
        let options = ReadOptions { offset: 0, length: None, offline: false, pin: false };
        let handle = self.bench.ipfs_kit_storage_storage().handle();
        handle.call_retrieve(&mut self.store, self.handle, cid, options).map_err(to_anyhow)?.map_err(failed)
    }

    /// Blocks held.
    pub fn blocks(&mut self) -> Result<u64> {
        let handle = self.bench.ipfs_kit_storage_storage().handle();
        let status = handle.call_backend_status(&mut self.store, self.handle).map_err(to_anyhow)?.map_err(failed)?;
        Ok(status.blocks)
    }

    /// Reads and hashes all blocks, and walks all roots.
    pub fn verify(&mut self) -> Result<()> {
        let storage = self.bench.ipfs_kit_storage_storage();
        let options = VerifyOptions { sample: None, seed: None, repair: false, offline: true };
        let check = storage.handle().call_verify(&mut self.store, self.handle, options);
        let check = check.map_err(to_anyhow)?.map_err(failed)?;
        while storage.check().call_step(&mut self.store, check).map_err(to_anyhow)?.map_err(failed)?.is_some() {}
        let report = storage.check().call_report(&mut self.store, check).map_err(to_anyhow)?;
        check.resource_drop(&mut self.store).map_err(to_anyhow)?;
        ensure!(report.sound, "the store is not sound: {report:?}");
        Ok(())
    }

    /// Collects, and tells `each` the phase that each step ended in and its time.
    pub fn collect(&mut self, mut each: impl FnMut(CollectionPhase, Duration)) -> Result<CollectionReport> {
        let storage = self.bench.ipfs_kit_storage_storage();
        let collection = storage.handle().call_collect(&mut self.store, self.handle, false);
        let collection = collection.map_err(to_anyhow)?.map_err(failed)?;
        loop {
            let start = Instant::now();
            let progress = storage.collection().call_step(&mut self.store, collection);
            let took = start.elapsed();
            // The last step says nothing: it ends with the room given back.
            let phase = progress.map_err(to_anyhow)?.map_err(failed)?.map(|progress| progress.phase);
            each(phase.unwrap_or(CollectionPhase::Compacting), took);
            if phase.is_none() {
                break;
            }
        }
        let report = storage.collection().call_report(&mut self.store, collection).map_err(to_anyhow)?;
        collection.resource_drop(&mut self.store).map_err(to_anyhow)?;
        Ok(report)
    }

    /// Reads a file or a range of it, in pieces of at most `max` bytes.
    pub fn read(
        &mut self,
        cid: &String,
        offset: u64,
        length: Option<u64>,
        max: usize,
        mut each: impl FnMut(&[u8]) -> Result<()>,
    ) -> Result<()> {
        let storage = self.bench.ipfs_kit_storage_storage();
        let options = ReadOptions { offset, length, offline: false, pin: false };
        let reader = storage.handle().call_open_reader(&mut self.store, self.handle, cid, options);
        let reader = reader.map_err(to_anyhow)?.map_err(failed)?;
        loop {
            let piece = storage.reader().call_read(&mut self.store, reader, max as u32);
            let piece = piece.map_err(to_anyhow)?.map_err(failed)?;
            if piece.is_empty() {
                break;
            }
            each(&piece)?;
        }
        reader.resource_drop(&mut self.store).map_err(to_anyhow)
    }

    /// The most bytes of linear memory so far.
    pub fn heap(&self) -> usize {
        self.store.data().peak.0
    }
}

/// A profile's layout.
pub fn layout(profile: Profile) -> Layout {
    Layout { profile, chunk_size: None, width: None, raw_leaves: None, hash: None }
}

fn store_options(layout: Option<Layout>) -> StoreOptions {
    StoreOptions { filename: None, pin: false, layout }
}

impl WasiView for State {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        WasiCtxView { ctx: &mut self.wasi, table: &mut self.table }
    }
}

impl ResourceLimiter for Peak {
    fn memory_growing(&mut self, _: usize, desired: usize, _: Option<usize>) -> wasmtime::Result<bool> {
        self.0 = self.0.max(desired);
        Ok(true)
    }

    fn table_growing(&mut self, _: usize, _: usize, _: Option<usize>) -> wasmtime::Result<bool> {
        Ok(true)
    }
}

fn to_anyhow(error: wasmtime::Error) -> anyhow::Error {
    anyhow!("{error:?}")
}

fn failed(error: ipfs_kit::storage::types::Error) -> anyhow::Error {
    anyhow!("the component answers {error:?}")
}
