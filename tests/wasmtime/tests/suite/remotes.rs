//! The composed component fetches from a gateway by other hands, through a proxy that can fail.

use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use tempfile::TempDir;
use wasmtime_host_tests::{
    Access, Artefact, Counterpart, Host, Instance, Plugin, assert_error, part, pin, plain, random_bytes,
    types::{BackendState, Error, OfflineReason, OpenOptions, PinOptions, ReadOptions},
    whole, with_remotes,
};

const MIB: usize = 1024 * 1024;

/// Patience in these tests, in milliseconds.
const TIMEOUT: u32 = 1000;

fn open(folder: &TempDir, remotes: &[&str]) -> Plugin {
    let options = OpenOptions { remote_timeout: Some(TIMEOUT), ..with_remotes(remotes) };
    Instance::with_http(Access::Granted, folder.path(), &[]).open(&options).unwrap()
}

/// A store in an empty folder, before a gateway with a proxy between them.
struct Bench {
    gateway: Counterpart,
    proxy: Counterpart,
    folder: TempDir,
}

impl Bench {
    fn new() -> Self {
        let gateway = Counterpart::gateway();
        let proxy = Counterpart::faults(&gateway.url);
        Bench { gateway, proxy, folder: TempDir::new().unwrap() }
    }

    fn open(&self) -> Plugin {
        open(&self.folder, &[&self.proxy.url])
    }

    fn content(&self, cid: &str) -> Vec<u8> {
        self.gateway.get(&format!("/-/cat/{cid}"))
    }
}

#[test]
fn a_file_comes_with_one_request_and_stays() {
    let bench = Bench::new();
    let cid = bench.gateway.random(10 * MIB, 1, 256 * 1024);
    let mut plugin = bench.open();
    assert_error!(plugin.retrieve_with(&cid, ReadOptions { offline: true, ..whole() }),
        Error::NotAvailableOffline(offline) => assert_eq!(offline.reason, OfflineReason::Requested));
    assert_eq!(bench.proxy.requests(), Vec::<String>::new());
    let reader = plugin.open_reader(&cid, whole()).unwrap();
    let mut digest = Sha256::new();
    plugin.read_with(reader, 1 << 20, |bytes| digest.update(bytes)).unwrap();
    assert_eq!(digest.finalize(), Sha256::digest(bench.content(&cid)));
    let requests = bench.proxy.requests();
    assert_eq!(requests.len(), 1, "{requests:?}");
    let status = plugin.backend_status().unwrap();
    assert_eq!((status.local_only, plugin.is_available()), (None, true));
    let remote = &status.backends[1];
    assert_eq!((remote.name.as_str(), remote.kind.as_str()), (bench.proxy.url.as_str(), "gateway"));
    assert!(remote.bytes_in > 10 * MIB as u64 && remote.latency.is_some(), "{remote:?}");
    assert_eq!(remote.state, BackendState::Available);
    let info = plugin.stat(&cid).unwrap();
    assert_eq!((info.size, info.pinned), (Some(10 * MIB as u64), false));
    plugin.close();
    // It is here now, whatever becomes of the gateway.
    let mut local = Plugin::open(bench.folder.path());
    assert_eq!(local.retrieve(&cid).unwrap().len(), 10 * MIB);
}

#[test]
fn a_range_brings_what_holds_it_and_pinning_is_for_whole_files() {
    let bench = Bench::new();
    let cid = bench.gateway.random(8 * MIB, 2, 128 * 1024);
    let mut plugin = bench.open();
    let content = bench.content(&cid);
    let got = plugin.retrieve_with(&cid, part(3_000_000, Some(100_000))).unwrap();
    assert_eq!(got, content[3_000_000..3_100_000]);
    assert!(plugin.backend_status().unwrap().bytes < MIB as u64);
    assert_error!(
        plugin.retrieve_with(&cid, ReadOptions { pin: true, ..part(0, Some(10)) }),
        Error::InvalidArgument(_)
    );
    let reader = plugin.open_reader(&cid, ReadOptions { pin: true, ..whole() }).unwrap();
    plugin.read_with(reader, 1 << 20, |_| ()).unwrap();
    assert!(plugin.stat(&cid).unwrap().pinned);
}

/// What a fault leads to with that gateway alone: a file, or an error whose text says this.
type Expected = Result<(), &'static str>;

fn faults() -> Vec<(Value, Expected)> {
    let status = |status: u16| json!({ "name": "status", "status": status });
    vec![
        (json!({ "name": "wrong-bytes", "block": 2 }), Err("do not hash")),
        (json!({ "name": "swapped", "block": 1 }), Err("do not hash")),
        (json!({ "name": "extra", "block": 3 }), Err("nothing asked for")),
        (json!({ "name": "truncated" }), Err("ends within a section")),
        // Each time a block more comes, and is kept.
        (json!({ "name": "truncated", "block": 2 }), Ok(())),
        (json!({ "name": "truncated-between", "block": 1 }), Err("before all of it")),
        (json!({ "name": "endless" }), Err("nothing asked for")),
        (json!({ "name": "endless-root" }), Err("over and over")),
        (json!({ "name": "oversize" }), Err("a part of 3145764 bytes")),
        (json!({ "name": "drip" }), Err("hardly anything")),
        (json!({ "name": "stall", "after": 150_000 }), Err("hardly anything")),
        (json!({ "name": "silence" }), Err("hardly anything")),
        (json!({ "name": "reset", "after": 150_000 }), Err("cannot be reached")),
        (status(404), Err("does not have it")),
        (status(410), Err("does not have it")),
        (status(412), Err("does not have it")),
        (json!({ "name": "status", "status": 429, "retryAfter": 3600 }), Err("busy")),
        (status(451), Err("refuses")),
        (status(500), Err("status 500")),
        (status(504), Err("status 504")),
        (json!({ "name": "redirect-loop" }), Err("redirects")),
        (json!({ "name": "wrong-type" }), Err("text/html")),
        (json!({ "name": "gzip-bomb" }), Err("gzip")),
        // All of it has come, and is proven.
        (json!({ "name": "wrong-length" }), Ok(())),
        // A fault that passes is got over.
        (json!({ "name": "status", "status": 500, "times": 1 }), Ok(())),
        (json!({ "name": "reset", "after": 150_000, "times": 1 }), Ok(())),
    ]
}

/// With that gateway alone: the error that says so, or the file; nothing that is not a block of it is kept, memory is
/// bounded, and nothing hangs. With another gateway beside it: the file.
#[test]
fn whatever_a_gateway_does() {
    let gateway = &Counterpart::gateway();
    let cid = &gateway.random(800_000, 3, 100_000);
    let content = &gateway.get(&format!("/-/cat/{cid}"));
    std::thread::scope(|scope| {
        for (fault, expected) in faults() {
            scope.spawn(move || {
                let proxy = Counterpart::faults(&gateway.url);
                proxy.fault(fault.clone());
                let folder = TempDir::new().unwrap();
                let mut plugin = open(&folder, &[&proxy.url]);
                match (plugin.retrieve(cid), expected) {
                    (Ok(got), Ok(())) => assert_eq!(got.len(), content.len(), "{fault}"),
                    (Err(Error::Unavailable(absence)), Err(said)) => {
                        let tried = &absence.attempts;
                        assert!(tried.iter().any(|attempt| attempt.reason.contains(said)), "{fault}: {tried:?}");
                        assert!(tried.iter().all(|attempt| attempt.remote == proxy.url), "{fault}: {tried:?}");
                    }
                    (got, _) => panic!("{fault}: {:?}", got.map(|got| got.len())),
                }
                let held = plugin.backend_status().unwrap();
                assert!(held.bytes <= 801_000 && held.quarantined == 0, "{fault}: {held:?}");
                assert!(plugin.peak_memory() < 40 * MIB, "{fault}: {} bytes", plugin.peak_memory());
                plugin.close();
                let mut plugin = open(&folder, &[&proxy.url, &gateway.url]);
                assert!(plugin.retrieve(cid).unwrap() == *content, "{fault}");
                // A corrupt block among what is held would be found here.
                plugin.close();
                let mut local = Plugin::open(folder.path());
                assert!(local.retrieve(cid).unwrap() == *content, "{fault}");
            });
        }
    });
}

#[test]
fn a_redirect_is_followed() {
    let bench = Bench::new();
    let cid = bench.gateway.random(300_000, 4, 100_000);
    bench.proxy.fault(json!({ "name": "redirect", "to": bench.gateway.url }));
    assert_eq!(bench.open().retrieve(&cid).unwrap(), bench.content(&cid));
}

#[test]
fn switched_off_it_asks_nobody_and_says_why() {
    let bench = Bench::new();
    let cid = bench.gateway.random(10_000, 5, 100_000);
    let expect = |environment: &[(&str, &str)], options: OpenOptions, reason: OfflineReason| {
        let mut plugin = Instance::with_http(Access::Granted, bench.folder.path(), environment).open(&options).unwrap();
        assert_error!(plugin.retrieve(&cid), Error::NotAvailableOffline(offline) => assert_eq!(offline.reason, reason));
        assert_error!(plugin.pin(&cid), Error::NotAvailableOffline(offline) => assert_eq!(offline.reason, reason));
        let stored = plugin.store(b"local work goes on", &plain()).unwrap();
        assert_eq!(plugin.retrieve(&stored.cid).unwrap(), b"local work goes on");
        let status = plugin.backend_status().unwrap();
        assert_eq!((status.local_only, plugin.is_available()), (Some(reason), false));
    };
    let remotes = with_remotes(&[&bench.proxy.url]);
    for value in ["1", "true", "YES"] {
        expect(&[("IPFS_KIT_DISABLE", value)], remotes.clone(), OfflineReason::Disabled);
    }
    expect(&[], OpenOptions { force_fallback: true, ..remotes.clone() }, OfflineReason::ForceFallback);
    expect(&[], with_remotes(&[]), OfflineReason::NoRemotes);
    assert_eq!(bench.proxy.requests(), Vec::<String>::new());
    // Named by the environment it is asked.
    let named = [("IPFS_KIT_REMOTES", bench.proxy.url.as_str()), ("IPFS_KIT_DISABLE", "0")];
    let mut plugin =
        Instance::with_http(Access::Granted, bench.folder.path(), &named).open(&with_remotes(&[])).unwrap();
    assert_eq!(plugin.retrieve(&cid).unwrap().len(), 10_000);
}

#[test]
fn a_host_that_denies_http_makes_it_local_only() {
    let bench = Bench::new();
    let cid = bench.gateway.random(10_000, 6, 100_000);
    let options = with_remotes(&[&bench.proxy.url]);
    let mut plugin = Instance::with_http(Access::Denied, bench.folder.path(), &[]).open(&options).unwrap();
    assert_error!(plugin.retrieve(&cid),
        Error::NotAvailableOffline(offline) => assert_eq!(offline.reason, OfflineReason::Denied));
    let stored = plugin.store(b"local work goes on", &plain()).unwrap();
    assert_eq!(plugin.retrieve(&stored.cid).unwrap(), b"local work goes on");
    let status = plugin.backend_status().unwrap();
    assert_eq!((status.backends[1].state, plugin.is_available()), (BackendState::Denied, false), "{status:?}");
    assert_eq!(bench.proxy.requests(), Vec::<String>::new());
}

/// A host without HTTP has nothing to give the composed component; the local one asks for nothing.
#[test]
fn a_host_that_lacks_http_takes_the_local_component() {
    let folder = TempDir::new().unwrap();
    let lacking = Host::linker().instantiate_pre(Artefact::Composed.component()).err().expect("it imports wasi:http");
    assert!(format!("{lacking:?}").contains("wasi:http"), "{lacking:?}");
    let mut local = Instance::new(folder.path(), &[]).open(&with_remotes(&["https://example.org"])).unwrap();
    assert_error!(local.retrieve("bafkreifzjut3te2nhyekklss27nh3k72ysco7y32koao5eei66wof36n5e"),
        Error::NotAvailableOffline(offline) => assert_eq!(offline.reason, OfflineReason::NoNetwork));
}

#[test]
fn a_path_and_a_whole_directory_come_with_one_request_each() {
    let bench = Bench::new();
    let files: Vec<(String, usize, u32)> = (0..100).map(|at| (format!("sub/{at}.bin"), 4096, at)).collect();
    let files: Vec<_> = files.iter().map(|(path, size, seed)| (path.as_str(), *size, *seed)).collect();
    let tree = bench.gateway.tree(&files);
    let path = format!("{tree}/sub/77.bin");
    let mut plugin = bench.open();
    assert_eq!(plugin.retrieve(&path).unwrap(), bench.gateway.get(&format!("/-/cat/{path}")));
    assert_eq!(bench.proxy.requests().len(), 1, "{:?}", bench.proxy.requests());
    plugin.pin(&tree).unwrap();
    assert_eq!(bench.proxy.requests().len(), 2, "{:?}", bench.proxy.requests());
    let offline = ReadOptions { offline: true, ..whole() };
    assert_eq!(plugin.retrieve_with(&format!("{tree}/sub/99.bin"), offline).unwrap().len(), 4096);
    assert_error!(plugin.retrieve(&format!("{tree}/sub/100.bin")), Error::NotFound(path) => assert!(path.ends_with("100.bin")));
}

#[test]
fn a_pin_that_broke_off_is_pending_and_goes_on_from_there() {
    let bench = Bench::new();
    let cid = bench.gateway.random(2 * MIB, 11, 64 * 1024);
    bench.proxy.fault(json!({ "name": "truncated-between" }));
    let named = PinOptions { name: Some("big".into()), ..pin() };
    let mut plugin = bench.open();
    assert_error!(plugin.pin_with(&cid, &named), Error::Unavailable(_));
    plugin.close();
    let mut plugin = bench.open();
    let [pending] = plugin.pins(None, 10).unwrap().pins.try_into().unwrap();
    let status = plugin.backend_status().unwrap();
    assert_eq!((pending.pending, pending.name.as_deref()), (true, Some("big")));
    assert_eq!((pending.blocks, pending.bytes), (Some(status.blocks), Some(status.bytes)));
    assert!((1..33).contains(&status.blocks), "{} blocks", status.blocks);
    bench.proxy.fault(Value::Null);
    let made = plugin.pin_with(&cid, &named).unwrap();
    assert_eq!((made.pending, made.blocks), (false, Some(33)));
    assert_eq!(plugin.pins(None, 10).unwrap().pins, [made]);
    assert!(plugin.stat(&cid).unwrap().pinned);
}

#[test]
fn a_nodes_rpc_gives_takes_and_pins() {
    let rpc = Counterpart::rpc();
    let address = format!("kubo+{}", rpc.url);
    let (here, there) = (TempDir::new().unwrap(), TempDir::new().unwrap());
    let data = random_bytes(7, 5_000_000);
    let mut plugin = open(&here, &[&address]);
    let stored = plugin.store(&data, &plain()).unwrap();
    let pushed = plugin.push(&stored.cid, &address, true).unwrap();
    assert_eq!(pushed.blocks, 6);
    let status = plugin.backend_status().unwrap();
    assert_eq!((status.backends[1].kind.as_str(), status.backends[1].state), ("kubo", BackendState::Available));
    assert!(status.backends[1].bytes_out >= 5_000_000, "{status:?}");
    assert!(rpc.fetch(&format!("/api/v0/cat?arg={}", stored.cid)) == data, "what was pushed is another there");
    // And back, to another store.
    let mut other = open(&there, &[&address]);
    assert!(other.retrieve(&stored.cid).unwrap() == data);
}

#[test]
fn a_node_that_refuses_before_it_has_read_all_is_heard() {
    let rpc = Counterpart::rpc();
    let proxy = Counterpart::faults(&rpc.url);
    proxy.put("/-/fault", json!({ "name": "early", "status": 413 }));
    let address = format!("kubo+{}", proxy.url);
    let folder = TempDir::new().unwrap();
    let mut plugin = open(&folder, &[&address]);
    let stored = plugin.store(&random_bytes(8, 5_000_000), &plain()).unwrap();
    assert_error!(plugin.push(&stored.cid, &address, false), Error::Unavailable(failed) => {
        assert!(failed.attempts[0].reason.contains("413"), "{failed:?}");
    });
}

#[test]
fn a_router_names_a_gateway_that_has_it() {
    let (gateway, routing) = (Counterpart::gateway(), Counterpart::routing());
    let cid = gateway.random(300_000, 9, 100_000);
    let port = gateway.url.rsplit(':').next().unwrap().to_owned();
    let provider = json!({
        "Schema": "peer", "ID": "gw", "Addrs": [format!("/ip4/127.0.0.1/tcp/{port}/http")],
        "Protocols": ["transport-ipfs-gateway-http"],
    });
    routing.put("/-/providers", json!({ "cid": cid, "providers": [provider] }));
    let folder = TempDir::new().unwrap();
    let mut plugin = open(&folder, &[&format!("routing+{}", routing.url)]);
    assert_eq!(plugin.retrieve(&cid).unwrap().len(), 300_000);
    let status = plugin.backend_status().unwrap();
    let kinds: Vec<_> = status.backends.iter().map(|report| (report.kind.as_str(), report.name.as_str())).collect();
    assert_eq!(kinds[2], ("gateway", gateway.url.as_str()));
}
