//! The project's build and test commands, behind the script `x`.

mod dist;
mod process;
mod scripts;
mod test;
mod tools;
#[cfg(test)]
mod wit;

use anyhow::{Context, Result};
use std::ffi::OsString;
use std::process::ExitCode;

const HELP: &str = "\
Usage: ./x COMMAND

  setup         install what building and testing need (all commands do, as needed)
  dist [PART]   build the components and the npm package into dist/, or one part of them
  demo [FILE]   show what was built at work, on FILE
  serve [PORT]  serve the web app on this machine
  test          run every check and every test
  bench         measure
  docs          make the npm package's API documentation, in dist/docs
  help          print this";

fn main() -> ExitCode {
    let mut args = std::env::args_os().skip(1);
    let command = args.next().unwrap_or_default();
    match run(&command.to_string_lossy(), args.collect()) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("\nerror: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(command: &str, args: Vec<OsString>) -> Result<ExitCode> {
    let root = concat!(env!("CARGO_MANIFEST_DIR"), "/..");
    std::env::set_current_dir(root).with_context(|| format!("cannot enter {root}"))?;
    match command {
        "setup" => tools::setup()?,
        "dist" => dist::build(&args.iter().map(|arg| arg.to_string_lossy().into_owned()).collect::<Vec<_>>())?,
        "demo" => scripts::demo(&args)?,
        "serve" => scripts::serve(&args)?,
        "bench" => scripts::bench(&args)?,
        "docs" => scripts::docs()?,
        "test" => return test::run_all(),
        "" | "help" | "-h" | "--help" => println!("{HELP}"),
        unknown => anyhow::bail!("no command `{unknown}`\n\n{HELP}"),
    }
    Ok(ExitCode::SUCCESS)
}
