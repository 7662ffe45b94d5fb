//! The home that WASI is: the host's clock and environment; files are in [`files`]. What differs between WASI 0.2 and 0.3 is in
//! `p2.rs` and `p3.rs`, and nowhere else.

pub mod files;
mod folders;
#[cfg(feature = "bridge")]
pub mod http;
#[cfg(feature = "remotes")]
pub mod outward;
#[cfg(not(feature = "component-p3"))]
pub mod reactor;
#[cfg(any(feature = "bridge", feature = "remotes"))]
pub mod stream;
#[cfg(not(feature = "component-p3"))]
#[path = "p2.rs"]
mod version;
#[cfg(feature = "component-p3")]
#[path = "p3.rs"]
mod version;

use std::future::Future;

use self::host::wasi::cli::environment;
pub use self::version::host;
use super::Clock;
use crate::error::{Error, Result};

/// The host's clock.
#[derive(Debug, Default, Clone, Copy)]
pub struct WallClock;

impl Clock for WallClock {
    fn now(&self) -> u64 {
        let (seconds, nanoseconds) = version::now();
        seconds * 1000 + u64::from(nanoseconds / 1_000_000)
    }

    fn nanoseconds(&self) -> u64 {
        let (seconds, nanoseconds) = version::now();
        seconds.wrapping_mul(1_000_000_000).wrapping_add(u64::from(nanoseconds))
    }
}

/// An environment variable, where the host gives one.
pub fn variable(name: &str) -> Option<String> {
    environment::get_environment().into_iter().find(|(key, _)| key == name).map(|(_, value)| value)
}

/// Runs a future to its end. Files answer at once; only remotes make it wait.
pub fn run<T>(future: impl Future<Output = Result<T>>) -> Result<T> {
    version::run(future).unwrap_or_else(|| Err(Error::Io("a call waits for nothing that the host could tell".into())))
}
