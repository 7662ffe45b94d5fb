//! Copies elsewhere, by the component with HTTP and by the command: a node of Kubo's shape, a server of S3, an archive service.

use std::{collections::BTreeSet, fs, path::Path};

use serde_json::{Value, json};
use tempfile::TempDir;
use wasmtime_host_tests::{
    Access, Artefact, Command, Counterpart, Instance, Outcome, Plugin, assert_error, in_store,
    outbox::DeliveryState,
    plain, random_bytes,
    types::{
        Archive, Backend, Bucket, BucketLayout, Credentials, Endpoint, Error, Keeper, OfflineReason, OpenOptions,
        ReadBack, ReplicationPolicy, StoreOptions,
    },
};

const MIB: usize = 1024 * 1024;
const SECRET: &str = "known to tests";

fn backend(name: &str, keeper: Keeper) -> Backend {
    Backend { name: name.into(), keeper, at_once: None, bytes_per_second: None }
}

fn bucket(url: &str, prefix: &str, secret: &str) -> Keeper {
    Keeper::S3(Bucket {
        endpoint: url.into(),
        region: "us-east-1".into(),
        name: "copies".into(),
        prefix: prefix.into(),
        layout: BucketLayout::Archives,
        access_key: "counterpart".into(),
        secret_key: secret.into(),
        session_token: None,
    })
}

fn cold(archive: &Counterpart) -> Archive {
    let endpoint = |path: &str, token: &str| Endpoint {
        url: format!("{}{path}", archive.url),
        credentials: Some(Credentials::Bearer(token.into())),
    };
    Archive {
        upload: endpoint("/upload", "uploads-known-to-tests"),
        by_put: false,
        pins: endpoint("", "pins-known-to-tests"),
        gateway: archive.url.clone(),
        origins: Vec::new(),
    }
}

fn to(names: &[&str]) -> ReplicationPolicy {
    ReplicationPolicy {
        backends: Some(names.iter().map(|&name| name.to_owned()).collect()),
        copies: None,
        read_back: Some(ReadBack::All),
        evict_with: None,
        pin: None,
        audit_days: None,
        archive: None,
        local_days: None,
    }
}

fn open(folder: &Path, access: Access, backends: Vec<Backend>, policy: ReplicationPolicy) -> Plugin {
    let options = OpenOptions { backends, policy: Some(policy), ..in_store() };
    Instance::with_http(access, folder, &[]).open(&options).unwrap()
}

#[test]
fn what_is_stored_goes_to_each_backend_and_is_read_back() {
    let (node, s3, archive) = (Counterpart::rpc(), Counterpart::s3(), Counterpart::archive());
    let folder = TempDir::new().unwrap();
    let backends = vec![
        backend("node", Keeper::Kubo(node.url.clone())),
        backend("bucket", bucket(&s3.url, "component/", SECRET)),
        backend("cold", Keeper::Archive(cold(&archive))),
    ];
    let policy = to(&["node", "bucket", "cold"]);
    let mut plugin = open(folder.path(), Access::Granted, backends.clone(), policy.clone());
    let stored = plugin.store(&random_bytes(1, 20 * MIB), &plain()).unwrap();
    assert_eq!(plugin.replication(&stored.cid).unwrap().deliveries.len(), 3);

    // It can be left at any step, and goes on from there, also when the store is opened anew.
    let mut steps = 0;
    let left = plugin.sync_while(60_000, |_| {
        steps += 1;
        steps < 3
    });
    assert_eq!(left.unwrap(), None);
    plugin.close();
    let mut plugin = open(folder.path(), Access::Granted, backends, policy);
    let report = plugin.sync(60_000).unwrap();
    assert_eq!((report.verified, report.waiting, report.failed, report.offline), (3, 0, 0, None), "{report:?}");
    let replication = plugin.replication(&stored.cid).unwrap();
    assert!(replication.replicated && replication.deliveries.is_empty(), "{replication:?}");
    assert!(replication.replicas.iter().all(|copy| copy.all && copy.blocks == 21), "{replication:?}");

    plugin.release_copies(&stored.cid, None).unwrap();
    assert_eq!(plugin.sync(0).unwrap().removed, 3);
    assert_eq!(plugin.replication(&stored.cid).unwrap().replicas, []);
}

#[test]
fn what_has_left_comes_back_from_where_it_is_kept() {
    let (node, s3, archive) = (Counterpart::rpc(), Counterpart::s3(), Counterpart::archive());
    let folder = TempDir::new().unwrap();
    let backends = vec![
        backend("node", Keeper::Kubo(node.url.clone())),
        backend("bucket", bucket(&s3.url, "away/", SECRET)),
        backend("cold", Keeper::Archive(cold(&archive))),
    ];
    let mut plugin = open(folder.path(), Access::Granted, backends, to(&[]));
    for (seed, name) in [(2, "node"), (3, "bucket"), (4, "cold")] {
        let data = random_bytes(seed, 5 * MIB);
        let replicate = ReplicationPolicy { local_days: Some(0), ..to(&[name]) };
        let options = StoreOptions { filename: Some(name.into()), replicate: Some(replicate), ..plain() };
        let stored = plugin.store(&data, &options).unwrap();
        let report = plugin.sync(60_000).unwrap();
        assert_eq!((report.verified, report.failed, report.waiting), (1, 0, 0), "{name}: {report:?}");
        assert!(!plugin.exists(&stored.cid).unwrap(), "{name}: it has left");
        assert_eq!(plugin.retrieve(&stored.cid).unwrap(), data, "{name}");
        assert!(plugin.exists(&stored.cid).unwrap());
        let listed = plugin.list();
        assert!(listed.iter().any(|file| file.cid == stored.cid && file.filename.as_deref() == Some(name)), "{name}");
    }
}

#[test]
fn without_a_network_it_waits() {
    let (node, folder) = (Counterpart::rpc(), TempDir::new().unwrap());
    let backends = || vec![backend("node", Keeper::Kubo(node.url.clone()))];
    let options = OpenOptions { backends: backends(), policy: Some(to(&["node"])), ..in_store() };
    let mut local = Instance::new(folder.path(), &[]).open(&options).unwrap();
    let stored = local.store(b"kept", &plain()).unwrap();
    assert_eq!(local.sync(1_000).unwrap().offline, Some(OfflineReason::NoNetwork));
    let page = local.outbox(None, 10).unwrap();
    assert_eq!((page.deliveries[0].state, page.deliveries.len()), (DeliveryState::Queued, 1));
    local.close();
    // Where the host denies it, it is not given up either.
    let mut denied = open(folder.path(), Access::Denied, backends(), to(&["node"]));
    assert_eq!(denied.sync(0).unwrap().verified, 0);
    let setback = denied.outbox(None, 10).unwrap().deliveries[0].setback.clone().unwrap();
    assert!(setback.next.is_some(), "{setback:?}");
    denied.close();
    let mut granted = open(folder.path(), Access::Granted, backends(), to(&["node"]));
    assert_eq!(granted.sync(60_000).unwrap().verified, 1);
    assert!(granted.replication(&stored.cid).unwrap().replicated);
}

#[test]
fn what_is_configured_wrongly_is_refused() {
    let folder = TempDir::new().unwrap();
    let open = |backends| {
        let options = OpenOptions { backends, ..in_store() };
        Instance::with_http(Access::Granted, folder.path(), &[]).open(&options).map(drop)
    };
    let node = || Keeper::Kubo("http://127.0.0.1:1".into());
    assert_error!(open(vec![backend("a b", node())]), Error::InvalidArgument(_));
    assert_error!(open(vec![backend("a", node()), backend("a", node())]), Error::InvalidArgument(_));
    let abroad =
        Endpoint { url: "http://keeper.example".into(), credentials: Some(Credentials::Bearer("hush".into())) };
    let open_air = Archive {
        upload: abroad.clone(),
        by_put: true,
        pins: abroad,
        gateway: "https://keeper.example".into(),
        origins: Vec::new(),
    };
    assert_error!(open(vec![backend("cold", Keeper::Archive(open_air))]),
        Error::InvalidArgument(why) => assert!(why.contains("https") && !why.contains("hush"), "{why}"));
}

/// A store, and a folder with files to put in.
struct Shell {
    store: TempDir,
    files: TempDir,
}

impl Shell {
    fn new() -> Self {
        Shell { store: TempDir::new().unwrap(), files: TempDir::new().unwrap() }
    }

    fn run(&self, artefact: Artefact, arguments: &[&str]) -> Outcome {
        let command = Command::of(artefact).folder(self.store.path(), "/store").folder(self.files.path(), "/in");
        let command = command.variable("SECRET", SECRET);
        command.run(&[&["--store", "/store", "--backends", "/in/backends.json"], arguments].concat())
    }

    fn printed(&self, arguments: &[&str]) -> Vec<Value> {
        let outcome = self.run(Artefact::CliHttp, &[&["--json"], arguments].concat());
        assert!(outcome.success, "{}", outcome.errors);
        let text = String::from_utf8(outcome.output).unwrap();
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }
}

#[test]
fn the_command_sends_and_proves_and_tells_where_it_stands() {
    let (node, s3) = (Counterpart::rpc(), Counterpart::s3());
    let shell = Shell::new();
    fs::write(shell.files.path().join("data"), random_bytes(2, 3 * MIB)).unwrap();
    let configure = |secret: Value| {
        let bucket = json!({
            "kind": "s3", "name": "bucket", "endpoint": s3.url, "region": "us-east-1", "bucket": "copies",
            "prefix": "command/", "accessKey": "counterpart", "secretKey": secret,
        });
        let node = json!({ "kind": "kubo", "name": "node", "url": node.url });
        let whole = json!({ "backends": [node, bucket], "policy": { "backends": ["node"], "readBack": "all" } });
        fs::write(shell.files.path().join("backends.json"), whole.to_string()).unwrap();
    };
    configure(json!({ "env": "SECRET" }));
    let stored = shell.run(Artefact::Cli, &["--json", "add", "/in/data"]);
    assert!(stored.success, "{}", stored.errors);
    let stored: Value = serde_json::from_slice(&stored.output).unwrap();
    let cid = stored["cid"].as_str().unwrap();
    // The command without a network queues, and says why nothing is sent.
    let local = shell.run(Artefact::Cli, &["sync"]);
    assert!(!local.success && local.errors.contains("no network"), "{}", local.errors);

    let [queued] = shell.printed(&["replicate", "--to", "bucket", "--copies", "2", cid]).try_into().unwrap();
    assert_eq!(queued["queued"], true);
    let waiting = shell.printed(&["outbox"]);
    let names: BTreeSet<_> = waiting.iter().map(|delivery| delivery["backend"].as_str().unwrap()).collect();
    assert_eq!(names, BTreeSet::from(["bucket", "node"]));
    let [report] = shell.printed(&["sync", "--wait", "60s"]).try_into().unwrap();
    assert_eq!((&report["verified"], &report["waiting"]), (&json!(2), &json!(0)), "{report}");
    let [whole] = shell.printed(&["replicas", cid]).try_into().unwrap();
    assert_eq!((&whole["replicated"], &whole["wanted"]), (&json!(true), &json!(2)), "{whole}");

    let told = shell.run(Artefact::CliHttp, &["replicas", cid]);
    let told = String::from_utf8(told.output).unwrap();
    assert!(told.starts_with("replicated: 2 of 2 copies proven\n"), "{told}");
    shell.printed(&["audit"]);
    shell.printed(&["release", "--from", "node", cid]);
    let [report] = shell.printed(&["sync"]).try_into().unwrap();
    assert_eq!((&report["verified"], &report["removed"]), (&json!(1), &json!(1)), "{report}");

    // Keys that are not good: refused, told, and shown by nothing.
    configure(json!("of no use"));
    shell.printed(&["audit"]);
    let refused = shell.run(Artefact::CliHttp, &["sync"]);
    let listed = shell.run(Artefact::CliHttp, &["outbox"]);
    let said = refused.errors + &String::from_utf8(listed.output).unwrap();
    assert!(said.contains("bucket"), "{said}");
    assert!(!said.contains("of no use") && !said.contains("of%20no%20use"), "{said}");
    configure(json!({ "env": "NOWHERE" }));
    let absent = shell.run(Artefact::CliHttp, &["sync"]);
    assert!(!absent.success && absent.errors.contains("NOWHERE"), "{}", absent.errors);
}
