//! The interface `outgoing-http` of a host that sends nothing: backends, which keep copies, are out of reach then. One that lets the
//! component out has an HTTP client here, or composes the bridge into it, as `ipfs-kit-storage.wasm` is.

use wasmtime::component::Resource;
use wasmtime_wasi::p2::DynPollable;

use crate::{
    bindings::ipfs_kit::storage::{
        outgoing_http::{Head, Host, HostCall, Request},
        remote::Failure,
    },
    folder::Exchange,
    host,
};

/// A request that was not sent.
pub struct Call;

fn refusal() -> Failure {
    Failure::Denied("this host sends nothing".into())
}

impl Host for host::Host {
    fn send(&mut self, _: Request) -> wasmtime::Result<Resource<Call>> {
        Ok(self.resources.push(Call)?)
    }
}

impl HostCall for host::Host {
    fn head(&mut self, _: Resource<Call>) -> wasmtime::Result<Result<Option<Head>, Failure>> {
        Ok(Err(refusal()))
    }

    fn subscribe(&mut self, _: Resource<Call>) -> wasmtime::Result<Option<Resource<DynPollable>>> {
        Ok(None)
    }

    fn body(&mut self, _: Resource<Call>) -> wasmtime::Result<Resource<Exchange>> {
        self.answer(Err(refusal()))
    }

    fn drop(&mut self, call: Resource<Call>) -> wasmtime::Result<()> {
        self.resources.delete(call)?;
        Ok(())
    }
}
