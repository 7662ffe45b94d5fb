//! What the components ask of a host: what they do not import they cannot do.

use wasmtime::component::types::{ComponentExtern, ComponentItem};
use wasmtime_host_tests::{Artefact, engine};

/// What files, time and the environment need.
const HOST: &[&str] = &["wasi:filesystem/", "wasi:clocks/", "wasi:cli/environment", "wasi:io/", "wasi:random/"];
const TERMINAL: &[&str] = &["wasi:cli/stdin", "wasi:cli/stdout", "wasi:cli/stderr", "wasi:cli/terminal-"];

/// The interfaces that a component imports and exports. One with nothing but types asks for nothing, and gives nothing.
fn interfaces(artefact: Artefact) -> (Vec<String>, Vec<String>) {
    let of = artefact.component().component_type();
    let calls = |(name, item): (&str, ComponentExtern<'_>)| match item.ty {
        ComponentItem::ComponentInstance(interface) => interface
            .exports(engine())
            .any(|(_, item)| !matches!(item.ty, ComponentItem::Type(_)))
            .then(|| name.to_owned()),
        other => panic!("{name} is no interface but {other:?}"),
    };
    (of.imports(engine()).filter_map(calls).collect(), of.exports(engine()).filter_map(calls).collect())
}

/// What a store offers.
const EXPORTS: &[&str] = &[
    "ipfs-kit:storage/storage@0.1.0",
    "ipfs-kit:storage/values@0.1.0",
    "ipfs-kit:storage/car@0.1.0",
    "ipfs-kit:storage/names@0.1.0",
    "ipfs-kit:storage/files@0.1.0",
    "ipfs-kit:storage/outbox@0.1.0",
];

fn others(imports: Vec<String>, allowed: &[&str]) -> Vec<String> {
    assert!(!imports.is_empty(), "it imports nothing at all, so this reads the wrong thing");
    imports.into_iter().filter(|import| !allowed.iter().any(|start| import.starts_with(start))).collect()
}

#[test]
fn the_local_component_can_reach_no_network() {
    let (imports, exports) = interfaces(Artefact::Local);
    assert_eq!(others(imports, HOST), Vec::<String>::new());
    assert_eq!(exports, EXPORTS);
}

#[test]
fn the_command_can_reach_no_network() {
    let (imports, exports) = interfaces(Artefact::Cli);
    assert_eq!(others(imports, &[HOST, TERMINAL].concat()), Vec::<String>::new());
    assert_eq!(exports, ["wasi:cli/run@0.2.12"]);
}

#[test]
fn the_bridged_component_reaches_out_through_two_interfaces() {
    let (imports, exports) = interfaces(Artefact::Bridged);
    let mut outward = others(imports, HOST);
    outward.sort();
    assert_eq!(outward, ["ipfs-kit:storage/outgoing-http@0.1.0", "ipfs-kit:storage/remote@0.1.0"]);
    assert_eq!(exports, EXPORTS);
}

#[test]
fn the_composed_component_asks_for_http_besides() {
    let (imports, exports) = interfaces(Artefact::Composed);
    let mut besides = others(imports, HOST);
    besides.sort();
    assert_eq!(besides, ["wasi:http/outgoing-handler@0.2.12", "wasi:http/types@0.2.12"]);
    assert_eq!(exports, EXPORTS);
}

#[test]
fn the_component_for_wasi_0_3_can_reach_no_network_and_asks_for_nothing_of_0_2() {
    let (imports, exports) = interfaces(Artefact::Waiting);
    assert!(imports.iter().all(|import| import.ends_with("@0.3.0")), "{imports:?}");
    assert_eq!(
        others(imports, &["wasi:filesystem/", "wasi:clocks/system-clock@", "wasi:cli/environment@"]),
        Vec::<String>::new()
    );
    assert_eq!(exports, ["ipfs-kit:storage-p3/storage@0.1.0"]);
}
