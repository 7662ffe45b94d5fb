//! Storing a tree: directories, files and symbolic links, one after another, in any order, in bounded memory.

use std::{collections::BTreeMap, mem, rc::Rc};

use bytes::Bytes;
use futures_util::future::LocalBoxFuture;

use super::{Shared, Storage, StoreOptions, ahead::Ahead, fetch::Source, intake::Intake, writer};
use crate::{
    block::{Block, Cid, Codec},
    error::{Error, OfflineReason, Result},
    tier::{Root, StoredRoot},
    unixfs::{
        BlockSink, BlockSource, Changes, Edit, EntryKind, Layout, MAX_PATH_BYTES, MAX_PATH_NAMES, Metadata, Target,
        find, inspect, symlink,
    },
};

/// Entries kept in memory, with 200 bytes and a name each, before the directories that they are in are written.
const MAX_OPEN: usize = 32 * 1024;

/// A tree being stored. Dropped before [`TreeWriter::finish`], it stores nothing.
///
/// What is above an entry is made when it is missing. An entry that is given twice is what it was the last time; a directory
/// that is given again keeps what is in it.
pub struct TreeWriter {
    shared: Rc<Shared>,
    options: StoreOptions,
    layout: Layout,
    work: Option<Work>,
}

struct Work {
    intake: Intake<Names>,
    root: Directory,
    /// Entries in memory.
    open: usize,
    /// The file that is being written.
    file: Option<(Names, Metadata)>,
    /// Bytes of files.
    size: u64,
    spilled: bool,
}

type Names = Vec<String>;

/// A directory that is not written yet.
#[derive(Default)]
struct Directory {
    /// What of it is written already.
    base: Option<Cid>,
    metadata: Option<Metadata>,
    entries: BTreeMap<String, Entry>,
}

enum Entry {
    Open(Directory),
    /// It, or a file, or a symbolic link.
    Closed(Target),
}

impl Storage {
    /// Begins to store a tree. Its name is data about it and no part of its CID, as with a file.
    pub fn tree(&self, options: StoreOptions) -> Result<TreeWriter> {
        let options = self.shared.checked(options)?;
        let layout = options.layout.unwrap_or(self.shared.options.layout);
        let intake = Intake::new(self.shared.clone(), layout);
        let work = Work { intake, root: Directory::default(), open: 0, file: None, size: 0, spilled: false };
        Ok(TreeWriter { shared: self.shared.clone(), options, layout, work: Some(work) })
    }
}

impl TreeWriter {
    /// Adds a directory, empty perhaps, or gives metadata to one that is there. The empty path is the tree itself.
    pub async fn directory(&mut self, path: &str, metadata: Metadata) -> Result<()> {
        let names = names(path)?;
        let edit = Editing::of(&self.shared, self.layout);
        self.work()?.directory(&edit, &names, metadata).await
    }

    /// Adds a symbolic link. Where it leads is not looked at.
    pub async fn symlink(&mut self, path: &str, target: &str, metadata: Metadata) -> Result<()> {
        let names = file_names(path)?;
        let edit = Editing::of(&self.shared, self.layout);
        let node = edit.make(symlink(target, metadata).into()).await?;
        let work = self.work()?;
        let to = Target { cid: node.cid().clone(), tsize: node.bytes().len() as u64 };
        work.intake.ahead.put(vec![node]).await?;
        work.put(&edit, &names, to).await
    }

    /// Adds a file that is in memory.
    pub async fn file(&mut self, path: &str, data: impl Into<Bytes>, metadata: Metadata) -> Result<()> {
        self.begin_file(path, metadata)?;
        self.write(data.into()).await?;
        self.end_file().await
    }

    /// Begins a file that comes in pieces.
    pub fn begin_file(&mut self, path: &str, metadata: Metadata) -> Result<()> {
        let names = file_names(path)?;
        match self.work()?.file.replace((names, metadata)) {
            None => Ok(()),
            Some(_) => Err(Error::InvalidArgument("a file was begun, and the one before has not ended".into())),
        }
    }

    /// Takes the next bytes of the file; returns when there is room for more.
    pub async fn write(&mut self, bytes: Bytes) -> Result<()> {
        let work = self.work()?;
        if work.file.is_none() {
            return Err(Error::InvalidArgument("no file was begun".into()));
        }
        work.size += bytes.len() as u64;
        let done = work.intake.write(bytes).await;
        self.or_abort(done).await
    }

    /// Ends the file.
    pub async fn end_file(&mut self) -> Result<()> {
        let edit = Editing::of(&self.shared, self.layout);
        let work = self.work()?;
        let Some((names, metadata)) = work.file.take() else {
            return Err(Error::InvalidArgument("no file was begun".into()));
        };
        let done = work.end_file(&edit, names, metadata).await;
        self.or_abort(done).await
    }

    /// Bytes of files taken so far.
    pub fn size(&self) -> u64 {
        self.work.as_ref().map_or(0, |work| work.size)
    }

    /// Ends the tree and commits it. On return it is durable.
    pub async fn finish(&mut self) -> Result<StoredRoot> {
        let done = self.end().await;
        match done {
            Ok(_) => self.work = None,
            Err(_) => self.abort().await,
        }
        done
    }

    async fn end(&mut self) -> Result<StoredRoot> {
        let edit = Editing::of(&self.shared, self.layout);
        let (options, layout) = (self.options.clone(), self.layout);
        let work = self.work()?;
        if work.file.is_some() {
            return Err(Error::InvalidArgument("the last file has not ended".into()));
        }
        for (names, built) in work.intake.finish().await? {
            let to = Target { cid: built.root, tsize: built.tsize };
            work.put(&edit, &names, to).await?;
        }
        let root = mem::take(&mut work.root);
        let Target { cid, .. } = root.close(&edit, &mut work.intake.ahead).await?;
        let size = work.size;
        let shared = &edit.shared;
        let root = Root {
            cid: cid.clone(),
            filename: options.filename.clone(),
            size,
            modified: shared.clock.now(),
            profile: layout.profile(),
            kind: Some(EntryKind::Directory),
        };
        let done = work.intake.ahead.commit(writer::commit(shared, &options, &root).await?).await?;
        shared.used(&cid);
        if work.spilled {
            // Directories as they were in between.
            shared.room.litter();
        }
        Ok(StoredRoot { root, pinned: done.pinned.first() == Some(&true) })
    }

    /// Gives up: nothing is stored, and what was written ahead is dropped.
    pub async fn abort(&mut self) {
        if let Some(mut work) = self.work.take() {
            work.intake.ahead.abort().await;
        }
    }

    fn work(&mut self) -> Result<&mut Work> {
        self.work.as_mut().ok_or(Error::Cancelled)
    }

    async fn or_abort(&mut self, done: Result<()>) -> Result<()> {
        if done.is_err() {
            self.abort().await;
        }
        done
    }
}

/// With what directories are made here.
struct Editing {
    shared: Rc<Shared>,
    source: Source,
    layout: Layout,
}

impl Editing {
    fn of(shared: &Rc<Shared>, layout: Layout) -> Self {
        // What a tree is made of was just written: nobody else need be asked.
        let source = Source::new(shared.blocks.clone(), Err(OfflineReason::Requested));
        Editing { shared: shared.clone(), source, layout }
    }

    fn edit(&self) -> Edit<'_> {
        Edit { source: &self.source, hasher: self.shared.hasher.as_ref(), layout: self.layout }
    }

    async fn make(&self, node: Bytes) -> Result<Block> {
        let Layout { version, hash, .. } = self.layout;
        let made = Block::make(self.shared.hasher.as_ref(), version, Codec::DagPb, hash, vec![node]).await?;
        made.into_iter().next().ok_or_else(|| Error::Io("the hasher returned no digest".into()))
    }
}

impl Work {
    async fn end_file(&mut self, edit: &Editing, names: Names, metadata: Metadata) -> Result<()> {
        self.intake.end(names, metadata).await?;
        for (names, built) in self.intake.done() {
            let to = Target { cid: built.root, tsize: built.tsize };
            self.put(edit, &names, to).await?;
        }
        Ok(())
    }

    async fn directory(&mut self, edit: &Editing, names: &[String], metadata: Metadata) -> Result<()> {
        let directory = self.open(edit, names).await?;
        if !metadata.is_empty() {
            directory.metadata = Some(metadata);
        }
        self.spill(edit).await
    }

    async fn put(&mut self, edit: &Editing, names: &[String], to: Target) -> Result<()> {
        let Some((name, above)) = names.split_last() else { return Ok(()) };
        let directory = self.open(edit, above).await?;
        let earlier = directory.entries.insert(name.clone(), Entry::Closed(to));
        self.open += usize::from(earlier.is_none());
        self.spill(edit).await
    }

    /// The directory with these names, made when it is missing.
    async fn open(&mut self, edit: &Editing, names: &[String]) -> Result<&mut Directory> {
        let mut directory = &mut self.root;
        for name in names {
            if !matches!(directory.entries.get(name), Some(Entry::Open(_))) {
                let base = directory.written(edit, name).await?;
                let open = Entry::Open(Directory { base, ..Directory::default() });
                self.open += usize::from(directory.entries.insert(name.clone(), open).is_none());
            }
            directory = match directory.entries.get_mut(name) {
                Some(Entry::Open(below)) => below,
                _ => return Err(Error::Io("a directory was opened and is not there".into())),
            };
        }
        Ok(directory)
    }

    /// Writes all directories when there is much in memory.
    async fn spill(&mut self, edit: &Editing) -> Result<()> {
        if self.open < MAX_OPEN {
            return Ok(());
        }
        let root = mem::take(&mut self.root);
        let closed = root.close(edit, &mut self.intake.ahead).await?;
        self.intake.ahead.flush().await?;
        self.root.base = Some(closed.cid);
        self.open = 0;
        self.spilled = true;
        Ok(())
    }
}

impl Directory {
    /// The directory with this name, if one was written.
    async fn written(&self, edit: &Editing, name: &str) -> Result<Option<Cid>> {
        let base = if self.entries.contains_key(name) { None } else { self.base.clone() };
        let Some(base) = base else { return Ok(None) };
        let Some(link) = find(&edit.source, &base, name).await? else { return Ok(None) };
        let blocks = edit.source.blocks(std::slice::from_ref(&link.cid)).await?;
        let kind = blocks.first().map(inspect).transpose()?.map(|inspected| inspected.kind);
        Ok((kind == Some(EntryKind::Directory)).then_some(link.cid))
    }

    /// Writes it, and all below it.
    fn close<'a>(self, edit: &'a Editing, ahead: &'a mut Ahead) -> LocalBoxFuture<'a, Result<Target>> {
        Box::pin(async move {
            let mut changes = Changes::new();
            for (name, entry) in self.entries {
                let target = match entry {
                    Entry::Open(directory) => directory.close(edit, ahead).await?,
                    Entry::Closed(target) => target,
                };
                changes.insert(name, Some(target));
            }
            edit.edit().directory(ahead, self.base, self.metadata, changes).await
        })
    }
}

/// The names of a path that leads to something in the tree.
fn file_names(path: &str) -> Result<Names> {
    match names(path)? {
        names if names.is_empty() => Err(Error::InvalidArgument(format!("{path:?} has no name"))),
        names => Ok(names),
    }
}

fn names(path: &str) -> Result<Names> {
    let refused = |problem: &str| Err(Error::InvalidArgument(format!("{path:?}: {problem}")));
    let names: Names = path.split('/').filter(|name| !matches!(*name, "" | ".")).map(str::to_owned).collect();
    if names.iter().any(|name| name == "..") {
        return refused("paths in a tree lead downwards");
    }
    if names.len() > MAX_PATH_NAMES || path.len() > MAX_PATH_BYTES {
        return refused("a path of more than 128 names, or 4096 bytes of them");
    }
    Ok(names)
}
