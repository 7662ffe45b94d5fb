//! A remote that is a folder with a file for each block, named by its CID: perhaps on a disk that is carried about.
//!
//! The store proves what it is given, so this need not. Answers are at hand at once; one that waited would say `pending` and
//! give a pollable.

use std::{
    fs,
    io::{ErrorKind, Write},
    path::PathBuf,
};

use wasmtime::component::Resource;
use wasmtime_wasi::p2::DynPollable;

use crate::{
    bindings::ipfs_kit::storage::{
        remote::{Failure, Host, HostConnection, HostExchange, Piece, Wanted},
        types,
    },
    host,
};

/// How the addresses of such remotes begin.
pub const SCHEME: &str = "folder:";

/// A folder.
pub struct Connection(PathBuf);

/// An answer that has not been taken yet.
pub struct Exchange(Option<Result<Vec<u8>, Failure>>);

impl Connection {
    fn file(&self, cid: &str) -> Result<PathBuf, Failure> {
        let plain = cid.bytes().all(|byte| byte.is_ascii_alphanumeric());
        plain.then(|| self.0.join(cid)).ok_or_else(|| Failure::Refused(format!("{cid:?} is no name for a file")))
    }

    fn read(&self, cid: &str) -> Result<Vec<u8>, Failure> {
        fs::read(self.file(cid)?).map_err(|error| match error.kind() {
            ErrorKind::NotFound => Failure::NotFound,
            _ => Failure::Unreachable(error.to_string()),
        })
    }

    fn write(&self, blocks: Vec<(String, Vec<u8>)>) -> Result<Vec<u8>, Failure> {
        for (cid, bytes) in blocks {
            // Under its name only when it is whole and on the disk.
            let (to, part) = (self.file(&cid)?, self.0.join(format!("{cid}.part")));
            fs::File::create(&part)
                .and_then(|mut file| file.write_all(&bytes).and_then(|()| file.sync_all()))
                .and_then(|()| fs::rename(&part, &to))
                .map_err(|error| Failure::Unreachable(error.to_string()))?;
        }
        Ok(Vec::new())
    }
}

impl host::Host {
    /// An exchange whose answer is at hand.
    pub fn answer(&mut self, answer: Result<Vec<u8>, Failure>) -> wasmtime::Result<Resource<Exchange>> {
        Ok(self.resources.push(Exchange(Some(answer)))?)
    }

    fn unsupported(&mut self) -> wasmtime::Result<Resource<Exchange>> {
        self.answer(Err(Failure::Unsupported("a folder knows blocks only".into())))
    }
}

impl types::Host for host::Host {}
impl Host for host::Host {}

impl HostConnection for host::Host {
    fn connect(&mut self, address: String) -> wasmtime::Result<Result<Resource<Connection>, String>> {
        let Some(path) = address.strip_prefix(SCHEME).map(PathBuf::from) else {
            return Ok(Err(format!("{address:?} does not begin with {SCHEME:?}")));
        };
        if !path.is_dir() {
            return Ok(Err(format!("{} is no folder", path.display())));
        }
        Ok(Ok(self.resources.push(Connection(path))?))
    }

    fn kind(&mut self, _: Resource<Connection>) -> wasmtime::Result<String> {
        Ok("folder".into())
    }

    fn block(&mut self, connection: Resource<Connection>, cid: String) -> wasmtime::Result<Resource<Exchange>> {
        let answer = self.resources.get(&connection)?.read(&cid);
        self.answer(answer)
    }

    fn car(&mut self, _: Resource<Connection>, _: Wanted) -> wasmtime::Result<Resource<Exchange>> {
        self.unsupported()
    }

    fn put(
        &mut self,
        connection: Resource<Connection>,
        blocks: Vec<(String, Vec<u8>)>,
    ) -> wasmtime::Result<Resource<Exchange>> {
        let answer = self.resources.get(&connection)?.write(blocks);
        self.answer(answer)
    }

    fn pin(&mut self, _: Resource<Connection>, _: String) -> wasmtime::Result<Resource<Exchange>> {
        self.unsupported()
    }

    fn unpin(&mut self, _: Resource<Connection>, _: String) -> wasmtime::Result<Resource<Exchange>> {
        self.unsupported()
    }

    fn is_pinned(&mut self, _: Resource<Connection>, _: String) -> wasmtime::Result<Resource<Exchange>> {
        self.unsupported()
    }

    fn providers(&mut self, _: Resource<Connection>, _: String) -> wasmtime::Result<Resource<Exchange>> {
        self.unsupported()
    }

    fn probe(&mut self, connection: Resource<Connection>) -> wasmtime::Result<Resource<Exchange>> {
        let folder = &self.resources.get(&connection)?.0;
        let answer = fs::metadata(folder).map(|_| Vec::new());
        self.answer(answer.map_err(|error| Failure::Unreachable(error.to_string())))
    }

    fn drop(&mut self, connection: Resource<Connection>) -> wasmtime::Result<()> {
        self.resources.delete(connection)?;
        Ok(())
    }
}

impl HostExchange for host::Host {
    fn next(&mut self, exchange: Resource<Exchange>) -> wasmtime::Result<Result<Piece, Failure>> {
        Ok(match self.resources.get_mut(&exchange)?.0.take() {
            Some(Ok(bytes)) if !bytes.is_empty() => Ok(Piece::Bytes(bytes)),
            Some(Err(failure)) => Err(failure),
            _ => Ok(Piece::End),
        })
    }

    fn subscribe(&mut self, _: Resource<Exchange>) -> wasmtime::Result<Option<Resource<DynPollable>>> {
        Ok(None)
    }

    fn drop(&mut self, exchange: Resource<Exchange>) -> wasmtime::Result<()> {
        self.resources.delete(exchange)?;
        Ok(())
    }
}
