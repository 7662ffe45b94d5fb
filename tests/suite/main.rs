//! The core, natively: the tests of its parts, all in one program, for each takes long to link.
//! `cargo test --test suite storage::` runs those of one module.
#![cfg(not(target_family = "wasm"))]

mod archive;
mod backends;
mod blockstore;
mod car;
mod car_export;
mod car_import;
mod cids;
mod cluster;
mod codecs;
mod collection;
mod compaction;
#[allow(dead_code)] // it serves the tests of hosts, too
#[path = "../wasmtime/src/counterpart.rs"]
mod counterpart;
mod directories;
mod eviction;
mod files;
mod files_rpc;
mod folders;
mod kubo;
mod legacy;
mod medium;
mod migration;
mod modify;
mod names;
mod outbox;
mod owners;
mod paths;
mod pins;
mod policies;
mod power_cuts;
mod push;
mod remote_conformance;
mod remotes;
mod resolve;
mod routers;
mod s3;
mod shelf;
mod status;
mod storage;
mod support;
mod tiers;
mod trees;
mod unixfs;
mod values;
mod vectors;
mod verify;
