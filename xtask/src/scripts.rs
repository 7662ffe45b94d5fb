//! The commands that are scripts for Node.

use crate::process::{command, run};
use crate::{dist, tools};
use anyhow::{Result, ensure};
use std::ffi::OsString;
use std::path::{Path, PathBuf};

/// `./x demo [FILE]`: builds everything and stores FILE in both homes; it is relative to where the user stands.
pub fn demo(args: &[OsString]) -> Result<()> {
    tools::setup()?;
    dist::build(&[])?;
    tools::npm_packages(Path::new("tests/page"))?;
    let caller = PathBuf::from(std::env::var_os("CALLER_DIR").unwrap_or_default());
    let files: Vec<_> = args.iter().map(|file| caller.join(file).into()).collect();
    node("tests/demo.mjs", &files)
}

/// `./x bench [--quick] [wasi] [browser] [fetch] [keeping]`.
pub fn bench(args: &[OsString]) -> Result<()> {
    node("benches/run.mjs", args)
}

fn node(script: &str, args: &[OsString]) -> Result<()> {
    ensure!(Path::new(script).is_file(), "{script} is missing: this checkout is incomplete");
    let mut node = command(tools::node()?);
    run(node.arg(script).args(args).envs(tools::hosts()?))
}
