//! The pack over OPFS, in a dedicated worker of a real browser, through the suite that every tier must pass.
#![cfg(all(target_family = "wasm", feature = "browser"))]

use std::{
    cell::RefCell,
    rc::Rc,
    sync::atomic::{AtomicU32, Ordering},
};

use async_trait::async_trait;
use ipfs_kit_storage::{
    Error, Result,
    hash::CpuHasher,
    platform::{
        browser::{BrowserClock, BrowserDirectory, JsFolder},
        files::Directory,
    },
    tier::{
        Tier, conformance,
        pack::{Opening, PackTier},
    },
};
use js_sys::{Function, Promise};
use wasm_bindgen::prelude::*;
use wasm_bindgen_futures::JsFuture;
use wasm_bindgen_test::{wasm_bindgen_test, wasm_bindgen_test_configure};

wasm_bindgen_test_configure!(run_in_dedicated_worker);

/// Opens a folder as the package does. Its script is no module of the test's: what serves that gives no more than four of them.
async fn folder(name: &str) -> Rc<BrowserDirectory> {
    let open = js_sys::eval(
        "(async (source, name) => {
            const script = new Blob([source], { type: 'text/javascript' });
            const { openFolder } = await (globalThis.opfs ??= import(URL.createObjectURL(script)));
            return openFolder(name);
        })",
    );
    let open: Function = open.unwrap().unchecked_into();
    let script = include_str!("../src/bindings/browser/npm/opfs.js");
    let opening = open.call2(&JsValue::UNDEFINED, &script.into(), &name.into()).unwrap();
    let folder = JsFuture::from(Promise::from(opening)).await.unwrap();
    Rc::new(BrowserDirectory::new(folder.unchecked_into::<JsFolder>()))
}

struct Opfs {
    name: String,
    open: RefCell<Option<Rc<BrowserDirectory>>>,
}

#[async_trait(?Send)]
impl conformance::Fixture for Opfs {
    async fn open(&self) -> Result<Rc<dyn Tier>> {
        if let Some(before) = self.open.take() {
            before.close();
        }
        let directory = folder(&self.name).await;
        self.open.replace(Some(directory.clone()));
        let opening = Opening { exclusive: true, ..Opening::default() };
        Ok(Rc::new(PackTier::open_with(directory, Rc::new(CpuHasher), Rc::new(BrowserClock), opening).await?))
    }
}

fn fresh(case: &str) -> Opfs {
    static RUN: AtomicU32 = AtomicU32::new(0);
    let run = RUN.fetch_add(1, Ordering::Relaxed);
    Opfs { name: format!("{case}/{run} {}", js_sys::Date::now()), open: RefCell::default() }
}

#[wasm_bindgen_test]
async fn opfs() {
    conformance::all(fresh).await;
}

#[wasm_bindgen_test]
async fn files_are_read_and_written_at_any_place() {
    let directory = folder(&fresh("files").name).await;
    let file = directory.open("a").await.unwrap();
    assert!(file.is_empty().unwrap());
    file.write_at(5, b"hello").unwrap();
    file.sync().unwrap();
    // The same file, as long as it is there.
    let again = directory.open("a").await.unwrap();
    assert_eq!(again.read_at(0, 100).unwrap(), b"\0\0\0\0\0hello");
    assert_eq!(again.read_at(7, 2).unwrap(), b"ll");
    assert_eq!(again.read_at(20, 2).unwrap(), b"");
    again.set_len(7).unwrap();
    assert_eq!(file.len().unwrap(), 7);
    directory.open("b").await.unwrap();
    let mut names = directory.list().await.unwrap();
    names.sort();
    assert_eq!(names, ["a", "b"]);
    directory.remove("a").await.unwrap();
    directory.remove("a").await.unwrap();
    assert!(matches!(file.read_at(0, 1), Err(Error::Io(_))));
    assert!(directory.open("a").await.unwrap().is_empty().unwrap());
    let room = directory.room().await.unwrap().unwrap();
    assert!(room.quota > room.used);
}
