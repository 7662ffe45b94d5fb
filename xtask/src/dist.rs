//! `./x dist`: everything that is shipped, from source into dist/.

use crate::process::{cargo, command, run, run_beside};
use crate::tools;
use anyhow::{Context, Result, bail};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use wac_graph::{CompositionGraph, EncodeOptions, plug, types::Package};
use wit_component::ComponentEncoder;

/// The profile of the module for browsers.
const BROWSER: &str = "release-browser";
const NPM_FILES: &str = "src/bindings/browser/npm";

type Part = fn(&Path) -> Result<()>;

/// What is shipped, and how it is made; those that are composed after their parts.
const PARTS: &[(&str, Part)] = &[
    ("local", |dist| component("component", &dist.join("ipfs-kit-storage.local.wasm"))),
    ("p3", |dist| component("component-p3", &dist.join("ipfs-kit-storage.p3.wasm"))),
    ("bridge", |dist| component("bridge", &dist.join(BRIDGE))),
    ("bridged", |dist| {
        let bridged = dist.join("ipfs-kit-storage.bridged.wasm");
        component("component,remotes", &bridged)?;
        compose(&bridged, &dist.join(BRIDGE), &dist.join("ipfs-kit-storage.wasm"))
    }),
    ("cli", |dist| component("cli", &dist.join("ipfs-kit-storage.cli.wasm"))),
    ("cli-http", |dist| {
        let bridged = dist.join("cli.bridged.wasm");
        component("cli,remotes", &bridged)?;
        compose(&bridged, &dist.join(BRIDGE), &dist.join("ipfs-kit-storage.cli-http.wasm"))?;
        Ok(fs::remove_file(bridged)?)
    }),
    ("npm", |dist| npm_package(&dist.join("npm"))),
    ("www", |dist| run(command(tools::node()?).arg("xtask/src/www.mjs").arg(dist))),
];

/// What only tests use, made when it is asked for.
const FOR_TESTS: &[(&str, Part)] = &[("cancelling", |dist| {
    let guest = Path::new("target/guests/cancelling.wasm");
    fs::create_dir_all("target/guests")?;
    run(&mut cargo("build --target-dir target --target wasm32-unknown-unknown --release -p cancelling-guest"))?;
    encode(Path::new("target/wasm32-unknown-unknown/release/cancelling_guest.wasm"), guest)?;
    compose(guest, &dist.join("ipfs-kit-storage.p3.wasm"), guest)
})];

const BRIDGE: &str = "gateway-bridge.wasm";

/// Makes the parts that are asked for, all of them if none is. Most of the time one processor is at work, on one crate; so the
/// module for browsers, which shares nothing with the others, is compiled beside them.
pub fn build(asked: &[String]) -> Result<()> {
    let dist = Path::new("dist");
    let known = || PARTS.iter().chain(FOR_TESTS);
    if let Some(other) = asked.iter().find(|asked| !known().any(|(name, _)| name == asked)) {
        let names: Vec<_> = known().map(|(name, _)| *name).collect();
        bail!("no part {other:?}; there are {}", names.join(", "));
    }
    if dist.exists() && asked.is_empty() {
        fs::remove_dir_all(dist).context("cannot empty dist/")?;
    }
    fs::create_dir_all(dist).context("cannot make dist/")?;
    if asked.is_empty() {
        tools::std_source()?;
        run_beside(&mut browser_build(), || PARTS.iter().try_for_each(|(_, make)| make(dist)))?;
    } else {
        let asked_for = |name: &str| asked.iter().any(|asked| asked == name);
        known().filter(|(name, _)| asked_for(name)).try_for_each(|(_, make)| make(dist))?;
    }
    println!();
    run(command(tools::node()?).arg("xtask/src/sizes.mjs").arg(dist))
}

/// Compiles the crate with one feature, as a core module; [`module`] says where it is then.
fn module_build(profile: &str, feature: &str) -> Command {
    let mut build = cargo("build --target-dir target --target wasm32-unknown-unknown --lib");
    build.args(["--profile", profile, "--features", feature]);
    build
}

fn module(profile: &str) -> PathBuf {
    Path::new("target/wasm32-unknown-unknown").join(profile).join("ipfs_kit_storage.wasm")
}

/// The crate with one feature, as a component that imports what its world says.
fn component(feature: &str, to: &Path) -> Result<()> {
    let optimized = to.with_extension("core");
    run(&mut module_build("release", feature))?;
    optimize("-O3", &module("release"), &optimized)?;
    encode(&optimized, to)?;
    Ok(fs::remove_file(&optimized)?)
}

/// Makes a component of a core module, which says itself what world it is of.
fn encode(module: &Path, to: &Path) -> Result<()> {
    let bytes = fs::read(module).with_context(|| format!("cannot read {}", module.display()))?;
    let component = ComponentEncoder::default()
        .validate(true)
        .module(&bytes)
        .and_then(|encoder| encoder.encode())
        .with_context(|| format!("cannot make a component of {}", module.display()))?;
    fs::write(to, component).with_context(|| format!("cannot write {}", to.display()))
}

/// Plugs one component into what another imports.
fn compose(socket: &Path, plugin: &Path, to: &Path) -> Result<()> {
    let mut graph = CompositionGraph::new();
    let mut package = |name: &str, file: &Path| {
        let bytes = fs::read(file).with_context(|| format!("cannot read {}", file.display()))?;
        let package = Package::from_bytes(name, None, bytes, graph.types_mut())?;
        Ok::<_, anyhow::Error>(graph.register_package(package)?)
    };
    let socket = package("ipfs-kit:socket", socket)?;
    let plugin = package("ipfs-kit:plugin", plugin)?;
    plug(&mut graph, vec![plugin], socket)?;
    let composed = graph.encode(EncodeOptions::default())?;
    fs::write(to, composed).with_context(|| format!("cannot write {}", to.display()))
}

/// Weight counts most in browsers. There the standard library is compiled anew, for size, and a panic ends the engine at
/// once: what it says is seen by nobody there. These are options of unstable Rust, which a stable compiler takes when it
/// is told to.
fn browser_build() -> Command {
    let mut build = module_build(BROWSER, "browser");
    let rustflags = "-Zunstable-options -Cpanic=immediate-abort -Zlocation-detail=none -Zfmt-debug=shallow";
    build
        .args(["-Zbuild-std=std,panic_abort", "-Zbuild-std-features=optimize_for_size", "--config"])
        .arg(format!("target.wasm32-unknown-unknown.rustflags={:?}", rustflags.split(' ').collect::<Vec<_>>()))
        .env("RUSTC_BOOTSTRAP", "1");
    build
}

/// The crate for browsers: wasm-bindgen's module and glue, and the package's hand-written files.
fn npm_package(to: &Path) -> Result<()> {
    tools::std_source()?;
    run(&mut browser_build())?;
    let mut bindgen = command(tools::wasm_bindgen()?);
    run(bindgen.args(["--target", "web", "--out-dir"]).arg(to).arg(module(BROWSER)))?;
    let bound = to.join("ipfs_kit_storage_bg.wasm");
    optimize("-Oz", &bound, &bound)?;
    copy_all(Path::new(NPM_FILES), to)?;
    for file in ["LICENSE-MIT", "LICENSE-APACHE", "CHANGELOG.md"] {
        fs::copy(file, to.join(file)).with_context(|| format!("cannot copy {file}"))?;
    }
    minify(to)
}

/// Makes all scripts below a folder small, each in its place. Functions lose their names: what keeps these is never shaken off.
fn minify(folder: &Path) -> Result<()> {
    let mut esbuild = command(tools::esbuild()?);
    esbuild.args(["--minify", "--log-level=warning", "--allow-overwrite"]);
    esbuild.arg(format!("--outdir={0}", folder.display())).arg(format!("--outbase={0}", folder.display()));
    run(esbuild.arg(folder.join("**/*.js")))
}

/// The compiler has inlined what pays. Done once more, and with common subexpressions in locals, it compresses worse.
fn optimize(level: &str, from: &Path, to: &Path) -> Result<()> {
    let mut wasm_opt = command(tools::wasm_opt()?);
    wasm_opt.args([level, "--skip-pass=inlining-optimizing", "--skip-pass=local-cse"]);
    run(wasm_opt.arg(from).arg("-o").arg(to))
}

fn copy_all(from: &Path, to: &Path) -> Result<()> {
    let entries = fs::read_dir(from).with_context(|| format!("cannot read {}", from.display()))?;
    fs::create_dir_all(to)?;
    for entry in entries {
        let entry = entry?;
        let target = to.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            copy_all(&entry.path(), &target)?;
        } else {
            fs::copy(entry.path(), &target).with_context(|| format!("cannot write {}", target.display()))?;
        }
    }
    Ok(())
}
