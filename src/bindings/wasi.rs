//! What the component and the command share: opening a store in a folder of the host.

use std::rc::Rc;

use crate::{
    error::{Error, OfflineReason, Result},
    hash::CpuHasher,
    platform::wasi::{WallClock, files::WasiDirectory, run, variable},
    remote::Remotes,
    storage::{OpenOptions, Storage},
    tier::pack::PackTier,
};

/// Opens the store in `directory`, or in the folder that the environment names, with the remotes at these addresses, or at
/// those that the environment names.
pub fn open(
    directory: Option<String>,
    force_fallback: bool,
    mut addresses: Vec<String>,
    mut options: OpenOptions,
) -> Result<Storage> {
    let directory = directory
        .or_else(|| variable("IPFS_KIT_CACHE_DIR"))
        .ok_or_else(|| Error::InvalidArgument("no store folder: name one, or set IPFS_KIT_CACHE_DIR".into()))?;
    options.offline = offline_reason(force_fallback);
    if addresses.is_empty() {
        let named = variable("IPFS_KIT_REMOTES").unwrap_or_default();
        addresses = named.split_whitespace().map(str::to_owned).collect();
    }
    if options.offline.is_none() {
        options.remotes = Some(Rc::new(remotes(&addresses)?));
    }
    run(async {
        let files = Rc::new(WasiDirectory::open(&directory)?);
        let tier = PackTier::open(files, &CpuHasher).await?;
        Storage::new(Rc::new(tier), Rc::new(CpuHasher), Rc::new(WallClock), options)
    })
}

fn offline_reason(force_fallback: bool) -> Option<OfflineReason> {
    let disabled = variable("IPFS_KIT_DISABLE")
        .is_some_and(|value| matches!(value.to_ascii_lowercase().as_str(), "1" | "true" | "yes"));
    match (disabled, force_fallback) {
        (true, _) => Some(OfflineReason::Disabled),
        (_, true) => Some(OfflineReason::ForceFallback),
        _ if cfg!(feature = "remotes") => None,
        _ => Some(OfflineReason::NoNetwork),
    }
}

#[cfg(feature = "remotes")]
fn remotes(addresses: &[String]) -> Result<Remotes> {
    use crate::{
        platform::wasi::outward::WasiNetwork,
        remote::{ComponentConnector, Connector, Patience},
    };
    let remotes = addresses.iter().map(|address| ComponentConnector.connect(address)).collect::<Result<_>>()?;
    let connector = Rc::new(ComponentConnector);
    Ok(Remotes::new(remotes, connector, Rc::new(WallClock), Rc::new(WasiNetwork), Patience::default()))
}

#[cfg(not(feature = "remotes"))]
fn remotes(_: &[String]) -> Result<Remotes> {
    Err(Error::Unsupported("this build has no network".into()))
}
