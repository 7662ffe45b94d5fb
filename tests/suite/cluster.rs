//! A cluster as a backend. Its far end is a server of our own, which answers as a cluster's sources and documentation say.

use std::{fs, rc::Rc};

use futures_executor::block_on;
use ipfs_kit_storage::{
    Cid, Error,
    backend::{Backend, Cluster, Credentials, Endpoint, Feed, Secret, Trouble, conformance},
    remote::Failure,
    storage::{DeliveryState, Why},
    tier::conformance::noise,
};
use serde_json::{Value, json};

use crate::{
    backends::{delivery, fixture, store, sync, sync_in_part, verified, world},
    counterpart::Counterpart,
    support::native::Client,
};

const TOKEN: &str = "clusters-known-to-tests";
const PASSWORD: &str = "passwords-known-to-tests";

fn bearer(token: &str) -> Credentials {
    Credentials::Bearer(Secret::new(token).unwrap())
}

fn basic(password: &str) -> Credentials {
    Credentials::Basic { user: "tester".into(), password: Secret::new(password).unwrap() }
}

fn cluster_with(url: &str, credentials: Credentials) -> Cluster {
    let api = Endpoint { url: url.to_owned(), credentials: Some(credentials) };
    Cluster::new(Client::http(), "there", api, url).unwrap().cut(2 << 20, 20)
}

fn backend(url: &str) -> Rc<dyn Backend> {
    Rc::new(cluster_with(url, bearer(TOKEN)))
}

fn pins(server: &Counterpart) -> Vec<Value> {
    serde_json::from_slice(&server.get("/-/pins")).unwrap()
}

fn delete(server: &Counterpart, path: &str) {
    ureq::delete(format!("{}{path}", server.url)).call().unwrap();
}

fn holds(server: &Counterpart, cid: &Cid, data: &[u8]) {
    let held = server.get(&format!("/-/cat/{cid}"));
    assert!(held == data, "{} bytes of {}", held.len(), data.len());
}

#[test]
fn a_cluster() {
    let server = Counterpart::cluster();
    block_on(async {
        conformance::all(&fixture(backend(&server.url), true)).await;
        let fixture = fixture(Rc::new(cluster_with(&server.url, basic(PASSWORD)).cut(1, 1)), true);
        let sample = Rc::new(conformance::tree(7, 10, 1_000).await);
        conformance::resumed(&fixture, &sample).await;
        conformance::repeated(&fixture, &sample).await;
    });
}

#[test]
fn it_is_stored_when_all_peers_have_it_that_are_to() {
    let (server, world) = (Counterpart::cluster(), world());
    block_on(async {
        let storage = world.open(backend(&server.url)).await;
        let cid = store(&storage, 1, 100_000).await;
        server.put("/-/ways", json!({ "status": { "second": "pin_queued" } }));
        let report = sync(&storage, 500).await;
        assert_eq!((report.verified, report.waiting, report.failed), (0, 1, 0));
        let begun = delivery(&storage, &cid).await;
        assert_eq!((begun.state, begun.setback), (DeliveryState::Sending, None));
        assert_eq!(begun.details, [("peers", "first pinned, second pin_queued".to_owned())]);
        server.put("/-/ways", json!(null));
        assert_eq!(sync(&storage, 20_000).await.verified, 1);
        let replica = storage.replicas(&cid).await.unwrap().remove(0);
        assert_eq!(replica.details, [("peers", "first pinned, second pinned".to_owned())]);
        holds(&server, &cid, &noise(1, 100_000));
        storage.release(&cid, None).await.unwrap();
        assert_eq!(sync(&storage, 0).await.removed, 1);
        assert!(pins(&server).is_empty());
    });
}

#[test]
fn who_was_killed_in_mid_upload_goes_on_and_so_does_a_cluster() {
    let (first, world) = (Counterpart::cluster(), world());
    block_on(async {
        let storage = world.open(backend(&first.url)).await;
        let cid = store(&storage, 2, 12_000_000).await;
        assert_eq!(sync_in_part(&storage).await, None, "it was to be cut off");
        drop(storage);
        assert!(pins(&first).is_empty(), "nothing is pinned that is not whole");
        let storage = world.open(backend(&first.url)).await;
        let begun = delivery(&storage, &cid).await.sent;
        assert!((2_000_000..8_000_000).contains(&begun), "{begun}");
        let report = sync(&storage, 20_000).await;
        assert_eq!((report.verified, report.waiting), (1, 0));
        assert!(report.sent + begun < 12_100_000, "{} and {begun}", report.sent);
        holds(&first, &cid, &noise(2, 12_000_000));
        // Another is killed in mid-upload, and comes back empty.
        let other = store(&storage, 3, 8_000_000).await;
        assert_eq!(sync_in_part(&storage).await, None, "it was to be cut off");
        drop(first);
        assert_eq!(sync(&storage, 0).await.verified, 0);
        let setback = delivery(&storage, &other).await.setback.unwrap();
        assert!(matches!(setback.why, Why::There(Failure::Unreachable(_))), "{setback:?}");
        drop(storage);
        let second = Counterpart::cluster();
        let storage = world.open(backend(&second.url)).await;
        assert_eq!(sync(&storage, 30_000).await.verified, 1);
        holds(&second, &other, &noise(3, 8_000_000));
    });
}

#[test]
fn a_cluster_that_fails_now_and_then_gets_it_all_the_same() {
    let (server, world) = (Counterpart::cluster(), world());
    let proxy = Counterpart::faults(&server.url);
    let pinned = json!({ "first": { "status": "pinned" } });
    let another = json!({ "cid": "bafkqaaa", "name": "", "peer_map": pinned }).to_string();
    let faults = [
        json!({ "name": "status", "status": 429, "retryAfter": 1, "match": "/add", "times": 1 }),
        json!({ "name": "status", "status": 500, "body": "{\"code\":500,\"message\":\"no peer\"}", "match": "/add", "times": 2 }),
        json!({ "name": "reset", "after": 1, "match": "/add", "times": 1 }),
        json!({ "name": "early", "status": 502, "match": "/add", "times": 2 }),
        json!({ "name": "reset", "after": 1, "method": "POST", "match": "/pins", "times": 1 }),
        json!({ "name": "silence", "match": "/pins", "times": 1 }),
        json!({ "name": "wrong-type", "match": "/pins", "times": 2 }),
        // It says yes, and of another root, or of none.
        json!({ "name": "status", "status": 200, "body": "{}", "method": "POST", "match": "/pins", "times": 1 }),
        json!({ "name": "status", "status": 200, "body": another, "method": "GET", "match": "/pins", "times": 1 }),
        json!({ "name": "status", "status": 200, "body": format!("[{another}]"), "match": "/add", "times": 1 }),
        json!({ "name": "wrong-bytes", "match": "/ipfs/", "times": 1 }),
        json!({ "name": "status", "status": 404, "method": "GET", "match": "/pins", "times": 1 }),
    ];
    block_on(async {
        for (at, fault) in faults.into_iter().enumerate() {
            let seed = 10 + at as u64;
            let storage = world.open(backend(&proxy.url)).await;
            let cid = store(&storage, seed, 3_000_000).await;
            proxy.fault(fault.clone());
            let report = sync(&storage, 30_000).await;
            assert_eq!((report.verified, report.waiting, report.failed), (1, 0, 0), "{fault}");
            let anew = fault["name"] == json!("wrong-bytes") || fault["status"] == json!(404);
            assert!(anew || report.sent < 3_100_000, "{fault}: {} bytes", report.sent);
            proxy.fault(json!(null));
            holds(&server, &cid, &noise(seed, 3_000_000));
        }
    });
}

#[test]
fn a_cluster_that_says_yes_and_keeps_nothing_is_never_believed() {
    let (server, world) = (Counterpart::cluster(), world());
    let proxy = Counterpart::faults(&server.url);
    block_on(async {
        let storage = world.open(backend(&proxy.url)).await;
        let cid = store(&storage, 30, 3_000_000).await;
        let yes = json!({ "cid": cid.to_string(), "peer_map": { "a": { "status": "pinned" } } }).to_string();
        let all = json!({ "name": "status", "status": 200, "body": yes });
        let pinned = json!({ "loses": true, "status": { "first": "pinned", "second": "pinned" } });
        for (ways, fault) in [(json!(null), all), (pinned, json!(null)), (json!({ "loses": true }), json!(null))] {
            server.put("/-/ways", ways.clone());
            proxy.fault(fault.clone());
            for _ in 0..6 {
                assert_eq!(sync(&storage, 200).await.verified, 0, "{ways} {fault}");
                assert!(!verified(&storage, &cid).await, "{ways} {fault}");
            }
            assert!(delivery(&storage, &cid).await.setback.is_some(), "{ways} {fault}");
            storage.replicate(&cid, &Default::default()).await.unwrap();
        }
        server.put("/-/ways", json!(null));
        proxy.fault(json!(null));
        assert_eq!(sync(&storage, 30_000).await.verified, 1);
        holds(&server, &cid, &noise(30, 3_000_000));
    });
}

#[test]
fn peers_that_fail_try_again_and_what_none_has_is_sent_anew() {
    let (server, world) = (Counterpart::cluster(), world());
    block_on(async {
        let storage = world.open(backend(&server.url)).await;
        for (seed, status) in
            [(40, json!({ "second": "pin_error" })), (41, json!({ "first": "pin_error", "second": "pin_error" }))]
        {
            let cid = store(&storage, seed, 3_000_000).await;
            server.put("/-/ways", json!({ "status": status }));
            let told = loop {
                assert_eq!(sync(&storage, 10).await.verified, 0);
                match delivery(&storage, &cid).await.setback.map(|setback| setback.why) {
                    Some(Why::There(Failure::Unreachable(told))) => break told,
                    Some(Why::There(Failure::NotFound)) | None => {}
                    Some(other) => panic!("{other:?}"),
                }
            };
            assert!(told.ends_with("has pin_error: context deadline exceeded"), "{told}");
            let recovers = server.requests().iter().filter(|url| url.ends_with("/recover")).count();
            assert!(
                recovers > 0 && (seed > 40 || pins(&server).len() == 1),
                "one has it: the other can get it from there"
            );
            server.put("/-/ways", json!(null));
            let report = sync(&storage, 30_000).await;
            assert_eq!(report.verified, 1);
            assert_eq!(report.sent > 0, seed == 41, "{} bytes", report.sent);
        }
    });
}

#[test]
fn what_a_cluster_forgets_or_loses_is_found_and_made_again() {
    let (server, world) = (Counterpart::cluster(), world());
    block_on(async {
        let storage = world.open(backend(&server.url)).await;
        let cid = store(&storage, 50, 3_000_000).await;
        assert_eq!(sync(&storage, 20_000).await.verified, 1);
        let block = format!("/-/block/{cid}");
        for (at, harm) in [block.as_str(), "/-/pins"].into_iter().enumerate() {
            delete(&server, harm);
            storage.audit(None).await.unwrap();
            let report = sync(&storage, 0).await;
            assert_eq!((report.lost, report.verified), (1, 0), "harm {at}");
            assert!(!verified(&storage, &cid).await, "harm {at}");
            assert_eq!(sync(&storage, 30_000).await.verified, 1, "harm {at}");
            holds(&server, &cid, &noise(50, 3_000_000));
        }
    });
}

#[test]
fn what_a_cluster_says_of_other_roots_is_no_success() {
    let server = Counterpart::cluster();
    let proxy = Counterpart::faults(&server.url);
    let cluster = cluster_with(&proxy.url, bearer(TOKEN));
    block_on(async {
        let sample = Rc::new(conformance::leaf(70, 1_000).await);
        let put = async |state| cluster.put(&mut Feed::new(sample.clone(), sample.root.clone()), state).await;
        let sent = put(None).await.unwrap().state;
        for body in ["", "{}", "[]", "\"yes\"", r#"{"cid":"bafkqaaa"}"#, r#"[{"cid":"bafkqaaa"}]"#] {
            proxy.fault(json!({ "name": "status", "status": 200, "body": body, "method": "POST" }));
            for state in [None, Some(&sent)] {
                let told = put(state).await;
                assert!(matches!(told, Err(Trouble::There(Failure::Broken(_)))), "{body}: {told:?}");
            }
        }
        proxy.fault(json!(null));
        let asked = put(Some(&sent)).await.unwrap().state;
        let peers = json!({ "a": { "status": "pinned" } });
        for body in [json!({ "peer_map": peers }), json!({ "cid": "bafkqaaa", "peer_map": peers })] {
            proxy.fault(json!({ "name": "status", "status": 200, "body": body.to_string(), "method": "GET" }));
            let told = put(Some(&asked)).await;
            assert!(matches!(told, Err(Trouble::There(Failure::Broken(_)))), "{body}: {told:?}");
        }
    });
}

#[test]
fn pins_of_others_stay_as_they_are() {
    let (server, world) = (Counterpart::cluster(), world());
    block_on(async {
        let storage = world.open(backend(&server.url)).await;
        let cid = store(&storage, 60, 10_000).await;
        let pin = |name: &str| {
            let url = format!("{}/pins/{cid}?name={name}", server.url);
            ureq::post(url).header("authorization", format!("Bearer {TOKEN}")).send_empty().unwrap();
        };
        for (name, left) in [("another's", 1), ("ipfs-kit-storage", 0)] {
            pin(name);
            backend(&server.url).remove(&cid, &Default::default()).await.unwrap();
            assert_eq!(pins(&server).len(), left, "{name}");
        }
        // With another's pin it is kept just as well.
        pin("another's");
        assert_eq!(sync(&storage, 20_000).await.verified, 1);
        storage.release(&cid, None).await.unwrap();
        assert_eq!(sync(&storage, 0).await.removed, 1);
        assert_eq!(pins(&server)[0]["name"], json!("another's"));
    });
}

#[test]
fn whoever_is_unknown_there_is_refused_and_no_secret_is_told() {
    let (server, world) = (Counterpart::cluster(), world());
    let encoded = multibase::Base::Base64.encode("tester:a-wrong-password");
    let told = |what: &str| {
        for secret in [TOKEN, PASSWORD, "a-wrong-token", "a-wrong-password", &encoded] {
            assert!(!what.contains(secret), "{what}");
        }
    };
    block_on(async {
        for (scheme, credentials) in [("Bearer", bearer("a-wrong-token")), ("Basic", basic("a-wrong-password"))] {
            told(&format!("{credentials:?}"));
            let storage = world.open(Rc::new(cluster_with(&server.url, credentials))).await;
            let cid = store(&storage, 61, 10_000).await;
            storage.replicate(&cid, &Default::default()).await.unwrap();
            assert_eq!(sync(&storage, 0).await.failed, 1);
            let setback = delivery(&storage, &cid).await.setback.unwrap();
            let refused = format!("status 401: Unauthorized: {scheme} …");
            assert!(
                matches!(&setback.why, Why::There(Failure::Refused(said)) if said.starts_with(&refused)),
                "{setback:?}"
            );
            assert_eq!(setback.next, None);
            told(&format!("{setback:?}"));
        }
        let storage = world.open(Rc::new(cluster_with(&server.url, basic(PASSWORD)))).await;
        let cid = store(&storage, 61, 10_000).await;
        storage.replicate(&cid, &Default::default()).await.unwrap();
        assert_eq!(sync(&storage, 20_000).await.verified, 1);
        told(&format!("{:?}", storage.replication(&cid).await));
    });
    for file in fs::read_dir(world.folder.path()).unwrap() {
        told(&String::from_utf8_lossy(&fs::read(file.unwrap().path()).unwrap()));
    }
    let at = |url: &str, credentials| {
        let api = Endpoint { url: url.into(), credentials };
        Cluster::new(Client::http(), "there", api, "https://cluster.example").map(drop)
    };
    assert!(at("http://cluster.example", None).is_ok() && at("http://10.0.0.7:9094", Some(basic(PASSWORD))).is_ok());
    for credentials in [bearer(TOKEN), basic(PASSWORD)] {
        assert!(at("https://cluster.example", Some(credentials.clone())).is_ok());
        let error = at("http://cluster.example", Some(credentials)).unwrap_err();
        assert!(matches!(error, Error::InvalidArgument(_)));
        told(&error.to_string());
    }
}
