//! The backends, through the suite that every backend must pass: scripted, and over servers by other hands.

use std::{
    cell::Cell,
    rc::Rc,
    sync::atomic::{AtomicBool, Ordering},
};

use crate::counterpart::Counterpart;
use crate::shelf::Shelf;
use crate::support::{
    Time,
    native::{Client, Loopback},
};
use futures_executor::block_on;
use futures_util::future;
use ipfs_kit_storage::{
    Cid, OpenOptions, Storage, StoreOptions,
    backend::{
        Backend, Backends, KuboNode, Limits, Retries,
        conformance::{self, Fixture},
    },
    hash::CpuHasher,
    platform::native::{NativeDirectory, SystemClock},
    remote::Failure,
    storage::{Delivery, DeliveryState, ReplicationPolicy, SyncOptions, SyncReport, Why},
    tier::{conformance::noise, pack::PackTier},
};
use serde_json::json;

pub fn fixture(backend: Rc<dyn Backend>, removes_at_once: bool) -> Fixture {
    Fixture { backend, network: Rc::new(Loopback), removes_at_once, after_step: Box::new(|_| {}) }
}

#[test]
fn a_scripted_shelf() {
    let time = Time { now: Rc::new(Cell::new(1_000_000)), online: Rc::new(Cell::new(true)) };
    let shelf = Shelf::new("shelf", &time);
    block_on(conformance::all(&Fixture { network: Rc::new(time), ..fixture(shelf, true) }));
}

#[test]
fn a_kubo_node() {
    let server = Counterpart::rpc();
    let node = KuboNode::new(Client::http(), "node", &server.url).unwrap().patient_for(2);
    block_on(conformance::all(&fixture(Rc::new(node), false)));
}

/// A store in the pack with one backend, named `there`, that can be opened again.
pub struct World {
    pub folder: tempfile::TempDir,
}

pub fn world() -> World {
    World { folder: tempfile::tempdir().unwrap() }
}

fn node(url: &str) -> Rc<dyn Backend> {
    Rc::new(KuboNode::new(Client::http(), "there", url).unwrap().patient_for(2))
}

impl World {
    pub async fn open(&self, backend: Rc<dyn Backend>) -> Storage {
        let retries = Retries { first: 20, longest: 200, silence: 3_000, ..Retries::default() };
        let (clock, network) = (Rc::new(SystemClock), Rc::new(Loopback));
        let backends = Backends::new(vec![(backend, Limits::default())], retries, clock.clone(), network).unwrap();
        let policy = ReplicationPolicy { backends: Some(vec!["there".into()]), ..ReplicationPolicy::default() };
        let folder = Rc::new(NativeDirectory::open(self.folder.path()).unwrap());
        let tier = Rc::new(PackTier::open(folder, Rc::new(CpuHasher), clock.clone()).await.unwrap());
        let options = OpenOptions { backends: Some(Rc::new(backends)), policy, ..OpenOptions::default() };
        Storage::new(tier, Rc::new(CpuHasher), clock, options).unwrap()
    }
}

pub async fn store(storage: &Storage, seed: u64, bytes: usize) -> Cid {
    storage.store(noise(seed, bytes), StoreOptions::default()).await.unwrap().root.cid
}

pub async fn sync(storage: &Storage, wait: u64) -> SyncReport {
    storage.sync(SyncOptions { wait, on_delivery: None }).await.unwrap()
}

pub async fn verified(storage: &Storage, cid: &Cid) -> bool {
    !storage.replicas(cid).await.unwrap().is_empty()
}

pub async fn delivery(storage: &Storage, cid: &Cid) -> Delivery {
    storage.replication(cid).await.unwrap().deliveries.remove(0)
}

/// Drains until some of it has been sent, and lets go of it there.
pub async fn sync_in_part(storage: &Storage) -> Option<SyncReport> {
    let (some, seen) = (Rc::new(AtomicBool::new(false)), Rc::new(AtomicBool::new(false)));
    let told = some.clone();
    let on_delivery: ipfs_kit_storage::storage::OnDelivery = Rc::new(move |_, _, delivery| {
        told.fetch_or(delivery.is_some_and(|delivery| delivery.sent > 0), Ordering::Relaxed);
    });
    let cut = future::poll_fn(|_| match some.load(Ordering::Relaxed) {
        // The step after it has begun by then.
        true if seen.swap(true, Ordering::Relaxed) => std::task::Poll::Ready(()),
        _ => std::task::Poll::Pending,
    });
    let options = SyncOptions { wait: 20_000, on_delivery: Some(on_delivery) };
    match future::select(Box::pin(storage.sync(options)), cut).await {
        future::Either::Left((done, _)) => Some(done.unwrap()),
        future::Either::Right(_) => None,
    }
}

fn ask(url: &str, call: &str) -> Vec<u8> {
    let request = ureq::post(format!("{url}/api/v0/{call}"));
    let mut answer = request.config().http_status_as_error(false).build().send_empty().expect("it answers");
    answer.body_mut().with_config().limit(u64::MAX).read_to_vec().unwrap()
}

#[test]
fn a_node_gets_what_is_stored_and_whoever_was_killed_goes_on() {
    let (server, world) = (Counterpart::rpc(), world());
    let proxy = Counterpart::faults(&server.url);
    block_on(async {
        let storage = world.open(node(&proxy.url)).await;
        let cid = store(&storage, 1, 12_000_000).await;
        assert_eq!(sync_in_part(&storage).await, None, "it was to be cut off");
        drop(storage);
        let storage = world.open(node(&proxy.url)).await;
        let begun = delivery(&storage, &cid).await;
        assert_eq!(begun.state, DeliveryState::Sending);
        assert!(begun.sent >= 2_000_000 && begun.sent < 8_000_000, "{}", begun.sent);
        let report = sync(&storage, 0).await;
        assert_eq!((report.verified, report.waiting), (1, 0));
        assert!(report.sent + begun.sent < 12_100_000, "{} and {}", report.sent, begun.sent);
        assert!(ask(&server.url, &format!("cat?arg={cid}")) == noise(1, 12_000_000));
        let pins: serde_json::Value = serde_json::from_slice(&ask(&server.url, "pin/ls?type=recursive")).unwrap();
        assert_eq!(pins["Keys"].as_object().unwrap().len(), 1);
        storage.release(&cid, None).await.unwrap();
        assert_eq!(sync(&storage, 0).await.removed, 1);
        assert_eq!(ask(&server.url, "pin/ls?type=recursive"), br#"{"Keys":{}}"#);
    });
}

#[test]
fn a_node_that_is_killed_in_mid_upload_and_comes_back_empty_gets_all_of_it() {
    let world = world();
    let first = Counterpart::rpc();
    block_on(async {
        let storage = world.open(node(&first.url)).await;
        let cid = store(&storage, 2, 8_000_000).await;
        assert_eq!(sync_in_part(&storage).await, None);
        drop(first);
        // Nobody is there.
        let report = sync(&storage, 0).await;
        assert_eq!((report.verified, report.waiting), (0, 1));
        let setback = delivery(&storage, &cid).await.setback.unwrap();
        assert!(matches!(setback.why, Why::There(Failure::Unreachable(_))), "{setback:?}");
        let sent = delivery(&storage, &cid).await.sent;
        assert!(sent >= 2_000_000, "what was sent is not given up for that");
        drop(storage);
        let second = Counterpart::rpc();
        let storage = world.open(node(&second.url)).await;
        let report = sync(&storage, 20_000).await;
        assert_eq!((report.verified, report.waiting), (1, 0));
        assert!(report.sent > 8_000_000, "{}", report.sent);
        assert!(ask(&second.url, &format!("cat?arg={cid}")) == noise(2, 8_000_000));
    });
}

#[test]
fn a_node_that_fails_now_and_then_gets_it_all_the_same() {
    let (server, world) = (Counterpart::rpc(), world());
    let proxy = Counterpart::faults(&server.url);
    let faults = [
        json!({ "name": "reset", "after": 0, "match": "dag/import", "times": 2 }),
        json!({ "name": "status", "status": 503, "retryAfter": 1, "times": 1 }),
        json!({ "name": "status", "status": 500, "body": "{\"Message\":\"lock is held\"}", "match": "pin/add", "times": 2 }),
        json!({ "name": "reset", "after": 1, "match": "block/get", "times": 2 }),
        json!({ "name": "silence", "match": "pin/add", "times": 1 }),
        json!({ "name": "early", "status": 502, "match": "dag/import", "times": 2 }),
    ];
    block_on(async {
        for (seed, fault) in faults.into_iter().enumerate() {
            let storage = world.open(node(&proxy.url)).await;
            let cid = store(&storage, 10 + seed as u64, 3_000_000).await;
            proxy.fault(fault.clone());
            let report = sync(&storage, 30_000).await;
            assert_eq!((report.verified, report.waiting, report.failed), (1, 0, 0), "{fault}");
            proxy.fault(json!(null));
            assert!(ask(&server.url, &format!("cat?arg={cid}")) == noise(10 + seed as u64, 3_000_000), "{fault}");
        }
    });
}

#[test]
fn a_node_that_says_yes_to_all_and_has_nothing_is_never_believed() {
    let (server, world) = (Counterpart::rpc(), world());
    let proxy = Counterpart::faults(&server.url);
    block_on(async {
        let storage = world.open(node(&proxy.url)).await;
        let cid = store(&storage, 30, 3_000_000).await;
        let yes = json!({ "Keys": { cid.to_string(): { "Type": "recursive" } } }).to_string();
        // To all, or to what gives it data.
        for (told, tries) in [("/api/", 2), ("dag/import", 4)] {
            proxy.fault(json!({ "name": "status", "status": 200, "body": yes, "match": told }));
            while delivery(&storage, &cid).await.setback.map_or(0, |setback| setback.failures) < tries {
                assert_eq!(sync(&storage, 500).await.verified, 0, "yes to {told}");
                assert!(!verified(&storage, &cid).await, "yes to {told}");
            }
        }
        proxy.fault(json!(null));
        let report = sync(&storage, 20_000).await;
        assert_eq!((report.verified, report.waiting), (1, 0));
    });
}

#[test]
fn a_node_that_loses_what_it_had_gets_it_again() {
    let (server, world) = (Counterpart::rpc(), world());
    block_on(async {
        let storage = world.open(node(&server.url)).await;
        let cid = store(&storage, 40, 3_000_000).await;
        assert_eq!(sync(&storage, 0).await.verified, 1);
        ask(&server.url, &format!("pin/rm?arg={cid}"));
        let gone = ask(&server.url, &format!("block/rm?arg={cid}"));
        assert!(!String::from_utf8_lossy(&gone).contains("rror\":\"c"), "{}", String::from_utf8_lossy(&gone));
        storage.audit(None).await.unwrap();
        let report = sync(&storage, 0).await;
        assert_eq!((report.lost, report.verified), (1, 0));
        assert!(!verified(&storage, &cid).await);
        assert_eq!(sync(&storage, 20_000).await.verified, 1);
        assert!(ask(&server.url, &format!("cat?arg={cid}")) == noise(40, 3_000_000));
    });
}
