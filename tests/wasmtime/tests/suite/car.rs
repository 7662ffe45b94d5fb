//! Archives through the component, and by the command.

use std::fs;

use tempfile::TempDir;
use wasmtime_host_tests::{
    Command, Plugin, assert_error,
    car::{CarExportOptions, CarImportOptions, CarRange, CarScope, CarVersion},
    plain, random_bytes,
    types::Error,
};

const MIB: usize = 1024 * 1024;

const ALL: CarExportOptions =
    CarExportOptions { version: CarVersion::V1, scope: CarScope::All, range: None, offline: false };

fn load(name: &str) -> Vec<u8> {
    fs::read(format!("{}/../vectors/car/{name}", env!("CARGO_MANIFEST_DIR"))).unwrap()
}

fn once(pin: bool) -> CarImportOptions {
    CarImportOptions { pin, resume: None }
}

#[test]
fn what_kubo_wrote_goes_in_and_comes_out_again() {
    let folder = TempDir::new().unwrap();
    let mut plugin = Plugin::open(folder.path());
    for (name, piece) in [("dir3-v1.car", 1000), ("many5000-v1.car", 100_000)] {
        let archive = load(name);
        let report = plugin.import(&archive, piece, &once(true)).unwrap();
        let [root] = &report.roots[..] else { panic!("{report:?}") };
        assert!(root.whole && root.pinned && plugin.stat(&root.cid).unwrap().pinned);
        for max in [777, 1 << 20] {
            let (written, size) = plugin.export(&[&root.cid], ALL, max).unwrap();
            assert!(written == archive && size == archive.len() as u64, "{name}");
        }
        let (wrapped, size) =
            plugin.export(&[&root.cid], CarExportOptions { version: CarVersion::V2, ..ALL }, 1 << 20).unwrap();
        assert!(size == wrapped.len() as u64 && wrapped[51..].starts_with(&archive));
        assert_eq!(plugin.import(&wrapped, piece, &once(false)).unwrap(), report);
    }
}

#[test]
fn damage_comes_as_it_is() {
    let folder = TempDir::new().unwrap();
    let mut plugin = Plugin::open(folder.path());
    let good = load("dir3-v1.car");
    let mut bad = good.clone();
    let last = bad.len() - 1;
    bad[last] ^= 1;
    assert_error!(plugin.import(&bad, 4096, &once(false)), Error::Integrity(_));
    let cut = plugin.import(&good[..last], 4096, &once(false));
    assert_error!(cut, Error::Corrupt(found) if found.detail.contains("at byte "));
    assert_error!(plugin.import(&load("sample-v1.car"), 4096, &once(false)), Error::Unsupported(_));
    assert_eq!(plugin.backend_status().unwrap().blocks, 0, "nothing of them stays");
    assert_error!(
        plugin.export(&["bafkreifzjut3te2nhyekklss27nh3k72ysco7y32koao5eei66wof36n5e"], ALL, 1),
        Error::NotAvailableOffline(_)
    );
    let ranged = CarExportOptions { scope: CarScope::Block, range: Some(CarRange { from: 0, to: None }), ..ALL };
    assert_error!(plugin.export(&["bafkqaaa"], ranged, 1), Error::InvalidArgument(_));
}

#[test]
fn a_killed_import_goes_on_in_bounded_memory() {
    let data = random_bytes(11, 96 * MIB);
    let (one, other) = (TempDir::new().unwrap(), TempDir::new().unwrap());
    let mut plugin = Plugin::open(one.path());
    let cid = plugin.stream(data.chunks(MIB), &plain()).unwrap().cid;
    let (archive, _) = plugin.export(&[&cid], ALL, 1 << 20).unwrap();
    assert!(plugin.peak_memory() < 64 * MIB, "{}", plugin.peak_memory());
    let options = CarImportOptions { pin: false, resume: Some("the archive".into()) };
    let mut plugin = Plugin::open(other.path());
    let import = plugin.open_import(&options).unwrap();
    for piece in archive[..60 * MIB].chunks(MIB) {
        plugin.import_write(import, piece).unwrap();
    }
    let stored = plugin.import_position(import);
    assert!(stored > 16 * MIB as u64);
    // Nothing of the component runs any more; whoever opens next takes over from it.
    drop(plugin);
    let options_after = wasmtime_host_tests::types::OpenOptions { take_over: true, ..wasmtime_host_tests::in_store() };
    let mut plugin = wasmtime_host_tests::Instance::new(other.path(), &[]).open(&options_after).unwrap();
    plugin.collect_all(false).unwrap();
    let import = plugin.open_import(&options).unwrap();
    assert_eq!(plugin.import_position(import), stored);
    for piece in archive[stored as usize..].chunks(MIB) {
        plugin.import_write(import, piece).unwrap();
    }
    let report = plugin.import_finish(import).unwrap();
    plugin.release(import);
    assert!(report.roots[0].whole && report.bytes > 96 * MIB as u64);
    assert!(plugin.peak_memory() < 64 * MIB, "{}", plugin.peak_memory());
    let (again, _) = plugin.export(&[&cid], ALL, 1 << 20).unwrap();
    assert!(again == archive);
    let import = plugin.open_import(&options).unwrap();
    assert_eq!(plugin.import_position(import), 0, "no note is left");
    plugin.import_abort(import).unwrap();
    plugin.release(import);
}

#[test]
fn the_command_imports_and_exports() {
    let (store, files) = (TempDir::new().unwrap(), TempDir::new().unwrap());
    let archive = load("dir3-v1.car");
    fs::write(files.path().join("dir3.car"), &archive).unwrap();
    let command = || Command::new().folder(store.path(), "/store").folder(files.path(), "/in");
    let run = |command: Command, arguments: &[&str]| {
        let outcome = command.run(&[&["--store", "/store", "--json"], arguments].concat());
        assert!(outcome.success, "{}", outcome.errors);
        outcome.output
    };
    let imported: serde_json::Value =
        serde_json::from_slice(&run(command(), &["car", "import", "--pin", "/in/dir3.car"])).unwrap();
    let root = imported["roots"][0]["cid"].as_str().unwrap().to_owned();
    assert_eq!((&imported["roots"][0]["whole"], &imported["roots"][0]["pinned"]), (&true.into(), &true.into()));
    assert!(run(command(), &["car", "export", &root]) == archive);
    assert!(run(command(), &["car", "export", "-o", "-", &root]) == archive);
    run(command(), &["car", "export", "--version", "2", "-o", "/in/out.car", &root]);
    let wrapped = fs::read(files.path().join("out.car")).unwrap();
    assert!(wrapped[51..].starts_with(&archive));
    let block = run(command(), &["car", "export", "--scope", "block", &root]);
    assert!(block.len() < 2000 && archive.starts_with(&block));
    let ranged = run(command(), &["car", "export", "--range", "-1:*", &root]);
    assert!(ranged == block, "a directory in one block has no range");
    let again = run(command().input(wrapped), &["car", "import", "--resume", "-"]);
    assert!(String::from_utf8(again).unwrap().contains(&root));
    run(command(), &["car", "forget", "-"]);
    for wrong in [
        &["car"][..],
        &["car", "import"],
        &["car", "export", "--version", "3", "x"],
        &["car", "export", "--scope", "x"],
        &["car", "export", "--range", "1-2", "x"],
    ] {
        assert!(!command().run(&[&["--store", "/store"], wrong].concat()).success, "{wrong:?}");
    }
}
