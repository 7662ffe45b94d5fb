//! A bucket as a backend, over a real server of S3.

use std::{
    fs,
    rc::Rc,
    sync::atomic::{AtomicU32, Ordering},
};

use async_trait::async_trait;
use futures_executor::block_on;
use futures_util::FutureExt;
use ipfs_kit_storage::{
    Cid,
    backend::{
        Action, Backend, Backends, Feed, Layout, Limits, Next, Retries, S3, S3Keys, Signer, Trouble, conformance,
    },
    car::{CarDecoder, Item},
    platform::{
        http::{Http, Method, Request, Response},
        native::SystemClock,
    },
    remote::Failure,
    storage::{Delivery, DeliveryState, Why},
    tier::conformance::noise,
};
use serde_json::json;

use crate::{
    backends::{delivery, fixture, store, sync, sync_in_part, verified, world},
    counterpart::Counterpart,
    support::native::{Client, Loopback},
};

const SECRET: &str = "known to tests";

/// What signs for a server, and sends what it signed elsewhere.
struct Through {
    keys: S3Keys,
    server: String,
    proxy: String,
}

#[async_trait(?Send)]
impl Signer for Through {
    async fn sign(&self, action: Action<'_>) -> Result<String, Failure> {
        Ok(self.keys.sign(action).await?.replacen(&self.server, &self.proxy, 1))
    }
}

fn keys(server: &str, secret: &str) -> S3Keys {
    let given = ("counterpart", secret, None);
    S3Keys::new(Rc::new(SystemClock), server, "us-east-1", "copies", given).unwrap()
}

/// It reaches nobody, and tells where.
struct Telltale;

#[async_trait(?Send)]
impl Http for Telltale {
    async fn send(&self, request: Request) -> Result<Response, Failure> {
        Err(Failure::Unreachable(format!("no way to {}", request.url)))
    }
}

/// Keys of its own for each test.
struct Place {
    server: String,
    prefix: String,
}

fn place(server: &Counterpart) -> Place {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    Place { server: server.url.clone(), prefix: format!("test {}/+ä&=~/", NEXT.fetch_add(1, Ordering::Relaxed)) }
}

impl Place {
    fn through(&self, proxy: &str) -> S3 {
        let (server, proxy) = (self.server.clone(), proxy.to_owned());
        let signer = Rc::new(Through { keys: keys(&self.server, SECRET), server, proxy });
        S3::new(Client::http(), signer, Rc::new(SystemClock), "there", &self.prefix).unwrap()
    }

    fn backend(&self) -> Rc<dyn Backend> {
        Rc::new(self.through(&self.server))
    }

    /// A request of a test's own.
    fn ask(&self, method: Method, key: &str, body: &[u8]) -> (u16, Vec<u8>) {
        let key = format!("{}{key}", self.prefix);
        let keys = keys(&self.server, SECRET);
        let url = keys.sign(Action { method, key: &key, query: &[] }).now_or_never().unwrap().unwrap();
        let agent: ureq::Agent = ureq::Agent::config_builder().http_status_as_error(false).build().into();
        let answer = match method {
            Method::Get => agent.get(url).call(),
            Method::Delete => agent.delete(url).call(),
            _ => agent.put(url).send(body),
        };
        let mut answer = answer.unwrap();
        let bytes = answer.body_mut().with_config().limit(u64::MAX).read_to_vec().unwrap();
        (answer.status().as_u16(), bytes)
    }

    fn has(&self, key: &str) -> bool {
        self.ask(Method::Get, key, &[]).0 == 200
    }

    /// Whether an archive holds these bytes, in leaves of a file.
    fn holds(&self, cid: &Cid, data: &[u8]) {
        let (status, archive) = self.ask(Method::Get, &format!("{cid}.car"), &[]);
        assert_eq!(status, 200);
        let (mut decoder, mut leaves) = (CarDecoder::new(), Vec::new());
        decoder.push(&archive);
        assert_eq!(decoder.next_item(), Ok(Some(Item::Header(vec![cid.clone()]))));
        while let Some(item) = decoder.next_item().unwrap() {
            match item {
                Item::Block(cid, bytes) if cid.codec() == 0x55 => leaves.extend_from_slice(&bytes),
                _ => {}
            }
        }
        decoder.finish().unwrap();
        assert!(leaves == data, "{} bytes of {}", leaves.len(), data.len());
    }
}

#[test]
fn a_bucket() {
    let place = place(Counterpart::s3());
    block_on(conformance::all(&fixture(place.backend(), true)));
}

#[test]
fn a_bucket_with_many_archives_of_one_root() {
    let place = place(Counterpart::s3());
    let bucket = place.through(&place.server).cut(8 << 20, 13);
    block_on(conformance::all(&fixture(Rc::new(bucket), true)));
}

#[test]
fn a_bucket_with_archives_in_parts() {
    let place = place(Counterpart::s3());
    // Blocks lie across the border of two parts, and of the archives one has three.
    let bucket = place.through(&place.server).cut((5 << 20) + 1, 50);
    let fixture = fixture(Rc::new(bucket), true);
    block_on(async {
        let sample = Rc::new(conformance::tree(7, 60, 300_000).await);
        conformance::resumed(&fixture, &sample).await;
        conformance::repeated(&fixture, &sample).await;
        let state = conformance::whole(&fixture, &sample).await;
        fixture.backend.remove(&sample.root, &state).await.unwrap();
        for key in ["car", "car.idx", "2.car", "2.car.idx"] {
            assert_eq!(place.ask(Method::Get, &format!("{}.{key}", sample.root), &[]).0, 404);
        }
    });
}

#[test]
fn a_bucket_of_blocks() {
    let place = place(Counterpart::s3());
    let bucket = |bucket: S3| fixture(Rc::new(bucket.laid_out(Layout::Blocks)), true);
    block_on(async {
        conformance::all(&bucket(place.through(&place.server))).await;
        // In steps and lists of few blocks, beside what was left there.
        let fixture = bucket(place.through(&place.server).cut(60_000, 7));
        let sample = Rc::new(conformance::tree(7, 20, 10_000).await);
        conformance::resumed(&fixture, &sample).await;
        conformance::repeated(&fixture, &sample).await;
        let state = conformance::whole(&fixture, &sample).await;
        assert!(state.len() < 40, "{} bytes", state.len());
        fixture.backend.remove(&sample.root, &state).await.unwrap();
        let left = sample.order.iter().filter(|cid| place.has(&cid.to_string()));
        assert_eq!(left.count(), 1, "one block is in all trees, and others are there still");
        for number in ["", ".2", ".3", ".4"] {
            assert!(!place.has(&format!("roots/{}{number}.blocks", sample.root)));
        }
    });
}

#[test]
fn what_roots_share_stays_as_long_as_one_needs_it() {
    let place = place(Counterpart::s3());
    let proxy = Counterpart::faults(&place.server);
    let bucket = |server: &str| Rc::new(place.through(server).laid_out(Layout::Blocks).cut(1, 100));
    block_on(async {
        let (first, second) =
            (Rc::new(conformance::tree(8, 3, 1_000).await), Rc::new(conformance::tree(9, 3, 1_000).await));
        let shared = first.order.iter().find(|cid| second.order.contains(cid)).unwrap().to_string();
        let fixture = fixture(bucket(&place.server), true);
        let state = conformance::whole(&fixture, &first).await;
        // Another one has sent a single block of the second root so far, and not the one that is in both.
        let other = bucket(&place.server);
        other.put(&mut Feed::new(second.clone(), second.root.clone()), None).await.unwrap();
        fixture.backend.remove(&first.root, &state).await.unwrap();
        assert!(place.has(&shared) && !place.has(&first.root.to_string()));
        // Where it cannot be told what others need, nothing goes.
        let state = conformance::whole(&fixture, &second).await;
        place.ask(Method::Put, "roots/a.blocks", b"no list");
        let told = fixture.backend.remove(&second.root, &state).await;
        assert!(matches!(told, Err(Failure::Lied(_))), "{told:?}");
        place.ask(Method::Delete, "roots/a.blocks", &[]);
        for body in ["", "<ListBucketResult><IsTruncated>true</IsTruncated></ListBucketResult>"] {
            proxy.fault(json!({ "name": "status", "status": 200, "body": body, "match": "list-type" }));
            let told = bucket(&proxy.url).remove(&second.root, &state).await;
            assert!(matches!(told, Err(Failure::Broken(_))), "{told:?}");
        }
        assert!(second.order.iter().all(|cid| place.has(&cid.to_string())));
        // A copy whose lists are gone is none: others would take it for nobody's.
        let (root, list) = (std::slice::from_ref(&second.root), format!("roots/{}.blocks", second.root));
        let (_, whole) = place.ask(Method::Get, &list, &[]);
        assert_eq!(whole.split(|byte| *byte == b'\n').count(), second.order.len() + 1);
        place.ask(Method::Delete, &list, &[]);
        assert_eq!(fixture.backend.blocks(&second.root, &state, root).await, Err(Failure::NotFound));
        place.ask(Method::Put, &list, shared.as_bytes());
        let told = fixture.backend.blocks(&second.root, &state, root).await;
        assert!(matches!(told, Err(Failure::Lied(_))), "{told:?}");
        place.ask(Method::Put, &list, &whole);
        assert!(fixture.backend.blocks(&second.root, &state, root).await.is_ok());
        fixture.backend.remove(&second.root, &state).await.unwrap();
        assert!(!second.order.iter().any(|cid| place.has(&cid.to_string())));
    });
}

#[test]
fn copies_are_read_and_removed_by_the_layout_that_they_were_made_with() {
    let place = place(Counterpart::s3());
    block_on(async {
        let sample = Rc::new(conformance::tree(10, 3, 1_000).await);
        let layouts = [Layout::Archives, Layout::Blocks];
        let [archives, blocks] =
            layouts.map(|layout| fixture(Rc::new(place.through(&place.server).laid_out(layout)), true));
        let keys = [format!("{}.car", sample.root), sample.root.to_string()];
        for (made, other, key) in [(&archives, &blocks, &keys[0]), (&blocks, &archives, &keys[1])] {
            let state = conformance::whole(made, &sample).await;
            assert!(place.has(key));
            let read = other.backend.blocks(&sample.root, &state, &sample.order).await.unwrap();
            assert_eq!(read.len(), sample.order.len());
            other.backend.remove(&sample.root, &state).await.unwrap();
            assert!(!place.has(key));
        }
    });
}

#[test]
fn blocks_get_there_whatever_fails_and_what_is_damaged_is_made_again() {
    let (place, world) = (place(Counterpart::s3()), world());
    let proxy = Counterpart::faults(&place.server);
    let backend = || Rc::new(place.through(&proxy.url).laid_out(Layout::Blocks).cut(2 << 20, 5));
    block_on(async {
        let storage = world.open(backend()).await;
        let cid = store(&storage, 70, 12_000_000).await;
        assert_eq!(sync_in_part(&storage).await, None, "it was to be cut off");
        drop(storage);
        let storage = world.open(backend()).await;
        let begun = delivery(&storage, &cid).await.sent;
        assert!((2_000_000..8_000_000).contains(&begun), "{begun}");
        let report = sync(&storage, 0).await;
        assert_eq!((report.verified, report.waiting), (1, 0));
        assert!(report.sent + begun < 12_100_000, "{} and {begun}", report.sent);
        assert!(storage.replicas(&cid).await.unwrap()[0].all);
        let (_, list) = place.ask(Method::Get, &format!("roots/{cid}.2.blocks"), &[]);
        let leaf = String::from_utf8(list).unwrap().lines().next().unwrap().to_owned();
        let harms: [&dyn Fn(); 3] = [
            &|| drop(place.ask(Method::Put, &leaf, b"other bytes")),
            &|| drop(place.ask(Method::Delete, &leaf, &[])),
            &|| drop(place.ask(Method::Delete, &format!("roots/{cid}.3.blocks"), &[])),
        ];
        let faults = [
            json!({ "name": "reset", "after": 0, "method": "PUT", "times": 2 }),
            json!({ "name": "status", "status": 503, "retryAfter": 1, "method": "PUT", "times": 1 }),
            json!({ "name": "reset", "after": 1, "method": "PUT", "match": "roots/", "times": 1 }),
        ];
        for (harm, fault) in harms.into_iter().zip(faults) {
            harm();
            storage.audit(None).await.unwrap();
            let report = sync(&storage, 0).await;
            assert_eq!((report.lost, report.verified), (1, 0), "{fault}");
            assert!(!verified(&storage, &cid).await, "{fault}");
            proxy.fault(fault.clone());
            assert_eq!(sync(&storage, 20_000).await.verified, 1, "{fault}");
            proxy.fault(json!(null));
        }
        storage.release(&cid, None).await.unwrap();
        proxy.fault(json!({ "name": "reset", "after": 0, "method": "DELETE", "times": 1 }));
        assert_eq!(sync(&storage, 20_000).await.removed, 1);
        assert!(!place.has(&cid.to_string()) && !place.has(&leaf));
    });
}

#[test]
fn who_was_killed_in_mid_upload_goes_on() {
    let (place, world) = (place(Counterpart::s3()), world());
    block_on(async {
        let storage = world.open(place.backend()).await;
        let cid = store(&storage, 1, 40_000_000).await;
        assert_eq!(sync_in_part(&storage).await, None, "it was to be cut off");
        drop(storage);
        let storage = world.open(place.backend()).await;
        let begun = delivery(&storage, &cid).await;
        assert_eq!(begun.state, DeliveryState::Sending);
        assert!(begun.sent >= 8 << 20 && begun.sent < 32 << 20, "{}", begun.sent);
        assert!(begun.details.iter().any(|(name, value)| *name == "parts" && value != "0"), "{:?}", begun.details);
        assert_eq!(place.ask(Method::Get, &format!("{cid}.car"), &[]).0, 404, "it is not there by halves");
        let report = sync(&storage, 0).await;
        assert_eq!((report.verified, report.waiting), (1, 0));
        assert!(report.sent + begun.sent < 40_100_000, "{} and {}", report.sent, begun.sent);
        place.holds(&cid, &noise(1, 40_000_000));
        storage.release(&cid, None).await.unwrap();
        assert_eq!(sync(&storage, 0).await.removed, 1);
        for key in [format!("{cid}.car"), format!("{cid}.car.idx")] {
            assert_eq!(place.ask(Method::Get, &key, &[]).0, 404);
        }
    });
}

#[test]
fn a_server_that_is_killed_in_mid_upload_and_comes_back_empty_gets_all_of_it() {
    let (first, world) = (Counterpart::own_s3(), world());
    block_on(async {
        let storage = world.open(place(&first).backend()).await;
        let cid = store(&storage, 2, 30_000_000).await;
        assert_eq!(sync_in_part(&storage).await, None, "it was to be cut off");
        drop(first);
        let report = sync(&storage, 0).await;
        assert_eq!((report.verified, report.waiting), (0, 1));
        let setback = delivery(&storage, &cid).await.setback.unwrap();
        assert!(matches!(setback.why, Why::There(Failure::Unreachable(_))), "{setback:?}");
        assert!(delivery(&storage, &cid).await.sent >= 8 << 20, "what was sent is not given up for that");
        drop(storage);
        let place = place(Counterpart::s3());
        let storage = world.open(place.backend()).await;
        let report = sync(&storage, 20_000).await;
        assert_eq!((report.verified, report.waiting), (1, 0));
        assert!(report.sent > 30_000_000, "{}", report.sent);
        place.holds(&cid, &noise(2, 30_000_000));
    });
}

#[test]
fn a_bucket_that_fails_now_and_then_gets_it_all_the_same() {
    let (place, world) = (place(Counterpart::s3()), world());
    let proxy = Counterpart::faults(&place.server);
    // A request that makes an archive of parts, and those that send them.
    let (complete, part) = ("SignedHeaders=host&uploadId", "partNumber");
    let faults = [
        json!({ "name": "status", "status": 503, "retryAfter": 1, "times": 1 }),
        json!({ "name": "status", "status": 500, "match": part, "times": 2 }),
        json!({ "name": "reset", "after": 0, "match": part, "times": 2 }),
        json!({ "name": "early", "status": 502, "match": part, "times": 2 }),
        // It was done, and nobody heard of that.
        json!({ "name": "reset", "after": 1, "match": complete, "times": 1 }),
        json!({ "name": "silence", "match": complete, "times": 1 }),
        json!({ "name": "reset", "after": 1, "match": ".idx", "times": 2 }),
        // The upload is gone, whatever had arrived.
        json!({ "name": "status", "status": 404, "body": "<Error><Code>NoSuchUpload</Code></Error>", "match": part, "times": 1 }),
        json!({ "name": "status", "status": 200, "body": "<Error><Code>InternalError</Code></Error>", "match": complete, "times": 1 }),
    ];
    block_on(async {
        for (seed, fault) in faults.into_iter().enumerate() {
            let storage = world.open(Rc::new(place.through(&proxy.url))).await;
            let data = noise(10 + seed as u64, 10_000_000);
            let cid = store(&storage, 10 + seed as u64, data.len()).await;
            proxy.fault(fault.clone());
            let report = sync(&storage, 30_000).await;
            assert_eq!((report.verified, report.waiting, report.failed), (1, 0, 0), "{fault}");
            // All of it is sent again only where it is lost.
            let anew = fault["body"].as_str().is_some_and(|body| body.contains("NoSuchUpload"));
            assert!(anew || report.sent < 10_100_000, "{fault}: {} bytes", report.sent);
            proxy.fault(json!(null));
            place.holds(&cid, &data);
        }
    });
}

#[test]
fn an_upload_that_was_completed_unheard_is_known_by_what_is_there() {
    let place = place(Counterpart::s3());
    let proxy = Counterpart::faults(&place.server);
    let bucket = place.through(&proxy.url);
    block_on(async {
        let sample = Rc::new(conformance::tree(8, 40, 300_000).await);
        let feed = || Feed::new(sample.clone(), sample.root.clone());
        let mut state = None;
        loop {
            let step = bucket.put(&mut feed(), state.as_ref()).await.unwrap();
            if step.next == Next::Stored {
                break;
            }
            state = Some(step.state);
        }
        let gone = "<Error><Code>NoSuchUpload</Code></Error>";
        proxy.fault(json!({ "name": "status", "status": 404, "body": gone, "match": "SignedHeaders=host&uploadId" }));
        assert_eq!(bucket.put(&mut feed(), state.as_ref()).await.map(|step| step.next), Ok(Next::Stored));
        place.ask(Method::Delete, &format!("{}.car", sample.root), &[]);
        let lost = bucket.put(&mut feed(), state.as_ref()).await;
        assert_eq!(lost.map(|step| step.next), Err(Trouble::There(Failure::NotFound)));
    });
}

#[test]
fn a_bucket_that_says_yes_and_keeps_nothing_is_never_believed() {
    let (place, world) = (place(Counterpart::s3()), world());
    let proxy = Counterpart::faults(&place.server);
    block_on(async {
        let storage = world.open(Rc::new(place.through(&proxy.url))).await;
        let cid = store(&storage, 30, 3_000_000).await;
        // To all, and then to what is asked of indexes, and of archives. Who gives no parts of these is given up at once.
        for (told, tries) in [("", 2), (".idx", 4), (".car?", u32::MAX)] {
            proxy.fault(json!({ "name": "status", "status": 200, "body": "", "match": told }));
            loop {
                let Delivery { state, setback, .. } = delivery(&storage, &cid).await;
                if state == DeliveryState::Failed || setback.is_some_and(|setback| setback.failures >= tries) {
                    break;
                }
                assert_eq!(sync(&storage, 500).await.verified, 0, "yes to {told}");
                assert!(!verified(&storage, &cid).await, "yes to {told}");
            }
        }
        assert_eq!(delivery(&storage, &cid).await.state, DeliveryState::Failed);
        storage.replicate(&cid, &Default::default()).await.unwrap();
        proxy.fault(json!(null));
        let report = sync(&storage, 20_000).await;
        assert_eq!((report.verified, report.waiting), (1, 0));
        place.holds(&cid, &noise(30, 3_000_000));
    });
}

#[test]
fn what_a_bucket_loses_or_damages_is_found_and_made_again() {
    let (place, world) = (place(Counterpart::s3()), world());
    block_on(async {
        let mut storage = world.open(place.backend()).await;
        let cid = store(&storage, 40, 3_000_000).await;
        assert_eq!(sync(&storage, 0).await.verified, 1);
        let (archive, index) = (format!("{cid}.car"), format!("{cid}.car.idx"));
        let (_, mut damaged) = place.ask(Method::Get, &archive, &[]);
        let middle = damaged.len() / 2;
        damaged[middle] ^= 1;
        let harms: [&dyn Fn() -> (u16, Vec<u8>); 6] = [
            &|| place.ask(Method::Delete, &archive, &[]),
            &|| place.ask(Method::Delete, &index, &[]),
            &|| place.ask(Method::Put, &archive, &damaged),
            &|| place.ask(Method::Put, &archive, &damaged[..middle]),
            &|| place.ask(Method::Put, &index, b"no index"),
            &|| place.ask(Method::Put, &archive, &vec![0xff; damaged.len()]),
        ];
        for (at, harm) in harms.iter().enumerate() {
            assert!(harm().0 < 300);
            // What it remembers of before says nothing of now.
            drop(storage);
            storage = world.open(place.backend()).await;
            storage.audit(None).await.unwrap();
            let report = sync(&storage, 0).await;
            assert_eq!((report.lost, report.verified), (1, 0), "harm {at}");
            assert!(!verified(&storage, &cid).await);
            assert_eq!(sync(&storage, 20_000).await.verified, 1, "harm {at}");
            place.holds(&cid, &noise(40, 3_000_000));
        }
    });
}

#[test]
fn secrets_are_in_nothing_that_is_shown_or_kept() {
    let (place, world) = (place(Counterpart::s3()), world());
    let told = |what: &str| {
        for secret in [SECRET, "X-Amz-Signature", "X-Amz-Credential", "not the secret"] {
            assert!(!what.contains(secret), "{what}");
        }
    };
    told(&format!("{:?}", keys(&place.server, SECRET)));
    let backend = |server: &str, secret: &str| -> Rc<dyn Backend> {
        let signer = Rc::new(keys(server, secret));
        Rc::new(S3::new(Client::http(), signer, Rc::new(SystemClock), "there", &place.prefix).unwrap())
    };
    block_on(async {
        let signer = Rc::new(keys(&place.server, SECRET));
        let telltale = S3::new(Rc::new(Telltale), signer, Rc::new(SystemClock), "there", &place.prefix).unwrap();
        let failure = telltale.probe().await.unwrap_err();
        assert!(failure.to_string().contains(&place.server), "{failure}");
        told(&failure.to_string());
        let nobody = "http://127.0.0.1:9";
        for (server, secret) in [(nobody, SECRET), (&place.server, "not the secret"), ("http://no such/host", SECRET)] {
            if server.contains(' ') {
                let given = ("counterpart", secret, None);
                told(&S3Keys::new(Rc::new(SystemClock), server, "r", "b", given).unwrap_err().to_string());
                continue;
            }
            let failure = backend(server, secret).probe().await.unwrap_err();
            told(&format!("{failure} {failure:?}"));
            let storage = world.open(backend(server, secret)).await;
            let cid = store(&storage, 50, 10_000).await;
            storage.replicate(&cid, &Default::default()).await.unwrap();
            sync(&storage, 0).await;
            let delivery = delivery(&storage, &cid).await;
            assert!(delivery.setback.is_some());
            told(&format!("{delivery:?}"));
        }
        let storage = world.open(place.backend()).await;
        let cid = store(&storage, 51, 10_000_000).await;
        sync_in_part(&storage).await;
        told(&format!("{:?} {:?}", storage.replication(&cid).await, storage.replicas(&cid).await));
        let (clock, network) = (Rc::new(SystemClock), Rc::new(Loopback));
        let all = vec![(place.backend(), Limits::default())];
        told(&format!("{:?}", Backends::new(all, Retries::default(), clock, network).unwrap()));
    });
    for file in fs::read_dir(world.folder.path()).unwrap() {
        let bytes = fs::read(file.unwrap().path()).unwrap();
        told(&String::from_utf8_lossy(&bytes));
    }
}

#[test]
fn whoever_has_the_wrong_keys_is_refused_and_says_so() {
    let (place, world) = (place(Counterpart::s3()), world());
    let signer = Rc::new(keys(&place.server, "not the secret"));
    let backend = S3::new(Client::http(), signer, Rc::new(SystemClock), "there", &place.prefix).unwrap();
    block_on(async {
        let storage = world.open(Rc::new(backend)).await;
        let cid = store(&storage, 60, 10_000).await;
        assert_eq!(sync(&storage, 0).await.failed, 1);
        let setback = delivery(&storage, &cid).await.setback.unwrap();
        let refused = Failure::Refused("status 403 SignatureDoesNotMatch".into());
        assert_eq!((setback.why, setback.next), (Why::There(refused), None));
        drop(storage);
        let storage = world.open(place.backend()).await;
        storage.replicate(&cid, &Default::default()).await.unwrap();
        assert_eq!(sync(&storage, 0).await.verified, 1);
    });
}

#[test]
fn prefixes_that_lead_elsewhere_are_refused() {
    for prefix in ["/a", "a//b", "../a", "a/./b", "a\n", &"a".repeat(600)] {
        let signer = Rc::new(keys("http://127.0.0.1:9", SECRET));
        assert!(S3::new(Client::http(), signer, Rc::new(SystemClock), "there", prefix).is_err(), "{prefix:?}");
    }
}
