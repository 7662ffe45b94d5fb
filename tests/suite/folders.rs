//! Folders of the host: stored as trees, and written again, without a way out.

use std::{fs, ops::ControlFlow, os::unix::fs::symlink, path::Path as FsPath, rc::Rc};

use futures_executor::block_on;
use ipfs_kit_storage::{
    Cid, Error, OpenOptions, Path, Storage, StoreOptions,
    hash::CpuHasher,
    platform::native::{NativeDirectory, SystemClock},
    storage::{FolderOptions, ReadOptions},
    tier::MemoryTier,
    unixfs::Metadata,
};

fn storage() -> Storage {
    let options = OpenOptions::default();
    Storage::new(Rc::new(MemoryTier::new()), Rc::new(CpuHasher), Rc::new(SystemClock), options).unwrap()
}

fn folder(path: &FsPath) -> Rc<NativeDirectory> {
    Rc::new(NativeDirectory::existing(path))
}

fn store(storage: &Storage, from: &FsPath, options: FolderOptions) -> Result<Cid, Error> {
    let mut told = Vec::new();
    let stored = block_on(storage.store_folder(folder(from), options, &mut |path, done| {
        told.push((path.to_owned(), done));
        ControlFlow::Continue(())
    }));
    Ok(stored?.root.cid)
}

fn write(storage: &Storage, path: impl Into<Path>, to: &FsPath, name: &str) -> Result<u64, Error> {
    block_on(storage.write_to(path, folder(to), name, ReadOptions::default(), &mut |_, _| ControlFlow::Continue(())))
}

/// What is below a folder, as text.
fn shown(path: &FsPath) -> Vec<String> {
    let mut lines = Vec::new();
    for entry in fs::read_dir(path).unwrap() {
        let (path, kind) = (entry.as_ref().unwrap().path(), entry.unwrap().file_type().unwrap());
        let name = path.file_name().unwrap().to_str().unwrap().to_owned();
        match () {
            () if kind.is_symlink() => lines.push(format!("{name} -> {}", fs::read_link(&path).unwrap().display())),
            () if kind.is_dir() => {
                lines.push(format!("{name}/"));
                lines.extend(shown(&path).into_iter().map(|below| format!("{name}/{below}")));
            }
            () => lines.push(format!("{name}: {:?}", String::from_utf8_lossy(&fs::read(&path).unwrap()))),
        }
    }
    lines.sort();
    lines
}

#[test]
fn a_folder_comes_back_as_it_was() {
    let place = tempfile::tempdir().unwrap();
    let from = place.path().join("from");
    fs::create_dir_all(from.join("a/b/c")).unwrap();
    fs::create_dir(from.join("empty")).unwrap();
    fs::write(from.join("a/b/c/deep"), "deep down").unwrap();
    fs::write(from.join("a/Ä name"), "").unwrap();
    fs::write(from.join(".hidden"), "seen?").unwrap();
    symlink("a/b", from.join("link")).unwrap();
    symlink("../../link", from.join("a/b/up")).unwrap();
    let storage = storage();
    let all = FolderOptions { hidden: true, ..FolderOptions::default() };
    let cid = store(&storage, &from, all).unwrap();
    assert_eq!(write(&storage, cid.clone(), place.path(), "to").unwrap(), 14);
    assert_eq!(shown(&from), shown(&place.path().join("to")));
    assert_eq!(shown(&from).len(), 9);
    // Without what is hidden it is another tree.
    let plain = store(&storage, &from, FolderOptions::default()).unwrap();
    write(&storage, plain, place.path(), "plain").unwrap();
    assert!(!place.path().join("plain/.hidden").exists());
    // A part of it, through a link.
    let path = Path::parse(&format!("{cid}/link/c/deep")).unwrap();
    write(&storage, path, place.path(), "one").unwrap();
    assert_eq!(fs::read_to_string(place.path().join("one")).unwrap(), "deep down");
    // Nothing that is there is replaced.
    for name in ["one", "to", "from"] {
        assert!(matches!(write(&storage, cid.clone(), place.path(), name), Err(Error::Denied(_))), "{name}");
    }
    assert_eq!(fs::read_to_string(place.path().join("one")).unwrap(), "deep down");
}

#[test]
fn times_are_kept_when_that_is_wanted() {
    let place = tempfile::tempdir().unwrap();
    let from = place.path().join("from");
    fs::create_dir_all(from.join("d")).unwrap();
    fs::write(from.join("d/f"), "text").unwrap();
    let storage = storage();
    let plain = store(&storage, &from, FolderOptions::default()).unwrap();
    let timed = FolderOptions { mtime: true, ..FolderOptions::default() };
    let cid = store(&storage, &from, timed.clone()).unwrap();
    assert_ne!(plain, cid);
    write(&storage, cid.clone(), place.path(), "to").unwrap();
    let to = place.path().join("to");
    let time = |path: &FsPath| fs::metadata(path).unwrap().modified().unwrap();
    assert_eq!(time(&to.join("d/f")), time(&from.join("d/f")));
    assert_eq!(time(&to.join("d")), time(&from.join("d")));
    assert_eq!(store(&storage, &to, timed).unwrap(), cid);
}

#[test]
fn nothing_leads_out_of_what_is_written() {
    let outside = "a symbolic link that leads out";
    for (path, target) in [
        ("l", "/etc/passwd"),
        ("l", ".."),
        ("l", "../x"),
        ("l", "d/../../x"),
        ("d/l", "../../x"),
        ("d/l", "e/../.."),
        ("d/l", "..\\x"),
        ("l", "./.././x"),
    ] {
        let place = tempfile::tempdir().unwrap();
        let storage = storage();
        let cid = block_on(async {
            let mut tree = storage.tree(StoreOptions::default()).unwrap();
            tree.symlink(path, target, Metadata::default()).await.unwrap();
            tree.finish().await.unwrap().root.cid
        });
        let refused = write(&storage, cid, place.path(), "to");
        assert!(
            matches!(&refused, Err(Error::Denied(why)) if why.contains(outside)),
            "{path} -> {target}: {refused:?}"
        );
    }
}

/// Directories as nobody makes them here: names that would lead elsewhere, and a link with things below it.
#[test]
fn names_that_lead_elsewhere_are_refused() {
    use ipfs_kit_storage::{
        block::{Block, Codec},
        dag::pb::{Link, Node},
        hash::HashFunction,
        unixfs::{Data, Kind},
    };
    for name in ["..", ".", "", "../x", "a/b", "..\\x", "nul\0"] {
        let place = tempfile::tempdir().unwrap();
        let to = place.path().join("in");
        fs::create_dir(&to).unwrap();
        let storage = storage();
        let cid = block_on(async {
            let file = storage.store("out", StoreOptions::default()).await.unwrap().root.cid;
            let link = Link { cid: file, name: Some(name.into()), tsize: None };
            let node = Node { links: vec![link], data: Some(Data::new(Kind::Directory).encode().into()) };
            let parts = vec![node.encode().into()];
            let made = Block::make(&CpuHasher, cid::Version::V1, Codec::DagPb, HashFunction::Sha2_256, parts);
            let block = made.await.unwrap().pop().unwrap();
            storage.put_blocks(vec![(block.cid().clone(), block.bytes().clone())]).await.unwrap();
            block.cid().clone()
        });
        assert!(matches!(write(&storage, cid, &to, "to"), Err(Error::Denied(_))), "{name:?}");
        assert!(!place.path().join("x").exists());
        assert_eq!(shown(&to), ["to/"]);
    }
}

#[test]
fn who_is_told_may_say_that_this_is_enough() {
    let place = tempfile::tempdir().unwrap();
    fs::write(place.path().join("f"), "text").unwrap();
    let storage = storage();
    let stopped = block_on(storage.store_folder(folder(place.path()), FolderOptions::default(), &mut |path, done| {
        assert_eq!((path, done), ("f", 4));
        ControlFlow::Break(())
    }));
    assert!(matches!(stopped, Err(Error::Cancelled)));
    assert_eq!(block_on(storage.backend_status()).usage.blocks, 0);
    // On the way out half a file would be taken for a whole one.
    let cid = block_on(storage.store(vec![7; 3 << 20], StoreOptions::default())).unwrap().root.cid;
    let mut told = |_: &str, done| if done < 2 << 20 { ControlFlow::Continue(()) } else { ControlFlow::Break(()) };
    let stopped = block_on(storage.write_to(cid, folder(place.path()), "half", ReadOptions::default(), &mut told));
    assert!(matches!(stopped, Err(Error::Cancelled)));
    assert!(!place.path().join("half").exists());
}
