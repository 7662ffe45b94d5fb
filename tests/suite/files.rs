//! The mutable tree, through the facade: its verbs, what they refuse, and that no change is lost.

use std::{collections::BTreeMap, rc::Rc};

use futures_executor::block_on;
use futures_util::future::join_all;
use ipfs_kit_storage::{
    Cid, Error, OpenOptions, Path, Result, Storage, StoreOptions,
    hash::CpuHasher,
    platform::native::{NativeDirectory, SystemClock},
    storage::{CollectOptions, CopyFrom, Files, HISTORY, ReadOptions, VerifyOptions, WriteOptions},
    tier::{MemoryTier, conformance::noise, pack::PackTier},
    unixfs::{EntryKind, Layout, Metadata, Mtime, Profile, Sharding},
};
use tempfile::TempDir;

use crate::support::{Time, small, world};

const WET: CollectOptions = CollectOptions { dry_run: false };
const CREATE: WriteOptions = WriteOptions {
    offset: 0,
    append: false,
    create: true,
    parents: false,
    truncate: false,
    metadata: Metadata { mode: None, mtime: None },
};
const PARENTS: WriteOptions = WriteOptions { parents: true, ..CREATE };
const TRUNCATE: WriteOptions = WriteOptions { truncate: true, ..CREATE };
const APPEND: WriteOptions = WriteOptions { append: true, ..CREATE };
const PLAIN: Metadata = Metadata { mode: None, mtime: None };

fn over(tier: &Rc<MemoryTier>, layout: Layout) -> Storage {
    let options = OpenOptions { layout, ..OpenOptions::default() };
    Storage::new(tier.clone(), Rc::new(CpuHasher), Rc::new(Time::default()), options).unwrap()
}

fn open() -> Storage {
    over(&Rc::new(MemoryTier::new()), Layout::default())
}

async fn read(files: &Files, path: &str) -> Result<Vec<u8>> {
    let mut reader = files.reader(path, ReadOptions::default()).await?;
    let mut whole = Vec::new();
    while let Some(bytes) = reader.next().await? {
        whole.extend_from_slice(&bytes);
    }
    Ok(whole)
}

async fn names(files: &Files, path: &str) -> Vec<String> {
    let page = files.ls(path, None, 10_000).await.unwrap();
    assert_eq!(page.next, None);
    page.files.into_iter().filter_map(|info| info.filename).collect()
}

async fn root(files: &Files) -> Cid {
    files.stat("/").await.unwrap().cid
}

fn invalid<T: std::fmt::Debug>(done: Result<T>) {
    assert!(matches!(done, Err(Error::InvalidArgument(_))), "{done:?}");
}

fn denied<T: std::fmt::Debug>(done: Result<T>) {
    assert!(matches!(done, Err(Error::Denied(_))), "{done:?}");
}

fn missing<T: std::fmt::Debug>(done: Result<T>, path: &str) {
    assert_eq!(done.map(drop), Err(Error::NoEntry(path.into())));
}

#[test]
fn an_empty_tree_has_the_cid_of_an_empty_directory() {
    block_on(async {
        let files = open().files();
        let stat = files.stat("/").await.unwrap();
        assert_eq!(stat.cid.to_string(), "bafybeiczsscdsbs7ffqz55asqdf3smv6klcw3gofszvwlyarci47bgf354");
        assert_eq!((stat.kind, stat.size, stat.cumulative_size, stat.links), (EntryKind::Directory, 0, 4, 0));
        assert!(names(&files, "/").await.is_empty());
        missing(files.stat("/a").await, "/a");
        invalid(files.ls("a", None, 10).await);
        invalid(files.stat("/a/../b").await);
        assert!(files.history().await.unwrap().is_empty());
        let storage = over(&Rc::new(MemoryTier::new()), Profile::UnixfsV0_2015.into());
        assert_eq!(root(&storage.files()).await.to_string(), "QmUNLLsPACCz1vLxQVkXqqLX5R1X345qqfHbsf67hvA3Nn");
    });
}

#[test]
fn files_are_written_and_read() {
    block_on(async {
        let storage = open();
        let files = storage.files();
        missing(files.write("/a", "x", WriteOptions::default()).await, "/a");
        missing(files.write("/d/a", "x", CREATE).await, "/d");
        files.write("/a", "hello world", CREATE).await.unwrap();
        assert_eq!(read(&files, "/a").await.unwrap(), b"hello world");
        // The same CIDs as a file that is stored, and a directory that Kubo makes of it.
        assert_eq!(
            files.stat("/a").await.unwrap().cid.to_string(),
            "bafkreifzjut3te2nhyekklss27nh3k72ysco7y32koao5eei66wof36n5e"
        );
        let offset = |offset| WriteOptions { offset, ..WriteOptions::default() };
        files.write("/a", "W", offset(6)).await.unwrap();
        assert_eq!(read(&files, "/a").await.unwrap(), b"hello World");
        files.write("/a", "!", offset(13)).await.unwrap();
        assert_eq!(read(&files, "/a").await.unwrap(), b"hello World\0\0!");
        files.write("/a", "bye", WriteOptions { truncate: true, ..WriteOptions::default() }).await.unwrap();
        assert_eq!(read(&files, "/a").await.unwrap(), b"bye");
        files.write("/a", " now", WriteOptions { append: true, ..WriteOptions::default() }).await.unwrap();
        assert_eq!(read(&files, "/a").await.unwrap(), b"bye now");
        files.truncate("/a", 3).await.unwrap();
        files.truncate("/a", 5).await.unwrap();
        assert_eq!(read(&files, "/a").await.unwrap(), b"bye\0\0");
        missing(files.truncate("/b", 5).await, "/b");
        files.write("/d/e/f", "deep", PARENTS).await.unwrap();
        assert_eq!(names(&files, "/d/e").await, ["f"]);
        let part = ReadOptions::range(1, Some(2));
        let mut reader = files.reader("/d/e/f", part).await.unwrap();
        assert_eq!(reader.next().await.unwrap().unwrap(), "ee");
        invalid(files.write("/d", "x", CREATE).await);
        invalid(files.write("/new/", "x", CREATE).await);
        invalid(files.write("/a/b", "x", CREATE).await);
        invalid(files.write("/", "x", CREATE).await);
        invalid(files.writer("/a", WriteOptions { append: true, offset: 1, ..CREATE }).await.map(drop));
        assert!(files.reader("/d", ReadOptions::default()).await.is_err());
        // Nothing of one that is not finished shows.
        let before = root(&files).await;
        let mut writer = files.writer("/a", TRUNCATE).await.unwrap();
        writer.write(noise(1, 3_000_000).into()).await.unwrap();
        assert_eq!(root(&files).await, before);
        writer.abort().await;
        assert_eq!((root(&files).await, writer.finish().await), (before, Err(Error::Cancelled)));
    });
}

#[test]
fn directories_are_made_listed_and_removed() {
    block_on(async {
        let files = open().files();
        files.mkdir("/a", false, PLAIN).await.unwrap();
        denied(files.mkdir("/a", false, PLAIN).await);
        denied(files.mkdir("/", false, PLAIN).await);
        files.mkdir("/a", true, PLAIN).await.unwrap();
        missing(files.mkdir("/b/c/d", false, PLAIN).await, "/b/c");
        files.mkdir("/b/c/d", true, PLAIN).await.unwrap();
        files.write("/b/z", "zz", CREATE).await.unwrap();
        let page = files.ls("/b", None, 1).await.unwrap();
        assert_eq!((page.files[0].filename.as_deref(), page.next.as_deref()), (Some("c"), Some("c")));
        assert_eq!(page.files[0].kind, Some(EntryKind::Directory));
        let page = files.ls("/b", page.next.as_deref(), 1).await.unwrap();
        assert_eq!((page.files[0].filename.as_deref(), page.next), (Some("z"), None));
        assert_eq!((page.files[0].kind, page.files[0].size), (Some(EntryKind::File), Some(2)));
        // A file is the only entry of its list.
        assert_eq!(names(&files, "/b/z").await, ["z"]);
        denied(files.mkdir("/b/z", true, PLAIN).await);
        invalid(files.rm("/b", false, false).await);
        invalid(files.rm("/", true, true).await);
        missing(files.rm("/c", false, false).await, "/c");
        files.rm("/c", false, true).await.unwrap();
        files.rm("/b/z", false, false).await.unwrap();
        files.rm("/b", true, false).await.unwrap();
        files.rm("/a", false, true).await.unwrap();
        assert_eq!(root(&files).await.to_string(), "bafybeiczsscdsbs7ffqz55asqdf3smv6klcw3gofszvwlyarci47bgf354");
    });
}

#[test]
fn things_are_moved_and_copied() {
    block_on(async {
        let storage = open();
        let files = storage.files();
        files.write("/a", "one", CREATE).await.unwrap();
        files.write("/d/b", "two", PARENTS).await.unwrap();
        let tree = |path: &str| CopyFrom::Tree(path.into());
        files.cp(&tree("/a"), "/c", false).await.unwrap();
        denied(files.cp(&tree("/a"), "/c", false).await);
        files.cp(&tree("/a"), "/d/", false).await.unwrap();
        files.cp(&tree("/c"), "/d", false).await.unwrap();
        assert_eq!(names(&files, "/d").await, ["a", "b", "c"]);
        missing(files.cp(&tree("/nothing"), "/e", false).await, "/nothing");
        missing(files.cp(&tree("/a"), "/e/f", false).await, "/e");
        files.cp(&tree("/d"), "/e/f", true).await.unwrap();
        // A copy is a thing of its own.
        files.write("/e/f/a", "ONE", CREATE).await.unwrap();
        assert_eq!(read(&files, "/d/a").await.unwrap(), b"one");
        files.mv("/a", "/g").await.unwrap();
        missing(files.stat("/a").await, "/a");
        files.mv("/g", "/e").await.unwrap();
        assert_eq!(read(&files, "/e/g").await.unwrap(), b"one");
        // A file is replaced, a directory is moved into.
        files.mv("/e/f/a", "/e/g").await.unwrap();
        assert_eq!(read(&files, "/e/g").await.unwrap(), b"ONE");
        files.mv("/d", "/e").await.unwrap();
        assert_eq!(names(&files, "/e").await, ["d", "f", "g"]);
        invalid(files.mv("/e", "/e/d/x").await);
        invalid(files.mv("/e", "/e/d").await);
        invalid(files.mv("/", "/x").await);
        missing(files.mv("/nothing", "/x").await, "/nothing");
        missing(files.mv("/e/g", "/x/y").await, "/x");
        let before = root(&files).await;
        files.mv("/e/g", "/e/g").await.unwrap();
        files.mv("/e/g", "/e").await.unwrap();
        assert_eq!(root(&files).await, before);
        files.mkdir("/h/e", true, PLAIN).await.unwrap();
        denied(files.mv("/e", "/h").await);
    });
}

#[test]
fn a_cid_is_linked_without_its_blocks() {
    block_on(async {
        let storage = open();
        let files = storage.files();
        let elsewhere = open();
        let data = noise(1, 3_000_000);
        let cid = elsewhere.store(data.clone(), StoreOptions::default()).await.unwrap().root.cid;
        files.cp(&CopyFrom::Path(cid.clone().into()), "/far", false).await.unwrap();
        assert_eq!(storage.backend_status().await.usage.blocks, 1, "the new root alone");
        assert!(matches!(read(&files, "/far").await, Err(Error::NotAvailableOffline { .. })));
        assert_eq!(files.ls("/", None, 9).await.unwrap().files[0].kind, None);
        files.mv("/far", "/away").await.unwrap();
        files.rm("/away", true, false).await.unwrap();
        // What is here is kept by it, whatever becomes of its root.
        let here = storage.store(data.clone(), StoreOptions::default()).await.unwrap().root.cid;
        assert_eq!(here, cid);
        let blocks = storage.backend_status().await.usage.blocks;
        files.cp(&CopyFrom::Path(cid.clone().into()), "/d/", true).await.unwrap();
        assert_eq!(storage.backend_status().await.usage.blocks, blocks + 2, "two directories");
        storage.delete(&cid, false).await.unwrap();
        assert_eq!(read(&files, &format!("/d/{cid}")).await.unwrap(), data);
        // By a path, too.
        let path = Path::parse(&format!("{}/d/{cid}", root(&files).await)).unwrap();
        files.cp(&CopyFrom::Path(path), "/by-path", false).await.unwrap();
        assert_eq!(files.stat("/by-path").await.unwrap().cid, cid);
        let node = storage.get_block(&cid, true).await.unwrap().len() as u64;
        assert_eq!(files.stat("/by-path").await.unwrap().cumulative_size, 3_000_000 + node);
    });
}

#[test]
fn what_a_remote_has_is_read_through_the_tree() {
    block_on(async {
        let world = world(1, OpenOptions::default());
        let data = noise(1, 200_000);
        let cid = world.everywhere(&data, small()).await;
        let files = world.storage.files();
        files.cp(&CopyFrom::Path(cid.into()), "/far", false).await.unwrap();
        assert_eq!(read(&files, "/far").await.unwrap(), data);
        files.write("/far", "changed", WriteOptions { offset: 100_000, ..CREATE }).await.unwrap();
        let changed = read(&files, "/far").await.unwrap();
        assert_eq!((&changed[..100_000], &changed[100_000..100_007]), (&data[..100_000], &b"changed"[..]));
    });
}

#[test]
fn modes_and_times_are_kept() {
    block_on(async {
        let storage = open();
        let files = storage.files();
        let mtime = Mtime { seconds: -5, nanoseconds: 7 };
        files.write("/a", "hello", CREATE).await.unwrap();
        files.chmod("/a", 0o600).await.unwrap();
        files.touch("/a", mtime).await.unwrap();
        let metadata = async |path: &str| files.stat(path).await.unwrap().metadata;
        assert_eq!(metadata("/a").await, Metadata { mode: Some(0o600), mtime: Some(mtime) });
        assert_eq!(read(&files, "/a").await.unwrap(), b"hello");
        // A file whose time is kept gets the time of the change; its mode stays.
        files.write("/a", noise(1, 3_000_000), CREATE).await.unwrap();
        assert_eq!(
            metadata("/a").await,
            Metadata { mode: Some(0o600), mtime: Some(Mtime { seconds: 0, nanoseconds: 0 }) }
        );
        assert_eq!(read(&files, "/a").await.unwrap(), noise(1, 3_000_000));
        files.truncate("/a", 2).await.unwrap();
        assert_eq!((metadata("/a").await.mode, files.stat("/a").await.unwrap().size), (Some(0o600), 2));
        files
            .write("/b", "x", WriteOptions { metadata: Metadata { mode: Some(0o755), mtime: None }, ..CREATE })
            .await
            .unwrap();
        assert_eq!(metadata("/b").await, Metadata { mode: Some(0o755), mtime: None });
        files.mkdir("/d", false, Metadata { mode: Some(0o700), mtime: Some(mtime) }).await.unwrap();
        files.write("/d/x", "x", CREATE).await.unwrap();
        assert_eq!(metadata("/d").await, Metadata { mode: Some(0o700), mtime: Some(mtime) });
        files.chmod("/", 0o777).await.unwrap();
        assert_eq!((metadata("/").await.mode, names(&files, "/").await.len()), (Some(0o777), 3));
        invalid(files.chmod("/a", 0o10000).await);
        missing(files.touch("/none", mtime).await, "/none");
    });
}

#[test]
fn of_many_changes_at_once_none_is_lost() {
    block_on(async {
        let storage = open();
        let files = storage.files();
        files.write("/log", "", CREATE).await.unwrap();
        let others = (0..12).map(|n| {
            let files = files.clone();
            async move {
                files.write(&format!("/dir/{n}"), n.to_string(), PARENTS).await.unwrap();
                files.write("/log", "x", APPEND).await.unwrap();
                files.mv(&format!("/dir/{n}"), &format!("/moved-{n}")).await.unwrap();
                files.write("/log", "y", APPEND).await.unwrap();
            }
        });
        join_all(others).await;
        let log = read(&files, "/log").await.unwrap();
        assert_eq!(log.iter().filter(|byte| **byte == b'x').count(), 12);
        assert_eq!(log.len(), 24);
        assert_eq!(names(&files, "/").await.len(), 14);
        assert!(names(&files, "/dir").await.is_empty());
        // Of one written in pieces, the piece before cannot be taken back: whoever comes second is told.
        let mut writers = Vec::new();
        for text in ["first", "second"] {
            let mut writer = files.writer("/log", TRUNCATE).await.unwrap();
            writer.write(text.into()).await.unwrap();
            writers.push(writer);
        }
        files.write("/elsewhere", "no hindrance", CREATE).await.unwrap();
        writers[0].finish().await.unwrap();
        assert_eq!(writers[1].finish().await, Err(Error::Conflict { name: "/log".into() }));
        assert_eq!(read(&files, "/log").await.unwrap(), b"first");
        assert_eq!(read(&files, "/elsewhere").await.unwrap(), b"no hindrance");
    });
}

#[test]
fn the_tree_and_its_last_roots_are_kept() {
    block_on(async {
        let tier = Rc::new(MemoryTier::new());
        let storage = over(&tier, Layout::default());
        let files = storage.files();
        files.write("/a", noise(1, 2_000_000), CREATE).await.unwrap();
        let first = root(&files).await;
        files.rm("/a", false, false).await.unwrap();
        files.write("/b", noise(2, 2_000_000), CREATE).await.unwrap();
        assert_eq!(storage.collect(WET).await.unwrap().freed_blocks, 0);
        let past = files.history().await.unwrap();
        assert_eq!(past.iter().map(|root| root.cid.clone()).collect::<Vec<_>>(), {
            let empty = files.stat("/").await.map(|_| past[1].cid.clone()).unwrap();
            [root(&files).await, empty, first.clone()]
        });
        let path = Path::parse(&format!("{first}/a")).unwrap();
        assert_eq!(storage.retrieve(path).await.unwrap(), noise(1, 2_000_000), "an old root can be read");
        let report = storage.verify(VerifyOptions::default()).await.unwrap();
        assert!(report.findings.is_empty() && report.unreached == Some(0));
        // It goes when so many others have come after it.
        for n in 0..HISTORY {
            files.write("/n", n.to_string(), CREATE).await.unwrap();
        }
        assert_eq!(files.history().await.unwrap().len(), HISTORY);
        assert!(storage.collect(WET).await.unwrap().freed_bytes >= 2_000_000);
        assert_eq!(read(&files, "/b").await.unwrap(), noise(2, 2_000_000));
        // The next opening has it.
        assert_eq!(read(&over(&tier, Layout::default()).files(), "/b").await.unwrap(), noise(2, 2_000_000));
        let before = files.history().await.unwrap();
        files.flush("/").await.unwrap();
        files.mkdir("/", true, PLAIN).await.unwrap();
        assert_eq!(files.history().await.unwrap(), before, "what changes nothing makes no history");
    });
}

#[test]
fn what_is_being_written_is_not_collected() {
    block_on(async {
        let storage = open();
        let files = storage.files();
        let mut writer = files.writer("/a", CREATE).await.unwrap();
        for n in 0..12 {
            writer.write(noise(n, 1 << 20).into()).await.unwrap();
        }
        storage.collect(WET).await.unwrap();
        writer.finish().await.unwrap();
        let expected: Vec<u8> = (0..12).flat_map(|n| noise(n, 1 << 20)).collect();
        assert_eq!(read(&files, "/a").await.unwrap(), expected);
        let mut writer = files.writer("/b", CREATE).await.unwrap();
        for n in 20..32 {
            writer.write(noise(n, 1 << 20).into()).await.unwrap();
        }
        writer.abort().await;
        storage.collect(WET).await.unwrap();
        assert_eq!(storage.backend_status().await.usage.bytes / (1 << 20), 12);
    });
}

#[test]
fn a_tree_survives_reopening() {
    block_on(async {
        let folder = TempDir::new().unwrap();
        let open = async || {
            let directory = Rc::new(NativeDirectory::open(folder.path()).unwrap());
            let tier = PackTier::open(directory, Rc::new(CpuHasher), Rc::new(SystemClock)).await.unwrap();
            Storage::new(Rc::new(tier), Rc::new(CpuHasher), Rc::new(SystemClock), OpenOptions::default()).unwrap()
        };
        let storage = open().await;
        storage.files().write("/a/b", "kept", PARENTS).await.unwrap();
        let (cid, history) = (root(&storage.files()).await, storage.files().history().await.unwrap());
        drop(storage);
        let storage = open().await;
        assert_eq!(root(&storage.files()).await, cid);
        assert_eq!(storage.files().history().await.unwrap(), history);
        assert_eq!(read(&storage.files(), "/a/b").await.unwrap(), b"kept");
    });
}

/// What must be in the tree: the bytes of files, and directories.
type Model = BTreeMap<String, Option<Vec<u8>>>;

/// Random changes against a model, in directories that are cut into shards and put together again.
#[test]
fn a_tree_has_the_cid_that_its_content_has() {
    block_on(async {
        for seed in 0..12u64 {
            let profile = Profile::ALL[seed as usize % 2];
            let base = Layout::from(profile);
            let sharding = Sharding { threshold: 300, ..base.sharding };
            let layout = Layout { chunk_bytes: 64, width: 3, sharding, ..base };
            let storage = over(&Rc::new(MemoryTier::new()), layout);
            let files = storage.files();
            let mut model = Model::new();
            let mut dice = noise(seed, 10_000).into_iter();
            let mut below = move |limit: usize| usize::from(dice.next().unwrap()) % limit;
            for step in 0..150 {
                let path = format!("/{}/{}", ["a", "b"][below(2)], below(12));
                let is_file = matches!(model.get(&path), Some(Some(_)));
                match below(6) {
                    0..=2 => {
                        let offset = below(200);
                        let data = noise(step, below(200));
                        let options = WriteOptions { offset: offset as u64, ..PARENTS };
                        files.write(&path, data.clone(), options).await.unwrap();
                        model.insert(path[..2].into(), None);
                        let bytes = model.entry(path).or_insert(Some(Vec::new())).as_mut().unwrap();
                        bytes.resize(bytes.len().max(offset + data.len()).max(offset), 0);
                        bytes[offset..offset + data.len()].copy_from_slice(&data);
                    }
                    3 if is_file => {
                        files.rm(&path, false, false).await.unwrap();
                        model.remove(&path);
                    }
                    4 if is_file => {
                        let to = format!("/{}/{}", ["a", "b"][below(2)], below(12));
                        match model.contains_key(&to[..2]) {
                            true => {
                                files.mv(&path, &to).await.unwrap();
                                let bytes = model.remove(&path).unwrap();
                                model.insert(to, bytes);
                            }
                            false => missing(files.mv(&path, &to).await, &to[..2]),
                        }
                    }
                    5 if is_file => {
                        let length = below(300);
                        files.truncate(&path, length as u64).await.unwrap();
                        model.get_mut(&path).unwrap().as_mut().unwrap().resize(length, 0);
                    }
                    _ => missing(files.stat("/none").await, "/none"),
                }
            }
            // The same, made at once.
            let fresh = over(&Rc::new(MemoryTier::new()), layout);
            let mut tree = fresh.tree(StoreOptions::default()).unwrap();
            for (path, content) in &model {
                match content {
                    Some(bytes) => tree.file(&path[1..], bytes.clone(), PLAIN).await.unwrap(),
                    None => tree.directory(&path[1..], PLAIN).await.unwrap(),
                }
                if let Some(bytes) = content {
                    assert_eq!(&read(&files, path).await.unwrap(), bytes, "seed {seed}, {path}");
                }
            }
            assert_eq!(root(&files).await, tree.finish().await.unwrap().root.cid, "seed {seed}, {model:?}");
        }
    });
}
