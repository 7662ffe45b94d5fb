//! What the command prints: plain lines or JSON on standard output, complaints and progress on standard error.

use std::cell::Cell;

use serde_json::{Value, json};

use super::world::wasi::cli::{stderr, stdout, terminal_stderr};
use crate::{
    error::{Error, Result},
    platform::wasi::host::wasi::io::streams::{OutputStream, StreamError},
};

/// Width of the progress bar, in characters.
const BAR: u64 = 30;

/// The command's outputs.
pub struct Output {
    json: bool,
    out: OutputStream,
    err: OutputStream,
    terminal: bool,
    /// Percent last shown.
    shown: Cell<Option<u64>>,
}

impl Output {
    pub fn new(json: bool) -> Self {
        let terminal = terminal_stderr::get_terminal_stderr().is_some();
        Output { json, out: stdout::get_stdout(), err: stderr::get_stderr(), terminal, shown: Cell::new(None) }
    }

    /// Bytes as they are.
    pub fn bytes(&self, bytes: &[u8]) -> Result<()> {
        write(&self.out, bytes).map_err(|error| Error::Io(format!("cannot write to standard output: {error}")))
    }

    /// A text as it is.
    pub fn text(&self, text: &str) -> Result<()> {
        self.bytes(text.as_bytes())
    }

    /// One result: an object with `--json`, else the line.
    pub fn line(&self, object: Value, line: &str) -> Result<()> {
        if self.json { self.text(&format!("{object}\n")) } else { self.text(&format!("{line}\n")) }
    }

    /// Why the command failed.
    pub fn failed(&self, error: &Error) {
        self.clear_progress();
        if self.json {
            let object = json!({ "error": { "code": error.code(), "message": error.to_string() } });
            self.complain(&object.to_string());
        } else {
            self.complain(&format!("error: {error}"));
        }
    }

    /// What people should know of a result; with `--json` the result's object says it.
    pub fn remark(&self, line: &str) {
        if !self.json {
            self.complain(line);
        }
    }

    /// What happened besides, on standard error.
    pub fn aside(&self, object: Value, line: &str) {
        if self.json { self.complain(&object.to_string()) } else { self.complain(line) }
    }

    /// A line on standard error. If even that fails there is nobody left to tell.
    pub fn complain(&self, line: &str) {
        let _ = write(&self.err, format!("{line}\n").as_bytes());
    }

    /// Shows how far long work has come, where there is a terminal to show it on. `total` 0 is unknown.
    pub fn progress(&self, what: &str, done: u64, total: u64) {
        self.bar(done, total, || format!("{} {what}", size(total)));
    }

    /// The same, of `whole`.
    pub fn bar(&self, done: u64, total: u64, whole: impl FnOnce() -> String) {
        if !self.terminal || self.json || total == 0 {
            return;
        }
        let percent = done.min(total) * 100 / total;
        if self.shown.replace(Some(percent)) == Some(percent) {
            return;
        }
        let filled = percent * BAR / 100;
        let bar: String = (0..BAR).map(|place| if place < filled { '█' } else { '░' }).collect();
        let _ = write(&self.err, format!("\r{bar} {percent:>3}% of {}", whole()).as_bytes());
    }

    /// Takes the progress away, before a result is printed.
    pub fn clear_progress(&self) {
        if self.shown.take().is_some() {
            let _ = write(&self.err, b"\r\x1b[2K");
        }
    }
}

/// Writes all of it, in the pieces that the stream takes.
fn write(stream: &OutputStream, mut bytes: &[u8]) -> Result<(), &'static str> {
    let why = |error| match error {
        StreamError::Closed => "it is closed",
        StreamError::LastOperationFailed(_) => "the last write failed",
    };
    while !bytes.is_empty() {
        let room = stream.check_write().map_err(why)? as usize;
        if room == 0 {
            stream.subscribe().block();
            continue;
        }
        let (now, later) = bytes.split_at(room.min(bytes.len()));
        stream.write(now).map_err(why)?;
        bytes = later;
    }
    stream.blocking_flush().map_err(why)
}

/// A number of bytes as people read it: in powers of 1024.
pub fn size(bytes: u64) -> String {
    let mut value = bytes as f64;
    let mut unit = "B";
    for next in ["KiB", "MiB", "GiB", "TiB"] {
        if value < 1024.0 {
            break;
        }
        value /= 1024.0;
        unit = next;
    }
    if unit == "B" { format!("{bytes} B") } else { format!("{value:.1} {unit}") }
}
