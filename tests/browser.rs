//! The browser's home, in a real browser: the IndexedDB tier through the suite that every tier must pass, and WebCrypto.
#![cfg(all(target_family = "wasm", feature = "browser"))]

use std::{
    cell::RefCell,
    rc::Rc,
    sync::atomic::{AtomicU32, Ordering},
};

use async_trait::async_trait;
use bytes::Bytes;
use ipfs_kit_storage::{
    Result,
    bindings::browser::remote::remotes,
    hash::{CpuHasher, HashFunction, Hasher},
    platform::browser::{BrowserHasher, BrowserHttp, BrowserNetwork},
    remote::{
        HttpConnector,
        conformance::{self as remote_conformance, Fixture, Offers, Unknown},
    },
    tier::{IdbTier, MemoryTier, Tier, conformance},
};
use wasm_bindgen::prelude::*;
use wasm_bindgen_test::{wasm_bindgen_test, wasm_bindgen_test_configure};

wasm_bindgen_test_configure!(run_in_browser);

struct Database {
    name: String,
    open: RefCell<Option<Rc<IdbTier>>>,
}

#[async_trait(?Send)]
impl conformance::Fixture for Database {
    async fn open(&self) -> Result<Rc<dyn Tier>> {
        if let Some(before) = self.open.take() {
            before.close();
        }
        let tier = Rc::new(IdbTier::open(&self.name).await?);
        self.open.replace(Some(tier.clone()));
        Ok(tier)
    }
}

fn fresh(case: &str) -> Database {
    static RUN: AtomicU32 = AtomicU32::new(0);
    let run = RUN.fetch_add(1, Ordering::Relaxed);
    Database { name: format!("{case}-{run}-{}", js_sys::Date::now()), open: RefCell::default() }
}

struct Memory;

#[async_trait(?Send)]
impl conformance::Fixture for Memory {
    async fn open(&self) -> Result<Rc<dyn Tier>> {
        Ok(Rc::new(MemoryTier::new()))
    }

    fn persists(&self) -> bool {
        false
    }
}

#[wasm_bindgen_test]
async fn indexeddb() {
    conformance::all(fresh).await;
}

#[wasm_bindgen_test]
async fn memory() {
    conformance::all(|_| Memory).await;
}

#[wasm_bindgen(inline_js = "
    export function remoteOf(blocks, prompt) {
        const put = (cid, bytes) => void blocks.set(cid, bytes);
        const get = (cid) => {
            if (prompt || blocks.has(cid)) return blocks.get(cid);
            throw new DOMException('not here', 'NotFoundError');
        };
        const later = (call) => async (...given) => {
            await new Promise((resolve) => setTimeout(resolve));
            return call(...given);
        };
        if (prompt) return { name: 'prompt', get, put };
        return { name: 'later', kind: 'map', get: later(get), put: later(put), probe: later(() => {}) };
    }
")]
extern "C" {
    #[wasm_bindgen(js_name = remoteOf)]
    fn remote_of(blocks: &js_sys::Map, prompt: bool) -> JsValue;
}

/// Objects of JavaScript over a map, as remotes: one that answers at once and says `undefined` of what it does not have, and
/// one that takes its time and throws.
#[wasm_bindgen_test]
async fn remotes_made_in_javascript() {
    for (prompt, kind) in [(true, "custom"), (false, "map")] {
        let given = js_sys::Array::of1(&remote_of(&js_sys::Map::new(), prompt));
        let remote = remotes(&given, &HttpConnector(Rc::new(BrowserHttp))).unwrap().remove(0);
        assert_eq!(remote.kind(), kind);
        let sample = remote_conformance::sample(1).await;
        remote.put(&sample.blocks).await.unwrap();
        let network = Rc::new(BrowserNetwork);
        let fixture = Fixture { remote, network, sample, unknown: Unknown::IsNotFound, deadline: 1_500 };
        let offers = remote_conformance::all(&fixture).await;
        assert_eq!(offers, Offers { puts: true, ..Offers::default() });
    }
}

/// WebCrypto, its workers and the SIMD lanes against the plain implementation, in every mix of sizes.
#[wasm_bindgen_test]
async fn digests_agree() {
    let sizes = [0, 1, 63, 64, 65, 8191, 8192, 8193, 300_000, 1 << 20, (1 << 20) + 1, 3, 3_000_000];
    let inputs: Vec<Bytes> = sizes.iter().map(|size| conformance::noise(*size as u64, *size).into()).collect();
    for function in HashFunction::ALL {
        // Twice: the workers start with the first large batch, and help from the second on.
        for _ in 0..2 {
            let digests = BrowserHasher.digest(function, &inputs).await.unwrap();
            assert_eq!(digests, CpuHasher.digest(function, &inputs).await.unwrap(), "{function}");
        }
    }
    use sha2::Digest;
    let digests = BrowserHasher.digest(HashFunction::Sha2_256, &inputs).await.unwrap();
    for (input, digest) in inputs.iter().zip(digests) {
        assert_eq!(digest.digest(), sha2::Sha256::digest(input).as_slice());
    }
}

/// Two openers of one database, as two tabs are: each sees what the other writes, and nothing is lost.
#[wasm_bindgen_test]
async fn two_openers_see_each_other() {
    use ipfs_kit_storage::tier::{Commit, Pin, Root};
    let name = fresh("two").name;
    let (one, other) = (IdbTier::open(&name).await.unwrap(), IdbTier::open(&name).await.unwrap());
    let blocks = conformance::blocks_of(HashFunction::Sha2_256, (0..40u8).map(|n| vec![n; 100]).collect()).await;
    for (n, block) in blocks.iter().enumerate() {
        let cid = *block.cid();
        let root = Root { cid, filename: None, size: 100, modified: n as u64, profile: None };
        let commit = Commit {
            blocks: vec![block.clone()],
            set_roots: vec![root],
            pin: vec![Pin::recursive(cid)],
            ..Commit::default()
        };
        let opener = if n % 2 == 0 { &one } else { &other };
        assert_eq!(opener.commit(commit).await.unwrap().pinned, [true]);
    }
    // More than enough to make one of them write the log anew under the other.
    for _ in 0..600 {
        one.flush().await.unwrap();
    }
    let usage = one.usage().await.unwrap();
    assert_eq!((usage.blocks, usage.bytes, usage.roots, usage.pinned), (40, 4000, 40, 40));
    assert_eq!(other.usage().await.unwrap(), usage);
    assert_eq!(other.roots(None, 100).await.unwrap(), one.roots(None, 100).await.unwrap());
    let third = IdbTier::open(&name).await.unwrap();
    assert_eq!(third.usage().await.unwrap(), usage);
}
