//! The component for WASI 0.3: streams both ways, several calls at once, and nothing left of what was not ended.

use std::{
    path::Path,
    sync::{Arc, Mutex},
};

use futures_util::{
    StreamExt,
    future::{join, join_all, join3, pending},
    stream::{self, BoxStream},
};
use sha2::{Digest, Sha256};
use tempfile::TempDir;
use tokio::sync::{mpsc, oneshot};
use wasmtime_host_tests::{
    Enough, Instance, Keystream, Plugin, Waiting, assert_error, buffer, cancel_while_storing, every_block, in_store,
    ipip_cid, kubo_cids, named, part, pin, pinned, plain, random_bytes,
    types::{Error, OpenOptions, Profile, StoreOptions},
    whole, with_waiting,
};

const MIB: usize = 1024 * 1024;

fn pieces(data: &[u8], size: usize) -> BoxStream<'static, Vec<u8>> {
    stream::iter(data.chunks(size).map(<[u8]>::to_vec).collect::<Vec<_>>()).boxed()
}

/// Uses the store in a folder, which nobody else may have open.
fn using<T>(folder: &Path, call: impl AsyncFnOnce(Waiting<'_>) -> T) -> T {
    // Whoever had it before has closed it: nothing is taken over.
    with_waiting(folder, &OpenOptions { take_over: false, ..in_store() }, call).expect("the store opens").0
}

/// All that is read.
async fn read(store: &Waiting<'_>, cid: &str, offset: u64, length: Option<u64>) -> Result<Vec<u8>, Error> {
    let got = Arc::new(Mutex::new(Vec::new()));
    let sink = got.clone();
    let take = move |bytes: &[u8]| {
        sink.lock().unwrap().extend_from_slice(bytes);
        Enough::NotYet
    };
    let (_, ended) = store.retrieve(cid, part(offset, length), take).await?;
    ended?;
    Ok(Arc::into_inner(got).map(|got| got.into_inner().unwrap()).unwrap_or_default())
}

#[test]
fn a_file_goes_in_and_out_by_streams_and_both_components_agree() {
    let folder = TempDir::new().unwrap();
    let size = 10 * MIB;
    let data = buffer(size);
    let (_, cid) = kubo_cids(Profile::UnixfsV12025).into_iter().find(|(of, _)| *of == size).unwrap();
    using(folder.path(), async |store| {
        for piece in [977, MIB, 3 * MIB + 7, size] {
            let stored = store.store(pieces(&data, piece), Some(size as u64), &named("ten")).await.unwrap();
            assert_eq!((stored.cid.as_str(), stored.size), (cid.as_str(), Some(size as u64)), "in pieces of {piece}");
        }
        assert!(read(&store, &cid, 0, None).await.unwrap() == data);
        assert_eq!(store.store(stream::empty().boxed(), None, &plain()).await.unwrap().size, Some(0));
        let edges = [(0, Some(1)), (MIB as u64 - 1, Some(2)), (5_000_001, Some(2_000_003)), (size as u64, None)];
        for (offset, length) in edges {
            let to = length.map_or(size, |length| offset as usize + length as usize);
            assert!(read(&store, &cid, offset, length).await.unwrap() == data[offset as usize..to], "from {offset}");
        }
    });
    // It has left: the component for WASI 0.2 need not take it over.
    let alone = OpenOptions { take_over: false, ..in_store() };
    let mut plugin = Instance::new(folder.path(), &[]).open(&alone).unwrap();
    assert!(plugin.retrieve(&cid).unwrap() == data);
    let theirs = plugin.store(b"from 0.2", &named("theirs")).unwrap();
    plugin.close();
    using(folder.path(), async |store| {
        assert_eq!(read(&store, &theirs.cid, 5, None).await.unwrap(), b"0.2");
        assert_eq!(store.stat(&theirs.cid).await.unwrap(), theirs);
    });
}

#[test]
fn a_gibibyte_passes_through_less_than_64_mib_of_memory() {
    const SIZE: u64 = 1 << 30;
    let folder = TempDir::new().unwrap();
    let source = || Keystream::new("v1-2025-seed", SIZE, 3 * MIB + 12_345);
    let hash = Arc::new(Mutex::new(Sha256::new()));
    let sink = hash.clone();
    let take = move |bytes: &[u8]| {
        sink.lock().unwrap().update(bytes);
        Enough::NotYet
    };
    let (cid, peak) = with_waiting(folder.path(), &in_store(), async |store| {
        let stored = store.store(stream::iter(source()).boxed(), Some(SIZE), &named("large")).await.unwrap();
        let (size, ended) = store.retrieve(&stored.cid, whole(), take).await.unwrap();
        ended.unwrap();
        assert_eq!((size, stored.size), (SIZE, Some(SIZE)));
        stored.cid
    })
    .unwrap();
    assert_eq!(cid, ipip_cid(Profile::UnixfsV12025, "v1-2025-seed", SIZE));
    let mut given = source();
    given.by_ref().for_each(drop);
    assert_eq!(<[u8; 32]>::from(hash.lock().unwrap().clone().finalize()), given.digest());
    println!("peak linear memory: {:.1} MiB after 1 GiB in and out", peak as f64 / MIB as f64);
    assert!(peak < 64 * MIB, "{peak} bytes");
}

/// Bytes that come when the test gives them.
fn fed() -> (mpsc::UnboundedSender<Vec<u8>>, BoxStream<'static, Vec<u8>>) {
    let (sender, receiver) = mpsc::unbounded_channel();
    let stream =
        stream::unfold(receiver, |mut receiver| async { receiver.recv().await.map(|piece| (piece, receiver)) });
    (sender, stream.boxed())
}

#[test]
fn calls_go_on_beside_one_that_waits_for_bytes() {
    let folder = TempDir::new().unwrap();
    using(folder.path(), async |store| {
        let data = random_bytes(1, 3 * MIB);
        let (feed, slow) = fed();
        feed.send(data[..1000].to_vec()).unwrap();
        // Each step of the second is made while the first waits: it has no more bytes before the second has ended.
        let (first, ()) = join(store.store(slow, Some(data.len() as u64), &named("slow")), async {
            let quick = store.store(pieces(b"quick", 2), None, &named("quick")).await.unwrap();
            assert_eq!(read(&store, &quick.cid, 0, None).await.unwrap(), b"quick");
            let (listed, ended) = store.list("/").await.unwrap();
            ended.unwrap();
            assert_eq!(listed, [quick]);
            assert!(store.collect(false).await.unwrap().obstacles.is_empty());
            feed.send(data[1000..].to_vec()).unwrap();
            drop(feed);
        })
        .await;
        assert!(read(&store, &first.unwrap().cid, 0, None).await.unwrap() == data);
    });
}

#[test]
fn many_calls_at_once_take_turns() {
    let folder = TempDir::new().unwrap();
    using(folder.path(), async |store| {
        // Bytes are always there, so that nobody would have to wait for anybody.
        let order = Arc::new(Mutex::new(Vec::new()));
        let all = join_all((0..4).map(|n| {
            let order = order.clone();
            let data = random_bytes(n, 8 * MIB).chunks(MIB).map(<[u8]>::to_vec).collect::<Vec<_>>();
            let noted = stream::iter(data).inspect(move |_| order.lock().unwrap().push(n)).boxed();
            async move { store.store(noted, Some(8 * MIB as u64), &plain()).await.unwrap() }
        }))
        .await;
        let order = order.lock().unwrap().clone();
        let last_of_first = order.iter().rposition(|n| *n == order[0]).unwrap();
        let between: Vec<_> = order[..last_of_first].iter().filter(|n| **n != order[0]).collect();
        assert!(between.len() >= 8, "one after another: {order:?}");
        let back = join_all(all.iter().map(|file| read(&store, &file.cid, 0, None))).await;
        for (n, back) in back.into_iter().enumerate() {
            assert!(back.unwrap() == random_bytes(n as u64, 8 * MIB));
        }
    });
}

/// What is held, once all that nothing needs is collected.
async fn kept(store: &Waiting<'_>) -> (u64, u64) {
    store.collect(false).await.unwrap();
    let status = store.backend_status().await.unwrap();
    (status.roots, status.blocks)
}

#[test]
fn a_stream_that_breaks_off_leaves_nothing() {
    let folder = TempDir::new().unwrap();
    using(folder.path(), async |store| {
        let data = random_bytes(1, 30 * MIB);
        let whole = data.len() as u64;
        for (part, said) in [(20 * MIB, whole), (30 * MIB, whole - 1), (0, 1)] {
            let failed = store.store(pieces(&data[..part], 700_000), Some(said), &pinned()).await;
            assert_error!(failed, Error::InvalidArgument(message) if message.contains("nothing is stored"));
            assert_eq!(store.list("/").await.unwrap().0, []);
        }
        // Nothing had to be collected: what was written ahead was taken back.
        assert_eq!(store.backend_status().await.unwrap().blocks, 0);
        assert_eq!(kept(&store).await, (0, 0));
    });
}

/// The host has lost its interest, or its mind, and nothing of the instance runs any more.
#[test]
fn a_host_that_ends_in_the_middle_leaves_nothing() {
    let folder = TempDir::new().unwrap();
    let data = random_bytes(1, 40 * MIB);
    let interrupted = std::panic::catch_unwind(|| {
        with_waiting(folder.path(), &in_store(), async |store| {
            // It asks for more once it has taken all of the first piece, and written most of it ahead.
            let (asked, more) = oneshot::channel();
            let endless = stream::once(async move {
                let _ = asked.send(());
                pending().await
            });
            let slow = stream::iter([data.clone()]).chain(endless).boxed();
            let watch = async {
                more.await.unwrap();
                panic!("the host ends here");
            };
            let _ = join(store.store(slow, None, &plain()), watch).await;
        })
    });
    assert!(interrupted.is_err());
    let mut plugin = Plugin::open(folder.path());
    assert_eq!(plugin.list(), []);
    plugin.collect_all(false).unwrap();
    assert_eq!(plugin.backend_status().unwrap().blocks, 0);
}

#[test]
fn a_cancelled_call_leaves_nothing_and_stops_nobody() {
    let folder = TempDir::new().unwrap();
    let (roots, blocks, after) = cancel_while_storing(folder.path(), 20 * MIB as u64);
    assert_eq!((roots, blocks), (0, 0), "taken back, without a collection");
    using(folder.path(), async |store| {
        assert_eq!(read(&store, &after, 0, None).await.unwrap(), b"after");
        assert_eq!(kept(&store).await, (1, 1));
    });
}

#[test]
fn who_has_read_enough_drops_the_stream_and_stops_nobody() {
    let folder = TempDir::new().unwrap();
    using(folder.path(), async |store| {
        let data = random_bytes(1, 20 * MIB);
        let cid = store.store(pieces(&data, MIB), None, &plain()).await.unwrap().cid;
        let mut left = 3;
        let take = move |_: &[u8]| {
            left -= 1;
            if left == 0 { Enough::Yes } else { Enough::NotYet }
        };
        let dropped = store.retrieve(&cid, whole(), take);
        let (dropped, beside, again) = join3(dropped, read(&store, &cid, 0, None), store.stat(&cid)).await;
        assert_eq!(dropped.unwrap(), (20 * MIB as u64, Err(Error::Cancelled)));
        assert!(beside.unwrap() == data);
        assert_eq!(again.unwrap().size, Some(20 * MIB as u64));
        // Nobody holds it any more.
        store.delete(&cid, false).await.unwrap();
        assert_eq!(kept(&store).await, (0, 0));
    });
}

#[test]
fn a_listing_is_a_stream_of_entries() {
    let folder = TempDir::new().unwrap();
    using(folder.path(), async |store| {
        let files: Vec<_> = (0..1000).map(|n| (random_bytes(n, 50), named(format!("file {n}")))).collect();
        let mut stored = store.store_many(&files).await.unwrap();
        stored.sort_by(|one, other| one.cid.cmp(&other.cid));
        let (listed, ended) = store.list("/").await.unwrap();
        ended.unwrap();
        assert_eq!(listed, stored);
        assert_error!(store.list(&stored[0].cid).await, Error::Unsupported(_));
        assert_error!(store.list("/nowhere").await, Error::InvalidCid(_));
    });
}

#[test]
fn errors_are_those_of_the_other_world() {
    let folder = TempDir::new().unwrap();
    using(folder.path(), async |store| {
        let absent = "bafkreifzjut3te2nhyekklss27nh3k72ysco7y32koao5eei66wof36n5e";
        let nothing = |_: &[u8]| Enough::Yes;
        assert_error!(store.retrieve(absent, whole(), nothing).await, Error::NotAvailableOffline(_));
        assert_error!(store.retrieve("x", whole(), nothing).await, Error::InvalidCid(_));
        assert_error!(store.stat(absent).await, Error::NotFound(_));
        assert!(!store.exists(absent).await.unwrap());
        let cid = store.store(pieces(b"kept", 4), None, &pinned()).await.unwrap().cid;
        assert_error!(store.delete(&cid, false).await, Error::Denied(_));
        store.unpin(&cid).await.unwrap();
        assert_eq!(store.pin(&cid, pin()).await.unwrap().blocks, Some(1));
        assert!(store.verify(every_block()).await.unwrap().sound);
        let long = StoreOptions { filename: Some("n".repeat(4097)), ..plain() };
        assert_error!(store.store(pieces(b"x", 1), None, &long).await, Error::InvalidArgument(_));
        store.delete(&cid, true).await.unwrap();
        assert_error!(store.delete(&cid, true).await, Error::NotFound(_));
    });
}

#[test]
fn a_store_has_one_owner_whatever_its_world() {
    let folder = TempDir::new().unwrap();
    let alone = || OpenOptions { take_over: false, ..in_store() };
    using(folder.path(), async |_| {
        // The host runs no component within a call of another: so on a thread of its own.
        let second =
            std::thread::scope(|scope| scope.spawn(|| Instance::new(folder.path(), &[]).open(&alone())).join());
        assert!(matches!(second.unwrap(), Err(Error::Locked(_))));
    });
    let owner = Instance::new(folder.path(), &[]).open(&alone()).unwrap();
    assert_error!(with_waiting(folder.path(), &alone(), async |_| ()), Error::Locked(_));
    owner.close();
    using(folder.path(), async |_| ());
}
