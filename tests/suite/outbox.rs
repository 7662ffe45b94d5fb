//! The queue of what goes to backends: over a scripted one, in time that is counted.

use std::{
    cell::{Cell, RefCell},
    collections::HashSet,
    future::poll_fn,
    rc::Rc,
    task::Poll,
};

use crate::shelf::{Mood, Shelf};
use crate::support::{Time, small};
use futures_executor::block_on;
use futures_util::future;
use ipfs_kit_storage::{
    Cid, Error, OfflineReason, OpenOptions, Storage, StoreOptions,
    backend::{Backend, Backends, Limits, Retries},
    block,
    hash::CpuHasher,
    platform::native::{NativeDirectory, SystemClock},
    remote::Failure,
    storage::{
        ArchiveRule, CacheConfig, DeliveryState, EvictionReason, ReadBack, ReadOptions, ReplicationPolicy, SyncOptions,
        SyncReport, ValueOptions, Why,
    },
    tier::{MemoryTier, Tier, conformance::noise, pack::PackTier},
};

const DAY: u64 = 24 * 60 * 60 * 1000;

/// What is told of a step: how far it has come, and bytes sent.
type Told = (Option<DeliveryState>, u64);

struct World {
    time: Time,
    shelves: Vec<Rc<Shelf>>,
    backends: Rc<Backends>,
    tier: Rc<dyn Tier>,
    options: OpenOptions,
    storage: Storage,
}

fn to(names: &[&str]) -> ReplicationPolicy {
    ReplicationPolicy { backends: Some(names.iter().map(|name| (*name).to_owned()).collect()), ..Default::default() }
}

fn archive(backend: &str, days: u32) -> Option<ArchiveRule> {
    Some(ArchiveRule { backend: backend.into(), days, moves: false })
}

fn storing(policy: ReplicationPolicy) -> StoreOptions {
    StoreOptions { replicate: policy, ..small() }
}

fn world_of(tier: Rc<dyn Tier>, policy: ReplicationPolicy, limits: Limits, retries: Retries) -> World {
    let time = Time { now: Rc::new(Cell::new(1_000_000)), online: Rc::new(Cell::new(true)) };
    let shelves = vec![Shelf::new("one", &time), Shelf::new("two", &time)];
    let all = shelves.iter().map(|shelf| (shelf.clone() as Rc<dyn Backend>, limits)).collect();
    let clock = Rc::new(time.clone());
    let backends = Rc::new(Backends::new(all, retries, clock.clone(), clock.clone()).unwrap());
    let options = OpenOptions { backends: Some(backends.clone()), policy, memory_bytes: 0, ..OpenOptions::default() };
    let storage = Storage::new(tier.clone(), Rc::new(CpuHasher), clock, options.clone()).unwrap();
    World { time, shelves, backends, tier, options, storage }
}

fn world(policy: ReplicationPolicy) -> World {
    world_of(Rc::new(MemoryTier::new()), policy, Limits::default(), Retries { silence: 5_000, ..Retries::default() })
}

impl World {
    /// Opened anew, as after a crash.
    fn again(&mut self) {
        let clock = Rc::new(self.time.clone());
        self.storage = Storage::new(self.tier.clone(), Rc::new(CpuHasher), clock, self.options.clone()).unwrap();
    }

    async fn sync(&self, wait: u64) -> SyncReport {
        self.storage.sync(SyncOptions { wait, on_delivery: None }).await.unwrap()
    }

    /// Stores some file of 20 leaves and 3 nodes.
    async fn store(&self, seed: u64, policy: ReplicationPolicy) -> Cid {
        self.storage.store(noise(seed, 200_000), storing(policy)).await.unwrap().root.cid
    }

    async fn blocks(&self, cid: &Cid) -> usize {
        let mut exporter = self.storage.car_exporter(vec![cid.into()], Default::default()).await.unwrap();
        let mut decoder = ipfs_kit_storage::car::CarDecoder::new();
        let mut blocks = 0;
        while let Some(bytes) = exporter.next().await.unwrap() {
            decoder.push(&bytes);
            while let Some(item) = decoder.next_item().unwrap() {
                blocks += usize::from(matches!(item, ipfs_kit_storage::car::Item::Block(..)));
            }
        }
        blocks
    }

    /// The state of what is still to be done at a backend, if anything is.
    async fn state(&self, cid: &Cid, backend: &str) -> Option<DeliveryState> {
        let replication = self.storage.replication(cid).await.unwrap();
        replication.deliveries.iter().find(|delivery| delivery.backend == backend).map(|delivery| delivery.state)
    }

    async fn verified(&self, cid: &Cid) -> Vec<String> {
        let replicas = self.storage.replicas(cid).await.unwrap();
        replicas.into_iter().map(|replica| replica.backend).collect()
    }

    fn past(&self, milliseconds: u64) {
        self.time.now.set(self.time.now.get() + milliseconds);
    }

    /// All that reads of this root needs is gone from here.
    async fn lose(&self, cid: &Cid) {
        self.storage.delete(cid, true).await.unwrap();
        assert!(!self.storage.exists(cid).await.unwrap());
    }
}

/// Polls a future so many times and lets go of it.
async fn cut<T>(after: usize, task: impl Future<Output = T>) -> Option<T> {
    let mut task = Box::pin(task);
    let mut left = after;
    poll_fn(|context| {
        left = left.saturating_sub(1);
        match task.as_mut().poll(context) {
            Poll::Ready(done) => Poll::Ready(Some(done)),
            Poll::Pending if left == 0 => Poll::Ready(None),
            Poll::Pending => Poll::Pending,
        }
    })
    .await
}

#[test]
fn what_is_stored_is_queued_sent_and_proven() {
    block_on(async {
        let world = world(to(&["one"]));
        let cid = world.store(1, to(&["one", "two"])).await;
        let replication = world.storage.replication(&cid).await.unwrap();
        assert_eq!(replication.wanted, Some(2));
        assert!(replication.replicas.is_empty() && !replication.is_replicated());
        for (delivery, name) in replication.deliveries.iter().zip(["one", "two"]) {
            assert_eq!((delivery.backend.as_str(), delivery.state, delivery.sent), (name, DeliveryState::Queued, 0));
            assert_eq!(delivery.setback, None);
        }
        let told: Rc<RefCell<Vec<Told>>> = Rc::default();
        let listener = told.clone();
        let root = cid.clone();
        let on_delivery: ipfs_kit_storage::storage::OnDelivery = Rc::new(move |cid, backend, delivery| {
            assert_eq!(*cid, root);
            if backend == "one" {
                let told = delivery.map(|delivery| (delivery.state, delivery.sent));
                listener.borrow_mut().push((told.map(|(state, _)| state), told.map_or(0, |(_, sent)| sent)));
            }
        });
        let report = world.storage.sync(SyncOptions { wait: 0, on_delivery: Some(on_delivery) }).await.unwrap();
        let count = world.blocks(&cid).await;
        assert!(world.shelves.iter().all(|shelf| shelf.has_all(&cid, count)));
        assert_eq!((report.verified, report.lost, report.failed, report.waiting), (2, 0, 0, 0));
        assert!(report.sent > 400_000 && report.sent < 410_000, "{}", report.sent);
        let states: Vec<_> = told.borrow().iter().map(|(state, _)| *state).collect();
        let mut expected = vec![Some(DeliveryState::Sending); count.div_ceil(4)];
        expected.extend([Some(DeliveryState::Stored), None]);
        assert_eq!(states, expected);
        assert!(told.borrow().windows(2).take(count.div_ceil(4) - 1).all(|two| two[0].1 < two[1].1), "{told:?}");
        let replication = world.storage.replication(&cid).await.unwrap();
        assert!(replication.is_replicated() && replication.deliveries.is_empty());
        for replica in &replication.replicas {
            assert!(replica.verified >= replica.stored && replica.stored > 1_000_000, "{replica:?}");
            assert!(replica.read.0 > 4 && replica.read.0 < count as u64 && !replica.all, "{replica:?}");
            assert_eq!(replica.details, [("place", count.to_string())]);
        }
        // Its next audit is due.
        assert_eq!(report.next, replication.replicas.iter().map(|replica| replica.verified + 30 * DAY).min());
        // Nothing more is done, nor queued by storing it again.
        let puts = world.shelves[0].puts.borrow().len();
        assert_eq!(world.store(1, to(&["one", "two"])).await, cid);
        assert_eq!(world.sync(0).await, SyncReport { next: report.next, ..SyncReport::default() });
        assert_eq!(world.shelves[0].puts.borrow().len(), puts);
    });
}

#[test]
fn the_queue_is_of_the_commit_that_stores() {
    block_on(async {
        // A commit that does not fit leaves neither.
        let tier = Rc::new(MemoryTier::new());
        tier.has_room_for(50_000);
        let world = world_of(tier.clone(), to(&["one"]), Limits::default(), Retries::default());
        assert!(matches!(world.storage.store(noise(1, 200_000), small()).await, Err(Error::QuotaExceeded { .. })));
        assert!(world.storage.outbox(None, 10).await.unwrap().deliveries.is_empty());
        // Of many all are queued, with trees, values and archives.
        let world = self::world(to(&["one"]));
        let files = (0..3).map(|seed| (noise(seed, 100).into(), StoreOptions::default())).collect();
        world.storage.store_many(files).await.unwrap();
        let value = ipfs_kit_storage::dag::Value::Integer(5);
        world.storage.put_value(&value, ValueOptions::default()).await.unwrap();
        let mut tree = world.storage.tree(StoreOptions::default()).unwrap();
        tree.file("a", "b", Default::default()).await.unwrap();
        let tree = tree.finish().await.unwrap().root.cid;
        assert_eq!(world.storage.outbox(None, 10).await.unwrap().deliveries.len(), 5);
        assert_eq!(world.sync(0).await.verified, 5);
        assert!(world.shelves[0].has_all(&tree, 2));
        let mut exporter = world.storage.car_exporter(vec![(&tree).into()], Default::default()).await.unwrap();
        let other = self::world(to(&["two"]));
        let mut import = other.storage.car_importer(Default::default()).await.unwrap();
        while let Some(bytes) = exporter.next().await.unwrap() {
            import.write(bytes).await.unwrap();
        }
        import.finish().await.unwrap();
        assert_eq!(other.sync(0).await.verified, 1);
        // Who says so at the call has none.
        other.storage.store("x", StoreOptions { replicate: to(&[]), ..StoreOptions::default() }).await.unwrap();
        assert!(other.storage.outbox(None, 10).await.unwrap().deliveries.is_empty());
    });
}

#[test]
fn names_that_no_backend_has_are_refused_before_anything_is_stored() {
    block_on(async {
        let world = world(ReplicationPolicy::default());
        for policy in [to(&["one", "three"]), ReplicationPolicy { archive: archive("three", 1), ..to(&["one"]) }] {
            let refused = world.storage.writer(storing(policy)).err();
            assert!(matches!(&refused, Some(Error::InvalidArgument(text)) if text.contains("three")), "{refused:?}");
        }
        assert_eq!(world.tier.usage().await.unwrap().blocks, 0);
        let cid = world.store(1, ReplicationPolicy::default()).await;
        assert!(matches!(
            world.storage.replicate(&cid, &ReplicationPolicy::default()).await,
            Err(Error::InvalidArgument(_))
        ));
        let clock = Rc::new(world.time.clone());
        let options = OpenOptions { policy: to(&["three"]), ..world.options.clone() };
        assert!(matches!(
            Storage::new(world.tier.clone(), Rc::new(CpuHasher), clock.clone(), options),
            Err(Error::InvalidArgument(_))
        ));
        for name in ["", "a b", "one"] {
            let shelves = [Shelf::new("one", &world.time), Shelf::new(name, &world.time)];
            let all = shelves.map(|shelf| (shelf as Rc<dyn Backend>, Limits::default()));
            assert!(Backends::new(all.into(), Retries::default(), clock.clone(), clock.clone()).is_err(), "{name:?}");
        }
    });
}

#[test]
fn it_goes_on_where_it_was_broken_off() {
    block_on(async {
        let mut done = 0;
        for polls in (1..200).step_by(7) {
            let mut world = world(to(&["one"]));
            world.shelves[0].slow.set(15);
            let cid = world.store(2, to(&["one"])).await;
            let count = world.blocks(&cid).await;
            if cut(polls, world.storage.sync(SyncOptions::default())).await.is_some() {
                done += 1;
                continue;
            }
            let before = world.shelves[0].puts.borrow().len();
            assert!(world.verified(&cid).await.is_empty());
            world.again();
            let sent = world.storage.replication(&cid).await.unwrap().deliveries[0].sent;
            let report = world.sync(0).await;
            assert_eq!(report.verified, 1, "after {polls} polls");
            assert!(world.shelves[0].has_all(&cid, count));
            let puts = world.shelves[0].puts.borrow().len();
            // What was noted is not sent again: at most the step that was broken off.
            assert!(puts <= count + 4, "after {polls} polls and {before} blocks: {puts} blocks sent of {count}");
            assert!(sent == 0 || before > 0);
        }
        assert!(done < 15, "{done}");
    });
}

#[test]
fn it_survives_in_the_pack() {
    block_on(async {
        let folder = tempfile::tempdir().unwrap();
        let open = async || {
            let folder = Rc::new(NativeDirectory::open(folder.path()).unwrap());
            Rc::new(PackTier::open(folder, Rc::new(CpuHasher), Rc::new(SystemClock)).await.unwrap()) as Rc<dyn Tier>
        };
        let first = world_of(open().await, to(&["one", "two"]), Limits::default(), Retries::default());
        let cid = first.store(3, ReplicationPolicy::default()).await;
        first.shelves[1].next_steps([Mood::Fails(Failure::Refused("no".into()))]);
        assert_eq!(first.sync(0).await.failed, 1);
        drop(first);
        let second = world_of(open().await, ReplicationPolicy::default(), Limits::default(), Retries::default());
        assert_eq!(second.verified(&cid).await, ["one"]);
        let failed = second.storage.replication(&cid).await.unwrap().deliveries.remove(0);
        assert_eq!((failed.backend.as_str(), failed.state), ("two", DeliveryState::Failed));
        assert_eq!(failed.setback.unwrap().why, Why::There(Failure::Refused("no".into())));
        second.storage.replicate(&cid, &to(&["two"])).await.unwrap();
        assert_eq!(second.sync(0).await.verified, 1);
    });
}

#[test]
fn passing_failures_are_tried_again_later_and_later() {
    block_on(async {
        let world = world(to(&["one"]));
        let cid = world.store(4, to(&["one"])).await;
        let failures = [
            Failure::Unreachable("reset".into()),
            Failure::Silent,
            Failure::Broken("half".into()),
            Failure::Busy(Some(50_000)),
        ];
        let mut waits = Vec::new();
        for (number, failure) in failures.into_iter().enumerate() {
            world.shelves[0].next_steps([Mood::Fails(failure.clone())]);
            let report = world.sync(0).await;
            assert_eq!((report.verified, report.waiting, report.failed), (0, 1, 0));
            let delivery = world.storage.replication(&cid).await.unwrap().deliveries.remove(0);
            let setback = delivery.setback.unwrap();
            assert_eq!((setback.why, setback.failures), (Why::There(failure), number as u32 + 1));
            let next = setback.next.unwrap();
            assert_eq!(delivery.state, DeliveryState::Queued);
            assert!(report.next.unwrap() >= next);
            waits.push(next - world.time.now.get());
            // Until then nobody is asked.
            let asked = world.shelves[0].moods.borrow().len();
            world.sync(0).await;
            assert_eq!(world.shelves[0].moods.borrow().len(), asked);
            world.past(report.next.unwrap() - world.time.now.get());
        }
        assert!((500..=1_000).contains(&waits[0]) && (1_000..=2_000).contains(&waits[1]), "{waits:?}");
        assert!((2_000..=4_000).contains(&waits[2]) && waits[3] == 50_000, "{waits:?}");
        // An answer that is lost is no harm; and whoever waits for it sees it through.
        world.shelves[0].next_steps([Mood::Well, Mood::Deaf, Mood::Hangs]);
        let report = world.sync(3_600_000).await;
        assert_eq!((report.verified, report.waiting), (1, 0));
        assert_eq!(world.verified(&cid).await, ["one"]);
    });
}

#[test]
fn what_is_refused_or_fails_too_often_is_given_up_and_stays_visible() {
    block_on(async {
        for failure in [Failure::Refused("status 403".into()), Failure::Unsupported("such blocks".into())] {
            let world = world(to(&["one"]));
            let cid = world.store(5, to(&["one"])).await;
            world.shelves[0].next_steps([Mood::Well, Mood::Fails(failure.clone())]);
            let report = world.sync(DAY).await;
            assert_eq!((report.verified, report.failed, report.waiting, report.next), (0, 1, 0, None));
            let delivery = world.storage.outbox(None, 10).await.unwrap().deliveries.remove(0);
            assert_eq!((delivery.state, delivery.cid.clone()), (DeliveryState::Failed, cid.clone()));
            let setback = delivery.setback.unwrap();
            assert_eq!((setback.why, setback.next), (Why::There(failure), None));
            // Storing it again is no reason to try again; being told to is. It goes on from where it was.
            world.store(5, to(&["one"])).await;
            assert_eq!(world.sync(DAY).await.failed, 1);
            let before = world.shelves[0].puts.borrow().len();
            world.storage.replicate(&cid, &to(&["one"])).await.unwrap();
            assert_eq!(world.sync(0).await.verified, 1);
            let blocks = world.blocks(&cid).await;
            assert_eq!((before, world.shelves[0].puts.borrow().len()), (4, blocks));
        }
        let retries = Retries { most: 3, ..Retries::default() };
        let world = world_of(Rc::new(MemoryTier::new()), to(&["one"]), Limits::default(), retries);
        let cid = world.store(5, to(&["one"])).await;
        world.shelves[0].next_steps(vec![Mood::Fails(Failure::Silent); 3]);
        let report = world.sync(DAY).await;
        assert_eq!((report.failed, report.verified), (1, 0));
        assert_eq!(world.state(&cid, "one").await, Some(DeliveryState::Failed));
        assert!(world.shelves[0].moods.borrow().is_empty());
        // What our own host denies says nothing of the backend: that is tried as long as it takes.
        let world = world_of(Rc::new(MemoryTier::new()), to(&["one"]), Limits::default(), retries);
        world.store(5, to(&["one"])).await;
        world.shelves[0].next_steps(vec![Mood::Fails(Failure::Denied("by the host".into())); 5]);
        let report = world.sync(DAY).await;
        assert_eq!((report.failed, report.verified), (0, 1));
        assert!(world.shelves[0].moods.borrow().is_empty());
    });
}

#[test]
fn offline_it_waits() {
    block_on(async {
        let mut world = world(to(&["one"]));
        let cid = world.store(6, to(&["one"])).await;
        world.time.online.set(false);
        let report = world.sync(1_000).await;
        assert_eq!((report.offline, report.waiting, report.verified), (Some(OfflineReason::Disconnected), 1, 0));
        world.options.offline = Some(OfflineReason::Disabled);
        world.time.online.set(true);
        world.again();
        assert_eq!(world.sync(0).await.offline, Some(OfflineReason::Disabled));
        let delivery = world.storage.replication(&cid).await.unwrap().deliveries.remove(0);
        assert_eq!((delivery.state, delivery.setback), (DeliveryState::Queued, None));
        assert!(world.shelves[0].puts.borrow().is_empty());
        world.options.offline = None;
        // One that is not configured is waited for.
        let backends = world.options.backends.take();
        world.options.policy = ReplicationPolicy::default();
        world.again();
        assert_eq!(world.sync(0).await, SyncReport::default());
        assert_eq!(world.state(&cid, "one").await, Some(DeliveryState::Queued));
        world.options.backends = backends;
        world.again();
        assert_eq!(world.sync(0).await.verified, 1);
    });
}

#[test]
fn a_backend_that_rests_costs_others_no_try() {
    block_on(async {
        let limits = Limits { at_once: 1, ..Limits::default() };
        let world = world_of(Rc::new(MemoryTier::new()), to(&["one"]), limits, Retries::default());
        for seed in 0..20 {
            world.store(seed, to(&["one"])).await;
        }
        world.shelves[0].next_steps(vec![Mood::Fails(Failure::Unreachable("down".into())); 5]);
        let report = world.sync(0).await;
        assert_eq!((report.verified, report.waiting), (0, 20));
        let tried = world.storage.outbox(None, 100).await.unwrap().deliveries;
        // Three failures in a row, and it rests.
        assert_eq!(tried.iter().filter(|delivery| delivery.setback.is_some()).count(), 3);
        assert_eq!(world.sync(DAY).await.verified, 20);
    });
}

#[test]
fn what_was_said_to_be_stored_and_is_not_never_counts() {
    block_on(async {
        for mood in [Mood::Forgets, Mood::Garbles] {
            for read_back in [ReadBack::All, ReadBack::Sample(64)] {
                let policy = ReplicationPolicy { read_back: Some(read_back), ..to(&["one"]) };
                let world = world(ReplicationPolicy::default());
                let cid = world.store(7, policy).await;
                let count = world.blocks(&cid).await;
                // Twice all of it.
                let steps = count.div_ceil(4) + 1;
                world.shelves[0].next_steps(vec![mood.clone(); 2 * steps]);
                for _ in 0..2 {
                    let report = world.sync(0).await;
                    assert_eq!((report.verified, report.lost, report.waiting), (0, 1, 1), "{mood:?} {read_back:?}");
                    assert!(world.verified(&cid).await.is_empty());
                    assert!(!world.storage.replication(&cid).await.unwrap().is_replicated());
                    let delivery = world.storage.replication(&cid).await.unwrap().deliveries.remove(0);
                    assert_eq!((delivery.state, delivery.sent), (DeliveryState::Queued, 0));
                    world.past(10_000);
                }
                assert_eq!(world.sync(0).await.verified, 1);
                assert!(world.storage.outbox(None, 10).await.unwrap().deliveries.is_empty());
                let replica = world.storage.replicas(&cid).await.unwrap().remove(0);
                assert_eq!(replica.all, read_back == ReadBack::All || count <= 64);
            }
        }
    });
}

#[test]
fn one_block_that_is_missing_or_wrong_is_found_by_reading_all() {
    block_on(async {
        for wrong in [true, false] {
            for at in [0, 5, 22] {
                let world = world(ReplicationPolicy { read_back: Some(ReadBack::All), ..to(&["one"]) });
                let cid = world.store(8, ReplicationPolicy::default()).await;
                assert_eq!(world.sync(0).await.verified, 1);
                let victim = world.shelves[0].puts.borrow()[at].clone();
                {
                    let mut held = world.shelves[0].held.borrow_mut();
                    let copy = held.get_mut(&cid).unwrap();
                    if wrong {
                        copy.insert(victim, "wrong".into());
                    } else {
                        copy.remove(&victim);
                    }
                }
                world.storage.audit(Some(&cid)).await.unwrap();
                assert_eq!(world.verified(&cid).await, ["one"], "an audit that is queued says nothing yet");
                let report = world.sync(0).await;
                assert_eq!((report.lost, report.verified), (1, 0));
                assert!(world.verified(&cid).await.is_empty(), "it counts no more");
                // It is made anew.
                assert_eq!(world.sync(DAY).await.verified, 1);
                assert!(world.shelves[0].has_all(&cid, world.blocks(&cid).await));
            }
        }
    });
}

#[test]
fn a_proof_that_could_not_be_made_changes_nothing() {
    block_on(async {
        let world = world(to(&["one"]));
        let cid = world.store(9, ReplicationPolicy::default()).await;
        assert_eq!(world.sync(0).await.verified, 1);
        let before = world.storage.replicas(&cid).await.unwrap();
        world.past(5_000);
        world.storage.audit(None).await.unwrap();
        let moods = [
            Mood::Fails(Failure::Unreachable("down".into())),
            Mood::Hangs,
            Mood::Forgets, // another number of blocks than were asked for
        ];
        for mood in moods {
            world.shelves[0].reads.borrow_mut().push_back(mood);
            let report = world.sync(0).await;
            assert_eq!((report.verified, report.lost, report.waiting), (0, 0, 1));
            assert_eq!(world.storage.replicas(&cid).await.unwrap(), before, "its evidence is as old as it was");
            world.past(report.next.unwrap() - world.time.now.get());
        }
        assert_eq!(world.sync(0).await.verified, 1);
        let after = world.storage.replicas(&cid).await.unwrap();
        assert!(after[0].verified > before[0].verified && after[0].stored == before[0].stored);
        let blocks = world.blocks(&cid).await;
        assert_eq!(world.shelves[0].puts.borrow().len(), blocks, "nothing was sent again");
    });
}

#[test]
fn a_long_proof_goes_on_where_it_was_broken_off() {
    block_on(async {
        let mut world = world(ReplicationPolicy { read_back: Some(ReadBack::All), ..to(&["one"]) });
        let data = noise(21, 40 << 20);
        let cid = world.storage.store(data, StoreOptions::default()).await.unwrap().root.cid;
        let blocks = world.blocks(&cid).await;
        let noted = Rc::new(Cell::new(0));
        let told = noted.clone();
        let on_delivery: ipfs_kit_storage::storage::OnDelivery = Rc::new(move |_, _, delivery| {
            told.set(told.get() + usize::from(delivery.is_some_and(|one| one.state == DeliveryState::Stored)));
        });
        let sync = world.storage.sync(SyncOptions { wait: 0, on_delivery: Some(on_delivery) });
        // Said to be stored; and then some of it read back.
        let seen = poll_fn(|context| {
            context.waker().wake_by_ref();
            if noted.get() > 1 { Poll::Ready(()) } else { Poll::Pending }
        });
        assert!(matches!(future::select(Box::pin(sync), seen).await, future::Either::Right(_)), "it was to be cut off");
        let before = world.shelves[0].asked.borrow().len();
        world.again();
        assert_eq!(world.sync(0).await.verified, 1);
        let asked = world.shelves[0].asked.borrow().clone();
        let (leaves, again) = (asked[before..].iter().collect::<HashSet<_>>(), &asked[..before]);
        let twice = again.iter().filter(|cid| cid.codec() == 0x55 && leaves.contains(cid)).count();
        assert!(before > 8 && twice <= 8, "{twice} of {before} leaves were read again");
        let replica = world.storage.replicas(&cid).await.unwrap().remove(0);
        assert_eq!((replica.all, replica.read.0), (true, blocks as u64));
        assert!(replica.read.1 > 40 << 20, "{} bytes", replica.read.1);
    });
}

#[test]
fn copies_are_read_back_again_when_their_evidence_is_old() {
    block_on(async {
        let world = world(ReplicationPolicy { audit_days: Some(7), ..to(&["one", "two"]) });
        let cid = world.store(10, ReplicationPolicy::default()).await;
        let report = world.sync(0).await;
        let first = world.storage.replicas(&cid).await.unwrap();
        assert_eq!(report.next, first.iter().map(|replica| replica.verified + 7 * DAY).min());
        world.past(6 * DAY);
        assert_eq!(world.sync(0).await.verified, 0);
        world.past(DAY + 1_000);
        assert_eq!(world.sync(0).await.verified, 2);
        let second = world.storage.replicas(&cid).await.unwrap();
        assert!(second.iter().zip(&first).all(|(second, first)| second.verified > first.verified + 7 * DAY));
        // It asks for other blocks than the first time.
        let asked = world.shelves[0].asked.borrow().clone();
        let (early, late) = asked.split_at(asked.len() / 2);
        assert_ne!(early.iter().collect::<HashSet<_>>(), late.iter().collect::<HashSet<_>>());
        // 0 days: never.
        let never = self::world(ReplicationPolicy { audit_days: Some(0), ..to(&["one"]) });
        never.store(10, ReplicationPolicy::default()).await;
        assert_eq!(never.sync(0).await.next, None);
    });
}

#[test]
fn a_lost_copy_is_made_of_another_when_nothing_is_held_here() {
    block_on(async {
        let policy = ReplicationPolicy { read_back: Some(ReadBack::All), ..to(&["one", "two"]) };
        let world = world(policy);
        let cid = world.store(11, ReplicationPolicy::default()).await;
        let count = world.blocks(&cid).await;
        assert_eq!(world.sync(0).await.verified, 2);
        evict(&world, &cid).await;
        // Another block of each is gone: the second copy has what the first one lacks.
        let lost = world.shelves[0].puts.borrow()[7].clone();
        world.shelves[0].held.borrow_mut().get_mut(&cid).unwrap().remove(&lost);
        world.storage.audit(Some(&cid)).await.unwrap();
        let report = world.sync(DAY / 2).await;
        assert_eq!((report.lost, report.waiting, report.failed), (1, 0, 0));
        assert_eq!(world.verified(&cid).await, ["one", "two"]);
        assert!(world.shelves[0].has_all(&cid, count));
        assert!(!world.storage.exists(&cid).await.unwrap(), "it only passed through");
        // What the other one gives is proven on its way.
        world.shelves[0].held.borrow_mut().clear();
        world.storage.audit(Some(&cid)).await.unwrap();
        world.shelves[1].reads.borrow_mut().extend(vec![Mood::Garbles; 40]);
        let report = world.sync(0).await;
        assert_eq!(report.verified, 0);
        assert!(!world.shelves[0].held.borrow().values().any(|copy| copy.values().any(|bytes| bytes == "other bytes")));
    });
}

#[test]
fn a_backend_that_loses_all_it_gets_is_given_up_too() {
    block_on(async {
        let retries = Retries { most: 4, ..Retries::default() };
        let world = world_of(Rc::new(MemoryTier::new()), to(&["one"]), Limits::default(), retries);
        let cid = world.store(20, ReplicationPolicy::default()).await;
        world.shelves[0].next_steps(vec![Mood::Forgets; 1_000]);
        let began = world.time.now.get();
        let report = world.sync(DAY).await;
        assert_eq!((report.lost, report.verified, report.failed, report.waiting), (4, 0, 1, 0));
        assert!(world.time.now.get() - began >= 3_500, "it waited longer each time");
        let delivery = world.storage.replication(&cid).await.unwrap().deliveries.remove(0);
        assert_eq!(delivery.setback.unwrap().why, Why::There(Failure::NotFound));
        world.shelves[0].moods.take();
        world.storage.replicate(&cid, &to(&["one"])).await.unwrap();
        assert_eq!(world.sync(0).await.verified, 1);
    });
}

/// Has a root leave by the limit.
async fn evict(world: &World, cid: &Cid) {
    let held = world.tier.usage().await.unwrap().bytes;
    world.storage.configure_cache(CacheConfig { disk_bytes: Some(held + 50_000), ..Default::default() }).unwrap();
    let filler = StoreOptions { replicate: to(&[]), ..StoreOptions::default() };
    world.storage.store(noise(held, 100_000), filler).await.unwrap();
    assert!(world.tier.root(cid).await.unwrap().is_none());
    world.storage.configure_cache(CacheConfig { disk_bytes: Some(u64::MAX), ..Default::default() }).unwrap();
}

#[test]
fn the_local_copy_goes_only_when_enough_others_are_proven() {
    block_on(async {
        let policy = ReplicationPolicy { evict_with: Some(2), ..to(&["one", "two"]) };
        let world = world(ReplicationPolicy::default());
        let cid = world.store(12, policy).await;
        let limit = world.tier.usage().await.unwrap().bytes + 50_000;
        world.storage.configure_cache(CacheConfig { disk_bytes: Some(limit), ..Default::default() }).unwrap();
        let full = async |seed: u64| {
            let stored = world.storage.store(noise(seed, 100_000), StoreOptions::default()).await;
            matches!(stored, Err(Error::QuotaExceeded { .. }))
        };
        assert!(full(1).await, "it is queued");
        world.shelves[1].next_steps([Mood::Fails(Failure::Refused("no".into()))]);
        assert_eq!(world.sync(0).await.verified, 1);
        assert!(full(2).await, "there is one copy, and the other was given up");
        world.storage.replicate(&cid, &to(&["two"])).await.unwrap();
        world.shelves[1].next_steps(vec![Mood::Forgets; 20]);
        world.sync(0).await;
        assert!(full(3).await, "the other one says that it has it");
        world.shelves[1].moods.take();
        assert_eq!(world.sync(DAY / 24).await.verified, 1);
        assert!(!full(4).await, "both were read back");
        assert!(world.tier.root(&cid).await.unwrap().is_none());
        assert_eq!(world.verified(&cid).await, ["one", "two"], "and are known");
        // A pin keeps it whatever there is elsewhere.
        let world = self::world(ReplicationPolicy { pin: Some(true), ..to(&["one"]) });
        let cid = world.store(12, ReplicationPolicy::default()).await;
        assert!(world.tier.pin(&cid).await.unwrap().is_some());
        assert_eq!(world.sync(0).await.verified, 1);
        let limit = world.tier.usage().await.unwrap().bytes + 50_000;
        world.storage.configure_cache(CacheConfig { disk_bytes: Some(limit), ..Default::default() }).unwrap();
        let more =
            StoreOptions { replicate: ReplicationPolicy { pin: Some(false), ..to(&[]) }, ..StoreOptions::default() };
        assert!(world.storage.store(noise(1, 100_000), more).await.is_err());
        assert!(world.tier.root(&cid).await.unwrap().is_some());
    });
}

#[test]
fn deleting_takes_the_work_along() {
    block_on(async {
        let world = world(to(&["one", "two"]));
        // Nothing has been sent.
        let cid = world.store(13, ReplicationPolicy::default()).await;
        world.lose(&cid).await;
        assert!(world.storage.outbox(None, 10).await.unwrap().deliveries.is_empty());
        assert_eq!(world.storage.replication(&cid).await.unwrap().wanted, None);
        assert_eq!(world.sync(0).await, SyncReport::default());
        // Some of it, to one; to the other all.
        let cid = world.store(14, ReplicationPolicy::default()).await;
        let fails = Mood::Fails(Failure::Unreachable("reset".into()));
        world.shelves[0].next_steps([Mood::Well, fails]);
        assert_eq!(world.sync(0).await.verified, 1);
        world.lose(&cid).await;
        assert_eq!(world.state(&cid, "one").await, Some(DeliveryState::Removing));
        assert_eq!(world.verified(&cid).await, ["two"], "a copy stays until it is released");
        assert_eq!(world.sync(DAY).await.removed, 1);
        assert_eq!(*world.shelves[0].removed.borrow(), std::slice::from_ref(&cid));
        assert!(world.shelves[1].held.borrow().contains_key(&cid));
        world.storage.release(&cid, None).await.unwrap();
        assert!(world.verified(&cid).await.is_empty());
        assert_eq!(world.sync(0).await.removed, 1);
        assert!(world.shelves[1].held.borrow().is_empty());
        assert!(world.storage.outbox(None, 10).await.unwrap().deliveries.is_empty());
    });
}

#[test]
fn deleting_in_the_midst_of_sending_leaves_nothing_behind() {
    block_on(async {
        for polls in (1..60).step_by(3) {
            let world = world(to(&["one"]));
            world.shelves[0].slow.set(3);
            let cid = world.store(15, ReplicationPolicy::default()).await;
            let delete = async {
                cut(polls, future::pending::<()>()).await;
                world.storage.delete(&cid, false).await.unwrap();
            };
            let wake = poll_fn(|context| {
                // The counted time goes on only if somebody is polled.
                context.waker().wake_by_ref();
                Poll::<()>::Pending
            });
            let both = future::join(world.sync(0), delete);
            future::select(Box::pin(both), Box::pin(wake)).await;
            world.sync(DAY).await;
            let copies = world.verified(&cid).await;
            assert_eq!(copies.is_empty(), world.shelves[0].held.borrow().is_empty(), "after {polls} polls: {copies:?}");
            assert!(world.storage.outbox(None, 10).await.unwrap().deliveries.is_empty());
        }
    });
}

#[test]
fn releasing_one_leaves_the_others_and_it_does_not_come_back() {
    block_on(async {
        let world = world(ReplicationPolicy { audit_days: Some(1), ..to(&["one", "two"]) });
        let cid = world.store(16, ReplicationPolicy::default()).await;
        assert_eq!(world.sync(0).await.verified, 2);
        world.storage.release(&cid, Some("two")).await.unwrap();
        assert_eq!(world.verified(&cid).await, ["one"], "it counts no more at once");
        world.shelves[1].next_steps([Mood::Fails(Failure::Unreachable("down".into()))]);
        world.sync(0).await;
        assert_eq!(world.state(&cid, "two").await, Some(DeliveryState::Removing));
        assert_eq!(world.sync(60_000).await.removed, 1);
        world.past(2 * DAY);
        assert_eq!(world.sync(DAY / 2).await.verified, 1, "the audit of the other");
        assert!(!world.shelves[1].held.borrow().contains_key(&cid));
        assert!(world.storage.replication(&cid).await.unwrap().is_replicated());
        // Whoever wants it there again while it is to be removed gets it.
        world.storage.release(&cid, Some("one")).await.unwrap();
        world.storage.replicate(&cid, &to(&["one"])).await.unwrap();
        assert_eq!(world.sync(0).await.verified, 1);
        assert!(world.shelves[0].has_all(&cid, world.blocks(&cid).await));
    });
}

#[test]
fn the_archive_gets_it_when_it_is_old_enough() {
    block_on(async {
        let world = world(ReplicationPolicy { archive: archive("two", 10), audit_days: Some(0), ..to(&["one"]) });
        let cid = world.store(17, ReplicationPolicy::default()).await;
        let report = world.sync(0).await;
        assert_eq!((report.verified, report.next), (1, Some(1_000_000 + 10 * DAY)));
        world.past(10 * DAY);
        let report = world.sync(0).await;
        assert_eq!((report.verified, report.next), (1, None));
        assert_eq!(world.verified(&cid).await, ["one", "two"]);
    });
}

#[test]
fn a_backend_takes_as_many_roots_and_bytes_as_it_may() {
    block_on(async {
        let limits = Limits { at_once: 2, bytes_per_second: None };
        let world = world_of(Rc::new(MemoryTier::new()), to(&["one"]), limits, Retries::default());
        for seed in 0..6 {
            world.store(seed, ReplicationPolicy::default()).await;
        }
        let (first, second) = future::join(world.sync(60_000), world.sync(60_000)).await;
        assert_eq!(first.verified + second.verified, 6);
        assert_eq!(world.shelves[0].under_way.get().1, 2);
        let blocks: HashSet<Cid> = world.shelves[0].puts.borrow().iter().cloned().collect();
        assert_eq!(blocks.len(), world.shelves[0].puts.borrow().len(), "something was sent twice");
        let limits = Limits { at_once: 4, bytes_per_second: Some(50_000) };
        let world = world_of(Rc::new(MemoryTier::new()), to(&["one", "two"]), limits, Retries::default());
        let began = world.time.now.get();
        for seed in 0..2 {
            world.store(seed, ReplicationPolicy::default()).await;
        }
        let report = world.sync(60_000).await;
        assert_eq!(report.verified, 4);
        let took = world.time.now.get() - began;
        // 400,000 bytes to each; what is under way at once may be over it.
        assert!((6_000..=9_000).contains(&took), "{took} ms");
    });
}

#[test]
fn a_backend_at_work_is_asked_again_when_it_said() {
    block_on(async {
        let world = world(to(&["one"]));
        world.shelves[0].polls.set(3);
        let cid = world.store(18, ReplicationPolicy::default()).await;
        let report = world.sync(0).await;
        assert_eq!((report.verified, report.next.unwrap() > world.time.now.get()), (0, true));
        assert_eq!(world.state(&cid, "one").await, Some(DeliveryState::Sending));
        let began = world.time.now.get();
        assert_eq!(world.sync(60_000).await.verified, 1);
        assert!(world.time.now.get() - began >= 29_000, "{}", world.time.now.get() - began);
    });
}

#[test]
fn two_that_drain_one_medium_do_no_harm() {
    block_on(async {
        let world = world(to(&["one"]));
        let clock = Rc::new(world.time.clone());
        let other = Storage::new(world.tier.clone(), Rc::new(CpuHasher), clock, world.options.clone()).unwrap();
        let mut cids = Vec::new();
        for seed in 0..5 {
            cids.push(world.store(seed, ReplicationPolicy::default()).await);
        }
        let (first, second) =
            future::join(world.sync(60_000), other.sync(SyncOptions { wait: 60_000, on_delivery: None })).await;
        assert_eq!(second.unwrap().failed + first.failed, 0);
        for cid in &cids {
            assert_eq!(world.verified(cid).await, ["one"]);
            assert!(world.shelves[0].has_all(cid, world.blocks(cid).await));
        }
        assert!(world.storage.outbox(None, 10).await.unwrap().deliveries.is_empty());
    });
}

#[test]
fn what_cannot_be_read_here_is_told_as_such_and_heals() {
    block_on(async {
        let tier = Rc::new(MemoryTier::new());
        let world = world_of(tier.clone(), to(&["one"]), Limits::default(), Retries::default());
        let data = noise(19, 200_000);
        let cid = world.storage.store(data.clone(), small()).await.unwrap().root.cid;
        let leaf = world.storage.store(data[50_000..60_000].to_vec(), storing(to(&[]))).await.unwrap().root.cid;
        tier.damage(&block::key(&leaf).unwrap(), "rotten".into());
        let report = world.sync(0).await;
        assert_eq!((report.verified, report.waiting), (0, 1));
        let delivery = world.storage.replication(&cid).await.unwrap().deliveries.remove(0);
        let why = delivery.setback.unwrap().why;
        assert!(matches!(&why, Why::Here(text) if text.contains(&leaf.to_string())), "{why:?}");
        // Three failures in a row of the backend would have it rest; these are none of its.
        assert_eq!(world.backends.reports()[0].3.failures, 0);
        world.storage.store(data, small()).await.unwrap();
        assert_eq!(world.sync(60_000).await.verified, 1);
    });
}

#[test]
fn the_list_comes_in_pages() {
    block_on(async {
        let world = world(to(&["one", "two"]));
        for seed in 0..5 {
            world.storage.store(noise(seed, 100), StoreOptions::default()).await.unwrap();
        }
        let (mut all, mut after) = (Vec::new(), None::<String>);
        loop {
            let page = world.storage.outbox(after.as_deref(), 3).await.unwrap();
            assert!(page.deliveries.len() <= 3);
            all.extend(page.deliveries.into_iter().map(|delivery| (delivery.cid.to_string(), delivery.backend)));
            after = page.next;
            if after.is_none() {
                break;
            }
        }
        assert_eq!(all.len(), 10);
        assert!(all.is_sorted());
        assert!(world.storage.outbox(None, 0).await.is_err());
    });
}

#[test]
fn what_has_left_is_read_from_its_copies_and_comes_back() {
    block_on(async {
        let world = world(to(&["one", "two"]));
        let data = noise(40, 200_000);
        let named = StoreOptions { filename: Some("model.bin".into()), ..storing(ReplicationPolicy::default()) };
        let stored = world.storage.store(data.clone(), named).await.unwrap().root;
        assert_eq!(world.sync(0).await.verified, 2);
        evict(&world, &stored.cid).await;
        // Offline, by the call's wish or the network's, it fails at once and says so.
        let offline = ReadOptions { offline: true, ..ReadOptions::default() };
        let refused = world.storage.reader(&stored.cid, offline).await.map(drop).unwrap_err();
        assert!(matches!(refused, Error::NotAvailableOffline { reason: OfflineReason::Requested, .. }), "{refused}");
        world.time.online.set(false);
        let refused = world.storage.retrieve(&stored.cid).await.unwrap_err();
        assert!(matches!(refused, Error::NotAvailableOffline { reason: OfflineReason::Disconnected, .. }), "{refused}");
        world.time.online.set(true);
        // What nobody has is told as such.
        let nowhere = block::parse("bafkreigcfzeq3ksel6zpxjccpdacfxytkmip2j4mvpfevv4rt3o4zti5zy").unwrap();
        let refused = world.storage.retrieve(&nowhere).await.unwrap_err();
        assert!(matches!(refused, Error::NotAvailableOffline { reason: OfflineReason::NoRemotes, .. }), "{refused}");
        let asked = world.shelves[1].asked.borrow().len();
        // A range brings what it needs, and the whole file is the root that it was.
        let mut reader = world.storage.reader(&stored.cid, ReadOptions::range(100_000, Some(10))).await.unwrap();
        assert_eq!(reader.next().await.unwrap().unwrap(), data[100_000..100_010]);
        assert!(reader.fetched().blocks < 20 && reader.fetched().remote == "one", "{:?}", reader.fetched());
        drop(reader);
        assert_eq!(world.tier.root(&stored.cid).await.unwrap(), None);
        assert_eq!(world.storage.retrieve(&stored.cid).await.unwrap(), data);
        assert_eq!(world.tier.root(&stored.cid).await.unwrap().unwrap().root, stored, "its name and its time as well");
        assert_eq!(world.shelves[1].asked.borrow().len(), asked, "the first one had all of it");
    });
}

#[test]
fn a_copy_that_fails_a_reader_is_replaced_by_another_and_looked_at() {
    block_on(async {
        for (fault, waits) in [
            (Mood::Garbles, false),
            (Mood::Fails(Failure::NotFound), false),
            (Mood::Fails(Failure::Unreachable("down".into())), true),
            (Mood::Hangs, false),
        ] {
            let world = world(to(&["one", "two"]));
            let data = noise(41, 200_000);
            let cid = world.storage.store(data.clone(), small()).await.unwrap().root.cid;
            assert_eq!(world.sync(0).await.verified, 2);
            evict(&world, &cid).await;
            world.shelves[0].reads.borrow_mut().extend(vec![fault.clone(); 40]);
            assert_eq!(world.storage.retrieve(&cid).await.unwrap(), data, "{fault:?}");
            assert_eq!(world.shelves[0].reads.borrow().len(), if waits { 37 } else { 39 }, "{fault:?}");
            // One that lied or has lost it is read back before it counts on.
            let doubted = matches!(fault, Mood::Garbles | Mood::Fails(Failure::NotFound));
            let deliveries = world.storage.replication(&cid).await.unwrap().deliveries;
            let proofs = deliveries.iter().filter(|delivery| delivery.state == DeliveryState::Stored);
            assert_eq!(proofs.map(|delivery| &*delivery.backend).collect::<Vec<_>>(), ["one"][..doubted.into()]);
            // With both of them gone it is unavailable, and who was asked is told.
            evict(&world, &cid).await;
            world.shelves.iter().for_each(|shelf| {
                shelf.reads.borrow_mut().extend(vec![fault.clone(); 80]);
            });
            let Error::Unavailable { attempts, .. } = world.storage.retrieve(&cid).await.unwrap_err() else {
                panic!("{fault:?}");
            };
            assert_eq!(attempts.iter().map(|(name, _)| &**name).collect::<Vec<_>>(), ["one", "two"], "{fault:?}");
            assert!(!world.storage.exists(&cid).await.unwrap());
        }
    });
}

#[test]
fn what_is_not_used_leaves_by_itself_and_comes_back_when_it_is() {
    block_on(async {
        let policy = ReplicationPolicy { local_days: Some(10), audit_days: Some(0), ..to(&["one", "two"]) };
        let mut world = world_of(
            Rc::new(MemoryTier::new()),
            policy,
            Limits::default(),
            Retries { silence: 5_000, ..Retries::default() },
        );
        let evicted = Rc::new(RefCell::new(Vec::new()));
        let told = evicted.clone();
        world.storage.on_evicted(Rc::new(move |gone| told.borrow_mut().push((gone.cid.clone(), gone.reason))));
        let cid = world.store(42, ReplicationPolicy::default()).await;
        let pinned = world.store(43, ReplicationPolicy { pin: Some(true), ..Default::default() }).await;
        let report = world.sync(0).await;
        assert_eq!((report.verified, report.next), (4, Some(1_000_000 + 10 * DAY)));
        // Whoever reads it keeps it here, also over an opening.
        world.past(6 * DAY);
        world.storage.retrieve(&cid).await.unwrap();
        world.storage.flush().await.unwrap();
        world.again();
        let told = evicted.clone();
        world.storage.on_evicted(Rc::new(move |gone| told.borrow_mut().push((gone.cid.clone(), gone.reason))));
        world.past(6 * DAY);
        world.sync(0).await;
        assert!(world.storage.exists(&cid).await.unwrap(), "it was read 6 days ago");
        world.past(5 * DAY);
        world.sync(0).await;
        assert!(!world.storage.exists(&cid).await.unwrap(), "it was read 11 days ago");
        assert!(world.storage.exists(&pinned).await.unwrap(), "it is pinned");
        assert_eq!(*evicted.borrow(), [(cid.clone(), EvictionReason::Age)]);
        assert_eq!(world.verified(&cid).await, ["one", "two"]);
        // It comes back, and leaves again.
        world.storage.retrieve(&cid).await.unwrap();
        assert!(world.tier.root(&cid).await.unwrap().is_some());
        world.past(10 * DAY);
        world.sync(0).await;
        assert!(world.tier.root(&cid).await.unwrap().is_none());
    });
}

#[test]
fn with_0_days_it_leaves_when_it_is_proven_and_not_before() {
    block_on(async {
        let world = world(ReplicationPolicy { local_days: Some(0), ..to(&["one", "two"]) });
        let cid = world.store(44, ReplicationPolicy::default()).await;
        world.shelves[1].next_steps([Mood::Fails(Failure::Refused("no".into()))]);
        let report = world.sync(0).await;
        assert_eq!((report.verified, report.failed), (1, 1));
        assert!(report.next.unwrap() > world.time.now.get(), "nobody is to call again at once");
        assert!(world.storage.exists(&cid).await.unwrap(), "one copy of two");
        world.storage.replicate(&cid, &to(&["two"])).await.unwrap();
        assert_eq!(world.sync(0).await.verified, 1);
        assert!(!world.storage.exists(&cid).await.unwrap());
        assert_eq!(world.tier.usage().await.unwrap().bytes, 0, "its blocks as well");
        // Another copy of it is made without bringing it back.
        world.storage.release(&cid, Some("one")).await.unwrap();
        assert_eq!(world.sync(0).await.removed, 1);
        world.storage.replicate(&cid, &to(&["one"])).await.unwrap();
        assert_eq!(world.sync(0).await.verified, 1);
        assert_eq!(world.tier.usage().await.unwrap().bytes, 0);
    });
}

#[test]
fn it_moves_to_the_archive_when_the_copy_there_is_proven() {
    block_on(async {
        let archive = Some(ArchiveRule { backend: "two".into(), days: 10, moves: true });
        let world = world(ReplicationPolicy { archive, local_days: Some(30), ..to(&["one"]) });
        let cid = world.store(45, ReplicationPolicy::default()).await;
        assert_eq!(world.sync(0).await.verified, 1);
        world.past(10 * DAY);
        // It says that it has it, and does not.
        world.shelves[1].next_steps(vec![Mood::Forgets; 6]);
        let report = world.sync(0).await;
        assert_eq!((report.verified, report.removed, report.lost), (0, 0, 1));
        assert_eq!(world.verified(&cid).await, ["one"]);
        world.shelves[1].moods.take();
        world.past(DAY);
        let report = world.sync(0).await;
        assert_eq!((report.verified, report.removed), (1, 1));
        assert_eq!(world.verified(&cid).await, ["two"]);
        assert_eq!(*world.shelves[0].removed.borrow(), std::slice::from_ref(&cid));
        let replication = world.storage.replication(&cid).await.unwrap();
        assert!(replication.is_replicated() && replication.wanted == Some(1) && replication.deliveries.is_empty());
        // Then it is nowhere else, and is read from there.
        world.past(20 * DAY);
        world.sync(0).await;
        assert!(!world.storage.exists(&cid).await.unwrap());
        assert_eq!(world.storage.retrieve(&cid).await.unwrap(), noise(45, 200_000));
    });
}

#[test]
fn what_is_still_to_be_sent_stays_though_enough_have_it() {
    block_on(async {
        let policy = ReplicationPolicy { evict_with: Some(1), local_days: Some(0), ..to(&["one", "two"]) };
        let world = world(policy);
        let cid = world.store(46, ReplicationPolicy::default()).await;
        world.shelves[1].next_steps([Mood::Fails(Failure::Refused("no".into()))]);
        let report = world.sync(0).await;
        assert_eq!((report.verified, report.failed), (1, 1));
        world.past(2 * DAY);
        world.sync(0).await;
        assert!(world.storage.exists(&cid).await.unwrap(), "it was given up, and may be tried again");
        world.storage.release(&cid, Some("two")).await.unwrap();
        world.past(2 * DAY);
        world.sync(0).await;
        assert!(!world.storage.exists(&cid).await.unwrap());
    });
}

#[test]
fn it_stays_when_copies_are_released_until_there_are_too_few() {
    block_on(async {
        let policy = ReplicationPolicy { evict_with: Some(2), local_days: Some(1), ..to(&["one", "two"]) };
        let world = world(policy);
        let cid = world.store(47, ReplicationPolicy::default()).await;
        assert_eq!(world.sync(0).await.verified, 2);
        world.storage.release(&cid, Some("one")).await.unwrap();
        assert_eq!(world.sync(0).await.removed, 1);
        for _ in 0..3 {
            world.past(2 * DAY);
            world.sync(0).await;
            assert!(world.storage.exists(&cid).await.unwrap(), "nothing is to be sent, and one copy is not two");
        }
    });
}
