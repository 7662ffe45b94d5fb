//! Checking a store: through the component, as a host that shows progress does, and by the command.

use std::{fs, path::Path};

use serde_json::Value;
use tempfile::TempDir;
use wasmtime_host_tests::{
    Access, Command, Counterpart, Instance, Outcome, Plugin, assert_error, every_block, plain, random_bytes,
    types::{Error, Fault, VerifyOptions},
    with_remotes,
};

const MIB: usize = 1024 * 1024;

/// Flips one bit in the midst of these bytes.
fn damage(folder: &Path, body: &[u8]) {
    let segment = folder.join("segment-00000001");
    let mut log = fs::read(&segment).unwrap();
    let at = log.windows(32).position(|window| window == &body[..32]).unwrap();
    log[at + body.len() / 2] ^= 0x10;
    fs::write(segment, log).unwrap();
}

#[test]
fn a_host_follows_a_check_and_may_stop_it() {
    let folder = TempDir::new().unwrap();
    let data = random_bytes(1, 20 * MIB);
    let mut plugin = Plugin::open(folder.path());
    let cid = plugin.store(&data, &plain()).unwrap().cid;
    let total = plugin.backend_status().unwrap().blocks;
    let check = plugin.verify(every_block()).unwrap();
    let (mut steps, mut bytes) = (0, 0);
    while let Some(progress) = plugin.step(check).unwrap() {
        // Some 4 MiB, and what was read together with the block that reached them.
        assert!(progress.bytes - bytes <= 9 * MIB as u64 && progress.total >= total, "{progress:?}");
        (steps, bytes) = (steps + 1, progress.bytes);
        // Others write meanwhile.
        plugin.store(&[steps], &plain()).unwrap();
    }
    assert!(steps >= 4, "{steps}");
    let report = plugin.report(check);
    assert!(report.sound && report.finished && !report.figures_compared, "{report:?}");
    assert!(report.checked >= total && report.bytes >= data.len() as u64);
    plugin.release(check);
    // Stopped after its first step, which may have found that.
    damage(folder.path(), &data[19 * MIB..20 * MIB]);
    let check = plugin.verify(every_block()).unwrap();
    plugin.step(check).unwrap().unwrap();
    let stopped = plugin.report(check);
    assert!(!stopped.finished && !stopped.sound, "{stopped:?}");
    plugin.release(check);
    // And to its end.
    let report = plugin.verify_all(every_block());
    let corrupt = stopped.corrupt.found + report.corrupt.found;
    assert_eq!((report.finished, report.sound, corrupt, report.missing.found), (true, false, 1, 1));
    let missing = report.findings.iter().find(|finding| finding.fault == Fault::Missing).unwrap();
    assert_eq!(missing.cid.as_ref(), Some(&cid));
    assert_eq!(plugin.backend_status().unwrap().quarantined, 1);
    plugin.store(&data, &plain()).unwrap();
    assert!(plugin.verify_all(every_block()).sound);
    let sampled = VerifyOptions { sample: Some(0.5), seed: Some(7), ..every_block() };
    let report = plugin.verify_all(sampled);
    assert!(report.sound && report.seed == 7 && report.checked < report.blocks, "{report:?}");
    let wrong = VerifyOptions { sample: Some(2.0), ..every_block() };
    assert_error!(plugin.verify(wrong), Error::InvalidArgument(_));
}

#[test]
fn a_gateway_heals_what_is_damaged_on_disk() {
    let gateway = Counterpart::gateway();
    let folder = TempDir::new().unwrap();
    let cid = gateway.random(3 * MIB, 5, 256 * 1024);
    let content = gateway.get(&format!("/-/cat/{cid}"));
    let open = || {
        let remotes = with_remotes(&[&gateway.url]);
        Instance::with_http(Access::Granted, folder.path(), &[]).open(&remotes).unwrap()
    };
    let mut plugin = open();
    plugin.pin(&cid).unwrap();
    plugin.close();
    damage(folder.path(), &content[..256 * 1024]);
    damage(folder.path(), &content[MIB..MIB + 256 * 1024]);
    let mut plugin = open();
    let report = plugin.verify_all(VerifyOptions { repair: true, offline: true, ..every_block() });
    assert_eq!((report.sound, report.corrupt.found, report.corrupt.repaired, report.missing.found), (false, 2, 0, 2));
    let report = plugin.verify_all(VerifyOptions { repair: true, ..every_block() });
    assert_eq!((report.sound, report.missing.found, report.missing.repaired), (true, 2, 2), "{report:?}");
    plugin.close();
    damage(folder.path(), &content[2 * MIB..2 * MIB + 256 * 1024]);
    let mut plugin = open();
    let report = plugin.verify_all(VerifyOptions { repair: true, ..every_block() });
    assert_eq!((report.sound, report.corrupt.found, report.corrupt.repaired), (true, 1, 1), "{report:?}");
    plugin.close();
    assert!(Plugin::open(folder.path()).retrieve(&cid).unwrap() == content);
}

fn verify(store: &Path, arguments: &[&str]) -> Outcome {
    Command::new().folder(store, "/store").run(&[&["--store", "/store", "verify"], arguments].concat())
}

fn object(outcome: &Outcome) -> Value {
    serde_json::from_slice(&outcome.output).unwrap_or_else(|error| panic!("{error}: {outcome:?}"))
}

#[test]
fn the_command_fails_when_something_is_wrong_and_says_what() {
    let folder = TempDir::new().unwrap();
    let data = random_bytes(2, 3 * MIB);
    let mut plugin = Plugin::open(folder.path());
    let cid = plugin.store(&data, &plain()).unwrap().cid;
    plugin.close();
    let told = verify(folder.path(), &[]);
    assert!(told.success && told.errors.is_empty(), "{told:?}");
    let text = String::from_utf8(told.output).unwrap();
    assert!(text.contains("checked: 4 of 4 blocks, 3.0 MiB") && text.contains("unreached: 0 blocks"), "{text}");
    let sampled = object(&verify(folder.path(), &["--json", "--sample", "50", "--seed", "3"]));
    assert_eq!((&sampled["sound"], &sampled["seed"], &sampled["blocks"]), (&true.into(), &3.into(), &4.into()));

    damage(folder.path(), &data[..MIB]);
    let failed = verify(folder.path(), &["--json", "--repair"]);
    assert!(!failed.success);
    let report = object(&failed);
    assert_eq!((&report["sound"], &report["corrupt"]["found"]), (&false.into(), &1.into()));
    assert_eq!((&report["missing"]["found"], &report["missing"]["repaired"]), (&1.into(), &0.into()));
    let findings = report["findings"].as_array().unwrap();
    let missing = findings.iter().find(|finding| finding["fault"] == "missing").unwrap();
    assert_eq!(missing["cid"], *cid);
    assert!(missing["detail"].as_str().unwrap().contains("no network"), "{missing}");
    let error: Value = serde_json::from_str(&failed.errors).unwrap();
    assert_eq!(error["error"]["code"], "corrupt");
    // Still missing, as people read it.
    let failed = verify(folder.path(), &[]);
    let text = String::from_utf8(failed.output).unwrap();
    assert!(
        !failed.success && failed.errors.starts_with("error: ") && text.contains(&format!("missing {cid}")),
        "{text}"
    );
    for wrong in [&["--sample", "0"][..], &["--sample", "many"], &["--sample", "101"], &["extra"]] {
        let outcome = verify(folder.path(), wrong);
        assert!(!outcome.success && outcome.output.is_empty(), "{wrong:?}: {outcome:?}");
    }
}
