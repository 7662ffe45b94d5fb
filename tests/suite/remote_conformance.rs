//! The remotes, through the suite that every remote must pass: over servers by other hands, and scripted.

use std::{cell::Cell, rc::Rc};

use futures_executor::block_on;
use ipfs_kit_storage::{
    car,
    remote::{
        Gateway, Kubo, Remote, Routing,
        conformance::{self, Fixture, Offers, Sample, Unknown},
    },
    tier::{Commit, Tier},
};
use serde_json::json;

use crate::{
    counterpart::Counterpart,
    support::{
        Origin, Time, Wire,
        native::{Client, Loopback},
        node::Node,
    },
};

const DEADLINE: u64 = 1_500;

fn sample() -> Sample {
    block_on(conformance::sample(1))
}

fn archive(sample: &Sample) -> bytes::Bytes {
    car::encode(&sample.root, &sample.blocks)
}

fn fixture(remote: Rc<dyn Remote>, sample: Sample, unknown: Unknown) -> Fixture {
    Fixture { remote, network: Rc::new(Loopback), sample, unknown, deadline: DEADLINE }
}

/// An origin that holds the sample, and its time.
fn origin(sample: &Sample) -> (Rc<Origin>, Time) {
    let time = Time { now: Rc::new(Cell::new(1_000_000)), online: Rc::new(Cell::new(true)) };
    let origin = Origin::new(&time);
    let commit = Commit { blocks: sample.blocks.clone(), ..Commit::default() };
    block_on(origin.tier.commit(commit)).unwrap();
    (origin, time)
}

#[test]
fn a_scripted_node() {
    let sample = sample();
    let (origin, time) = origin(&sample);
    let remote = Node::new(origin, "node");
    let fixture = Fixture { network: Rc::new(time), ..fixture(remote, sample, Unknown::IsNotFound) };
    let offers = block_on(conformance::all(&fixture));
    assert_eq!(offers, Offers { cars: true, ranges: true, paths: true, puts: true, pins: true, providers: false });
}

#[test]
fn a_gateway_over_a_scripted_wire() {
    let sample = sample();
    let (origin, time) = origin(&sample);
    let remote = Rc::new(Gateway::new(Rc::new(Wire(origin)), "http://gateway.test").unwrap());
    let fixture = Fixture { network: Rc::new(time), ..fixture(remote, sample, Unknown::IsNotFound) };
    let offers = block_on(conformance::all(&fixture));
    assert_eq!(offers, Offers { cars: true, ranges: true, paths: true, ..Offers::default() });
}

#[test]
fn a_gateway() {
    let (sample, server) = (sample(), Counterpart::gateway());
    server.post("/-/car", &archive(&sample));
    let remote = Rc::new(Gateway::new(Client::http(), &server.url).unwrap());
    let offers = block_on(conformance::all(&fixture(remote, sample, Unknown::IsNotFound)));
    assert_eq!(offers, Offers { cars: true, ranges: true, paths: true, ..Offers::default() });
}

#[test]
fn a_kubo_rpc() {
    let (sample, server) = (sample(), Counterpart::rpc());
    let remote = Rc::new(Kubo::new(Client::http(), &server.url).unwrap());
    block_on(remote.put(&sample.blocks)).unwrap();
    let offers = block_on(conformance::all(&fixture(remote, sample, Unknown::MayHang)));
    assert_eq!(offers, Offers { cars: true, puts: true, pins: true, ..Offers::default() });
}

#[test]
fn a_delegated_router() {
    let (sample, server) = (sample(), Counterpart::routing());
    let routing = Routing::new(Client::http(), &server.url).unwrap();
    let gateway = json!(["transport-bitswap", "transport-ipfs-gateway-http"]);
    let addrs = json!(["/ip4/127.0.0.1/tcp/4001", "/dns4/a.test/tcp/443/https", "/ip4/127.0.0.1/tcp/8080/http"]);
    let providers = json!([
        { "Schema": "peer", "ID": "a gateway", "Addrs": addrs, "Protocols": gateway },
        { "Schema": "peer", "ID": "no gateway", "Addrs": addrs, "Protocols": ["transport-bitswap"] },
        { "Schema": "peer", "ID": "says nothing of protocols", "Addrs": addrs },
        { "Schema": "peer", "ID": "not reached by HTTP", "Addrs": ["/ip4/127.0.0.1/tcp/4001"], "Protocols": gateway },
        { "Schema": "peer", "ID": "without addresses", "Protocols": gateway },
        { "Schema": "bitswap", "ID": "of old", "Addrs": ["/ip6/::1/tcp/80/http"], "Protocol": "transport-bitswap" },
        { "Schema": "peer", "ID": "another", "Addrs": ["/ip6/::1/tcp/8080/http"], "Protocols": gateway },
    ]);
    server.put("/-/providers", json!({ "cid": sample.root.to_string(), "providers": providers }));
    for form in ["json", "ndjson"] {
        for unfiltered in [false, true] {
            for empty in [false, true] {
                server.put("/-/ways", json!({ "form": form, "unfiltered": unfiltered, "empty": empty }));
                let expected = ["https://a.test", "http://[::1]:8080"];
                block_on(conformance::router(&routing, &sample.root, &expected));
            }
        }
    }
    let asked = server.requests().pop().unwrap();
    assert!(asked.ends_with("?filter-protocols=transport-ipfs-gateway-http&filter-addrs=https,http"), "{asked}");
}
