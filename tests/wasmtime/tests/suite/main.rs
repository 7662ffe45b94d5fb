//! The built components, as a host runs them: all tests in one program, for each takes long to link.
//! `cargo test -p wasmtime-host-tests --test suite verbs::` runs those of one module. `kills.rs` has a program of its own: its
//! victims need the processor.

mod car;
mod cids;
mod cli;
mod corruption;
mod errors;
mod folders;
mod imports;
mod keeping;
mod legacy;
mod outbox;
mod owners;
mod p3;
mod provided;
mod remotes;
mod reopen;
mod streams;
mod tree;
mod values;
mod verbs;
mod verify;
