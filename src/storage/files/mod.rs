//! The mutable tree: files and directories under paths, as Kubo's `files` commands have it (MFS). `docs/files.md` compares
//! them.
//!
//! Each change makes new blocks and then a new root, which takes the place of the one that it was made from, or fails when
//! that is not the root any more; then it is made again from the new one. So of two changes at once none is lost, and after a
//! crash there is the root before or the one after. The last roots are kept, with all that they reach.

mod list;
mod path;
pub(super) mod root;
mod source;
mod tree;
mod write;

use std::rc::Rc;

pub use self::{
    list::FileStat,
    root::{HISTORY, PastRoot},
    write::{FileWriter, WriteOptions},
};
use self::{
    path::{Names, text},
    root::{NOTE, Roots},
    source::TreeSource,
    tree::{Found, Plan, Tree},
};
use super::{ReadOptions, Reader, Shared, Storage, ahead::Ahead, walk::walk_held};
use crate::{
    block::Cid,
    error::{Error, Result},
    tier::Commit,
    unixfs::{BlockSink, Edit, Metadata, Mtime, Path, Target, resolve, retouch},
};

/// How often a change is made again that another one came before.
const ATTEMPTS: usize = 64;

/// What is copied: something in the tree, or a CID and what is below it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CopyFrom {
    /// `/a/b`.
    Tree(String),
    /// `CID/a/b`.
    Path(Path),
}

/// The mutable tree of a store. Clones share it.
#[derive(Clone)]
pub struct Files {
    shared: Rc<Shared>,
}

impl Storage {
    /// Its mutable tree.
    pub fn files(&self) -> Files {
        Files { shared: self.shared.clone() }
    }
}

impl Files {
    /// Makes a directory; with `parents` also those above it, and one that is there already is no error.
    pub async fn mkdir(&self, path: &str, parents: bool, metadata: Metadata) -> Result<()> {
        let to = Names::parse(path)?;
        self.change(async |tree, ahead| {
            if let Some(found) = tree.find(&to.names).await? {
                return match parents && tree.is_directory(&found).await? {
                    true => Ok(None),
                    false => Err(exists(&to.names)),
                };
            }
            let (parent, _) = to.split().ok_or_else(|| exists(&to.names))?;
            tree.check_parent(parent, parents).await?;
            let made = self.edit(tree).directory(ahead, None, Some(metadata), Default::default()).await?;
            Ok(Some(put(&to.names, made)))
        })
        .await
    }

    /// Has a path lead to what is in the tree already, or to a CID: nothing is copied, and of a CID nothing need be here.
    /// With a slash at its end, and where it is a directory, `to` is where the copy goes. What is there already is an error.
    pub async fn cp(&self, from: &CopyFrom, to: &str, parents: bool) -> Result<()> {
        let to = Names::parse(to)?;
        self.change(async |tree, ahead| {
            let (target, name) = match from {
                CopyFrom::Tree(path) => {
                    let from = Names::parse(path)?;
                    let found = tree.get(&from.names).await?;
                    let target = self.target(tree, found, ahead).await?;
                    (target, from.split().map(|(_, name)| name.to_owned()))
                }
                CopyFrom::Path(path) => (self.linked(tree, path).await?, path.names().last().cloned()),
            };
            let name = name.unwrap_or_else(|| target.cid.to_string());
            let at = tree.destination(&to, &name, true).await?;
            if tree.find(&at).await?.is_some() {
                return Err(exists(&at));
            }
            let parent = at.split_last().map(|(_, parent)| parent).unwrap_or_default();
            tree.check_parent(parent, parents).await?;
            Ok(Some(put(&at, target)))
        })
        .await
    }

    /// Moves, or renames. Into a directory, where `to` is one; a file that is there is replaced.
    pub async fn mv(&self, from: &str, to: &str) -> Result<()> {
        let (from, to) = (Names::parse(from)?, Names::parse(to)?);
        self.change(async |tree, ahead| {
            let (_, name) = from.split().ok_or_else(|| Error::InvalidArgument("the root stays where it is".into()))?;
            let target = self.target(tree, tree.get(&from.names).await?, ahead).await?;
            let at = tree.destination(&to, name, true).await?;
            if at == from.names {
                return Ok(None);
            }
            if at.starts_with(&from.names) {
                let (from, at) = (text(&from.names), text(&at));
                return Err(Error::InvalidArgument(format!("{from} cannot be moved to {at}, which is below it")));
            }
            match tree.find(&at).await? {
                Some(found) if tree.is_directory(&found).await? => return Err(exists(&at)),
                _ if from.names.starts_with(&at) => return Err(exists(&at)),
                _ => {}
            }
            tree.check_parent(at.split_last().map(|(_, parent)| parent).unwrap_or_default(), false).await?;
            let mut plan = Plan::default();
            plan.set(&at, Some(target));
            plan.set(&from.names, None);
            Ok(Some(Step::Below(plan)))
        })
        .await
    }

    /// Removes a file, or with `recursive` a directory and all below it. With `force` what is not there is no error.
    pub async fn rm(&self, path: &str, recursive: bool, force: bool) -> Result<()> {
        let names = Names::parse(path)?.names;
        if names.is_empty() {
            return Err(Error::InvalidArgument("the root cannot be removed; remove what is in it".into()));
        }
        self.change(async |tree, _| {
            let found = match tree.find(&names).await? {
                None if force => return Ok(None),
                found => found.ok_or_else(|| Error::NoEntry(text(&names)))?,
            };
            // Nothing of what goes need be here.
            if !recursive && !force && tree.is_directory(&found).await? {
                let path = text(&names);
                return Err(Error::InvalidArgument(format!("{path} is a directory; remove it with all below it")));
            }
            let mut plan = Plan::default();
            plan.set(&names, None);
            Ok(Some(Step::Below(plan)))
        })
        .await
    }

    /// Sets when something was changed last.
    pub async fn touch(&self, path: &str, mtime: Mtime) -> Result<()> {
        self.retouch(path, |metadata| Metadata { mtime: Some(mtime), ..metadata }).await
    }

    /// Sets the permissions of something, 12 bits.
    pub async fn chmod(&self, path: &str, mode: u32) -> Result<()> {
        if mode > 0o7777 {
            return Err(Error::InvalidArgument(format!("a mode of {mode:o}; allowed are 0 to 7777, octal")));
        }
        self.retouch(path, |metadata| Metadata { mode: Some(mode), ..metadata }).await
    }

    /// Makes all that was changed survive a power cut, and tells the CID of what is at a path.
    pub async fn flush(&self, path: &str) -> Result<Cid> {
        let cid = self.stat(path).await?.cid;
        Storage { shared: self.shared.clone() }.flush().await?;
        Ok(cid)
    }

    /// The last roots, at most [`HISTORY`], the one in use first. Each is a directory that can be read by its CID.
    pub async fn history(&self) -> Result<Vec<PastRoot>> {
        Ok(Roots::load(&self.shared).await?.roots)
    }

    /// Starts reading a file, or a range of it.
    pub async fn reader(&self, path: &str, options: ReadOptions) -> Result<Reader> {
        let names = Names::parse(path)?.names;
        match self.tree(&Roots::load(&self.shared).await?).get(&names).await? {
            Found::Entry(target) => Reader::new(self.shared.clone(), target.cid.into(), options).await,
            Found::Empty => Err(Error::InvalidArgument("/ is a directory".into())),
        }
    }

    async fn retouch(&self, path: &str, change: impl Fn(Metadata) -> Metadata) -> Result<()> {
        let names = Names::parse(path)?.names;
        self.change(async |tree, ahead| {
            let target = self.target(tree, tree.get(&names).await?, ahead).await?;
            let (inspected, block) = tree.inspect(&target.cid).await?;
            let made = retouch(tree.hasher, &block, change(inspected.metadata)).await?;
            let tsize = (target.tsize + made.bytes().len() as u64).saturating_sub(block.bytes().len() as u64);
            let target = Target { cid: made.cid().clone(), tsize };
            ahead.put(vec![made]).await?;
            Ok(Some(put(&names, target)))
        })
        .await
    }

    /// Something in the tree, as it is linked; the empty root is made for it.
    async fn target(&self, tree: &Tree<'_>, found: Found, sink: &mut dyn BlockSink) -> Result<Target> {
        match found {
            Found::Entry(target) if target.tsize > 0 => Ok(target),
            Found::Entry(Target { cid, .. }) => Ok(Target { cid: cid.clone(), tsize: tree.known_size_of(&cid).await? }),
            Found::Empty => self.edit(tree).directory(sink, None, None, Default::default()).await,
        }
    }

    /// What is to be linked into the tree. What of it is here is not dropped from now on, until the tree has it.
    async fn linked(&self, tree: &Tree<'_>, path: &Path) -> Result<Target> {
        let shared = &self.shared;
        let cid = match path.names().is_empty() {
            true => path.cid().clone(),
            false => resolve(&shared.source(path.clone(), None, false, None), path).await?,
        };
        walk_held(shared, &cid, &mut |cid| shared.blocks.rely_on(std::slice::from_ref(cid))).await?;
        Ok(Target { cid: cid.clone(), tsize: tree.known_size_of(&cid).await? })
    }

    fn tree(&self, roots: &Roots) -> Tree<'_> {
        let Shared { hasher, options, .. } = self.shared.as_ref();
        let source = TreeSource::new(&self.shared);
        Tree { source, hasher: hasher.as_ref(), layout: options.layout, root: roots.current() }
    }

    fn edit<'a>(&self, tree: &'a Tree<'_>) -> Edit<'a> {
        Edit { source: &tree.source, hasher: tree.hasher, layout: tree.layout }
    }

    /// Changes the tree by what `plan` says of it, again if somebody else has changed it meanwhile.
    async fn change(&self, plan: impl AsyncFn(&Tree<'_>, &mut Ahead) -> Result<Option<Step>>) -> Result<()> {
        let mut ahead = Ahead::new(self.shared.clone());
        let done = self.swap(&mut ahead, plan).await;
        if done.is_err() {
            ahead.abort().await;
        }
        done
    }

    async fn swap(
        &self,
        ahead: &mut Ahead,
        plan: impl AsyncFn(&Tree<'_>, &mut Ahead) -> Result<Option<Step>>,
    ) -> Result<()> {
        // From here on nothing is dropped that is looked up.
        ahead.enter().await?;
        for _ in 0..ATTEMPTS {
            let roots = Roots::load(&self.shared).await?;
            let tree = self.tree(&roots);
            let root = match plan(&tree, ahead).await? {
                None => {
                    ahead.abort().await;
                    return Ok(());
                }
                Some(Step::Root(root)) => root,
                Some(Step::Below(plan)) => tree.apply(ahead, plan).await?,
            };
            if roots.current().as_ref() == Some(&root.cid) {
                ahead.abort().await;
                return Ok(());
            }
            // A commit that fails takes its blocks with it.
            ahead.flush().await?;
            let value = roots.with(PastRoot { cid: root.cid, changed: self.shared.clock.now() });
            let commit = Commit {
                notes: vec![(NOTE.to_owned(), Some(value))],
                expect: vec![(NOTE.to_owned(), roots.note)],
                durability: self.shared.options.durability,
                ..Commit::default()
            };
            match ahead.commit(commit).await {
                Err(Error::Conflict { .. }) => {}
                done => {
                    // What only the oldest root reached is garbage now.
                    self.shared.room.litter();
                    return done.map(drop);
                }
            }
        }
        Err(Error::Conflict { name: "/".into() })
    }
}

/// What a change comes to.
enum Step {
    /// Another root.
    Root(Target),
    /// Changes below it.
    Below(Plan),
}

/// Something takes the place of what is at a path.
fn put(names: &[String], target: Target) -> Step {
    if names.is_empty() {
        return Step::Root(target);
    }
    let mut plan = Plan::default();
    plan.set(names, Some(target));
    Step::Below(plan)
}

fn exists(names: &[String]) -> Error {
    Error::Denied(format!("{} exists already", text(names)))
}
