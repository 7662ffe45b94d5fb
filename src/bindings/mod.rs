//! Where callers come in. No logic: each binding turns its language's types into the facade's, and back.

#[cfg(feature = "bridge")]
mod bridge;
#[cfg(feature = "browser")]
pub mod browser;
#[cfg(feature = "cli")]
mod cli;
#[cfg(feature = "component")]
mod component;
#[cfg(any(feature = "component", feature = "cli"))]
mod wasi;
