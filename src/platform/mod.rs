//! The edges: what the engine needs of a host, as narrow traits, and their implementations for each home.

#[cfg(feature = "browser")]
pub mod browser;
pub mod files;
pub mod folders;
pub mod http;
#[cfg(not(target_family = "wasm"))]
pub mod native;
pub mod number;
#[cfg(any(feature = "component", feature = "component-p3", feature = "cli", feature = "bridge"))]
pub mod wasi;

use async_trait::async_trait;

/// What waiting for remotes needs of a host.
#[async_trait(?Send)]
pub trait Network {
    /// Returns after so many milliseconds.
    async fn sleep(&self, milliseconds: u64);

    /// Whether the host knows that it has no network at all.
    fn is_online(&self) -> bool {
        true
    }
}

/// What the host says of the room for everything that this application keeps.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Room {
    /// Bytes it may take, more or less.
    pub quota: u64,
    /// Bytes it takes, more or less, with whatever else the application keeps there.
    pub used: u64,
    /// Whether the host has promised not to drop it for want of room.
    pub persisted: bool,
}

/// Tells the time.
pub trait Clock {
    /// Milliseconds since the Unix epoch, UTC.
    fn now(&self) -> u64;

    /// Nanoseconds since then, as far as it can tell.
    fn nanoseconds(&self) -> u64 {
        self.now().wrapping_mul(1_000_000)
    }
}
