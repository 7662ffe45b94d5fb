//! Running other programs: every command is shown, and its failure names it.

use anyhow::{Context, Result, bail};
use std::ffi::OsStr;
use std::io::{BufRead, BufReader, Write, stdout};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};

/// A command with nothing to read from.
pub fn command(program: impl AsRef<OsStr>) -> Command {
    let mut command = Command::new(program);
    command.stdin(Stdio::null());
    command
}

/// `cargo` with `args` separated by blanks.
pub fn cargo(args: &str) -> Command {
    let mut cargo = command(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo.args(args.split_whitespace());
    cargo
}

/// Runs to the end; an error unless it succeeds.
pub fn run(command: &mut Command) -> Result<()> {
    show(command);
    let status = command.status().with_context(|| cannot_start(command))?;
    check(command, status)
}

/// Like [`run`], passing each line of its standard output on and to `each_line` too.
pub fn run_reading(command: &mut Command, mut each_line: impl FnMut(&str)) -> Result<()> {
    show(command);
    let mut child = command.stdout(Stdio::piped()).spawn().with_context(|| cannot_start(command))?;
    let mut output = BufReader::new(child.stdout.take().context("no standard output")?);
    let mut line = Vec::new();
    while output.read_until(b'\n', &mut line)? > 0 {
        stdout().write_all(&line)?;
        each_line(String::from_utf8_lossy(&line).trim_end());
        line.clear();
    }
    check(command, child.wait()?)
}

/// What it writes to its standard output, if it succeeds.
pub fn answer(program: impl AsRef<OsStr>, args: &[&str]) -> Option<String> {
    let output = command(program).args(args).output().ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    output.status.success().then(|| text.trim().to_owned())
}

/// The first of `names` that is a program on the PATH.
pub fn find(names: &[&str]) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    let directories: Vec<_> = std::env::split_paths(&path).collect();
    names.iter().flat_map(|name| directories.iter().map(move |dir| dir.join(name))).find(|file| file.is_file())
}

fn show(command: &Command) {
    println!("$ {}", line(command));
}

fn line(command: &Command) -> String {
    let program = Path::new(command.get_program());
    let name = program.file_name().unwrap_or(program.as_os_str());
    std::iter::once(name).chain(command.get_args()).map(OsStr::to_string_lossy).collect::<Vec<_>>().join(" ")
}

fn cannot_start(command: &Command) -> String {
    format!("cannot start `{}`", command.get_program().display())
}

fn check(command: &Command, status: ExitStatus) -> Result<()> {
    if !status.success() {
        bail!("`{}` failed ({status})", line(command));
    }
    Ok(())
}
