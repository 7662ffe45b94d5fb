//! Metadata that a caller gives.

use crate::{
    bindings::wit,
    error::Result,
    unixfs::{Metadata, Mtime},
};

/// Refuses what UnixFS cannot say.
pub fn metadata(wanted: wit::Metadata) -> Result<Metadata> {
    let mtime = wanted.mtime.map(mtime).transpose()?;
    Metadata { mode: wanted.mode, mtime }.check()
}

pub fn mtime(wit::Mtime { seconds, nanoseconds }: wit::Mtime) -> Result<Mtime> {
    let mtime = Mtime { seconds, nanoseconds };
    Metadata { mode: None, mtime: Some(mtime) }.check().map(|_| mtime)
}
