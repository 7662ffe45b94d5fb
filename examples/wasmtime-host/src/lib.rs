//! A host of `ipfs-kit-storage`, to be read and copied: what it takes to run the component in a Rust program.
//!
//! `host.rs` has the WASI that the component sees, `store.rs` the calls, `folder.rs` a remote that this host provides,
//! and `no_http.rs` that it sends nothing for the component.

mod folder;
mod host;
mod no_http;
mod store;

pub use host::Kind;
pub use store::Store;

/// What `wit/` makes of world `bridged`. The components of all worlds export the same, so one set of bindings calls them all.
pub mod bindings {
    wasmtime::component::bindgen!({
        path: "../../wit",
        world: "bridged",
        imports: { default: trappable },
        with: {
            "wasi": wasmtime_wasi::p2::bindings::sync,
            "ipfs-kit:storage/remote.connection": crate::folder::Connection,
            "ipfs-kit:storage/remote.exchange": crate::folder::Exchange,
            "ipfs-kit:storage/outgoing-http.call": crate::no_http::Call,
        },
    });
}
