//! Between the types of `wit/types.wit` and the facade's.

use std::collections::BTreeMap;

use bytes::Bytes;

use super::{
    backends::{Bucket, Configured, Keeper},
    wasi::Place,
    wit,
};
use crate::{
    backend::{self, Credentials, Endpoint, Limits, Secret},
    error::{self, OfflineReason, Result},
    hash::HashFunction,
    policy::Policy,
    storage::{self, ArchiveRule, BackendRole, BackendState, FolderOptions, ReadBack, ReplicationPolicy, Verification},
    tier::{Durability, Pin, PinKind, StoredRoot},
    unixfs::{EntryKind, Layout, Metadata, Mtime, Profile},
};

pub fn open_options(options: &wit::OpenOptions) -> Result<storage::OpenOptions> {
    Ok(storage::OpenOptions {
        layout: options.layout.as_ref().map_or(Ok(Layout::default()), layout)?,
        durability: match options.durability {
            None | Some(wit::Durability::Strict) => Durability::Strict,
            Some(wit::Durability::Relaxed) => Durability::Relaxed,
        },
        verification: match options.verification {
            None | Some(wit::Verification::Always) => Verification::Always,
            Some(wit::Verification::OnFirstRead) => Verification::OnFirstRead,
            Some(wit::Verification::Never) => Verification::Never,
        },
        policy: options.policy.clone().map(ReplicationPolicy::from).unwrap_or_default(),
        ..storage::OpenOptions::default()
    })
}

pub fn place(options: wit::OpenOptions) -> Result<Place> {
    let wit::OpenOptions { directory, take_over, force_fallback, remotes, remote_timeout: timeout, backends, .. } =
        options;
    let backends = backends.into_iter().map(configured).collect::<Result<_>>()?;
    Ok(Place { directory, take_over, force_fallback, remotes, timeout, backends })
}

fn configured(wit::Backend { name, keeper, at_once, bytes_per_second }: wit::Backend) -> Result<Configured> {
    let keeper = match keeper {
        wit::Keeper::Kubo(url) => Keeper::Kubo { url },
        wit::Keeper::Cluster(wit::Cluster { api, gateway }) => Keeper::Cluster { api: endpoint(api)?, gateway },
        wit::Keeper::S3(bucket) => {
            let wit::Bucket { endpoint, region, name, prefix, layout, access_key, secret_key, session_token } = bucket;
            let layout = match layout {
                wit::BucketLayout::Archives => backend::Layout::Archives,
                wit::BucketLayout::Blocks => backend::Layout::Blocks,
            };
            Keeper::S3(Bucket { endpoint, region, name, prefix, layout, access_key, secret_key, session_token })
        }
        wit::Keeper::Archive(wit::Archive { upload, by_put, pins, gateway, origins }) => {
            Keeper::Archive { upload: endpoint(upload)?, by_put, pins: endpoint(pins)?, gateway, origins }
        }
    };
    let at_once = at_once.map_or(Limits::default().at_once, |at_once| at_once as usize);
    Ok(Configured { name, keeper, limits: Limits { at_once, bytes_per_second } })
}

fn endpoint(wit::Endpoint { url, credentials }: wit::Endpoint) -> Result<Endpoint> {
    let credentials = credentials.map(|credentials| {
        Ok::<_, error::Error>(match credentials {
            wit::Credentials::Bearer(token) => Credentials::Bearer(Secret::new(token)?),
            wit::Credentials::Basic(wit::User { name: user, password }) => {
                Credentials::Basic { user, password: Secret::new(password)? }
            }
        })
    });
    Ok(Endpoint { url, credentials: credentials.transpose()? })
}

impl From<wit::ReplicationPolicy> for ReplicationPolicy {
    fn from(policy: wit::ReplicationPolicy) -> Self {
        let wit::ReplicationPolicy { backends, copies, read_back, evict_with, pin, audit_days, archive, local_days } =
            policy;
        let read_back = read_back.map(|read_back| match read_back {
            wit::ReadBack::Sample(ways) => ReadBack::Sample(ways),
            wit::ReadBack::All => ReadBack::All,
        });
        let archive = archive.map(|wit::ArchiveRule { backend, days, moves }| ArchiveRule { backend, days, moves });
        ReplicationPolicy { backends, copies, read_back, evict_with, pin, audit_days, archive, local_days }
    }
}

pub fn store_options(options: wit::StoreOptions) -> Result<storage::StoreOptions> {
    Ok(storage::StoreOptions {
        filename: options.filename,
        pin: options.pin,
        layout: options.layout.as_ref().map(layout).transpose()?,
        replicate: options.replicate.map(ReplicationPolicy::from).unwrap_or_default(),
    })
}

pub fn files(files: Vec<(Vec<u8>, wit::StoreOptions)>) -> Result<Vec<(Bytes, storage::StoreOptions)>> {
    files.into_iter().map(|(data, options)| Ok((data.into(), store_options(options)?))).collect()
}

pub fn read_options(options: &wit::ReadOptions) -> storage::ReadOptions {
    let wit::ReadOptions { offset, length, offline, pin } = *options;
    storage::ReadOptions { offline, pin, ..storage::ReadOptions::range(offset, length) }
}

pub fn pin_options(options: wit::PinOptions) -> Result<storage::PinOptions> {
    let wit::PinOptions { kind, name, labels, expires, offline } = options;
    let given = labels.len();
    let labels: BTreeMap<String, String> = labels.into_iter().collect();
    if labels.len() < given {
        return Err(error::Error::InvalidArgument("a label is there twice".into()));
    }
    let kind = match kind {
        wit::PinKind::Recursive => PinKind::Recursive,
        wit::PinKind::Direct => PinKind::Direct,
    };
    Ok(storage::PinOptions { kind, name, labels, expires, offline, on_fetched: None })
}

pub fn verify_options(options: wit::VerifyOptions) -> storage::VerifyOptions {
    let wit::VerifyOptions { sample, seed, repair, offline } = options;
    storage::VerifyOptions { sample, seed, repair, offline }
}

fn layout(wanted: &wit::Layout) -> Result<Layout> {
    let base = Layout::from(match wanted.profile {
        wit::Profile::UnixfsV12025 => Profile::UnixfsV1_2025,
        wit::Profile::UnixfsV02015 => Profile::UnixfsV0_2015,
    });
    Layout {
        chunk_bytes: wanted.chunk_size.map_or(base.chunk_bytes, |size| size as usize),
        width: wanted.width.map_or(base.width, |width| width as usize),
        raw_leaves: wanted.raw_leaves.unwrap_or(base.raw_leaves),
        hash: wanted.hash.map_or(base.hash, hash),
        ..base
    }
    .check()
}

pub fn hash(wanted: wit::HashFunction) -> HashFunction {
    match wanted {
        wit::HashFunction::Sha2256 => HashFunction::Sha2_256,
        wit::HashFunction::Sha2512 => HashFunction::Sha2_512,
        wit::HashFunction::Blake3 => HashFunction::Blake3,
    }
}

impl From<StoredRoot> for wit::FileInfo {
    fn from(stored: StoredRoot) -> Self {
        storage::FileInfo::from(stored).into()
    }
}

impl From<storage::FileInfo> for wit::FileInfo {
    fn from(info: storage::FileInfo) -> Self {
        wit::FileInfo {
            cid: info.cid.to_string(),
            filename: info.filename,
            kind: info.kind.map(wit::FileKind::from),
            size: info.size,
            dag_size: info.dag_size,
            metadata: info.metadata.into(),
            target: info.target,
            modified: info.modified,
            pinned: info.pinned,
            profile: info.profile.map(|profile| match profile {
                Profile::UnixfsV1_2025 => wit::Profile::UnixfsV12025,
                Profile::UnixfsV0_2015 => wit::Profile::UnixfsV02015,
            }),
        }
    }
}

impl From<storage::FilePage> for wit::FilePage {
    fn from(page: storage::FilePage) -> Self {
        wit::FilePage { files: page.files.into_iter().map(wit::FileInfo::from).collect(), next: page.next }
    }
}

impl From<EntryKind> for wit::FileKind {
    fn from(kind: EntryKind) -> Self {
        match kind {
            EntryKind::File => wit::FileKind::File,
            EntryKind::Directory => wit::FileKind::Directory,
            EntryKind::Symlink => wit::FileKind::Symlink,
            EntryKind::Value => wit::FileKind::Value,
        }
    }
}

impl From<Metadata> for wit::Metadata {
    fn from(Metadata { mode, mtime }: Metadata) -> Self {
        let mtime = mtime.map(|Mtime { seconds, nanoseconds }| wit::Mtime { seconds, nanoseconds });
        wit::Metadata { mode, mtime }
    }
}

pub fn folder_options(options: wit::FolderOptions) -> Result<FolderOptions> {
    let wit::FolderOptions { store, hidden, mtime } = options;
    Ok(FolderOptions { store: store_options(store)?, hidden, mtime })
}

impl From<Pin> for wit::PinInfo {
    fn from(pin: Pin) -> Self {
        let (blocks, bytes) = pin.size.unzip();
        wit::PinInfo {
            cid: pin.cid.to_string(),
            kind: match pin.kind {
                PinKind::Recursive => wit::PinKind::Recursive,
                PinKind::Direct => wit::PinKind::Direct,
            },
            name: pin.name,
            labels: pin.labels.into_iter().collect(),
            created: pin.created,
            expires: pin.expires,
            pending: pin.pending,
            blocks,
            bytes,
        }
    }
}

impl From<storage::PinPage> for wit::PinPage {
    fn from(page: storage::PinPage) -> Self {
        let next = page.next.map(|cid| cid.to_string());
        wit::PinPage { pins: page.pins.into_iter().map(wit::PinInfo::from).collect(), next }
    }
}

impl From<storage::Imported> for wit::Imported {
    fn from(storage::Imported { key, stored, changed, ignored }: storage::Imported) -> Self {
        let stored = stored.map(wit::FileInfo::from).map_err(wit::Error::from);
        wit::Imported { key, stored, changed, ignored }
    }
}

impl From<storage::Fetched> for wit::Fetched {
    fn from(fetched: storage::Fetched) -> Self {
        let remote = (!fetched.remote.is_empty()).then_some(fetched.remote);
        wit::Fetched { blocks: fetched.blocks, bytes: fetched.bytes, remote }
    }
}

impl From<storage::Pushed> for wit::Pushed {
    fn from(pushed: storage::Pushed) -> Self {
        wit::Pushed { blocks: pushed.blocks, bytes: pushed.bytes }
    }
}

impl From<OfflineReason> for wit::OfflineReason {
    fn from(reason: OfflineReason) -> Self {
        match reason {
            OfflineReason::NoRemotes => wit::OfflineReason::NoRemotes,
            OfflineReason::ForceFallback => wit::OfflineReason::ForceFallback,
            OfflineReason::Disabled => wit::OfflineReason::Disabled,
            OfflineReason::NoNetwork => wit::OfflineReason::NoNetwork,
            OfflineReason::Requested => wit::OfflineReason::Requested,
            OfflineReason::Disconnected => wit::OfflineReason::Disconnected,
            OfflineReason::Denied => wit::OfflineReason::Denied,
        }
    }
}

impl From<storage::Status> for wit::Status {
    fn from(status: storage::Status) -> Self {
        wit::Status {
            backends: status.backends.into_iter().map(wit::BackendReport::from).collect(),
            local_only: status.local_only.map(wit::OfflineReason::from),
            blocks: status.usage.blocks,
            bytes: status.usage.bytes,
            roots: status.usage.roots,
            pinned: status.usage.pinned,
            quarantined: status.usage.quarantined,
            stored: status.usage.stored,
            pinned_blocks: status.pinned.blocks,
            pinned_bytes: status.pinned.bytes,
            pins_uncounted: status.pins_uncounted,
            evicted_roots: status.evictions.roots,
            evicted_bytes: status.evictions.bytes,
            last_collection: status.last_collection.map(wit::CollectionReport::from),
            disk_limit: status.disk_limit,
            memory_limit: status.memory_limit,
            memory_bytes: status.memory_bytes,
            memory_hits: status.memory_hits,
            memory_misses: status.memory_misses,
            recovery: wit::RecoveryReport {
                replayed: status.recovery.replayed,
                truncated_bytes: status.recovery.truncated_bytes,
                quarantined: status.recovery.quarantined,
            },
        }
    }
}

impl From<storage::BackendReport> for wit::BackendReport {
    fn from(report: storage::BackendReport) -> Self {
        wit::BackendReport {
            role: match report.role {
                BackendRole::Local => wit::BackendRole::Local,
                BackendRole::Remote => wit::BackendRole::Remote,
                BackendRole::Backend => wit::BackendRole::Backend,
            },
            name: report.name,
            kind: report.kind,
            state: match report.state {
                BackendState::Available => wit::BackendState::Available,
                BackendState::Degraded => wit::BackendState::Degraded,
                BackendState::Unavailable => wit::BackendState::Unavailable,
                BackendState::Disabled => wit::BackendState::Disabled,
                BackendState::Denied => wit::BackendState::Denied,
            },
            evidence: report.evidence,
            checked: report.checked,
            latency: report.latency,
            failures: report.failures,
            bytes_in: report.bytes_in,
            bytes_out: report.bytes_out,
        }
    }
}

impl From<wit::CacheConfig> for storage::CacheConfig {
    fn from(config: wit::CacheConfig) -> Self {
        storage::CacheConfig {
            memory_bytes: config.memory_bytes,
            disk_bytes: config.disk_bytes,
            policy: config.policy.map(|policy| match policy {
                wit::EvictionPolicy::Lru => Policy::Lru,
                wit::EvictionPolicy::Lfu => Policy::Lfu,
                wit::EvictionPolicy::Arc => Policy::Arc,
            }),
            high_water: config.high_water,
            low_water: config.low_water,
        }
    }
}

impl From<error::Error> for wit::Error {
    fn from(error: error::Error) -> Self {
        use error::Error as E;
        match error {
            E::InvalidCid { reason } => wit::Error::InvalidCid(reason),
            E::InvalidArgument(problem) => wit::Error::InvalidArgument(problem),
            E::NotFound(path) => wit::Error::NotFound(path.to_string()),
            E::NoEntry(name) => wit::Error::NotFound(name),
            E::NotAvailableOffline { cid, reason } => {
                wit::Error::NotAvailableOffline(wit::Offline { cid: cid.to_string(), reason: reason.into() })
            }
            E::Unavailable { cid, attempts } => {
                let attempt = |(remote, reason)| wit::Attempt { remote, reason };
                let attempts = attempts.into_iter().map(attempt).collect();
                wit::Error::Unavailable(wit::Absence { cid: cid.to_string(), attempts })
            }
            E::Integrity(cid) => wit::Error::Integrity(cid.to_string()),
            E::QuotaExceeded { needed, limit } => wit::Error::QuotaExceeded(wit::Quota { needed, limit }),
            E::Corrupt { cid, detail } => {
                wit::Error::Corrupt(wit::Corruption { cid: cid.map(|cid| cid.to_string()), detail })
            }
            E::Denied(reason) => wit::Error::Denied(reason),
            E::Conflict { name } => wit::Error::Conflict(name),
            E::Locked(reason) => wit::Error::Locked(reason),
            E::Unsupported(what) => wit::Error::Unsupported(what),
            E::Cancelled => wit::Error::Cancelled,
            E::Io(failure) => wit::Error::Io(failure),
        }
    }
}
