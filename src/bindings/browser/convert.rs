//! Between JavaScript's plain values and the facade's types. Names are those of `npm/index.d.ts`.

use std::rc::Rc;

use js_sys::{Array, Function, Object, Reflect};
use wasm_bindgen::prelude::*;

use super::{backends, outbox, remote};
use crate::{
    block::Codec,
    error::{Error, OfflineReason, Result},
    hash::HashFunction,
    platform::browser::{BrowserClock, BrowserHttp, BrowserNetwork, object},
    remote::{HttpConnector, Patience, Remotes},
    storage::{self, OnFetched, OnPushed, Verification},
    tier::{Durability, Pin, PinKind, StoredRoot},
    unixfs::{self, EntryKind, Mtime, Profile},
};

/// An object with options; or none, which has none of them.
pub(super) struct Options(Option<Object>);

impl Options {
    /// A misspelt option must not be passed over: `{ pinned: true }` would leave a file unpinned.
    pub fn known(value: JsValue, known: &[&str]) -> Result<Self> {
        let given = Options::of(value);
        given.only(known)?;
        Ok(given)
    }

    /// Where which options there are depends on one of them.
    pub fn of(value: JsValue) -> Self {
        Options(value.dyn_into().ok())
    }

    /// That there are no others.
    pub fn only(&self, known: &[&str]) -> Result<()> {
        let keys = self.0.as_ref().map(Object::keys).unwrap_or_default();
        match keys.iter().filter_map(|key| key.as_string()).find(|key| !known.contains(&key.as_str())) {
            Some(other) => Err(unknown("option", &other, &known.join(", "))),
            None => Ok(()),
        }
    }

    /// What is undefined or null is not given.
    pub fn get<T>(&self, name: &str, kind: &str, read: impl FnOnce(JsValue) -> Option<T>) -> Result<Option<T>> {
        let value = self.0.as_ref().and_then(|object| Reflect::get(object, &name.into()).ok());
        let value = value.filter(|value| !value.is_undefined() && !value.is_null());
        value.map(|value| read(value).ok_or_else(|| not(name, kind))).transpose()
    }

    pub fn text(&self, name: &str) -> Result<Option<String>> {
        self.get(name, "a string", |value| value.as_string())
    }

    pub fn number(&self, name: &str) -> Result<Option<f64>> {
        self.get(name, "a number", |value| value.as_f64())
    }

    pub fn flag(&self, name: &str) -> Result<Option<bool>> {
        self.get(name, "a boolean", |value| value.as_bool())
    }

    fn hash(&self) -> Result<Option<HashFunction>> {
        let Some(name) = self.text("hash")? else { return Ok(None) };
        let known = HashFunction::ALL.into_iter().find(|hash| hash.to_string() == name);
        known.map(Some).ok_or_else(|| unknown("hash", &name, "sha2-256, sha2-512 and blake3"))
    }

    fn layout(&self) -> Result<Option<unixfs::Layout>> {
        let object = self.get("layout", "an object", |value| value.is_object().then(|| value.unchecked_into()))?;
        object.map(|object| layout(&Options(Some(object)))).transpose()
    }
}

fn not(name: &str, kind: &str) -> Error {
    Error::InvalidArgument(format!("the option {name} is not {kind}"))
}

/// A list of strings.
pub(super) fn texts(value: JsValue) -> Option<Vec<String>> {
    value.dyn_into::<Array>().ok()?.iter().map(|text| text.as_string()).collect()
}

pub(super) fn unknown(what: &str, given: &str, known: &str) -> Error {
    Error::InvalidArgument(format!("no {what} {given:?}; there are {known}"))
}

pub fn open_options(value: JsValue, remotes: &Array) -> Result<storage::OpenOptions> {
    let known =
        ["layout", "durability", "verification", "forceFallback", "remoteTimeout", "disabled", "backends", "policy"];
    let given = Options::known(value, &known)?;
    let durability = match given.text("durability")?.as_deref() {
        None | Some("strict") => Durability::Strict,
        Some("relaxed") => Durability::Relaxed,
        Some(other) => return Err(unknown("durability", other, "strict and relaxed")),
    };
    let verification = match given.text("verification")?.as_deref() {
        None | Some("always") => Verification::Always,
        Some("on-first-read") => Verification::OnFirstRead,
        Some("never") => Verification::Never,
        Some(other) => return Err(unknown("verification", other, "always, on-first-read and never")),
    };
    let offline = match (given.flag("disabled")?, given.flag("forceFallback")?) {
        (Some(true), _) => Some(OfflineReason::Disabled),
        (_, Some(true)) => Some(OfflineReason::ForceFallback),
        _ => None,
    };
    let layout = given.layout()?.unwrap_or_default();
    let connector = Rc::new(HttpConnector(Rc::new(BrowserHttp)));
    let remotes = remote::remotes(remotes, connector.as_ref())?;
    let backends = backends::backends(&given, Rc::new(BrowserHttp))?;
    let policy = outbox::policy(&given, "policy")?;
    let (clock, network) = (Rc::new(BrowserClock), Rc::new(BrowserNetwork));
    let whole = |value: f64| (f64::from(value as u32) == value).then_some(value as u32);
    let patience = match given.number("remoteTimeout")? {
        None => Patience::default(),
        Some(timeout) => Patience::of(whole(timeout).ok_or_else(|| not("remoteTimeout", "a number of milliseconds"))?)?,
    };
    let remotes = Some(Rc::new(Remotes::new(remotes, connector, clock, network, patience)?));
    Ok(storage::OpenOptions {
        layout,
        durability,
        verification,
        offline,
        remotes,
        backends,
        policy,
        ..storage::OpenOptions::default()
    })
}

pub fn store_options(value: JsValue) -> Result<storage::StoreOptions> {
    let given = Options::known(value, &["filename", "pin", "layout", "replicate"])?;
    let (filename, pin) = (given.text("filename")?, given.flag("pin")?.unwrap_or_default());
    let replicate = outbox::policy(&given, "replicate")?;
    Ok(storage::StoreOptions { filename, pin, layout: given.layout()?, replicate })
}

#[wasm_bindgen]
extern "C" {
    /// What to read, as `npm/storage.js` has made it up: complete, and cheap to look at.
    pub type Reading;
    #[wasm_bindgen(method, getter)]
    fn offset(this: &Reading) -> f64;
    #[wasm_bindgen(method, getter)]
    fn length(this: &Reading) -> Option<f64>;
    #[wasm_bindgen(method, getter)]
    fn offline(this: &Reading) -> bool;
    #[wasm_bindgen(method, getter)]
    fn pin(this: &Reading) -> bool;
}

impl From<&Reading> for storage::ReadOptions {
    fn from(given: &Reading) -> Self {
        let range = storage::ReadOptions::range(given.offset() as u64, given.length().map(|length| length as u64));
        storage::ReadOptions { offline: given.offline(), pin: given.pin(), ..range }
    }
}

pub fn pin_options(value: JsValue) -> Result<storage::PinOptions> {
    let given = Options::known(value, &["kind", "name", "labels", "expires", "offline"])?;
    let kind = match given.text("kind")?.as_deref() {
        None | Some("recursive") => PinKind::Recursive,
        Some("direct") => PinKind::Direct,
        Some(other) => return Err(unknown("kind", other, "recursive and direct")),
    };
    let pair = |pair: JsValue| {
        let pair = Array::from(&pair);
        Some((pair.get(0).as_string()?, pair.get(1).as_string()?))
    };
    let pairs = |object: &Object| Object::entries(object).iter().map(pair).collect();
    let labels = given.get("labels", "an object of strings", |value| value.dyn_ref().and_then(pairs))?;
    let time = |value: JsValue| value.as_f64().filter(|time| time.is_finite()).map(|time| time as u64);
    Ok(storage::PinOptions {
        kind,
        name: given.text("name")?,
        labels: labels.unwrap_or_default(),
        expires: given.get("expires", "a time", time)?,
        offline: given.flag("offline")?.unwrap_or_default(),
        on_fetched: None,
    })
}

pub fn value_options(value: JsValue) -> Result<storage::ValueOptions> {
    let given = Options::known(value, &["codec", "hash", "filename", "pin", "offline"])?;
    let standard = storage::ValueOptions::default();
    let codec = match given.text("codec")?.as_deref() {
        None => standard.codec,
        Some("dag-cbor") => Codec::DagCbor,
        Some("dag-json") => Codec::DagJson,
        Some(other) => return Err(unknown("codec", other, "dag-cbor and dag-json")),
    };
    Ok(storage::ValueOptions {
        codec,
        hash: given.hash()?.unwrap_or(standard.hash),
        filename: given.text("filename")?,
        pin: given.flag("pin")?.unwrap_or_default(),
        offline: given.flag("offline")?.unwrap_or_default(),
    })
}

pub fn verify_options(value: JsValue) -> Result<storage::VerifyOptions> {
    let given = Options::known(value, &["sample", "seed", "repair", "offline"])?;
    Ok(storage::VerifyOptions {
        sample: given.number("sample")?,
        seed: given.number("seed")?.map(|seed| seed as u32),
        repair: given.flag("repair")?.unwrap_or_default(),
        offline: given.flag("offline")?.unwrap_or_default(),
    })
}

pub fn car_import_options(value: JsValue) -> Result<storage::CarImportOptions> {
    let given = Options::known(value, &["pin", "resume"])?;
    Ok(storage::CarImportOptions { pin: given.flag("pin")?.unwrap_or_default(), resume: given.text("resume")? })
}

pub fn car_export_options(value: JsValue) -> Result<storage::CarExportOptions> {
    let given = Options::known(value, &["version", "scope", "from", "to", "offline"])?;
    let version = match given.number("version")? {
        None | Some(1.0) => storage::CarVersion::V1,
        Some(2.0) => storage::CarVersion::V2,
        Some(other) => return Err(unknown("version", &other.to_string(), "1, 2")),
    };
    let scope = match given.text("scope")?.as_deref() {
        None | Some("all") => storage::CarScope::All,
        Some("entity") => storage::CarScope::Entity,
        Some("block") => storage::CarScope::Block,
        Some(other) => return Err(unknown("scope", other, "all, entity, block")),
    };
    let (from, to) = (given.number("from")?, given.number("to")?);
    let range = (from.is_some() || to.is_some())
        .then(|| storage::CarRange { from: from.unwrap_or_default() as i64, to: to.map(|to| to as i64) });
    Ok(storage::CarExportOptions { version, scope, range, offline: given.flag("offline")?.unwrap_or_default() })
}

pub fn cache_config(value: JsValue) -> Result<storage::CacheConfig> {
    let given = Options::known(value, &["memoryBytes", "diskBytes", "policy", "highWater", "lowWater"])?;
    let policy = given.text("policy")?.map(|name| name.parse()).transpose()?;
    // Casting Infinity gives u64::MAX, which takes the limit away.
    let bytes = |value: f64| value as u64;
    let (memory_bytes, disk_bytes) = (given.number("memoryBytes")?.map(bytes), given.number("diskBytes")?.map(bytes));
    let hundredths = |value: f64| value as u8;
    let (high_water, low_water) =
        (given.number("highWater")?.map(hundredths), given.number("lowWater")?.map(hundredths));
    Ok(storage::CacheConfig { memory_bytes, disk_bytes, policy, high_water, low_water })
}

fn layout(given: &Options) -> Result<unixfs::Layout> {
    let profile = given.text("profile")?.map(|name| Profile::from_name(&name)).transpose()?;
    let base = unixfs::Layout::from(profile.unwrap_or_default());
    let wanted = unixfs::Layout {
        chunk_bytes: given.number("chunkSize")?.map_or(base.chunk_bytes, |size| size as usize),
        width: given.number("width")?.map_or(base.width, |width| width as usize),
        raw_leaves: given.flag("rawLeaves")?.unwrap_or(base.raw_leaves),
        hash: given.hash()?.unwrap_or(base.hash),
        ..base
    };
    wanted.check()
}

/// What is told fails where it is told: nothing here depends on it.
fn tell(told: &Function, what: impl Into<JsValue>) {
    let _ = told.call1(&JsValue::NULL, &what.into());
}

pub fn on_fetched(told: Function) -> OnFetched {
    Rc::new(move |fetched| tell(&told, fetched))
}

pub fn on_pushed(told: Function) -> OnPushed {
    Rc::new(move |pushed| tell(&told, *pushed))
}

pub(super) fn list<T: Into<JsValue>>(all: impl IntoIterator<Item = T>) -> JsValue {
    all.into_iter().map(Into::into).collect::<Array>().into()
}

/// As a number: as a `u64` it would become a BigInt.
pub(super) fn number(value: u64) -> JsValue {
    JsValue::from_f64(value as f64)
}

impl From<&storage::Fetched> for JsValue {
    fn from(fetched: &storage::Fetched) -> Self {
        let remote = JsValue::from_str(&fetched.remote);
        object(&[("blocks", number(fetched.blocks)), ("bytes", number(fetched.bytes)), ("remote", remote)])
    }
}

impl From<storage::Pushed> for JsValue {
    fn from(pushed: storage::Pushed) -> Self {
        object(&[("blocks", number(pushed.blocks)), ("bytes", number(pushed.bytes))])
    }
}

impl From<storage::Progress> for JsValue {
    fn from(progress: storage::Progress) -> Self {
        object(&[
            ("blocks", number(progress.blocks)),
            ("total", number(progress.total)),
            ("bytes", number(progress.bytes)),
            ("keepers", number(progress.keepers)),
        ])
    }
}

/// What a check has found.
pub fn report(report: &storage::Report) -> JsValue {
    let found = |found, repaired| [("found", number(found)), ("repaired", number(repaired))];
    let findings = report.findings.iter().map(|finding| {
        let [found, repaired] = found(finding.found, finding.repaired);
        object(&[
            ("fault", finding.fault.name().into()),
            ("cid", finding.cid.as_ref().map(ToString::to_string).into()),
            found,
            repaired,
            ("some", list(finding.some.iter().map(ToString::to_string))),
            ("detail", finding.detail.as_str().into()),
        ])
    });
    let mut properties = vec![
        ("sound", report.is_sound().into()),
        ("seed", report.seed.into()),
        ("blocks", number(report.blocks)),
        ("checked", number(report.checked)),
        ("bytes", number(report.bytes)),
        ("keepers", number(report.keepers)),
        ("sizes", number(report.sizes)),
        ("figuresCompared", report.figures_compared.into()),
        ("unreached", report.unreached.map(number).into()),
        ("unreachedBytes", report.unreached_bytes.map(number).into()),
        ("findings", list(findings)),
    ];
    let tallies = report.tallies().map(|(fault, tally)| (fault.name(), object(&found(tally.found, tally.repaired))));
    properties.extend(tallies);
    object(&properties)
}

impl From<StoredRoot> for JsValue {
    fn from(stored: StoredRoot) -> Self {
        storage::FileInfo::from(stored).into()
    }
}

impl From<storage::FileInfo> for JsValue {
    fn from(info: storage::FileInfo) -> Self {
        let size = |bytes: Option<u64>| JsValue::from(bytes.map(number));
        object(&[
            ("cid", info.cid.to_string().into()),
            ("filename", info.filename.into()),
            ("kind", info.kind.map(EntryKind::name).into()),
            ("size", size(info.size)),
            ("dagSize", size(info.dag_size)),
            ("mode", info.metadata.mode.into()),
            ("mtime", info.metadata.mtime.map_or(JsValue::UNDEFINED, milliseconds)),
            ("target", info.target.into()),
            ("modified", size(info.modified)),
            ("pinned", info.pinned.into()),
            ("profile", info.profile.map(Profile::name).into()),
        ])
    }
}

/// A time as JavaScript has it: to the fraction of a millisecond, as far as a number can tell.
fn milliseconds(mtime: Mtime) -> JsValue {
    (mtime.seconds as f64 * 1e3 + f64::from(mtime.nanoseconds) / 1e6).into()
}

impl From<Pin> for JsValue {
    fn from(pin: Pin) -> Self {
        let (blocks, bytes) = pin.size.unzip();
        let label = |(name, value): (String, String)| Array::of2(&name.into(), &value.into());
        // Not one by one: a label may have the name of something that objects inherit.
        let labels = Object::from_entries(&list(pin.labels.into_iter().map(label)));
        object(&[
            ("cid", pin.cid.to_string().into()),
            ("kind", pin.kind.name().into()),
            ("name", pin.name.into()),
            ("labels", labels.unwrap_or_default().into()),
            ("created", number(pin.created)),
            ("expires", pin.expires.map(number).into()),
            ("pending", pin.pending.into()),
            ("blocks", blocks.map(number).into()),
            ("bytes", bytes.map(number).into()),
        ])
    }
}

impl From<storage::PinPage> for JsValue {
    fn from(page: storage::PinPage) -> Self {
        object(&[("pins", list(page.pins)), ("next", page.next.map(|cid| cid.to_string()).into())])
    }
}

impl From<storage::CarImport> for JsValue {
    fn from(imported: storage::CarImport) -> Self {
        let root = |root: storage::CarRoot| {
            let cid = root.cid.to_string();
            object(&[("cid", cid.into()), ("whole", root.whole.into()), ("pinned", root.pinned.into())])
        };
        object(&[
            ("roots", list(imported.roots.into_iter().map(root))),
            ("blocks", number(imported.blocks)),
            ("bytes", number(imported.bytes)),
        ])
    }
}

/// A list of stored roots.
pub fn files(files: Vec<StoredRoot>) -> JsValue {
    list(files)
}

impl From<storage::FilePage> for JsValue {
    fn from(page: storage::FilePage) -> Self {
        object(&[("files", list(page.files)), ("next", page.next.into())])
    }
}

impl From<storage::Status> for JsValue {
    fn from(status: storage::Status) -> Self {
        let backends = status.backends.into_iter().map(|report| {
            object(&[
                ("role", report.role.name().into()),
                ("name", report.name.into()),
                ("kind", report.kind.into()),
                ("state", report.state.name().into()),
                ("evidence", report.evidence.into()),
                ("checked", number(report.checked)),
                ("latency", report.latency.map(number).into()),
                ("failures", report.failures.into()),
                ("bytesIn", number(report.bytes_in)),
                ("bytesOut", number(report.bytes_out)),
            ])
        });
        object(&[
            ("backends", list(backends)),
            ("localOnly", status.local_only.map(OfflineReason::name).into()),
            ("blocks", number(status.usage.blocks)),
            ("bytes", number(status.usage.bytes)),
            ("roots", number(status.usage.roots)),
            ("pinned", number(status.usage.pinned)),
            ("quarantined", number(status.usage.quarantined)),
            ("pinnedBlocks", number(status.pinned.blocks)),
            ("pinnedBytes", number(status.pinned.bytes)),
            ("pinsUncounted", number(status.pins_uncounted)),
            ("evictedRoots", number(status.evictions.roots)),
            ("evictedBytes", number(status.evictions.bytes)),
            ("lastCollection", status.last_collection.map(JsValue::from).into()),
            ("quota", status.medium.map(|room| number(room.quota)).into()),
            ("quotaUsed", status.medium.map(|room| number(room.used)).into()),
            ("persisted", status.medium.map(|room| room.persisted).into()),
            ("diskLimit", status.disk_limit.map(number).into()),
            ("memoryLimit", number(status.memory_limit)),
            ("memoryBytes", number(status.memory_bytes)),
            ("memoryHits", number(status.memory_hits)),
            ("memoryMisses", number(status.memory_misses)),
        ])
    }
}

impl From<storage::CollectProgress> for JsValue {
    fn from(progress: storage::CollectProgress) -> Self {
        object(&[
            ("phase", progress.phase.name().into()),
            ("keepers", number(progress.keepers)),
            ("examined", number(progress.examined)),
            ("held", number(progress.held)),
            ("freedBlocks", number(progress.freed.blocks)),
            ("freedBytes", number(progress.freed.bytes)),
        ])
    }
}

impl From<storage::CollectReport> for JsValue {
    fn from(report: storage::CollectReport) -> Self {
        object(&[
            ("dryRun", report.dry_run.into()),
            ("began", number(report.began)),
            ("ended", number(report.ended)),
            ("freedBlocks", number(report.freed_blocks)),
            ("freedBytes", number(report.freed_bytes)),
            ("pinned", number(report.pinned)),
            ("stored", number(report.stored)),
            ("inUse", number(report.in_use)),
            ("obstacles", list(report.obstacles.into_iter().map(|cid| cid.to_string()))),
            ("postponed", report.postponed.into()),
        ])
    }
}

impl From<storage::Evicted> for JsValue {
    fn from(evicted: storage::Evicted) -> Self {
        object(&[
            ("cid", evicted.cid.to_string().into()),
            ("filename", evicted.filename.into()),
            ("size", number(evicted.size)),
            ("reason", evicted.reason.name().into()),
            ("at", number(evicted.when)),
        ])
    }
}

/// An error, as it is thrown.
impl From<Error> for JsValue {
    fn from(error: Error) -> Self {
        let mut thrown = vec![("code", error.code().into()), ("message", error.to_string().into())];
        let cid = match &error {
            Error::NotFound(path) => Some(path.cid()),
            Error::Integrity(cid) | Error::NotAvailableOffline { cid, .. } | Error::Unavailable { cid, .. } => {
                Some(cid)
            }
            Error::Corrupt { cid, .. } => cid.as_ref(),
            _ => None,
        };
        thrown.extend(cid.map(|cid| ("cid", cid.to_string().into())));
        match error {
            Error::NotFound(path) => thrown.push(("path", path.to_string().into())),
            Error::NoEntry(path) => thrown.push(("path", path.into())),
            Error::Conflict { name } => thrown.push(("key", name.into())),
            Error::NotAvailableOffline { reason, .. } => thrown.push(("reason", reason.name().into())),
            Error::Unavailable { attempts, .. } => {
                let attempt = |(remote, reason): (String, String)| {
                    object(&[("remote", remote.into()), ("reason", reason.into())])
                };
                thrown.push(("attempts", list(attempts.into_iter().map(attempt))));
            }
            Error::QuotaExceeded { needed, limit } => {
                thrown.extend([("needed", number(needed)), ("limit", number(limit))]);
            }
            _ => {}
        }
        object(&thrown)
    }
}
