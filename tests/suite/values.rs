//! Values of linked data, through the facade: put, got by path, kept, pinned, pushed.

use std::rc::Rc;

use bytes::Bytes;
use cid::Version;
use futures_executor::block_on;
use ipfs_kit_storage::{
    Block, Cid, Error, OfflineReason, OpenOptions, PinOptions, Storage, StoreOptions,
    block::{self, Codec, MAX_BLOCK_BYTES},
    dag::{Value, cbor, json, pb::Node},
    hash::{CpuHasher, HashFunction},
    platform::native::SystemClock,
    remote::{Patience, Remote, Remotes},
    storage::{CollectOptions, Fault as Finding, PushOptions, ReadOptions, ValueOptions, VerifyOptions},
    tier::{Commit, MemoryTier, Tier, conformance::noise},
};

use crate::support::{Fault, Nobody, Origin, Time, node::Node as Kubo, small, world};

const COLLECT: CollectOptions = CollectOptions { dry_run: false };

fn open() -> (Rc<MemoryTier>, Storage) {
    let tier = Rc::new(MemoryTier::new());
    let options = OpenOptions { memory_bytes: 0, ..OpenOptions::default() };
    let storage = Storage::new(tier.clone(), Rc::new(CpuHasher), Rc::new(SystemClock), options).unwrap();
    (tier, storage)
}

fn value(text: &str) -> Value {
    json::decode(text.as_bytes()).unwrap()
}

fn link(cid: &Cid) -> String {
    format!(r#"{{"/":"{cid}"}}"#)
}

async fn put(storage: &Storage, text: &str) -> Cid {
    storage.put_value(&value(text), ValueOptions::default()).await.unwrap().root.cid
}

async fn get(storage: &Storage, path: &str) -> Result<Value, Error> {
    storage.get_value(path.parse::<ipfs_kit_storage::Path>().unwrap(), false).await.map(|(_, value)| value)
}

async fn blocks(storage: &Storage) -> u64 {
    storage.backend_status().await.usage.blocks
}

/// The CID of a block that is held nowhere.
async fn nowhere(codec: Codec, bytes: &'static [u8]) -> Cid {
    let parts = vec![Bytes::from_static(bytes)];
    Block::make(&CpuHasher, Version::V1, codec, HashFunction::Sha2_256, parts).await.unwrap()[0].cid().clone()
}

async fn lose(tier: &MemoryTier, cid: &Cid) {
    let drop_blocks = vec![block::key(cid).unwrap()];
    tier.commit(Commit { drop_blocks, ..Commit::default() }).await.unwrap();
}

#[test]
fn a_value_is_put_and_got_whole_or_in_part() {
    block_on(async {
        let (_, storage) = open();
        let text = r#"{"bytes":{"/":{"bytes":"AQID"}},"list":[1,-2,3.0,18446744073709551615],"name":"Čaues","none":null,"yes":true}"#;
        // CIDs as @ipld/dag-cbor 9 and @ipld/dag-json 10 have them.
        let options = ValueOptions { filename: Some("config".into()), ..ValueOptions::default() };
        let stored = storage.put_value(&value(text), options).await.unwrap();
        let cid = stored.root.cid.clone();
        assert_eq!(cid.codec(), Codec::DagCbor.code());
        assert_eq!(stored.root.filename.as_deref(), Some("config"));
        assert_eq!(stored.root.size, storage.get_block(&cid, true).await.unwrap().len() as u64);
        assert_eq!(storage.root(&cid).await.unwrap(), stored);
        assert_eq!(storage.roots(None, 10).await.unwrap().files, [stored]);
        assert_eq!(get(&storage, &cid.to_string()).await.unwrap(), value(text));
        assert_eq!(get(&storage, &format!("{cid}/list/1")).await.unwrap(), Value::Integer(-2));
        assert_eq!(get(&storage, &format!("{cid}/bytes")).await.unwrap(), Value::Bytes(Bytes::from_static(&[1, 2, 3])));
        assert!(matches!(get(&storage, &format!("{cid}/list/4")).await, Err(Error::NotFound(_))));
        assert!(matches!(storage.retrieve(&cid).await, Err(Error::Unsupported(why)) if why.contains("as a value")));
        for (codec, hash) in [(Codec::DagJson, HashFunction::Sha2_512), (Codec::DagCbor, HashFunction::Blake3)] {
            let options = ValueOptions { codec, hash, ..ValueOptions::default() };
            let other = storage.put_value(&value(text), options).await.unwrap().root.cid;
            assert_eq!((other.codec(), other.hash().code()), (codec.code(), hash.code()));
            assert_eq!(get(&storage, &other.to_string()).await.unwrap(), value(text));
        }
        // All else that is held is a value, too.
        let file = storage.store("a file", StoreOptions::default()).await.unwrap().root.cid;
        assert_eq!(get(&storage, &file.to_string()).await.unwrap(), Value::Bytes(Bytes::from_static(b"a file")));
        let file = storage.store(noise(1, 30_000), small()).await.unwrap().root.cid;
        let node = Node::decode(&storage.get_block(&file, true).await.unwrap()).unwrap();
        assert_eq!(get(&storage, &file.to_string()).await.unwrap(), Value::from(node));
        // And links lead from values to files.
        let holder = put(&storage, &format!("[{}]", link(&file))).await;
        let path: ipfs_kit_storage::Path = format!("{holder}/0").parse().unwrap();
        assert_eq!(storage.retrieve(path).await.unwrap(), noise(1, 30_000));
    });
}

#[test]
fn what_cannot_be_put_is_refused_and_leaves_nothing() {
    block_on(async {
        let (_, storage) = open();
        let refused = async |value: Value, options: ValueOptions| match storage.put_value(&value, options).await {
            Err(Error::InvalidArgument(why)) => why,
            other => panic!("{other:?}"),
        };
        let large = Value::Bytes(vec![0; MAX_BLOCK_BYTES].into());
        assert!(refused(large, ValueOptions::default()).await.contains("link to them"));
        refused(Value::Float(f64::NAN), ValueOptions::default()).await;
        for codec in [Codec::Raw, Codec::DagPb] {
            refused(Value::Null, ValueOptions { codec, ..ValueOptions::default() }).await;
        }
        let reserved = cbor::decode(&Bytes::from_static(b"\xa1\x61/\x63foo")).unwrap();
        refused(reserved.clone(), ValueOptions { codec: Codec::DagJson, ..ValueOptions::default() }).await;
        let filename = Some("x".repeat(5000));
        refused(Value::Null, ValueOptions { filename, ..ValueOptions::default() }).await;
        assert_eq!(blocks(&storage).await, 0);
        // As large as a block may be, and what only dag-cbor can say.
        let fits = Value::Bytes(vec![0; MAX_BLOCK_BYTES - 5].into());
        let cid = storage.put_value(&fits, ValueOptions::default()).await.unwrap().root.cid;
        assert_eq!(get(&storage, &cid.to_string()).await.unwrap(), fits);
        storage.put_value(&reserved, ValueOptions::default()).await.unwrap();
    });
}

#[test]
fn a_value_keeps_what_is_here_of_what_it_links_to_and_lacks_nothing() {
    block_on(async {
        let (_, storage) = open();
        let file = storage.store(noise(1, 30_000), small()).await.unwrap().root.cid;
        let inner = put(&storage, &format!(r#"{{"file":{}}}"#, link(&file))).await;
        let absent = nowhere(Codec::DagCbor, b"\x80").await;
        let git = "baf4bcfgio3hovkftaer3yx6jsnm6navhg4yimwi";
        let text = format!(r#"{{"absent":{},"git":{{"/":"{git}"}},"inner":{}}}"#, link(&absent), link(&inner));
        let outer = put(&storage, &text).await;
        let kept = blocks(&storage).await;
        // What they were roots of they stay, as parts of the value.
        storage.delete(&inner, false).await.unwrap();
        storage.delete(&file, false).await.unwrap();
        assert_eq!(blocks(&storage).await, kept);
        let stray = (nowhere(Codec::Raw, b"stray").await, Bytes::from_static(b"stray"));
        storage.put_blocks(vec![stray.clone()]).await.unwrap();
        let report = storage.collect(COLLECT).await.unwrap();
        assert_eq!((report.freed_blocks, report.obstacles.as_slice()), (1, [].as_slice()), "nothing holds it up");
        assert_eq!(blocks(&storage).await, kept);
        storage.put_blocks(vec![stray.clone()]).await.unwrap();
        storage.delete_blocks(&[stray.0]).await.unwrap();
        assert!(
            matches!(storage.delete_blocks(std::slice::from_ref(&file)).await, Err(Error::Denied(why)) if why.contains(&outer.to_string()))
        );
        let report = storage.verify(VerifyOptions::default()).await.unwrap();
        assert_eq!((report.findings.as_slice(), report.unreached), ([].as_slice(), Some(0)));
        assert_eq!(storage.retrieve(&file).await.unwrap(), noise(1, 30_000));
        let path = format!("{outer}/absent");
        assert_eq!(
            get(&storage, &path).await,
            Err(Error::NotAvailableOffline { cid: absent.clone(), reason: OfflineReason::NoRemotes })
        );
        // What was absent comes, and is kept from then on.
        storage.put_blocks(vec![(absent, Bytes::from_static(b"\x80"))]).await.unwrap();
        assert_eq!(storage.collect(COLLECT).await.unwrap().freed_blocks, 0);
        assert_eq!(get(&storage, &path).await, Ok(Value::List(vec![])));
        storage.delete(&outer, false).await.unwrap();
        assert_eq!(blocks(&storage).await, 0);
    });
}

#[test]
fn what_a_file_or_a_pin_needs_is_needed_also_where_a_value_has_it_too() {
    block_on(async {
        let stray = || async { vec![(nowhere(Codec::Raw, b"stray").await, Bytes::from_static(b"stray"))] };
        // Whichever is walked first must not hide from the others what is missing.
        for name in 0..4 {
            let (tier, storage) = open();
            let file = storage.store(noise(1, 30_000), small()).await.unwrap().root.cid;
            let layout = ipfs_kit_storage::unixfs::Layout { width: 2, ..small().layout.unwrap() };
            let options = StoreOptions { layout: Some(layout), ..StoreOptions::default() };
            let deep = storage.store(noise(2, 50_000), options).await.unwrap().root.cid;
            put(&storage, &format!(r#"{{"name":{name},"both":[{},{}]}}"#, link(&file), link(&deep))).await;
            let node = storage.get_value(&deep, true).await.unwrap().1;
            let Some(Value::Link(lost)) =
                node.get("Links").and_then(|links| links.get("0")).and_then(|link| link.get("Hash"))
            else {
                panic!("{node:?}")
            };
            assert_eq!(lost.codec(), Codec::DagPb.code());
            lose(&tier, lost).await;
            storage.put_blocks(stray().await).await.unwrap();
            let report = storage.collect(COLLECT).await.unwrap();
            assert_eq!((report.freed_blocks, report.obstacles.as_slice()), (0, [deep].as_slice()));
        }
        // A pinned value needs all of it.
        let (tier, storage) = open();
        let inner = put(&storage, "[]").await;
        let outer = put(&storage, &format!("[{}]", link(&inner))).await;
        storage.pin(&outer, PinOptions::default()).await.unwrap();
        storage.delete(&inner, false).await.unwrap();
        lose(&tier, &inner).await;
        storage.put_blocks(stray().await).await.unwrap();
        assert_eq!(storage.collect(COLLECT).await.unwrap().obstacles, std::slice::from_ref(&outer));
        let report = storage.verify(VerifyOptions::default()).await.unwrap();
        let missing = report.findings.iter().find(|finding| finding.fault == Finding::Missing).unwrap();
        assert_eq!((missing.cid.clone(), missing.some.as_slice()), (Some(outer.clone()), [inner].as_slice()));
        storage.unpin(&outer).await.unwrap();
        assert_eq!(storage.collect(COLLECT).await.unwrap().freed_blocks, 1);
        // So does a value itself: below it may be anything.
        storage.put_blocks(stray().await).await.unwrap();
        lose(&tier, &outer).await;
        assert_eq!(storage.collect(COLLECT).await.unwrap().obstacles, std::slice::from_ref(&outer));
        let report = storage.verify(VerifyOptions::default()).await.unwrap();
        assert!(
            report
                .findings
                .iter()
                .any(|finding| finding.fault == Finding::Missing && finding.cid == Some(outer.clone()))
        );
    });
}

/// A gateway with a value that links to another one, to a file of some blocks, and to itself no more; its root.
async fn published(origin: &Origin, tier: Rc<MemoryTier>) -> (Cid, Cid, Cid) {
    let theirs = Storage::new(tier, Rc::new(CpuHasher), Rc::new(origin.time.clone()), OpenOptions::default()).unwrap();
    let file = theirs.store(noise(3, 50_000), small()).await.unwrap().root.cid;
    let inner = put(&theirs, &format!(r#"{{"file":{},"n":[7]}}"#, link(&file))).await;
    (put(&theirs, &format!(r#"{{"a":{{"inner":{}}}}}"#, link(&inner))).await, inner, file)
}

#[test]
fn what_is_not_here_is_fetched_along_the_path_and_no_more() {
    block_on(async {
        let world = world(1, OpenOptions::default());
        let (root, inner, file) = published(&world.origins[0], world.origins[0].tier.clone()).await;
        assert_eq!(get(&world.storage, &format!("{root}/a/inner/n/0")).await, Ok(Value::Integer(7)));
        assert_eq!(world.requests().len(), 1, "{:?}", world.requests());
        assert_eq!(blocks(&world.storage).await, 2);
        // No root: a collection takes them.
        assert!(world.storage.roots(None, 10).await.unwrap().files.is_empty());
        assert_eq!(world.storage.collect(COLLECT).await.unwrap().freed_blocks, 2);
        // Of a file its root block is the value; its bytes are read as ever.
        let node = get(&world.storage, &format!("{root}/a/inner/file")).await.unwrap();
        assert!(node.get("Links").is_some());
        assert_eq!(blocks(&world.storage).await, 3 + 1, "a reader of no bytes gets the first of them");
        let path: ipfs_kit_storage::Path = format!("{root}/a/inner/file").parse().unwrap();
        let mut reader = world.storage.reader(path, ReadOptions::range(0, Some(10))).await.unwrap();
        assert_eq!(reader.cid(), &file);
        assert!(reader.next().await.unwrap().is_some());
        let offline = world.storage.get_value(&inner, true).await;
        assert!(offline.is_ok(), "it is held");
        let far = nowhere(Codec::DagCbor, b"\x81\x01").await;
        let offline = world.storage.get_value(&far, true).await;
        assert_eq!(offline, Err(Error::NotAvailableOffline { cid: far.clone(), reason: OfflineReason::Requested }));
        assert!(matches!(get(&world.storage, &far.to_string()).await, Err(Error::Unavailable { .. })));
        assert!(matches!(get(&world.storage, &format!("{root}/a/x")).await, Err(Error::NotFound(_))));
    });
}

#[test]
fn a_gateway_that_gives_no_cars_along_paths_gives_the_blocks() {
    block_on(async {
        for fault in [Fault::NoPaths(404), Fault::NoPaths(501), Fault::NoCar] {
            let world = world(1, OpenOptions::default());
            let (root, ..) = published(&world.origins[0], world.origins[0].tier.clone()).await;
            world.origins[0].fails(fault, usize::MAX);
            assert_eq!(get(&world.storage, &format!("{root}/a/inner/n/0")).await, Ok(Value::Integer(7)), "{fault:?}");
        }
    });
}

#[test]
fn a_pinned_value_has_all_below_it_fetched() {
    block_on(async {
        let world = world(1, OpenOptions::default());
        let (root, inner, file) = published(&world.origins[0], world.origins[0].tier.clone()).await;
        let storage = &world.storage;
        // One that comes from elsewhere, as a whole.
        let pin = storage.pin(&root, PinOptions::default()).await.unwrap();
        assert!(!pin.pending);
        assert_eq!(pin.size.unwrap().0, 2 + 6);
        world.holds_only(&root).await;
        assert_eq!(
            storage.root(&root).await.unwrap().root.size,
            storage.get_block(&root, true).await.unwrap().len() as u64
        );
        storage.delete(&root, true).await.unwrap();
        assert_eq!(blocks(storage).await, 0);
        // One that is put here: stored in any case, and pinned when it has come.
        let holder = value(&format!("[{}]", link(&inner)));
        let pinned = ValueOptions { pin: true, ..ValueOptions::default() };
        let offline = ValueOptions { offline: true, ..pinned.clone() };
        let refused = storage.put_value(&holder, offline).await;
        assert_eq!(refused, Err(Error::NotAvailableOffline { cid: inner, reason: OfflineReason::Requested }));
        assert!(storage.pins(None, 10).await.unwrap().pins[0].pending);
        assert_eq!(storage.collect(COLLECT).await.unwrap().freed_blocks, 0);
        assert_eq!(blocks(storage).await, 1);
        let stored = storage.put_value(&holder, pinned.clone()).await.unwrap();
        assert!(stored.pinned);
        let pin = storage.pins(None, 10).await.unwrap().pins.remove(0);
        assert_eq!((pin.cid, pin.pending, pin.size.unwrap().0), (stored.root.cid.clone(), false, 1 + 1 + 6));
        assert_eq!(storage.retrieve(&file).await.unwrap(), noise(3, 50_000));
        assert!(matches!(storage.delete(&stored.root.cid, false).await, Err(Error::Denied(_))));
        // A stored value that is pinned later, too.
        storage.delete(&stored.root.cid, true).await.unwrap();
        let cid = storage.put_value(&holder, ValueOptions::default()).await.unwrap().root.cid;
        assert_eq!(blocks(storage).await, 1);
        storage.pin(&cid, PinOptions::default()).await.unwrap();
        assert_eq!(blocks(storage).await, 8);
        // What links to something nobody here could prove cannot be pinned, and says so.
        let requests = world.requests().len();
        let git = put(storage, r#"[{"/":"baf4bcfgio3hovkftaer3yx6jsnm6navhg4yimwi"}]"#).await;
        let refused = storage.pin(&git, PinOptions::default()).await;
        assert!(matches!(refused, Err(Error::Unsupported(why)) if why.contains("baf4bcf")));
        assert_eq!(world.requests().len(), requests, "no gateway is asked for that, or blamed for it");
    });
}

#[test]
fn a_value_in_no_proper_form_is_not_blamed_on_who_sends_it() {
    block_on(async {
        let world = world(1, OpenOptions::default());
        // Keys out of order, as some old writers left them, and a link.
        let below = nowhere(Codec::Raw, b"below").await;
        let mut bytes = b"\xa2\x61b\xd8\x2a\x58\x25\x00".to_vec();
        bytes.extend_from_slice(&below.to_bytes());
        bytes.extend_from_slice(b"\x61a\x00");
        let parts = vec![Bytes::from(bytes)];
        let mut made =
            Block::make(&CpuHasher, Version::V1, Codec::DagCbor, HashFunction::Sha2_256, parts).await.unwrap();
        let parts = vec![Bytes::from_static(b"below")];
        made.extend(Block::make(&CpuHasher, Version::V1, Codec::Raw, HashFunction::Sha2_256, parts).await.unwrap());
        let cid = made[0].cid().clone();
        world.origins[0].tier.commit(Commit { blocks: made, ..Commit::default() }).await.unwrap();
        let refused = world.storage.pin(&cid, PinOptions::default()).await.unwrap_err();
        assert!(refused.to_string().contains("out of order"), "{refused}");
        // As a block it can be had all the same, from the same gateway.
        assert!(world.storage.get_block(&cid, false).await.is_ok());
        assert!(world.storage.get_block(&below, false).await.is_ok());
    });
}

#[test]
fn a_value_is_pushed_with_all_below_it() {
    block_on(async {
        let time = Time { now: Rc::new(1_000_000.into()), online: Rc::new(true.into()) };
        let node = Kubo::new(Origin::new(&time), "node");
        let clock = Rc::new(time.clone());
        let to: Vec<Rc<dyn Remote>> = vec![node.clone()];
        let remotes = Remotes::new(to, Rc::new(Nobody), clock.clone(), clock.clone(), Patience::default()).unwrap();
        let options = OpenOptions { remotes: Some(Rc::new(remotes)), ..OpenOptions::default() };
        let tier = Rc::new(MemoryTier::new());
        let storage = Storage::new(tier.clone(), Rc::new(CpuHasher), clock, options).unwrap();
        let (root, ..) = published(&Origin::new(&time), tier).await;
        let options = PushOptions { pin: true, ..PushOptions::default() };
        assert_eq!(storage.push(&root, "node", options).await.unwrap().blocks, 2 + 6);
    });
}
