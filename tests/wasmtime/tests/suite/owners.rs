//! A store has one owner. A second opener is told so at once, unless it takes the store over: then the first one is, and
//! nothing is damaged.

use std::{
    path::Path,
    thread,
    time::{Duration, Instant},
};

use tempfile::TempDir;
use wasmtime_host_tests::{
    Command, Instance, Outcome, Plugin, assert_error, in_store, named, plain, random_bytes,
    types::{BackendState, Error, OpenOptions},
    victim::{Model, Victim},
};

const MIB: usize = 1024 * 1024;

/// What an owner without a sign of life is waited for.
const OWNER_TIMEOUT: Duration = Duration::from_secs(10);

/// Opens a store that nobody else may have.
fn open_alone(folder: &Path) -> Result<Plugin, Error> {
    Instance::new(folder, &[]).open(&OpenOptions { take_over: false, ..in_store() })
}

fn status(folder: &Path, options: &[&str]) -> Outcome {
    let arguments = [&["--store", "/store", "status"], options].concat();
    Command::new().folder(folder, "/store").run(&arguments)
}

#[test]
fn a_second_opener_is_locked_out_at_once_until_the_owner_leaves() {
    let folder = TempDir::new().unwrap();
    let mut owner = open_alone(folder.path()).unwrap();
    owner.store(b"before", &named("before")).unwrap();
    let Err(Error::Locked(reason)) = open_alone(folder.path()) else { panic!("a second owner") };
    assert!(reason.contains("last seen") && reason.contains("take the store over"), "{reason}");
    let refused = status(folder.path(), &[]);
    assert!(!refused.success && refused.errors.contains("in use"), "{}", refused.errors);
    owner.store(b"after", &named("after")).unwrap();
    owner.close();
    let found = status(folder.path(), &[]);
    assert!(found.success, "{}", found.errors);
    // A command leaves the store, also one that fails.
    let failed = Command::new().folder(folder.path(), "/store").run(&["--store", "/store", "store", "/nowhere"]);
    assert!(!failed.success);
    assert_eq!(open_alone(folder.path()).unwrap().list().len(), 2);
}

#[test]
fn a_killed_owner_is_waited_for_or_taken_over() {
    let folder = TempDir::new().unwrap();
    let mut killed = open_alone(folder.path()).unwrap();
    killed.store(b"before", &named("before")).unwrap();
    drop(killed);
    assert!(matches!(open_alone(folder.path()), Err(Error::Locked(_))));
    thread::sleep(OWNER_TIMEOUT);
    let mut second = open_alone(folder.path()).unwrap();
    assert_eq!(second.list().len(), 1);
    drop(second);
    assert!(matches!(open_alone(folder.path()), Err(Error::Locked(_))));
    assert!(status(folder.path(), &["--take-over"]).success);
    open_alone(folder.path()).unwrap();
}

#[test]
fn a_handle_is_locked_out_once_another_one_has_taken_over() {
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
fn who_takes_over_and_only_looks_locks_nobody_out() {
    let folder = TempDir::new().unwrap();
    let mut owner = Plugin::open(folder.path());
    owner.store(b"before", &named("before")).unwrap();
    let mut visitor = Plugin::open(folder.path());
    assert_eq!(visitor.list().len(), 1);
    visitor.close();
    owner.store(b"after", &named("after")).unwrap();
    let status = status(folder.path(), &["--take-over"]);
    assert!(status.success, "{}", status.errors);
    owner.store(b"in the end", &named("in the end")).unwrap();
}

/// Another process takes over and looks again and again, at any place in a write. The import may be locked out, but what was
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
            let mut visitor = Plugin::open(folder.path());
            visitor.list();
            visitor.close();
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
