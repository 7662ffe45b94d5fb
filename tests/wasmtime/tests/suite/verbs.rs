//! The verbs of `wit/storage.wit`, one by one.

use std::time::{SystemTime, UNIX_EPOCH};

use tempfile::TempDir;
use wasmtime_host_tests::{
    Plugin, assert_error, buffer, named, pin, pinned, plain, random_bytes,
    types::{
        BackendState, CacheConfig, Error, EvictionPolicy, OfflineReason, PinKind, PinOptions, PinPage, Profile,
        StoreOptions,
    },
};

const MIB: usize = 1024 * 1024;
const NO_CHANGE: CacheConfig =
    CacheConfig { memory_bytes: None, disk_bytes: None, policy: None, high_water: None, low_water: None };

fn plugin() -> (TempDir, Plugin) {
    let folder = TempDir::new().unwrap();
    let plugin = Plugin::open(folder.path());
    (folder, plugin)
}

fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis() as u64
}

#[test]
fn store_tells_what_stat_and_the_listing_tell() {
    let (_folder, mut plugin) = plugin();
    let before = now();
    let options = StoreOptions { pin: true, ..named("notes/ä.txt") };
    let stored = plugin.store(b"hello", &options).unwrap();
    assert_eq!(stored.filename.as_deref(), Some("notes/ä.txt"));
    assert_eq!((stored.size, stored.pinned, stored.profile), (Some(5), true, Some(Profile::UnixfsV12025)));
    let modified = stored.modified.unwrap();
    assert!((before..=now()).contains(&modified), "modified {modified}");
    assert_eq!(plugin.stat(&stored.cid).unwrap(), stored);
    assert_eq!(plugin.retrieve(&stored.cid).unwrap(), b"hello");
    assert_eq!(plugin.list(), [stored]);
}

#[test]
fn storing_again_renames_and_leaves_the_pin() {
    let (_folder, mut plugin) = plugin();
    plugin.store(b"hello", &StoreOptions { pin: true, ..named("old") }).unwrap();
    let again = plugin.store(b"hello", &named("new")).unwrap();
    assert!(again.pinned);
    assert_eq!(again.filename.as_deref(), Some("new"));
    assert_eq!(plugin.list(), [again]);
    assert_eq!(plugin.backend_status().unwrap().blocks, 1);
}

#[test]
fn pages_hold_every_file_once_in_the_order_of_the_cids() {
    let (_folder, mut plugin) = plugin();
    let files: Vec<_> = (0..25u8).map(|n| (vec![n], named(n.to_string()))).collect();
    let mut cids: Vec<String> = plugin.store_many(&files).unwrap().into_iter().map(|file| file.cid).collect();
    cids.sort();
    let (mut listed, mut lengths, mut after) = (Vec::new(), Vec::new(), None);
    loop {
        let page = plugin.list_files("/", after.as_deref(), 10).unwrap();
        lengths.push(page.files.len());
        listed.extend(page.files.into_iter().map(|file| file.cid));
        after = page.next;
        if after.is_none() {
            break;
        }
    }
    assert_eq!(lengths, [10, 10, 5]);
    assert_eq!(listed, cids);
}

#[test]
fn the_last_page_has_no_next_even_when_it_is_full() {
    let (_folder, mut plugin) = plugin();
    let files: Vec<_> = (0..6u8).map(|n| (vec![n], plain())).collect();
    plugin.store_many(&files).unwrap();
    let first = plugin.list_files("/", None, 3).unwrap();
    let second = plugin.list_files("/", first.next.as_deref(), 3).unwrap();
    assert_eq!(second.files.len(), 3);
    assert_eq!(second.next, None);
}

#[test]
fn a_listing_refuses_what_it_cannot_do() {
    let (_folder, mut plugin) = plugin();
    for limit in [0, 10_001, u32::MAX] {
        assert_error!(plugin.list_files("/", None, limit), Error::InvalidArgument(_));
    }
    for path in ["", "/a", "//", "."] {
        assert_error!(plugin.list_files(path, None, 10), Error::InvalidCid(_));
    }
    assert_eq!(plugin.list_files("/", None, 10_000).unwrap().files, []);
}

#[test]
fn a_pinned_file_is_not_deleted_and_an_unpinned_one_is() {
    let (_folder, mut plugin) = plugin();
    let cid = plugin.store(b"hello", &plain()).unwrap().cid;
    plugin.pin(&cid).unwrap();
    assert!(plugin.stat(&cid).unwrap().pinned);
    assert_error!(plugin.delete(&cid), Error::Denied(_));
    assert_eq!(plugin.retrieve(&cid).unwrap(), b"hello");
    plugin.unpin(&cid).unwrap();
    plugin.unpin(&cid).unwrap();
    plugin.delete(&cid).unwrap();
    assert!(!plugin.exists(&cid).unwrap());
    assert_error!(plugin.stat(&cid), Error::NotFound(which) if which == cid);
    assert_error!(plugin.delete(&cid), Error::NotFound(which) if which == cid);
    assert_error!(plugin.unpin(&cid), Error::NotFound(which) if which == cid);
    assert_error!(plugin.pin(&cid), Error::NotAvailableOffline(offline) if offline.cid == cid);
}

#[test]
fn a_pin_says_what_it_is_for_and_how_large_it_is() {
    let (_folder, mut plugin) = plugin();
    let before = now();
    // Two leaves that are the same.
    let cid = plugin.store(&[7; 2 * MIB], &named("kept")).unwrap().cid;
    let labels = [("owner", "me"), ("task", "é")].map(|(name, value)| (name.to_owned(), value.to_owned())).to_vec();
    let options =
        PinOptions { name: Some("the model".into()), labels: labels.clone(), expires: Some(now() + 60_000), ..pin() };
    let made = plugin.pin_with(&cid, &options).unwrap();
    assert_eq!((made.cid.as_str(), made.kind, made.pending), (cid.as_str(), PinKind::Recursive, false));
    assert_eq!((made.name.as_deref(), &made.labels, made.expires), (Some("the model"), &labels, options.expires));
    assert!((before..=now()).contains(&made.created));
    let status = plugin.backend_status().unwrap();
    assert_eq!((made.blocks, made.bytes), (Some(2), Some(status.bytes)));
    assert_eq!(plugin.pins(None, 10).unwrap(), PinPage { pins: vec![made], next: None });
    // One that is made anew says what the new one says.
    let again = plugin.pin(&cid).unwrap();
    assert_eq!((&again.name, again.labels.len(), again.expires), (&None, 0, None));
    for wrong in [
        PinOptions { name: Some("n".repeat(1025)), ..pin() },
        PinOptions { labels: vec![("one".into(), "a".into()), ("one".into(), "b".into())], ..pin() },
        PinOptions { labels: (0..65).map(|n| (n.to_string(), String::new())).collect(), ..pin() },
        PinOptions { expires: Some(before - 1), ..pin() },
    ] {
        assert_error!(plugin.pin_with(&cid, &wrong), Error::InvalidArgument(_));
    }
    assert_eq!(plugin.pins(None, 10).unwrap().pins, [again]);
}

#[test]
fn pins_are_listed_by_pages_and_counted_when_they_are() {
    let (_folder, mut plugin) = plugin();
    let files: Vec<_> = (0..25u64).map(|n| (n.to_le_bytes().to_vec(), pinned())).collect();
    let mut cids: Vec<String> = plugin.store_many(&files).unwrap().into_iter().map(|file| file.cid).collect();
    plugin.store(b"not pinned", &plain()).unwrap();
    cids.sort();
    let (mut listed, mut after) = (Vec::new(), None::<String>);
    loop {
        let page = plugin.pins(after.as_deref(), 10).unwrap();
        assert!(page.pins.iter().all(|pin| (pin.blocks, pin.bytes) == (Some(1), Some(8))), "{:?}", page.pins);
        listed.extend(page.pins.into_iter().map(|pin| pin.cid));
        match page.next {
            Some(next) => after = Some(next),
            None => break,
        }
    }
    assert_eq!(listed, cids);
    for limit in [0, 10_001] {
        assert_error!(plugin.pins(None, limit), Error::InvalidArgument(_));
    }
}

#[test]
fn a_pinned_file_is_deleted_by_force() {
    let (_folder, mut plugin) = plugin();
    let cid = plugin.store(b"hello", &pinned()).unwrap().cid;
    assert_error!(plugin.delete_with(&cid, false), Error::Denied(why) => assert!(why.contains("pinned"), "{why}"));
    plugin.delete_with(&cid, true).unwrap();
    assert!(!plugin.exists(&cid).unwrap());
    assert_eq!(plugin.pins(None, 10).unwrap().pins, []);
    assert_error!(plugin.delete_with(&cid, true), Error::NotFound(which) if which == cid);
}

#[test]
fn one_block_of_a_file_is_pinned_without_becoming_a_file() {
    let (_folder, mut plugin) = plugin();
    let data = random_bytes(1, 3 * MIB);
    let file = plugin.store(&data, &plain()).unwrap().cid;
    let other = TempDir::new().unwrap();
    let block = Plugin::open(other.path()).store(&data[..MIB], &plain()).unwrap().cid;
    let direct = PinOptions { kind: PinKind::Direct, ..pin() };
    let made = plugin.pin_with(&block, &direct).unwrap();
    assert_eq!((made.kind, made.blocks, made.bytes), (PinKind::Direct, Some(1), Some(MIB as u64)));
    plugin.delete(&file).unwrap();
    assert_eq!((plugin.exists(&block).unwrap(), plugin.backend_status().unwrap().blocks), (true, 1));
    assert_eq!(plugin.list(), [], "it is no file");
    assert_error!(plugin.delete_with(&block, true), Error::NotFound(which) if which == block);
    plugin.unpin(&block).unwrap();
    assert_error!(plugin.unpin(&block), Error::NotFound(which) if which == block);
    // All of it is pinned: one block of it alone would be less.
    let file = plugin.store(&data, &pinned()).unwrap().cid;
    assert_error!(plugin.pin_with(&file, &direct), Error::Denied(_));
}

#[test]
fn deleting_a_file_leaves_the_blocks_that_another_one_uses() {
    let (_folder, mut plugin) = plugin();
    let shared = random_bytes(1, 2 * MIB);
    let longer = [shared.as_slice(), b"and more"].concat();
    let short = plugin.store(&shared, &plain()).unwrap().cid;
    let long = plugin.store(&longer, &plain()).unwrap().cid;
    plugin.delete(&short).unwrap();
    assert!(plugin.retrieve(&long).unwrap() == longer);
    plugin.delete(&long).unwrap();
    let status = plugin.backend_status().unwrap();
    assert_eq!((status.blocks, status.bytes, status.roots), (0, 0, 0));
}

#[test]
fn a_block_within_a_file_can_be_pinned_and_outlives_the_file() {
    let (_folder, mut plugin) = plugin();
    let data = random_bytes(1, 3 * MIB);
    let file = plugin.store(&data, &plain()).unwrap().cid;
    let other = TempDir::new().unwrap();
    let block = Plugin::open(other.path()).store(&data[..MIB], &plain()).unwrap().cid;
    assert!(plugin.exists(&block).unwrap());
    assert_eq!(plugin.stat(&block).unwrap().modified, None, "it is no stored root");
    plugin.pin(&block).unwrap();
    plugin.delete(&file).unwrap();
    assert!(plugin.retrieve(&block).unwrap() == data[..MIB]);
    let adopted = plugin.stat(&block).unwrap();
    assert_eq!((adopted.size, adopted.pinned, adopted.profile), (Some(MIB as u64), true, None));
}

#[test]
fn the_status_counts_what_is_held() {
    let (_folder, mut plugin) = plugin();
    plugin.store(&random_bytes(1, 2 * MIB), &pinned()).unwrap();
    plugin.store(b"small", &plain()).unwrap();
    let before = now();
    let status = plugin.backend_status().unwrap();
    // Two leaves and their node, and the small one.
    assert_eq!((status.blocks, status.roots, status.pinned, status.quarantined), (4, 2, 1, 0));
    assert!((2 * MIB as u64 + 5..2 * MIB as u64 + 500).contains(&status.bytes), "{} bytes", status.bytes);
    assert_eq!(status.local_only, Some(OfflineReason::NoNetwork));
    let [local] = status.backends.as_slice() else { panic!("{:?}", status.backends) };
    assert_eq!((local.name.as_str(), local.kind.as_str(), local.state), ("local", "pack", BackendState::Available));
    assert!((before..=now()).contains(&local.checked));
    assert!(!local.evidence.is_empty());
    assert!(!plugin.is_available(), "there is no remote");
}

#[test]
fn a_write_over_the_disk_limit_stores_nothing() {
    let (_folder, mut plugin) = plugin();
    let limit = 8 * MIB as u64;
    plugin.configure_cache(CacheConfig { disk_bytes: Some(limit), ..NO_CHANGE }).unwrap();
    assert_eq!(plugin.backend_status().unwrap().disk_limit, Some(limit));
    // The first is refused at its end, the second in its middle, when part of it has been written ahead.
    for size in [9 * MIB, 40 * MIB] {
        let data = random_bytes(1, size);
        let quota = assert_error!(plugin.store(&data, &plain()), Error::QuotaExceeded(quota) => quota);
        assert_eq!(quota.limit, limit);
        assert!(quota.needed > 0);
        assert_error!(plugin.stream(data.chunks(MIB), &plain()), Error::QuotaExceeded(_));
        let status = plugin.backend_status().unwrap();
        assert_eq!((status.blocks, status.bytes, status.roots), (0, 0, 0));
        assert_eq!(status.backends[0].state, BackendState::Available, "a full store is no broken one");
    }
    let batch: Vec<_> = (0..9).map(|n| (random_bytes(n, MIB), plain())).collect();
    assert_error!(plugin.store_many(&batch), Error::QuotaExceeded(_));
    assert_eq!(plugin.list(), []);
    // What fits is stored, and costs nothing the second time.
    for _ in 0..2 {
        plugin.store(&random_bytes(2, 7 * MIB), &plain()).unwrap();
    }
    plugin.configure_cache(CacheConfig { disk_bytes: Some(u64::MAX), ..NO_CHANGE }).unwrap();
    plugin.store(&random_bytes(1, 9 * MIB), &plain()).unwrap();
    assert_eq!(plugin.backend_status().unwrap().disk_limit, None);
}

#[test]
fn a_writer_that_ran_into_the_limit_is_finished() {
    let (_folder, mut plugin) = plugin();
    plugin.configure_cache(CacheConfig { disk_bytes: Some(MIB as u64), ..NO_CHANGE }).unwrap();
    let writer = plugin.create_writer(&plain()).unwrap();
    let data = random_bytes(1, 40 * MIB);
    assert_error!(plugin.write(writer, &data), Error::QuotaExceeded(_));
    assert_error!(plugin.write(writer, b"more"), Error::Cancelled);
    assert_error!(plugin.finish(writer), Error::Cancelled);
}

#[test]
fn the_memory_cache_keeps_to_its_limit() {
    let (_folder, mut plugin) = plugin();
    let data = random_bytes(1, 4 * MIB);
    let cid = plugin.store(&data, &plain()).unwrap().cid;
    let reads = |plugin: &mut Plugin, memory_bytes, policy| {
        let (memory_bytes, policy) = (Some(memory_bytes), Some(policy));
        plugin.configure_cache(CacheConfig { memory_bytes, policy, ..NO_CHANGE }).unwrap();
        let before = plugin.backend_status().unwrap();
        for _ in 0..2 {
            assert!(plugin.retrieve(&cid).unwrap() == data);
        }
        let after = plugin.backend_status().unwrap();
        assert_eq!(Some(after.memory_limit), memory_bytes);
        assert!(after.memory_bytes <= after.memory_limit, "{} bytes", after.memory_bytes);
        (after.memory_hits - before.memory_hits, after.memory_misses - before.memory_misses)
    };
    for policy in [EvictionPolicy::Lru, EvictionPolicy::Lfu, EvictionPolicy::Arc] {
        assert_eq!(reads(&mut plugin, 0, policy).0, 0);
        // The second time everything is in memory: four leaves and their node.
        let (hits, misses) = reads(&mut plugin, 16 * MIB as u64, policy);
        assert!(hits >= 5 && misses <= 6, "{policy:?}: {hits} hits, {misses} misses");
        assert_eq!(reads(&mut plugin, 0, policy).0, 0);
    }
}

#[test]
fn the_policy_says_what_stays_in_memory() {
    for (policy, stays) in [(EvictionPolicy::Lru, false), (EvictionPolicy::Lfu, true), (EvictionPolicy::Arc, true)] {
        let (_folder, mut plugin) = plugin();
        let memory_bytes = Some(3 * 1000);
        plugin.configure_cache(CacheConfig { memory_bytes, policy: Some(policy), ..NO_CHANGE }).unwrap();
        let files: Vec<_> = (0..8).map(|n| (random_bytes(n, 1000), plain())).collect();
        let stored = plugin.store_many(&files).unwrap();
        // The first is read often, and then each of the others once.
        let (first, others) = stored.split_first().unwrap();
        for file in [first; 5].into_iter().chain(others) {
            plugin.retrieve(&file.cid).unwrap();
        }
        let before = plugin.backend_status().unwrap().memory_hits;
        plugin.retrieve(&first.cid).unwrap();
        let hit = plugin.backend_status().unwrap().memory_hits > before;
        assert_eq!(hit, stays, "{policy:?}");
    }
}

#[test]
fn a_flush_works_at_any_time() {
    let (_folder, mut plugin) = plugin();
    plugin.flush().unwrap();
    let cid = plugin.store(&buffer(1000), &plain()).unwrap().cid;
    plugin.flush().unwrap();
    plugin.flush().unwrap();
    assert!(plugin.exists(&cid).unwrap());
}
