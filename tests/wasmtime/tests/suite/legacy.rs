//! Importing an old cache: by the command, and through the component.

use std::{collections::BTreeMap, fs, path::Path};

use serde_json::Value;
use sha2::{Digest, Sha256};
use tempfile::TempDir;
use wasmtime_host_tests::{Command, Outcome, Plugin, STORE, assert_error, random_bytes, types::Error};

const HELLO: &str = "bafkreifzjut3te2nhyekklss27nh3k72ysco7y32koao5eei66wof36n5e";

/// As the old code stored it; the key.
fn old_store(folder: &Path, data: &[u8], meta: &str) -> String {
    let digits: String = Sha256::digest(data).iter().map(|byte| format!("{byte:02x}")).collect();
    let key = format!("bafy{}", &digits[..56]);
    fs::write(folder.join(&key), data).unwrap();
    if !meta.is_empty() {
        fs::write(folder.join(format!("{key}.meta")), meta).unwrap();
    }
    key
}

fn run(store: &Path, old: &Path, arguments: &[&str]) -> Outcome {
    let command = Command::new().folder(store, "/store").folder(old, "/old");
    command.run(&[&["--store", "/store"], arguments].concat())
}

#[test]
fn the_command_prints_the_map_and_importing_again_gives_the_same() {
    let (store, old) = (TempDir::new().unwrap(), TempDir::new().unwrap());
    let large = random_bytes(1, 9_000_000);
    let hello = old_store(old.path(), b"hello world", r#"{"filename": "hello.txt", "fallback": true, "pinned": true}"#);
    let model = old_store(old.path(), &large, r#"{"filename": "a model.bin", "pinned": false}"#);
    let bare = old_store(old.path(), b"bare", "");
    fs::write(old.path().join("README.txt"), b"not of the cache").unwrap();

    let first = run(store.path(), old.path(), &["import-legacy", "/old"]);
    assert!(first.success && first.errors.is_empty(), "{first:?}");
    let text = String::from_utf8(first.output.clone()).unwrap();
    let lines: BTreeMap<&str, &str> = text.lines().map(|line| line.split_once(' ').unwrap()).collect();
    assert_eq!(lines.len(), 3, "{text}");
    assert_eq!(lines[hello.as_str()], format!("{HELLO} hello.txt"));
    assert!(lines[model.as_str()].ends_with(" a model.bin") && !lines[bare.as_str()].contains(' '), "{text}");
    assert_eq!(run(store.path(), old.path(), &["import-legacy", "/old"]).output, first.output);

    let json = run(store.path(), old.path(), &["--json", "import-legacy", "/old"]);
    let objects: Vec<Value> =
        String::from_utf8(json.output).unwrap().lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let told = objects.iter().find(|object| object["key"] == hello).unwrap();
    assert_eq!((&told["cid"], &told["filename"], &told["pinned"]), (&HELLO.into(), &"hello.txt".into(), &true.into()));
    assert_eq!((&told["changed"], &told["ignored"]), (&false.into(), &Value::Null));
    let cid = lines[model.as_str()].split(' ').next().unwrap();
    let mut plugin = Plugin::open(store.path());
    assert!(plugin.retrieve(cid).unwrap() == large);
    assert!(plugin.stat(HELLO).unwrap().pinned && !plugin.stat(cid).unwrap().pinned);
    assert_eq!(plugin.list().len(), 3);
}

#[test]
fn what_fails_is_said_after_the_others_are_imported() {
    let (store, old) = (TempDir::new().unwrap(), TempDir::new().unwrap());
    let good = old_store(old.path(), b"hello world", "{");
    let gone = old_store(old.path(), b"gone", r#"{"filename": "gone"}"#);
    fs::remove_file(old.path().join(&gone)).unwrap();
    let outcome = run(store.path(), old.path(), &["import-legacy", "/old"]);
    assert!(!outcome.success);
    let text = String::from_utf8(outcome.output).unwrap();
    assert!(text.contains(&format!("{good} {HELLO}\n")) && text.contains(&format!("{gone} -\n")), "{text}");
    assert!(outcome.errors.contains(&format!("{good}: without its name")), "{}", outcome.errors);
    assert!(outcome.errors.contains(&format!("{gone}.meta")), "{}", outcome.errors);
    let json = run(store.path(), old.path(), &["--json", "import-legacy", "/old"]);
    assert!(String::from_utf8(json.output).unwrap().contains(r#""code":"corrupt""#));
    let missing = run(store.path(), old.path(), &["import-legacy", "/old/missing"]);
    assert!(!missing.success && missing.output.is_empty(), "{missing:?}");
    assert!(!old.path().join("missing").exists(), "it is not made");
}

#[test]
fn a_host_gets_the_map_as_a_list() {
    let store = TempDir::new().unwrap();
    let old = store.path().join("old");
    fs::create_dir(&old).unwrap();
    let key = old_store(&old, b"hello world", r#"{"filename": "hello.txt", "pinned": true}"#);
    fs::write(old.join(&key), b"hello again").unwrap();
    let mut plugin = Plugin::open(store.path());
    let [imported] = plugin.import_legacy(&format!("{STORE}/old")).unwrap().try_into().unwrap();
    assert_eq!((imported.key, imported.changed, imported.ignored), (key, true, None));
    let stored = imported.stored.unwrap();
    assert_eq!((stored.filename.as_deref(), stored.pinned), (Some("hello.txt"), true));
    assert_eq!(plugin.retrieve(&stored.cid).unwrap(), b"hello again");
    assert_error!(plugin.import_legacy("/elsewhere"), Error::Denied(_));
}
