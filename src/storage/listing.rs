//! What is stored: the roots of the store, and what directories say is in them.

use super::{MAX_PAGE, Storage, room::Hold};
use crate::{
    block::{self, Cid, Codec, Key},
    dag::pb::Link,
    error::{Error, Result},
    tier::StoredRoot,
    unixfs::{BlockSource, DirectoryReader, EntryKind, Inspected, Metadata, Path, Profile, inspect, one, resolve},
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
    /// block is not held here, and of a directory that is in another.
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
    fn new(cid: Cid) -> Self {
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

    fn inspected(&mut self, inspected: Inspected) {
        let Inspected { kind, size, metadata, target } = inspected;
        self.kind = Some(kind);
        // A directory's size is known of a stored tree only.
        self.size = self.size.or((kind != EntryKind::Directory).then_some(size));
        self.metadata = metadata;
        self.target = target;
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
        let next = files.last().filter(|_| more).map(|last| last.root.cid);
        Ok(RootPage { files, next })
    }

    /// What is known of a stored root, or of what a path leads to. Symbolic links on the way are followed, not one at the end.
    ///
    /// What is not held here is fetched, unless `offline` or the store says that no network may be used. A CID that is neither
    /// stored nor held, where nobody can be asked, is [`Error::NotFound`].
    pub async fn stat(&self, path: impl Into<Path>, offline: bool) -> Result<FileInfo> {
        let path = path.into();
        let source = self.shared.source(path.clone(), Some(0..0), offline, None);
        let (cid, mut info) = match path.names().split_last() {
            None => (*path.cid(), FileInfo::new(*path.cid())),
            Some((name, above)) => {
                let _hold = Hold::new(&self.shared, *path.cid());
                let above = Path::new(*path.cid(), above.to_vec())?;
                let directory = resolve(&source, &above).await?;
                let found = crate::unixfs::find(&source, &directory, name).await?;
                let link = found.ok_or_else(|| Error::NotFound(path.clone()))?;
                (link.cid, entry(link))
            }
        };
        if let Some(stored) = self.shared.tier.root(&cid).await? {
            let known = FileInfo::from(stored);
            info = FileInfo { filename: info.filename.or(known.filename.clone()), dag_size: info.dag_size, ..known };
        }
        // Not even when a cache has it still.
        let alone = path.names().is_empty() && info.modified.is_none() && self.shared.remotes(offline).is_err();
        if alone && !self.exists(&cid).await? {
            return Err(Error::NotFound(path));
        }
        match source.blocks(&[cid]).await {
            Ok(blocks) => info.inspected(inspect(&one(blocks, &cid)?)?),
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
        check(limit)?;
        let root = *path.cid();
        let _hold = Hold::new(&self.shared, root);
        let source = self.shared.source(path.clone(), Some(0..0), offline, None);
        let directory = resolve(&source, &path).await?;
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
        self.shared.room.used(&root);
        let next = files.last().filter(|_| more).and_then(|last| last.filename.clone());
        Ok(FilePage { files, next })
    }

    /// Looks at the first blocks of entries, as far as they are held here; of a raw block only the length is wanted.
    async fn inspect(&self, files: &mut [FileInfo]) -> Result<()> {
        for batch in files.chunks_mut(ENTRIES_AT_ONCE) {
            let mut keyed: Vec<(Key, &mut FileInfo)> = Vec::new();
            for info in batch {
                match block::key(&info.cid) {
                    Some(key) => keyed.push((key, info)),
                    None => block::Block::inline(info.cid).iter().map(inspect).try_for_each(|inspected| {
                        info.inspected(inspected?);
                        Ok::<(), Error>(())
                    })?,
                }
            }
            let keys: Vec<Key> = keyed.iter().map(|(key, _)| *key).collect();
            let mut nodes = Vec::new();
            for ((_, info), length) in keyed.into_iter().zip(self.shared.tier.lengths(&keys).await?) {
                match (Codec::of(&info.cid)?, length) {
                    (Codec::Raw, length) => (info.kind, info.size) = (Some(EntryKind::File), length.or(info.dag_size)),
                    (_, Some(_)) => nodes.push(info),
                    (_, None) => {}
                }
            }
            let cids: Vec<Cid> = nodes.iter().map(|info| info.cid).collect();
            // One that cannot be read is told of when it is read.
            let Ok(blocks) = self.shared.blocks.blocks(&cids).await else { continue };
            for (info, block) in nodes.into_iter().zip(blocks) {
                info.inspected(inspect(&block)?);
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
