//! Between JavaScript's plain values and the facade's types. Names are those of `npm/index.d.ts`.

use std::rc::Rc;

use js_sys::{Array, Function};
use serde::{Deserialize, Serialize};
use wasm_bindgen::{JsCast, JsValue};

use super::remote;
use crate::{
    error::{Error, OfflineReason},
    hash::HashFunction,
    platform::browser::{BrowserClock, BrowserHttp, BrowserNetwork},
    remote::{HttpConnector, Patience, Remotes},
    storage::{self, OnFetched, OnPushed, Verification},
    tier::{Durability, StoredRoot},
    unixfs::{self, Profile},
};

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct OpenOptions {
    layout: Option<Layout>,
    durability: Option<String>,
    verification: Option<String>,
    force_fallback: bool,
    remote_timeout: Option<u32>,
    disabled: bool,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct StoreOptions {
    filename: Option<String>,
    pin: bool,
    layout: Option<Layout>,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct Layout {
    profile: Option<String>,
    chunk_size: Option<f64>,
    width: Option<f64>,
    raw_leaves: Option<bool>,
    hash: Option<String>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct ReadOptions {
    offset: f64,
    length: Option<f64>,
    offline: bool,
    pin: bool,
}

/// What has been fetched so far.
#[derive(Serialize)]
struct Fetched<'a> {
    blocks: u64,
    bytes: u64,
    remote: &'a str,
}

/// What a remote has taken so far.
#[derive(Serialize)]
pub struct Pushed {
    blocks: u64,
    bytes: u64,
}

impl<'a> From<&'a storage::Fetched> for Fetched<'a> {
    fn from(fetched: &'a storage::Fetched) -> Self {
        Fetched { blocks: fetched.blocks, bytes: fetched.bytes, remote: &fetched.remote }
    }
}

impl From<storage::Pushed> for Pushed {
    fn from(pushed: storage::Pushed) -> Self {
        Pushed { blocks: pushed.blocks, bytes: pushed.bytes }
    }
}

impl From<Fetched<'_>> for JsValue {
    fn from(fetched: Fetched<'_>) -> Self {
        to_js(&fetched).unwrap_or_default()
    }
}

impl From<Pushed> for JsValue {
    fn from(pushed: Pushed) -> Self {
        to_js(&pushed).unwrap_or_default()
    }
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct CacheConfig {
    memory_bytes: Option<f64>,
    disk_bytes: Option<f64>,
    policy: Option<String>,
}

/// A stored root.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub struct FileInfo {
    cid: String,
    filename: Option<String>,
    size: u64,
    modified: u64,
    pinned: bool,
    profile: Option<&'static str>,
}

/// A part of a listing.
#[derive(Serialize)]
pub struct FilePage {
    files: Vec<FileInfo>,
    next: Option<String>,
}

impl From<storage::Page> for FilePage {
    fn from(page: storage::Page) -> Self {
        let files = page.files.into_iter().map(FileInfo::from).collect();
        FilePage { files, next: page.next.map(|cid| cid.to_string()) }
    }
}

/// The state of a store.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Status {
    backends: Vec<Backend>,
    local_only: Option<&'static str>,
    blocks: u64,
    bytes: u64,
    roots: u64,
    pinned: u64,
    quarantined: u64,
    disk_limit: Option<u64>,
    memory_limit: u64,
    memory_bytes: u64,
    memory_hits: u64,
    memory_misses: u64,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Backend {
    name: String,
    kind: String,
    state: &'static str,
    evidence: String,
    checked: u64,
    latency: Option<u64>,
    failures: u32,
    bytes_in: u64,
    bytes_out: u64,
}

/// An error on its way to JavaScript.
#[derive(Serialize, Default)]
pub struct Thrown {
    code: &'static str,
    message: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    cid: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    path: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    needed: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    limit: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    attempts: Option<Vec<Attempt>>,
}

/// One remote that was asked in vain.
#[derive(Serialize)]
struct Attempt {
    remote: String,
    reason: String,
}

pub fn open_options(value: JsValue, remotes: &Array) -> Result<storage::OpenOptions, JsValue> {
    let known = ["layout", "durability", "verification", "forceFallback", "remoteTimeout", "disabled"];
    let given: OpenOptions = from_js(value, &known)?;
    let durability = match given.durability.as_deref() {
        None | Some("strict") => Durability::Strict,
        Some("relaxed") => Durability::Relaxed,
        Some(other) => return Err(unknown("durability", other, "strict and relaxed")),
    };
    let verification = match given.verification.as_deref() {
        None | Some("always") => Verification::Always,
        Some("on-first-read") => Verification::OnFirstRead,
        Some("never") => Verification::Never,
        Some(other) => return Err(unknown("verification", other, "always, on-first-read and never")),
    };
    let offline = match (given.disabled, given.force_fallback) {
        (true, _) => Some(OfflineReason::Disabled),
        (_, true) => Some(OfflineReason::ForceFallback),
        _ => None,
    };
    let layout = given.layout.map_or(Ok(unixfs::Layout::default()), layout)?;
    let connector = Rc::new(HttpConnector(Rc::new(BrowserHttp)));
    let remotes = remote::remotes(remotes, connector.as_ref()).map_err(Thrown::from)?;
    let (clock, network) = (Rc::new(BrowserClock), Rc::new(BrowserNetwork));
    let patience = given.remote_timeout.map_or_else(|| Ok(Patience::default()), Patience::of).map_err(Thrown::from)?;
    let remotes = Remotes::new(remotes, connector, clock, network, patience).map_err(Thrown::from)?;
    let remotes = Some(Rc::new(remotes));
    Ok(storage::OpenOptions { layout, durability, verification, offline, remotes, ..storage::OpenOptions::default() })
}

pub fn store_options(value: JsValue) -> Result<storage::StoreOptions, JsValue> {
    let given: StoreOptions = from_js(value, &["filename", "pin", "layout"])?;
    let layout = given.layout.map(layout).transpose()?;
    Ok(storage::StoreOptions { filename: given.filename, pin: given.pin, layout })
}

pub fn read_options(value: JsValue) -> Result<storage::ReadOptions, Error> {
    let given: ReadOptions =
        serde_wasm_bindgen::from_value(value).map_err(|error| Error::InvalidArgument(error.to_string()))?;
    let length = given.length.map(|length| length as u64);
    let range = storage::ReadOptions::range(given.offset as u64, length);
    Ok(storage::ReadOptions { offline: given.offline, pin: given.pin, ..range })
}

/// What is told fails where it is told: nothing here depends on it.
fn tell(told: &Function, what: impl Into<JsValue>) {
    let _ = told.call1(&JsValue::NULL, &what.into());
}

pub fn on_fetched(told: Function) -> OnFetched {
    Rc::new(move |fetched| tell(&told, Fetched::from(fetched)))
}

pub fn on_pushed(told: Function) -> OnPushed {
    Rc::new(move |pushed| tell(&told, Pushed::from(*pushed)))
}

pub fn cache_config(value: JsValue) -> Result<storage::CacheConfig, JsValue> {
    let given: CacheConfig = from_js(value, &["memoryBytes", "diskBytes", "policy"])?;
    if let Some(other) = given.policy.as_deref().filter(|policy| *policy != "lru") {
        return Err(unknown("policy", other, "lru"));
    }
    // Casting Infinity gives u64::MAX, which takes the limit away.
    let bytes = |value: f64| value as u64;
    Ok(storage::CacheConfig {
        memory_bytes: given.memory_bytes.map(bytes),
        disk_bytes: given.disk_bytes.map(bytes),
        policy: None,
    })
}

fn layout(given: Layout) -> Result<unixfs::Layout, JsValue> {
    let profile = given.profile.as_deref().map(Profile::from_name).transpose().map_err(Thrown::from)?;
    let base = unixfs::Layout::from(profile.unwrap_or_default());
    let hash = match given.hash.as_deref() {
        None => base.hash,
        Some(name) => HashFunction::ALL
            .into_iter()
            .find(|hash| hash.to_string() == name)
            .ok_or_else(|| unknown("hash", name, "sha2-256, sha2-512 and blake3"))?,
    };
    let wanted = unixfs::Layout {
        chunk_bytes: given.chunk_size.map_or(base.chunk_bytes, |size| size as usize),
        width: given.width.map_or(base.width, |width| width as usize),
        raw_leaves: given.raw_leaves.unwrap_or(base.raw_leaves),
        hash,
        ..base
    };
    Ok(wanted.check().map_err(Thrown::from)?)
}

fn unknown(what: &str, given: &str, known: &str) -> JsValue {
    Thrown::from(Error::InvalidArgument(format!("no {what} {given:?}; there are {known}"))).into()
}

fn from_js<T: Default + for<'de> Deserialize<'de>>(value: JsValue, known: &[&str]) -> Result<T, JsValue> {
    let Some(object) = value.dyn_ref::<js_sys::Object>() else { return Ok(T::default()) };
    // A misspelt option must not be passed over: `{ pinned: true }` would leave a file unpinned.
    for key in js_sys::Object::keys(object).iter().filter_map(|key| key.as_string()) {
        if !known.contains(&key.as_str()) {
            return Err(unknown("option", &key, &known.join(", ")));
        }
    }
    serde_wasm_bindgen::from_value(value)
        .map_err(|error| Thrown::from(Error::InvalidArgument(format!("options: {error}"))).into())
}

pub fn to_js<T: Serialize>(value: &T) -> Result<JsValue, JsValue> {
    Ok(serde_wasm_bindgen::to_value(value)?)
}

impl From<StoredRoot> for FileInfo {
    fn from(stored: StoredRoot) -> Self {
        FileInfo {
            cid: stored.root.cid.to_string(),
            filename: stored.root.filename,
            size: stored.root.size,
            modified: stored.root.modified,
            pinned: stored.pinned,
            profile: stored.root.profile.map(Profile::name),
        }
    }
}

impl From<storage::Status> for Status {
    fn from(status: storage::Status) -> Self {
        let backends = status.backends.into_iter().map(|report| Backend {
            name: report.name,
            kind: report.kind,
            state: report.state.name(),
            evidence: report.evidence,
            checked: report.checked,
            latency: report.latency,
            failures: report.failures,
            bytes_in: report.bytes_in,
            bytes_out: report.bytes_out,
        });
        Status {
            backends: backends.collect(),
            local_only: status.local_only.map(OfflineReason::name),
            blocks: status.usage.blocks,
            bytes: status.usage.bytes,
            roots: status.usage.roots,
            pinned: status.usage.pinned,
            quarantined: status.usage.quarantined,
            disk_limit: status.disk_limit,
            memory_limit: status.memory_limit,
            memory_bytes: status.memory_bytes,
            memory_hits: status.memory_hits,
            memory_misses: status.memory_misses,
        }
    }
}

impl From<Error> for Thrown {
    fn from(error: Error) -> Self {
        let thrown = Thrown { code: error.code(), message: error.to_string(), ..Thrown::default() };
        match error {
            Error::NotFound(path) => {
                Thrown { cid: Some(path.cid().to_string()), path: Some(path.to_string()), ..thrown }
            }
            Error::Integrity(cid) => Thrown { cid: Some(cid.to_string()), ..thrown },
            Error::NotAvailableOffline { cid, reason } => {
                Thrown { cid: Some(cid.to_string()), reason: Some(reason.name()), ..thrown }
            }
            Error::Unavailable { cid, attempts } => {
                let attempts = attempts.into_iter().map(|(remote, reason)| Attempt { remote, reason }).collect();
                Thrown { cid: Some(cid.to_string()), attempts: Some(attempts), ..thrown }
            }
            Error::QuotaExceeded { needed, limit } => Thrown { needed: Some(needed), limit: Some(limit), ..thrown },
            Error::Corrupt { cid, .. } => Thrown { cid: cid.map(|cid| cid.to_string()), ..thrown },
            _ => thrown,
        }
    }
}

impl From<Thrown> for JsValue {
    fn from(thrown: Thrown) -> Self {
        to_js(&thrown).unwrap_or_else(|error| error)
    }
}
