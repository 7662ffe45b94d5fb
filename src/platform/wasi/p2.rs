//! What is particular to WASI 0.2.

/// The imports of world `host`, generated from `wit/`.
#[allow(missing_docs, unsafe_code, clippy::all, clippy::indexing_slicing, clippy::panic, clippy::unwrap_used)]
pub mod host {
    wit_bindgen::generate!({ path: "wit", world: "host", generate_all, pub_export_macro: false });
}

use std::future::Future;

use self::host::wasi::{
    clocks::wall_clock::{self, Datetime},
    filesystem::types::{Descriptor, DescriptorStat, DirectoryEntry, ErrorCode, NewTimestamp},
};
use super::reactor;
use crate::unixfs::Mtime;

/// Seconds since the Unix epoch, and nanoseconds.
pub fn now() -> (u64, u32) {
    let Datetime { seconds, nanoseconds } = wall_clock::now();
    (seconds, nanoseconds)
}

/// Runs a future to its end; none if it waits for nothing that the host could tell.
pub fn run<T>(future: impl Future<Output = T>) -> Option<T> {
    reactor::run(future)
}

/// At most `length` bytes from `offset` on; fewer, or none, where the file ends.
pub fn read(file: &Descriptor, length: u64, offset: u64) -> Result<(Vec<u8>, bool), ErrorCode> {
    file.read(length, offset)
}

/// Writes some of `bytes`, and says how many.
pub fn write(file: &Descriptor, bytes: &[u8], offset: u64) -> Result<u64, ErrorCode> {
    file.write(bytes, offset)
}

/// All that is in a folder.
pub fn entries(folder: &Descriptor) -> Result<Vec<DirectoryEntry>, ErrorCode> {
    let stream = folder.read_directory()?;
    std::iter::from_fn(|| stream.read_directory_entry().transpose()).collect()
}

/// When a file was changed last.
pub fn modified(stat: &DescriptorStat) -> Option<Mtime> {
    let time = stat.data_modification_timestamp?;
    Some(Mtime { seconds: time.seconds as i64, nanoseconds: time.nanoseconds })
}

/// A time to be set; none if WASI cannot say it.
pub fn timestamp(mtime: Mtime) -> Option<NewTimestamp> {
    let seconds = u64::try_from(mtime.seconds).ok()?;
    Some(NewTimestamp::Timestamp(Datetime { seconds, nanoseconds: mtime.nanoseconds }))
}

/// A failure's name in WASI.
pub fn name(code: &ErrorCode) -> String {
    code.name().to_owned()
}
