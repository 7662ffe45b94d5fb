//! A host that provides the interface `remote` itself: blocks out of a map, for the component of world `bridged`.

use std::collections::HashMap;

use tempfile::TempDir;
use wasmtime::component::{HasSelf, Resource};
use wasmtime_host_tests::{
    Artefact, Host, Instance, Plugin, assert_error, plain, random_bytes,
    types::{BackendState, Error, OpenOptions},
    with_remotes,
};
use wasmtime_wasi::p2::{DynPollable, Pollable, subscribe};

mod bindings {
    wasmtime::component::bindgen!({
        path: "../../wit",
        world: "outward",
        with: {
            "wasi": wasmtime_wasi::p2::bindings::sync,
            "ipfs-kit:storage/remote.exchange": super::Exchange,
            "ipfs-kit:storage/remote.connection": super::Connection,
            "ipfs-kit:storage/outgoing-http.call": super::Call,
        },
        imports: { default: trappable },
    });
}

use bindings::ipfs_kit::storage::{
    outgoing_http::{self, Head, HostCall, Request},
    remote::{self, Failure, HostConnection, HostExchange, Piece, Wanted},
};

/// Patience in these tests, in milliseconds.
const TIMEOUT: u32 = 3000;

/// What this host has: of each address some blocks.
static BLOCKS: std::sync::Mutex<Option<HashMap<String, Vec<u8>>>> = std::sync::Mutex::new(None);

pub struct Connection {
    address: String,
}

pub struct Exchange {
    /// It makes the component wait once.
    waited: bool,
    /// It is always about to have more, and never has.
    restless: bool,
    answer: Option<Result<Vec<u8>, Failure>>,
}

struct Soon;

#[wasmtime_wasi::async_trait]
impl Pollable for Soon {
    async fn ready(&mut self) {}
}

/// The host of the tests, as the one who provides this.
type Provided = Host;

fn begin(host: &mut Host, answer: Result<Vec<u8>, Failure>) -> wasmtime::Result<Resource<Exchange>> {
    Ok(host.resources().push(Exchange { waited: false, restless: false, answer: Some(answer) })?)
}

fn unsupported() -> Result<Vec<u8>, Failure> {
    Err(Failure::Unsupported("not here".into()))
}

impl remote::Host for Provided {}

impl HostExchange for Provided {
    fn next(&mut self, exchange: Resource<Exchange>) -> wasmtime::Result<Result<Piece, Failure>> {
        let exchange = self.resources().get_mut(&exchange)?;
        if !exchange.waited || exchange.restless {
            exchange.waited = true;
            return Ok(Ok(Piece::Pending));
        }
        Ok(match exchange.answer.take() {
            None => Ok(Piece::End),
            Some(Ok(bytes)) if bytes.is_empty() => Ok(Piece::End),
            Some(answer) => answer.map(Piece::Bytes),
        })
    }

    fn subscribe(&mut self, exchange: Resource<Exchange>) -> wasmtime::Result<Option<Resource<DynPollable>>> {
        if self.resources().get(&exchange)?.restless {
            return Ok(None);
        }
        let soon = self.resources().push(Soon)?;
        Ok(Some(subscribe(self.resources(), soon)?))
    }

    fn drop(&mut self, exchange: Resource<Exchange>) -> wasmtime::Result<()> {
        self.resources().delete(exchange)?;
        Ok(())
    }
}

impl HostConnection for Provided {
    fn connect(&mut self, address: String) -> wasmtime::Result<Result<Resource<Connection>, String>> {
        if !address.starts_with("map:") {
            return Ok(Err(format!("{address:?} is no map")));
        }
        Ok(Ok(self.resources().push(Connection { address })?))
    }

    fn kind(&mut self, _: Resource<Connection>) -> wasmtime::Result<String> {
        Ok("map".into())
    }

    fn block(&mut self, connection: Resource<Connection>, cid: String) -> wasmtime::Result<Resource<Exchange>> {
        let address = self.resources().get(&connection)?.address.clone();
        if address == "map:restless" {
            return Ok(self.resources().push(Exchange { waited: false, restless: true, answer: None })?);
        }
        let lies = address == "map:liar";
        let found = BLOCKS.lock().unwrap().as_ref().and_then(|blocks| blocks.get(&cid).cloned());
        let answer = found.map(|bytes| if lies { vec![1, 2, 3] } else { bytes });
        begin(self, answer.ok_or(Failure::NotFound))
    }

    fn car(&mut self, _: Resource<Connection>, _: Wanted) -> wasmtime::Result<Resource<Exchange>> {
        begin(self, unsupported())
    }

    fn put(&mut self, _: Resource<Connection>, blocks: Vec<(String, Vec<u8>)>) -> wasmtime::Result<Resource<Exchange>> {
        BLOCKS.lock().unwrap().get_or_insert_default().extend(blocks);
        begin(self, Ok(Vec::new()))
    }

    fn pin(&mut self, _: Resource<Connection>, _: String) -> wasmtime::Result<Resource<Exchange>> {
        begin(self, unsupported())
    }

    fn unpin(&mut self, _: Resource<Connection>, _: String) -> wasmtime::Result<Resource<Exchange>> {
        begin(self, unsupported())
    }

    fn is_pinned(&mut self, _: Resource<Connection>, _: String) -> wasmtime::Result<Resource<Exchange>> {
        begin(self, unsupported())
    }

    fn providers(&mut self, _: Resource<Connection>, _: String) -> wasmtime::Result<Resource<Exchange>> {
        begin(self, unsupported())
    }

    fn probe(&mut self, _: Resource<Connection>) -> wasmtime::Result<Resource<Exchange>> {
        begin(self, Ok(Vec::new()))
    }

    fn drop(&mut self, connection: Resource<Connection>) -> wasmtime::Result<()> {
        self.resources().delete(connection)?;
        Ok(())
    }
}

/// A request: this host sends none.
pub struct Call;

impl outgoing_http::Host for Provided {
    fn send(&mut self, _: Request) -> wasmtime::Result<Resource<Call>> {
        Ok(self.resources().push(Call)?)
    }
}

impl HostCall for Provided {
    fn head(&mut self, _: Resource<Call>) -> wasmtime::Result<Result<Option<Head>, Failure>> {
        Ok(Err(Failure::Denied("nothing leaves this host".into())))
    }

    fn subscribe(&mut self, _: Resource<Call>) -> wasmtime::Result<Option<Resource<DynPollable>>> {
        Ok(None)
    }

    fn body(&mut self, _: Resource<Call>) -> wasmtime::Result<Resource<Exchange>> {
        begin(self, unsupported())
    }

    fn drop(&mut self, call: Resource<Call>) -> wasmtime::Result<()> {
        self.resources().delete(call)?;
        Ok(())
    }
}

fn open(folder: &TempDir, remotes: &[&str]) -> Result<Plugin, Error> {
    let mut linker = Host::linker();
    remote::add_to_linker::<_, HasSelf<_>>(&mut linker, |host| host).unwrap();
    outgoing_http::add_to_linker::<_, HasSelf<_>>(&mut linker, |host| host).unwrap();
    let options = OpenOptions { remote_timeout: Some(TIMEOUT), ..with_remotes(remotes) };
    Instance::linked(Artefact::Bridged.component(), &linker, folder.path(), &[]).open(&options)
}

#[test]
fn a_host_can_be_the_remote() {
    let (here, there) = (TempDir::new().unwrap(), TempDir::new().unwrap());
    let data = random_bytes(1, 3_000_000);
    let mut plugin = open(&here, &["map:good"]).unwrap();
    let stored = plugin.store(&data, &plain()).unwrap();
    let pushed = plugin.push(&stored.cid, "map:good", false).unwrap();
    assert!(pushed.blocks == 4 && pushed.bytes > 3_000_000, "{pushed:?}");
    // Pins it does not know.
    assert_error!(plugin.push(&stored.cid, "map:good", true), Error::Unavailable(_));
    assert_error!(plugin.push(&stored.cid, "map:other", true), Error::InvalidArgument(_));
    // A liar is found out, and who is honest is asked.
    let mut other = open(&there, &["map:liar", "map:good"]).unwrap();
    assert_eq!(other.retrieve(&stored.cid).unwrap(), data);
    let status = other.backend_status().unwrap();
    let states: Vec<_> = status.backends.iter().map(|report| (report.kind.as_str(), report.state)).collect();
    assert_eq!(states[1..], [("map", BackendState::Disabled), ("map", BackendState::Available)], "{status:?}");
    let absent = "bafkreifzjut3te2nhyekklss27nh3k72ysco7y32koao5eei66wof36n5e";
    assert_error!(other.retrieve(absent), Error::Unavailable(_));
    assert!(matches!(open(&there, &["ftp:x"]), Err(Error::InvalidArgument(_))));
}

/// One that has nothing yet, and nothing to wait for either, is given up as any other that is silent, and stops nobody.
#[test]
fn who_never_gives_a_pollable_is_silent() {
    let (here, there) = (TempDir::new().unwrap(), TempDir::new().unwrap());
    let data = random_bytes(2, 10_000);
    let mut plugin = open(&here, &["map:good"]).unwrap();
    let stored = plugin.store(&data, &plain()).unwrap();
    plugin.push(&stored.cid, "map:good", false).unwrap();
    let mut alone = open(&there, &["map:restless"]).unwrap();
    assert_error!(alone.retrieve(&stored.cid), Error::Unavailable(absence) => {
        assert!(absence.attempts.iter().any(|attempt| attempt.reason.contains("hardly anything")), "{absence:?}");
    });
    alone.close();
    let mut both = open(&there, &["map:restless", "map:good"]).unwrap();
    assert_eq!(both.retrieve(&stored.cid).unwrap(), data);
}
