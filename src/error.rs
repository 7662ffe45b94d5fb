//! The one error type of the engine. Its variants are those of `error` in `wit/types.wit`, and cross every border as such.

use std::fmt;

use crate::{block::Cid, unixfs::Path};

/// What the engine's functions return.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Why a call failed. Nothing that was acknowledged before is lost by any of these.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The text is no CID that this engine knows.
    #[error("not a valid CID: {reason}")]
    InvalidCid {
        /// What is wrong with it.
        reason: String,
    },
    /// An option or argument is out of its range.
    #[error("invalid argument: {0}")]
    InvalidArgument(String),
    /// The store has no such root, or the directories on the way do not lead there.
    #[error("{0} {why}", why = missing(.0))]
    NotFound(Path),
    /// There is nothing of this name, or at this path of the mutable tree.
    #[error("{0} does not exist")]
    NoEntry(String),
    /// It is not held locally, and the network may not be used.
    #[error("{cid} is not held locally, and the network may not be used: {reason}")]
    NotAvailableOffline {
        /// What was asked for.
        cid: Cid,
        /// Why there is no network.
        reason: OfflineReason,
    },
    /// It is not held locally, and no remote gave it.
    #[error("{cid} is not held locally, and no remote gave it{}", said(attempts))]
    Unavailable {
        /// What was asked for.
        cid: Cid,
        /// Of each remote asked its name, and what went wrong.
        attempts: Vec<(String, String)>,
    },
    /// Bytes offered do not hash to the CID they came with; nothing was stored.
    #[error("the bytes offered as {0} do not hash to it; nothing was stored")]
    Integrity(Cid),
    /// The limit or the medium is full; nothing of the call was stored.
    #[error("no room: {needed} bytes needed, limit {limit} (0: unknown); delete something or raise the limit")]
    QuotaExceeded {
        /// Bytes the write needs; 0 when the medium did not say.
        needed: u64,
        /// The limit it ran into; 0 when the medium did not say.
        limit: u64,
    },
    /// Stored data is damaged; it was set aside and is not returned. Or an archive is that was to be imported.
    #[error("data is damaged: {detail}")]
    Corrupt {
        /// The block concerned, where it is one.
        cid: Option<Cid>,
        /// What was found.
        detail: String,
    },
    /// The operation is refused.
    #[error("refused: {0}")]
    Denied(String),
    /// Somebody else changed it meanwhile: nothing of the call was done.
    #[error("{name:?} was changed meanwhile, or is not what was expected; look at it again, and decide anew")]
    Conflict {
        /// What was to be changed.
        name: String,
    },
    /// Another owner has the store open.
    #[error("the store is in use: {0}")]
    Locked(String),
    /// Not offered by this build or for this kind of data.
    #[error("not supported: {0}")]
    Unsupported(String),
    /// The caller cancelled it, or the object was finished already.
    #[error("cancelled")]
    Cancelled,
    /// The host failed; the same call may work later.
    #[error("the host failed: {0}")]
    Io(String),
}

impl Error {
    /// The name of its variant, as in `wit/types.wit`.
    pub const fn code(&self) -> &'static str {
        match self {
            Error::InvalidCid { .. } => "invalid-cid",
            Error::InvalidArgument(_) => "invalid-argument",
            Error::NotFound(_) | Error::NoEntry(_) => "not-found",
            Error::NotAvailableOffline { .. } => "not-available-offline",
            Error::Unavailable { .. } => "unavailable",
            Error::Integrity(_) => "integrity",
            Error::QuotaExceeded { .. } => "quota-exceeded",
            Error::Corrupt { .. } => "corrupt",
            Error::Denied(_) => "denied",
            Error::Conflict { .. } => "conflict",
            Error::Locked(_) => "locked",
            Error::Unsupported(_) => "unsupported",
            Error::Cancelled => "cancelled",
            Error::Io(_) => "io",
        }
    }

    /// Stored bytes that do not decode or do not fit together.
    pub fn corrupt(cid: Cid, detail: impl Into<String>) -> Self {
        Error::Corrupt { cid: Some(cid), detail: detail.into() }
    }
}

fn missing(path: &Path) -> &'static str {
    if path.names().is_empty() { "is not stored here" } else { "does not exist" }
}

fn said(attempts: &[(String, String)]) -> String {
    let one = |(remote, why): &(String, String)| format!("; {remote}: {why}");
    attempts.iter().map(one).collect()
}

/// Why a store may not use the network.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OfflineReason {
    /// No remote is configured.
    NoRemotes,
    /// The store was opened with `force_fallback`.
    ForceFallback,
    /// `IPFS_KIT_DISABLE` or its equivalent is set.
    Disabled,
    /// The build or the host has no network.
    NoNetwork,
    /// The call was made with `offline`.
    Requested,
    /// The host says that it is not connected.
    Disconnected,
    /// The host does not let this store out.
    Denied,
}

impl OfflineReason {
    /// Its name, as in `wit/types.wit`.
    pub const fn name(self) -> &'static str {
        match self {
            OfflineReason::NoRemotes => "no-remotes",
            OfflineReason::ForceFallback => "force-fallback",
            OfflineReason::Disabled => "disabled",
            OfflineReason::NoNetwork => "no-network",
            OfflineReason::Requested => "requested",
            OfflineReason::Disconnected => "disconnected",
            OfflineReason::Denied => "denied",
        }
    }
}

impl fmt::Display for OfflineReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            OfflineReason::NoRemotes => "no remote is configured",
            OfflineReason::ForceFallback => "the store was opened with force-fallback",
            OfflineReason::Disabled => "IPFS_KIT_DISABLE is set",
            OfflineReason::NoNetwork => "this build has no network",
            OfflineReason::Requested => "the call was to stay offline",
            OfflineReason::Disconnected => "this device is not connected",
            OfflineReason::Denied => "the host denies it",
        })
    }
}
