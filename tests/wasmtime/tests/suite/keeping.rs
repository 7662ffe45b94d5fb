//! Keeping and forgetting, through the component and by the command: evictions, collections, the room they give back.

use std::fs;

use serde_json::Value;
use tempfile::TempDir;
use wasmtime_host_tests::{
    Command, Plugin, assert_error, pinned, plain, random_bytes,
    types::{CacheConfig, CollectionPhase, Error, EvictionPolicy, EvictionReason},
};

const MIB: usize = 1024 * 1024;

fn on_disk(folder: &TempDir) -> u64 {
    let files = fs::read_dir(folder.path()).unwrap();
    files.map(|file| file.unwrap().metadata().unwrap().len()).sum()
}

/// An import that dies with its host, halfway: what it has written ahead is garbage.
fn killed_import(folder: &TempDir) {
    let mut plugin = Plugin::open(folder.path());
    let writer = plugin.create_writer(&plain()).unwrap();
    plugin.write(writer, &random_bytes(99, 24 * MIB)).unwrap();
}

#[test]
fn roots_make_room_and_the_host_is_told() {
    let folder = TempDir::new().unwrap();
    let mut plugin = Plugin::open(folder.path());
    let config = CacheConfig {
        memory_bytes: None,
        disk_bytes: Some(10 * MIB as u64),
        policy: Some(EvictionPolicy::Lru),
        high_water: Some(100),
        low_water: Some(80),
    };
    plugin.configure_cache(config).unwrap();
    let kept = plugin.store(&random_bytes(1, 3 * MIB), &pinned()).unwrap().cid;
    let files: Vec<String> =
        (2..5).map(|seed| plugin.store(&random_bytes(seed, 2 * MIB), &plain()).unwrap().cid).collect();
    plugin.retrieve(&files[0]).unwrap();
    assert_eq!(plugin.evictions(), []);
    let last = plugin.store(&random_bytes(5, 2 * MIB), &plain()).unwrap().cid;
    let evictions = plugin.evictions();
    let gone: Vec<&String> = evictions.iter().map(|evicted| &evicted.cid).collect();
    // Down to 8 MiB, with the new one: two go, and the one that was read is not among them.
    assert_eq!(gone, [&files[1], &files[2]]);
    assert!(evictions.iter().all(|evicted| evicted.reason == EvictionReason::Limit && evicted.size == 2 * MIB as u64));
    assert_eq!(plugin.evictions(), [], "each is told once");
    for cid in [&kept, &files[0], &last] {
        plugin.retrieve(cid).unwrap();
    }
    let status = plugin.backend_status().unwrap();
    assert_eq!((status.evicted_roots, status.roots), (2, 3));
    assert!(status.evicted_bytes >= 4 * MIB as u64 && status.bytes <= 8 * MIB as u64);
    let wrong = CacheConfig { high_water: Some(101), ..config };
    assert_error!(plugin.configure_cache(wrong), Error::InvalidArgument(_));
}

#[test]
fn a_collection_goes_on_by_steps_beside_other_calls_and_gives_room_back() {
    let folder = TempDir::new().unwrap();
    killed_import(&folder);
    let mut plugin = Plugin::open(folder.path());
    let data = random_bytes(1, 3 * MIB);
    let cid = plugin.store(&data, &pinned()).unwrap().cid;
    let before = (plugin.backend_status().unwrap().blocks, on_disk(&folder));
    let dry = plugin.collect_all(true).unwrap();
    assert!(dry.dry_run && dry.freed_blocks >= 8, "{dry:?}");
    assert_eq!((plugin.backend_status().unwrap().blocks, on_disk(&folder)), before);

    let collection = plugin.collect(false).unwrap();
    assert_error!(plugin.collect(false), Error::Denied(_));
    let mut last = None;
    let mut seed = 100;
    while let Some(progress) = plugin.collection_step(collection).unwrap() {
        assert!(progress.freed_blocks <= dry.freed_blocks);
        last = Some(progress.phase);
        seed += 1;
        plugin.store(&random_bytes(seed, 10_000), &plain()).unwrap();
    }
    assert_eq!(last, Some(CollectionPhase::Compacting));
    plugin.release(collection);
    let status = plugin.backend_status().unwrap();
    let report = status.last_collection.unwrap();
    assert_eq!((report.freed_blocks, report.freed_bytes), (dry.freed_blocks, dry.freed_bytes));
    assert!(report.given_back > 7 * MIB as u64 && report.obstacles.is_empty() && !report.postponed, "{report:?}");
    assert!(on_disk(&folder) < before.1 - 7 * MIB as u64, "{} of {} bytes", on_disk(&folder), before.1);
    assert_eq!(plugin.retrieve(&cid).unwrap(), data);
    for seed in 101..=seed {
        let known = plugin.store(&random_bytes(seed, 10_000), &plain()).unwrap().cid;
        assert_eq!(plugin.retrieve(&known).unwrap(), random_bytes(seed, 10_000));
    }
}

#[test]
fn the_command_collects_and_its_status_tells() {
    let (store, files) = (TempDir::new().unwrap(), TempDir::new().unwrap());
    killed_import(&store);
    fs::write(files.path().join("kept"), random_bytes(1, 100_000)).unwrap();
    let run = |arguments: &[&str]| {
        let command = Command::new().folder(store.path(), "/store").folder(files.path(), "/in");
        let outcome = command.run(&[&["--store", "/store"], arguments].concat());
        assert!(outcome.success, "{arguments:?}: {}", outcome.errors);
        String::from_utf8(outcome.output).unwrap()
    };
    let json =
        |arguments: &[&str]| -> Value { serde_json::from_str(&run(&[&["--json"], arguments].concat())).unwrap() };
    run(&["--take-over", "store", "--pin", "/in/kept"]);
    let before = json(&["status"]);
    assert_eq!((&before["last_collection"], &before["pinned_bytes"]), (&Value::Null, &0.into()));
    assert_eq!(before["pins_uncounted"], 1);
    run(&["pin", "ls"]);
    assert_eq!(json(&["status"])["pinned_bytes"], 100_000);
    let dry = json(&["gc", "--dry-run"]);
    assert!(dry["freed_blocks"].as_u64().unwrap() >= 8, "{dry}");
    assert_eq!(json(&["status"])["blocks"], before["blocks"]);
    let text = run(&["gc"]);
    assert!(text.contains("freed: ") && text.contains("kept: 1 blocks that are pinned"), "{text}");
    let after = json(&["status"]);
    assert_eq!((&after["blocks"], &after["last_collection"]["freed_blocks"]), (&1.into(), &dry["freed_blocks"]));
    assert!(after["stored"].as_u64().unwrap() < MIB as u64, "{after}");
    assert!(run(&["status"]).contains("last collection: 2"));
}
