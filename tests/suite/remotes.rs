//! Fetching from gateways that are scripted: what they send, and how they fail.

use std::{
    cell::{Cell, RefCell},
    rc::Rc,
};

use async_trait::async_trait;
use bytes::Bytes;
use futures_executor::block_on;
use ipfs_kit_storage::{
    Cid, Error, OfflineReason, OpenOptions, PinOptions, Storage, StoreOptions,
    block::{self, Codec},
    hash::CpuHasher,
    platform::http::Http,
    remote::{Gateway, Patience, Remote, Remotes},
    storage::{BackendState, ReadOptions},
    tier::{Commit, Committed, Held, MemoryTier, Pin, StoredRoot, Tier, Usage, conformance::noise},
    unixfs::Layout,
};

use crate::support::{Fault, Nobody, Origin, Time, Wire, node::Node, small, world};

#[test]
fn a_file_comes_with_one_request_and_is_kept() {
    block_on(async {
        let world = world(1, OpenOptions::default());
        let data = noise(1, 1_000_000);
        let cid = world.everywhere(&data, small()).await;
        assert_eq!(world.storage.retrieve(&cid).await.unwrap(), data);
        assert_eq!(world.requests().len(), 1, "{:?}", world.requests());
        assert!(world.requests()[0].contains("car-version=1&car-order=dfs&car-dups=n"));
        world.holds_only(&cid).await;
        let stored = world.storage.root(&cid).await.unwrap();
        assert_eq!((stored.root.size, stored.pinned, stored.root.filename), (1_000_000, false, None));
        // From now on it is here.
        world.time.online.set(false);
        assert_eq!(world.storage.retrieve(&cid).await.unwrap(), data);
        assert_eq!(world.requests().len(), 1);
        world.storage.pin(&cid, PinOptions::default()).await.unwrap();
        world.storage.unpin(&cid).await.unwrap();
        world.storage.delete(&cid, false).await.unwrap();
        assert_eq!(world.tier.usage().await.unwrap().blocks, 0);
    });
}

#[test]
fn a_range_brings_only_what_holds_it() {
    block_on(async {
        let world = world(1, OpenOptions::default());
        let data = noise(2, 1_000_000);
        let cid = world.everywhere(&data, small()).await;
        let mut reader = world.storage.reader(&cid, ReadOptions::range(505_000, Some(3000))).await.unwrap();
        assert_eq!(reader.size(), 1_000_000);
        assert_eq!(reader.next().await.unwrap().unwrap(), data[505_000..508_000]);
        assert_eq!(reader.next().await.unwrap(), None);
        assert_eq!(world.requests().len(), 1, "{:?}", world.requests());
        assert!(world.requests()[0].contains("entity-bytes=505000:507999"));
        assert!(world.tier.usage().await.unwrap().blocks < 6);
        assert!(world.storage.root(&cid).await.is_err(), "a part of a file is no stored file");
    });
}

#[test]
fn only_what_is_missing_is_asked_for() {
    block_on(async {
        let world = world(1, OpenOptions::default());
        let data = noise(3, 1_000_000);
        let cid = world.everywhere(&data, small()).await;
        let half = ReadOptions::range(0, Some(500_000));
        let mut reader = world.storage.reader(&cid, half).await.unwrap();
        while reader.next().await.unwrap().is_some() {}
        let before = world.origins[0].sent.get();
        assert_eq!(world.storage.retrieve(&cid).await.unwrap(), data);
        let sent = world.origins[0].sent.get() - before;
        assert!(sent < 560_000, "{sent} bytes for the second half");
        assert!(world.requests().len() < 5, "{:?}", world.requests());
        // One leaf that rotted is fetched again, alone.
        let leaf = world.origins[0].store(data[..10_000].to_vec(), small()).await;
        world.tier.damage(&block::key(&leaf).unwrap(), "rotten".into());
        world
            .storage
            .configure_cache(ipfs_kit_storage::storage::CacheConfig { memory_bytes: Some(0), ..Default::default() })
            .unwrap();
        let before = world.origins[0].sent.get();
        assert_eq!(world.storage.retrieve(&cid).await.unwrap(), data);
        assert_eq!(world.origins[0].sent.get() - before, 10_000);
    });
}

#[test]
fn pinning_fetches_all_of_it() {
    block_on(async {
        let world = world(1, OpenOptions::default());
        let cid = world.everywhere(&noise(4, 400_000), small()).await;
        world.storage.pin(&cid, PinOptions::default()).await.unwrap();
        assert!(world.storage.root(&cid).await.unwrap().pinned);
        assert_eq!(world.requests().len(), 1, "{:?}", world.requests());
        world.time.online.set(false);
        assert_eq!(world.storage.retrieve(&cid).await.unwrap(), noise(4, 400_000));
    });
}

#[test]
fn blocks_come_one_by_one_where_nobody_gives_cars() {
    block_on(async {
        let world = world(1, OpenOptions::default());
        world.origins[0].fails(Fault::NoCar, usize::MAX);
        let data = noise(5, 200_000);
        let cid = world.everywhere(&data, small()).await;
        assert_eq!(world.storage.retrieve(&cid).await.unwrap(), data);
        assert_eq!(world.requests().iter().filter(|url| url.contains("format=car")).count(), 1);
        world.holds_only(&cid).await;
    });
}

/// Whatever one gateway does, another gives the file, and nothing of what the first sent wrongly is kept.
#[test]
fn another_gateway_helps() {
    let faults = [
        Fault::Status(404),
        Fault::Status(410),
        Fault::Status(412),
        Fault::Status(451),
        Fault::Status(500),
        Fault::Status(504),
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
    ];
    for fault in faults {
        block_on(async {
            let world = world(2, OpenOptions::default());
            let data = noise(6, 300_000);
            let cid = world.everywhere(&data, small()).await;
            world.origins[0].fails(fault, usize::MAX);
            let got = world.storage.retrieve(&cid).await;
            assert!(got.as_ref().is_ok_and(|got| *got == data), "{fault:?}: {:?}", got.err());
            world.holds_only(&cid).await;
            let elapsed = world.time.now.get() - 1_000_000;
            assert!(elapsed < 60_000, "{fault:?}: {elapsed} ms");
            let sent = world.origins[0].sent.get();
            assert!(sent < 40 * 1024 * 1024, "{fault:?}: took {sent} bytes");
            let lies = matches!(fault, Fault::WrongBytes | Fault::Swapped | Fault::Unasked);
            let status = world.storage.backend_status().await;
            let first = &status.backends[1];
            assert_eq!(first.state == BackendState::Disabled, lies, "{fault:?}: {first:?}");
            // A liar is not asked again.
            let before = world.origins[0].requests.borrow().len();
            let other = world.everywhere(&noise(7, 50_000), small()).await;
            assert!(world.storage.retrieve(&other).await.is_ok());
            assert!(!lies || world.origins[0].requests.borrow().len() == before);
        });
    }
}

/// The same with that gateway alone: an error that names it and says why, in bounded time.
#[test]
fn alone_it_fails_with_the_reason() {
    let faults = [
        (Fault::Status(404), "does not have it"),
        (Fault::Status(451), "refuses: status 451"),
        (Fault::Status(500), "status 500"),
        (Fault::RetryAfter(3600), "busy"),
        (Fault::Silence, "hardly anything, for too long"),
        (Fault::Stall, "hardly anything, for too long"),
        (Fault::Truncated, "ends within a section"),
        (Fault::WrongBytes, "do not hash"),
        (Fault::Unasked, "nothing asked for"),
        (Fault::Oversize, "2097152"),
        (Fault::WrongType, "text/html"),
    ];
    for (fault, said) in faults {
        block_on(async {
            let world = world(1, OpenOptions::default());
            let cid = world.everywhere(&noise(8, 300_000), small()).await;
            world.origins[0].fails(fault, usize::MAX);
            match world.storage.retrieve(&cid).await {
                Err(error @ Error::Unavailable { .. }) => {
                    let text = error.to_string();
                    assert!(text.contains("http://gateway-0.test") && text.contains(said), "{fault:?}: {text}");
                }
                other => panic!("{fault:?}: {other:?}"),
            }
            world.holds_only(&cid).await;
            let elapsed = world.time.now.get() - 1_000_000;
            assert!(elapsed < 400_000, "{fault:?}: {elapsed} ms");
            assert!(world.requests().len() < 30, "{fault:?}: {} requests", world.requests().len());
            // What had come rightly was kept, so that it goes on from there.
            let sent = world.origins[0].sent.get();
            world.origins[0].fails(Fault::None, 0);
            world.time.now.set(world.time.now.get() + 4_000_000);
            let again = world.storage.retrieve(&cid).await;
            match fault {
                Fault::WrongBytes | Fault::Unasked => assert!(again.is_err(), "{fault:?}: a liar was asked again"),
                _ => assert_eq!(again.unwrap(), noise(8, 300_000), "{fault:?}"),
            }
            if fault == Fault::Truncated {
                assert!(world.origins[0].sent.get() - sent < 200_000, "it began again");
            }
        });
    }
}

#[test]
fn a_passing_failure_is_waited_out() {
    block_on(async {
        let world = world(1, OpenOptions::default());
        let cid = world.everywhere(&noise(9, 100_000), small()).await;
        world.origins[0].fails(Fault::Status(500), 2);
        assert_eq!(world.storage.retrieve(&cid).await.unwrap(), noise(9, 100_000));
        assert!(world.time.now.get() - 1_000_000 > 250, "it did not wait");
    });
}

#[test]
fn a_silent_gateway_is_hedged() {
    block_on(async {
        let world = world(2, OpenOptions::default());
        let cid = world.everywhere(&noise(10, 100_000), small()).await;
        world.origins[0].fails(Fault::Silence, usize::MAX);
        world.storage.retrieve(&cid).await.unwrap();
        let elapsed = world.time.now.get() - 1_000_000;
        assert!((1_500..4_000).contains(&elapsed), "{elapsed} ms");
    });
}

#[test]
fn many_callers_share_one_fetch() {
    block_on(async {
        let world = world(1, OpenOptions::default());
        let cid = world.everywhere(&noise(11, 500_000), small()).await;
        let callers = (0..5).map(|_| world.storage.retrieve(&cid));
        for got in futures_util::future::join_all(callers).await {
            assert_eq!(got.unwrap(), noise(11, 500_000));
        }
        assert_eq!(world.requests().len(), 1, "{:?}", world.requests());
    });
}

/// Reading what is held keeps no deletion from giving its room back; fetching does, until it is done.
#[test]
fn only_fetching_holds_deletions_up() {
    block_on(async {
        let world = world(1, OpenOptions::default());
        let (data, other) = (noise(14, 300_000), noise(15, 50_000));
        let cid = world.everywhere(&data, small()).await;
        let here = world.storage.store(other.clone(), small()).await.unwrap().root.cid;
        let mut reader = world.storage.reader(&here, ReadOptions::default()).await.unwrap();
        reader.next().await.unwrap();
        world.storage.delete(&here, false).await.unwrap();
        assert_eq!(world.tier.usage().await.unwrap().blocks, 0);
        drop(reader);
        let mut reader = world.storage.reader(&cid, ReadOptions::default()).await.unwrap();
        reader.next().await.unwrap();
        let here = world.storage.store(data[..50_000].to_vec(), small()).await.unwrap().root.cid;
        world.storage.delete(&here, false).await.unwrap();
        while reader.next().await.unwrap().is_some() {}
        assert_eq!(world.requests().len(), 1, "what it had fetched was swept");
        world.time.online.set(false);
        assert_eq!(world.storage.retrieve(&cid).await.unwrap(), data);
    });
}

/// A reader that is let go of in the midst of waiting ends its request, and holds up nothing.
#[test]
fn letting_go_ends_a_fetch() {
    block_on(async {
        let world = world(1, OpenOptions::default());
        let cid = world.everywhere(&noise(16, 300_000), small()).await;
        world.origins[0].fails(Fault::Stall, usize::MAX);
        let mut reading = Box::pin(world.storage.retrieve(&cid));
        for _ in 0..1000 {
            assert!(futures_util::future::poll_immediate(&mut reading).await.is_none());
        }
        assert_eq!(world.origins[0].open.get(), 1);
        drop(reading);
        assert_eq!(world.origins[0].open.get(), 0, "the request is still open");
        let before = world.tier.usage().await.unwrap().blocks;
        let here = world.storage.store(noise(17, 50_000), small()).await.unwrap().root.cid;
        world.storage.delete(&here, false).await.unwrap();
        assert_eq!(world.tier.usage().await.unwrap().blocks, before, "sweeps are still held up");
    });
}

/// A medium on which nothing can be set aside.
struct Stuck(Rc<MemoryTier>);

#[async_trait(?Send)]
impl Tier for Stuck {
    fn kind(&self) -> &'static str {
        "stuck"
    }

    async fn get(&self, keys: &[block::Key]) -> ipfs_kit_storage::Result<Vec<Option<Held>>> {
        self.0.get(keys).await
    }

    async fn has(&self, keys: &[block::Key]) -> ipfs_kit_storage::Result<Vec<bool>> {
        self.0.has(keys).await
    }

    async fn lengths(&self, keys: &[block::Key]) -> ipfs_kit_storage::Result<Vec<Option<u64>>> {
        self.0.lengths(keys).await
    }

    async fn keys(&self, after: Option<&block::Key>, limit: usize) -> ipfs_kit_storage::Result<Vec<block::Key>> {
        self.0.keys(after, limit).await
    }

    async fn commit(&self, commit: Commit) -> ipfs_kit_storage::Result<Committed> {
        if commit.quarantine.is_empty() { self.0.commit(commit).await } else { Err(Error::Io("stuck".into())) }
    }

    async fn root(&self, cid: &Cid) -> ipfs_kit_storage::Result<Option<StoredRoot>> {
        self.0.root(cid).await
    }

    async fn roots(&self, after: Option<&Cid>, limit: usize) -> ipfs_kit_storage::Result<Vec<StoredRoot>> {
        self.0.roots(after, limit).await
    }

    async fn pin(&self, cid: &Cid) -> ipfs_kit_storage::Result<Option<Pin>> {
        self.0.pin(cid).await
    }
    async fn pins(&self, after: Option<&Cid>, limit: usize) -> ipfs_kit_storage::Result<Vec<Pin>> {
        self.0.pins(after, limit).await
    }
    async fn note(&self, name: &str) -> ipfs_kit_storage::Result<Option<Bytes>> {
        self.0.note(name).await
    }

    async fn notes(
        &self,
        prefix: &str,
        after: Option<&str>,
        limit: usize,
    ) -> ipfs_kit_storage::Result<Vec<(String, Bytes)>> {
        self.0.notes(prefix, after, limit).await
    }

    async fn usage(&self) -> ipfs_kit_storage::Result<Usage> {
        self.0.usage().await
    }

    async fn flush(&self) -> ipfs_kit_storage::Result<()> {
        self.0.flush().await
    }
}

#[test]
fn a_corrupt_copy_that_cannot_be_set_aside_is_reported_and_not_tried_for_ever() {
    block_on(async {
        let time = Time { now: Rc::default(), online: Rc::new(Cell::new(true)) };
        let origin = Origin::new(&time);
        let clock = Rc::new(time);
        let gateway: Rc<dyn Remote> =
            Rc::new(Gateway::new(Rc::new(Wire(origin.clone())), "http://gateway-0.test").unwrap());
        let remotes =
            Remotes::new(vec![gateway], Rc::new(Nobody), clock.clone(), clock.clone(), Patience::default()).unwrap();
        let options = OpenOptions { remotes: Some(Rc::new(remotes)), memory_bytes: 0, ..OpenOptions::default() };
        let held: Rc<MemoryTier> = Rc::default();
        let storage = Storage::new(Rc::new(Stuck(held.clone())), Rc::new(CpuHasher), clock, options).unwrap();
        let cid = storage.store(noise(18, 5000), small()).await.unwrap().root.cid;
        origin.store(noise(18, 5000), small()).await;
        held.damage(&block::key(&cid).unwrap(), "rotten".into());
        match storage.retrieve(&cid).await {
            Err(Error::Corrupt { detail, .. }) => assert!(detail.contains("setting it aside failed"), "{detail}"),
            other => panic!("{:?}", other.map(|bytes| bytes.len())),
        }
    });
}

#[test]
fn what_comes_is_told() {
    block_on(async {
        let world = world(1, OpenOptions::default());
        let cid = world.everywhere(&noise(12, 20_000_000), StoreOptions::default()).await;
        let told: Rc<RefCell<Vec<(u64, u64, String)>>> = Rc::default();
        let listener = told.clone();
        let on_fetched = Rc::new(move |fetched: &ipfs_kit_storage::storage::Fetched| {
            listener.borrow_mut().push((fetched.blocks, fetched.bytes, fetched.remote.clone()));
        });
        let options = ReadOptions { on_fetched: Some(on_fetched), ..ReadOptions::default() };
        let mut reader = world.storage.reader(&cid, options).await.unwrap();
        while reader.next().await.unwrap().is_some() {}
        let told = told.borrow();
        assert!(told.len() > 1 && told.windows(2).all(|pair| pair[0].1 < pair[1].1), "{told:?}");
        assert_eq!(told.last().unwrap().0, 21);
        assert_eq!(told.last().unwrap().2, "http://gateway-0.test");
    });
}

#[test]
fn what_has_come_is_read_while_the_rest_is_on_its_way() {
    block_on(async {
        let world = world(1, OpenOptions::default());
        let data = noise(44, 400_000);
        let cid = world.everywhere(&data, small()).await;
        world.origins[0].fails(Fault::Pace(40_000), usize::MAX);
        let began = world.time.now.get();
        let mut reader = world.storage.reader(&cid, ReadOptions::default()).await.unwrap();
        let mut read = reader.next().await.unwrap().unwrap().to_vec();
        let first = world.time.now.get() - began;
        while let Some(bytes) = reader.next().await.unwrap() {
            read.extend_from_slice(&bytes);
        }
        let last = world.time.now.get() - began;
        assert!(read == data);
        assert!(first * 4 < last, "the first bytes after {first} ms, the last after {last} ms");
        assert_eq!(world.requests().len(), 1);
    });
}

#[test]
fn a_reader_that_rests_is_not_the_silence_of_the_remote() {
    block_on(async {
        let world = world(1, OpenOptions::default());
        let data = noise(45, 100_000);
        let cid = world.everywhere(&data, small()).await;
        world.origins[0].fails(Fault::Pace(10_000), usize::MAX);
        let mut reader = world.storage.reader(&cid, ReadOptions::default()).await.unwrap();
        let mut read = Vec::new();
        while let Some(bytes) = reader.next().await.unwrap() {
            read.extend_from_slice(&bytes);
            world.time.now.set(world.time.now.get() + 60_000);
        }
        assert!(read == data);
        assert_eq!(world.requests().len(), 1, "{:?}", world.requests());
    });
}

#[test]
fn offline_each_reason_is_named_at_once_and_local_work_goes_on() {
    block_on(async {
        let cases = [
            (Some(OfflineReason::Disabled), false, true, OfflineReason::Disabled),
            (Some(OfflineReason::ForceFallback), false, true, OfflineReason::ForceFallback),
            (None, true, true, OfflineReason::Requested),
            (None, false, false, OfflineReason::Disconnected),
        ];
        for (configured, offline, online, expected) in cases {
            let world = world(1, OpenOptions { offline: configured, ..OpenOptions::default() });
            let cid = world.everywhere(&noise(13, 100_000), small()).await;
            world.time.online.set(online);
            let here = world.storage.store("here", StoreOptions::default()).await.unwrap().root.cid;
            let options = |cid: &Cid| (cid.clone(), ReadOptions { offline, ..ReadOptions::default() });
            for asked in [cid] {
                let (asked, options) = options(&asked);
                match world.storage.reader(&asked, options).await.err() {
                    Some(Error::NotAvailableOffline { reason, .. }) => assert_eq!(reason, expected),
                    other => panic!("{expected:?}: {other:?}"),
                }
            }
            let (here, options) = options(&here);
            assert_eq!(world.storage.reader(&here, options).await.unwrap().next().await.unwrap().unwrap(), "here");
            assert_eq!(world.requests().len(), 0);
            assert_eq!(world.time.now.get(), 1_000_000);
            let status = world.storage.backend_status().await;
            assert_eq!(status.local_only, configured.or((!online).then_some(expected)));
            assert!(!world.storage.is_available() || expected == OfflineReason::Requested);
        }
        let alone = world(0, OpenOptions::default());
        let missing = block::new_cid(
            cid::Version::V1,
            Codec::Raw,
            block::key(&Origin::new(&alone.time).store(b"x".to_vec(), small()).await).unwrap(),
        );
        let error = alone.storage.retrieve(&missing).await.unwrap_err();
        assert!(matches!(error, Error::NotAvailableOffline { reason: OfflineReason::NoRemotes, .. }));
    });
}

#[test]
fn states_have_evidence() {
    block_on(async {
        let world = world(2, OpenOptions::default());
        world.origins[1].fails(Fault::Status(500), usize::MAX);
        assert!(!world.storage.is_available(), "nothing was seen of any yet");
        let status = world.storage.backend_status().await;
        assert_eq!(status.local_only, None);
        let states: Vec<_> = status.backends.iter().map(|report| (report.kind.as_str(), report.state)).collect();
        let (good, bad) = (BackendState::Available, BackendState::Unavailable);
        assert_eq!(states, [("memory", good), ("gateway", good), ("gateway", bad)]);
        assert!(status.backends[2].evidence.contains("status 500"), "{}", status.backends[2].evidence);
        assert!(world.requests()[0].ends_with("/ipfs/bafkqaaa?format=raw"));
        assert!(world.storage.is_available());
    });
}

#[test]
fn urls_that_are_no_bases_are_refused() {
    let http: Rc<dyn Http> = Rc::new(Wire(Origin::new(&Time::default())));
    for url in [
        "",
        "gateway.test",
        "ftp://x",
        "http://",
        "https:///ipfs",
        "http://a?b",
        "http://u:p@h",
        "http://a b",
        "http://a#f",
    ] {
        assert!(matches!(Gateway::new(http.clone(), url), Err(Error::InvalidArgument(_))), "{url}");
    }
    assert_eq!(Gateway::new(http, "https://gateway.test/base/").unwrap().name(), "https://gateway.test/base");
}

#[test]
fn one_remote_named_twice_is_refused() {
    let time = Rc::new(Time::default());
    let opened = |names: &[&str]| {
        let node = |name: &&str| Node::new(Origin::new(&time), name) as Rc<dyn Remote>;
        let nodes = names.iter().map(node).collect();
        Remotes::new(nodes, Rc::new(Nobody), time.clone(), time.clone(), Patience::default()).map(drop)
    };
    assert!(opened(&["https://a.test", "https://b.test", "kubo+https://a.test", "https://a.test/b"]).is_ok());
    for twice in [["https://a.test", "https://a.test/"], ["helia", "helia"]] {
        match opened(&[twice[0], "https://b.test", twice[1]]) {
            Err(Error::InvalidArgument(problem)) => assert!(problem.contains(twice[0]), "{problem}"),
            other => panic!("{other:?}"),
        }
    }
}

/// Once it asks for a moment, and is given it.
#[test]
fn who_asks_for_patience_gets_it() {
    block_on(async {
        let world = world(1, OpenOptions::default());
        let data = noise(21, 300_000);
        let cid = world.everywhere(&data, small()).await;
        world.origins[0].fails(Fault::RetryAfter(3), 1);
        assert_eq!(world.storage.retrieve(&cid).await.unwrap(), data);
        let elapsed = world.time.now.get() - 1_000_000;
        assert!((3_000..10_000).contains(&elapsed), "{elapsed} ms");
        assert_eq!(world.requests().len(), 2, "{:?}", world.requests());
    });
}

/// A directory whose node is held, and many of whose leaves are not.
#[test]
fn many_missing_leaves_come_with_one_request() {
    block_on(async {
        let world = world(1, OpenOptions::default());
        let data = noise(22, 60_000);
        let cid = world.everywhere(&data, small()).await;
        let mut reader = world.storage.reader(&cid, ReadOptions::range(0, Some(10))).await.unwrap();
        while reader.next().await.unwrap().is_some() {}
        drop(reader);
        let before = world.requests().len();
        world.storage.pin(&cid, PinOptions::default()).await.unwrap();
        assert_eq!(world.requests().len() - before, 1, "{:?}", world.requests());
        world.holds_only(&cid).await;
    });
}

/// As large as one leaf can be.
fn one_block() -> StoreOptions {
    let layout = Layout { chunk_bytes: block::MAX_BLOCK_BYTES - 256, ..Layout::default() };
    StoreOptions { layout: Some(layout), ..StoreOptions::default() }
}

/// It takes longer than silence would be borne, and nobody else is asked for it.
#[test]
fn a_block_on_a_slow_line_comes_once() {
    block_on(async {
        let world = world(2, OpenOptions::default());
        let data = noise(23, block::MAX_BLOCK_BYTES - 256);
        let cid = world.everywhere(&data, one_block()).await;
        world.origins[0].fails(Fault::Pace(50_000), usize::MAX);
        assert_eq!(world.storage.get_block(&cid, false).await.unwrap(), data);
        assert_eq!(world.requests().len(), 1, "{:?}", world.requests());
        let elapsed = world.time.now.get() - 1_000_000;
        assert!((40_000..45_000).contains(&elapsed), "{elapsed} ms");
    });
}

/// A block that breaks off after a good beginning comes from another; alone it is an error with the reason.
#[test]
fn a_block_that_breaks_off_comes_from_another() {
    let faults = [
        (Fault::Stall, "hardly anything, for too long"),
        (Fault::Pace(500), "hardly anything, for too long"),
        (Fault::Reset, "reset"),
        (Fault::Truncated, "bytes where it says"),
        (Fault::Oversize, "more than 2097152 bytes"),
        (Fault::Endless, "more than 2097152 bytes"),
    ];
    for (fault, said) in faults {
        for gateways in [1, 2] {
            block_on(async {
                let world = world(gateways, OpenOptions::default());
                let data = noise(24, 300_000);
                let cid = world.everywhere(&data, one_block()).await;
                world.origins[0].fails(fault, usize::MAX);
                match world.storage.get_block(&cid, false).await {
                    Ok(got) => assert!(gateways == 2 && got == data, "{fault:?}"),
                    Err(error) => assert!(gateways == 1 && error.to_string().contains(said), "{fault:?}: {error}"),
                }
                world.holds_only(&cid).await;
                // No more is taken than there may be.
                let (requests, sent) = (world.origins[0].requests.borrow().len(), world.origins[0].sent.get());
                assert!(requests <= 3 && sent <= requests * (block::MAX_BLOCK_BYTES + 300_000), "{fault:?}: {sent}");
                let elapsed = world.time.now.get() - 1_000_000;
                assert!(elapsed < 70_000, "{fault:?}: {elapsed} ms");
                // To have begun well is not enough: after three failures it rests.
                if gateways == 1 {
                    assert!(world.storage.get_block(&cid, false).await.is_err());
                    assert_eq!(world.requests().len(), 3, "{fault:?}");
                }
            });
        }
    }
}

/// Another was quicker to begin, and broke off.
#[test]
fn who_was_outrun_is_asked_again() {
    block_on(async {
        let world = world(2, OpenOptions::default());
        let data = noise(25, 300_000);
        let cid = world.everywhere(&data, one_block()).await;
        world.origins[0].fails(Fault::Late(3000), usize::MAX);
        world.origins[1].fails(Fault::Truncated, usize::MAX);
        assert_eq!(world.storage.get_block(&cid, false).await.unwrap(), data);
        let asked = world.origins.iter().map(|origin| origin.requests.borrow().len()).collect::<Vec<_>>();
        assert_eq!(asked, [2, 1]);
    });
}
