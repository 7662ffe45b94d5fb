//! The commands that are scripts for Node.

use crate::process::{cargo, command, run};
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

/// `./x serve [PORT]`: the web app, built if it has not been.
pub fn serve(args: &[OsString]) -> Result<()> {
    let parts: &[_] = if Path::new("dist/npm").is_dir() { &["www"] } else { &["npm", "www"] };
    dist::build(&parts.iter().map(|part| (*part).to_owned()).collect::<Vec<_>>())?;
    run(command(tools::node()?).arg("xtask/src/serve.mjs").args(args))
}

/// `./x bench [--quick] [wasi] [browser] [opfs] [fetch] [copies] [keeping] [trees]`.
pub fn bench(args: &[OsString]) -> Result<()> {
    node("benches/run.mjs", args)
}

/// `./x docs`: rustdoc over the crate, natively and as browsers have it, and TypeDoc over the npm package's types; what refers to
/// nothing is an error.
pub fn docs() -> Result<()> {
    for home in ["", "--target wasm32-unknown-unknown --features browser"] {
        run(cargo("doc --no-deps").args(home.split_whitespace()).env("RUSTDOCFLAGS", "-D warnings"))?;
    }
    let directory = Path::new("docs/api");
    tools::npm_packages(directory)?;
    let mut typedoc = command(tools::node()?);
    run(typedoc.current_dir(directory).args(["node_modules/typedoc/bin/typedoc", "--treatWarningsAsErrors"]))
}

fn node(script: &str, args: &[OsString]) -> Result<()> {
    ensure!(Path::new(script).is_file(), "{script} is missing: this checkout is incomplete");
    let mut node = command(tools::node()?);
    run(node.arg(script).args(args).envs(tools::hosts()?))
}
