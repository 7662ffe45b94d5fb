//! The status, by evidence: what a probe or a call just showed.

use futures_util::future;

use super::{CollectReport, Evictions, MAX_PAGE, Shared, Storage};
use crate::{
    error::{OfflineReason, Result},
    remote::{Failure, Health, State},
    tier::{Amount, Recovery, Room, Usage},
};

/// Failures in a row after which a backend that has worked counts as unavailable.
const FAILS_AFTER: u32 = 3;

/// What a backend can do now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BackendState {
    /// The last call or probe worked.
    Available,
    /// It works in part: reads only, or with errors among successes.
    Degraded,
    /// The last call or probe failed.
    Unavailable,
    /// Switched off by configuration, or struck out for what it sent.
    Disabled,
    /// The host does not let this store get there.
    Denied,
}

impl BackendState {
    /// Its name, as in `wit/types.wit`.
    pub const fn name(self) -> &'static str {
        match self {
            BackendState::Available => "available",
            BackendState::Degraded => "degraded",
            BackendState::Unavailable => "unavailable",
            BackendState::Disabled => "disabled",
            BackendState::Denied => "denied",
        }
    }
}

/// What a backend is there for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BackendRole {
    /// The local tier.
    Local,
    /// It is asked for what is not here: a [`Remote`](crate::remote::Remote).
    Remote,
    /// It keeps copies: a [`Backend`](crate::backend::Backend).
    Backend,
}

impl BackendRole {
    /// Its name.
    pub const fn name(self) -> &'static str {
        match self {
            BackendRole::Local => "local",
            BackendRole::Remote => "remote",
            BackendRole::Backend => "backend",
        }
    }
}

/// One backend and the evidence for its state.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BackendReport {
    /// What it is there for. One of each may have the same name.
    pub role: BackendRole,
    /// `local` is the local tier.
    pub name: String,
    /// What kind it is.
    pub kind: String,
    /// Its state.
    pub state: BackendState,
    /// What the last probe or call said.
    pub evidence: String,
    /// When that was.
    pub checked: u64,
    /// Milliseconds until the first bytes of a remote come, or until one that keeps copies has answered: the mean, the latest
    /// weighing most.
    pub latency: Option<u64>,
    /// Failures since it last worked.
    pub failures: u32,
    /// Bytes it sent since the store was opened.
    pub bytes_in: u64,
    /// Bytes it was sent.
    pub bytes_out: u64,
}

/// The state of a store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Status {
    /// Each backend: the local tier, the remotes, those that keep copies.
    pub backends: Vec<BackendReport>,
    /// Why no remote is asked. None: they may be.
    pub local_only: Option<OfflineReason>,
    /// What the local tier holds.
    pub usage: Usage,
    /// What the host says of the room for it, where it does.
    pub medium: Option<Room>,
    /// The limit on the bytes it holds.
    pub disk_limit: Option<u64>,
    /// The limit on blocks in memory.
    pub memory_limit: u64,
    /// Bytes of blocks in memory.
    pub memory_bytes: u64,
    /// Reads answered from memory since opening.
    pub memory_hits: u64,
    /// Reads that had to go to the local tier since opening.
    pub memory_misses: u64,
    /// What pins keep: each pin by itself, so that what two of them share counts twice.
    pub pinned: Amount,
    /// Pins whose size nobody has counted yet; [`Storage::pins`] does.
    pub pins_uncounted: u64,
    /// What was evicted since opening.
    pub evictions: Evictions,
    /// What the last collection did that ran to its end.
    pub last_collection: Option<CollectReport>,
    /// What opening had to mend.
    pub recovery: Recovery,
}

impl Storage {
    /// Probes each backend, and tells the figures of the store.
    pub async fn backend_status(&self) -> Status {
        let shared = &self.shared;
        let probe = shared.tier.usage().await;
        let usage = probe.clone().unwrap_or_default();
        let (memory_limit, memory_bytes, memory_hits, memory_misses) = shared.blocks.cache_figures();
        let remotes = shared.remotes(false);
        let offline = shared.backends().and_then(|backends| shared.backends_offline(backends));
        let asked = async {
            if let Ok(remotes) = &remotes {
                remotes.probe().await
            }
        };
        let kept = async {
            if let (Some(backends), None) = (shared.backends(), offline) {
                backends.probe().await;
            }
        };
        future::join(asked, kept).await;
        let (pinned, pins_uncounted) = shared.pinned().await.unwrap_or_default();
        let mut backends = vec![shared.local_report(&probe)];
        let known = shared.options.remotes.iter().flat_map(|remotes| remotes.reports());
        backends.extend(known.map(|known| report(BackendRole::Remote, known, remotes.as_ref().err().copied())));
        let known = shared.backends().into_iter().flat_map(|backends| backends.reports());
        backends.extend(known.map(|known| report(BackendRole::Backend, known, offline)));
        Status {
            backends,
            local_only: shared.elsewhere(false).err(),
            usage,
            medium: shared.tier.room().await.unwrap_or_default(),
            disk_limit: shared.blocks.disk_limit(),
            memory_limit,
            memory_bytes,
            memory_hits,
            memory_misses,
            pinned,
            pins_uncounted,
            evictions: shared.room.evictions(),
            last_collection: shared.last_collection().await,
            recovery: shared.tier.recovery(),
        }
    }
}

impl Shared {
    /// What pins keep, and how many of them nobody has counted.
    async fn pinned(&self) -> Result<(Amount, u64)> {
        let (mut pinned, mut uncounted, mut after) = (Amount::default(), 0, None);
        loop {
            let page = self.tier.pins(after.as_ref(), MAX_PAGE).await?;
            let Some(last) = page.last() else { return Ok((pinned, uncounted)) };
            after = Some(last.cid.clone());
            for pin in &page {
                match pin.size {
                    Some((blocks, bytes)) => pinned.add(Amount { blocks, bytes }),
                    None => uncounted += 1,
                }
            }
        }
    }

    fn local_report(&self, probe: &Result<Usage>) -> BackendReport {
        let (state, evidence) = match (probe, self.blocks.failure()) {
            (Err(error), _) => (BackendState::Unavailable, format!("reading its usage failed: {error}")),
            (Ok(_), Some(error)) => {
                (BackendState::Degraded, format!("it can be read, but the last write failed: {error}"))
            }
            (Ok(usage), _) => (BackendState::Available, format!("it answered just now: {} blocks", usage.blocks)),
        };
        BackendReport {
            role: BackendRole::Local,
            name: "local".into(),
            kind: self.tier.kind().into(),
            state,
            evidence,
            checked: self.clock.now(),
            latency: None,
            failures: 0,
            bytes_in: 0,
            bytes_out: 0,
        }
    }
}

/// What is known of one that is elsewhere, and what that says of it.
fn report(
    role: BackendRole,
    (name, kind, state, health): (String, String, State, Health),
    offline: Option<OfflineReason>,
) -> BackendReport {
    let checked = health.last.as_ref().map_or(0, |(when, _)| *when);
    let has_worked = health.bytes_in + health.bytes_out > 0;
    let (state, evidence) = match (offline, &health.lie, &health.last, state) {
        (Some(reason), ..) => (BackendState::Disabled, format!("not asked: {reason}")),
        (None, Some(lie), ..) => (BackendState::Disabled, format!("not asked any more; it sent {lie}")),
        (None, None, None, _) => (BackendState::Unavailable, "not asked yet".to_owned()),
        (None, None, Some((_, Ok(()))), _) => (BackendState::Available, "the last call worked".to_owned()),
        // A remote that does not offer all may offer enough; one that is to keep copies does not.
        (None, None, Some((_, Err(failure @ Failure::Unsupported(_)))), _) if role == BackendRole::Backend => {
            (BackendState::Unavailable, failure.to_string())
        }
        (None, None, Some((_, Err(failure))), State::Works) => {
            (BackendState::Available, format!("it answered: {failure}"))
        }
        (None, None, Some((_, Err(failure @ Failure::Denied(_)))), _) => (BackendState::Denied, failure.to_string()),
        (None, None, Some((_, Err(failure))), _) if has_worked && health.failures < FAILS_AFTER => {
            (BackendState::Degraded, format!("it has worked, but the last call failed: {failure}"))
        }
        (None, None, Some((_, Err(failure))), _) => (BackendState::Unavailable, failure.to_string()),
    };
    let Health { latency, failures, bytes_in, bytes_out, .. } = health;
    BackendReport { role, name, kind, state, evidence, checked, latency, failures, bytes_in, bytes_out }
}
