//! The component `cli`, run as a host of `wasi:cli/run` runs it.

use std::path::Path;

use wasmtime_wasi::{
    FsPerms, WasiCtxBuilder,
    p2::{
        bindings::sync,
        pipe::{MemoryInputPipe, MemoryOutputPipe},
    },
};

use crate::{Artefact, plugin::Host};

/// Room for what the command prints.
const OUTPUT_BYTES: usize = 64 * 1024 * 1024;

/// A run of the command, being prepared. Its program name is given; arguments are those after it.
pub struct Command {
    artefact: Artefact,
    wasi: WasiCtxBuilder,
    output: MemoryOutputPipe,
    errors: MemoryOutputPipe,
}

/// What a run left.
#[derive(Debug)]
pub struct Outcome {
    /// Whether the exit code was 0.
    pub success: bool,
    /// Standard output.
    pub output: Vec<u8>,
    /// Standard error.
    pub errors: String,
}

impl Default for Command {
    fn default() -> Self {
        Command::new()
    }
}

impl Command {
    /// A run that sees no folder and no environment.
    pub fn new() -> Command {
        Command::of(Artefact::Cli)
    }

    /// The same, of the command with a network or the one without.
    pub fn of(artefact: Artefact) -> Command {
        let (output, errors) = (MemoryOutputPipe::new(OUTPUT_BYTES), MemoryOutputPipe::new(OUTPUT_BYTES));
        let mut wasi = WasiCtxBuilder::new();
        wasi.arg("ipfs-kit-storage").stdout(output.clone()).stderr(errors.clone());
        wasi.allow_blocking_current_thread(true);
        Command { artefact, wasi, output, errors }
    }

    /// Shows it a folder of the host.
    pub fn folder(mut self, host: &Path, guest: &str) -> Self {
        self.wasi.preopened_dir(host, guest, FsPerms::ReadWrite).expect("the folder is there");
        self
    }

    /// Sets a variable of its environment.
    pub fn variable(mut self, name: &str, value: &str) -> Self {
        self.wasi.env(name, value);
        self
    }

    /// Gives it something on standard input.
    pub fn input(mut self, bytes: Vec<u8>) -> Self {
        self.wasi.stdin(MemoryInputPipe::new(bytes));
        self
    }

    /// Runs it with these arguments to its end.
    pub fn run(mut self, arguments: &[&str]) -> Outcome {
        let mut store = Host::store(self.wasi.args(arguments).build());
        let command = sync::Command::instantiate(&mut store, self.artefact.component(), &Host::linker_with_http());
        let command = command.expect("the host has all it imports");
        let exit = command.wasi_cli_run().call_run(&mut store).expect("the command trapped");
        Outcome {
            success: exit.is_ok(),
            output: self.output.contents().into(),
            errors: String::from_utf8(self.errors.contents().into()).expect("it complains in UTF-8"),
        }
    }
}
