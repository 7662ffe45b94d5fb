//! The command, run with everything a shell would give it.

use std::{
    collections::BTreeSet,
    fs,
    time::{SystemTime, UNIX_EPOCH},
};

use serde_json::Value;
use tempfile::TempDir;
use wasmtime_host_tests::{Command, Outcome, buffer, kubo_cids, random_bytes, types::Profile};

const HELLO: &str = "bafkreifzjut3te2nhyekklss27nh3k72ysco7y32koao5eei66wof36n5e";
const MIB: usize = 1024 * 1024;

fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis() as u64
}

/// A store, and a folder with files to put in.
struct Shell {
    store: TempDir,
    files: TempDir,
}

impl Shell {
    fn new() -> Self {
        Shell { store: TempDir::new().unwrap(), files: TempDir::new().unwrap() }
    }

    fn file(&self, name: &str, bytes: &[u8]) {
        fs::write(self.files.path().join(name), bytes).unwrap();
    }

    fn command(&self) -> Command {
        Command::new().folder(self.store.path(), "/store").folder(self.files.path(), "/in")
    }

    fn try_run(&self, arguments: &[&str]) -> Outcome {
        self.command().run(&[&["--store", "/store"], arguments].concat())
    }

    /// What it prints when it works.
    fn run(&self, arguments: &[&str]) -> String {
        printed(self.try_run(arguments))
    }

    /// The same with `--json`, one object a line.
    fn json(&self, arguments: &[&str]) -> Vec<Value> {
        objects(&self.run(&[&["--json"], arguments].concat()))
    }

    /// The code of the error when it fails.
    fn error_code(&self, arguments: &[&str]) -> String {
        let outcome = self.try_run(&[&["--json"], arguments].concat());
        assert!(!outcome.success, "{outcome:?}");
        assert_eq!(outcome.output, b"");
        let [error] = objects(&outcome.errors).try_into().unwrap();
        assert!(!error["error"]["message"].as_str().unwrap().is_empty());
        error["error"]["code"].as_str().unwrap().to_owned()
    }
}

fn printed(outcome: Outcome) -> String {
    assert!(outcome.success, "{}", outcome.errors);
    assert_eq!(outcome.errors, "");
    String::from_utf8(outcome.output).unwrap()
}

fn objects(text: &str) -> Vec<Value> {
    text.lines().map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line:?}"))).collect()
}

#[test]
fn store_prints_the_cid_and_the_name() {
    let shell = Shell::new();
    shell.file("hello.txt", b"hello world");
    assert_eq!(shell.run(&["store", "/in/hello.txt"]), format!("{HELLO} hello.txt\n"));
    assert_eq!(shell.run(&["store", "--name", "greeting", "/in/hello.txt"]), format!("{HELLO} greeting\n"));
    let [stored] = shell.json(&["store", "--pin", "/in/hello.txt"]).try_into().unwrap();
    assert_eq!(stored["cid"], HELLO);
    assert_eq!(stored["size"], 11);
    assert_eq!(stored["filename"], "hello.txt");
    assert_eq!(stored["pinned"], true);
    assert_eq!(stored["profile"], "unixfs-v1-2025");
}

#[test]
fn files_get_the_cids_that_kubo_gives_them() {
    let shell = Shell::new();
    for (profile, name) in [(Profile::UnixfsV12025, "unixfs-v1-2025"), (Profile::UnixfsV02015, "unixfs-v0-2015")] {
        let vectors = kubo_cids(profile);
        let names: Vec<String> = vectors.iter().map(|(size, _)| format!("/in/{size}")).collect();
        vectors.iter().for_each(|(size, _)| shell.file(&size.to_string(), &buffer(*size)));
        let mut arguments = vec!["store", "--profile", name];
        arguments.extend(names.iter().map(String::as_str));
        let stored = shell.json(&arguments);
        assert_eq!(stored.len(), vectors.len());
        for (stored, (size, cid)) in stored.iter().zip(&vectors) {
            assert_eq!(stored["cid"], **cid, "{size} bytes");
            assert_eq!((&stored["size"], &stored["profile"]), (&Value::from(*size), &Value::from(name)));
        }
    }
}

#[test]
fn standard_input_is_stored_to_its_end() {
    let shell = Shell::new();
    let (size, cid) = kubo_cids(Profile::UnixfsV12025).into_iter().max().unwrap();
    let store = ["--store", "/store", "store", "-"];
    assert_eq!(printed(shell.command().input(buffer(size)).run(&store)), format!("{cid}\n"));
    let named = shell.command().input(b"hello world".to_vec()).run(&[&store[..], &["--name", "greeting"]].concat());
    assert_eq!(printed(named), format!("{HELLO} greeting\n"));
    let empty = shell.command().input(Vec::new()).run(&[&store[..], &["--json"]].concat());
    assert_eq!(objects(&printed(empty))[0]["size"], 0);
}

#[test]
fn retrieve_gives_the_bytes_back() {
    let shell = Shell::new();
    let data = random_bytes(1, 5 * MIB);
    shell.file("data", &data);
    let [stored] = shell.json(&["store", "/in/data"]).try_into().unwrap();
    let cid = stored["cid"].as_str().unwrap();

    let whole = shell.try_run(&["retrieve", cid]);
    assert!(whole.success && whole.errors.is_empty() && whole.output == data);
    let range = shell.try_run(&["retrieve", cid, "--offset", "1048000", "--length", "2000000"]);
    assert!(range.success && range.output == data[1_048_000..3_048_000]);
    let past = shell.try_run(&["retrieve", cid, "--offset", "99999999"]);
    assert!(past.success && past.output.is_empty());
    let by_path = shell.try_run(&["retrieve", &format!("/ipfs/{cid}")]);
    assert!(by_path.success && by_path.output == data);
    assert_eq!(shell.error_code(&["retrieve", &format!("{cid}/x")]), "not-found");

    // Over a longer file that is there.
    shell.file("back", &[0; 6 * MIB]);
    shell.run(&["retrieve", cid, "-o", "/in/back"]);
    assert!(fs::read(shell.files.path().join("back")).unwrap() == data);
    let [told] =
        shell.json(&["retrieve", cid, "--output", "/in/part", "--offset=10", "--length=90"]).try_into().unwrap();
    assert_eq!((&told["cid"], &told["size"], &told["output"]), (&stored["cid"], &90.into(), &"/in/part".into()));
    assert_eq!(fs::read(shell.files.path().join("part")).unwrap(), data[10..100]);
}

#[test]
fn ls_and_stat_tell_what_is_stored() {
    let shell = Shell::new();
    assert_eq!(shell.run(&["ls"]), "");
    let names = ["a", "b with spaces", "ç"];
    for name in names {
        shell.file(name, name.as_bytes());
        shell.run(&["store", &format!("/in/{name}")]);
    }
    let files = shell.json(&["ls"]);
    let listed: BTreeSet<&str> = files.iter().map(|file| file["filename"].as_str().unwrap()).collect();
    assert_eq!(listed, BTreeSet::from(names));
    let lines = shell.run(&["ls"]);
    for (line, file) in lines.lines().zip(&files) {
        assert!(line.starts_with(file["cid"].as_str().unwrap()), "{line}");
        assert!(line.ends_with(file["filename"].as_str().unwrap()), "{line}");
        assert_eq!(shell.json(&["stat", file["cid"].as_str().unwrap()]), std::slice::from_ref(file));
    }
    assert_eq!(lines.lines().count(), 3);
    let told = shell.run(&["stat", files[0]["cid"].as_str().unwrap()]);
    assert!(told.contains(files[0]["cid"].as_str().unwrap()) && told.contains("pinned:   false"), "{told}");
}

#[test]
fn pins_protect_and_rm_removes() {
    let shell = Shell::new();
    shell.file("hello", b"hello world");
    shell.file("bye", b"bye");
    shell.run(&["store", "/in/hello"]);
    let bye = shell.json(&["store", "/in/bye"])[0]["cid"].as_str().unwrap().to_owned();
    assert_eq!(shell.run(&["exists", HELLO]), "true\n");
    assert_eq!(shell.run(&["pin", HELLO, &bye]), format!("pinned {HELLO}\npinned {bye}\n"));
    assert_eq!(shell.error_code(&["rm", HELLO]), "denied");
    assert_eq!(shell.json(&["unpin", HELLO])[0]["unpinned"], true);
    assert_eq!(shell.run(&["rm", HELLO]), format!("removed {HELLO}\n"));
    assert_eq!(shell.run(&["exists", HELLO]), "false\n");
    assert_eq!(shell.json(&["exists", HELLO])[0]["exists"], false);
    assert_eq!(shell.json(&["ls"]).len(), 1);
    assert_eq!(shell.json(&["stat", &bye])[0]["pinned"], true);
}

#[test]
fn pins_have_names_labels_and_ends_and_are_listed() {
    let shell = Shell::new();
    shell.file("hello", b"hello world");
    shell.run(&["store", "/in/hello"]);
    let before = now();
    let options = ["--name", "greeting", "--label", "owner=me", "--label", "task=a=b", "--expires", "2d"];
    let [made] = shell.json(&[&["pin", HELLO], &options[..]].concat()).try_into().unwrap();
    assert_eq!((&made["cid"], &made["kind"], &made["name"]), (&HELLO.into(), &"recursive".into(), &"greeting".into()));
    assert_eq!(made["labels"], serde_json::json!({ "owner": "me", "task": "a=b" }));
    assert_eq!((&made["pending"], &made["blocks"], &made["bytes"]), (&false.into(), &1.into(), &11.into()));
    let days = 2 * 24 * 60 * 60 * 1000;
    assert!((before + days..=now() + days).contains(&made["expires"].as_u64().unwrap()), "{made}");
    assert_eq!(shell.json(&["pin", "ls"]), [made]);
    let line = shell.run(&["pin", "ls"]);
    for part in [HELLO, "recursive", "1 blocks", "11 B", "greeting", "owner=me"] {
        assert!(line.contains(part), "{part} is missing: {line}");
    }
    // All of it is pinned: one block of it alone would be less.
    assert_eq!(shell.error_code(&["pin", "--direct", HELLO]), "denied");
    shell.run(&["unpin", HELLO]);
    assert_eq!(shell.json(&["pin", "--direct", HELLO])[0]["kind"], "direct");
    assert_eq!(shell.error_code(&["rm", HELLO]), "denied");
    assert_eq!(shell.run(&["rm", "--force", HELLO]), format!("removed {HELLO}\n"));
    assert_eq!(shell.run(&["pin", "ls"]), "");
    assert_eq!(shell.error_code(&["unpin", HELLO]), "not-found");
}

#[test]
fn status_tells_the_figures() {
    let shell = Shell::new();
    shell.file("hello", b"hello world");
    shell.run(&["store", "--pin", "/in/hello"]);
    let [status] = shell.json(&["status"]).try_into().unwrap();
    for (figure, value) in [("blocks", 1), ("bytes", 11), ("roots", 1), ("pinned", 1), ("quarantined", 0)] {
        assert_eq!(status[figure], value, "{figure}");
    }
    assert_eq!(status["recovery"]["truncated_bytes"], 0);
    let local = &status["backends"][0];
    assert_eq!(
        (&local["name"], &local["kind"], &local["state"]),
        (&"local".into(), &"pack".into(), &"available".into())
    );
    assert!(!status["local_only"].as_str().unwrap().is_empty());
    let text = shell.run(&["status"]);
    assert!(text.contains("local (pack): available") && text.contains("files: 1, pins: 1"), "{text}");
}

#[test]
fn the_environment_names_the_store() {
    let shell = Shell::new();
    shell.file("hello", b"hello world");
    let in_environment = || shell.command().variable("IPFS_KIT_CACHE_DIR", "/store");
    printed(in_environment().run(&["store", "/in/hello"]));
    assert_eq!(shell.run(&["exists", HELLO]), "true\n");
    assert_eq!(printed(in_environment().run(&["--store", "/in", "exists", HELLO])), "false\n", "--store comes first");
    let nowhere = shell.command().run(&["ls"]);
    assert!(!nowhere.success && nowhere.errors.contains("IPFS_KIT_CACHE_DIR"), "{nowhere:?}");
}

#[test]
fn help_and_version_need_no_store() {
    for help in [&["--help"][..], &["-h"], &["store", "--help"]] {
        let text = printed(Command::new().run(help));
        for command in ["store", "retrieve", "ls", "stat", "exists", "rm", "pin", "unpin", "status", "--json"] {
            assert!(text.contains(command), "{command} is missing");
        }
    }
    assert_eq!(printed(Command::new().run(&["--version"])), "ipfs-kit-storage 0.1.0\n");
}

#[test]
fn what_cannot_be_understood_fails_with_a_message() {
    let shell = Shell::new();
    let wrong: [(&[&str], &str); 22] = [
        (&[], "no command"),
        (&["frobnicate"], "frobnicate"),
        (&["ls", "--frobnicate"], "--frobnicate"),
        (&["ls", "-x"], "-x"),
        (&["ls", "extra"], "CID"),
        (&["store"], "FILE"),
        (&["store", "--profile", "v7", "/in/x"], "v7"),
        (&["store", "--name", "one", "/in/x", "/in/y"], "--name"),
        (&["retrieve"], "CID"),
        (&["retrieve", HELLO, HELLO], "CID"),
        (&["retrieve", HELLO, "--offset", "-1"], "-1"),
        (&["retrieve", HELLO, "--length", "many"], "many"),
        (&["rm"], "CID"),
        (&["pin"], "CID"),
        (&["pin", "ls", HELLO], HELLO),
        (&["pin", HELLO, "--label", "alone"], "KEY=VALUE"),
        (&["pin", HELLO, "--label", "a=1", "--label", "a=2"], "twice"),
        (&["pin", HELLO, "--expires", "30"], "30"),
        (&["pin", HELLO, "--expires", "d"], "d"),
        (&["pin", HELLO, "--expires", "-1d"], "-1d"),
        (&["pin", HELLO, "--expires", "18446744073709551615d"], "18446744073709551615d"),
        (&["--durability", "hard", "ls"], "hard"),
    ];
    for (arguments, named) in wrong {
        let outcome = shell.try_run(arguments);
        assert!(!outcome.success && outcome.output.is_empty(), "{arguments:?}: {outcome:?}");
        assert!(outcome.errors.contains(named), "{arguments:?}: {}", outcome.errors);
    }
}

#[test]
fn errors_have_the_codes_of_the_contract() {
    let shell = Shell::new();
    shell.file("hello", b"hello world");
    assert_eq!(shell.error_code(&["retrieve", "../x"]), "invalid-cid");
    assert_eq!(shell.error_code(&["retrieve", HELLO]), "not-available-offline");
    assert_eq!(shell.error_code(&["stat", HELLO]), "not-found");
    assert_eq!(shell.error_code(&["rm", HELLO]), "not-found");
    assert_eq!(shell.error_code(&["store", "/elsewhere/hello"]), "denied");
    assert_eq!(shell.error_code(&["store", "/in/../hello"]), "denied");
    assert_eq!(shell.error_code(&["store", "/in/missing"]), "io");
    assert_eq!(shell.error_code(&["store", "/in"]), "unsupported");
    assert_eq!(shell.error_code(&["store", "/in/hello", "--name", &"n".repeat(4097)]), "invalid-argument");
    let plain = shell.try_run(&["stat", HELLO]);
    assert!(!plain.success && plain.errors.starts_with("error: ") && plain.errors.contains(HELLO), "{plain:?}");
}

#[test]
fn what_was_stored_before_a_failure_stays() {
    let shell = Shell::new();
    shell.file("hello", b"hello world");
    let outcome = shell.try_run(&["store", "/in/hello", "/in/missing"]);
    assert!(!outcome.success);
    assert_eq!(String::from_utf8(outcome.output).unwrap(), format!("{HELLO} hello\n"));
    assert_eq!(shell.run(&["exists", HELLO]), "true\n");
}

#[test]
fn a_limit_makes_room_among_what_is_not_pinned() {
    let shell = Shell::new();
    for (seed, name) in ["old", "kept", "new", "more"].iter().enumerate() {
        shell.file(name, &random_bytes(seed as u64, MIB));
    }
    let old = shell.run(&["store", "/in/old"]).split(' ').next().unwrap().to_owned();
    shell.run(&["store", "--pin", "/in/kept"]);
    let stored = shell.try_run(&["--json", "--limit", "2500K", "store", "/in/new"]);
    let [evicted] = objects(&stored.errors).try_into().unwrap();
    assert_eq!(evicted["evicted"], old.as_str());
    assert_eq!((evicted["filename"].as_str(), evicted["reason"].as_str()), (Some("old"), Some("limit")));
    assert_eq!(shell.run(&["exists", &old]), "false\n");
    assert_eq!(shell.json(&["ls"]).len(), 2);
    // What is pinned fills it.
    let full = shell.try_run(&["--json", "--limit", "1M", "store", "/in/more"]);
    assert!(!full.success && full.errors.contains("\"quota-exceeded\""), "{full:?}");
    let wrong = shell.try_run(&["--limit", "2X", "ls"]);
    assert!(!wrong.success && wrong.errors.contains("20G"), "{wrong:?}");
}
