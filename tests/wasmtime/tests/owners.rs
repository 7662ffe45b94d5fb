//! Two owners of one folder: the one that did not write last is told so, and nothing is damaged.

use std::{
    thread,
    time::{Duration, Instant},
};

use tempfile::TempDir;
use wasmtime_host_tests::{
    Command, Plugin, assert_error, named, plain, random_bytes,
    types::{BackendState, Error},
    victim::{Model, Victim},
};

const MIB: usize = 1024 * 1024;

#[test]
fn a_handle_is_locked_out_once_another_one_has_written() {
    let folder = TempDir::new().unwrap();
    let mut first = Plugin::open(folder.path());
    let before = first.store(&random_bytes(1, 3 * MIB), &named("before")).unwrap();
    let mut second = Plugin::open(folder.path());
    let theirs = second.store(&random_bytes(2, 3 * MIB), &named("theirs")).unwrap();

    let data = random_bytes(3, 40 * MIB);
    assert_error!(first.store(b"small", &plain()), Error::Locked(_));
    assert_error!(first.stream(data.chunks(MIB), &plain()), Error::Locked(_));
    assert_error!(first.store_many(&[(b"small".to_vec(), plain())]), Error::Locked(_));
    assert_error!(first.pin(&before.cid), Error::Locked(_));
    assert_error!(first.delete(&before.cid), Error::Locked(_));
    assert_eq!(first.backend_status().unwrap().backends[0].state, BackendState::Degraded);
    assert!(first.retrieve(&before.cid).unwrap() == random_bytes(1, 3 * MIB), "it can still read");
    first.close();

    // The one that wrote last goes on.
    let later = second.store(b"later", &named("later")).unwrap();
    drop(second);
    let mut third = Plugin::open(folder.path());
    let mut files = [before.clone(), theirs.clone(), later];
    files.sort_by(|one, other| one.cid.cmp(&other.cid));
    assert_eq!(third.list(), files);
    assert!(third.retrieve(&before.cid).unwrap() == random_bytes(1, 3 * MIB));
    assert!(third.retrieve(&theirs.cid).unwrap() == random_bytes(2, 3 * MIB));
    assert_eq!(third.backend_status().unwrap().recovery.truncated_bytes, 0);
}

#[test]
fn a_writer_under_way_is_locked_out_and_leaves_nothing() {
    let folder = TempDir::new().unwrap();
    let mut first = Plugin::open(folder.path());
    let writer = first.create_writer(&named("torn")).unwrap();
    first.write(writer, &random_bytes(1, 40 * MIB)).unwrap();
    let mut second = Plugin::open(folder.path());
    let theirs = second.store(b"theirs", &named("theirs")).unwrap();
    let refused = first.write(writer, &random_bytes(2, 40 * MIB)).and_then(|()| first.finish(writer));
    assert_error!(refused, Error::Locked(_));
    first.release(writer);
    first.close();
    second.close();
    assert_eq!(Plugin::open(folder.path()).list(), [theirs]);
}

#[test]
fn who_only_looks_locks_nobody_out() {
    let folder = TempDir::new().unwrap();
    let mut owner = Plugin::open(folder.path());
    owner.store(b"before", &named("before")).unwrap();
    let mut visitor = Plugin::open(folder.path());
    assert_eq!(visitor.list().len(), 1);
    visitor.close();
    owner.store(b"after", &named("after")).unwrap();
    let status = Command::new().folder(folder.path(), "/store").run(&["--store", "/store", "status"]);
    assert!(status.success, "{}", status.errors);
    owner.store(b"in the end", &named("in the end")).unwrap();
}

/// Another process looks again and again, at any place in a write. The import may be locked out, but what was
/// acknowledged to it must stay.
#[test]
fn looking_at_a_store_harms_no_import_under_way() {
    let mut locked = 0;
    for seed in 0..4 {
        let folder = TempDir::new().unwrap();
        let mut model = Model::default();
        let victim = Victim::start(env!("CARGO_BIN_EXE_kill-victim"), folder.path(), seed, 0, "strict");
        thread::sleep(Duration::from_millis(100));
        let start = Instant::now();
        while start.elapsed() < Duration::from_secs(1) {
            Plugin::open(folder.path()).list();
            thread::sleep(Duration::from_millis(20));
        }
        let said = victim.kill();
        assert!(!said.stored.is_empty());
        locked += u32::from(said.locked);
        model.learn(&said, seed);
        model.check(&mut Plugin::open(folder.path()), seed);
    }
    println!("{locked} of 4 imports were locked out");
}
