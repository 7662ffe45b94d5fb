//! Cuts a stream into leaves of one size, without copying what comes in large pieces.

use bytes::{Bytes, BytesMut};

/// Fixed-size chunks of what is pushed. Chunks that lie within one piece share its memory.
#[derive(Debug)]
pub struct Chunker {
    chunk_bytes: usize,
    /// Less than one chunk, gathered from several pieces.
    partial: BytesMut,
    /// What was pushed last and not yet cut.
    piece: Bytes,
}

impl Chunker {
    /// A chunker for chunks of this many bytes.
    pub fn new(chunk_bytes: usize) -> Self {
        Chunker { chunk_bytes, partial: BytesMut::new(), piece: Bytes::new() }
    }

    /// Takes the next piece. [`Chunker::next_chunk`] must have returned `None` before.
    pub fn push(&mut self, piece: Bytes) {
        self.gather();
        self.piece = piece;
    }

    /// The next whole chunk, if there is one.
    pub fn next_chunk(&mut self) -> Option<Bytes> {
        if self.partial.is_empty() {
            return (self.piece.len() >= self.chunk_bytes).then(|| self.piece.split_to(self.chunk_bytes));
        }
        self.gather();
        (self.partial.len() == self.chunk_bytes).then(|| self.partial.split().freeze())
    }

    /// What is left at the end of the stream: less than a chunk, perhaps nothing.
    pub fn finish(&mut self) -> Bytes {
        if self.partial.is_empty() {
            return std::mem::take(&mut self.piece);
        }
        self.gather();
        self.partial.split().freeze()
    }

    /// Copies what is left of the last piece to the chunk that lies in several, as far as it belongs there.
    fn gather(&mut self) {
        let missing = self.chunk_bytes - self.partial.len();
        let taken = self.piece.split_to(missing.min(self.piece.len()));
        if !taken.is_empty() && self.partial.is_empty() {
            self.partial.reserve(self.chunk_bytes.min(GROWTH_BYTES.max(taken.len())));
        }
        self.partial.extend_from_slice(&taken);
    }
}

/// A chunk gathered from small pieces starts with this much memory, so that a small file does not take a whole chunk's.
const GROWTH_BYTES: usize = 64 * 1024;
