//! Trees: stored in any order, changed, listed page by page.

use std::{
    cell::RefCell,
    collections::{BTreeMap, HashMap},
    rc::Rc,
};

use async_trait::async_trait;
use cid::Version;
use futures_executor::block_on;
use ipfs_kit_storage::{
    Block, Cid, Error, OpenOptions, Path, Result, Storage, StoreOptions,
    block::{self, Codec},
    dag::pb::Node,
    hash::{CpuHasher, HashFunction},
    platform::native::SystemClock,
    tier::MemoryTier,
    unixfs::{
        BlockSink, BlockSource, Changes, Data, DirectoryReader, Edit, EntryKind, Kind, Layout, Metadata, Mtime,
        Profile, Sharding, Target, find,
    },
};
use proptest::prelude::*;

const NONE: Metadata = Metadata { mode: None, mtime: None };

#[derive(Default, Clone)]
struct Shelf(Rc<RefCell<HashMap<Cid, Block>>>);

#[async_trait(?Send)]
impl BlockSource for Shelf {
    async fn blocks(&self, cids: &[Cid]) -> Result<Vec<Block>> {
        let blocks = self.0.borrow();
        cids.iter().map(|cid| blocks.get(cid).cloned().ok_or(Error::NotFound(cid.into()))).collect()
    }
}

#[async_trait(?Send)]
impl BlockSink for Shelf {
    async fn put(&mut self, blocks: Vec<Block>) -> Result<()> {
        self.0.borrow_mut().extend(blocks.into_iter().map(|block| (block.cid().clone(), block)));
        Ok(())
    }
}

fn some(n: u8) -> Target {
    let made = Block::make(&CpuHasher, Version::V1, Codec::Raw, HashFunction::Sha2_256, vec![vec![n].into()]);
    Target { cid: block_on(made).unwrap()[0].cid().clone(), tsize: n.into() }
}

/// Directories of more than so many bytes are cut.
fn layout(profile: Profile, threshold: usize) -> Layout {
    let layout = Layout::from(profile);
    Layout { sharding: Sharding { threshold, ..layout.sharding }, ..layout }
}

fn change(shelf: &Shelf, layout: Layout, from: Option<Cid>, changes: Changes) -> Target {
    let edit = Edit { source: shelf, hasher: &CpuHasher, layout };
    block_on(edit.directory(&mut shelf.clone(), from, None, changes)).unwrap()
}

fn listed(shelf: &Shelf, root: Cid, after: Option<&str>) -> Vec<String> {
    block_on(async {
        let mut reader = DirectoryReader::open(shelf, root, after).await.unwrap();
        let mut names = Vec::new();
        while let Some(link) = reader.next().await.unwrap() {
            names.push(link.name.unwrap());
        }
        names
    })
}

/// Changes of which about so many in one add something. There are so few names that what was added is taken away again.
fn round(adding: f64) -> impl Strategy<Value = BTreeMap<String, Option<u8>>> {
    prop::collection::btree_map("[a-eäß ]{1,2}", prop::option::weighted(adding, 0u8..4), 1..60)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    /// The model is a map; a directory made anew from it must be the same.
    #[test]
    fn a_directory_that_is_changed_is_the_one_that_is_made_at_once(
        rounds in prop::collection::vec(prop_oneof![round(0.9), round(0.1)], 1..8),
        threshold in prop::sample::select(vec![0usize, 300, 1_000, 200_000]),
        profile in prop::sample::select(vec![Profile::UnixfsV1_2025, Profile::UnixfsV0_2015]),
    ) {
        let (shelf, layout) = (Shelf::default(), layout(profile, threshold));
        let mut model: BTreeMap<String, Target> = BTreeMap::new();
        let mut root = None;
        for round in rounds {
            let changes: Changes = round.into_iter().map(|(name, to)| (name, to.map(some))).collect();
            for (name, to) in &changes {
                match to {
                    Some(to) => _ = model.insert(name.clone(), to.clone()),
                    None => _ = model.remove(name),
                }
            }
            let changed = change(&shelf, layout, root, changes);
            root = Some(changed.cid.clone());
            let at_once = model.iter().map(|(name, to)| (name.clone(), Some(to.clone()))).collect();
            prop_assert_eq!(changed, change(&shelf, layout, None, at_once));
        }
        let root = root.unwrap();
        for (name, to) in &model {
            prop_assert_eq!(block_on(find(&shelf, &root, name)).unwrap().map(|link| link.cid), Some(to.cid.clone()));
        }
        let all = listed(&shelf, root.clone(), None);
        let mut sorted = all.clone();
        sorted.sort();
        prop_assert_eq!(sorted, model.keys().cloned().collect::<Vec<String>>());
        // A listing goes on after any name, and after one that has gone.
        for (at, name) in all.iter().enumerate().step_by(1 + all.len() / 10) {
            prop_assert_eq!(&listed(&shelf, root.clone(), Some(name)), &all[at + 1..]);
            if all.len() > 1 {
                let without = change(&shelf, layout, Some(root.clone()), Changes::from([(name.clone(), None)]));
                // It may be in one block now, where the order is that of the names.
                let node = Node::decode(shelf.0.borrow()[&without.cid].bytes()).unwrap();
                let kind = Data::decode(&node.data.unwrap()).unwrap().kind;
                let expected: Vec<String> = match kind == Kind::HamtShard {
                    true => all[at + 1..].to_vec(),
                    false => model.keys().filter(|other| *other > name).cloned().collect(),
                };
                prop_assert_eq!(listed(&shelf, without.cid, Some(name)), expected);
            }
        }
    }
}

/// Sizes of DAGs are what their makers say, and may be anything.
#[test]
fn sizes_that_overflow_do_no_harm() {
    for threshold in [0, 100_000] {
        let (shelf, layout) = (Shelf::default(), layout(Profile::UnixfsV1_2025, threshold));
        let huge = Target { tsize: u64::MAX, ..some(1) };
        let changes: Changes = (0..300).map(|n| (format!("{n}"), Some(huge.clone()))).collect();
        let made = change(&shelf, layout, None, changes);
        assert_eq!((made.tsize, listed(&shelf, made.cid, None).len()), (u64::MAX, 300));
    }
}

#[test]
fn an_edit_of_a_large_directory_touches_few_blocks() {
    let (shelf, layout) = (Shelf::default(), Layout::default());
    let names = |range: std::ops::Range<u32>| range.map(|n| (format!("file {n}"), Some(some(1)))).collect();
    let large = change(&shelf, layout, None, names(0..20_000));
    let before = shelf.0.borrow().len();
    let larger = change(&shelf, layout, Some(large.cid.clone()), names(20_000..20_001));
    let made = shelf.0.borrow().len() - before;
    assert!((2..=4).contains(&made), "{made} blocks were made");
    let changes = Changes::from([("file 20000".into(), None)]);
    assert_eq!(change(&shelf, layout, Some(larger.cid), changes), large);
}

fn storage() -> Storage {
    let options = OpenOptions::default();
    Storage::new(Rc::new(MemoryTier::new()), Rc::new(CpuHasher), Rc::new(SystemClock), options).unwrap()
}

async fn stored(entries: &[(String, String)]) -> (Storage, Cid) {
    let storage = storage();
    let mut tree = storage.tree(StoreOptions::default()).unwrap();
    for (path, text) in entries {
        tree.file(path, text.clone(), NONE).await.unwrap();
    }
    let cid = tree.finish().await.unwrap().root.cid;
    (storage, cid)
}

/// More entries than are kept in memory, in an order that leaves directories and comes back to them.
#[test]
fn a_large_tree_is_the_same_in_any_order() {
    block_on(async {
        let entry = |n: u32| (format!("{}/{}/f{n}", n % 7, n % 31), (n % 10).to_string());
        let forth: Vec<(String, String)> = (0..70_000).map(entry).collect();
        let mut sorted = forth.clone();
        sorted.sort();
        let (storage, one) = stored(&forth).await;
        let (_, other) = stored(&sorted).await;
        assert_eq!(one, other);
        let path = Path::new(one.clone(), ["3", "10", "f69512"].map(str::to_owned)).unwrap();
        assert_eq!(69_512 % 7, 2, "so it is elsewhere");
        assert!(matches!(storage.retrieve(path).await, Err(Error::NotFound(_))));
        let path = Path::new(one.clone(), ["2", "10", "f69512"].map(str::to_owned)).unwrap();
        assert_eq!(storage.retrieve(path).await.unwrap(), "2");
        // Directories as they were in between are garbage, and nothing else is.
        let before = storage.backend_status().await.usage.blocks;
        storage.collect(Default::default()).await.unwrap();
        let after = storage.backend_status().await.usage.blocks;
        assert!(after < before);
        assert_eq!(
            storage
                .retrieve(Path::new(one, ["0/0/f0".split('/').map(str::to_owned)].into_iter().flatten()).unwrap())
                .await
                .unwrap(),
            "0"
        );
    });
}

#[test]
fn what_was_said_of_entries_is_told_again() {
    block_on(async {
        let storage = storage();
        let mut tree = storage.tree(StoreOptions { filename: Some("site".into()), ..Default::default() }).unwrap();
        let mtime = Some(Mtime { seconds: -5, nanoseconds: 7 });
        let run = Metadata { mode: Some(0o755), mtime };
        tree.file("bin/run", "#!", run).await.unwrap();
        tree.directory("bin", Metadata { mode: Some(0o700), mtime: None }).await.unwrap();
        tree.directory("empty", NONE).await.unwrap();
        tree.symlink("a link", "bin/run", NONE).await.unwrap();
        tree.begin_file("large", NONE).unwrap();
        for _ in 0..5 {
            tree.write(vec![7; 1_000_000].into()).await.unwrap();
        }
        tree.end_file().await.unwrap();
        tree.file("plain", "text", NONE).await.unwrap();
        let stored = tree.finish().await.unwrap().root;
        assert_eq!((stored.size, stored.kind), (5_000_006, Some(EntryKind::Directory)));

        let root = stored.cid.to_string();
        let page = storage.list_files(&root, None, 3, false).await.unwrap();
        let names = |page: &ipfs_kit_storage::storage::FilePage| -> Vec<String> {
            page.files.iter().map(|file| file.filename.clone().unwrap()).collect()
        };
        assert_eq!(
            (names(&page), page.next.as_deref()),
            (vec!["a link".into(), "bin".into(), "empty".into()], Some("empty"))
        );
        assert_eq!(page.files[0].kind, Some(EntryKind::Symlink));
        assert_eq!(page.files[0].target.as_deref(), Some("bin/run"));
        assert_eq!(page.files[1].metadata.mode, Some(0o700));
        let rest = storage.list_files(&format!("/{root}"), Some("empty"), 3, false).await.unwrap();
        assert_eq!((names(&rest), rest.next), (vec!["large".into(), "plain".into()], None));
        assert_eq!(rest.files.iter().map(|file| file.size).collect::<Vec<_>>(), [Some(5_000_000), Some(4)]);

        let stat = |path: &str| {
            let path = Path::parse(&format!("{root}/{path}")).unwrap();
            let storage = storage.clone();
            async move { storage.stat(path, false).await }
        };
        let run = stat("bin/run").await.unwrap();
        assert_eq!((run.kind, run.size, run.metadata.mtime), (Some(EntryKind::File), Some(2), mtime));
        assert_eq!(run.metadata.mode, Some(0o755));
        assert_eq!((run.modified, run.pinned), (None, false));
        assert_eq!(stat("a link").await.unwrap().kind, Some(EntryKind::Symlink));
        assert_eq!(stat("empty").await.unwrap().kind, Some(EntryKind::Directory));
        assert!(matches!(stat("empty/none").await, Err(Error::NotFound(_))));
        let root = stat("").await.unwrap();
        assert_eq!(
            (root.filename.as_deref(), root.size, root.kind),
            (Some("site"), Some(5_000_006), Some(EntryKind::Directory))
        );
        assert!(root.modified.is_some());
        assert_eq!(storage.retrieve(Path::parse(&format!("{}/a link", root.cid)).unwrap()).await.unwrap(), "#!");
    });
}

#[test]
fn what_is_given_twice_is_what_it_was_the_last_time() {
    block_on(async {
        let storage = storage();
        let mut tree = storage.tree(StoreOptions::default()).unwrap();
        tree.file("a", "one", NONE).await.unwrap();
        tree.file("a", "two", NONE).await.unwrap();
        tree.file("b", "gone", NONE).await.unwrap();
        tree.file("b/c", "below", NONE).await.unwrap();
        tree.file("./d//e", "deep", NONE).await.unwrap();
        for path in ["..", "a/../b", "", "/", &"x/".repeat(200)] {
            assert!(matches!(tree.file(path, "no", NONE).await, Err(Error::InvalidArgument(_))), "{path}");
        }
        let cid = tree.finish().await.unwrap().root.cid;
        assert!(matches!(tree.finish().await, Err(Error::Cancelled)));
        let text = |path: &str| {
            let (storage, path) = (storage.clone(), Path::parse(&format!("{cid}/{path}")).unwrap());
            async move { storage.retrieve(path).await.map(|bytes| String::from_utf8(bytes.to_vec()).unwrap()) }
        };
        assert_eq!(text("a").await.unwrap(), "two");
        assert_eq!(text("b/c").await.unwrap(), "below");
        assert_eq!(text("d/e").await.unwrap(), "deep");
    });
}

/// Nothing is stored by a tree that is given up.
#[test]
fn a_tree_that_is_given_up_leaves_nothing() {
    block_on(async {
        let storage = storage();
        let mut tree = storage.tree(StoreOptions::default()).unwrap();
        for n in 0..6000u32 {
            tree.file(&format!("d/{n}"), n.to_le_bytes().to_vec(), NONE).await.unwrap();
        }
        tree.begin_file("large", NONE).unwrap();
        for n in 0..12u8 {
            tree.write(vec![n; 1 << 20].into()).await.unwrap();
        }
        assert!(storage.backend_status().await.usage.blocks > 0, "written ahead");
        tree.abort().await;
        assert_eq!(storage.backend_status().await.usage.blocks, 0);
        assert!(matches!(tree.write("more".into()).await, Err(Error::Cancelled)));
    });
}

/// Its shards are written in parts, and it is what Helia 7 makes of it.
#[test]
fn a_very_wide_directory_has_its_cid() {
    const WIDE: &str = "bafybeier5a65lhfc2nuye7crf4zqzhm6ifa3zahclifgsugnf6vic3zm5y";
    block_on(async {
        let storage = storage();
        let mut tree = storage.tree(StoreOptions::default()).unwrap();
        for n in 0..20_000 {
            let text = format!("This is what is in entry-{n:05}.\n");
            tree.file(&format!("entry-{n:05}"), text, NONE).await.unwrap();
        }
        assert_eq!(tree.finish().await.unwrap().root.cid.to_string(), WIDE);
        let page = storage.list_files(WIDE, None, 10_000, true).await.unwrap();
        let rest = storage.list_files(WIDE, page.next.as_deref(), 10_000, true).await.unwrap();
        let mut names: Vec<_> = page.files.into_iter().chain(rest.files).filter_map(|file| file.filename).collect();
        names.sort_unstable();
        assert!(names.into_iter().eq((0..20_000).map(|n| format!("entry-{n:05}"))) && rest.next.is_none());
    });
}

#[test]
fn what_cannot_be_read_hides_nothing_beside_it() {
    block_on(async {
        let tier = Rc::new(MemoryTier::new());
        let options = OpenOptions { memory_bytes: 0, ..OpenOptions::default() };
        let storage = Storage::new(tier.clone(), Rc::new(CpuHasher), Rc::new(SystemClock), options).unwrap();
        let mut tree = storage.tree(StoreOptions::default()).unwrap();
        for name in ["first", "rotten", "last"] {
            tree.symlink(name, &format!("to {name}"), NONE).await.unwrap();
        }
        let root = tree.finish().await.unwrap().root.cid.to_string();
        let page = storage.list_files(&root, None, 9, true).await.unwrap();
        let rotten = page.files.last().unwrap();
        assert_eq!(rotten.filename.as_deref(), Some("rotten"));
        tier.damage(&block::key(&rotten.cid).unwrap(), vec![7; 17].into());
        let page = storage.list_files(&root, None, 9, true).await.unwrap();
        let targets: Vec<_> = page.files.iter().map(|file| file.target.as_deref()).collect();
        assert_eq!(targets, [Some("to first"), Some("to last"), None]);
    });
}
