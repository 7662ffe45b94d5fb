//! Values of linked data, through the interface `values` and the commands `dag put` and `dag get`.

use std::fs;

use tempfile::TempDir;
use wasmtime_host_tests::{
    Command, Plugin, ValueCodec, ValueOptions, assert_error, plain,
    types::{Error, HashFunction, OfflineReason},
    value,
};

const TEXT: &str = r#"{"bytes":{"/":{"bytes":"AQID"}},"list":[1,-18446744073709551616,3.0,1e+21],"text":"Čaues"}"#;

/// Of an empty list, as the fixtures of the IPLD project have it.
const EMPTY: &str = "bafyreidwx2fvfdiaox32v2mnn6sxu3j4qoxeqcuenhtgrv5qv6litfnmoe";
const EMPTY_JSON: &str = "baguqeeraj5j43immfovaya2uxnpzupwl4xwrfk2nryi3vbz4f4irmeqcxfcq";

fn plugin() -> (TempDir, Plugin) {
    let folder = TempDir::new().unwrap();
    let plugin = Plugin::open(folder.path());
    (folder, plugin)
}

#[test]
fn values_are_put_in_one_codec_and_got_in_another() {
    let (folder, mut plugin) = plugin();
    let named = ValueOptions { filename: Some("config".into()), ..value() };
    let stored = plugin.put_json(&TEXT.replace(',', " ,\n"), &named).unwrap();
    assert!(stored.cid.starts_with("bafyrei"), "{}", stored.cid);
    assert_eq!((stored.filename.as_deref(), stored.pinned, stored.profile), (Some("config"), false, None));
    assert_eq!(plugin.list(), std::slice::from_ref(&stored));
    assert_eq!(plugin.get_json(&stored.cid).unwrap(), TEXT);
    let found = plugin.get_value(&format!("{}/list/0", stored.cid), ValueCodec::DagCbor, true).unwrap();
    assert_eq!(
        (found.bytes.as_slice(), found.cid, found.within),
        ([1].as_slice(), stored.cid.clone(), vec!["list".into(), "0".into()])
    );
    let cbor = plugin.get_value(&stored.cid, ValueCodec::DagCbor, true).unwrap().bytes;
    assert_eq!(Some(cbor.len() as u64), stored.size);
    assert_eq!(plugin.put_value(&cbor, ValueCodec::DagCbor, &value()).unwrap().cid, stored.cid);
    let json = ValueOptions { store_codec: Some(ValueCodec::DagJson), ..value() };
    assert_eq!(plugin.put_json("[ ]", &value()).unwrap().cid, EMPTY);
    assert_eq!(plugin.put_value(&[0x80], ValueCodec::DagCbor, &json).unwrap().cid, EMPTY_JSON);
    let blake3 = ValueOptions { hash: Some(HashFunction::Blake3), ..value() };
    let other = plugin.put_json(TEXT, &blake3).unwrap().cid;
    assert_ne!(other, stored.cid);
    assert_eq!(plugin.get_json(&other).unwrap(), TEXT);
    plugin.close();
    assert_eq!(Plugin::open(folder.path()).get_json(&stored.cid).unwrap(), TEXT);
}

#[test]
fn links_lead_on_hold_what_is_here_and_miss_nothing() {
    let (_folder, mut plugin) = plugin();
    let file = plugin.store(b"hello", &plain()).unwrap().cid;
    let text = format!(r#"{{"absent":{{"/":"{EMPTY}"}},"file":{{"/":"{file}"}}}}"#);
    let root = plugin.put_json(&text, &value()).unwrap().cid;
    assert_eq!(plugin.get_json(&root).unwrap(), text);
    assert_eq!(plugin.get_json(&format!("{root}/file")).unwrap(), r#"{"/":{"bytes":"aGVsbG8"}}"#);
    assert_eq!(plugin.retrieve(&format!("{root}/file")).unwrap(), b"hello");
    plugin.delete(&file).unwrap();
    assert!(plugin.collect_all(false).unwrap().obstacles.is_empty());
    assert!(plugin.exists(&file).unwrap());
    assert_error!(plugin.get_json(&format!("{root}/absent")), Error::NotAvailableOffline(offline) => {
        assert_eq!((offline.cid.as_str(), offline.reason), (EMPTY, OfflineReason::NoNetwork));
    });
    assert_error!(plugin.get_json(&format!("{root}/nothing")), Error::NotFound(_));
    // A pin needs all of it: the value is stored, and the pin waits.
    let pinned = ValueOptions { pin: true, ..value() };
    let whole = plugin.put_json("[1]", &pinned).unwrap();
    assert!(whole.pinned);
    assert_error!(plugin.put_json(&text, &pinned), Error::NotAvailableOffline(_));
    let pins = plugin.pins(None, 10).unwrap().pins;
    let pending: Vec<_> = pins.iter().map(|pin| (pin.cid.as_str(), pin.pending)).collect();
    assert!(pending.contains(&(&root, true)) && pending.contains(&(&whole.cid, false)), "{pending:?}");
    plugin.put_json("[]", &value()).unwrap();
    assert!(!plugin.pin(&root).unwrap().pending);
}

#[test]
fn what_is_no_value_is_refused() {
    let (_folder, mut plugin) = plugin();
    for bytes in ["{", "NaN", "1 1", r#"{"a":1,"a":1}"#, r#"{"/":"foo"}"#, "18446744073709551616"] {
        assert_error!(plugin.put_json(bytes, &value()), Error::InvalidArgument(_));
    }
    for bytes in [b"\x18\x00".as_slice(), b"\xf7", b"", b"\x00\x00", b"\xfb\x7f\xf8\0\0\0\0\0\0"] {
        assert_error!(plugin.put_value(bytes, ValueCodec::DagCbor, &value()), Error::InvalidArgument(_));
    }
    let large = format!("\"{}\"", "x".repeat(2 * 1024 * 1024));
    assert_error!(plugin.put_json(&large, &value()), Error::InvalidArgument(why) => assert!(why.contains("link to them"), "{why}"));
    let deep = ["[".repeat(100_000), "]".repeat(100_000)].concat();
    assert_error!(plugin.put_json(&deep, &value()), Error::InvalidArgument(_));
    // What only dag-cbor can say.
    let reserved = plugin.put_value(b"\xa1\x61/\x63foo", ValueCodec::DagCbor, &value()).unwrap().cid;
    assert_error!(plugin.get_json(&reserved), Error::Unsupported(_));
    assert!(plugin.get_value(&reserved, ValueCodec::DagCbor, false).is_ok());
    assert_error!(plugin.get_json("not a path"), Error::InvalidCid(_));
    assert_error!(plugin.retrieve(&reserved), Error::Unsupported(_));
}

struct Shell {
    store: TempDir,
    files: TempDir,
}

impl Shell {
    fn try_run(&self, input: &[u8], arguments: &[&str]) -> Result<Vec<u8>, String> {
        let command = Command::new().folder(self.store.path(), "/store").folder(self.files.path(), "/in");
        let outcome = command.input(input.to_vec()).run(&[&["--store", "/store"], arguments].concat());
        if outcome.success { Ok(outcome.output) } else { Err(outcome.errors) }
    }

    fn run(&self, input: &[u8], arguments: &[&str]) -> String {
        String::from_utf8(self.try_run(input, arguments).unwrap()).unwrap()
    }
}

#[test]
fn the_command_puts_and_gets_values() {
    let shell = Shell { store: TempDir::new().unwrap(), files: TempDir::new().unwrap() };
    assert_eq!(shell.run(b" [ ] ", &["dag", "put"]), format!("{EMPTY}\n"));
    assert_eq!(shell.run(b"[]", &["dag", "put", "--store-codec", "dag-json", "-"]), format!("{EMPTY_JSON}\n"));
    fs::write(shell.files.path().join("value.json"), TEXT).unwrap();
    let cid = shell.run(b"", &["dag", "put", "--pin", "--name", "config", "/in/value.json"]);
    let cid = cid.trim();
    let listed = shell.run(b"", &["ls"]);
    assert!(
        listed.lines().any(|line| line.contains(cid) && line.contains("pinned") && line.ends_with("config")),
        "{listed}"
    );
    assert_eq!(shell.run(b"", &["dag", "get", cid]), format!("{TEXT}\n"));
    assert_eq!(shell.run(b"", &["dag", "get", &format!("{cid}/list/3")]), "1e+21\n");
    let cbor = shell.try_run(b"", &["dag", "get", "--output-codec", "dag-cbor", cid]).unwrap();
    assert_eq!(shell.run(&cbor, &["dag", "put", "--input-codec", "dag-cbor"]).trim(), cid);
    assert_ne!(shell.run(&cbor, &["dag", "put", "--input-codec", "dag-cbor", "--hash", "sha2-512"]).trim(), cid);
    let object: serde_json::Value = serde_json::from_str(&shell.run(b"[]", &["--json", "dag", "put"])).unwrap();
    assert_eq!(object["cid"], EMPTY);
    for (arguments, problem) in [
        (["dag", "put", "--input-codec", "dag-cbor"].as_slice(), "invalid argument"),
        (&["dag", "put", "--input-codec", "dag-pb"], "no codec"),
        (&["dag", "put", "--hash", "md5"], "no hash"),
        (&["dag"], "dag takes"),
        (&["dag", "get"], "dag takes"),
        (&["dag", "get", cid, "twice"], "dag takes"),
        (&["dag", "get", &format!("{cid}/nothing")], "does not exist"),
    ] {
        let errors = shell.try_run(b"{}", arguments).unwrap_err();
        assert!(errors.contains(problem), "{errors}");
    }
}
