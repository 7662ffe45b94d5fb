//! The storage facade: the verbs that users think in. It knows no bytes on disk, and no platform.

mod ahead;
mod blocks;
mod blockstore;
mod cache;
mod car;
mod collect;
mod count;
mod fetch;
mod files;
mod folders;
mod gate;
mod intake;
mod keepers;
mod legacy;
mod listing;
mod names;
mod options;
mod outbox;
mod pins;
mod push;
mod read;
mod relied;
mod room;
mod status;
mod sweep;
mod tree;
mod values;
mod verify;
mod walk;
mod writer;

use std::{
    cell::{Cell, RefCell},
    collections::HashMap,
    ops::Range,
    rc::{Rc, Weak},
};

use bytes::Bytes;

use self::{
    blocks::Blocks,
    fetch::{Session, Source},
    gate::Gate,
};
pub use self::{
    car::{
        CarExportOptions, CarExporter, CarImport, CarImportOptions, CarImporter, CarRange, CarRoot, CarScope,
        CarVersion,
    },
    collect::{CollectOptions, CollectPhase, CollectProgress, CollectReport, Collection},
    fetch::{Fetched, OnFetched},
    files::{CopyFrom, FileStat, FileWriter, Files, HISTORY, PastRoot, WriteOptions},
    folders::{FolderOptions, OnEntry},
    legacy::{Imported, LegacyImport},
    listing::{FileInfo, FilePage, RootPage},
    names::{Expected, MAX_NAME_BYTES, NamePage, Named},
    options::{CacheConfig, OpenOptions, PinOptions, StoreOptions, Verification},
    outbox::{
        ArchiveRule, Delivery, DeliveryState, OnDelivery, OutboxPage, ReadBack, Replica, Replication,
        ReplicationPolicy, Setback, SyncOptions, SyncReport, Why,
    },
    pins::PinPage,
    push::{OnPushed, PushOptions, Pushed},
    read::{ReadOptions, Reader},
    room::{Evicted, EvictionReason, Evictions, OnEvicted},
    status::{BackendReport, BackendRole, BackendState, Status},
    tree::TreeWriter,
    values::ValueOptions,
    verify::{Check, Fault, Finding, Progress, Report, Tally, VerifyOptions},
    writer::Writer,
};
use crate::{
    block::{self, Cid},
    error::{Error, OfflineReason, Result},
    hash::Hasher,
    platform::Clock,
    remote::Remotes,
    tier::{GroupCommit, StoredRoot, Tier},
    unixfs::Path,
};

/// Largest page of a listing.
pub const MAX_PAGE: usize = 10_000;

/// A store. Clones share it.
#[derive(Clone)]
pub struct Storage {
    shared: Rc<Shared>,
}

/// What is below a root, or these bytes of the file that a path leads to.
type Asked = (Path, Option<Range<u64>>);

/// What the parts of one store share.
struct Shared {
    tier: Rc<dyn Tier>,
    blocks: Rc<Blocks>,
    hasher: Rc<dyn Hasher>,
    clock: Rc<dyn Clock>,
    options: OpenOptions,
    /// What callers under way rely on.
    relied: Rc<relied::Relied>,
    sweeper: sweep::Sweeper,
    room: room::Room,
    outbox: outbox::Outbox,
    /// A collection is under way.
    collecting: Cell<bool>,
    /// When the next pin ends, as far as that is known.
    expiry: Cell<u64>,
    /// For calls that look at a root and then change it.
    roots: Gate,
    /// What is being fetched, for others who want the same.
    sessions: RefCell<HashMap<Asked, Weak<Session>>>,
}

impl Shared {
    /// Blocks from here, and for what is below `path` from elsewhere, unless that must not be.
    fn source(
        self: &Rc<Self>,
        path: Path,
        range: Option<Range<u64>>,
        offline: bool,
        on_fetched: Option<OnFetched>,
    ) -> Source {
        let session = self.elsewhere(offline).map(|remotes| {
            let mut sessions = self.sessions.borrow_mut();
            sessions.retain(|_, session| session.strong_count() > 0);
            let asked = (path, range);
            let shared = sessions.get(&asked).and_then(Weak::upgrade);
            let session = shared.unwrap_or_else(|| {
                let (path, range) = &asked;
                let session = Rc::new(Session::new(self.clone(), remotes, path.cid().clone(), range.clone()));
                sessions.insert(asked, Rc::downgrade(&session));
                session
            });
            session.listen(on_fetched);
            session
        });
        Source::new(self.blocks.clone(), session)
    }

    /// Who may have what is not here, if they may be asked now: the remotes, and backends with copies, which may be all there
    /// are.
    fn elsewhere(&self, offline: bool) -> Result<Option<Rc<Remotes>>, OfflineReason> {
        match (self.remotes(offline), self.backends()) {
            (Err(OfflineReason::NoRemotes), Some(_)) if offline => Err(OfflineReason::Requested),
            (Err(OfflineReason::NoRemotes), Some(backends)) => match self.backends_offline(backends) {
                Some(reason) => Err(reason),
                None => Ok(None),
            },
            (remotes, _) => remotes.map(Some),
        }
    }

    /// The remotes, if they may be asked now.
    fn remotes(&self, offline: bool) -> Result<Rc<Remotes>, OfflineReason> {
        match (self.options.offline, &self.options.remotes) {
            (Some(reason), _) => Err(reason),
            (None, Some(remotes)) if !remotes.is_empty() => {
                if offline {
                    Err(OfflineReason::Requested)
                } else if !remotes.is_online() {
                    Err(OfflineReason::Disconnected)
                } else {
                    Ok(remotes.clone())
                }
            }
            (None, _) => Err(OfflineReason::NoRemotes),
        }
    }
}

impl Storage {
    /// A store over an open tier.
    pub fn new(tier: Rc<dyn Tier>, hasher: Rc<dyn Hasher>, clock: Rc<dyn Clock>, options: OpenOptions) -> Result<Self> {
        options.layout.check()?;
        let tier = Rc::new(GroupCommit::new(tier));
        let relied = Rc::new(relied::Relied::default());
        let blocks = Rc::new(Blocks::new(tier.clone(), hasher.clone(), relied.clone(), &options));
        let shared = Shared {
            tier,
            blocks,
            hasher,
            clock,
            options,
            relied,
            sweeper: sweep::Sweeper::default(),
            room: room::Room::default(),
            outbox: outbox::Outbox::default(),
            collecting: Cell::new(false),
            expiry: Cell::new(0),
            roots: Gate::default(),
            sessions: RefCell::default(),
        };
        shared.rule(&ReplicationPolicy::default())?;
        Ok(Storage { shared: Rc::new(shared) })
    }

    /// Stores one file that is in memory.
    pub async fn store(&self, data: impl Into<Bytes>, options: StoreOptions) -> Result<StoredRoot> {
        let mut writer = self.writer(options)?;
        writer.write(data.into()).await?;
        writer.finish().await
    }

    /// Stores many small files in one commit: all of them or none.
    pub async fn store_many(&self, files: Vec<(Bytes, StoreOptions)>) -> Result<Vec<StoredRoot>> {
        writer::many(&self.shared, files).await
    }

    /// Starts storing one file of any size, fed in pieces.
    pub fn writer(&self, options: StoreOptions) -> Result<Writer> {
        Writer::new(self.shared.clone(), options)
    }

    /// A whole file, by its CID or by a path below one.
    pub async fn retrieve(&self, path: impl Into<Path>) -> Result<Bytes> {
        let mut reader = self.reader(path, ReadOptions::default()).await?;
        let Some(first) = reader.next().await? else { return Ok(Bytes::new()) };
        if reader.remaining() == 0 {
            return Ok(first);
        }
        let total = usize::try_from(reader.size())
            .map_err(|_| Error::Unsupported("the file does not fit in memory; read it in pieces".into()))?;
        let mut whole = Vec::new();
        whole
            .try_reserve_exact(total)
            .map_err(|_| Error::Unsupported("the file does not fit in memory; read it in pieces".into()))?;
        whole.extend_from_slice(&first);
        while let Some(bytes) = reader.next().await? {
            whole.extend_from_slice(&bytes);
        }
        Ok(whole.into())
    }

    /// Starts reading a file, or a range of it, by its CID or by a path below one. What is not held here is fetched, proven
    /// and kept.
    ///
    /// A path that leads nowhere is [`Error::NotFound`], which the directories on the way prove, and one to a directory is
    /// [`Error::Unsupported`].
    pub async fn reader(&self, path: impl Into<Path>, options: ReadOptions) -> Result<Reader> {
        Reader::new(self.shared.clone(), path.into(), options).await
    }

    /// Whether the root, or the block, with this CID is held locally.
    pub async fn exists(&self, cid: &Cid) -> Result<bool> {
        match block::key(cid) {
            None => Ok(true),
            Some(key) => Ok(self.shared.tier.has(&[key]).await?.first().copied().unwrap_or(false)),
        }
    }

    /// Whether a remote can be used now, by what was seen of it last. A store without remotes says no, and works.
    pub fn is_available(&self) -> bool {
        self.shared.remotes(false).is_ok_and(|remotes| remotes.is_available())
    }

    /// Sets the limits of the caches. What is held stays until something is written.
    pub fn configure_cache(&self, config: CacheConfig) -> Result<()> {
        self.shared.configure_room(&config)?;
        self.shared.blocks.configure(config);
        Ok(())
    }

    /// Makes everything acknowledged before survive a power cut.
    pub async fn flush(&self) -> Result<()> {
        self.shared.save_uses().await;
        self.shared.blocks.flush().await
    }
}
