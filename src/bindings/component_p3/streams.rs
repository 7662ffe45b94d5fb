//! Streams, in and out.

use wit_bindgen::{FutureWriter, StreamReader, StreamResult, StreamWriter, spawn_local, yield_async};

use super::world::{
    exports::ipfs_kit::storage_p3::storage::{Content, Listing},
    wit_future, wit_stream,
};
use crate::{
    bindings::wit,
    error::{Error, Result},
    platform::wasi::run,
    storage::{FilePage, Reader, Storage, Writer},
    tier::StoredRoot,
};

/// Bytes taken of a stream before they are passed on. The host may give few at a time; room is not kept for each of them.
const PIECE_BYTES: usize = 1024 * 1024;

/// Entries of a listing that are looked up together.
const PAGE: usize = 256;

/// A file being stored. Dropped before its end, as it is when the call is cancelled, it takes away what was written.
struct Incoming(Writer);

impl Drop for Incoming {
    fn drop(&mut self) {
        let _ = run(async {
            self.0.abort().await;
            Ok(())
        });
    }
}

/// Stores what comes, `size` bytes if that is given.
pub async fn store(writer: Writer, mut data: StreamReader<u8>, size: Option<u64>) -> Result<StoredRoot> {
    let mut file = Incoming(writer);
    let mut count = 0;
    loop {
        let (piece, ended) = fill(&mut data).await;
        count += piece.len() as u64;
        if size.is_some_and(|size| count > size || ended && count < size) {
            let came = if ended { format!("ended after {count} bytes") } else { "goes on".to_owned() };
            let message = format!("of a file of {} bytes the stream {came}; nothing is stored", size.unwrap_or(0));
            return Err(Error::InvalidArgument(message));
        }
        if !piece.is_empty() {
            run(file.0.write(piece.into()))?;
        }
        if ended {
            return run(file.0.finish());
        }
        // Where bytes are always there, others get their turn all the same.
        yield_async().await;
    }
}

/// The next bytes of a stream, and whether it has ended.
async fn fill(data: &mut StreamReader<u8>) -> (Vec<u8>, bool) {
    let mut piece = Vec::with_capacity(PIECE_BYTES);
    while piece.len() < PIECE_BYTES {
        let (result, filled) = data.read(piece).await;
        piece = filled;
        if result == StreamResult::Dropped {
            return (piece, true);
        }
    }
    (piece, false)
}

/// Gives what is read, as fast as it is taken.
pub fn content(reader: Reader) -> Content {
    let size = reader.size();
    let (sender, data) = wit_stream::new();
    let (end, done) = wit_future::new(|| Err(wit::Error::Cancelled));
    spawn_local(send(reader, sender, end));
    Content { size, data, done }
}

async fn send(mut reader: Reader, mut data: StreamWriter<u8>, end: FutureWriter<Result<(), wit::Error>>) {
    let sent = loop {
        match run(reader.next()) {
            Ok(None) => break Ok(()),
            Err(error) => break Err(error),
            Ok(Some(bytes)) => {
                if !data.write_all(bytes.into()).await.is_empty() {
                    break Err(Error::Cancelled);
                }
                yield_async().await;
            }
        }
    };
    drop((reader, data));
    // Whoever did not want to know it has dropped the other end.
    let _ = end.write(sent.map_err(wit::Error::from)).await;
}

/// Gives a list, as fast as it is taken. Where there is none is told at once.
pub fn listing(storage: Storage, path: String) -> Result<Listing> {
    let first = run(storage.list_files(&path, None, PAGE, true))?;
    let (sender, entries) = wit_stream::new();
    let (end, done) = wit_future::new(|| Err(wit::Error::Cancelled));
    spawn_local(list(storage, path, first, sender, end));
    Ok(Listing { entries, done })
}

async fn list(
    storage: Storage,
    path: String,
    mut page: FilePage,
    mut entries: StreamWriter<wit::FileInfo>,
    end: FutureWriter<Result<(), wit::Error>>,
) {
    let sent = loop {
        let files: Vec<_> = page.files.into_iter().map(wit::FileInfo::from).collect();
        if !files.is_empty() && !entries.write_all(files).await.is_empty() {
            break Err(Error::Cancelled);
        }
        let Some(after) = page.next else { break Ok(()) };
        match run(storage.list_files(&path, Some(&after), PAGE, true)) {
            Ok(next) => page = next,
            Err(error) => break Err(error),
        }
    };
    drop((storage, entries));
    let _ = end.write(sent.map_err(wit::Error::from)).await;
}
