//! What is still there when the store is opened again, and what is not.

use tempfile::TempDir;
use wasmtime_host_tests::{
    Instance, Plugin, assert_error, in_store, named, plain, random_bytes,
    types::{Durability, Error, Layout, OpenOptions, Profile, StoreOptions, Verification},
    with_layout,
};

const MIB: usize = 1024 * 1024;

/// What is acknowledged is there whether the host ended well or not.
#[test]
fn everything_is_there_in_a_new_instance() {
    for closes in [true, false] {
        let folder = TempDir::new().unwrap();
        let mut first = Plugin::open(folder.path());
        let large = random_bytes(1, 5 * MIB);
        let streamed = random_bytes(2, 30 * MIB);
        let cid = first.store(&large, &StoreOptions { pin: true, ..named("large") }).unwrap().cid;
        let old = first.stream(streamed.chunks(99_999), &with_layout(Profile::UnixfsV02015.into())).unwrap().cid;
        first.store_many(&(0..50u8).map(|n| (vec![n; 100], named(n.to_string()))).collect::<Vec<_>>()).unwrap();
        let gone = first.store(b"soon gone", &plain()).unwrap().cid;
        first.delete(&gone).unwrap();
        let files = first.list();
        let before = first.backend_status().unwrap();
        if closes {
            first.close();
        } else {
            drop(first);
        }

        let mut second = Plugin::open(folder.path());
        assert_eq!(files.len(), 52);
        assert_eq!(second.list(), files);
        let after = second.backend_status().unwrap();
        assert_eq!(
            (after.blocks, after.bytes, after.roots, after.pinned),
            (before.blocks, before.bytes, before.roots, before.pinned)
        );
        assert_eq!(after.recovery.truncated_bytes, 0);
        assert!(second.retrieve(&cid).unwrap() == large);
        assert!(second.retrieve(&old).unwrap() == streamed);
        assert_error!(second.delete(&cid), Error::Denied(_));
        assert!(!second.exists(&gone).unwrap());
    }
}

#[test]
fn a_writer_dropped_before_its_end_stores_nothing() {
    let folder = TempDir::new().unwrap();
    let mut plugin = Plugin::open(folder.path());
    for size in [10, 40 * MIB] {
        let writer = plugin.create_writer(&plain()).unwrap();
        plugin.write(writer, &random_bytes(1, size)).unwrap();
        plugin.release(writer);
        let status = plugin.backend_status().unwrap();
        assert_eq!((status.blocks, status.bytes, status.roots), (0, 0, 0), "after {size} bytes");
    }
    plugin.close();
    let mut again = Plugin::open(folder.path());
    assert_eq!(again.list(), []);
    assert_eq!(again.backend_status().unwrap().blocks, 0);
}

#[test]
fn a_host_that_dies_while_a_file_is_written_leaves_nothing_of_it_to_see() {
    let folder = TempDir::new().unwrap();
    let mut plugin = Plugin::open(folder.path());
    let whole = plugin.store(b"whole", &plain()).unwrap();
    let writer = plugin.create_writer(&named("torn")).unwrap();
    plugin.write(writer, &random_bytes(1, 40 * MIB)).unwrap();
    drop(plugin);
    let mut again = Plugin::open(folder.path());
    assert_eq!(again.list(), [whole]);
}

#[test]
fn many_files_are_stored_all_or_none() {
    let folder = TempDir::new().unwrap();
    let mut plugin = Plugin::open(folder.path());
    let no_chunks = Layout { chunk_size: Some(0), ..Layout::from(Profile::UnixfsV12025) };
    for bad in [named("n".repeat(4097)), with_layout(no_chunks)] {
        let mut files: Vec<_> = (0..20u8).map(|n| (vec![n; 1000], plain())).collect();
        files[13].1 = bad;
        assert_error!(plugin.store_many(&files), Error::InvalidArgument(_));
        let status = plugin.backend_status().unwrap();
        assert_eq!((status.blocks, status.roots), (0, 0));
    }
    let longest = named("n".repeat(4096));
    let files = [(b"a".to_vec(), longest.clone()), (b"a".to_vec(), named("twin")), (b"".to_vec(), plain())];
    let stored = plugin.store_many(&files).unwrap();
    assert_eq!(stored.len(), 3);
    assert_eq!(stored[0].cid, stored[1].cid);
    drop(plugin);
    let mut again = Plugin::open(folder.path());
    assert_eq!(again.list().len(), 2);
    assert_eq!(again.stat(&stored[0].cid).unwrap().filename.as_deref(), Some("twin"), "the later one counts");
    assert_eq!(again.store_many(&[]).unwrap(), []);
}

#[test]
fn the_options_of_opening_do_not_change_what_is_stored() {
    let folder = TempDir::new().unwrap();
    let data = random_bytes(1, 3 * MIB);
    let mut cids = Vec::new();
    for durability in [Durability::Strict, Durability::Relaxed] {
        for verification in [Verification::Always, Verification::OnFirstRead, Verification::Never] {
            let options = OpenOptions { durability: Some(durability), verification: Some(verification), ..in_store() };
            let mut plugin = Instance::new(folder.path(), &[]).open(&options).unwrap();
            cids.push(plugin.store(&data, &plain()).unwrap().cid);
            for cid in &cids {
                assert!(plugin.retrieve(cid).unwrap() == data);
            }
        }
    }
    cids.dedup();
    assert_eq!(cids.len(), 1);
    let old = OpenOptions { layout: Some(Profile::UnixfsV02015.into()), ..in_store() };
    let stored = Instance::new(folder.path(), &[]).open(&old).unwrap().store(&data, &plain()).unwrap();
    assert_eq!(stored.profile, Some(Profile::UnixfsV02015));
}
