//! The tiers that run natively, through the suite that every tier must pass.
#![cfg(not(target_family = "wasm"))]

use std::rc::Rc;

use async_trait::async_trait;
use futures_executor::block_on;
use ipfs_kit_storage::{
    Result,
    hash::CpuHasher,
    platform::native::{NativeDirectory, SystemClock},
    tier::{MemoryTier, Tier, conformance, pack::PackTier},
};
use tempfile::TempDir;

struct Memory;

#[async_trait(?Send)]
impl conformance::Fixture for Memory {
    async fn open(&self) -> Result<Rc<dyn Tier>> {
        Ok(Rc::new(MemoryTier::new()))
    }

    fn persists(&self) -> bool {
        false
    }
}

struct Pack(TempDir);

#[async_trait(?Send)]
impl conformance::Fixture for Pack {
    async fn open(&self) -> Result<Rc<dyn Tier>> {
        let directory = Rc::new(NativeDirectory::open(self.0.path())?);
        Ok(Rc::new(PackTier::open(directory, Rc::new(CpuHasher), Rc::new(SystemClock)).await?))
    }
}

#[test]
fn memory() {
    block_on(conformance::all(|_| Memory));
}

#[test]
fn pack_on_native_files() {
    block_on(conformance::all(|_| Pack(TempDir::new().unwrap())));
}
