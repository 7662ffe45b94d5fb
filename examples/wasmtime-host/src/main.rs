//! The command.

use std::{
    fs::File,
    io::{self, IsTerminal, Write},
    path::{Path, PathBuf},
    process::ExitCode,
};

use lexopt::prelude::*;
use wasmtime::{Result, bail, error::Context};
use wasmtime_host::{Store, bindings::ipfs_kit::storage::types::BackendState};

const HELP: &str = "\
Usage: wasmtime-host [OPTION]... COMMAND

  put FILE [NAME]      store a file, or `-` for the standard input; prints its CID
  get PATH [FILE]      write a file out, by its CID or a path below one
  ls                   list what is stored
  push CID ADDRESS     give all that is below a CID to a remote
  status               show the store and its remotes

  --store FOLDER       where the store is: without it ./store
  --remote ADDRESS     who may have what is not held, more than once: https://… is a gateway,
                       kubo+http://… a Kubo node, folder:… a folder of blocks on this machine
  --dist FOLDER        where the components are: without it the repository's dist/";

struct Arguments {
    store: PathBuf,
    dist: PathBuf,
    remotes: Vec<String>,
    words: Vec<String>,
}

fn main() -> ExitCode {
    match arguments().and_then(run) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn arguments() -> Result<Arguments> {
    let dist = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../dist");
    let mut arguments = Arguments { store: "store".into(), dist, remotes: Vec::new(), words: Vec::new() };
    let mut parser = lexopt::Parser::from_env();
    while let Some(argument) = parser.next()? {
        match argument {
            Long("store") => arguments.store = parser.value()?.into(),
            Long("dist") => arguments.dist = parser.value()?.into(),
            Long("remote") => arguments.remotes.push(parser.value()?.string()?),
            Long("help") | Short('h') => arguments.words = vec!["help".into()],
            Value(word) => arguments.words.push(word.string()?),
            other => return Err(other.unexpected().into()),
        }
    }
    Ok(arguments)
}

fn run(Arguments { store, dist, mut remotes, words }: Arguments) -> Result<()> {
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    if let ["push", _, remote] = words.as_slice() {
        // What is pushed to must be known from the beginning.
        remotes.push((*remote).to_owned());
        remotes.dedup();
    }
    if let [] | ["help"] = words.as_slice() {
        println!("{HELP}");
        return Ok(());
    }
    let mut store = Store::open(&dist, &store, remotes)?;
    // Also after a failure: who comes next need not wait.
    let done = execute(&mut store, &words);
    store.close()?;
    done
}

fn execute(store: &mut Store, words: &[&str]) -> Result<()> {
    match *words {
        ["put", "-"] => println!("{}", store.put(io::stdin().lock(), None)?.cid),
        ["put", file, ref name @ ..] if name.len() < 2 => {
            let path = Path::new(file);
            let name = name.first().copied().or(path.file_name().and_then(|name| name.to_str()));
            let from = File::open(path).with_context(|| format!("cannot read {file}"))?;
            println!("{}", store.put(from, name.map(str::to_owned))?.cid);
        }
        ["get", path] => {
            let mut output = io::stdout().lock();
            if output.is_terminal() {
                bail!("that goes to a terminal: name a file, or pipe it somewhere");
            }
            store.get(path, &mut output)?;
            output.flush()?;
        }
        ["get", path, file] => {
            let to = File::create_new(file).with_context(|| format!("cannot make {file}"))?;
            match store.get(path, &to) {
                Ok(count) => println!("{count} bytes in {file}"),
                Err(error) => {
                    std::fs::remove_file(file)?;
                    return Err(error);
                }
            }
        }
        ["ls"] => {
            for file in store.list()? {
                let size = file.size.map_or("?".into(), |size| size.to_string());
                println!("{}  {size:>12}  {}", file.cid, file.filename.unwrap_or_default());
            }
        }
        ["push", cid, remote] => {
            let pushed = store.push(cid, remote)?;
            println!("{} blocks, {} bytes", pushed.blocks, pushed.bytes);
        }
        ["status"] => {
            let status = store.status()?;
            println!("{} roots, {} blocks, {} bytes", status.roots, status.blocks, status.bytes);
            for backend in status.backends {
                println!("{} ({}), {}: {}", backend.name, backend.kind, word(backend.state), backend.evidence);
            }
        }
        _ => bail!("no such command\n\n{HELP}"),
    }
    Ok(())
}

fn word(state: BackendState) -> &'static str {
    match state {
        BackendState::Available => "available",
        BackendState::Degraded => "available in part",
        BackendState::Unavailable => "unavailable",
        BackendState::Disabled => "disabled",
        BackendState::Denied => "denied",
    }
}
