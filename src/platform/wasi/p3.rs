//! What is particular to WASI 0.3.
//!
//! There files are streams and calls that wait. The engine's are neither, so each is waited for where it is made: the instance
//! waits with it, and the host goes on. Hosts have most of them done at once. What may take long, a caller's streams, is waited
//! for in `bindings/component_p3`, where other calls go on meanwhile.

/// The imports of world `host`, generated from `wit/p3/`.
#[allow(missing_docs, unsafe_code, clippy::all, clippy::indexing_slicing, clippy::panic, clippy::unwrap_used)]
pub mod host {
    wit_bindgen::generate!({
        path: "wit/p3",
        world: "ipfs-kit:storage-p3/host",
        sync: ["all"],
        generate_all,
        pub_export_macro: false,
    });
}

use std::{
    future::Future,
    pin::pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll, Wake, Waker},
};

use wit_bindgen::StreamResult;

use self::host::{
    wasi::{
        clocks::system_clock::{self, Instant},
        filesystem::types::{Descriptor, DescriptorStat, DirectoryEntry, ErrorCode, NewTimestamp},
    },
    wit_stream,
};
use crate::unixfs::Mtime;

/// Most bytes that go through a stream at once.
const PIECE_BYTES: usize = 1024 * 1024;

/// Entries of a folder that are taken at once.
const ENTRIES: usize = 128;

/// Seconds since the Unix epoch, and nanoseconds.
pub fn now() -> (u64, u32) {
    let Instant { seconds, nanoseconds } = system_clock::now();
    (u64::try_from(seconds).unwrap_or(0), nanoseconds)
}

/// Set when a future wants to be polled again at once.
#[derive(Default)]
struct Again(AtomicBool);

impl Wake for Again {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Runs a future to its end; none if it waits for something. Nothing in this world does: files are waited for where they are
/// read and written.
pub fn run<T>(future: impl Future<Output = T>) -> Option<T> {
    let mut future = pin!(future);
    let again = Arc::new(Again::default());
    let waker = Waker::from(again.clone());
    let mut context = Context::from_waker(&waker);
    loop {
        if let Poll::Ready(done) = future.as_mut().poll(&mut context) {
            return Some(done);
        }
        if !again.0.swap(false, Ordering::Relaxed) {
            return None;
        }
    }
}

/// At most `length` bytes from `offset` on; fewer, or none, where the file ends.
pub fn read(file: &Descriptor, length: u64, offset: u64) -> Result<(Vec<u8>, bool), ErrorCode> {
    let length = usize::try_from(length).unwrap_or(usize::MAX);
    wit_bindgen::block_on(async {
        let (mut stream, failure) = file.read_via_stream(offset);
        let mut read = Vec::with_capacity(length);
        while read.len() < length {
            // What has spare room is filled up to it.
            let (result, filled) = stream.read(read).await;
            read = filled;
            if result == StreamResult::Dropped {
                return failure.await.map(|()| (read, true));
            }
        }
        Ok((read, false))
    })
}

/// Writes some of `bytes`, and says how many.
pub fn write(file: &Descriptor, bytes: &[u8], offset: u64) -> Result<u64, ErrorCode> {
    let piece = bytes.get(..PIECE_BYTES).unwrap_or(bytes);
    wit_bindgen::block_on(async {
        let (mut writer, reader) = wit_stream::new();
        let failure = file.write_via_stream(reader, offset);
        let left = writer.write_all(piece.to_vec()).await;
        drop(writer);
        failure.await?;
        Ok((piece.len() - left.len()) as u64)
    })
}

/// All that is in a folder.
pub fn entries(folder: &Descriptor) -> Result<Vec<DirectoryEntry>, ErrorCode> {
    wit_bindgen::block_on(async {
        let (mut stream, failure) = folder.read_directory();
        let mut entries = Vec::with_capacity(ENTRIES);
        loop {
            let (result, filled) = stream.read(entries).await;
            entries = filled;
            if result == StreamResult::Dropped {
                return failure.await.map(|()| entries);
            }
            entries.reserve(ENTRIES);
        }
    })
}

/// When a file was changed last.
pub fn modified(stat: &DescriptorStat) -> Option<Mtime> {
    let Instant { seconds, nanoseconds } = stat.data_modification_timestamp?;
    Some(Mtime { seconds, nanoseconds })
}

/// A time to be set.
pub fn timestamp(Mtime { seconds, nanoseconds }: Mtime) -> Option<NewTimestamp> {
    Some(NewTimestamp::Timestamp(Instant { seconds, nanoseconds }))
}

/// A failure's name, as WASI has it.
pub fn name(code: &ErrorCode) -> String {
    format!("{code:?}")
}
