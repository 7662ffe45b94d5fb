//! What the component sees of this program: one folder, the clock, and what its kind is given besides.

use std::path::Path;

use wasmtime::{
    Engine, Result, Store, bail,
    component::{Component, HasSelf, Linker, ResourceTable},
};
use wasmtime_wasi::{FsPerms, WasiCtx, WasiCtxBuilder, WasiCtxView, WasiView};
use wasmtime_wasi_http::{WasiHttpCtx, WasiHttpCtxView, WasiHttpView};

use crate::bindings::{
    Bridged,
    ipfs_kit::storage::{outgoing_http, remote},
};

/// Where the component sees the store's folder.
pub const STORE: &str = "/store";

/// Which component, and so what it can reach.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// No network: it imports none.
    Local,
    /// Remotes over HTTP, by the bridge that is composed into it.
    Http,
    /// Remotes that this host provides.
    Provided,
}

impl Kind {
    /// The kind that can reach these remotes. None can reach both sorts at once.
    pub fn for_remotes(remotes: &[String]) -> Result<Kind> {
        let own = remotes.iter().filter(|address| address.starts_with(crate::folder::SCHEME)).count();
        match (remotes.len(), own) {
            (0, _) => Ok(Kind::Local),
            (_, 0) => Ok(Kind::Http),
            (all, own) if all == own => Ok(Kind::Provided),
            _ => bail!("folders and addresses on the network at once: ask one after the other"),
        }
    }

    /// Its file in `dist/`.
    pub fn file(self) -> &'static str {
        match self {
            Kind::Local => "ipfs-kit-storage.local.wasm",
            Kind::Http => "ipfs-kit-storage.wasm",
            Kind::Provided => "ipfs-kit-storage.bridged.wasm",
        }
    }
}

/// What this program keeps for the component.
pub struct Host {
    wasi: WasiCtx,
    http: WasiHttpCtx,
    pub resources: ResourceTable,
}

impl WasiView for Host {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        WasiCtxView { ctx: &mut self.wasi, table: &mut self.resources }
    }
}

impl WasiHttpView for Host {
    fn http(&mut self) -> WasiHttpCtxView<'_> {
        // A program that must not let the component out everywhere has hooks of its own here.
        WasiHttpCtxView { hooks: wasmtime_wasi_http::default_hooks(), table: &mut self.resources, ctx: &mut self.http }
    }
}

/// Starts the component of this kind from the folder `dist`. It sees the folder `store` and nothing else of the disk.
pub fn start(kind: Kind, dist: &Path, store: &Path) -> Result<(Store<Host>, Bridged)> {
    let engine = Engine::default();
    // Compiling takes a second or two. A program that starts often keeps what `Component::serialize` gives.
    let component = Component::from_file(&engine, dist.join(kind.file()))?;

    let mut linker = Linker::<Host>::new(&engine);
    wasmtime_wasi::p2::add_to_linker_sync(&mut linker)?;
    match kind {
        Kind::Local => {}
        Kind::Http => wasmtime_wasi_http::p2::add_only_http_to_linker_sync(&mut linker)?,
        Kind::Provided => {
            remote::add_to_linker::<_, HasSelf<_>>(&mut linker, |host| host)?;
            outgoing_http::add_to_linker::<_, HasSelf<_>>(&mut linker, |host| host)?;
        }
    }

    std::fs::create_dir_all(store)?;
    let mut wasi = WasiCtxBuilder::new();
    // Files are read and written where the component runs, and not on a thread of their own.
    wasi.allow_blocking_current_thread(true).preopened_dir(store, STORE, FsPerms::ReadWrite)?;
    let host = Host { wasi: wasi.build(), http: WasiHttpCtx::new(), resources: ResourceTable::new() };
    let mut store = Store::new(&engine, host);
    let component = Bridged::instantiate(&mut store, &component, &linker)?;
    Ok((store, component))
}
