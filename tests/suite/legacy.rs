//! Importing the cache of the Python code that came before: its folder, as that wrote it.

use std::{fs, path::Path, rc::Rc};

use futures_executor::block_on;
use ipfs_kit_storage::{
    Error, OpenOptions, Storage,
    block::{self, Codec},
    hash::CpuHasher,
    platform::{
        files::Directory,
        native::{NativeDirectory, SystemClock},
    },
    storage::Imported,
    tier::{MemoryTier, conformance::noise, pack::PackTier},
};
use sha2::{Digest, Sha256};
use tempfile::TempDir;

/// The key that the old code made of these bytes.
fn old_key(data: &[u8]) -> String {
    let digits: String = Sha256::digest(data).iter().map(|byte| format!("{byte:02x}")).collect();
    format!("bafy{}", &digits[..56])
}

/// Stores as the old code did; tells the key.
fn old_store(folder: &Path, data: &[u8], meta: Option<&str>) -> String {
    let key = old_key(data);
    fs::write(folder.join(&key), data).unwrap();
    if let Some(meta) = meta {
        fs::write(folder.join(format!("{key}.meta")), meta).unwrap();
    }
    key
}

fn in_memory() -> Storage {
    let tier = Rc::new(MemoryTier::new());
    Storage::new(tier, Rc::new(CpuHasher), Rc::new(SystemClock), OpenOptions::default()).unwrap()
}

async fn import(storage: &Storage, folder: &Path) -> Vec<Imported> {
    let mut import = storage.import_legacy(Rc::new(NativeDirectory::existing(folder))).await.unwrap();
    let mut all = Vec::new();
    while let Some(one) = import.next().await {
        all.push(one);
    }
    all
}

fn of<'a>(all: &'a [Imported], key: &str) -> &'a Imported {
    all.iter().find(|one| one.key == key).unwrap_or_else(|| panic!("{key} is not in {all:?}"))
}

#[test]
fn the_keys_are_those_that_python_made() {
    // hashlib.sha256(b"hello world").hexdigest()[:56]
    assert_eq!(old_key(b"hello world"), "bafyb94d27b9934d3e08a52e52d7da7dabfac484efe37a5380ee9088f7ac");
    assert!(block::parse(&old_key(b"hello world")).is_err(), "they are no CIDs");
}

#[test]
fn each_file_gets_its_cid_and_keeps_its_name_and_its_pin() {
    block_on(async {
        let folder = TempDir::new().unwrap();
        let large = noise(1, 9_000_000);
        let named = old_store(
            folder.path(),
            b"hello world",
            Some(r#"{"filename": "hello.txt", "fallback": true, "pinned": false}"#),
        );
        let pinned = old_store(
            folder.path(),
            &large,
            Some(
                r#"{"cid": "bafy", "filename": "mod\u00e8le.bin", "size": 9000000, "created_at": 1.7e9, "pinned": true, "backend": "local"}"#,
            ),
        );
        let bare = old_store(folder.path(), b"without metadata", None);
        let empty = old_store(folder.path(), b"", Some(r#"{"filename": null, "pin": true}"#));
        // What is not of it is let alone: other names, a CID of today, keys that are too short, or not in small digits.
        for name in
            ["notes.txt", "bafkreifzjut3te2nhyekklss27nh3k72ysco7y32koao5eei66wof36n5e", "bafyb94d", "config.meta"]
        {
            fs::write(folder.path().join(name), b"of somebody else").unwrap();
        }
        fs::write(folder.path().join(old_key(b"x").to_uppercase().replace("BAFY", "bafy")), b"x").unwrap();
        let before: Vec<_> = fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();

        let storage = in_memory();
        let all = import(&storage, folder.path()).await;
        assert_eq!(all.len(), 4, "{all:?}");
        assert!(all.is_sorted_by(|one, next| one.key < next.key));
        assert!(all.iter().all(|one| !one.changed && one.ignored.is_none() && one.stored.is_ok()), "{all:?}");
        let stored = |key: &str| of(&all, key).stored.clone().unwrap();
        assert_eq!(stored(&named).root.cid.to_string(), "bafkreifzjut3te2nhyekklss27nh3k72ysco7y32koao5eei66wof36n5e");
        let told = [&named, &pinned, &bare, &empty].map(|key| (stored(key).root.filename, stored(key).pinned));
        let name = |name: &str| Some(name.to_owned());
        assert_eq!(told, [(name("hello.txt"), false), (name("modèle.bin"), true), (None, false), (None, true)]);
        for (key, data) in
            [(&named, &b"hello world"[..]), (&pinned, &large), (&bare, b"without metadata"), (&empty, b"")]
        {
            let root = stored(key).root;
            assert_eq!(storage.retrieve(&root.cid).await.unwrap(), data);
            assert_eq!(storage.root(&root.cid).await.unwrap(), stored(key));
        }
        assert_eq!(stored(&pinned).root.cid.codec(), Codec::DagPb.code());
        // Again: the same map, and nothing in the folder has changed.
        let again = import(&storage, folder.path()).await;
        let map = |all: &[Imported]| -> Vec<_> {
            all.iter().map(|one| (one.key.clone(), one.stored.as_ref().unwrap().root.cid.clone())).collect()
        };
        assert_eq!(map(&again), map(&all));
        assert_eq!(storage.roots(None, 100).await.unwrap().files.len(), 4);
        let after: Vec<_> = fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        assert_eq!(after, before);
        // A pin that was given meanwhile is not taken away.
        storage.pin(&stored(&named).root.cid, Default::default()).await.unwrap();
        import(&storage, folder.path()).await;
        assert!(storage.root(&stored(&named).root.cid).await.unwrap().pinned);
    });
}

#[test]
fn what_is_wrong_with_one_is_said_and_concerns_no_other() {
    block_on(async {
        let folder = TempDir::new().unwrap();
        let path = folder.path();
        let good = old_store(path, b"good", Some(r#"{"filename": "good", "pinned": true}"#));
        let broken = old_store(path, b"broken", Some(r#"{"filename": "half"#));
        let list = old_store(path, b"list", Some("[]"));
        let number = old_store(path, b"number", Some(r#"{"filename": 7, "pinned": true}"#));
        let maybe = old_store(path, b"maybe", Some(r#"{"filename": "maybe", "pinned": "perhaps"}"#));
        let long = old_store(path, b"long", Some(&format!(r#"{{"filename": "{}"}}"#, "n".repeat(4097))));
        let huge =
            old_store(path, b"huge", Some(&format!(r#"{{"filename": "huge", "more": "{}"}}"#, "n".repeat(100_000))));
        let changed = old_store(path, b"as it was", Some(r#"{"filename": "changed"}"#));
        fs::write(path.join(&changed), b"as it is now").unwrap();
        let orphan = old_key(b"gone");
        fs::write(path.join(format!("{orphan}.meta")), r#"{"filename": "gone", "pinned": true}"#).unwrap();
        let unreadable = old_key(b"a folder");
        fs::create_dir(path.join(&unreadable)).unwrap();

        let storage = in_memory();
        let all = import(&storage, path).await;
        assert_eq!(all.len(), 10);
        for (key, says) in [
            (&broken, "no JSON object"),
            (&list, "no JSON object"),
            (&number, "no text"),
            (&maybe, "neither true nor false"),
            (&long, "4096"),
            (&huge, "65536"),
        ] {
            let one = of(&all, key);
            let stored = one.stored.as_ref().unwrap();
            assert_eq!((&stored.root.filename, stored.pinned, one.changed), (&None, false, false));
            assert!(one.ignored.as_ref().unwrap().contains(says), "{one:?}");
        }
        let one = of(&all, &changed);
        assert!(one.changed && one.ignored.is_none());
        let now = one.stored.as_ref().unwrap();
        assert_eq!(now.root.filename.as_deref(), Some("changed"));
        assert_eq!(storage.retrieve(&now.root.cid).await.unwrap(), &b"as it is now"[..]);
        assert!(matches!(&of(&all, &orphan).stored, Err(Error::Corrupt { detail, .. }) if detail.contains(&orphan)));
        assert!(matches!(of(&all, &unreadable).stored, Err(Error::Io(_))), "{:?}", of(&all, &unreadable));
        assert!(of(&all, &good).stored.as_ref().unwrap().pinned);
        assert_eq!(storage.roots(None, 100).await.unwrap().files.len(), 8);
    });
}

#[test]
fn a_folder_that_is_not_there_is_an_error_and_is_not_made() {
    block_on(async {
        let folder = TempDir::new().unwrap();
        let missing = folder.path().join("missing");
        let refused = in_memory().import_legacy(Rc::new(NativeDirectory::existing(&missing))).await;
        assert!(matches!(refused.map(drop), Err(Error::Io(_))));
        assert!(!missing.exists());
        assert!(import(&in_memory(), folder.path()).await.is_empty());
    });
}

#[test]
fn an_import_that_is_broken_off_goes_on_from_what_it_had_acknowledged() {
    block_on(async {
        let (old, new) = (TempDir::new().unwrap(), TempDir::new().unwrap());
        for n in 0..10u8 {
            old_store(old.path(), &[n; 1000], None);
        }
        let open = async || {
            let folder: Rc<dyn Directory> = Rc::new(NativeDirectory::open(new.path()).unwrap());
            let tier = PackTier::open(folder, Rc::new(CpuHasher), Rc::new(SystemClock)).await.unwrap();
            Storage::new(Rc::new(tier), Rc::new(CpuHasher), Rc::new(SystemClock), OpenOptions::default()).unwrap()
        };
        let mut import_some = open().await.import_legacy(Rc::new(NativeDirectory::existing(old.path()))).await.unwrap();
        for _ in 0..4 {
            import_some.next().await.unwrap().stored.unwrap();
        }
        drop(import_some);
        let storage = open().await;
        assert_eq!(storage.roots(None, 100).await.unwrap().files.len(), 4);
        assert_eq!(import(&storage, old.path()).await.len(), 10);
        assert_eq!(storage.roots(None, 100).await.unwrap().files.len(), 10);
    });
}
