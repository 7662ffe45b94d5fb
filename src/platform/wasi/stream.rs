//! The host's streams of bytes, as bodies of responses.

use bytes::Bytes;

use super::{
    host::wasi::io::streams::{InputStream, StreamError},
    reactor::ready,
};
use crate::remote::Failure;

/// Bytes asked of a stream at once.
const PIECE_BYTES: u64 = 256 * 1024;

/// The next bytes of a stream; none at its end.
pub async fn next(stream: &InputStream) -> Result<Option<Bytes>, Failure> {
    loop {
        match stream.read(PIECE_BYTES) {
            Ok(bytes) if bytes.is_empty() => ready(|| Some(stream.subscribe())).await,
            Ok(bytes) => return Ok(Some(bytes.into())),
            Err(StreamError::Closed) => return Ok(None),
            Err(StreamError::LastOperationFailed(error)) => return Err(Failure::Unreachable(error.to_debug_string())),
        }
    }
}
