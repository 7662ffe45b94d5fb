//! Trees and folders: through the component, and through the command as a shell would use it.

use std::{fs, os::unix::fs::symlink, path::Path};

use tempfile::TempDir;
use wasmtime_host_tests::{
    BARE, Command, Instance, Plugin, STORE, assert_error, in_store, plain,
    types::{Error, FileKind, FolderOptions, Metadata, Mtime, OpenOptions},
};

/// Of an empty directory, as Kubo gives it.
const EMPTY: &str = "bafybeiczsscdsbs7ffqz55asqdf3smv6klcw3gofszvwlyarci47bgf354";

fn folder(hidden: bool, mtime: bool) -> FolderOptions {
    FolderOptions { store: plain(), hidden, mtime }
}

#[test]
fn a_tree_is_stored_listed_and_read_by_paths() {
    let place = TempDir::new().unwrap();
    let mut plugin = Plugin::open(place.path());
    let tree = plugin.create_tree(&plain()).unwrap();
    let metadata = Metadata { mode: Some(0o600), mtime: Some(Mtime { seconds: 7, nanoseconds: 5 }) };
    plugin.tree_file(tree, "docs/a.txt", b"hello world", metadata).unwrap();
    plugin.tree_pieces(tree, "docs/b", &[b"one ", b"two"]).unwrap();
    plugin.tree_directory(tree, "empty", BARE).unwrap();
    plugin.tree_symlink(tree, "link", "docs/b").unwrap();
    let wrong = Metadata { mode: Some(0o10000), mtime: None };
    assert_error!(plugin.tree_file(tree, "x", b"", wrong), Error::InvalidArgument(_));
    assert_error!(plugin.tree_file(tree, "../x", b"", BARE), Error::InvalidArgument(_));
    let stored = plugin.tree_finish(tree).unwrap();
    assert_error!(plugin.tree_finish(tree), Error::Cancelled);
    assert_eq!((stored.kind, stored.size), (Some(FileKind::Directory), Some(18)));
    let root = stored.cid;
    assert_eq!(plugin.retrieve(&format!("{root}/link")).unwrap(), b"one two");
    assert_eq!(plugin.stat(&format!("{root}/empty")).unwrap().cid, EMPTY);
    let page = plugin.list_files(&root, None, 2).unwrap();
    let names: Vec<Option<&str>> = page.files.iter().map(|file| file.filename.as_deref()).collect();
    assert_eq!((names, page.next.as_deref()), (vec![Some("docs"), Some("empty")], Some("empty")));
    let rest = plugin.list_files(&root, Some("empty"), 2).unwrap();
    assert_eq!((rest.files[0].target.as_deref(), rest.files[0].kind), (Some("docs/b"), Some(FileKind::Symlink)));
    assert_eq!(rest.next, None);
    let file = plugin.stat(&format!("/ipfs/{root}/docs/a.txt")).unwrap();
    assert_eq!((file.size, file.modified, file.metadata), (Some(11), None, metadata));
    assert_error!(plugin.stat(&format!("{root}/docs/c")), Error::NotFound(_));
    assert_error!(plugin.list_files(&format!("{root}/docs/b"), None, 2), Error::Unsupported(_));
    // A tree that was not ended stores nothing.
    let tree = plugin.create_tree(&plain()).unwrap();
    plugin.tree_file(tree, "lost", &vec![7; 9 << 20], BARE).unwrap();
    plugin.close();
    let mut plugin = Plugin::open(place.path());
    assert_eq!(plugin.list().len(), 1);
}

#[test]
fn a_folder_goes_in_and_comes_out() {
    let files = TempDir::new().unwrap();
    let from = files.path().join("from");
    fs::create_dir_all(from.join("a/b")).unwrap();
    fs::write(from.join("a/b/c.txt"), "deep").unwrap();
    fs::write(from.join(".hidden"), "seen?").unwrap();
    symlink("a/b/c.txt", from.join("link")).unwrap();
    // The component sees one folder, with the store in it.
    let options = OpenOptions { directory: Some(format!("{STORE}/store")), ..in_store() };
    let mut plugin = Instance::new(files.path(), &[]).open(&options).unwrap();
    let at = |name: &str| format!("{STORE}/{name}");
    let plain = plugin.store_folder(&at("from"), &folder(false, false)).unwrap();
    let all = plugin.store_folder(&at("from"), &folder(true, true)).unwrap();
    assert_ne!(plain.cid, all.cid);
    assert_eq!(plugin.store_folder(&at("from"), &folder(true, true)).unwrap().cid, all.cid);
    assert_eq!(plugin.write_to(&all.cid, STORE, "to").unwrap(), 9);
    let to = files.path().join("to");
    assert_eq!(fs::read_to_string(to.join("a/b/c.txt")).unwrap(), "deep");
    assert_eq!(fs::read_to_string(to.join(".hidden")).unwrap(), "seen?");
    assert_eq!(fs::read_link(to.join("link")).unwrap(), Path::new("a/b/c.txt"));
    let time = |path: &Path| fs::metadata(path).unwrap().modified().unwrap();
    assert_eq!(time(&to.join("a/b")), time(&from.join("a/b")));
    assert_eq!(plugin.store_folder(&at("to"), &folder(true, true)).unwrap().cid, all.cid);
    // Nothing that is there is replaced, and nothing leads out.
    assert_error!(plugin.write_to(&all.cid, STORE, "to"), Error::Denied(_));
    assert_error!(plugin.write_to(&all.cid, STORE, "../out"), Error::Denied(_));
    let tree = plugin.create_tree(&wasmtime_host_tests::plain()).unwrap();
    plugin.tree_symlink(tree, "l", "../from/.hidden").unwrap();
    let bad = plugin.tree_finish(tree).unwrap().cid;
    assert_error!(plugin.write_to(&bad, STORE, "bad"), Error::Denied(_));
    assert_error!(plugin.store_folder("/nowhere", &folder(false, false)), Error::Denied(_));
}

#[test]
fn the_command_adds_folders_and_gets_them() {
    let (store, files) = (TempDir::new().unwrap(), TempDir::new().unwrap());
    let site = files.path().join("site");
    fs::create_dir_all(site.join("css")).unwrap();
    fs::write(site.join("index.html"), "<p>hello").unwrap();
    fs::write(site.join("css/a.css"), "p {}").unwrap();
    let run = |arguments: &[&str]| {
        let command = Command::new().folder(store.path(), "/store").folder(files.path(), "/in");
        let outcome = command.run(&[&["--store", "/store"], arguments].concat());
        (outcome.success, String::from_utf8(outcome.output).unwrap(), outcome.errors)
    };
    let (_, added, _) = run(&["add", "-r", "/in/site"]);
    let (cid, name) = added.trim_end().split_once(' ').unwrap();
    assert_eq!(name, "site");
    let (success, _, errors) = run(&["add", "/in/site"]);
    assert!(!success && errors.contains("folder"), "{errors}");
    let (_, listed, _) = run(&["ls", cid]);
    let lines: Vec<&str> = listed.lines().map(|line| line.rsplit(' ').next().unwrap()).collect();
    assert_eq!(lines, ["css/", "index.html"]);
    assert!(run(&["ls"]).1.contains("site/"), "{}", run(&["ls"]).1);
    assert_eq!(run(&["cat", &format!("{cid}/css/a.css")]).1, "p {}");
    let stat = run(&["stat", &format!("{cid}/index.html")]).1;
    assert!(stat.contains("size:     8 bytes") && stat.contains("kind:     file"), "{stat}");
    let (success, text, errors) = run(&["get", cid, "-o", "/in/copy"]);
    assert!(success, "{errors}");
    assert!(text.contains("12 B") && text.contains("/in/copy"), "{text}");
    assert_eq!(fs::read_to_string(files.path().join("copy/css/a.css")).unwrap(), "p {}");
    let (success, _, errors) = run(&["get", cid, "-o", "/in/copy"]);
    assert!(!success && errors.contains("refused"), "{errors}");
}
