//! Storing files: one of any size that is fed in pieces, or many small ones in one commit.

use std::rc::Rc;

use bytes::Bytes;

use super::{Shared, StoreOptions, intake::Intake};
use crate::{
    error::{Error, Result},
    tier::{Commit, Pin, Root, StoredRoot},
    unixfs::{Built, EntryKind, Layout, Metadata},
};

/// A file being stored. Dropped before [`Writer::finish`], it stores nothing.
pub struct Writer {
    shared: Rc<Shared>,
    options: StoreOptions,
    layout: Layout,
    intake: Option<Intake<()>>,
}

impl Writer {
    pub(super) fn new(shared: Rc<Shared>, options: StoreOptions) -> Result<Self> {
        let options = shared.checked(options)?;
        let layout = options.layout.unwrap_or(shared.options.layout);
        let intake = Some(Intake::new(shared.clone(), layout));
        Ok(Writer { shared, options, layout, intake })
    }

    /// Takes the next bytes; returns when there is room for more. Large pieces are cut without being copied.
    ///
    /// After an error the writer is finished, and what it wrote ahead is dropped.
    pub async fn write(&mut self, bytes: Bytes) -> Result<()> {
        let done = self.intake()?.write(bytes).await;
        if done.is_err() {
            self.abort().await;
        }
        done
    }

    /// Ends the file and commits it. On return it is durable.
    pub async fn finish(&mut self) -> Result<StoredRoot> {
        let done = self.end().await;
        match done {
            Ok(_) => self.intake = None,
            Err(_) => self.abort().await,
        }
        done
    }

    async fn end(&mut self) -> Result<StoredRoot> {
        let intake = self.intake()?;
        intake.end((), Metadata::default()).await?;
        let built = intake.finish().await?.pop();
        let (_, built) = built.ok_or_else(|| Error::Io("a file was ended and did not come out".into()))?;
        let root = root(&self.shared, &self.options, self.layout, built);
        let commit = commit(&self.shared, &self.options, &root).await?;
        let done = self.intake()?.ahead.commit(commit).await?;
        self.shared.used(&root.cid);
        Ok(StoredRoot { root, pinned: done.pinned.first() == Some(&true) })
    }

    fn intake(&mut self) -> Result<&mut Intake<()>> {
        self.intake.as_mut().ok_or(Error::Cancelled)
    }

    /// Gives up: nothing is stored, and what was written ahead is dropped.
    pub async fn abort(&mut self) {
        if let Some(mut intake) = self.intake.take() {
            intake.ahead.abort().await;
        }
    }
}

fn root(shared: &Shared, options: &StoreOptions, layout: Layout, built: Built) -> Root {
    Root {
        cid: built.root,
        filename: options.filename.clone(),
        size: built.size,
        modified: shared.clock.now(),
        profile: layout.profile(),
        kind: Some(EntryKind::File),
    }
}

/// What makes a root known, pins it, and queues it for the backends that are to have a copy.
pub(super) async fn commit(shared: &Shared, options: &StoreOptions, root: &Root) -> Result<Commit> {
    let pin = options.pin || shared.pins(&options.replicate);
    let pin = pin.then(|| Pin { created: root.modified, ..Pin::recursive(root.cid.clone()) });
    Ok(Commit {
        set_roots: vec![root.clone()],
        pin: pin.into_iter().collect(),
        notes: shared.queue_in_commit(&root.cid, &options.replicate).await?,
        durability: shared.options.durability,
        ..Commit::default()
    })
}

/// Stores many files: all of them or none.
pub(super) async fn many(shared: &Rc<Shared>, files: Vec<(Bytes, StoreOptions)>) -> Result<Vec<StoredRoot>> {
    let mut prepared = Vec::with_capacity(files.len());
    for (data, options) in files {
        prepared.push((data, shared.checked(options)?));
    }
    let mut intake = Intake::new(shared.clone(), shared.options.layout);
    let done = many_into(shared, &mut intake, prepared).await;
    if done.is_err() {
        intake.ahead.abort().await;
    }
    done
}

async fn many_into(
    shared: &Rc<Shared>,
    intake: &mut Intake<(StoreOptions, Layout)>,
    files: Vec<(Bytes, StoreOptions)>,
) -> Result<Vec<StoredRoot>> {
    for (data, options) in files {
        let layout = options.layout.unwrap_or(shared.options.layout);
        intake.set_layout(layout);
        intake.write(data).await?;
        intake.end((options, layout), Metadata::default()).await?;
    }
    let (mut all, mut roots) = (Commit { durability: shared.options.durability, ..Commit::default() }, Vec::new());
    for ((options, layout), built) in intake.finish().await? {
        let root = root(shared, &options, layout, built);
        all.merge(commit(shared, &options, &root).await?);
        roots.push(root);
    }
    let pinned = intake.ahead.commit(all).await?.pinned;
    roots.iter().for_each(|root| shared.used(&root.cid));
    Ok(roots.into_iter().zip(pinned).map(|(root, pinned)| StoredRoot { root, pinned }).collect())
}
