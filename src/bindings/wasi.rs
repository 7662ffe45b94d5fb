//! What the component and the command share: opening a store in a folder of the host.

use std::rc::Rc;

use super::backends::Configured;
use crate::{
    backend::Backends,
    error::{Error, OfflineReason, Result},
    hash::CpuHasher,
    platform::wasi::{WallClock, files::WasiDirectory, run, variable},
    remote::Remotes,
    storage::{OpenOptions, Storage},
    tier::pack::{Opening, PackTier},
};

/// Where a store is, and who else may have what it has not.
#[derive(Default)]
pub struct Place {
    /// Its folder; without one, that in the environment.
    pub directory: Option<String>,
    /// Never use a network.
    pub force_fallback: bool,
    /// Take the store from an owner that may still be alive.
    pub take_over: bool,
    /// Addresses of remotes; without any, those in the environment.
    pub remotes: Vec<String>,
    /// How long a silent remote is waited for, in milliseconds.
    pub timeout: Option<u32>,
    /// Who may keep copies.
    pub backends: Vec<Configured>,
}

/// Opens a store.
pub fn open(place: Place, mut options: OpenOptions) -> Result<Storage> {
    let directory = place
        .directory
        .or_else(|| variable("IPFS_KIT_CACHE_DIR"))
        .ok_or_else(|| Error::InvalidArgument("no store folder: name one, or set IPFS_KIT_CACHE_DIR".into()))?;
    options.offline = offline_reason(place.force_fallback);
    if options.offline.is_none() {
        let mut addresses = place.remotes;
        if addresses.is_empty() {
            let named = variable("IPFS_KIT_REMOTES").unwrap_or_default();
            addresses = named.split_whitespace().map(str::to_owned).collect();
        }
        options.remotes = Some(Rc::new(remotes(&addresses, place.timeout)?));
    }
    // Also of a store that may ask nobody: what it queues for them waits.
    options.backends = backends(place.backends)?;
    run(async {
        let files = Rc::new(WasiDirectory::open(&directory)?);
        let opening = Opening { take_over: place.take_over, ..Opening::default() };
        let tier = PackTier::open_with(files, Rc::new(CpuHasher), Rc::new(WallClock), opening).await?;
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
fn remotes(addresses: &[String], timeout: Option<u32>) -> Result<Remotes> {
    use crate::{
        platform::wasi::outward::WasiNetwork,
        remote::{ComponentConnector, Connector, Patience},
    };
    let remotes = addresses.iter().map(|address| ComponentConnector.connect(address)).collect::<Result<_>>()?;
    let patience = timeout.map_or_else(|| Ok(Patience::default()), Patience::of)?;
    Remotes::new(remotes, Rc::new(ComponentConnector), Rc::new(WallClock), Rc::new(WasiNetwork), patience)
}

#[cfg(feature = "remotes")]
fn backends(given: Vec<Configured>) -> Result<Option<Rc<Backends>>> {
    use crate::{
        backend::Retries,
        platform::wasi::outward::{OutwardHttp, WasiNetwork},
    };
    if given.is_empty() {
        return Ok(None);
    }
    let (http, clock) = (Rc::new(OutwardHttp), Rc::new(WallClock));
    let given = given.into_iter().map(|one| one.connect(http.clone(), clock.clone())).collect::<Result<_>>()?;
    Ok(Some(Rc::new(Backends::new(given, Retries::default(), clock, Rc::new(WasiNetwork))?)))
}

#[cfg(not(feature = "remotes"))]
fn remotes(_: &[String], _: Option<u32>) -> Result<Remotes> {
    Err(Error::Unsupported("this build has no network".into()))
}

#[cfg(not(feature = "remotes"))]
fn backends(_: Vec<Configured>) -> Result<Option<Rc<Backends>>> {
    Ok(None)
}
