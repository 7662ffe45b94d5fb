//! The browser's home: its clock, WebCrypto, IndexedDB, Web Locks and files. The JavaScript modules beside this file speak to the
//! browser in its own terms; what crosses to them is a call for each transaction or batch, not for each request.

pub(crate) mod buffers;
mod fetch;
mod files;

use async_trait::async_trait;
use bytes::Bytes;
use js_sys::{Array, Float64Array, Object, Reflect, Uint8Array, Uint32Array};
use wasm_bindgen::prelude::*;

pub use self::{
    fetch::{BrowserHttp, BrowserNetwork},
    files::{BrowserDirectory, JsFolder},
};
use super::{Clock, Room};
use crate::{
    error::{Error, Result},
    hash::{self, CpuHasher, Digest, HashFunction, Hasher},
};

/// The browser's clock.
#[derive(Debug, Default, Clone, Copy)]
pub struct BrowserClock;

impl Clock for BrowserClock {
    fn now(&self) -> u64 {
        js_sys::Date::now() as u64
    }
}

#[wasm_bindgen(module = "/src/platform/browser/hash.js")]
extern "C" {
    #[wasm_bindgen(js_name = canDigest)]
    fn can_digest() -> bool;

    #[wasm_bindgen(catch, js_name = digestAll)]
    async fn digest_all(memory: JsValue, spans: Vec<u32>) -> Result<JsValue, JsValue>;
}

/// Below this size a digest here costs less than the call to WebCrypto.
const WEBCRYPTO_BYTES: usize = 8 * 1024;

/// Hashes with WebCrypto, in workers where that pays; small buffers and other functions here.
#[derive(Debug, Default, Clone, Copy)]
pub struct BrowserHasher;

#[async_trait(?Send)]
impl Hasher for BrowserHasher {
    async fn digest(&self, function: HashFunction, inputs: &[Bytes]) -> Result<Vec<Digest>> {
        let large = |input: &&Bytes| input.len() >= WEBCRYPTO_BYTES;
        if function != HashFunction::Sha2_256 || !inputs.iter().any(|input| large(&input)) || !can_digest() {
            return CpuHasher.digest(function, inputs).await;
        }
        let slices: Vec<&[u8]> = inputs.iter().filter(large).map(Bytes::as_ref).collect();
        let there = digest_all(wasm_bindgen::memory(), spans(&slices));
        let small: Vec<Bytes> = inputs.iter().filter(|input| !large(input)).cloned().collect();
        let mut here = CpuHasher.digest(function, &small).await?.into_iter();
        let there = there.await.map_err(|error| Error::Io(format!("WebCrypto: {}", message(&error))))?;
        let there = Uint8Array::from(there).to_vec();
        let mut there = there.chunks_exact(function.digest_bytes());
        let mut digests = Vec::with_capacity(inputs.len());
        for input in inputs {
            let digest = if large(&input) {
                there.next().map(|digest| hash::wrap(function, digest)).transpose()?
            } else {
                here.next()
            };
            digests.push(digest.ok_or_else(|| Error::Io("WebCrypto gave too few digests".into()))?);
        }
        Ok(digests)
    }
}

#[wasm_bindgen(module = "/src/platform/browser/indexeddb.js")]
extern "C" {
    #[wasm_bindgen(catch, js_name = openDatabase)]
    pub(crate) async fn open_database(name: &str) -> Result<JsValue, JsValue>;

    #[wasm_bindgen(js_name = closeDatabase)]
    pub(crate) fn close_database(database: &JsValue, locks: &Locks);

    #[wasm_bindgen(catch, js_name = room)]
    async fn told_room() -> Result<JsValue, JsValue>;

    #[wasm_bindgen(catch, js_name = readBlocks)]
    pub(crate) async fn read_blocks(database: &JsValue, keys: Array) -> Result<JsValue, JsValue>;

    #[wasm_bindgen(catch, js_name = hasBlocks)]
    pub(crate) async fn has_blocks(database: &JsValue, keys: Array) -> Result<JsValue, JsValue>;

    #[wasm_bindgen(catch, js_name = blockLengths)]
    pub(crate) async fn block_lengths(database: &JsValue, keys: Array) -> Result<JsValue, JsValue>;

    #[wasm_bindgen(catch, js_name = listKeys)]
    pub(crate) async fn list_keys(database: &JsValue, after: JsValue, limit: u32) -> Result<JsValue, JsValue>;

    #[wasm_bindgen(catch, js_name = readLog)]
    pub(crate) async fn read_log(database: &JsValue, after: f64) -> Result<JsValue, JsValue>;

    #[wasm_bindgen(catch, js_name = compactLog)]
    pub(crate) async fn compact_log(database: &JsValue, up_to: f64, entry: JsValue) -> Result<JsValue, JsValue>;

    #[wasm_bindgen(catch, js_name = writeCommit)]
    async fn write_commit(database: &JsValue, commit: JsValue) -> Result<JsValue, JsValue>;
}

#[wasm_bindgen(module = "/src/platform/browser/locks.js")]
extern "C" {
    #[derive(Clone)]
    pub(crate) type Locks;

    #[wasm_bindgen(constructor)]
    pub(crate) fn new(name: &str) -> Locks;

    #[wasm_bindgen(method, catch)]
    pub(crate) async fn enter(this: &Locks) -> Result<(), JsValue>;

    #[wasm_bindgen(method)]
    pub(crate) fn leave(this: &Locks);

    #[wasm_bindgen(method, catch)]
    pub(crate) async fn alone(this: &Locks) -> Result<JsValue, JsValue>;

    #[wasm_bindgen(method)]
    pub(crate) fn ended(this: &Locks);
}

/// What the browser says of the room for this origin.
pub(crate) async fn room() -> crate::Result<Option<Room>> {
    let room = told_room().await.map_err(|error| failed("cannot tell the quota", &error))?;
    let room = Array::from(&room);
    let bytes = |at| room.get(at).as_f64().map(|bytes| bytes as u64);
    let told = bytes(0).zip(bytes(1));
    Ok(told.map(|(quota, used)| Room { quota, used, persisted: room.get(2).is_truthy() }))
}

/// What a commit changes, as `indexeddb.js` takes it.
#[derive(Default, Clone)]
pub(crate) struct Change {
    pub keys: Array,
    /// One value a key: see [`spans`].
    pub values: Vec<u32>,
    pub drops: Array,
    pub aside: Array,
    /// One place for each of `aside`.
    pub places: Vec<f64>,
    pub record: JsValue,
    pub strict: bool,
    pub ahead: bool,
    /// Whether there is to be a reserve, for changes that are made when the browser has no room left.
    pub reserve: bool,
    /// A function that is called in the transaction, with the log entries after those known, and tells whether to go on.
    pub check: JsValue,
}

/// Writes a commit, and gives the log entries after `after`, its own the last, and which keys were there.
pub(crate) async fn write(database: &JsValue, change: Change, after: f64) -> Result<(JsValue, Vec<u8>), JsValue> {
    let Change { keys, values, drops, aside, places, record, strict, ahead, reserve, check } = change;
    // Numbers, and no memory: it may have moved when it is written again.
    let (values, places) = (Uint32Array::from(values.as_slice()), Float64Array::from(places.as_slice()));
    let write = |blobs: bool| {
        let commit = object(&[
            ("memory", wasm_bindgen::memory()),
            ("keys", keys.clone().into()),
            ("values", values.clone().into()),
            ("drops", drops.clone().into()),
            ("aside", aside.clone().into()),
            ("places", places.clone().into()),
            ("record", record.clone()),
            ("strict", strict.into()),
            ("ahead", ahead.into()),
            ("reserve", reserve.into()),
            ("blobs", blobs.into()),
            ("check", check.clone()),
            ("after", after.into()),
        ]);
        write_commit(database, commit)
    };
    let done = match write(true).await {
        Err(error) if text(&error, "code").as_deref() == Some("blobs") => write(false).await?,
        done => done?,
    };
    let part = |name: &str| Reflect::get(&done, &name.into());
    Ok((part("entries")?, Uint8Array::new(&part("present")?).to_vec()))
}

/// An object with these properties.
pub(crate) fn object(properties: &[(&str, JsValue)]) -> JsValue {
    let object = Object::new();
    for (name, value) in properties {
        let _ = Reflect::set(&object, &(*name).into(), value); // a fresh object takes everything
    }
    object.into()
}

/// Where slices lie in the wasm memory: start and length of each. JavaScript copies what it needs of them before the call
/// returns, so that nothing is copied twice, and no view outlives a growing memory.
pub(crate) fn spans(slices: &[&[u8]]) -> Vec<u32> {
    slices.iter().flat_map(|slice| [slice.as_ptr() as u32, slice.len() as u32]).collect()
}

/// What a failure of the browser means to the caller.
pub(crate) fn failed(what: &str, error: &JsValue) -> Error {
    match (text(error, "code").as_deref(), text(error, "name").as_deref()) {
        (Some("locked"), _) => Error::Locked(message(error)),
        (Some("unsupported"), _) => Error::Unsupported(message(error)),
        (_, Some("QuotaExceededError")) => Error::QuotaExceeded { needed: 0, limit: 0 },
        (_, Some("SecurityError" | "NotAllowedError")) => Error::Denied(format!("{what}: {}", message(error))),
        _ => Error::Io(format!("{what}: {}", message(error))),
    }
}

pub(crate) fn message(error: &JsValue) -> String {
    text(error, "message").or_else(|| error.as_string()).unwrap_or_else(|| format!("{error:?}"))
}

pub(crate) fn text(error: &JsValue, key: &str) -> Option<String> {
    Reflect::get(error, &key.into()).ok().and_then(|value| value.as_string())
}
