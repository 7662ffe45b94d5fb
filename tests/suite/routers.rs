//! Gateways that routers name: when they are asked, and how long they are remembered.

use std::{
    cell::{Cell, RefCell},
    collections::HashMap,
    rc::Rc,
};

use async_trait::async_trait;
use bytes::Bytes;
use futures_executor::block_on;
use ipfs_kit_storage::{
    Cid, Error, OpenOptions, Storage,
    hash::CpuHasher,
    platform::http::{Body, Http, Request, Response},
    remote::{Connector, Failure, Gateway, Patience, Remote, Remotes, Routing, State},
    tier::{MemoryTier, conformance::noise},
};

use crate::support::{Fault, Origin, Time, Wire, small};

/// A router that names whom it was told to.
struct Router {
    names: RefCell<Result<Vec<String>, Failure>>,
    silent: Cell<bool>,
    asked: Cell<usize>,
}

#[async_trait(?Send)]
impl Remote for Router {
    fn name(&self) -> &str {
        "routing+https://router.test"
    }

    fn kind(&self) -> &str {
        "routing"
    }

    async fn probe(&self) -> Result<(), Failure> {
        Ok(())
    }

    async fn block(&self, _cid: &Cid) -> Result<Box<dyn Body>, Failure> {
        panic!("a router was asked for a block")
    }

    async fn providers(&self, _cid: &Cid) -> Result<Vec<String>, Failure> {
        self.asked.set(self.asked.get() + 1);
        if self.silent.get() {
            std::future::pending::<()>().await;
        }
        self.names.borrow().clone()
    }
}

/// Gateways by address; those not made yet hold nothing.
#[derive(Default)]
struct Gateways {
    time: Time,
    origins: RefCell<HashMap<String, Rc<Origin>>>,
}

impl Gateways {
    fn at(&self, address: &str) -> Rc<Origin> {
        let mut origins = self.origins.borrow_mut();
        origins.entry(address.to_owned()).or_insert_with(|| Origin::new(&self.time)).clone()
    }
}

impl Connector for Gateways {
    fn connect(&self, address: &str) -> ipfs_kit_storage::Result<Rc<dyn Remote>> {
        Ok(Rc::new(Gateway::new(Rc::new(Wire(self.at(address))), address)?))
    }
}

struct World {
    router: Rc<Router>,
    gateways: Rc<Gateways>,
    remotes: Rc<Remotes>,
    storage: Storage,
}

/// A store that knows a router, and these gateways.
fn world(configured: &[&str]) -> World {
    let time = Time { now: Rc::new(Cell::new(1_000_000)), online: Rc::new(Cell::new(true)) };
    let gateways = Rc::new(Gateways { time: time.clone(), ..Gateways::default() });
    let router =
        Rc::new(Router { names: RefCell::new(Ok(Vec::new())), silent: Cell::default(), asked: Cell::default() });
    let mut all: Vec<Rc<dyn Remote>> = vec![router.clone()];
    all.extend(configured.iter().map(|address| gateways.connect(address).unwrap()));
    let clock = Rc::new(time);
    let remotes = Remotes::new(all, gateways.clone(), clock.clone(), clock.clone(), Patience::default()).unwrap();
    let remotes = Rc::new(remotes);
    let options = OpenOptions { remotes: Some(remotes.clone()), ..OpenOptions::default() };
    let storage = Storage::new(Rc::new(MemoryTier::new()), Rc::new(CpuHasher), clock, options).unwrap();
    World { router, gateways, remotes, storage }
}

impl World {
    fn names(&self, addresses: impl IntoIterator<Item = impl Into<String>>) {
        *self.router.names.borrow_mut() = Ok(addresses.into_iter().map(Into::into).collect());
    }

    async fn at(&self, address: &str, seed: u64) -> Cid {
        self.gateways.at(address).store(noise(seed, 100_000), small()).await
    }

    fn requests(&self, address: &str) -> usize {
        self.gateways.at(address).requests.borrow().len()
    }

    async fn has(&self, cid: &Cid, seed: u64) {
        let got = self.storage.retrieve(cid).await;
        assert!(got.as_ref().is_ok_and(|got| *got == noise(seed, 100_000)), "{:?}", got.err());
    }

    fn state(&self, address: &str) -> Option<State> {
        self.remotes.reports().into_iter().find(|(name, ..)| name == address).map(|(_, _, state, _)| state)
    }
}

const CONFIGURED: &str = "http://configured.test";
const FOUND: &str = "https://found.test";
const OTHER: &str = "https://other.test";

#[test]
fn who_is_found_is_asked_when_the_others_have_it_not() {
    block_on(async {
        let world = world(&[CONFIGURED]);
        let here = world.at(CONFIGURED, 1).await;
        world.has(&here, 1).await;
        assert_eq!(world.router.asked.get(), 0, "the gateway that is known has it");
        let there = world.at(FOUND, 2).await;
        world.names([CONFIGURED, "no address", FOUND]);
        world.has(&there, 2).await;
        assert_eq!((world.router.asked.get(), world.requests(FOUND)), (1, 1));
        // It is remembered, and the router is not needed any more.
        let more = world.at(FOUND, 3).await;
        world.has(&more, 3).await;
        assert_eq!((world.router.asked.get(), world.requests(FOUND)), (1, 2));
        assert_eq!((world.state(FOUND), world.remotes.reports().len()), (Some(State::Works), 3));
        // Once that the configured gateway has it not, twice that it has it not again: nobody is asked twice at once.
        assert!(world.requests(CONFIGURED) <= 3);
    });
}

#[test]
fn a_router_alone_is_enough() {
    block_on(async {
        let world = world(&[]);
        let cid = world.at(FOUND, 4).await;
        world.names([OTHER, FOUND]);
        assert!(!world.remotes.is_empty());
        world.has(&cid, 4).await;
        assert!(world.storage.is_available());
    });
}

#[test]
fn who_is_found_and_lies_is_not_asked_again() {
    block_on(async {
        let world = world(&[]);
        let cid = world.at(FOUND, 5).await;
        world.at(OTHER, 5).await;
        world.gateways.at(FOUND).fails(Fault::WrongBytes, usize::MAX);
        world.names([FOUND, OTHER]);
        world.has(&cid, 5).await;
        assert_eq!(world.state(FOUND), Some(State::Struck));
        let before = world.requests(FOUND);
        // Not even when so many others were found since that it had to make room.
        for round in 0..3u64 {
            world.names((0..20).map(|n| format!("https://g{n}-{round}.test")));
            assert!(world.storage.retrieve(&world.at("https://nobody-names.test", 6 + round).await).await.is_err());
        }
        let more = world.at(FOUND, 10).await;
        world.names([FOUND]);
        assert!(world.storage.retrieve(&more).await.is_err());
        assert_eq!(world.requests(FOUND), before);
    });
}

#[test]
fn sixteen_are_remembered_and_the_useful_ones_stay() {
    block_on(async {
        let world = world(&[CONFIGURED]);
        let cid = world.at(FOUND, 20).await;
        let crowd = |prefix: &str| -> Vec<String> { (0..15).map(|n| format!("https://{prefix}{n}.test")).collect() };
        world.names([vec![FOUND.to_owned()], crowd("a"), crowd("b")].concat());
        world.has(&cid, 20).await;
        assert_eq!(world.remotes.reports().len(), 2 + 8);
        for round in 0..5u64 {
            world.names(crowd(&format!("c{round}-")));
            let nowhere = world.at("https://nobody-names.test", 100 + round).await;
            assert!(world.storage.retrieve(&nowhere).await.is_err());
            assert!(world.remotes.reports().len() <= 2 + 16);
        }
        // The one that has it is the first of many, again.
        let other = world.at(OTHER, 21).await;
        world.names([vec![OTHER.to_owned()], crowd("d")].concat());
        world.has(&other, 21).await;
        assert_eq!(world.remotes.reports().len(), 2 + 16);
        assert_eq!((world.state(FOUND), world.state(OTHER)), (Some(State::Works), Some(State::Works)));
        let asked = world.router.asked.get();
        let more = world.at(OTHER, 22).await;
        world.has(&more, 22).await;
        assert_eq!(world.router.asked.get(), asked, "it had been forgotten");
    });
}

#[test]
fn a_router_that_fails_is_named() {
    block_on(async {
        let said = async |world: &World, seed| {
            let cid = world.at(OTHER, seed).await;
            match world.storage.retrieve(&cid).await {
                Err(error @ Error::Unavailable { .. }) => error.to_string(),
                other => panic!("{other:?}"),
            }
        };
        let world = world(&[CONFIGURED]);
        for (seed, failure, words) in [
            (30, Failure::Unreachable("status 500".into()), "status 500"),
            (31, Failure::Broken("its JSON: no".into()), "its JSON"),
            (32, Failure::Refused("status 403".into()), "status 403"),
        ] {
            *world.router.names.borrow_mut() = Err(failure);
            let text = said(&world, seed).await;
            assert!(text.contains("routing+https://router.test") && text.contains(words), "{text}");
            assert!(text.contains(CONFIGURED), "{text}");
            world.gateways.time.now.set(world.gateways.time.now.get() + 600_000);
        }
        world.names([""; 0]);
        let text = said(&world, 33).await;
        assert!(text.contains("routing+https://router.test: it does not have it"), "{text}");
        // One that is silent holds nothing up for long, and nothing at all that somebody else has.
        world.router.silent.set(true);
        let before = world.gateways.time.now.get();
        let here = world.at(CONFIGURED, 34).await;
        world.has(&here, 34).await;
        assert!(world.gateways.time.now.get() - before < 1000);
        let text = said(&world, 35).await;
        assert!(text.contains("for too long"), "{text}");
        let elapsed = world.gateways.time.now.get() - before;
        assert!(elapsed < 60_000, "{elapsed} ms");
    });
}

/// Answers every request with this.
struct Always(&'static str, &'static str);

struct Once(Option<Bytes>);

#[async_trait(?Send)]
impl Body for Once {
    async fn next(&mut self) -> Result<Option<Bytes>, Failure> {
        Ok(self.0.take())
    }
}

#[async_trait(?Send)]
impl Http for Always {
    async fn send(&self, _request: Request) -> Result<Response, Failure> {
        let headers = vec![("content-type".to_owned(), self.0.to_owned())];
        Ok(Response { status: 200, headers, body: Box::new(Once(Some(self.1.into()))) })
    }
}

/// The gateways that a router with this URL leads to, when it names these providers.
fn named_by(url: &str, providers: &str) -> Vec<String> {
    let answer: &'static str = Box::leak(format!(r#"{{"Providers":[{providers}]}}"#).into_boxed_str());
    let cid = block_on(Origin::new(&Time::default()).store(b"x".to_vec(), small()));
    let routing = Routing::new(Rc::new(Always("application/json", answer)), url).unwrap();
    block_on(routing.providers(&cid)).unwrap()
}

#[test]
fn who_was_asked_securely_does_not_lead_to_where_others_listen() {
    const ADDRS: &str = r#"{"Schema":"peer","Addrs":["/ip4/1.2.3.4/tcp/80/http","/dns/a.test/tcp/443/https"],
        "Protocols":["transport-ipfs-gateway-http"]},{"Schema":"peer","Addrs":["/ip4/1.2.3.4/tcp/80/http"],
        "Protocols":["transport-ipfs-gateway-http"]}"#;
    let named = |url| named_by(url, ADDRS);
    assert_eq!(named("https://router.test"), ["https://a.test"]);
    assert_eq!(named("http://127.0.0.1:8080"), ["http://1.2.3.4", "http://1.2.3.4"]);
}

#[test]
fn who_is_outside_does_not_lead_inward() {
    const ADDRS: &str = r#"{"Schema":"peer","Addrs":["/ip4/192.168.1.1/tcp/443/https","/ip6/::ffff:10.0.0.1/tcp/443/https",
        "/dns/localhost/tcp/443/https","/dns/nas.local/tcp/443/https","/dns/a.test/tcp/443/https"],
        "Protocols":["transport-ipfs-gateway-http"]},{"Schema":"peer","Addrs":["/ip4/169.254.169.254/tcp/443/https"],
        "Protocols":["transport-ipfs-gateway-http"]}"#;
    let named = |url| named_by(url, ADDRS);
    assert_eq!(named("https://router.test"), ["https://a.test"]);
    assert_eq!(named("http://[::1]:8080"), ["https://192.168.1.1", "https://169.254.169.254"]);
}

#[test]
fn answers_of_routers_that_cannot_be_used() {
    let cid = block_on(Origin::new(&Time::default()).store(b"x".to_vec(), small()));
    let asked = |kind, answer| {
        block_on(Routing::new(Rc::new(Always(kind, answer)), "https://router.test").unwrap().providers(&cid))
    };
    let lines = "application/x-ndjson; charset=utf-8";
    for (kind, answer) in [
        ("application/json", "{}"),
        ("application/json", r#"{"Providers":null}"#),
        ("application/json", r#"{"Providers":[{"Schema":"of-tomorrow"},{"Addrs":["nonsense"],"Protocols":["x"]}]}"#),
        ("application/json", r#"{"Providers":[{"Schema":"peer","Addrs":null,"Protocols":null}]}"#),
        ("application/json", r#"{"Providers":[{"Schema":"of-tomorrow","Addrs":{"a":[1,-2.5,null]}}, 7]}"#),
        (lines, ""),
        (lines, "\n\n"),
        (lines, "{\"Schema\":\"peer\",\"Addrs\":null}\r\n"),
    ] {
        assert_eq!(asked(kind, answer), Ok(Vec::new()), "{answer}");
    }
    for (kind, answer) in
        [("application/json", "<html>"), ("text/html", ""), (lines, "{\"Schema\":\"peer\""), (lines, "no")]
    {
        assert!(matches!(asked(kind, answer), Err(Failure::Broken(_))), "{answer}");
    }
    let long: &'static str = Box::leak("\n".repeat(2_000_000).into_boxed_str());
    assert!(matches!(asked(lines, long), Err(Failure::Broken(_))));
}
