//! What the component and the command share: opening a store in a folder of the host.

use std::rc::Rc;

use crate::{
    error::{Error, OfflineReason, Result},
    hash::CpuHasher,
    platform::wasi::{WallClock, files::WasiDirectory, run, variable},
    storage::{OpenOptions, Storage},
    tier::pack::PackTier,
};

/// Opens the store in `directory`, or in the folder that the environment names.
pub fn open(directory: Option<String>, force_fallback: bool, mut options: OpenOptions) -> Result<Storage> {
    let directory = directory
        .or_else(|| variable("IPFS_KIT_CACHE_DIR"))
        .ok_or_else(|| Error::InvalidArgument("no store folder: name one, or set IPFS_KIT_CACHE_DIR".into()))?;
    options.offline = Some(offline_reason(force_fallback));
    run(async {
        let files = Rc::new(WasiDirectory::open(&directory)?);
        let tier = PackTier::open(files, &CpuHasher).await?;
        Storage::new(Rc::new(tier), Rc::new(CpuHasher), Rc::new(WallClock), options)
    })
}

fn offline_reason(force_fallback: bool) -> OfflineReason {
    let disabled = variable("IPFS_KIT_DISABLE")
        .is_some_and(|value| matches!(value.to_ascii_lowercase().as_str(), "1" | "true" | "yes"));
    match (disabled, force_fallback) {
        (true, _) => OfflineReason::Disabled,
        (_, true) => OfflineReason::ForceFallback,
        _ => OfflineReason::NoNetwork,
    }
}
