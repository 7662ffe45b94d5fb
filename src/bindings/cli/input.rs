//! What the command reads: a file, or standard input.

use super::world::wasi::cli::stdin;
use crate::{
    error::{Error, Result},
    platform::{
        files::RandomAccessFile,
        wasi::{
            files::WasiFile,
            host::wasi::io::streams::{InputStream, StreamError},
        },
    },
};

/// Read at a time.
const READ_BYTES: usize = 4 * 1024 * 1024;

/// A file being read, or standard input.
pub struct Input {
    source: Source,
    done: u64,
}

enum Source {
    Stdin(InputStream),
    File(WasiFile, u64),
}

impl Input {
    /// The file of this name; `-` is standard input.
    pub fn open(name: &str) -> Result<Self> {
        let source = match name {
            "-" => Source::Stdin(stdin::get_stdin()),
            name => {
                let file = WasiFile::open(name)?;
                let length = file.len()?;
                Source::File(file, length)
            }
        };
        Ok(Input { source, done: 0 })
    }

    /// The next bytes; none at the end.
    pub fn next(&mut self) -> Result<Option<Vec<u8>>> {
        let bytes = match &self.source {
            Source::File(file, _) => file.read_at(self.done, READ_BYTES)?,
            Source::Stdin(input) => match input.blocking_read(READ_BYTES as u64) {
                Ok(bytes) => bytes,
                Err(StreamError::Closed) => Vec::new(),
                Err(StreamError::LastOperationFailed(error)) => {
                    return Err(Error::Io(format!("cannot read standard input: {}", error.to_debug_string())));
                }
            },
        };
        self.done += bytes.len() as u64;
        Ok((!bytes.is_empty()).then_some(bytes))
    }

    /// All of it; none if that is more than so many bytes.
    pub fn whole(mut self, most: usize) -> Result<Option<Vec<u8>>> {
        let mut bytes = Vec::new();
        while let Some(piece) = self.next()? {
            bytes.extend_from_slice(&piece);
            if bytes.len() > most {
                return Ok(None);
            }
        }
        Ok(Some(bytes))
    }

    /// Passes over so many bytes at the beginning.
    pub fn skip(&mut self, bytes: u64) -> Result<()> {
        let Source::Stdin(input) = &self.source else {
            self.done = bytes;
            return Ok(());
        };
        while self.done < bytes {
            match input.blocking_skip(bytes - self.done) {
                Ok(skipped) => self.done += skipped,
                Err(StreamError::Closed) => return Ok(()),
                Err(StreamError::LastOperationFailed(error)) => {
                    return Err(Error::Io(format!("cannot read standard input: {}", error.to_debug_string())));
                }
            }
        }
        Ok(())
    }

    /// How much of it is read, of how much; 0 is unknown.
    pub fn progress(&self) -> (u64, u64) {
        match &self.source {
            Source::Stdin(_) => (self.done, 0),
            Source::File(_, length) => (self.done, *length),
        }
    }
}
