//! `./x dist`: everything that is shipped, from source into dist/.

use crate::process::{cargo, command, run};
use crate::tools;
use anyhow::{Context, Result, bail};
use std::fs;
use std::path::{Path, PathBuf};
use wac_graph::{CompositionGraph, EncodeOptions, plug, types::Package};
use wit_component::ComponentEncoder;

const NPM_FILES: &str = "src/bindings/browser/npm";

type Part = fn(&Path) -> Result<()>;

/// What is shipped, and how it is made; those that are composed after their parts.
const PARTS: &[(&str, Part)] = &[
    ("local", |dist| component("component", &dist.join("ipfs-kit-storage.local.wasm"))),
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
];

const BRIDGE: &str = "gateway-bridge.wasm";

/// Makes the parts that are asked for, all of them if none is.
pub fn build(asked: &[String]) -> Result<()> {
    let dist = Path::new("dist");
    if let Some(other) = asked.iter().find(|asked| !PARTS.iter().any(|(name, _)| name == asked)) {
        let names: Vec<_> = PARTS.iter().map(|(name, _)| *name).collect();
        bail!("no part {other:?}; there are {}", names.join(", "));
    }
    if dist.exists() && asked.is_empty() {
        fs::remove_dir_all(dist).context("cannot empty dist/")?;
    }
    fs::create_dir_all(dist).context("cannot make dist/")?;
    for (name, make) in PARTS {
        if asked.is_empty() || asked.iter().any(|asked| asked == name) {
            make(dist)?;
        }
    }
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
    optimize("-O3", &module(feature, "release")?, &optimized)?;
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
fn compose(socket: &Path, bridge: &Path, to: &Path) -> Result<()> {
    let mut graph = CompositionGraph::new();
    let mut package = |name: &str, file: &Path| {
        let bytes = fs::read(file).with_context(|| format!("cannot read {}", file.display()))?;
        let package = Package::from_bytes(name, None, bytes, graph.types_mut())?;
        Ok::<_, anyhow::Error>(graph.register_package(package)?)
    };
    let socket = package("ipfs-kit:storage", socket)?;
    let bridge = package("ipfs-kit:gateway-bridge", bridge)?;
    plug(&mut graph, vec![bridge], socket)?;
    let composed = graph.encode(EncodeOptions::default())?;
    fs::write(to, composed).with_context(|| format!("cannot write {}", to.display()))
}

/// The crate for browsers: wasm-bindgen's module and glue, and the package's hand-written files.
fn npm_package(to: &Path) -> Result<()> {
    let module = module("browser", "release-browser")?;
    let mut bindgen = command(tools::wasm_bindgen()?);
    run(bindgen.args(["--target", "web", "--out-dir"]).arg(to).arg(module))?;
    let bound = to.join("ipfs_kit_storage_bg.wasm");
    optimize("-Oz", &bound, &bound)?;
    copy_all(Path::new(NPM_FILES), to)
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
