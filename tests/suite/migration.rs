//! Stores that earlier versions wrote open in this one, and keep what they hold.

use std::{fs, path::Path, rc::Rc};

use futures_executor::block_on;
use ipfs_kit_storage::{
    OpenOptions, PinOptions, Storage, StoreOptions, block,
    hash::CpuHasher,
    platform::native::{NativeDirectory, SystemClock},
    storage::VerifyOptions,
    tier::{PinKind, pack::PackTier},
};
use tempfile::TempDir;

/// A copy of a store under `tests/stores`.
fn copy(name: &str) -> TempDir {
    let folder = TempDir::new().unwrap();
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/stores").join(name);
    for file in fs::read_dir(source).unwrap() {
        let file = file.unwrap();
        fs::copy(file.path(), folder.path().join(file.file_name())).unwrap();
    }
    folder
}

async fn open(folder: &TempDir) -> Storage {
    let directory = Rc::new(NativeDirectory::open(folder.path()).unwrap());
    let tier = PackTier::open(directory, Rc::new(CpuHasher), Rc::new(SystemClock)).await.unwrap();
    Storage::new(Rc::new(tier), Rc::new(CpuHasher), Rc::new(SystemClock), OpenOptions::default()).unwrap()
}

#[test]
fn pins_without_names_are_pins_still() {
    block_on(async {
        let folder = copy("bare-pins");
        for opening in 0..2 {
            let storage = open(&folder).await;
            let files = storage.roots(None, 10).await.unwrap().files;
            let listed: Vec<(Option<&str>, bool)> =
                files.iter().map(|stored| (stored.root.filename.as_deref(), stored.pinned)).collect();
            let last = opening == 1;
            assert_eq!(listed, [(Some("second"), false), (Some("third"), last), (Some("hello"), true)]);
            let hello = block::parse("bafkreifzjut3te2nhyekklss27nh3k72ysco7y32koao5eei66wof36n5e").unwrap();
            assert_eq!(storage.retrieve(&hello).await.unwrap(), "hello world");
            let pins = storage.pins(None, 10).await.unwrap().pins;
            let pin = pins.iter().find(|pin| pin.cid == hello).unwrap();
            assert_eq!((pin.kind, &pin.name, pin.pending, pin.size), (PinKind::Recursive, &None, false, Some((1, 11))));
            let report = storage.verify(VerifyOptions::default()).await.unwrap();
            assert!(report.is_sound() && report.unreached == Some(0), "{report:?}");
            // Old records and new ones live side by side.
            let third =
                files.iter().find(|stored| stored.root.filename.as_deref() == Some("third")).unwrap().root.cid.clone();
            let named = PinOptions { name: Some("again".into()), ..PinOptions::default() };
            storage.pin(&third, named).await.unwrap();
            storage
                .store("second file", StoreOptions { filename: Some("second".into()), ..Default::default() })
                .await
                .unwrap();
        }
    });
}
