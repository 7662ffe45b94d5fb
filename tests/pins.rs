//! Pins, through the facade: what they keep, while they are fetched and after.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic)]

mod support;

use futures_executor::block_on;
use ipfs_kit_storage::{
    Error, OpenOptions, PinOptions, StoreOptions,
    block::{self, Codec},
    tier::{PinKind, conformance::noise},
};
use support::{Fault, small, world};

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
        assert!(!storage.stat(&cid).await.unwrap().pinned);
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
        assert!(matches!(storage.delete_blocks(&[leaf]).await, Err(Error::Denied(_))));
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
        let got = storage.backend_status().await.usage.blocks;
        assert!(got > 0);
        // Somebody else's deletion leaves it what it has.
        let other = storage.store(noise(3, 50_000), small()).await.unwrap().root.cid;
        storage.delete(&other, false).await.unwrap();
        assert_eq!(storage.backend_status().await.usage.blocks, got);
        world.origins[0].fails(Fault::None, usize::MAX);
        let pin = storage.pin(&cid, named).await.unwrap();
        assert!(!pin.pending);
        assert_eq!(storage.pins(None, 10).await.unwrap().pins, [pin]);
        assert!(storage.stat(&cid).await.unwrap().pinned);
    });
}
