//! The imports of world `outward`: the interface `remote`, and a clock to wait by.

#[allow(missing_docs, unsafe_code, clippy::all, clippy::indexing_slicing, clippy::panic, clippy::unwrap_used)]
mod world {
    wit_bindgen::generate!({
        path: "wit",
        world: "outward",
        generate_all,
        pub_export_macro: false,
        with: {
            "wasi:io/error@0.2.12": crate::platform::wasi::host::wasi::io::error,
            "wasi:io/poll@0.2.12": crate::platform::wasi::host::wasi::io::poll,
            "wasi:io/streams@0.2.12": crate::platform::wasi::host::wasi::io::streams,
        },
    });
}

use async_trait::async_trait;

pub use self::world::ipfs_kit::storage::remote;
use self::world::wasi::clocks::monotonic_clock;
use super::reactor;
use crate::platform::Network;

/// The host's monotonic clock.
#[derive(Debug, Default, Clone, Copy)]
pub struct WasiNetwork;

#[async_trait(?Send)]
impl Network for WasiNetwork {
    async fn sleep(&self, milliseconds: u64) {
        let until = monotonic_clock::now().saturating_add(milliseconds.saturating_mul(1_000_000));
        reactor::ready(|| Some(monotonic_clock::subscribe_instant(until))).await;
    }
}
