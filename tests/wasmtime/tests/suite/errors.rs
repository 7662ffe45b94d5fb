//! How calls fail: as the typed errors of `wit/types.wit`.

use std::{fmt::Debug, fs, path::Path};

use tempfile::TempDir;
use wasmtime_host_tests::{
    Instance, Plugin, STORE, assert_error, in_store, named, plain,
    types::{Error, FileKind, HashFunction, Layout, OfflineReason, OpenOptions, Profile},
    whole, with_layout,
};

const HELLO: &str = "bafkreifzjut3te2nhyekklss27nh3k72ysco7y32koao5eei66wof36n5e";
const DIGEST: &str = "b94d27b9934d3e08a52e52d7da7dabfac484efe37a5380ee9088f7ace2efcde9";

fn invalid_cids() -> Vec<(&'static str, String)> {
    vec![
        ("empty", String::new()),
        ("a path upwards", "../x".into()),
        ("a path from the root", "/etc/passwd".into()),
        ("overlong", "a".repeat(2000)),
        ("overlong, beginning as one", format!("b{}", "a".repeat(2000))),
        ("overlong by its zeros", format!("{HELLO}{}", "a".repeat(2000))),
        ("an unknown multibase", format!("!{}", &HELLO[1..])),
        ("another multibase", format!("z{}", &HELLO[1..])),
        ("no multibase", HELLO[1..].into()),
        ("digits that base32 lacks", format!("b018{}", &HELLO[4..])),
        ("an unknown codec", format!("f01781220{DIGEST}")),
        ("an unknown hash", format!("f01551114{}", &DIGEST[..40])),
        ("sha2-256 with a short digest", format!("f01551210{}", &DIGEST[..32])),
        ("sha2-256 with a long digest", format!("f01551221{DIGEST}00")),
        ("sha2-512 with half a digest", format!("f01551320{DIGEST}")),
        ("a digest cut short", format!("f01551220{}", &DIGEST[..62])),
        ("no digest", "f01551220".into()),
        ("no hash", "f0155".into()),
        ("an identity of 129 bytes", format!("f0155008101{}", "00".repeat(129))),
        ("version 0 in a multibase", format!("f1220{DIGEST}")),
        ("version 0 in base58btc with its prefix", "zQmaozNR7DZHQK1ZcU9p7QdrshMvXqWK6gpu5rmrkPdT3L4".into()),
        ("version 2", format!("f02551220{DIGEST}")),
        ("version 0 cut short", "QmfM2r8seH2GiRaC4esTjeraXEachRt8ZsSeGaWTPLyM".into()),
        ("version 0 of a letter that base58 lacks", "Qmf412jQZiuVUtdgnB36FXFX7xg5V6KEbSJ4dpQuhkLy0D".into()),
        ("trailing garbage", format!("{HELLO}garbage")),
        ("trailing bytes", format!("f01551220{DIGEST}ff")),
        ("space before", format!(" {HELLO}")),
        ("space after", format!("{HELLO} ")),
        ("a line's end after", format!("{HELLO}\n")),
        ("space within", format!("{} {}", &HELLO[..20], &HELLO[20..])),
        ("a zero byte", format!("{HELLO}\0")),
        ("a letter that looks alike", HELLO.replace('a', "а")),
    ]
}

/// What only `retrieve`, `open-reader` and `stat` take.
fn paths() -> Vec<(&'static str, String)> {
    vec![
        ("an IPFS path", format!("/ipfs/{HELLO}")),
        ("an IPFS address", format!("ipfs://{HELLO}")),
        ("a path below it", format!("{HELLO}/x")),
    ]
}

#[test]
fn every_verb_refuses_every_invalid_cid() {
    type Verb = fn(&mut Plugin, &str) -> Result<(), Error>;
    let verbs: [(&str, Verb); 9] = [
        ("retrieve", |plugin, cid| plugin.retrieve(cid).map(drop)),
        ("open-reader", |plugin, cid| plugin.open_reader(cid, whole()).map(drop)),
        ("stat", |plugin, cid| plugin.stat(cid).map(drop)),
        ("list-files", |plugin, cid| plugin.list_files("/", Some(cid), 10).map(drop)),
        ("exists", |plugin, cid| plugin.exists(cid).map(drop)),
        ("delete", |plugin, cid| plugin.delete(cid)),
        ("pin", |plugin, cid| plugin.pin(cid).map(drop)),
        ("pins", |plugin, cid| plugin.pins(Some(cid), 10).map(drop)),
        ("unpin", |plugin, cid| plugin.unpin(cid)),
    ];
    let folder = TempDir::new().unwrap();
    let mut plugin = Plugin::open(folder.path());
    plugin.store(b"hello world", &plain()).unwrap();
    let mut taken = Vec::new();
    let texts = invalid_cids().into_iter().map(|(what, text)| (what, text, &verbs[..]));
    for (what, text, verbs) in texts.chain(paths().into_iter().map(|(what, text)| (what, text, &verbs[3..]))) {
        for (name, verb) in verbs {
            match verb(&mut plugin, &text) {
                Err(Error::InvalidCid(why)) => assert!(!why.is_empty(), "{name} of {what} does not say why"),
                other => taken.push(format!("{name} of {what} {text:?}: {other:?}")),
            }
        }
    }
    assert!(taken.is_empty(), "{}", taken.join("\n"));
    assert_eq!(plugin.list().len(), 1);
    assert!(plugin.exists(HELLO).unwrap(), "the CID that the table varies is valid");
}

#[test]
fn files_are_read_by_path() {
    let folder = TempDir::new().unwrap();
    let mut plugin = Plugin::open(folder.path());
    plugin.store(b"hello world", &plain()).unwrap();
    for path in [HELLO.to_owned(), format!("/ipfs/{HELLO}"), format!("ipfs://{HELLO}/"), format!("{HELLO}//")] {
        assert_eq!(plugin.retrieve(&path).unwrap(), b"hello world", "{path}");
        assert!(plugin.open_reader(&path, whole()).is_ok(), "{path}");
    }
    // A file has nothing below it.
    let below = format!("{HELLO}/x/y");
    assert_error!(plugin.retrieve(&format!("/ipfs/{below}")), Error::NotFound(which) if which == below);
    for wrong in [format!("{HELLO}/.."), format!("{HELLO}/./x"), format!("ipfs://{HELLO}/%2e%2e")] {
        assert_error!(plugin.retrieve(&wrong), Error::InvalidArgument(_));
        assert_error!(plugin.open_reader(&wrong, whole()), Error::InvalidArgument(_));
    }
}

fn reason_with(environment: &[(&str, &str)], options: &OpenOptions) -> OfflineReason {
    let folder = TempDir::new().unwrap();
    let mut plugin = Instance::new(folder.path(), environment).open(options).unwrap();
    // It works without a network all the same.
    let cid = plugin.store(b"held", &plain()).unwrap().cid;
    assert_eq!(plugin.retrieve(&cid).unwrap(), b"held");
    let offline = assert_error!(plugin.retrieve(HELLO), Error::NotAvailableOffline(offline) => offline);
    assert_eq!(offline.cid, HELLO);
    let by_reader = assert_error!(plugin.open_reader(HELLO, whole()), Error::NotAvailableOffline(offline) => offline);
    assert_eq!(by_reader, offline);
    assert_eq!(plugin.backend_status().unwrap().local_only, Some(offline.reason));
    offline.reason
}

#[test]
fn what_is_not_held_says_why_it_cannot_be_fetched() {
    let forced = OpenOptions { force_fallback: true, ..in_store() };
    assert_eq!(reason_with(&[], &in_store()), OfflineReason::NoNetwork);
    assert_eq!(reason_with(&[], &forced), OfflineReason::ForceFallback);
    for set in ["1", "true", "yes", "TRUE", "Yes"] {
        assert_eq!(reason_with(&[("IPFS_KIT_DISABLE", set)], &in_store()), OfflineReason::Disabled, "{set}");
        assert_eq!(reason_with(&[("IPFS_KIT_DISABLE", set)], &forced), OfflineReason::Disabled, "{set}");
    }
    for unset in ["", "0", "false", "no"] {
        assert_eq!(reason_with(&[("IPFS_KIT_DISABLE", unset)], &in_store()), OfflineReason::NoNetwork, "{unset}");
    }
}

fn names_in(folder: &Path) -> Vec<String> {
    fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
}

#[test]
fn the_environment_names_the_folder_when_the_options_do_not() {
    let unnamed = OpenOptions { directory: None, ..in_store() };
    let folder = TempDir::new().unwrap();
    let variable = ("IPFS_KIT_CACHE_DIR", "/store/cache");
    let mut plugin = Instance::new(folder.path(), &[variable]).open(&unnamed).unwrap();
    let cid = plugin.store(b"hello", &plain()).unwrap().cid;
    assert_eq!(names_in(folder.path()), ["cache"]);
    // The options come first.
    let named = OpenOptions { directory: Some("/store/other/".into()), ..in_store() };
    assert!(!Instance::new(folder.path(), &[variable]).open(&named).unwrap().exists(&cid).unwrap());
    assert!(Plugin::open(&folder.path().join("cache")).exists(&cid).unwrap());

    let nowhere = Instance::new(folder.path(), &[]).open(&unnamed);
    assert_error!(nowhere.map(drop), Error::InvalidArgument(_));
}

#[test]
fn a_folder_that_the_host_has_not_opened_is_denied() {
    let parent = TempDir::new().unwrap();
    let folder = parent.path().join("inside");
    fs::create_dir_all(folder.join("a")).unwrap();
    for outside in ["/", "/etc", "/storehouse", "store", "", "../x", "/store/../x", "/store/..", "/store/a/../../x"] {
        let options = OpenOptions { directory: Some(outside.into()), ..in_store() };
        let opened = Instance::new(&folder, &[]).open(&options);
        assert!(matches!(opened, Err(Error::Denied(_))), "{outside:?}: {:?}", opened.err());
    }
    assert_eq!(names_in(parent.path()), ["inside"]);
    assert_eq!(names_in(&folder), ["a"]);
}

#[cfg(unix)]
#[test]
fn a_link_that_leads_outside_is_not_followed() {
    let parent = TempDir::new().unwrap();
    let (inside, outside) = (parent.path().join("inside"), parent.path().join("outside"));
    fs::create_dir(&inside).unwrap();
    fs::create_dir(&outside).unwrap();
    std::os::unix::fs::symlink(&outside, inside.join("link")).unwrap();
    let options = OpenOptions { directory: Some("/store/link".into()), ..in_store() };
    assert_error!(Instance::new(&inside, &[]).open(&options).map(drop), Error::Denied(_));
    assert_eq!(names_in(&outside), Vec::<String>::new());
}

#[test]
fn a_folder_whose_parent_is_missing_is_not_made() {
    let folder = TempDir::new().unwrap();
    let options = OpenOptions { directory: Some(format!("{STORE}/a/b")), ..in_store() };
    assert_error!(Instance::new(folder.path(), &[]).open(&options).map(drop), Error::Io(_));
    assert_eq!(names_in(folder.path()), Vec::<String>::new());
}

fn is_invalid_argument<T: Debug>(what: &str, done: Result<T, Error>) {
    assert!(matches!(done, Err(Error::InvalidArgument(_))), "{what}: {done:?}");
}

#[test]
fn a_layout_that_cannot_be_built_is_refused_everywhere() {
    let new = Layout::from(Profile::UnixfsV12025);
    let old = Layout::from(Profile::UnixfsV02015);
    let layouts = [
        ("chunks of nothing", Layout { chunk_size: Some(0), ..new }),
        ("chunks too large", Layout { chunk_size: Some(2_096_897), ..new }),
        ("chunks far too large", Layout { chunk_size: Some(u32::MAX), ..new }),
        ("nodes with no link", Layout { width: Some(0), ..new }),
        ("nodes with one link", Layout { width: Some(1), ..new }),
        ("nodes too wide", Layout { width: Some(8193), ..new }),
        ("version 0 with raw leaves", Layout { raw_leaves: Some(true), ..old }),
        ("version 0 with BLAKE3", Layout { hash: Some(HashFunction::Blake3), ..old }),
    ];
    let folder = TempDir::new().unwrap();
    let mut plugin = Plugin::open(folder.path());
    for (what, layout) in layouts {
        let options = with_layout(layout);
        is_invalid_argument(what, plugin.store(b"x", &options));
        is_invalid_argument(what, plugin.store_many(&[(b"x".to_vec(), options.clone())]));
        is_invalid_argument(what, plugin.create_writer(&options));
        let opening = OpenOptions { layout: Some(layout), ..in_store() };
        is_invalid_argument(what, Instance::new(folder.path(), &[]).open(&opening).map(drop));
    }
    let largest = Layout { chunk_size: Some(2_096_896), width: Some(8192), ..new };
    plugin.store(&vec![1; 5_000_000], &with_layout(largest)).unwrap();
    is_invalid_argument("a filename too long", plugin.store(b"x", &named("é".repeat(2049))));
    assert_eq!(plugin.list().len(), 1);
}

#[test]
fn an_identity_cid_holds_its_bytes_itself() {
    let folder = TempDir::new().unwrap();
    let mut plugin = Plugin::open(folder.path());
    // Raw, "hello"; and the same as the data of a UnixFS file.
    for cid in ["f0155000568656c6c6f", "f0170000d0a0b0802120568656c6c6f1805"] {
        assert!(plugin.exists(cid).unwrap());
        assert_eq!(plugin.retrieve(cid).unwrap(), b"hello");
        assert_eq!(plugin.read_range(cid, 1, Some(3), 100).unwrap(), b"ell");
        let info = plugin.stat(cid).unwrap();
        assert_eq!((info.kind, info.size, info.modified), (Some(FileKind::File), Some(5), None));
    }
    assert_eq!(plugin.backend_status().unwrap().blocks, 0);
}
