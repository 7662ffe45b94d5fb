//! The component `local` as a plugin: an instance, and in it one open store.

use std::path::Path;

use http_body_util::BodyExt;
use wasmtime::{
    ResourceLimiter, Store,
    component::{Component, Linker, ResourceAny, ResourceTable},
};
use wasmtime_wasi::{FsPerms, WasiCtx, WasiCtxBuilder, WasiCtxView, WasiView};
use wasmtime_wasi_http::{RequestOptions, WasiBody, WasiHttpCtx, WasiHttpCtxView, WasiHttpHooks, WasiHttpView};

use crate::{
    Artefact,
    bindings::Local,
    engine,
    types::{
        CacheConfig, CollectionProgress, CollectionReport, Error, Eviction, Fetched, FileInfo, FilePage, Imported,
        Layout, OpenOptions, PinInfo, PinKind, PinOptions, PinPage, Profile, Pushed, ReadOptions, Status, StoreOptions,
        VerifyOptions, VerifyProgress, VerifyReport,
    },
};

/// Where the component sees the folder it is given.
pub const STORE: &str = "/store";

/// What the host keeps for an instance.
pub struct Host {
    wasi: WasiCtx,
    http: WasiHttpCtx,
    access: Access,
    resources: ResourceTable,
    memory: Memory,
}

/// Whether a host lets its components out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// To anywhere.
    Granted,
    /// Every request is denied.
    Denied,
}

/// The linear memory of an instance, in bytes. It never shrinks, so this is also the peak.
#[derive(Default)]
struct Memory(usize);

impl Host {
    pub(crate) fn store(wasi: WasiCtx) -> Store<Host> {
        let host = Host {
            wasi,
            http: WasiHttpCtx::new(),
            access: Access::Granted,
            resources: ResourceTable::new(),
            memory: Memory::default(),
        };
        let mut store = Store::new(engine(), host);
        store.limiter(|host| &mut host.memory);
        store
    }

    /// What a host without HTTP offers.
    pub fn linker() -> Linker<Host> {
        let mut linker = Linker::new(engine());
        wasmtime_wasi::p2::add_to_linker_sync(&mut linker).expect("nothing is linked twice");
        linker
    }

    /// What a host with HTTP offers.
    pub fn linker_with_http() -> Linker<Host> {
        let mut linker = Host::linker();
        wasmtime_wasi_http::p2::add_only_http_to_linker_sync(&mut linker).expect("nothing is linked twice");
        linker
    }

    /// The most linear memory that the instance has had, in bytes.
    pub fn peak_memory(&self) -> usize {
        self.memory.0
    }

    /// What a host of the interface `remote` keeps its resources in.
    pub fn resources(&mut self) -> &mut ResourceTable {
        &mut self.resources
    }
}

impl WasiHttpView for Host {
    fn http(&mut self) -> WasiHttpCtxView<'_> {
        WasiHttpCtxView { hooks: &mut self.access, table: &mut self.resources, ctx: &mut self.http }
    }
}

type Sent = wasmtime_wasi_http::Result<(
    http::Response<WasiBody>,
    Box<dyn Future<Output = wasmtime_wasi_http::Result<()>> + Send>,
)>;

impl WasiHttpHooks for Access {
    fn send_request(
        &mut self,
        request: http::Request<WasiBody>,
        options: Option<RequestOptions>,
        _: Box<dyn Future<Output = wasmtime_wasi_http::Result<()>> + Send>,
    ) -> Box<dyn Future<Output = Sent> + Send> {
        let access = *self;
        Box::new(async move {
            if access == Access::Denied {
                return Err(wasmtime_wasi_http::Error::HttpRequestDenied);
            }
            let (response, rest) = wasmtime_wasi_http::default_send_request(request, options).await?;
            Ok((response.map(BodyExt::boxed_unsync), Box::new(rest) as _))
        })
    }
}

impl WasiView for Host {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        WasiCtxView { ctx: &mut self.wasi, table: &mut self.resources }
    }
}

impl ResourceLimiter for Memory {
    fn memory_growing(&mut self, current: usize, desired: usize, _: Option<usize>) -> wasmtime::Result<bool> {
        self.0 += desired - current;
        Ok(true)
    }

    fn table_growing(&mut self, _: usize, _: usize, _: Option<usize>) -> wasmtime::Result<bool> {
        Ok(true)
    }
}

/// An instance of the component, without an open store yet.
pub struct Instance {
    store: Store<Host>,
    local: Local,
}

impl Instance {
    /// One that sees this folder as [`STORE`], and this environment.
    pub fn new(folder: &Path, environment: &[(&str, &str)]) -> Instance {
        Instance::of(Artefact::Local.component(), folder, environment)
    }

    /// The same, of a component that is at hand.
    pub fn of(component: &Component, folder: &Path, environment: &[(&str, &str)]) -> Instance {
        Instance::linked(component, &Host::linker(), folder, environment)
    }

    /// One of the composed component, on a host with HTTP.
    pub fn with_http(access: Access, folder: &Path, environment: &[(&str, &str)]) -> Instance {
        let linker = Host::linker_with_http();
        let mut instance = Instance::linked(Artefact::Composed.component(), &linker, folder, environment);
        instance.store.data_mut().access = access;
        instance
    }

    /// One on a host that offers this.
    pub fn linked(
        component: &Component,
        linker: &Linker<Host>,
        folder: &Path,
        environment: &[(&str, &str)],
    ) -> Instance {
        let mut store = Host::store(context(folder, environment));
        let local = Local::instantiate(&mut store, component, linker).expect("the host has all it imports");
        Instance { store, local }
    }

    /// Opens a store.
    pub fn open(mut self, options: &OpenOptions) -> Result<Plugin, Error> {
        let handle = self.local.ipfs_kit_storage_storage().handle().call_open(&mut self.store, options).expect(TRAP)?;
        Ok(Plugin { store: self.store, local: self.local, handle })
    }
}

/// What WASI gives an instance: this folder as [`STORE`], and this environment.
pub(crate) fn context(folder: &Path, environment: &[(&str, &str)]) -> WasiCtx {
    let mut wasi = WasiCtxBuilder::new();
    wasi.envs(environment).allow_blocking_current_thread(true);
    wasi.preopened_dir(folder, STORE, FsPerms::ReadWrite).expect("the folder is there");
    wasi.build()
}

pub(crate) const TRAP: &str = "the component trapped";

/// One open store. Dropped without [`Plugin::close`], it is as if the host had been killed between two calls: nothing of
/// the component runs any more.
pub struct Plugin {
    pub(crate) store: Store<Host>,
    pub(crate) local: Local,
    pub(crate) handle: ResourceAny,
}

impl Plugin {
    /// Opens the store in this folder of the host, which must work.
    pub fn open(folder: &Path) -> Plugin {
        Instance::new(folder, &[]).open(&in_store()).expect("the store opens")
    }

    /// Drops the handle as a host does that is done with it.
    pub fn close(mut self) {
        self.handle.resource_drop(&mut self.store).expect(TRAP);
    }

    /// The most linear memory that the instance has had, in bytes.
    pub fn peak_memory(&self) -> usize {
        self.store.data().peak_memory()
    }

    /// What it takes to call an interface of which this is not the plugin.
    pub fn parts(&mut self) -> (&Local, &mut Store<Host>, ResourceAny) {
        (&self.local, &mut self.store, self.handle)
    }

    /// Every stored root, over all pages.
    pub fn list(&mut self) -> Vec<FileInfo> {
        let mut files = Vec::new();
        let mut after = None;
        loop {
            let page = self.list_files("/", after.as_deref(), 1000).expect("it lists");
            files.extend(page.files);
            after = page.next;
            if after.is_none() {
                return files;
            }
        }
    }

    /// Stores a file fed in pieces.
    pub fn stream<P: AsRef<[u8]>>(
        &mut self,
        pieces: impl IntoIterator<Item = P>,
        options: &StoreOptions,
    ) -> Result<FileInfo, Error> {
        let writer = self.create_writer(options)?;
        let done = pieces.into_iter().try_for_each(|piece| self.write(writer, piece.as_ref()));
        let done = done.and_then(|()| self.finish(writer));
        self.release(writer);
        done
    }

    /// Hands what a reader gives to `take`, `max` bytes at a time; returns the size it tells of the whole file.
    pub fn read_with(&mut self, reader: ResourceAny, max: u32, mut take: impl FnMut(&[u8])) -> Result<u64, Error> {
        loop {
            let bytes = self.read(reader, max)?;
            assert!(bytes.len() <= max as usize, "{} bytes, asked for {max}", bytes.len());
            if bytes.is_empty() {
                let size = self.size(reader);
                self.release(reader);
                return Ok(size);
            }
            take(&bytes);
        }
    }

    /// A range of a file, by a reader.
    pub fn read_range(&mut self, cid: &str, offset: u64, length: Option<u64>, max: u32) -> Result<Vec<u8>, Error> {
        let reader = self.open_reader(cid, part(offset, length))?;
        let mut range = Vec::new();
        self.read_with(reader, max, |bytes| range.extend_from_slice(bytes))?;
        Ok(range)
    }

    /// Drops a writer or a reader.
    pub fn release(&mut self, resource: ResourceAny) {
        resource.resource_drop(&mut self.store).expect(TRAP);
    }
}

/// The verbs of `wit/storage.wit`, without what a host that calls them has to repeat each time. Those `of` something take
/// its CID first.
macro_rules! verbs {
    ($(fn $verb:ident($($name:ident: $type:ty),*) $(of $cid:ident)? -> $result:ty = $call:ident;)*) => {
        #[allow(missing_docs)]
        impl Plugin {$(
            pub fn $verb(&mut self, $($cid: &str,)? $($name: $type),*) -> $result {
                let handle = self.local.ipfs_kit_storage_storage().handle();
                handle.$call(&mut self.store, self.handle, $(&$cid.to_owned(),)? $($name),*).expect(TRAP)
            }
        )*}
    };
}

verbs! {
    fn store(data: &[u8], options: &StoreOptions) -> Result<FileInfo, Error> = call_store;
    fn store_many(files: &[(Vec<u8>, StoreOptions)]) -> Result<Vec<FileInfo>, Error> = call_store_many;
    fn create_writer(options: &StoreOptions) -> Result<ResourceAny, Error> = call_create_writer;
    fn retrieve_with(options: ReadOptions) of cid -> Result<Vec<u8>, Error> = call_retrieve;
    fn open_reader(options: ReadOptions) of cid -> Result<ResourceAny, Error> = call_open_reader;
    fn exists() of cid -> Result<bool, Error> = call_exists;
    fn delete_with(force: bool) of cid -> Result<(), Error> = call_delete;
    fn pin_with(options: &PinOptions) of cid -> Result<PinInfo, Error> = call_pin;
    fn unpin() of cid -> Result<(), Error> = call_unpin;
    fn backend_status() -> Result<Status, Error> = call_backend_status;
    fn is_available() -> bool = call_is_available;
    fn configure_cache(config: CacheConfig) -> Result<(), Error> = call_configure_cache;
    fn flush() -> Result<(), Error> = call_flush;
    fn evictions() -> Vec<Eviction> = call_evictions;
    fn collect(dry_run: bool) -> Result<ResourceAny, Error> = call_collect;
    fn verify(options: VerifyOptions) -> Result<ResourceAny, Error> = call_verify;
    fn import_legacy(folder: &str) -> Result<Vec<Imported>, Error> = call_import_legacy;
}

impl Plugin {
    /// A whole file.
    pub fn retrieve(&mut self, cid: &str) -> Result<Vec<u8>, Error> {
        self.retrieve_with(cid, whole())
    }

    /// Forgets a root that is not pinned.
    pub fn delete(&mut self, cid: &str) -> Result<(), Error> {
        self.delete_with(cid, false)
    }

    /// Pins a DAG.
    pub fn pin(&mut self, cid: &str) -> Result<PinInfo, Error> {
        self.pin_with(cid, &pin())
    }

    /// One page of the pins.
    pub fn pins(&mut self, after: Option<&str>, limit: u32) -> Result<PinPage, Error> {
        let handle = self.local.ipfs_kit_storage_storage().handle();
        let after = after.map(str::to_owned);
        handle.call_pins(&mut self.store, self.handle, after.as_ref(), limit).expect(TRAP)
    }

    /// Gives a DAG to a remote.
    pub fn push(&mut self, cid: &str, remote: &str, pin: bool) -> Result<Pushed, Error> {
        let handle = self.local.ipfs_kit_storage_storage().handle();
        handle.call_push(&mut self.store, self.handle, &cid.to_owned(), remote, pin).expect(TRAP)
    }

    /// What a reader has fetched.
    pub fn fetched(&mut self, reader: ResourceAny) -> Fetched {
        self.local.ipfs_kit_storage_storage().reader().call_fetched(&mut self.store, reader).expect(TRAP)
    }

    /// What is known of a stored root, or of what is at a path.
    pub fn stat(&mut self, path: &str) -> Result<FileInfo, Error> {
        let handle = self.local.ipfs_kit_storage_storage().handle();
        handle.call_stat(&mut self.store, self.handle, &path.to_owned(), false).expect(TRAP)
    }

    /// One page of the stored roots, or of what is in a directory.
    pub fn list_files(&mut self, path: &str, after: Option<&str>, limit: u32) -> Result<FilePage, Error> {
        let handle = self.local.ipfs_kit_storage_storage().handle();
        handle.call_list_files(&mut self.store, self.handle, path, after, limit, false).expect(TRAP)
    }

    /// Feeds a writer.
    pub fn write(&mut self, writer: ResourceAny, bytes: &[u8]) -> Result<(), Error> {
        self.local.ipfs_kit_storage_storage().writer().call_write(&mut self.store, writer, bytes).expect(TRAP)
    }

    /// Ends a writer's file.
    pub fn finish(&mut self, writer: ResourceAny) -> Result<FileInfo, Error> {
        self.local.ipfs_kit_storage_storage().writer().call_finish(&mut self.store, writer).expect(TRAP)
    }

    /// A reader's next bytes.
    pub fn read(&mut self, reader: ResourceAny, max: u32) -> Result<Vec<u8>, Error> {
        self.local.ipfs_kit_storage_storage().reader().call_read(&mut self.store, reader, max).expect(TRAP)
    }

    /// A collection to its end.
    pub fn collect_all(&mut self, dry_run: bool) -> Result<CollectionReport, Error> {
        let collection = self.collect(dry_run)?;
        while self.collection_step(collection)?.is_some() {}
        let report = self.local.ipfs_kit_storage_storage().collection().call_report(&mut self.store, collection);
        self.release(collection);
        Ok(report.expect(TRAP))
    }

    /// A step of a collection.
    pub fn collection_step(&mut self, collection: ResourceAny) -> Result<Option<CollectionProgress>, Error> {
        self.local.ipfs_kit_storage_storage().collection().call_step(&mut self.store, collection).expect(TRAP)
    }

    /// A step of a check.
    pub fn step(&mut self, check: ResourceAny) -> Result<Option<VerifyProgress>, Error> {
        self.local.ipfs_kit_storage_storage().check().call_step(&mut self.store, check).expect(TRAP)
    }

    /// What a check has found.
    pub fn report(&mut self, check: ResourceAny) -> VerifyReport {
        self.local.ipfs_kit_storage_storage().check().call_report(&mut self.store, check).expect(TRAP)
    }

    /// A check to its end.
    pub fn verify_all(&mut self, options: VerifyOptions) -> VerifyReport {
        let check = self.verify(options).expect("it begins");
        while self.step(check).expect("it goes on").is_some() {}
        let report = self.report(check);
        self.release(check);
        report
    }

    /// Bytes of a reader's whole file.
    pub fn size(&mut self, reader: ResourceAny) -> u64 {
        self.local.ipfs_kit_storage_storage().reader().call_size(&mut self.store, reader).expect(TRAP)
    }
}

/// Opens the store in [`STORE`], with nothing else said than that an earlier instance is gone, as those are that were dropped.
pub fn in_store() -> OpenOptions {
    OpenOptions {
        directory: Some(STORE.into()),
        take_over: true,
        force_fallback: false,
        remotes: Vec::new(),
        remote_timeout: None,
        backends: Vec::new(),
        policy: None,
        layout: None,
        durability: None,
        verification: None,
    }
}

/// The same, with these remotes.
pub fn with_remotes(remotes: &[&str]) -> OpenOptions {
    OpenOptions { remotes: remotes.iter().map(|&address| address.to_owned()).collect(), ..in_store() }
}

/// Reads all of a file.
pub fn whole() -> ReadOptions {
    part(0, None)
}

/// Reads a part of a file.
pub fn part(offset: u64, length: Option<u64>) -> ReadOptions {
    ReadOptions { offset, length, offline: false, pin: false }
}

/// Pins a DAG, with nothing else said.
pub fn pin() -> PinOptions {
    PinOptions { kind: PinKind::Recursive, name: None, labels: Vec::new(), expires: None, offline: false }
}

/// Checks every block, and repairs nothing.
pub fn every_block() -> VerifyOptions {
    VerifyOptions { sample: None, seed: None, repair: false, offline: false }
}

/// Stores without a name, a pin or a layout.
pub fn plain() -> StoreOptions {
    StoreOptions { filename: None, pin: false, layout: None, replicate: None }
}

/// Stores under a name.
pub fn named(name: impl Into<String>) -> StoreOptions {
    StoreOptions { filename: Some(name.into()), ..plain() }
}

/// Stores with a pin.
pub fn pinned() -> StoreOptions {
    StoreOptions { pin: true, ..plain() }
}

/// Stores in this layout.
pub fn with_layout(layout: Layout) -> StoreOptions {
    StoreOptions { layout: Some(layout), ..plain() }
}

/// A profile, and nothing that departs from it.
impl From<Profile> for Layout {
    fn from(profile: Profile) -> Self {
        Layout { profile, chunk_size: None, width: None, raw_leaves: None, hash: None }
    }
}
