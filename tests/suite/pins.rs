//! Pins, through the facade: what they keep, while they are fetched and after.

use std::{cell::Cell, future::poll_fn, pin::pin, rc::Rc, task::Poll};

use async_trait::async_trait;
use bytes::Bytes;
use futures_executor::block_on;
use futures_util::future::poll_immediate;
use ipfs_kit_storage::{
    Error, OpenOptions, PinOptions, Storage, StoreOptions,
    block::{self, Codec},
    hash::{CpuHasher, Digest, HashFunction, Hasher},
    tier::{MemoryTier, PinKind, Tier, conformance::noise},
};

use crate::support::{Fault, Time, small, world};

#[test]
fn a_pin_says_who_it_is_for_and_until_when() {
    block_on(async {
        let world = world(0, OpenOptions::default());
        let storage = &world.storage;
        let cid = storage.store("kept", StoreOptions::default()).await.unwrap().root.cid;
        let options = PinOptions {
            name: Some("the model".into()),
            labels: [("owner".into(), "me".into())].into(),
            expires: Some(world.time.now.get() + 1_000),
            ..PinOptions::default()
        };
        let pin = storage.pin(&cid, options).await.unwrap();
        assert_eq!(storage.pins(None, 10).await.unwrap().pins, std::slice::from_ref(&pin));
        assert!(!pin.pending);
        assert!(matches!(storage.delete(&cid, false).await, Err(Error::Denied(_))));
        // Storing it again leaves it its name.
        storage.store("kept", StoreOptions { pin: false, ..StoreOptions::default() }).await.unwrap();
        assert_eq!(storage.pins(None, 10).await.unwrap().pins, [pin]);
        // Its time is over.
        world.time.now.set(world.time.now.get() + 1_000);
        assert!(storage.pins(None, 10).await.unwrap().pins.is_empty());
        assert!(!storage.root(&cid).await.unwrap().pinned);
        storage.delete(&cid, false).await.unwrap();
        let past = PinOptions { expires: Some(1), ..PinOptions::default() };
        world.time.now.set(10);
        assert!(matches!(storage.pin(&cid, past).await, Err(Error::InvalidArgument(_))));
    });
}

#[test]
fn a_pinned_block_stays_when_its_file_goes() {
    block_on(async {
        let world = world(0, OpenOptions::default());
        let storage = &world.storage;
        let data = noise(1, 50_000);
        let cid = storage.store(data.clone(), small()).await.unwrap().root.cid;
        let leaf = storage.store(data[..10_000].to_vec(), StoreOptions::default()).await.unwrap().root.cid;
        let leaf = block::new_cid(leaf.version(), Codec::Raw, block::key(&leaf).unwrap());
        storage.delete(&leaf, false).await.unwrap();
        let direct = PinOptions { kind: PinKind::Direct, ..PinOptions::default() };
        storage.pin(&leaf, direct.clone()).await.unwrap();
        storage.delete(&cid, false).await.unwrap();
        assert!(storage.exists(&leaf).await.unwrap() && !storage.exists(&cid).await.unwrap());
        assert_eq!(storage.backend_status().await.usage.blocks, 1);
        assert!(matches!(storage.delete_blocks(std::slice::from_ref(&leaf)).await, Err(Error::Denied(_))));
        storage.unpin(&leaf).await.unwrap();
        storage.delete_blocks(&[leaf]).await.unwrap();
        // All of it is pinned: one block of it alone would be less.
        let cid = storage.store(data, StoreOptions { pin: true, ..small() }).await.unwrap().root.cid;
        assert!(matches!(storage.pin(&cid, direct).await, Err(Error::Denied(_))));
        storage.delete(&cid, true).await.unwrap();
        assert_eq!(storage.backend_status().await.usage.blocks, 0);
    });
}

#[test]
fn what_a_pin_has_got_so_far_is_kept_and_it_goes_on_from_there() {
    block_on(async {
        let world = world(1, OpenOptions::default());
        let storage = &world.storage;
        let cid = world.everywhere(&noise(2, 400_000), small()).await;
        world.origins[0].fails(Fault::Truncated, usize::MAX);
        let named = PinOptions { name: Some("big".into()), ..PinOptions::default() };
        assert!(matches!(storage.pin(&cid, named.clone()).await, Err(Error::Unavailable { .. })));
        let pins = storage.pins(None, 10).await.unwrap().pins;
        assert!(pins.len() == 1 && pins[0].pending && pins[0].name.as_deref() == Some("big"), "{pins:?}");
        let usage = storage.backend_status().await.usage;
        let got = usage.blocks;
        assert!(got > 0);
        // Its size is that of what is here, and grows.
        assert_eq!(pins[0].size, Some((got, usage.bytes)));
        assert_eq!(world.tier.pin(&cid).await.unwrap().unwrap().size, None);
        // Somebody else's deletion leaves it what it has.
        let other = storage.store(noise(3, 50_000), small()).await.unwrap().root.cid;
        storage.delete(&other, false).await.unwrap();
        assert_eq!(storage.backend_status().await.usage.blocks, got);
        world.origins[0].fails(Fault::None, usize::MAX);
        let pin = storage.pin(&cid, named).await.unwrap();
        assert!(!pin.pending);
        assert_eq!(storage.pins(None, 10).await.unwrap().pins, [pin]);
        assert!(storage.root(&cid).await.unwrap().pinned);
    });
}

#[test]
fn a_pin_knows_how_large_it_is() {
    block_on(async {
        let world = world(0, OpenOptions::default());
        let storage = &world.storage;
        let usage = async || {
            let usage = storage.backend_status().await.usage;
            Some((usage.blocks, usage.bytes))
        };
        let listed = async |cid| storage.pins(None, 10).await.unwrap().pins.into_iter().find(|pin| pin.cid == cid);
        // Leaves that are all the same are one block.
        let data = [vec![7; 50_000], noise(4, 50_000)].concat();
        let cid = storage.store(data.clone(), StoreOptions { pin: true, ..small() }).await.unwrap().root.cid;
        assert_eq!(world.tier.pin(&cid).await.unwrap().unwrap().size, None);
        let (mut pin, size) = (world.tier.pin(&cid).await.unwrap(), usage().await);
        pin.as_mut().unwrap().size = size;
        assert_eq!(listed(cid.clone()).await, pin);
        assert_eq!(world.tier.pin(&cid).await.unwrap(), pin, "what was counted is kept");
        storage.store(data, StoreOptions { pin: true, ..small() }).await.unwrap();
        assert_eq!(world.tier.pin(&cid).await.unwrap(), pin, "also when it is stored again");
        storage.unpin(&cid).await.unwrap();
        assert_eq!(storage.pin(&cid, PinOptions::default()).await.unwrap().size, size);
        assert_eq!(world.tier.pin(&cid).await.unwrap().unwrap().size, size);
        // One block.
        let block = storage.store("one block", StoreOptions { pin: true, ..small() }).await.unwrap().root.cid;
        assert_eq!(listed(block).await.unwrap().size, Some((1, 9)));
        storage.unpin(&cid).await.unwrap();
        let direct = PinOptions { kind: PinKind::Direct, ..PinOptions::default() };
        let (blocks, bytes) = storage.pin(&cid, direct).await.unwrap().size.unwrap();
        assert!(blocks == 1 && bytes < 2_000, "the root's node alone, of {bytes} bytes");
    });
}

#[test]
fn a_count_takes_nothing_back() {
    block_on(async {
        let time = Time { now: Rc::default(), online: Rc::new(Cell::new(true)) };
        let tier = Rc::new(MemoryTier::new());
        let options = OpenOptions { memory_bytes: 0, ..OpenOptions::default() };
        let storage = Storage::new(tier.clone(), Rc::new(Slow), Rc::new(time), options).unwrap();
        let cid = storage.store(noise(5, 50_000), StoreOptions { pin: true, ..small() }).await.unwrap().root.cid;
        let mut listing = pin!(storage.pins(None, 10));
        assert!(poll_immediate(&mut listing).await.is_none(), "it reads the root's node to count it");
        storage.unpin(&cid).await.unwrap();
        assert!(listing.await.unwrap().pins[0].size.is_some());
        assert_eq!(tier.pin(&cid).await.unwrap(), None, "it is not pinned again by being counted");
    });
}

/// Gives way to others before each digest.
struct Slow;

#[async_trait(?Send)]
impl Hasher for Slow {
    async fn digest(&self, function: HashFunction, inputs: &[Bytes]) -> ipfs_kit_storage::Result<Vec<Digest>> {
        let mut waited = false;
        poll_fn(|context| {
            context.waker().wake_by_ref();
            if std::mem::replace(&mut waited, true) { Poll::Ready(()) } else { Poll::Pending }
        })
        .await;
        CpuHasher.digest(function, inputs).await
    }
}
