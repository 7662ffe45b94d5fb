//! Where callers come in. No logic: each binding turns its language's types into the facade's, and back.

#[cfg(any(feature = "component", feature = "component-p3", feature = "cli"))]
mod backends;
#[cfg(feature = "bridge")]
mod bridge;
#[cfg(feature = "browser")]
pub mod browser;
#[cfg(feature = "cli")]
mod cli;
#[cfg(feature = "component")]
mod component;
#[cfg(feature = "component-p3")]
mod component_p3;
#[cfg(any(feature = "component", feature = "component-p3"))]
mod convert;
#[cfg(any(feature = "component", feature = "component-p3"))]
mod reports;
#[cfg(any(feature = "component", feature = "component-p3", feature = "cli"))]
mod wasi;
#[cfg(any(feature = "component", feature = "component-p3"))]
mod wit;
