//! What is stored: the roots of the store, and what directories say is in them.

use futures_util::future;

use super::{MAX_PAGE, Shared, Storage, room::Hold};
use crate::{
    block::{self, Block, Cid, Codec, Key},
    dag::pb::Link,
    error::{Error, Result},
    tier::StoredRoot,
    unixfs::{
        BlockSource, DirectoryReader, EntryKind, Inspected, Metadata, Path, Profile, inspect, look_up, one, resolve,
    },
};

/// What is known of a stored root, or of what is at a path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileInfo {
    /// Its CID.
    pub cid: Cid,
    /// The name it was last stored under, or that its directory has for it.
    pub filename: Option<String>,
    /// What it is; none where its first block is not held here.
    pub kind: Option<EntryKind>,
    /// Bytes of a file's data, of all files in a tree that was stored, of a link's target or a value; none where its first
    /// block is not held here, and of a directory that is in another. Of a file of one raw block in a listing: as the
    /// directory says.
    pub size: Option<u64>,
    /// Bytes of all its blocks, as its directory says.
    pub dag_size: Option<u64>,
    /// Mode and time that were stored with it.
    pub metadata: Metadata,
    /// Where a symbolic link leads.
    pub target: Option<String>,
    /// When it was last stored as a root; none if it is none.
    pub modified: Option<u64>,
    /// Whether all of it is pinned by a pin of its own.
    pub pinned: bool,
    /// The profile it was stored by.
    pub profile: Option<Profile>,
}

/// A part of a listing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FilePage {
    /// Roots in the order of their CIDs' text, entries in the order of their directory.
    pub files: Vec<FileInfo>,
    /// After which the next page begins; none on the last one.
    pub next: Option<String>,
}

/// A part of the list of roots.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RootPage {
    /// In the order of the CIDs' text.
    pub files: Vec<StoredRoot>,
    /// After which the next page begins; none on the last one.
    pub next: Option<Cid>,
}

impl FileInfo {
    pub(super) fn new(cid: Cid) -> Self {
        FileInfo {
            cid,
            filename: None,
            kind: None,
            size: None,
            dag_size: None,
            metadata: Metadata::default(),
            target: None,
            modified: None,
            pinned: false,
            profile: None,
        }
    }

    pub(super) fn inspected(&mut self, block: &Block) -> Result<()> {
        let Inspected { kind, size, metadata, target } = inspect(block)?;
        self.kind = Some(kind);
        // A directory's size is known of a stored tree only.
        self.size = self.size.or((kind != EntryKind::Directory).then_some(size));
        self.metadata = metadata;
        self.target = target;
        Ok(())
    }
}

impl From<StoredRoot> for FileInfo {
    fn from(StoredRoot { root, pinned }: StoredRoot) -> Self {
        FileInfo {
            filename: root.filename,
            kind: root.kind,
            size: Some(root.size),
            modified: Some(root.modified),
            pinned,
            profile: root.profile,
            ..FileInfo::new(root.cid)
        }
    }
}

impl Storage {
    /// What is known of a stored root; [`Error::NotFound`] if there is no such root.
    pub async fn root(&self, cid: &Cid) -> Result<StoredRoot> {
        self.shared.tier.root(cid).await?.ok_or(Error::NotFound(cid.into()))
    }

    /// At most `limit` stored roots in the order of their CIDs' text, after `after`.
    pub async fn roots(&self, after: Option<&Cid>, limit: usize) -> Result<RootPage> {
        check(limit)?;
        // One more tells whether there is a next page.
        let mut files = self.shared.tier.roots(after, limit + 1).await?;
        let more = files.len() > limit;
        files.truncate(limit);
        let next = files.last().filter(|_| more).map(|last| last.root.cid.clone());
        Ok(RootPage { files, next })
    }

    /// What is known of a stored root, or of what a path leads to. Symbolic links on the way are followed, not one at the end.
    ///
    /// What is not held here is fetched, unless `offline` or the store says that no network may be used. A CID that is neither
    /// stored nor held, where nobody can be asked, is [`Error::NotFound`].
    pub async fn stat(&self, path: impl Into<Path>, offline: bool) -> Result<FileInfo> {
        let path = path.into();
        let source = self.shared.source(path.clone(), Some(0..0), offline, None);
        let _hold = Hold::new(&self.shared, path.cid().clone());
        let (cid, mut info) = match look_up(&source, &path).await? {
            None => (path.cid().clone(), FileInfo::new(path.cid().clone())),
            Some(link) => (link.cid.clone(), entry(link)),
        };
        // At once: a browser's database takes its time for each.
        let (stored, blocks) =
            future::join(self.shared.tier.root(&cid), source.blocks(std::slice::from_ref(&cid))).await;
        if let Some(stored) = stored? {
            let known = FileInfo::from(stored);
            info = FileInfo { filename: info.filename.or(known.filename.clone()), dag_size: info.dag_size, ..known };
        }
        // Not even when a cache has it still.
        let alone = path.names().is_empty() && info.modified.is_none() && self.shared.elsewhere(offline).is_err();
        if alone && !self.exists(&cid).await? {
            return Err(Error::NotFound(path));
        }
        match blocks {
            Ok(blocks) => info.inspected(&one(blocks, &cid)?)?,
            // What is stored here is known, whatever has become of its blocks.
            Err(_) if info.modified.is_some() => {}
            Err(error) => return Err(error),
        }
        Ok(info)
    }

    /// The CID of what a path leads to; symbolic links are followed, also the last.
    pub async fn resolve(&self, path: &Path, offline: bool) -> Result<Cid> {
        resolve(&self.shared.source(path.clone(), Some(0..0), offline, None), path).await
    }

    /// The stored roots, at `/`; or what is in a directory, at its CID or a path below one. At most `limit` (1 to 10,000) of
    /// them, after what `next` of the page before says.
    ///
    /// Of a directory's blocks those that are not held are fetched, unless `offline` or the store says that no network may be
    /// used; those of what is in it never are.
    pub async fn list_files(&self, path: &str, after: Option<&str>, limit: usize, offline: bool) -> Result<FilePage> {
        if path != "/" {
            let path = Path::parse(path.strip_prefix('/').filter(|_| !path.starts_with("/ipfs/")).unwrap_or(path))?;
            return self.entries(path, after, limit, offline).await;
        }
        let after = after.map(block::parse).transpose()?;
        let RootPage { files, next } = self.roots(after.as_ref(), limit).await?;
        let files = files.into_iter().map(FileInfo::from).collect();
        Ok(FilePage { files, next: next.map(|cid| cid.to_string()) })
    }

    /// What is in a directory; see [`Storage::list_files`].
    async fn entries(&self, path: Path, after: Option<&str>, limit: usize, offline: bool) -> Result<FilePage> {
        let root = path.cid().clone();
        let _hold = Hold::new(&self.shared, root.clone());
        let source = self.shared.source(path.clone(), Some(0..0), offline, None);
        let directory = resolve(&source, &path).await?;
        let page = self.shared.entries(&source, directory, after, limit).await?;
        self.shared.used(&root);
        Ok(page)
    }
}

impl Shared {
    /// A page of a directory. Its own blocks come from `source`; those of what is in it are looked at if they are held.
    pub(super) async fn entries(
        &self,
        source: &dyn BlockSource,
        directory: Cid,
        after: Option<&str>,
        limit: usize,
    ) -> Result<FilePage> {
        check(limit)?;
        let mut reader = DirectoryReader::open(source, directory, after).await?;
        let mut files = Vec::new();
        let mut more = false;
        while let Some(link) = reader.next().await? {
            if files.len() == limit {
                more = true;
                break;
            }
            files.push(entry(link));
        }
        self.inspect(&mut files).await?;
        let next = files.last().filter(|_| more).and_then(|last| last.filename.clone());
        Ok(FilePage { files, next })
    }

    /// Tells what entries are. Of a raw block the directory tells enough; others are read, as far as they are held.
    async fn inspect(&self, files: &mut [FileInfo]) -> Result<()> {
        for batch in files.chunks_mut(ENTRIES_AT_ONCE) {
            let mut keyed = Vec::new();
            for info in batch {
                match (block::key(&info.cid), Codec::of(&info.cid)?) {
                    (None, _) => Block::inline(info.cid.clone()).iter().try_for_each(|block| info.inspected(block))?,
                    // A link to what could not be looked at when it was made has no size.
                    (Some(_), Codec::Raw) if info.dag_size.is_some_and(|size| size > 0) => {
                        (info.kind, info.size) = (Some(EntryKind::File), info.dag_size);
                    }
                    (Some(key), _) => keyed.push((key, info)),
                }
            }
            let keys: Vec<Key> = keyed.iter().map(|(key, _)| *key).collect();
            let held = self.tier.has(&keys).await?;
            let (cids, infos): (Vec<Cid>, Vec<&mut FileInfo>) = keyed
                .into_iter()
                .zip(held)
                .filter(|(_, held)| *held)
                .map(|((_, info), _)| (info.cid.clone(), info))
                .unzip();
            // All at once; or each, if one of them cannot be read, which is told when that one is.
            let mut blocks = self.blocks.blocks(&cids).await.unwrap_or_default().into_iter();
            for info in infos {
                let block = match blocks.next() {
                    Some(block) => Ok(block),
                    None => self
                        .blocks
                        .blocks(std::slice::from_ref(&info.cid))
                        .await
                        .and_then(|blocks| one(blocks, &info.cid)),
                };
                if let Ok(block) = block {
                    info.inspected(&block)?;
                }
            }
        }
        Ok(())
    }
}

/// First blocks of entries read at once.
const ENTRIES_AT_ONCE: usize = 256;

fn entry(link: Link) -> FileInfo {
    let Link { cid, name, tsize } = link;
    FileInfo { filename: name, dag_size: tsize, ..FileInfo::new(cid) }
}

fn check(limit: usize) -> Result<()> {
    match limit {
        1..=MAX_PAGE => Ok(()),
        _ => Err(Error::InvalidArgument(format!("a page of {limit}; allowed are 1 to {MAX_PAGE}"))),
    }
}
