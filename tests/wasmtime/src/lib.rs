//! A host for the built components, as one that takes plugins has it; the tests are in `tests/`.

mod archives;
mod artefact;
mod command;
mod copies;
mod counterpart;
mod data;
mod folders;
mod plugin;
mod tree;
mod values;
pub mod victim;
mod waiting;
pub mod workload;

pub use self::{
    artefact::{Artefact, engine, load},
    command::{Command, Outcome},
    counterpart::Counterpart,
    data::{Keystream, buffer, ipip_cid, ipip_text_cid, kubo_cids, profile_name, random_bytes},
    folders::BARE,
    plugin::{
        Access, Host, Instance, Plugin, STORE, every_block, in_store, named, part, pin, pinned, plain, whole,
        with_layout, with_remotes,
    },
    tree::creating,
    values::value,
    waiting::{Enough, Waiting, cancel_while_storing, with_waiting},
};

/// What `wit/` makes of world `local`.
pub mod bindings {
    wasmtime::component::bindgen!({
        path: "../../wit",
        world: "local",
        with: { "wasi": wasmtime_wasi::p2::bindings::sync },
        additional_derives: [Clone, PartialEq],
    });
}

pub use bindings::{
    exports::ipfs_kit::storage::{
        car, outbox,
        values::{FoundValue, ValueCodec, ValueOptions},
    },
    ipfs_kit::storage::types,
};

/// Asserts that a call fails with this error, and gives what the pattern binds.
#[macro_export]
macro_rules! assert_error {
    ($call:expr, $pattern:pat $(if $guard:expr)? $(=> $bound:expr)?) => {
        match $call {
            Err($pattern) $(if $guard)? => { $($bound)? }
            other => panic!("expected {}, got {other:?}", stringify!($pattern $(if $guard)?)),
        }
    };
}
