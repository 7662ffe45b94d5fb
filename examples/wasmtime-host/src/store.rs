//! An open store: the component's calls, with streams of this program.

use std::{
    io::{Read, Write},
    path::Path,
};

use wasmtime::{Result, component::ResourceAny, format_err};

use crate::{
    bindings::{
        Bridged,
        ipfs_kit::storage::types::{Error, FileInfo, OpenOptions, Pushed, ReadOptions, Status, StoreOptions},
    },
    host::{self, Host, Kind, STORE},
};

/// Bytes handed over at once.
const PIECE: usize = 1024 * 1024;

/// A store in a folder of this machine.
pub struct Store {
    store: wasmtime::Store<Host>,
    component: Bridged,
    handle: ResourceAny,
}

impl Store {
    /// Opens it, or creates it. `dist` has the components; who else may have what is not held is asked at `remotes`.
    pub fn open(dist: &Path, folder: &Path, remotes: Vec<String>) -> Result<Store> {
        let (mut store, component) = host::start(Kind::for_remotes(&remotes)?, dist, folder)?;
        let options = OpenOptions {
            directory: Some(STORE.into()),
            take_over: false,
            force_fallback: false,
            remotes,
            remote_timeout: None,
            backends: vec![],
            policy: None,
            layout: None,
            durability: None,
            verification: None,
        };
        let handle = told(component.ipfs_kit_storage_storage().handle().call_open(&mut store, &options)?)?;
        Ok(Store { store, component, handle })
    }

    /// Leaves it, so that another one can open it at once.
    pub fn close(mut self) -> Result<()> {
        self.handle.resource_drop(&mut self.store)
    }

    /// Stores what there is to be read.
    pub fn put(&mut self, mut from: impl Read, filename: Option<String>) -> Result<FileInfo> {
        let interface = self.component.ipfs_kit_storage_storage();
        let options = StoreOptions { filename, pin: false, layout: None, replicate: None };
        let writer = told(interface.handle().call_create_writer(&mut self.store, self.handle, &options)?)?;
        let mut piece = Vec::with_capacity(PIECE);
        while from.by_ref().take(PIECE as u64).read_to_end(&mut piece)? > 0 {
            told(interface.writer().call_write(&mut self.store, writer, &piece)?)?;
            piece.clear();
        }
        let stored = told(interface.writer().call_finish(&mut self.store, writer)?)?;
        writer.resource_drop(&mut self.store)?;
        Ok(stored)
    }

    /// Writes a file out, each byte of it proven.
    pub fn get(&mut self, path: &str, mut to: impl Write) -> Result<u64> {
        let interface = self.component.ipfs_kit_storage_storage();
        let options = ReadOptions { offset: 0, length: None, offline: false, pin: false };
        let reader = interface.handle().call_open_reader(&mut self.store, self.handle, &path.to_owned(), options)?;
        let reader = told(reader)?;
        let mut count = 0;
        loop {
            let piece = told(interface.reader().call_read(&mut self.store, reader, PIECE as u32)?)?;
            if piece.is_empty() {
                break;
            }
            to.write_all(&piece)?;
            count += piece.len() as u64;
        }
        reader.resource_drop(&mut self.store)?;
        Ok(count)
    }

    /// The stored roots.
    pub fn list(&mut self) -> Result<Vec<FileInfo>> {
        let handle = self.component.ipfs_kit_storage_storage().handle();
        let (mut files, mut after) = (Vec::new(), None::<String>);
        loop {
            let page = handle.call_list_files(&mut self.store, self.handle, "/", after.as_deref(), 1000, false)?;
            let page = told(page)?;
            files.extend(page.files);
            after = page.next;
            if after.is_none() {
                return Ok(files);
            }
        }
    }

    /// Gives what is below a CID to a remote.
    pub fn push(&mut self, cid: &str, remote: &str) -> Result<Pushed> {
        let handle = self.component.ipfs_kit_storage_storage().handle();
        told(handle.call_push(&mut self.store, self.handle, &cid.to_owned(), remote, false)?)
    }

    /// What the store says of itself, and of its remotes.
    pub fn status(&mut self) -> Result<Status> {
        told(self.component.ipfs_kit_storage_storage().handle().call_backend_status(&mut self.store, self.handle)?)
    }
}

/// The outer error of a call is the host's, as when the component trapped. This is the inner one: the store's, for people. A
/// program that acts on it matches its cases instead.
fn told<T>(result: Result<T, Error>) -> Result<T> {
    result.map_err(|error| match error {
        Error::NotFound(what) => format_err!("not found: {what}"),
        Error::NotAvailableOffline(offline) => {
            format_err!("{} is not held here; name a --remote that has it", offline.cid)
        }
        Error::Unavailable(absence) => {
            let said = absence.attempts.iter().map(|attempt| format!("\n  {}: {}", attempt.remote, attempt.reason));
            format_err!("no remote gave {}{}", absence.cid, said.collect::<String>())
        }
        Error::InvalidCid(why) | Error::InvalidArgument(why) | Error::Unsupported(why) | Error::Denied(why) => {
            format_err!(why)
        }
        Error::Locked(who) => format_err!("in use: {who}"),
        other => format_err!("{other:?}"),
    })
}
