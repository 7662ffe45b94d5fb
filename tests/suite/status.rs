//! The status of those that keep copies: scripted, in time that is counted, and a server by other hands that is killed.

use std::{cell::Cell, rc::Rc};

use futures_executor::block_on;
use ipfs_kit_storage::{
    OfflineReason, OpenOptions, Storage, StoreOptions,
    backend::{Archive, Backend, Backends, Credentials, Endpoint, Limits, Retries, Secret},
    hash::CpuHasher,
    platform::{Clock, Network, http::Http, native::SystemClock},
    remote::{Failure, Gateway, HttpConnector, Patience, Remote, Remotes},
    storage::{BackendReport, BackendRole, BackendState, ReadBack, ReplicationPolicy, SyncOptions},
    tier::{MemoryTier, conformance::noise},
};

use crate::{
    counterpart::Counterpart,
    shelf::{Mood, Shelf},
    support::{
        Fault, Origin, Time, Wire,
        native::{Client, Loopback},
    },
};

fn storage(
    backends: Vec<Rc<dyn Backend>>,
    clock: Rc<dyn Clock>,
    network: Rc<dyn Network>,
    options: OpenOptions,
) -> Storage {
    let names = backends.iter().map(|backend| backend.name().to_owned()).collect();
    let policy =
        ReplicationPolicy { backends: Some(names), read_back: Some(ReadBack::All), ..ReplicationPolicy::default() };
    let all = backends.into_iter().map(|backend| (backend, Limits::default())).collect();
    let backends = Backends::new(all, Retries::default(), clock.clone(), network).unwrap();
    let options = OpenOptions { backends: Some(Rc::new(backends)), policy, ..options };
    Storage::new(Rc::new(MemoryTier::new()), Rc::new(CpuHasher), clock, options).unwrap()
}

/// A gateway and a shelf, of the same name.
struct World {
    time: Time,
    origin: Rc<Origin>,
    shelf: Rc<Shelf>,
    storage: Storage,
}

const NAME: &str = "http://there.test";

fn world(offline: Option<OfflineReason>) -> World {
    let time = Time { now: Rc::new(Cell::new(1_000_000)), online: Rc::new(Cell::new(true)) };
    let (origin, shelf, clock) = (Origin::new(&time), Shelf::new(NAME, &time), Rc::new(time.clone()));
    let http: Rc<dyn Http> = Rc::new(Wire(origin.clone()));
    let gateway: Rc<dyn Remote> = Rc::new(Gateway::new(http.clone(), NAME).unwrap());
    let connector = Rc::new(HttpConnector(http));
    let remotes = Remotes::new(vec![gateway], connector, clock.clone(), clock.clone(), Patience::default()).unwrap();
    let options = OpenOptions { remotes: Some(Rc::new(remotes)), offline, ..OpenOptions::default() };
    let storage = storage(vec![shelf.clone()], clock.clone(), clock, options);
    World { time, origin, shelf, storage }
}

async fn reports(storage: &Storage) -> Vec<BackendReport> {
    storage.backend_status().await.backends
}

async fn last(storage: &Storage) -> BackendReport {
    reports(storage).await.pop().unwrap()
}

fn states(reports: &[BackendReport]) -> Vec<(BackendRole, &str, BackendState)> {
    reports.iter().map(|report| (report.role, report.kind.as_str(), report.state)).collect()
}

async fn sync(storage: &Storage) -> u64 {
    storage.sync(SyncOptions::default()).await.unwrap().verified
}

#[test]
fn who_keeps_copies_is_told_from_remotes_and_probed_beside_them() {
    block_on(async {
        use BackendRole::{Backend, Local, Remote};
        use BackendState::{Available, Unavailable};
        let World { time, origin, shelf, storage } = world(None);
        let found = reports(&storage).await;
        assert_eq!(
            states(&found),
            [(Local, "memory", Available), (Remote, "gateway", Available), (Backend, "shelf", Available)]
        );
        assert_eq!((found[1].name.as_str(), found[2].name.as_str()), (NAME, NAME));
        assert!(found[2].checked >= 1_000_000 && found[2].latency.is_some(), "{:?}", found[2]);
        // Each is given up when it has been silent for 20 s, and these are the same 20 s.
        origin.fails(Fault::Silence, usize::MAX);
        shelf.probe.replace(Mood::Hangs);
        let before = time.now.get();
        let found = reports(&storage).await;
        assert_eq!(
            states(&found),
            [(Local, "memory", Available), (Remote, "gateway", Unavailable), (Backend, "shelf", Unavailable)]
        );
        let waited = time.now.get() - before;
        assert!((20_000..30_000).contains(&waited), "{waited}");
    });
}

#[test]
fn without_a_network_nobody_is_asked() {
    block_on(async {
        for (configured, online, reason) in [
            (Some(OfflineReason::Disabled), true, OfflineReason::Disabled),
            (Some(OfflineReason::ForceFallback), true, OfflineReason::ForceFallback),
            (None, false, OfflineReason::Disconnected),
        ] {
            let World { time, shelf, storage, .. } = world(configured);
            time.online.set(online);
            let found = last(&storage).await;
            assert_eq!((found.role, found.state), (BackendRole::Backend, BackendState::Disabled));
            assert_eq!(found.evidence, format!("not asked: {reason}"));
            assert_eq!((shelf.probed.get(), found.checked), (0, 0));
        }
        // That there are no remotes is no reason, and what backends keep can be read.
        let clock = Rc::new(Time { online: Rc::new(Cell::new(true)), ..Time::default() });
        let shelf = Shelf::new("alone", &clock);
        let storage = storage(vec![shelf], clock.clone(), clock, OpenOptions::default());
        let status = storage.backend_status().await;
        assert_eq!(status.local_only, None);
        assert_eq!(status.backends[1].state, BackendState::Available);
    });
}

#[test]
fn states_of_those_that_keep_copies_have_evidence() {
    block_on(async {
        let World { shelf, storage, .. } = world(None);
        let cid = storage.store(noise(1, 100_000), StoreOptions::default()).await.unwrap().root.cid;
        assert_eq!(sync(&storage).await, 1);
        let works = last(&storage).await;
        assert_eq!((works.state, works.failures), (BackendState::Available, 0));
        assert_eq!((works.bytes_out, works.bytes_in), (100_000, 100_000));
        // What it cannot do at all makes it useless; that it has lost something does not.
        for (failure, state) in [
            (Failure::Unsupported("pins".into()), BackendState::Unavailable),
            (Failure::NotFound, BackendState::Available),
            (Failure::Denied("the host says no".into()), BackendState::Denied),
            (Failure::Unreachable("status 500".into()), BackendState::Degraded),
            (Failure::Refused("status 401".into()), BackendState::Unavailable),
        ] {
            shelf.probe.replace(Mood::Fails(failure.clone()));
            let found = last(&storage).await;
            assert_eq!(found.state, state, "{failure:?}");
            assert!(found.evidence.contains(&failure.to_string()), "{}", found.evidence);
        }
        // Whoever looks, however often, does not keep it from what is due.
        for _ in 0..10 {
            assert_eq!(last(&storage).await.state, BackendState::Unavailable);
        }
        storage.audit(Some(&cid)).await.unwrap();
        assert_eq!(sync(&storage).await, 1);
        // But for when it asks for that itself.
        shelf.probe.replace(Mood::Fails(Failure::Busy(Some(60_000))));
        last(&storage).await;
        storage.audit(Some(&cid)).await.unwrap();
        assert_eq!(sync(&storage).await, 0);
    });
}

#[test]
fn a_server_that_is_killed_is_available_no_more_and_secrets_are_in_no_evidence() {
    const UPLOAD: &str = "uploads-known-to-tests";
    const PINS: &str = "pins-known-to-tests";
    const WRONG: &str = "nobody-knows-this-one";
    let server = Counterpart::archive();
    let url = server.url.clone();
    let archive = |name: &str, pins: &str| -> Rc<dyn Backend> {
        let endpoint =
            |url: String, token| Endpoint { url, credentials: Some(Credentials::Bearer(Secret::new(token).unwrap())) };
        let (upload, pins) = (endpoint(format!("{url}/upload"), UPLOAD), endpoint(url.clone(), pins));
        Rc::new(Archive::new(Client::http(), name, upload, pins, &url).unwrap())
    };
    block_on(async {
        let backends = vec![archive("wrong", WRONG), archive("there", PINS)];
        let storage = storage(backends, Rc::new(SystemClock), Rc::new(Loopback), OpenOptions::default());
        let found = reports(&storage).await;
        assert_eq!(
            states(&found[1..]),
            [
                (BackendRole::Backend, "archive", BackendState::Unavailable),
                (BackendRole::Backend, "archive", BackendState::Available),
            ]
        );
        assert!(found[1].evidence.contains("status 401") && !format!("{found:?}").contains(WRONG), "{found:?}");
        drop(server);
        for failures in 1..=3 {
            let found = last(&storage).await;
            assert_eq!((found.state, found.failures), (BackendState::Unavailable, failures), "{}", found.evidence);
        }
    });
}
