//! Reading one file, wherever its blocks are.

use std::rc::Rc;

use bytes::Bytes;

use super::{
    Shared,
    fetch::{Fetched, OnFetched, Source},
    room::Hold,
    sweep,
    walk::walk_all,
};
use crate::{
    block::Cid,
    error::{Error, Result},
    tier::{Commit, Pin, Root},
    unixfs::{self, EntryKind, FileReader, Path},
};

/// What to read, and how.
#[derive(Clone, Default)]
pub struct ReadOptions {
    /// The first byte.
    pub offset: u64,
    /// How many bytes; none: to the end.
    pub length: Option<u64>,
    /// Whether this call must not use a network.
    pub offline: bool,
    /// Whether the file, once it has been read as a whole, is to be a pinned root. Not with a range.
    pub pin: bool,
    /// Told of what comes from elsewhere.
    pub on_fetched: Option<OnFetched>,
}

impl ReadOptions {
    /// A range.
    pub fn range(offset: u64, length: Option<u64>) -> Self {
        ReadOptions { offset, length, ..Self::default() }
    }
}

/// A file being read. What comes from elsewhere is kept; a file that was read as a whole is a stored root after it.
pub struct Reader {
    shared: Rc<Shared>,
    cid: Cid,
    whole: bool,
    pin: bool,
    file: FileReader<Source>,
    source: Source,
    /// Neither the file nor the root that led to it is evicted meanwhile.
    _holds: [Hold; 2],
}

impl Reader {
    pub(super) async fn new(shared: Rc<Shared>, path: Path, options: ReadOptions) -> Result<Self> {
        let ReadOptions { offset, length, offline, pin, on_fetched } = options;
        let end = length.map_or(u64::MAX, |length| offset.saturating_add(length));
        let root = path.cid().clone();
        let hold = Hold::new(&shared, root.clone());
        let source = shared.source(path.clone(), Some(offset..end), offline, on_fetched);
        let cid = unixfs::resolve(&source, &path).await?;
        source.session().into_iter().for_each(|session| session.found(&cid));
        let file = FileReader::open(source.clone(), cid.clone(), offset, length).await?;
        let whole = file.remaining() == file.size();
        if pin && !whole {
            return Err(Error::InvalidArgument("to pin what is read, read the whole file".into()));
        }
        shared.used(&root);
        if cid != root {
            shared.used(&cid);
        }
        let holds = [hold, Hold::new(&shared, cid.clone())];
        let reader = Reader { shared, cid, whole, pin, file, source, _holds: holds };
        if reader.remaining() == 0 {
            reader.settle().await?;
        }
        Ok(reader)
    }

    /// The file's own CID, whatever path led to it.
    pub fn cid(&self) -> &Cid {
        &self.cid
    }

    /// Bytes of the whole file, whatever the range.
    pub fn size(&self) -> u64 {
        self.file.size()
    }

    /// What was fetched for it so far, also for others who read the same at the same time.
    pub fn fetched(&self) -> Fetched {
        self.source.session().map(|session| session.fetched()).unwrap_or_default()
    }

    /// Bytes still to come.
    pub fn remaining(&self) -> u64 {
        self.file.remaining()
    }

    /// The next bytes, as they lie in one block; none at the end.
    pub async fn next(&mut self) -> Result<Option<Bytes>> {
        let before = self.remaining();
        let next = self.file.next().await?;
        if before > 0 && self.remaining() == 0 {
            self.settle().await?;
        }
        Ok(next)
    }

    /// A file that came from elsewhere is one of this store's now, without a name; pinned if that was asked.
    async fn settle(&self) -> Result<()> {
        let fetched = self.source.session().is_some_and(|session| session.fetched().blocks > 0);
        if fetched {
            // A part of a file, and the nodes on the way to it, belong to no root.
            self.shared.room.litter();
        }
        if !self.whole || !(fetched || self.pin) {
            return Ok(());
        }
        let open = sweep::enter(&self.shared).await?;
        // It may have been deleted since it was read, or a part of it; from here on nothing is.
        match walk_all(&self.source, &self.cid).await {
            Err(_) if !self.pin => return Ok(()),
            whole => whole?,
        }
        let (shared, cid, pin, size) = (self.shared.clone(), self.cid.clone(), self.pin, self.size());
        let settle = async move {
            let stored = shared.tier.root(&cid).await?;
            let root = shared.left(&cid).await?.unwrap_or_else(|| Root {
                cid: cid.clone(),
                filename: None,
                size,
                modified: shared.clock.now(),
                profile: None,
                kind: Some(EntryKind::File),
            });
            let pin = pin && !stored.as_ref().is_some_and(|stored| stored.pinned);
            let commit = Commit {
                set_roots: stored.is_none().then_some(root).into_iter().collect(),
                pin: pin
                    .then(|| Pin { created: shared.clock.now(), ..Pin::recursive(cid.clone()) })
                    .into_iter()
                    .collect(),
                durability: shared.options.durability,
                ..Commit::default()
            };
            if pin || !commit.set_roots.is_empty() {
                shared.blocks.commit(commit).await?;
                shared.used(&cid);
            }
            Ok(())
        };
        self.shared.roots.pass(settle).await?;
        sweep::leave(open).await;
        Ok(())
    }
}
