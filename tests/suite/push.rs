//! Pushing what is stored here to a remote: to one that is scripted, and to a real RPC.

use std::{
    cell::{Cell, RefCell},
    rc::Rc,
};

use futures_executor::block_on;
use ipfs_kit_storage::{
    Cid, Error, OfflineReason, OpenOptions, Storage, StoreOptions, block,
    hash::{CpuHasher, HashFunction},
    platform::native::SystemClock,
    remote::{Failure, Gateway, Kubo, Patience, Remote, Remotes},
    storage::{PushOptions, Pushed, ReadOptions},
    tier::{MemoryTier, Tier, conformance::noise},
    unixfs::{Layout, Profile},
};

use crate::{
    counterpart::Counterpart,
    support::{
        Nobody, Origin, Time, Wire,
        native::{Client, Loopback},
        node::{Mood, Node},
        small,
    },
};

const NODE: &str = "node";

struct World {
    time: Time,
    gateway: Rc<Origin>,
    node: Rc<Node>,
    remotes: Rc<Remotes>,
    tier: Rc<MemoryTier>,
    storage: Storage,
}

/// A store between a gateway and a node.
fn world(options: OpenOptions) -> World {
    let time = Time { now: Rc::new(Cell::new(1_000_000)), online: Rc::new(Cell::new(true)) };
    let (gateway, node) = (Origin::new(&time), Node::new(Origin::new(&time), NODE));
    let from = Rc::new(Gateway::new(Rc::new(Wire(gateway.clone())), "http://gateway.test").unwrap());
    let (clock, tier) = (Rc::new(time.clone()), Rc::new(MemoryTier::new()));
    let both: Vec<Rc<dyn Remote>> = vec![from, node.clone()];
    let remotes = Remotes::new(both, Rc::new(Nobody), clock.clone(), clock.clone(), Patience::default());
    let remotes = Rc::new(remotes.unwrap());
    let options = OpenOptions { remotes: Some(remotes.clone()), ..options };
    let storage = Storage::new(tier.clone(), Rc::new(CpuHasher), clock, options).unwrap();
    World { time, gateway, node, remotes, tier, storage }
}

fn pinned() -> PushOptions {
    PushOptions { pin: true, ..PushOptions::default() }
}

impl World {
    async fn push(&self, cid: &Cid, options: PushOptions) -> Result<Pushed, Error> {
        self.storage.push(cid, NODE, options).await
    }

    /// The error of a push that must not go well.
    async fn refused(&self, cid: &Cid, options: PushOptions) -> String {
        match self.push(cid, options).await {
            Err(error @ Error::Unavailable { .. }) => {
                let text = error.to_string();
                assert!(text.contains(NODE), "{text}");
                text
            }
            other => panic!("{other:?}"),
        }
    }

    fn bytes_out(&self) -> u64 {
        self.remotes.reports().into_iter().find(|(name, ..)| name == NODE).unwrap().3.bytes_out
    }
}

#[test]
fn all_of_a_file_goes_out_and_is_counted() {
    block_on(async {
        let world = world(OpenOptions::default());
        let mut data = noise(1, 990_000);
        data.extend_from_within(..10_000);
        let cid = world.storage.store(data, small()).await.unwrap().root.cid;
        let held = world.tier.usage().await.unwrap();
        let told: Rc<RefCell<Vec<Pushed>>> = Rc::default();
        let listener = told.clone();
        let on_pushed: ipfs_kit_storage::storage::OnPushed = Rc::new(move |pushed| listener.borrow_mut().push(*pushed));
        let pushed = world.push(&cid, PushOptions { pin: true, on_pushed: Some(on_pushed) }).await.unwrap();
        // The chunk that is there twice goes out once.
        assert_eq!((pushed.blocks, pushed.bytes), (held.blocks, held.bytes));
        assert_eq!(world.node.origin.dag(cid.clone()).await.unwrap().len() as u64, held.blocks);
        assert_eq!(world.bytes_out(), held.bytes);
        assert_eq!(told.borrow().last(), Some(&pushed));
        assert!(world.node.pins.borrow().contains(&cid));
        assert!(world.gateway.requests.borrow().is_empty(), "nothing was missing");
        // A node of one block; and without a pin.
        let leaf = world.storage.store("small", StoreOptions::default()).await.unwrap().root.cid;
        let one = world.push(&leaf, PushOptions::default()).await.unwrap();
        assert_eq!((one, world.node.pins.borrow().len()), (Pushed { blocks: 1, bytes: 5 }, 1));
    });
}

#[test]
fn what_is_missing_is_fetched_first() {
    block_on(async {
        let world = world(OpenOptions::default());
        let data = noise(2, 1_000_000);
        let cid = world.gateway.store(data.clone(), small()).await;
        let mut reader = world.storage.reader(&cid, ReadOptions::range(0, Some(300_000))).await.unwrap();
        while reader.next().await.unwrap().is_some() {}
        drop(reader);
        let before = world.gateway.sent.get();
        let pushed = world.push(&cid, pinned()).await.unwrap();
        assert!(pushed.bytes > 1_000_000);
        assert_eq!(world.node.origin.dag(cid).await.unwrap().len() as u64, pushed.blocks);
        assert!(world.gateway.sent.get() - before < 1_100_000, "it came more than once");
        // What nobody has cannot be pushed: the error says who was asked.
        let lost = Origin::new(&world.time).store(noise(3, 50_000), small()).await;
        match world.push(&lost, pinned()).await {
            Err(Error::Unavailable { attempts, .. }) => assert!(attempts.len() >= 2, "{attempts:?}"),
            other => panic!("{other:?}"),
        }
        // Nor what is lost in its midst.
        let cid = world.storage.store(noise(4, 200_000), small()).await.unwrap().root.cid;
        let leaf = Origin::new(&world.time).store(noise(4, 200_000)[50_000..60_000].to_vec(), small()).await;
        world.tier.damage(&block::key(&leaf).unwrap(), "rotten".into());
        world
            .storage
            .configure_cache(ipfs_kit_storage::storage::CacheConfig { memory_bytes: Some(0), ..Default::default() })
            .unwrap();
        assert!(matches!(world.push(&cid, pinned()).await, Err(Error::Unavailable { cid, .. }) if cid == leaf));
        assert!(!world.node.pins.borrow().contains(&cid));
    });
}

#[test]
fn whom_it_goes_to_must_be_one_of_the_remotes_and_allowed() {
    block_on(async {
        let here = async |world: &World| world.storage.store("here", StoreOptions::default()).await.unwrap().root.cid;
        let world_ = world(OpenOptions::default());
        let cid = here(&world_).await;
        for name in ["", "nod", "http://gateway.test/x", "kubo+http://127.0.0.1:5001"] {
            match world_.storage.push(&cid, name, pinned()).await {
                Err(Error::InvalidArgument(text)) => assert!(text.contains("http://gateway.test"), "{text}"),
                other => panic!("{name}: {other:?}"),
            }
        }
        // A gateway takes nothing, with or without a slash at its end.
        match world_.storage.push(&cid, "http://gateway.test/", pinned()).await {
            Err(Error::Unavailable { attempts, .. }) => {
                assert!(attempts[0].1.contains("does not offer"), "{attempts:?}")
            }
            other => panic!("{other:?}"),
        }
        for (offline, online, expected) in [
            (Some(OfflineReason::Disabled), true, OfflineReason::Disabled),
            (Some(OfflineReason::ForceFallback), true, OfflineReason::ForceFallback),
            (None, false, OfflineReason::Disconnected),
        ] {
            let world = world(OpenOptions { offline, ..OpenOptions::default() });
            let cid = here(&world).await;
            world.time.online.set(online);
            match world.push(&cid, pinned()).await {
                Err(Error::NotAvailableOffline { reason, cid: named }) => assert_eq!((reason, named), (expected, cid)),
                other => panic!("{other:?}"),
            }
            assert!(world.node.puts.borrow().is_empty());
        }
    });
}

#[test]
fn a_remote_that_fails_is_named_and_asked_again_only_where_that_may_help() {
    block_on(async {
        for (failure, words, puts) in [
            (Failure::Refused("status 403: no".into()), "refuses: status 403: no", 1),
            (Failure::Unsupported("puts".into()), "does not offer this", 1),
            (Failure::Unreachable("reset".into()), "reset", 3),
            (Failure::Busy(None), "busy", 3),
        ] {
            let world = world(OpenOptions::default());
            let cid = world.storage.store(noise(5, 100_000), small()).await.unwrap().root.cid;
            world.node.is(Mood::Fails(failure), usize::MAX);
            let text = world.refused(&cid, pinned()).await;
            assert!(text.contains(words), "{text}");
            assert_eq!((world.node.puts.borrow().len(), world.bytes_out()), (puts, 0));
            assert!(world.node.pins.borrow().is_empty());
        }
        let world = world(OpenOptions::default());
        let cid = world.storage.store(noise(5, 100_000), small()).await.unwrap().root.cid;
        world.node.is(Mood::Fails(Failure::Unreachable("reset".into())), 2);
        let pushed = world.push(&cid, pinned()).await.unwrap();
        assert_eq!(world.bytes_out(), pushed.bytes, "what did not arrive does not count");
    });
}

#[test]
fn a_remote_that_says_it_has_it_and_has_not_is_found_out_by_the_pin() {
    block_on(async {
        for mood in [Mood::Forgets, Mood::PinsNothing] {
            let world = world(OpenOptions::default());
            let cid = world.storage.store(noise(6, 100_000), small()).await.unwrap().root.cid;
            world.node.is(mood.clone(), usize::MAX);
            let text = world.refused(&cid, pinned()).await;
            let words = if mood == Mood::Forgets { "does not have it" } else { "and then that it has not" };
            assert!(text.contains(words), "{text}");
        }
    });
}

/// Whatever the size of a file, no more than a batch of it is under way at a time.
#[test]
fn a_large_file_goes_out_in_batches() {
    block_on(async {
        let world = world(OpenOptions::default());
        const SIZE: usize = 20 * 1024 * 1024;
        for chunk_bytes in [1 << 20, 5000, (2 << 20) - 256] {
            let layout = Some(Layout { chunk_bytes, ..Layout::default() });
            let options = StoreOptions { layout, ..StoreOptions::default() };
            let cid = world.storage.store(noise(chunk_bytes as u64, SIZE), options).await.unwrap().root.cid;
            world.node.puts.borrow_mut().clear();
            let pushed = world.push(&cid, pinned()).await.unwrap();
            let puts = world.node.puts.borrow();
            assert_eq!(puts.iter().map(|(blocks, _)| *blocks as u64).sum::<u64>(), pushed.blocks);
            assert!(puts.len() >= 10 && pushed.bytes > SIZE as u64, "{} puts", puts.len());
            assert!(puts.iter().all(|(_, bytes)| *bytes <= 2 << 20), "{puts:?}");
            // Nor in crumbs.
            assert!(puts.len() <= 25, "{} puts", puts.len());
        }
    });
}

#[test]
fn to_a_real_rpc_where_it_can_be_read() {
    let (server, clock) = (Counterpart::rpc(), Rc::new(SystemClock));
    let kubo: Rc<dyn Remote> = Rc::new(Kubo::new(Client::http(), &server.url).unwrap());
    let name = kubo.name().to_owned();
    let patience = Patience::of(5_000).unwrap();
    let remotes = Remotes::new(vec![kubo], Rc::new(Nobody), clock.clone(), Rc::new(Loopback), patience);
    let remotes = Rc::new(remotes.unwrap());
    let options = OpenOptions { remotes: Some(remotes.clone()), ..OpenOptions::default() };
    let storage = Storage::new(Rc::new(MemoryTier::new()), Rc::new(CpuHasher), clock, options).unwrap();
    let ask = |call: &str| {
        let request = ureq::post(format!("{}/api/v0/{call}", server.url));
        let mut answer = request.config().http_status_as_error(false).build().send_empty().expect("it answers");
        let said = answer.body_mut().with_config().limit(u64::MAX).read_to_vec().unwrap();
        assert_eq!(answer.status(), 200, "{call}: {}", String::from_utf8_lossy(&said));
        said
    };
    block_on(async {
        let mut total = 0;
        let layouts = [
            (0, Layout::default()),
            (100, Layout::default()),
            (5_000_000, Layout::from(Profile::UnixfsV0_2015)),
            (5_000_000, Layout { hash: HashFunction::Sha2_512, chunk_bytes: 100_000, width: 8, ..Layout::default() }),
            (10_000_000, Layout::from(Profile::UnixfsV1_2025)),
        ];
        for (seed, (size, layout)) in layouts.into_iter().enumerate() {
            let data = noise(10 + seed as u64, size);
            let options = StoreOptions { layout: Some(layout), ..StoreOptions::default() };
            let cid = storage.store(data.clone(), options).await.unwrap().root.cid;
            let pushed = storage.push(&cid, &name, pinned()).await.unwrap();
            total += pushed.bytes;
            assert!(ask(&format!("cat?arg={cid}")) == data, "{size} bytes of {cid}");
            let pins: serde_json::Value = serde_json::from_slice(&ask(&format!("pin/ls?arg={cid}"))).unwrap();
            let pin = pins["Keys"].as_object().unwrap().iter().next().unwrap();
            assert_eq!((block::parse(pin.0).unwrap(), &pin.1["Type"]), (cid, &"recursive".into()));
        }
        assert_eq!(remotes.reports()[0].3.bytes_out, total);
        // Pushing again is no harm. And what is there can be had from there.
        let data = noise(14, 10_000_000);
        let cid = storage.store(data.clone(), StoreOptions::default()).await.unwrap().root.cid;
        storage.push(&cid, &name, pinned()).await.unwrap();
        storage.delete(&cid, false).await.unwrap();
        assert!(storage.retrieve(&cid).await.unwrap() == data);
    });
}
