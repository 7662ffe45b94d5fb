//! The edges: what the engine needs of a host, as narrow traits, and their implementations for each home.

#[cfg(feature = "browser")]
pub mod browser;
pub mod files;
#[cfg(not(target_family = "wasm"))]
pub mod native;
#[cfg(any(feature = "component", feature = "cli"))]
pub mod wasi;

/// Tells the time.
pub trait Clock {
    /// Milliseconds since the Unix epoch, UTC.
    fn now(&self) -> u64;
}
