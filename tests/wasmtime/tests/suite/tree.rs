//! Names and the mutable tree, through the component and the command.

use serde_json::Value;
use tempfile::TempDir;
use wasmtime_host_tests::{
    Command, Outcome, Plugin, assert_error,
    bindings::exports::ipfs_kit::storage::{
        files::{CopyFrom, FileKind, Metadata, Mtime, WriteOptions},
        names::Expected,
    },
    creating, plain, random_bytes,
    types::Error,
};

const HELLO: &str = "bafkreifzjut3te2nhyekklss27nh3k72ysco7y32koao5eei66wof36n5e";
const EMPTY: &str = "bafybeiczsscdsbs7ffqz55asqdf3smv6klcw3gofszvwlyarci47bgf354";
const PLAIN: Metadata = Metadata { mode: None, mtime: None };

#[test]
fn names_lead_to_cids_and_keep_them() {
    let folder = TempDir::new().unwrap();
    let mut plugin = Plugin::open(folder.path());
    let cid = plugin.store(b"hello world", &plain()).unwrap().cid;
    let other = plugin.store(b"another", &plain()).unwrap().cid;
    let set = plugin.set_name("a/greeting", &cid, &Expected::Absent).unwrap();
    assert_eq!((set.name.as_str(), set.cid.as_str()), ("a/greeting", HELLO));
    assert_error!(plugin.set_name("a/greeting", &other, &Expected::Absent), Error::Conflict(name) => assert_eq!(name, "a/greeting"));
    assert_error!(plugin.set_name("a/greeting", &other, &Expected::Cid(other.clone())), Error::Conflict(_));
    assert_error!(plugin.set_name("", &other, &Expected::Any), Error::InvalidArgument(_));
    assert_error!(plugin.set_name("b", &"no cid".to_owned(), &Expected::Any), Error::InvalidCid(_));
    assert_error!(plugin.get_name("b"), Error::NotFound(name) => assert_eq!(name, "b"));
    assert_error!(plugin.delete(&cid), Error::Denied(why) => assert!(why.contains("a/greeting"), "{why}"));
    plugin.set_name("b", &other, &Expected::Any).unwrap();
    plugin.close();
    let mut plugin = Plugin::open(folder.path());
    assert_eq!(plugin.get_name("a/greeting").unwrap(), set);
    let page = plugin.list_names("", None, 1).unwrap();
    assert_eq!((page.names, page.next.as_deref()), (vec![set], Some("a/greeting")));
    assert_eq!(plugin.list_names("", Some("a/greeting"), 9).unwrap().names[0].cid, other);
    assert_eq!(plugin.list_names("a/", None, 9).unwrap().names.len(), 1);
    plugin.set_name("a/greeting", &other, &Expected::Cid(cid.clone())).unwrap();
    plugin.delete(&cid).unwrap();
    assert_error!(plugin.remove_name("a/greeting", &Expected::Cid(cid)), Error::Conflict(_));
    plugin.remove_name("a/greeting", &Expected::Any).unwrap();
    plugin.delete_with(&other, true).unwrap();
    assert_error!(plugin.get_name("b"), Error::NotFound(_));
}

#[test]
fn the_tree_is_changed_by_paths() {
    let folder = TempDir::new().unwrap();
    let mut plugin = Plugin::open(folder.path());
    assert_eq!(plugin.files_stat("/").unwrap().cid, EMPTY);
    plugin.files_write("/hello.txt", b"hello world", creating()).unwrap();
    assert_eq!(plugin.files_stat("/hello.txt").unwrap().cid, HELLO);
    plugin.files_mkdir("/a/b", true, Metadata { mode: Some(0o700), mtime: None }).unwrap();
    plugin.files_cp(&CopyFrom::Tree("/hello.txt".into()), "/a/b/", false).unwrap();
    plugin.files_cp(&CopyFrom::Path(HELLO.into()), "/a/linked", false).unwrap();
    plugin.files_mv("/hello.txt", "/moved.txt").unwrap();
    plugin.files_write("/a/linked", b"HELLO", WriteOptions { create: false, ..creating() }).unwrap();
    plugin.files_truncate("/a/linked", 7).unwrap();
    assert_eq!(plugin.files_read("/a/linked").unwrap(), b"HELLO w");
    assert_eq!(plugin.files_read("/moved.txt").unwrap(), b"hello world");
    plugin.files_chmod("/moved.txt", 0o600).unwrap();
    let mtime = Mtime { seconds: -7, nanoseconds: 9 };
    plugin.files_touch("/moved.txt", mtime).unwrap();
    let stat = plugin.files_stat("/moved.txt").unwrap();
    assert_eq!(
        (stat.kind, stat.size, stat.metadata),
        (FileKind::File, 11, Metadata { mode: Some(0o600), mtime: Some(mtime) })
    );
    let page = plugin.files_ls("/a", None, 1).unwrap();
    assert_eq!((page.files[0].filename.as_deref(), page.files[0].kind), (Some("b"), Some(FileKind::Directory)));
    let page = plugin.files_ls("/a", page.next.as_deref(), 1).unwrap();
    assert_eq!((page.files[0].filename.as_deref(), page.files[0].size, page.next), (Some("linked"), Some(7), None));
    assert_error!(plugin.files_write("/none", b"", WriteOptions { create: false, ..creating() }), Error::NotFound(path) => assert_eq!(path, "/none"));
    assert_error!(plugin.files_mkdir("/a", false, PLAIN), Error::Denied(_));
    assert_error!(plugin.files_rm("/a", false, false), Error::InvalidArgument(_));
    assert_error!(plugin.files_mv("/a", "/a/b/c"), Error::InvalidArgument(_));
    let root = plugin.files_flush("/").unwrap();
    plugin.close();
    let mut plugin = Plugin::open(folder.path());
    assert_eq!(plugin.files_flush("/").unwrap(), root);
    let history = plugin.files_history().unwrap();
    assert_eq!((history[0].cid.as_str(), history.len()), (root.as_str(), 9));
    plugin.files_rm("/a", true, false).unwrap();
    plugin.files_rm("/moved.txt", false, false).unwrap();
    assert_eq!(plugin.files_stat("/").unwrap().cid, EMPTY);
    // The roots before are kept.
    plugin.collect_all(false).unwrap();
    assert_eq!(plugin.retrieve(&format!("{root}/a/b/hello.txt")).unwrap(), b"hello world");
}

#[test]
fn a_file_of_the_tree_is_written_in_pieces_with_bounded_memory() {
    let folder = TempDir::new().unwrap();
    let mut plugin = Plugin::open(folder.path());
    let piece = random_bytes(1, 4 << 20);
    let writer = plugin.files_writer("/large", creating()).unwrap();
    for _ in 0..64 {
        plugin.files_push(writer, &piece).unwrap();
    }
    assert_error!(plugin.files_stat("/large"), Error::NotFound(_));
    plugin.files_finish(writer).unwrap();
    assert_error!(plugin.files_finish(writer), Error::Cancelled);
    plugin.release(writer);
    assert_eq!(plugin.files_stat("/large").unwrap().size, 256 << 20);
    // In the midst of it, and at its end.
    let over = WriteOptions { offset: 100 << 20, ..creating() };
    plugin.files_write("/large", b"changed", over).unwrap();
    plugin.files_write("/large", b"end", WriteOptions { append: true, ..creating() }).unwrap();
    let reader = plugin.files_reader("/large", 100 << 20, Some(8)).unwrap();
    let mut read = Vec::new();
    plugin.read_with(reader, 1 << 20, |bytes| read.extend_from_slice(bytes)).unwrap();
    assert_eq!((&read[..7], read[7]), (&b"changed"[..], piece[7]));
    assert_eq!(plugin.files_stat("/large").unwrap().size, (256 << 20) + 3);
    assert!(plugin.peak_memory() < 64 << 20, "{} bytes", plugin.peak_memory());
    // One that is dropped changes nothing.
    let writer = plugin.files_writer("/other", creating()).unwrap();
    plugin.files_push(writer, &piece).unwrap();
    plugin.release(writer);
    assert_error!(plugin.files_stat("/other"), Error::NotFound(_));
}

struct Shell(TempDir);

impl Shell {
    fn try_run(&self, arguments: &[&str], input: &[u8]) -> Outcome {
        let command = Command::new().folder(self.0.path(), "/store").input(input.to_vec());
        command.run(&[&["--store", "/store"], arguments].concat())
    }

    fn run(&self, arguments: &[&str]) -> String {
        self.run_with(arguments, b"")
    }

    fn run_with(&self, arguments: &[&str], input: &[u8]) -> String {
        let outcome = self.try_run(arguments, input);
        assert!(outcome.success, "{arguments:?}: {}", outcome.errors);
        String::from_utf8(outcome.output).unwrap()
    }

    fn json(&self, arguments: &[&str]) -> Value {
        serde_json::from_str(&self.run(&[&["--json"], arguments].concat())).unwrap()
    }

    fn error_code(&self, arguments: &[&str]) -> String {
        let outcome = self.try_run(&[&["--json"], arguments].concat(), b"");
        assert!(!outcome.success, "{arguments:?} works");
        let said: Value = serde_json::from_str(&outcome.errors).unwrap();
        said["error"]["code"].as_str().unwrap().to_owned()
    }
}

#[test]
fn the_command_sets_names() {
    let shell = Shell(TempDir::new().unwrap());
    shell.run_with(&["store", "-"], b"hello world");
    assert!(shell.run(&["name", "set", "greeting", HELLO, "--absent"]).starts_with(HELLO));
    assert_eq!(shell.error_code(&["name", "set", "greeting", HELLO, "--absent"]), "conflict");
    assert_eq!(shell.error_code(&["name", "set", "greeting", EMPTY, "--expect", EMPTY]), "conflict");
    assert_eq!(shell.run(&["name", "get", "greeting"]), format!("{HELLO}\n"));
    assert_eq!(shell.json(&["name", "ls", "greet"])["name"], "greeting");
    assert_eq!(shell.error_code(&["rm", HELLO]), "denied");
    assert_eq!(shell.run(&["name", "rm", "greeting", "--expect", HELLO]), "removed greeting\n");
    assert_eq!(shell.error_code(&["name", "get", "greeting"]), "not-found");
    assert_eq!(shell.run(&["name", "ls"]), "");
    assert!(!shell.try_run(&["name", "what"], b"").success);
}

#[test]
fn the_command_changes_the_tree() {
    let shell = Shell(TempDir::new().unwrap());
    assert_eq!(shell.error_code(&["files", "write", "/a/hello.txt"]), "not-found");
    let written = shell.run_with(&["files", "write", "-p", "--create", "/a/hello.txt"], b"hello world");
    assert_eq!(written, format!("{HELLO} /a/hello.txt\n"));
    shell.run_with(&["files", "write", "--append", "/a/hello.txt"], b"!");
    shell.run_with(&["files", "write", "--offset", "6", "/a/hello.txt", "-"], b"W");
    assert_eq!(shell.run(&["files", "read", "/a/hello.txt"]), "hello World!");
    assert_eq!(shell.run(&["files", "read", "--offset", "6", "--length", "5", "/a/hello.txt"]), "World");
    shell.run(&["files", "truncate", "/a/hello.txt", "5"]);
    shell.run(&["files", "mkdir", "--mode", "0750", "/b"]);
    shell.run(&["files", "cp", "/a/hello.txt", "/b/copy"]);
    shell.run(&["files", "cp", &format!("/ipfs/{EMPTY}"), "/b/empty"]);
    shell.run(&["files", "mv", "/b/copy", "/b/moved"]);
    shell.run(&["files", "chmod", "0600", "/b/moved"]);
    shell.run(&["files", "touch", "--mtime", "12", "/b/moved"]);
    let stat = shell.json(&["files", "stat", "/b/moved"]);
    assert_eq!((&stat["kind"], &stat["size"], &stat["mode"]), (&"file".into(), &5.into(), &0o600.into()));
    assert_eq!(stat["mtime"]["seconds"], 12);
    let listed = shell.run(&["files", "ls", "/b"]);
    let names: Vec<&str> = listed.lines().filter_map(|line| line.split_whitespace().last()).collect();
    assert_eq!(names, ["empty", "moved"]);
    assert_eq!(shell.error_code(&["files", "rm", "/b"]), "invalid-argument");
    assert_eq!(shell.error_code(&["files", "mkdir", "/b"]), "denied");
    assert_eq!(shell.run(&["files", "rm", "-r", "/b", "/a"]), "removed /b\nremoved /a\n");
    assert_eq!(shell.run(&["files", "flush"]), format!("{EMPTY}\n"));
    assert_eq!(shell.run(&["files", "history"]).lines().count(), 12);
    shell.run(&["files", "rm", "--force", "/nothing"]);
    assert!(!shell.try_run(&["files", "chmod", "rw", "/"], b"").success);
}
