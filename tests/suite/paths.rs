//! Reading by path: what is held first, the rest from scripted gateways, in as few requests as can be.

use std::{cell::RefCell, rc::Rc};

use async_trait::async_trait;
use bytes::Bytes;
use cid::Version;
use futures_executor::block_on;
use futures_util::future::join_all;
use ipfs_kit_storage::{
    Block, Cid, Error, OfflineReason, OpenOptions, Path, StoreOptions,
    block::{self, Codec},
    dag::pb::{Link, Node},
    hash::{CpuHasher, HashFunction},
    platform::http::Body,
    remote::{Failure, Gateway, Remote, Wanted},
    storage::{BackendState, ReadOptions},
    tier::{Commit, Tier, conformance::noise},
    unixfs::{Data, Kind},
};

use crate::support::{Fault, Origin, World, small, world, world_of};

const DIR3: &str = "dir3-v1.car";
const MANY5000: &str = "many5000-v1.car";

/// The bytes of the files in the measured directories.
fn rule(length: usize) -> Vec<u8> {
    (0..length).map(|at| (at * 31 + 7) as u8).collect()
}

fn path(root: &Cid, below: &str) -> Path {
    format!("{root}/{below}").parse().unwrap()
}

async fn put(origin: &Origin, links: &[(&str, Cid)], data: Data) -> Cid {
    let links = links.iter().map(|(name, cid)| Link { cid: cid.clone(), name: Some((*name).to_owned()), tsize: None });
    let node = Node { links: links.collect(), data: Some(data.encode().into()) };
    let parts = vec![Bytes::from(node.encode())];
    let made = Block::make(&CpuHasher, Version::V1, Codec::DagPb, HashFunction::Sha2_256, parts).await;
    let blocks = made.unwrap();
    let cid = blocks[0].cid().clone();
    origin.tier.commit(Commit { blocks, ..Commit::default() }).await.unwrap();
    cid
}

async fn directory(origin: &Origin, links: &[(&str, Cid)]) -> Cid {
    put(origin, links, Data::new(Kind::Directory)).await
}

/// A world of so many gateways that all have `dir/sub/file`; its root, and the file's CID.
async fn nested(gateways: usize, data: &[u8]) -> (World, Cid, Cid) {
    let world = world(gateways, OpenOptions::default());
    let mut made = None;
    for origin in &world.origins {
        let file = origin.store(data.to_vec(), small()).await;
        let other = origin.store(noise(99, 30_000), small()).await;
        let sub = directory(origin, &[("file", file.clone()), ("other", other.clone())]).await;
        made = Some((directory(origin, &[("beside", other), ("sub", sub)]).await, file));
    }
    let (root, file) = made.unwrap();
    (world, root, file)
}

async fn held(world: &World) -> u64 {
    world.tier.usage().await.unwrap().blocks
}

#[test]
fn a_path_and_its_file_come_with_one_request() {
    block_on(async {
        let world = world(1, OpenOptions::default());
        let root = world.origins[0].load(DIR3).await;
        for (name, length, blocks) in [("a.txt", 11, 2), ("b.bin", 4096, 3), ("c.dat", 300_000, 4)] {
            let before = world.requests().len();
            assert_eq!(world.storage.retrieve(&path(&root, name)).await.unwrap(), rule(length), "{name}");
            assert_eq!(world.requests().len(), before + 1, "{:?}", world.requests());
            // The directory is a block, and each file that was read: no leaf of another.
            assert_eq!(held(&world).await, blocks, "{name}");
        }
        let query = "?format=car&dag-scope=entity&entity-bytes=0:*&car-version=1&car-order=dfs&car-dups=n";
        assert_eq!(world.requests()[0], format!("http://gateway-0.test/ipfs/{root}/a.txt{query}"));
        // What it leads to is a stored file, the directory is none.
        let reader = world.storage.reader(path(&root, "a.txt"), ReadOptions::default()).await.unwrap();
        let stored = world.storage.root(reader.cid()).await.unwrap();
        assert_eq!((stored.root.size, stored.pinned), (11, false));
        assert!(matches!(world.storage.root(&root).await, Err(Error::NotFound(cid)) if cid == root));
        world.time.online.set(false);
        for text in [format!("/ipfs/{root}/c.dat"), format!("ipfs://{root}//c%2Edat")] {
            let path: Path = text.parse().unwrap();
            assert_eq!(world.storage.retrieve(path).await.unwrap(), rule(300_000), "{text}");
        }
    });
}

#[test]
fn directories_and_a_large_file_come_with_one_request() {
    block_on(async {
        let data = noise(1, 6_000_000);
        let (world, root, file) = nested(1, &data).await;
        assert_eq!(world.storage.retrieve(&path(&root, "sub/file")).await.unwrap(), data);
        assert_eq!(world.requests().len(), 1, "{:?}", world.requests());
        assert_eq!(world.storage.root(&file).await.unwrap().root.size, 6_000_000);
        // Two directories, and what the file is made of.
        let file_blocks = world.origins[0].dag(file).await.unwrap().len() as u64;
        assert_eq!(held(&world).await, 2 + file_blocks);
    });
}

#[test]
fn a_name_in_shards_comes_with_one_request() {
    block_on(async {
        let world = world(1, OpenOptions::default());
        let root = world.origins[0].load(MANY5000).await;
        for (count, number) in [0, 1, 1234, 4999].into_iter().enumerate() {
            let name = format!("file-{number:05}");
            assert_eq!(world.storage.retrieve(&path(&root, &name)).await.unwrap(), number.to_string(), "{name}");
            assert_eq!(world.requests().len(), count + 1, "{:?}", world.requests());
        }
        assert!(held(&world).await <= 4 * 3 + 1, "{} blocks", held(&world).await);
        // A shard that is missing is asked for from the directory on: names are hashed from there.
        assert!(world.requests()[3].contains(&format!("/ipfs/{root}/file-04999?")), "{}", world.requests()[3]);
    });
}

#[test]
fn names_are_escaped() {
    block_on(async {
        let world = world(1, OpenOptions::default());
        let origin = &world.origins[0];
        let file = origin.store(b"here".to_vec(), small()).await;
        let odd = "ä b%41?x=#&+:@~'\\";
        let sub = directory(origin, &[(odd, file)]).await;
        let root = directory(origin, &[("...", sub)]).await;
        let path = Path::new(root.clone(), ["...".to_owned(), odd.to_owned()]).unwrap();
        assert_eq!(world.storage.retrieve(&path).await.unwrap(), "here");
        let escaped = ".../%C3%A4%20b%2541%3Fx%3D%23%26%2B%3A%40~%27%5C?format=car";
        assert!(world.requests()[0].contains(&format!("/ipfs/{root}/{escaped}")), "{:?}", world.requests());
    });
}

#[test]
fn a_range_by_path_brings_only_what_holds_it() {
    block_on(async {
        let data = noise(2, 1_000_000);
        let (world, root, file) = nested(1, &data).await;
        let path = path(&root, "sub/file");
        let mut reader = world.storage.reader(&path, ReadOptions::range(505_000, Some(3000))).await.unwrap();
        assert_eq!((reader.size(), reader.remaining(), reader.cid().clone()), (1_000_000, 3000, file.clone()));
        assert_eq!(reader.next().await.unwrap().unwrap(), data[505_000..508_000]);
        assert_eq!(reader.next().await.unwrap(), None);
        assert_eq!(world.requests().len(), 1, "{:?}", world.requests());
        assert!(world.requests()[0].contains("/sub/file?format=car&dag-scope=entity&entity-bytes=505000:507999&"));
        assert!(held(&world).await < 8);
        assert!(world.storage.root(&file).await.is_err(), "a part of a file is no stored file");
        // The next range goes on in the same file, along what is held.
        let mut reader = world.storage.reader(&path, ReadOptions::range(700_000, Some(100_000))).await.unwrap();
        while reader.next().await.unwrap().is_some() {}
        assert!(world.requests().iter().skip(1).all(|url| !url.contains("sub")), "{:?}", world.requests());
        assert_eq!(world.storage.retrieve(&path).await.unwrap(), data);
    });
}

#[test]
fn what_is_held_of_the_way_is_not_asked_for() {
    block_on(async {
        let data = noise(3, 200_000);
        let (world, root, file) = nested(1, &data).await;
        let mut reader = world.storage.reader(path(&root, "beside"), ReadOptions::default()).await.unwrap();
        while reader.next().await.unwrap().is_some() {}
        assert_eq!(world.storage.retrieve(&path(&root, "sub/file")).await.unwrap(), data);
        let sub = directory(&world.origins[0], &[("file", file), ("other", reader.cid().clone())]).await;
        let requests = world.requests();
        assert_eq!(requests.len(), 2, "{requests:?}");
        assert!(requests[1].contains(&format!("/ipfs/{sub}/file?format=car")), "{requests:?}");
        // All directories are held: the file is asked for by its CID, and what is held already not at all.
        let third = world.origins[0].store(noise(4, 100_000), small()).await;
        let root = directory(&world.origins[0], &[("sub", sub), ("third", third.clone())]).await;
        let read = |below: &str| path(&root, below);
        assert!(matches!(world.storage.retrieve(&read("none")).await, Err(Error::NotFound(_))));
        world.origins[0].requests.borrow_mut().clear();
        assert_eq!(world.storage.retrieve(&read("third")).await.unwrap(), noise(4, 100_000));
        assert_eq!(world.storage.retrieve(&read("sub/file")).await.unwrap(), data);
        let requests = world.requests();
        assert_eq!(requests.len(), 1, "{requests:?}");
        assert!(requests[0].contains(&format!("/ipfs/{third}?format=car")), "{requests:?}");
    });
}

/// Of a gateway that does not follow paths, or not this one, the nodes are taken one by one, and the file as a CAR.
#[test]
fn nodes_come_one_by_one_where_nobody_follows_paths() {
    for fault in [400, 404, 406, 422, 500, 501].map(Fault::NoPaths).into_iter().chain([Fault::Headless]) {
        block_on(async {
            let data = noise(5, 400_000);
            let (world, root, file) = nested(1, &data).await;
            world.origins[0].fails(fault, usize::MAX);
            let got = world.storage.retrieve(&path(&root, "sub/file")).await;
            assert!(got.as_ref().is_ok_and(|got| *got == data), "{fault:?}: {:?}", got.err());
            let requests = world.requests();
            let count = |part: &str| requests.iter().filter(|url| url.contains(part)).count();
            assert_eq!(count("format=raw"), 2, "{fault:?}: {requests:?}");
            assert_eq!(count(&format!("/ipfs/{file}?format=car")), 1, "{fault:?}: {requests:?}");
            assert_eq!(count("/sub/file?"), 1, "{fault:?}: {requests:?}");
            let status = world.storage.backend_status().await;
            assert_ne!(status.backends[1].state, BackendState::Disabled, "{fault:?}: it is no liar");
        });
    }
}

#[test]
fn all_blocks_come_one_by_one_where_nobody_gives_cars() {
    block_on(async {
        let data = noise(6, 100_000);
        let (world, root, _) = nested(1, &data).await;
        world.origins[0].fails(Fault::NoCar, usize::MAX);
        assert_eq!(world.storage.retrieve(&path(&root, "sub/file")).await.unwrap(), data);
        // Once along the path, and once for the file: who cannot do the one may do the other.
        assert_eq!(world.requests().iter().filter(|url| url.contains("format=car")).count(), 2);
    });
}

/// A remote that gives CARs by CID alone.
struct ByCid {
    gateway: Gateway,
    wanted: Rc<RefCell<Vec<Wanted>>>,
}

#[async_trait(?Send)]
impl Remote for ByCid {
    fn name(&self) -> &str {
        self.gateway.name()
    }

    fn kind(&self) -> &'static str {
        "by-cid"
    }

    async fn block(&self, cid: &Cid) -> Result<Box<dyn Body>, Failure> {
        self.gateway.block(cid).await
    }

    async fn car(&self, wanted: &Wanted) -> Result<Box<dyn Body>, Failure> {
        self.wanted.borrow_mut().push(wanted.clone());
        match wanted.path.is_empty() {
            true => self.gateway.car(wanted).await,
            false => Err(Failure::Unsupported("CARs along paths".into())),
        }
    }

    async fn probe(&self) -> Result<(), Failure> {
        self.gateway.probe().await
    }
}

#[test]
fn a_remote_without_paths_still_gives_the_file_as_a_car() {
    block_on(async {
        let wanted: Rc<RefCell<Vec<Wanted>>> = Rc::default();
        let log = wanted.clone();
        let wrap = move |gateway, _| Rc::new(ByCid { gateway, wanted: log.clone() }) as Rc<dyn Remote>;
        let world = world_of(1, OpenOptions::default(), wrap);
        let data = noise(7, 300_000);
        let file = world.origins[0].store(data.clone(), small()).await;
        let root = directory(&world.origins[0], &[("file", file.clone())]).await;
        assert_eq!(world.storage.retrieve(&path(&root, "file")).await.unwrap(), data);
        let requests = world.requests();
        assert_eq!(requests.len(), 2, "{requests:?}");
        assert!(requests[0].ends_with(&format!("/ipfs/{root}?format=raw")), "{requests:?}");
        assert!(requests[1].contains(&format!("/ipfs/{file}?format=car")), "{requests:?}");
        let wanted: Vec<_> = wanted.borrow().iter().map(|wanted| (wanted.cid.clone(), wanted.path.clone())).collect();
        assert_eq!(wanted, [(root, vec!["file".to_owned()]), (file, vec![])]);
    });
}

/// Whatever one gateway does, another gives the file, and nothing of what the first sent wrongly is kept.
#[test]
fn another_gateway_helps() {
    let faults = [
        Fault::Status(404),
        Fault::Status(451),
        Fault::Status(500),
        Fault::RetryAfter(3600),
        Fault::Silence,
        Fault::Stall,
        Fault::Reset,
        Fault::Truncated,
        Fault::WrongBytes,
        Fault::Swapped,
        Fault::Unasked,
        Fault::Endless,
        Fault::Oversize,
        Fault::WrongType,
        Fault::NoCar,
        Fault::Drip,
        Fault::NoPaths(404),
        Fault::Headless,
    ];
    for fault in faults {
        block_on(async {
            let data = noise(8, 300_000);
            let (world, root, _) = nested(2, &data).await;
            world.origins[0].fails(fault, usize::MAX);
            let got = world.storage.retrieve(&path(&root, "sub/file")).await;
            assert!(got.as_ref().is_ok_and(|got| *got == data), "{fault:?}: {:?}", got.err());
            world.holds_only(&root).await;
            let lies = matches!(fault, Fault::WrongBytes | Fault::Swapped | Fault::Unasked);
            let status = world.storage.backend_status().await;
            assert_eq!(status.backends[1].state == BackendState::Disabled, lies, "{fault:?}");
        });
    }
}

#[test]
fn what_leads_nowhere_is_proven_by_its_directory() {
    block_on(async {
        let (world, root, _) = nested(1, &noise(9, 50_000)).await;
        for below in ["none", "sub/none", "sub/none/deeper", "sub/file/none"] {
            let path = path(&root, below);
            let error = world.storage.retrieve(&path).await.unwrap_err();
            assert_eq!(error, Error::NotFound(path.clone()));
            assert_eq!(error.code(), "not-found");
            assert_eq!(error.to_string(), format!("{root}/{below} does not exist"));
        }
        // Now it is known here.
        let before = world.requests().len();
        assert!(matches!(world.storage.retrieve(&path(&root, "sub/none")).await, Err(Error::NotFound(_))));
        assert_eq!(world.requests().len(), before);
        // What nobody has is not proven to be missing.
        let absent = world.storage.store(noise(10, 100), small()).await.unwrap().root.cid;
        let absent = block::new_cid(Version::V1, Codec::DagPb, block::key(&absent).unwrap());
        world
            .storage
            .delete(&block::new_cid(Version::V1, Codec::Raw, block::key(&absent).unwrap()), false)
            .await
            .unwrap();
        let error = world.storage.retrieve(&path(&absent, "x")).await.unwrap_err();
        assert!(matches!(&error, Error::Unavailable { cid, .. } if *cid == absent), "{error}");
    });
}

#[test]
fn a_directory_is_no_file() {
    block_on(async {
        let (world, root, _) = nested(1, &noise(11, 1000)).await;
        for path in [Path::from(root.clone()), path(&root, "sub"), path(&root, "sub/")] {
            match world.storage.retrieve(&path).await {
                Err(Error::Unsupported(why)) => assert!(why.contains("is a directory"), "{why}"),
                other => panic!("{path}: {other:?}"),
            }
        }
        let root = world.origins[0].load(MANY5000).await;
        let error = world.storage.retrieve(&root).await.unwrap_err();
        assert!(matches!(&error, Error::Unsupported(why) if why.contains("is a directory")), "{error}");
    });
}

#[test]
fn many_callers_share_one_fetch() {
    block_on(async {
        let data = noise(12, 3_000_000);
        let (world, root, _) = nested(1, &data).await;
        let path = path(&root, "sub/file");
        let callers = (0..5).map(|_| world.storage.retrieve(&path));
        for got in join_all(callers).await {
            assert_eq!(got.unwrap(), data);
        }
        assert_eq!(world.requests().len(), 1, "{:?}", world.requests());
    });
}

/// One who comes later, while the file is under way already, starts at the root again: nobody is led astray.
#[test]
fn a_late_caller_joins() {
    block_on(async {
        let data = noise(13, 5_000_000);
        let (world, root, _) = nested(1, &data).await;
        let path = path(&root, "sub/file");
        let mut first = world.storage.reader(&path, ReadOptions::default()).await.unwrap();
        let begin = first.next().await.unwrap().unwrap();
        assert_eq!(world.storage.retrieve(&path).await.unwrap(), data);
        let mut whole = begin.to_vec();
        while let Some(bytes) = first.next().await.unwrap() {
            whole.extend_from_slice(&bytes);
        }
        assert_eq!(whole, data);
        assert_eq!(world.requests().len(), 1, "{:?}", world.requests());
    });
}

#[test]
fn offline_the_missing_node_is_named() {
    block_on(async {
        let (world, root, file) = nested(1, &noise(14, 50_000)).await;
        let path = path(&root, "sub/file");
        let options = || ReadOptions { offline: true, ..ReadOptions::default() };
        let missing = |error: Option<Error>| match error {
            Some(Error::NotAvailableOffline { cid, reason: OfflineReason::Requested }) => cid,
            other => panic!("{other:?}"),
        };
        assert_eq!(missing(world.storage.reader(&path, options()).await.err()), root);
        assert!(world.storage.retrieve(&format!("{root}/sub/none").parse::<Path>().unwrap()).await.is_err());
        assert_eq!(missing(world.storage.reader(&path, options()).await.err()), file);
        assert_eq!(world.storage.retrieve(&path).await.unwrap(), noise(14, 50_000));
        assert_eq!(world.storage.reader(&path, options()).await.unwrap().remaining(), 50_000);
        // In a directory that is held, what is not there is known without a network.
        let path: Path = format!("{root}/none").parse().unwrap();
        assert!(matches!(world.storage.reader(&path, options()).await.err(), Some(Error::NotFound(_))));
    });
}

#[test]
fn symbolic_links_are_followed_elsewhere_too() {
    block_on(async {
        let world = world(1, OpenOptions::default());
        let origin = &world.origins[0];
        let link = |target: &'static str| Data { data: Some(target.into()), ..Data::new(Kind::Symlink) };
        let file = origin.store(noise(15, 100_000), small()).await;
        let (up, out) = (put(origin, &[], link("../file")).await, put(origin, &[], link("../../file")).await);
        let sub = directory(origin, &[("out", out), ("up", up)]).await;
        let root = directory(origin, &[("file", file), ("sub", sub)]).await;
        assert_eq!(world.storage.retrieve(&path(&root, "sub/up")).await.unwrap(), noise(15, 100_000));
        assert!(matches!(world.storage.retrieve(&path(&root, "sub/out")).await, Err(Error::Denied(_))));
        // Several at once, one of which has found the file while others are still at the link.
        let data = noise(17, 5_000_000);
        let large = origin.store(data.clone(), small()).await;
        let link = put(origin, &[], link("./large")).await;
        let path = path(&directory(origin, &[("large", large), ("link", link)]).await, "link");
        let before = world.requests().len();
        let mut first = world.storage.reader(&path, ReadOptions::default()).await.unwrap();
        let mut length = first.next().await.unwrap().unwrap().len();
        let rest = async {
            while let Some(bytes) = first.next().await.unwrap() {
                length += bytes.len();
            }
        };
        let (got, ()) = futures_util::future::join(world.storage.retrieve(&path), rest).await;
        assert_eq!((got.unwrap(), length), (data.into(), 5_000_000));
        assert_eq!(world.requests().len(), before + 1, "{:?}", world.requests());
        assert!(world.requests().iter().all(|url| !url.contains("..")), "{:?}", world.requests());
    });
}

#[test]
fn letting_go_on_the_way_ends_the_fetch() {
    block_on(async {
        let (world, root, _) = nested(1, &noise(16, 300_000)).await;
        world.origins[0].fails(Fault::Stall, usize::MAX);
        let path = path(&root, "sub/file");
        let mut reading = Box::pin(world.storage.retrieve(&path));
        for _ in 0..1000 {
            assert!(futures_util::future::poll_immediate(&mut reading).await.is_none());
        }
        assert_eq!(world.origins[0].open.get(), 1);
        drop(reading);
        assert_eq!(world.origins[0].open.get(), 0, "the request is still open");
        let here = world.storage.store("here", StoreOptions::default()).await.unwrap().root.cid;
        world.storage.delete(&here, false).await.unwrap();
        assert!(!world.storage.exists(&here).await.unwrap(), "sweeps are still held up");
    });
}
