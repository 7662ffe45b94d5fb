//! `./x dist`: everything that is shipped, from source into dist/.

use crate::process::{cargo, command, run};
use crate::tools;
use anyhow::{Context, Result};
use std::fs;
use std::path::{Path, PathBuf};
use wac_graph::{CompositionGraph, EncodeOptions, plug, types::Package};
use wit_component::ComponentEncoder;

const NPM_FILES: &str = "src/bindings/browser/npm";

pub fn build() -> Result<()> {
    let dist = Path::new("dist");
    if dist.exists() {
        fs::remove_dir_all(dist).context("cannot empty dist/")?;
    }
    fs::create_dir_all(dist).context("cannot make dist/")?;
    component("component", &dist.join("ipfs-kit-storage.local.wasm"))?;
    component("component,remotes", &dist.join("ipfs-kit-storage.bridged.wasm"))?;
    component("bridge", &dist.join("gateway-bridge.wasm"))?;
    compose(dist, "ipfs-kit-storage.bridged.wasm", "ipfs-kit-storage.wasm")?;
    component("cli", &dist.join("ipfs-kit-storage.cli.wasm"))?;
    let bridged = "bridged-cli.wasm";
    component("cli,remotes", &dist.join(bridged))?;
    compose(dist, bridged, "ipfs-kit-storage.cli-http.wasm")?;
    fs::remove_file(dist.join(bridged))?;
    npm_package(&dist.join("npm"))?;
    println!();
    run(command(tools::node()?).arg("xtask/src/sizes.mjs").arg(dist))
}

/// The crate with one feature, as a core module.
fn module(feature: &str, profile: &str) -> Result<PathBuf> {
    let mut build = cargo("build --target-dir target --target wasm32-unknown-unknown --lib");
    run(build.args(["--profile", profile, "--features", feature]))?;
    Ok(Path::new("target/wasm32-unknown-unknown").join(profile).join("ipfs_kit_storage.wasm"))
}

/// The crate with one feature, as a component that imports what its world says.
fn component(feature: &str, to: &Path) -> Result<()> {
    let optimized = to.with_extension("core");
    optimize(&module(feature, "release")?, &optimized)?;
    let module = fs::read(&optimized)?;
    fs::remove_file(&optimized)?;
    let component = ComponentEncoder::default()
        .validate(true)
        .module(&module)
        .and_then(|encoder| encoder.encode())
        .with_context(|| format!("cannot make a component of feature `{feature}`"))?;
    fs::write(to, component).with_context(|| format!("cannot write {}", to.display()))
}

/// Plugs the bridge into what imports `remote`.
fn compose(dist: &Path, socket: &str, to: &str) -> Result<()> {
    let mut graph = CompositionGraph::new();
    let mut package = |name: &str, file: &str| {
        let bytes = fs::read(dist.join(file)).with_context(|| format!("cannot read {file}"))?;
        let package = Package::from_bytes(name, None, bytes, graph.types_mut())?;
        Ok::<_, anyhow::Error>(graph.register_package(package)?)
    };
    let socket = package("ipfs-kit:storage", socket)?;
    let bridge = package("ipfs-kit:gateway-bridge", "gateway-bridge.wasm")?;
    plug(&mut graph, vec![bridge], socket)?;
    let composed = graph.encode(EncodeOptions::default())?;
    fs::write(dist.join(to), composed).with_context(|| format!("cannot write {to}"))
}

/// The crate for browsers: wasm-bindgen's module and glue, and the package's hand-written files.
fn npm_package(to: &Path) -> Result<()> {
    let module = module("browser", "release-browser")?;
    let mut bindgen = command(tools::wasm_bindgen()?);
    run(bindgen.args(["--target", "web", "--out-dir"]).arg(to).arg(module))?;
    let bound = to.join("ipfs_kit_storage_bg.wasm");
    optimize(&bound, &bound)?;
    copy_all(Path::new(NPM_FILES), to)
}

fn optimize(from: &Path, to: &Path) -> Result<()> {
    let mut wasm_opt = command(tools::wasm_opt()?);
    run(wasm_opt.arg("-O3").arg(from).arg("-o").arg(to))
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
