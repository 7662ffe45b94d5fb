//! The command: world `cli` of `wit/`, for `wasmtime run` and any other host of `wasi:cli/run`.
#![allow(unsafe_code)] // in what `export!` generates

mod arguments;
mod car;
mod commands;
mod configuration;
mod dag;
mod files;
mod input;
mod names;
mod outbox;
mod output;
mod pins;
mod subcommands;
mod trees;
mod upkeep;

#[allow(missing_docs, unsafe_code, clippy::all, clippy::indexing_slicing, clippy::panic, clippy::unwrap_used)]
mod world {
    wit_bindgen::generate!({
        path: "wit",
        world: "cli",
        generate_all,
        with: {
            "wasi:filesystem/types@0.2.12": crate::platform::wasi::host::wasi::filesystem::types,
            "wasi:filesystem/preopens@0.2.12": crate::platform::wasi::host::wasi::filesystem::preopens,
            "wasi:clocks/wall-clock@0.2.12": crate::platform::wasi::host::wasi::clocks::wall_clock,
            "wasi:cli/environment@0.2.12": crate::platform::wasi::host::wasi::cli::environment,
            "wasi:io/error@0.2.12": crate::platform::wasi::host::wasi::io::error,
            "wasi:io/poll@0.2.12": crate::platform::wasi::host::wasi::io::poll,
            "wasi:io/streams@0.2.12": crate::platform::wasi::host::wasi::io::streams,
        },
    });
}

use std::rc::Rc;

use self::{
    arguments::{Asked, Invocation},
    output::Output,
    world::{export, exports::wasi::cli::run::Guest},
};
use crate::platform::wasi::host::wasi::cli::environment;

struct Command;
export!(Command with_types_in world);

impl Guest for Command {
    fn run() -> Result<(), ()> {
        let arguments = environment::get_arguments();
        match arguments::parse(arguments.into_iter().skip(1)) {
            Ok(Asked::Text(text)) => Output::new(false).text(&text).map_err(drop),
            Ok(Asked::Run(invocation)) => {
                let Invocation { json, store, command } = *invocation;
                let output = Rc::new(Output::new(json));
                commands::run(store, command, &output).map_err(|error| output.failed(&error))
            }
            Err(problem) => {
                Output::new(false).complain(&format!("{problem}\nTry --help."));
                Err(())
            }
        }
    }
}
