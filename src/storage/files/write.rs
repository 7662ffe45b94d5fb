//! Writing a file of the tree, piece by piece.

use bytes::Bytes;

use super::{
    Files, exists,
    path::{Names, text},
    put,
    root::Roots,
    source::TreeSource,
    tree::{Found, Tree},
};
use crate::{
    block::Cid,
    error::{Error, Result},
    storage::ahead::Ahead,
    unixfs::{EntryKind, FileEdit, Metadata, Mtime, Target},
};

/// Where to write, and what to make for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct WriteOptions {
    /// Where the first byte goes. Behind the end, zeros fill the gap.
    pub offset: u64,
    /// Whether to write behind the last byte; without an offset.
    pub append: bool,
    /// Whether to make the file if there is none.
    pub create: bool,
    /// Whether to make the directories above it if there are none.
    pub parents: bool,
    /// Whether the file is to have no bytes before it is written.
    pub truncate: bool,
    /// What is to be kept of it; what is not said stays as it was.
    pub metadata: Metadata,
}

/// A file of the tree being written. Dropped before [`FileWriter::finish`], it changes nothing.
pub struct FileWriter {
    files: Files,
    names: Vec<String>,
    options: WriteOptions,
    /// What the tree had at the beginning.
    base: Option<Cid>,
    edit: Option<FileEdit<TreeSource>>,
    ahead: Ahead,
    keep_rest: bool,
}

impl Files {
    /// Writes to a file. If somebody else changes the same file meanwhile, it is written again, over what it is then.
    pub async fn write(&self, path: &str, data: impl Into<Bytes>, options: WriteOptions) -> Result<()> {
        let data: Bytes = data.into();
        for _ in 1..super::ATTEMPTS {
            match self.write_once(path, data.clone(), options).await {
                Err(Error::Conflict { .. }) => {}
                done => return done,
            }
        }
        self.write_once(path, data, options).await
    }

    async fn write_once(&self, path: &str, data: Bytes, options: WriteOptions) -> Result<()> {
        let mut writer = self.writer(path, options).await?;
        writer.write(data).await?;
        writer.finish().await
    }

    /// Starts writing to a file, in pieces. Nothing of it shows before the end.
    pub async fn writer(&self, path: &str, options: WriteOptions) -> Result<FileWriter> {
        if options.append && options.offset > 0 {
            return Err(Error::InvalidArgument("an offset where to append: one of the two".into()));
        }
        FileWriter::open(self, path, options, None).await
    }

    /// Makes a file shorter, or longer, by zeros.
    pub async fn truncate(&self, path: &str, length: u64) -> Result<()> {
        for _ in 0..super::ATTEMPTS {
            let options = WriteOptions { offset: length, ..WriteOptions::default() };
            let mut writer = FileWriter::open(self, path, options, Some(length)).await?;
            match writer.finish().await {
                Err(Error::Conflict { .. }) => {}
                done => return done,
            }
        }
        Err(Error::Conflict { name: path.to_owned() })
    }
}

impl FileWriter {
    async fn open(files: &Files, path: &str, options: WriteOptions, end: Option<u64>) -> Result<FileWriter> {
        let Names { names, slash } = Names::parse(path)?;
        let shared = &files.shared;
        let mut ahead = Ahead::new(shared.clone());
        ahead.enter().await?;
        let roots = Roots::load(shared).await?;
        let tree = files.tree(&roots);
        let base = base(&tree, &names, slash, &options).await?;
        let mut offset = options.offset;
        let mut metadata = Metadata::default();
        if let Some(cid) = &base {
            let (inspected, _) = tree.inspect(cid).await?;
            metadata = inspected.metadata;
            match inspected.kind {
                EntryKind::File => {}
                kind => {
                    let problem = format!("{} is a {}, and no file", text(&names), kind.name());
                    return Err(Error::InvalidArgument(problem));
                }
            }
            if options.append {
                offset = inspected.size;
            }
        }
        let from = base.clone().filter(|_| !options.truncate);
        let layout = shared.options.layout;
        let edit = FileEdit::open(tree.source.clone(), shared.hasher.clone(), from, layout, offset, &mut ahead).await?;
        let now = shared.clock.now();
        let written = Mtime { seconds: (now / 1000) as i64, nanoseconds: (now % 1000) as u32 * 1_000_000 };
        let options = WriteOptions {
            metadata: Metadata {
                mode: options.metadata.mode.or(metadata.mode),
                // When it was changed last is kept of those files of which it was kept before.
                mtime: options.metadata.mtime.or(metadata.mtime.map(|_| written)),
            },
            ..options
        };
        Ok(FileWriter { files: files.clone(), names, options, base, edit: Some(edit), ahead, keep_rest: end.is_none() })
    }

    /// Takes the next bytes; returns when there is room for more. After an error the writer is finished.
    pub async fn write(&mut self, bytes: Bytes) -> Result<()> {
        let edit = self.edit.as_mut().ok_or(Error::Cancelled)?;
        let done = edit.write(bytes, &mut self.ahead).await;
        if done.is_err() {
            self.abort().await;
        }
        done
    }

    /// Ends it: the tree has the file as it was written. [`Error::Conflict`] when somebody else has changed the same file
    /// since this was begun; changes elsewhere in the tree are no hindrance.
    pub async fn finish(&mut self) -> Result<()> {
        let done = self.end().await;
        if done.is_err() {
            self.abort().await;
        }
        done
    }

    async fn end(&mut self) -> Result<()> {
        let edit = self.edit.take().ok_or(Error::Cancelled)?;
        let built = edit.finish(self.keep_rest, self.options.metadata, &mut self.ahead).await?;
        let target = Target { cid: built.root, tsize: built.tsize };
        let FileWriter { files, names, options, base, ahead, .. } = self;
        let (names, options, before) = (names.as_slice(), *options, base.clone());
        files
            .swap(ahead, async |tree, _| {
                if self::base(tree, names, false, &options).await? != before {
                    return Err(Error::Conflict { name: text(names) });
                }
                Ok(Some(put(names, target.clone())))
            })
            .await
    }

    /// Gives up: nothing is changed.
    pub async fn abort(&mut self) {
        self.edit = None;
        self.ahead.abort().await;
    }
}

/// The file that is there, or none if it may be made.
async fn base(tree: &Tree<'_>, names: &[String], slash: bool, options: &WriteOptions) -> Result<Option<Cid>> {
    match tree.find(names).await? {
        _ if slash && !names.is_empty() => {
            Err(Error::InvalidArgument(format!("{}/ is the path of a directory", text(names))))
        }
        Some(Found::Entry(target)) => Ok(Some(target.cid)),
        Some(Found::Empty) => Err(exists(names)),
        None if options.create => {
            let parent = names.split_last().map(|(_, parent)| parent).unwrap_or_default();
            tree.check_parent(parent, options.parents).await?;
            Ok(None)
        }
        None => Err(Error::NoEntry(text(names))),
    }
}
