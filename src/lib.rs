//! A local-first, content-addressed storage engine for IPFS applications.
//!
//! Data flows one way: `bindings` → `storage` → `unixfs` and `dag` → `tier`. Everything between the bindings and the
//! platform is the same code in browsers, on WASI hosts and natively; `docs/design.md` draws the picture.
#![deny(unsafe_code, missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

pub mod backend;
pub mod bindings;
pub mod block;
pub mod car;
pub mod dag;
pub mod error;
pub mod hash;
mod json;
pub mod platform;
pub mod policy;
pub mod remote;
pub mod storage;
pub mod tier;
pub mod unixfs;

pub use block::{Block, Cid};
pub use error::{Error, OfflineReason, Result};
pub use storage::{OpenOptions, PinOptions, Storage, StoreOptions};
pub use unixfs::Path;
