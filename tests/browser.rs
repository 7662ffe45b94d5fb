//! The browser's home, in a real browser: the IndexedDB tier through the suite that every tier must pass, and WebCrypto.
#![cfg(all(target_family = "wasm", feature = "browser"))]

use std::{
    cell::RefCell,
    rc::Rc,
    sync::atomic::{AtomicU32, Ordering},
};

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::future::poll_immediate;
use ipfs_kit_storage::{
    Result,
    bindings::browser::remote::remotes,
    hash::{CpuHasher, HashFunction, Hasher},
    platform::browser::{BrowserHasher, BrowserHttp, BrowserNetwork},
    remote::{
        HttpConnector,
        conformance::{self as remote_conformance, Fixture, Offers, Unknown},
    },
    tier::{GroupCommit, Guard, IdbTier, MemoryTier, Tier, conformance},
};
use js_sys::{Function, Promise};
use wasm_bindgen::prelude::*;
use wasm_bindgen_futures::JsFuture;
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

/// A function of JavaScript. Not a module of its own: what serves the page gives no more than four of them at once.
fn function(source: &str) -> Function {
    js_sys::eval(&format!("({source})")).unwrap().unchecked_into()
}

fn remote_of(blocks: &js_sys::Map, prompt: bool) -> JsValue {
    let make = function(
        "(blocks, prompt) => {
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
        }",
    );
    make.call2(&JsValue::UNDEFINED, blocks, &prompt.into()).unwrap()
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
        let cid = block.cid().clone();
        let root = Root { cid: cid.clone(), filename: None, size: 100, modified: n as u64, profile: None, kind: None };
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

/// Two openers, each of which swaps what it last saw of a note that both change: nothing is lost, also when one writes the
/// log anew under the other.
#[wasm_bindgen_test]
async fn two_openers_swap_a_note() {
    use ipfs_kit_storage::{Error, tier::Commit};
    let name = fresh("swaps").name;
    let (one, other) = (IdbTier::open(&name).await.unwrap(), IdbTier::open(&name).await.unwrap());
    let large = conformance::blocks_of(HashFunction::Sha2_256, vec![conformance::noise(9, 100_000)]).await;
    let count_up = async |tier: &IdbTier| {
        let (mut seen, mut conflicts): (Option<Bytes>, u32) = (None, 0);
        for _ in 0..300 {
            loop {
                let count: u32 = seen.as_ref().map_or(0, |seen| std::str::from_utf8(seen).unwrap().parse().unwrap());
                let next = Some(Bytes::from((count + 1).to_string()));
                let notes = vec![("count".to_owned(), next.clone())];
                let expect = vec![("count".to_owned(), seen.clone())];
                // A large block goes in a Blob, which has its own way to fail.
                match tier.commit(Commit { notes, expect, blocks: large.clone(), ..Commit::default() }).await {
                    Ok(_) => {
                        seen = next;
                        break;
                    }
                    Err(Error::Conflict { name }) if name == "count" => conflicts += 1,
                    Err(error) => panic!("{error}"),
                }
                seen = tier.note("count").await.unwrap();
            }
        }
        conflicts
    };
    let (first, second) = futures_util::future::join(count_up(&one), count_up(&other)).await;
    assert!(first + second > 0, "they did not get in each other's way");
    for tier in [&one, &other, &IdbTier::open(&name).await.unwrap()] {
        assert_eq!(tier.note("count").await.unwrap(), Some("600".into()));
        assert_eq!(tier.usage().await.unwrap().blocks, 1);
    }
}

async fn pause() {
    let paused = function("() => new Promise((resolve) => setTimeout(resolve, 5))").call0(&JsValue::UNDEFINED).unwrap();
    JsFuture::from(Promise::from(paused)).await.unwrap();
}

/// As on a page that has no Web Locks.
fn without_locks(without: bool) {
    let change = function(
        "(without) => {
            if (without) Object.defineProperty(navigator, 'locks', { value: undefined, configurable: true });
            else delete navigator.locks;
        }",
    );
    change.call1(&JsValue::UNDEFINED, &without.into()).unwrap();
}

/// Makes shares of a lock slow to get.
fn slow_shares(slow: bool) {
    let change = function(
        "(slow) => {
            const request = (globalThis.quickRequest ??= LockManager.prototype.request);
            LockManager.prototype.request = !slow ? request : async function (name, options, held) {
                if (options.mode === 'shared') await new Promise((resolve) => setTimeout(resolve, 40));
                return request.call(this, name, options, held);
            };
        }",
    );
    change.call1(&JsValue::UNDEFINED, &slow.into()).unwrap();
}

/// The right to drop blocks, which others are about to give back.
async fn alone(tier: &IdbTier) -> Guard {
    loop {
        if let Some(guard) = tier.alone().await.unwrap() {
            return guard;
        }
        pause().await;
    }
}

/// Nobody is alone, whenever one asks.
async fn never_alone(tier: &IdbTier) {
    for _ in 0..10 {
        assert!(tier.alone().await.unwrap().is_none());
        pause().await;
    }
}

async fn openers<const N: usize>(case: &str) -> [IdbTier; N] {
    let name = fresh(case).name;
    let mut openers = Vec::new();
    for _ in 0..N {
        openers.push(IdbTier::open(&name).await.unwrap());
    }
    openers.try_into().ok().unwrap()
}

#[wasm_bindgen_test]
async fn the_browser_tells_of_the_room() {
    let [tier] = openers("room").await;
    let room = GroupCommit::new(Rc::new(tier)).room().await.unwrap().unwrap();
    assert!(room.quota > room.used);
    assert!(!room.persisted);
}

#[wasm_bindgen_test]
async fn nobody_drops_blocks_while_another_is_under_way() {
    let [one, other, third] = openers("under-way").await;
    let first = one.enter().await.unwrap();
    let second = one.enter().await.unwrap();
    never_alone(&other).await;
    drop(first);
    never_alone(&other).await;
    // Two do not exclude one another, and one that was refused is as protected as before.
    let others = other.enter().await.unwrap();
    never_alone(&one).await;
    never_alone(&other).await;
    drop(others);
    never_alone(&other).await;
    drop(second);
    let guard = alone(&other).await;
    never_alone(&third).await;
    drop(guard);
    drop(alone(&third).await);
}

#[wasm_bindgen_test]
async fn what_is_under_way_in_the_same_opening_is_its_own_affair() {
    let [one, other] = openers("own").await;
    let under_way = one.enter().await.unwrap();
    let sweep = alone(&one).await;
    let again = alone(&one).await;
    let later = one.enter().await.unwrap();
    drop(under_way);
    drop(sweep);
    // The second sweep goes on: who begins elsewhere waits for it.
    let mut begins = other.enter();
    for _ in 0..10 {
        assert!(poll_immediate(&mut begins).await.is_none());
        pause().await;
    }
    drop(again);
    let begun = begins.await.unwrap();
    drop(begun);
    // What began during the sweep is protected at its end, without a gap.
    never_alone(&other).await;
    drop(later);
    drop(alone(&other).await);
}

#[wasm_bindgen_test]
async fn nobody_slips_in_while_a_share_is_taken_again() {
    let [one, other] = openers("gap").await;
    let under_way = one.enter().await.unwrap();
    slow_shares(true);
    // At the end of a sweep.
    let sweep = alone(&one).await;
    drop(sweep);
    never_alone(&other).await;
    // When it was refused.
    let others = other.enter().await.unwrap();
    assert!(one.alone().await.unwrap().is_none());
    drop(others);
    never_alone(&other).await;
    slow_shares(false);
    drop(under_way);
    drop(alone(&other).await);
}

#[wasm_bindgen_test]
async fn who_does_not_wait_for_the_guard_holds_nothing() {
    let [one, other, third] = openers("cancelled").await;
    let sweep = alone(&one).await;
    assert!(poll_immediate(other.enter()).await.is_none());
    assert!(poll_immediate(third.alone()).await.is_none());
    drop(sweep);
    assert!(poll_immediate(third.alone()).await.is_none());
    drop(alone(&one).await);
    drop(alone(&other).await);
    drop(alone(&third).await);
}

#[wasm_bindgen_test]
async fn closing_gives_everything_back() {
    let [one, other, third] = openers("closing").await;
    let _under_way = one.enter().await.unwrap();
    let _sweep = alone(&one).await;
    one.close();
    let sweep = alone(&other).await;
    let _late = one.enter().await.unwrap();
    assert!(one.alone().await.unwrap().is_none());
    drop(sweep);
    let _others = other.enter().await.unwrap();
    other.close();
    drop(alone(&third).await);
}

#[wasm_bindgen_test]
async fn nothing_is_dropped_where_there_are_no_locks() {
    let [one, other] = openers("no-locks").await;
    without_locks(true);
    let begun = one.enter().await.is_ok();
    let refused = [one.alone().await.unwrap().is_none(), other.alone().await.unwrap().is_none()];
    without_locks(false);
    assert_eq!((begun, refused), (true, [true, true]));
    drop(alone(&other).await);
}
