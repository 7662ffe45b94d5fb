//! Running other programs: every command is shown, and its failure names it.

use anyhow::{Context, Result, bail};
use std::ffi::OsStr;
use std::io::{BufRead, BufReader, Write, stdout};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread;

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

/// A command that runs on while other things are done, and gives way to them. It ends with this, and says nothing.
pub struct Beside(Child);

impl Beside {
    pub fn start(command: &mut Command) -> Result<Self> {
        println!("$ {} &", line(command));
        let mut nice = self::command("nice");
        nice.arg(command.get_program()).args(command.get_args()).stdout(Stdio::null()).stderr(Stdio::null());
        Ok(Beside(nice.spawn().with_context(|| cannot_start(&nice))?))
    }
}

impl Drop for Beside {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Runs a command beside other work, both to the end; an error unless both succeed. What the command writes comes after what
/// the work writes.
pub fn run_beside(command: &mut Command, work: impl FnOnce() -> Result<()>) -> Result<()> {
    println!("$ {} &", line(command));
    let (worked, output) = thread::scope(|scope| {
        let beside = scope.spawn(|| command.output());
        (work(), beside.join().expect("a command's failure is no panic"))
    });
    println!();
    show(command);
    let checked = output.with_context(|| cannot_start(command)).and_then(|output| {
        stdout().write_all(&output.stdout)?;
        stdout().write_all(&output.stderr)?;
        check(command, output.status)
    });
    match (worked, checked) {
        (Err(error), Err(other)) => bail!("{error:#}; and {other:#}"),
        (worked, checked) => worked.and(checked),
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_runs_beside_fails_as_what_it_is_beside() {
        let run = |program: &str, worked: Result<()>| {
            run_beside(&mut command(program), || worked).map_err(|error| format!("{error:#}"))
        };
        assert_eq!(run("true", Ok(())), Ok(()));
        assert_eq!(run("true", Err(anyhow::anyhow!("no room"))), Err("no room".into()));
        let failed = run("false", Ok(())).unwrap_err();
        assert!(failed.starts_with("`false` failed"), "{failed}");
        assert_eq!(run("false", Err(anyhow::anyhow!("no room"))), Err(format!("no room; and {failed}")));
        let absent = run("no-such-program", Err(anyhow::anyhow!("no room"))).unwrap_err();
        assert!(absent.contains("no room") && absent.contains("no-such-program"), "{absent}");
    }
}
