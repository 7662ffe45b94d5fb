//! wasmtime with the component in it.

use std::{fs, path::Path};

use anyhow::{Result, anyhow};
use ipfs_kit::storage::types::{Layout, OpenOptions, ReadOptions, StoreOptions};
use wasmtime::{
    Engine, ResourceLimiter, Store,
    component::{Component, Linker, ResourceAny, ResourceTable},
};
use wasmtime_wasi::{FsPerms, WasiCtx, WasiCtxView, WasiView};

pub use ipfs_kit::storage::types::{Durability, Profile};

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
    /// Opens a new store in FOLDER/stores/NAME.
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
        let handle = bench.ipfs_kit_storage_storage().handle().call_open(&mut store, &options);
        let handle = handle.map_err(to_anyhow)?.map_err(failed)?;
        Ok(Host { store, bench, handle })
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
    pub fn write(&mut self, profile: Profile, mut next: impl FnMut() -> Result<Vec<u8>>) -> Result<String> {
        let storage = self.bench.ipfs_kit_storage_storage();
        let options = store_options(Some(profile));
        let writer = storage.handle().call_create_writer(&mut self.store, self.handle, &options);
        let writer = writer.map_err(to_anyhow)?.map_err(failed)?;
        loop {
            let piece = next()?;
            if piece.is_empty() {
                break;
            }
            storage.writer().call_write(&mut self.store, writer, &piece).map_err(to_anyhow)?.map_err(failed)?;
        }
        let stored = storage.writer().call_finish(&mut self.store, writer).map_err(to_anyhow)?.map_err(failed)?;
        writer.resource_drop(&mut self.store).map_err(to_anyhow)?;
        Ok(stored.cid)
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

fn store_options(profile: Option<Profile>) -> StoreOptions {
    let layout = |profile| Layout { profile, chunk_size: None, width: None, raw_leaves: None, hash: None };
    StoreOptions { filename: None, pin: false, layout: profile.map(layout) }
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
