//! An archive as a backend: a pinning service by another hand, uploads of ours, and a gateway.

use std::{fs, rc::Rc};

use futures_executor::block_on;
use ipfs_kit_storage::{
    Cid, Error,
    backend::{Archive, Backend, Backends, Credentials, Endpoint, Limits, Retries, Secret, conformance},
    platform::native::SystemClock,
    remote::Failure,
    storage::{Delivery, DeliveryState, Why},
    tier::conformance::noise,
};
use serde_json::{Value, json};

use crate::{
    backends::{delivery, fixture, store, sync, sync_in_part, verified, world},
    counterpart::Counterpart,
    support::native::{Client, Loopback},
};

const UPLOAD: &str = "uploads-known-to-tests";
const PINS: &str = "pins-known-to-tests";

fn bearer(token: &str) -> Option<Credentials> {
    Some(Credentials::Bearer(Secret::new(token).unwrap()))
}

fn archive_with(url: &str, upload: &str, pins: &str) -> Archive {
    let upload = Endpoint { url: format!("{url}/upload"), credentials: bearer(upload) };
    let pinning = Endpoint { url: url.to_owned(), credentials: bearer(pins) };
    Archive::new(Client::http(), "there", upload, pinning, url).unwrap().cut(2 << 20, 20)
}

fn archive(url: &str) -> Archive {
    archive_with(url, UPLOAD, PINS)
}

fn backend(url: &str) -> Rc<dyn Backend> {
    Rc::new(archive(url))
}

/// The requests that a service has.
fn pins(server: &Counterpart) -> Vec<Value> {
    serde_json::from_slice(&server.get("/-/pins")).unwrap()
}

fn forget_pins(server: &Counterpart) {
    ureq::delete(format!("{}/-/pins", server.url)).call().unwrap();
}

fn forget_block(server: &Counterpart, cid: &Cid) {
    ureq::delete(format!("{}/-/block/{cid}", server.url)).call().unwrap();
}

fn holds(server: &Counterpart, cid: &Cid, data: &[u8]) {
    let held = server.get(&format!("/-/cat/{cid}"));
    assert!(held == data, "{} bytes of {}", held.len(), data.len());
}

fn detail(details: &[(&'static str, String)], name: &str) -> Option<String> {
    details.iter().find(|(known, _)| *known == name).map(|(_, value)| value.clone())
}

#[test]
fn an_archive() {
    let server = Counterpart::archive();
    block_on(async {
        conformance::all(&fixture(backend(&server.url), true)).await;
        // By the other method, in archives of one block each.
        let fixture = fixture(Rc::new(archive(&server.url).by_put().cut(1, 1)), true);
        let sample = Rc::new(conformance::tree(7, 10, 1_000).await);
        conformance::resumed(&fixture, &sample).await;
        conformance::repeated(&fixture, &sample).await;
        assert!(server.requests().iter().filter(|url| *url == "/upload").count() > 30);
    });
}

#[test]
fn a_request_is_followed_and_shown_until_it_is_pinned() {
    let (server, world) = (Counterpart::archive(), world());
    block_on(async {
        let origins =
            vec!["/ip4/192.0.2.1/tcp/4001/p2p/12D3KooWDpJ7As7BWAwRMfu1VU2WCqNjvq387JEYKDBj4kx6nXTN".to_owned()];
        let backend = Rc::new(archive(&server.url).with_origins(origins.clone()).unwrap());
        let storage = world.open(backend).await;
        let cid = store(&storage, 1, 100_000).await;
        for status in ["queued", "pinning"] {
            server.put("/-/ways", json!({ "status": status }));
            let report = sync(&storage, 300).await;
            assert_eq!((report.verified, report.waiting, report.failed), (0, 1, 0));
            assert!(report.next.is_some());
            let Delivery { state, setback, details, .. } = delivery(&storage, &cid).await;
            assert_eq!((state, setback), (DeliveryState::Sending, None));
            assert_eq!(detail(&details, "status").as_deref(), Some(status));
            assert_eq!(detail(&details, "origins"), Some(origins[0].clone()));
            assert!(detail(&details, "delegates").unwrap().starts_with("/ip4/203.0.113.42/tcp/4001/p2p/"));
            assert_eq!(detail(&details, "request").as_deref(), pins(&server)[0]["requestid"].as_str());
        }
        server.put("/-/ways", json!(null));
        assert_eq!(sync(&storage, 20_000).await.verified, 1);
        let replica = storage.replicas(&cid).await.unwrap().remove(0);
        assert_eq!(detail(&replica.details, "status").as_deref(), Some("pinned"));
        assert_eq!(pins(&server)[0]["pin"]["origins"], json!(origins));
        assert_eq!(pins(&server)[0]["pin"]["meta"], json!({ "backend": "there" }));
        holds(&server, &cid, &noise(1, 100_000));
        storage.release(&cid, None).await.unwrap();
        assert_eq!(sync(&storage, 0).await.removed, 1);
        assert!(pins(&server).is_empty());
    });
}

#[test]
fn who_was_killed_in_mid_upload_goes_on() {
    let (server, world) = (Counterpart::archive(), world());
    block_on(async {
        let storage = world.open(backend(&server.url)).await;
        let cid = store(&storage, 2, 12_000_000).await;
        assert_eq!(sync_in_part(&storage).await, None, "it was to be cut off");
        drop(storage);
        let storage = world.open(backend(&server.url)).await;
        let begun = delivery(&storage, &cid).await;
        assert_eq!(begun.state, DeliveryState::Sending);
        assert!(begun.sent >= 2_000_000 && begun.sent < 8_000_000, "{}", begun.sent);
        let report = sync(&storage, 20_000).await;
        assert_eq!((report.verified, report.waiting), (1, 0));
        assert!(report.sent + begun.sent < 12_100_000, "{} and {}", report.sent, begun.sent);
        holds(&server, &cid, &noise(2, 12_000_000));
        assert_eq!(pins(&server).len(), 1);
    });
}

#[test]
fn a_service_that_is_killed_in_mid_upload_and_comes_back_empty_gets_all_of_it() {
    let world = world();
    let first = Counterpart::archive();
    block_on(async {
        let storage = world.open(backend(&first.url)).await;
        let cid = store(&storage, 3, 8_000_000).await;
        assert_eq!(sync_in_part(&storage).await, None, "it was to be cut off");
        drop(first);
        let report = sync(&storage, 0).await;
        assert_eq!((report.verified, report.waiting), (0, 1));
        let setback = delivery(&storage, &cid).await.setback.unwrap();
        assert!(matches!(setback.why, Why::There(Failure::Unreachable(_))), "{setback:?}");
        assert!(delivery(&storage, &cid).await.sent >= 2_000_000, "what was sent is not given up for that");
        drop(storage);
        let second = Counterpart::archive();
        let storage = world.open(backend(&second.url)).await;
        let report = sync(&storage, 20_000).await;
        assert_eq!((report.verified, report.waiting), (1, 0));
        assert!(report.sent > 8_000_000, "{}", report.sent);
        holds(&second, &cid, &noise(3, 8_000_000));
        assert_eq!(pins(&second).len(), 1, "the request that failed was taken back");
    });
}

#[test]
fn a_service_that_fails_now_and_then_gets_it_all_the_same() {
    let (server, world) = (Counterpart::archive(), world());
    let proxy = Counterpart::faults(&server.url);
    let faults = [
        json!({ "name": "status", "status": 429, "retryAfter": 1, "match": "/upload", "times": 1 }),
        json!({ "name": "status", "status": 503, "retryAfter": 1, "match": "/pins", "times": 1 }),
        json!({ "name": "reset", "after": 0, "match": "/upload", "times": 2 }),
        // It was done, and nobody heard of that.
        json!({ "name": "reset", "after": 1, "match": "/upload", "times": 1 }),
        json!({ "name": "reset", "after": 1, "method": "POST", "match": "/pins", "times": 1 }),
        json!({ "name": "silence", "method": "POST", "match": "/pins", "times": 1 }),
        json!({ "name": "early", "status": 502, "match": "/upload", "times": 2 }),
        json!({ "name": "wrong-type", "match": "/pins", "times": 2 }),
        json!({ "name": "reset", "after": 1, "match": "/ipfs/", "times": 2 }),
        json!({ "name": "wrong-bytes", "match": "/ipfs/", "times": 1 }),
        // The request is forgotten, by its word.
        json!({ "name": "status", "status": 404, "match": "/pins/req", "times": 1 }),
    ];
    block_on(async {
        for (at, fault) in faults.into_iter().enumerate() {
            let seed = 10 + at as u64;
            let storage = world.open(backend(&proxy.url)).await;
            let cid = store(&storage, seed, 3_000_000).await;
            proxy.fault(fault.clone());
            let report = sync(&storage, 30_000).await;
            assert_eq!((report.verified, report.waiting, report.failed), (1, 0, 0), "{fault}");
            let anew = matches!(fault["name"].as_str(), Some("wrong-bytes")) || fault["status"] == json!(404);
            assert!(anew || report.sent < 3_100_000, "{fault}: {} bytes", report.sent);
            proxy.fault(json!(null));
            holds(&server, &cid, &noise(seed, 3_000_000));
            assert_eq!(pins(&server).len(), at + 1, "{fault}: one request for each");
        }
    });
}

#[test]
fn a_request_that_nobody_heard_of_is_not_made_twice() {
    let (server, world) = (Counterpart::archive(), world());
    let proxy = Counterpart::faults(&server.url);
    block_on(async {
        let storage = world.open(backend(&proxy.url)).await;
        store(&storage, 30, 10_000).await;
        proxy.fault(json!({ "name": "reset", "after": 1, "method": "POST", "match": "/pins", "times": 1 }));
        assert_eq!(sync(&storage, 20_000).await.verified, 1);
        assert_eq!(pins(&server)[0]["requestid"], json!("req-1"));
        // And one of which nothing but that is known is taken back with the rest.
        let cid = store(&storage, 31, 10_000).await;
        proxy.fault(json!({ "name": "reset", "after": 1, "method": "POST", "match": "/pins" }));
        assert_eq!(sync(&storage, 0).await.verified, 0);
        assert_eq!(pins(&server).len(), 2);
        proxy.fault(json!(null));
        storage.delete(&cid, true).await.unwrap();
        assert_eq!(sync(&storage, 20_000).await.removed, 1);
        assert_eq!(pins(&server).len(), 1);
    });
}

#[test]
fn a_service_that_says_yes_and_keeps_nothing_is_never_believed() {
    let (server, world) = (Counterpart::archive(), world());
    let proxy = Counterpart::faults(&server.url);
    block_on(async {
        let storage = world.open(backend(&proxy.url)).await;
        let cid = store(&storage, 40, 3_000_000).await;
        let request =
            json!({ "requestid": "req-1", "status": "pinned", "pin": { "cid": cid.to_string() }, "results": [] });
        let all = json!({ "name": "status", "status": 200, "body": request.to_string() });
        let pins_only = json!({ "name": "status", "status": 200, "body": request.to_string(), "match": "/pins" });
        // To all; to uploads, which it loses; to requests, which it does not look at.
        for (ways, fault) in [
            (json!(null), all),
            (json!({ "loses": true, "status": "pinned" }), json!(null)),
            (json!({ "loses": true }), pins_only),
        ] {
            server.put("/-/ways", ways.clone());
            proxy.fault(fault.clone());
            for _ in 0..6 {
                assert_eq!(sync(&storage, 200).await.verified, 0, "{ways} {fault}");
                assert!(!verified(&storage, &cid).await, "{ways} {fault}");
            }
            assert!(delivery(&storage, &cid).await.setback.is_some(), "{ways} {fault}");
            // One that gives no blocks by its word is given up at once.
            storage.replicate(&cid, &Default::default()).await.unwrap();
        }
        server.put("/-/ways", json!(null));
        proxy.fault(json!(null));
        let report = sync(&storage, 20_000).await;
        assert_eq!((report.verified, report.waiting), (1, 0));
        holds(&server, &cid, &noise(40, 3_000_000));
    });
}

#[test]
fn a_request_that_failed_is_told_and_made_anew() {
    let (server, world) = (Counterpart::archive(), world());
    block_on(async {
        let storage = world.open(backend(&server.url)).await;
        let cid = store(&storage, 50, 3_000_000).await;
        server.put("/-/ways", json!({ "status": "failed" }));
        let told = loop {
            assert_eq!(sync(&storage, 10).await.verified, 0);
            match delivery(&storage, &cid).await.setback.map(|setback| setback.why) {
                Some(Why::There(Failure::Unreachable(told))) => break told,
                Some(Why::There(Failure::NotFound)) | None => {}
                Some(other) => panic!("{other:?}"),
            }
        };
        assert!(
            told.starts_with("its pin request req-") && told.ends_with("a block of it is nowhere to be found"),
            "{told}"
        );
        server.put("/-/ways", json!(null));
        assert_eq!(sync(&storage, 20_000).await.verified, 1);
        holds(&server, &cid, &noise(50, 3_000_000));
        assert_eq!(pins(&server).len(), 1);
    });
}

#[test]
fn what_a_service_forgets_or_loses_is_found_and_made_again() {
    let (server, world) = (Counterpart::archive(), world());
    block_on(async {
        let storage = world.open(backend(&server.url)).await;
        let cid = store(&storage, 60, 3_000_000).await;
        // The request is forgotten while it is looked after.
        server.put("/-/ways", json!({ "status": "queued" }));
        assert_eq!(sync(&storage, 100).await.verified, 0);
        forget_pins(&server);
        server.put("/-/ways", json!(null));
        assert_eq!(sync(&storage, 20_000).await.verified, 1);
        let failed = || server.put("/-/ways", json!({ "status": "failed" }));
        let harms: [&dyn Fn(); 3] = [&|| forget_block(&server, &cid), &|| forget_pins(&server), &failed];
        for (at, harm) in harms.iter().enumerate() {
            harm();
            storage.audit(None).await.unwrap();
            let report = sync(&storage, 0).await;
            assert_eq!((report.lost, report.verified), (1, 0), "harm {at}");
            assert!(!verified(&storage, &cid).await, "harm {at}");
            server.put("/-/ways", json!(null));
            assert_eq!(sync(&storage, 20_000).await.verified, 1, "harm {at}");
            holds(&server, &cid, &noise(60, 3_000_000));
            assert_eq!(pins(&server).len(), 1, "harm {at}");
        }
    });
}

#[test]
fn whoever_has_the_wrong_token_is_refused_and_no_token_is_told() {
    let (server, world) = (Counterpart::archive(), world());
    let wrong = "a-wrong-token";
    let told = |what: &str| {
        for secret in [UPLOAD, PINS, wrong] {
            assert!(!what.contains(secret), "{what}");
        }
    };
    block_on(async {
        for (upload, pins) in [(wrong, PINS), (UPLOAD, wrong)] {
            let storage = world.open(Rc::new(archive_with(&server.url, upload, pins))).await;
            let cid = store(&storage, 70, 3_000_000).await;
            storage.replicate(&cid, &Default::default()).await.unwrap();
            let report = sync(&storage, 0).await;
            assert_eq!((report.failed, report.sent), (1, 0));
            let delivery = delivery(&storage, &cid).await;
            let setback = delivery.setback.clone().unwrap();
            let refused = matches!(&setback.why, Why::There(Failure::Refused(said)) if said.starts_with("status 401"));
            assert!(refused && setback.next.is_none(), "{setback:?}");
            told(&format!("{delivery:?}"));
        }
        let failure = archive_with(&server.url, UPLOAD, wrong).probe().await.unwrap_err();
        told(&format!("{failure} {failure:?}"));
        let storage = world.open(backend(&server.url)).await;
        let cid = store(&storage, 70, 3_000_000).await;
        storage.replicate(&cid, &Default::default()).await.unwrap();
        assert_eq!(sync(&storage, 20_000).await.verified, 1);
        told(&format!("{:?}", storage.replicas(&cid).await));
        let all = vec![(backend(&server.url), Limits::default())];
        let (clock, network) = (Rc::new(SystemClock), Rc::new(Loopback));
        told(&format!("{:?}", Backends::new(all, Retries::default(), clock, network).unwrap()));
    });
    for file in fs::read_dir(world.folder.path()).unwrap() {
        told(&String::from_utf8_lossy(&fs::read(file.unwrap().path()).unwrap()));
    }
}

#[test]
fn what_is_no_archive_is_refused() {
    let make = |upload: &str, pinning: &str, gateway: &str| {
        let at = |url: &str| Endpoint { url: url.into(), credentials: bearer(PINS) };
        Archive::new(Client::http(), "there", at(upload), at(pinning), gateway)
    };
    let good = "https://archive.example/api";
    assert!(make(good, good, good).is_ok());
    assert!(make("http://192.168.0.7/upload", good, good).is_ok());
    for bad in [
        "http://archive.example",
        "ftp://archive.example",
        "https://a:b@archive.example",
        "https://archive.example/?key=1",
    ] {
        for made in [make(bad, good, good), make(good, bad, good)] {
            let error = made.err();
            assert!(matches!(&error, Some(Error::InvalidArgument(said)) if !said.contains(PINS)), "{error:?}");
        }
    }
    let many = vec!["/ip4/192.0.2.1".to_owned(); 21];
    for origins in [many, vec!["192.0.2.1".into()]] {
        assert!(make(good, good, good).unwrap().with_origins(origins).is_err());
    }
}
