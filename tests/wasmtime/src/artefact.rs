//! The built components, compiled once for both test programs.

use std::{
    env, fs,
    io::Write,
    path::{Path, PathBuf},
    sync::{LazyLock, OnceLock},
};

use sha2::{Digest, Sha256};
use wasmtime::{Config, Engine, component::Component};

/// A file of `dist/`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Artefact {
    /// The component of world `local`.
    Local,
    /// The component of world `bridged`.
    Bridged,
    /// The same, and the bridge over HTTP.
    Composed,
    /// The command.
    Cli,
    /// The command, and the bridge over HTTP.
    CliHttp,
    /// The component of world `local` of `wit/p3/`, for WASI 0.3.
    Waiting,
    /// The same, in a component that cancels its calls.
    Cancelling,
}

impl Artefact {
    fn bytes(self) -> Vec<u8> {
        let name = match self {
            Artefact::Local => "ipfs-kit-storage.local.wasm",
            Artefact::Bridged => "ipfs-kit-storage.bridged.wasm",
            Artefact::Composed => "ipfs-kit-storage.wasm",
            Artefact::Cli => "ipfs-kit-storage.cli.wasm",
            Artefact::CliHttp => "ipfs-kit-storage.cli-http.wasm",
            Artefact::Waiting => "ipfs-kit-storage.p3.wasm",
            Artefact::Cancelling => "../target/guests/cancelling.wasm",
        };
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../dist").join(name);
        fs::read(&path)
            .unwrap_or_else(|error| panic!("{}: {error}; run ./x dist first, and ./x dist cancelling", path.display()))
    }

    fn prepared(self) -> &'static (PathBuf, Component) {
        static PREPARED: [OnceLock<(PathBuf, Component)>; 7] = [const { OnceLock::new() }; 7];
        PREPARED[self as usize].get_or_init(|| prepare(&self.bytes()))
    }

    /// The component, ready to run.
    pub fn component(self) -> &'static Component {
        &self.prepared().1
    }

    /// The file with its machine code, for [`load`].
    pub fn compiled(self) -> &'static Path {
        &self.prepared().0
    }
}

/// Compiles a component, unless that was done before. Its machine code lies beside the test binaries, where all find it.
fn prepare(bytes: &[u8]) -> (PathBuf, Component) {
    let digest = Sha256::digest(bytes).iter().take(8).map(|byte| format!("{byte:02x}")).collect::<String>();
    let binary = env::current_exe().expect("a test binary has a path");
    let folder = binary.parent().expect("it lies in a folder");
    let path = folder.join(format!("{digest}.cwasm"));
    // What another version or configuration of the engine made does not load.
    if let Ok(component) = load(&path) {
        return (path, component);
    }
    let component = Component::new(engine(), bytes).expect("it compiles");
    let mut file = tempfile::NamedTempFile::new_in(folder).expect("the target folder can be written");
    file.write_all(&component.serialize().expect("it serializes")).expect("it fits");
    file.persist(&path).expect("it can be renamed");
    (path, component)
}

/// Loads machine code that [`Artefact::compiled`] has made.
pub fn load(path: &Path) -> wasmtime::Result<Component> {
    // SAFETY: only this crate writes such files, whole or not at all, and the engine checks that it made them.
    unsafe { Component::deserialize_file(engine(), path) }
}

/// The one engine.
pub fn engine() -> &'static Engine {
    static ENGINE: LazyLock<Engine> = LazyLock::new(|| Engine::new(&Config::new()).expect("this machine is supported"));
    &ENGINE
}
