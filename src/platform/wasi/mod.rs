//! The WASI 0.2 home: the host's clock and environment; files are in [`files`].

pub mod files;
mod folders;
#[cfg(feature = "bridge")]
pub mod http;
#[cfg(feature = "remotes")]
pub mod outward;
pub mod reactor;
#[cfg(any(feature = "bridge", feature = "remotes"))]
pub mod stream;
/// The imports of world `host`, generated from `wit/`.
#[allow(missing_docs, unsafe_code, clippy::all, clippy::indexing_slicing, clippy::panic, clippy::unwrap_used)]
pub mod host {
    wit_bindgen::generate!({ path: "wit", world: "host", generate_all, pub_export_macro: false });
}

use std::future::Future;

use self::host::wasi::{cli::environment, clocks::wall_clock};
use super::Clock;
use crate::error::{Error, Result};

/// The host's clock.
#[derive(Debug, Default, Clone, Copy)]
pub struct WallClock;

impl Clock for WallClock {
    fn now(&self) -> u64 {
        let now = wall_clock::now();
        now.seconds * 1000 + u64::from(now.nanoseconds / 1_000_000)
    }

    fn nanoseconds(&self) -> u64 {
        let now = wall_clock::now();
        now.seconds.wrapping_mul(1_000_000_000).wrapping_add(u64::from(now.nanoseconds))
    }
}

/// An environment variable, where the host gives one.
pub fn variable(name: &str) -> Option<String> {
    environment::get_environment().into_iter().find(|(key, _)| key == name).map(|(_, value)| value)
}

/// Runs a future to its end. Files answer at once; only remotes make it wait.
pub fn run<T>(future: impl Future<Output = Result<T>>) -> Result<T> {
    reactor::run(future).unwrap_or_else(|| Err(Error::Io("a call waits for nothing that the host could tell".into())))
}
