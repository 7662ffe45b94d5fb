//! Policies: where copies are to be, and what that allows.

use minicbor::{Decode, Encode};

use crate::error::{Error, Result};

pub const DAY: u64 = 24 * 60 * 60 * 1000;

/// Ways from the root to a leaf that are read back of a copy, unless the policy says otherwise.
const SAMPLE: u32 = 16;

/// Days after which a copy is read back again.
const AUDIT_DAYS: u32 = 30;

/// Most backends of one root.
const MAX_BACKENDS: usize = 16;

/// How much of a copy is read back before it counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, Decode)]
pub enum ReadBack {
    /// So many ways from the root to a leaf, chosen anew each time; all, where there are fewer leaves.
    #[n(0)]
    Sample(#[n(0)] u32),
    /// All blocks.
    #[n(1)]
    All,
}

/// Where copies are to be. What is none is left to what it is laid over: a call's policy lies over the store's, that over the
/// defaults.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ReplicationPolicy {
    /// The names of the backends that are to have a copy; by default none.
    pub backends: Option<Vec<String>>,
    /// How many proven copies it takes to be replicated; by default, or where there are fewer backends, one at each.
    pub copies: Option<u32>,
    /// How much of a copy is read back; by default 16 ways from the root to a leaf.
    pub read_back: Option<ReadBack>,
    /// With so many proven copies the local one may be evicted, unless it is pinned; by default with those that it takes to be
    /// replicated.
    pub evict_with: Option<u32>,
    /// Whether to pin what is stored.
    pub pin: Option<bool>,
    /// Days after which copies are read back again, 0: never; by default 30.
    pub audit_days: Option<u32>,
    /// Another backend that is to have a copy once it is old enough.
    pub archive: Option<ArchiveRule>,
    /// Days after its last use when the local copy leaves by itself, where it may be evicted; by default it stays as long as
    /// there is room.
    pub local_days: Option<u32>,
}

/// A backend that is to have a copy later.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ArchiveRule {
    /// Its name.
    pub backend: String,
    /// Days after which it gets it.
    pub days: u32,
    /// Whether it is to be the only backend then: once the copy there is proven, the others are removed.
    pub moves: bool,
}

impl ReplicationPolicy {
    /// This one laid over another.
    pub fn over(&self, below: &ReplicationPolicy) -> ReplicationPolicy {
        ReplicationPolicy {
            backends: self.backends.clone().or_else(|| below.backends.clone()),
            copies: self.copies.or(below.copies),
            read_back: self.read_back.or(below.read_back),
            evict_with: self.evict_with.or(below.evict_with),
            pin: self.pin.or(below.pin),
            audit_days: self.audit_days.or(below.audit_days),
            archive: self.archive.clone().or_else(|| below.archive.clone()),
            local_days: self.local_days.or(below.local_days),
        }
    }

    /// What it comes to; none if it promises nothing.
    pub(in crate::storage) fn rule(&self) -> Result<Option<Rule>> {
        let mut backends: Vec<String> = Vec::new();
        for name in self.backends.iter().flatten() {
            if !backends.contains(name) {
                backends.push(name.clone());
            }
        }
        if backends.is_empty() && self.archive.is_none() {
            return Ok(None);
        }
        let archive = self.archive.as_ref();
        let rule = Rule {
            copies: self.copies.unwrap_or(u32::MAX),
            read_back: self.read_back.unwrap_or(ReadBack::Sample(SAMPLE)),
            evict_with: self.evict_with,
            audit_days: self.audit_days.unwrap_or(AUDIT_DAYS),
            archive: archive
                .filter(|archive| !backends.contains(&archive.backend))
                .map(|rule| (rule.backend.clone(), rule.days)),
            moves_to: archive.filter(|archive| archive.moves).map(|archive| archive.backend.clone()),
            local_days: self.local_days,
            backends,
        };
        rule.check()?;
        Ok(Some(rule))
    }
}

/// A policy without gaps, as it is noted with a root.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct Rule {
    #[n(0)]
    pub backends: Vec<String>,
    #[n(1)]
    pub copies: u32,
    #[n(2)]
    pub read_back: ReadBack,
    #[n(3)]
    pub evict_with: Option<u32>,
    #[n(4)]
    pub audit_days: u32,
    #[n(5)]
    pub archive: Option<(String, u32)>,
    /// Which of them is to be the only one when it has its copy.
    #[n(6)]
    pub moves_to: Option<String>,
    #[n(7)]
    pub local_days: Option<u32>,
}

impl Rule {
    fn check(&self) -> Result<()> {
        let problem = if self.backends.len() > MAX_BACKENDS {
            format!("{} backends for one root; allowed are {MAX_BACKENDS}", self.backends.len())
        } else if self.copies == 0 {
            "no copies: leave the backends out where nothing is to be replicated".to_owned()
        } else if self.evict_with == Some(0) {
            "the local copy may go with 0 others: then there is none; leave the backends out where that is meant"
                .to_owned()
        } else if matches!(self.read_back, ReadBack::Sample(0)) {
            "a sample of nothing proves nothing; it takes at least 1".to_owned()
        } else {
            return Ok(());
        };
        Err(Error::InvalidArgument(problem))
    }

    /// With an earlier one for the same root: who was to have a copy still is, and the later one says all else.
    pub fn after(mut self, earlier: &Rule) -> Rule {
        for name in &earlier.backends {
            if !self.backends.contains(name) && self.backends.len() < MAX_BACKENDS {
                self.backends.push(name.clone());
            }
        }
        self.moves_to = self.moves_to.or_else(|| earlier.moves_to.clone());
        self.archive =
            self.archive.or_else(|| earlier.archive.clone()).filter(|(name, _)| !self.backends.contains(name));
        self
    }

    /// How many copies it takes.
    pub fn wanted(&self) -> usize {
        self.backends.len().min(self.copies as usize)
    }

    /// With how many the local one may go.
    pub fn spares_with(&self) -> usize {
        self.evict_with.map_or(self.wanted().max(1), |copies| copies as usize)
    }

    /// When a copy that was proven then is to be read back again.
    pub fn audit_at(&self, proven: u64) -> u64 {
        match self.audit_days {
            0 => super::record::NEVER,
            days => proven.saturating_add(u64::from(days) * DAY),
        }
    }

    /// When the local copy leaves that was used last then.
    pub fn leaves_at(&self, used: u64) -> u64 {
        self.local_days.map_or(super::record::NEVER, |days| used.saturating_add(u64::from(days) * DAY))
    }

    /// When the archive is to have it.
    pub fn archive_at(&self, since: u64) -> u64 {
        self.archive.as_ref().map_or(super::record::NEVER, |(_, days)| since.saturating_add(u64::from(*days) * DAY))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn to(names: &[&str]) -> Option<Vec<String>> {
        Some(names.iter().map(|name| (*name).to_owned()).collect())
    }

    #[test]
    fn the_call_lies_over_the_store_field_by_field() {
        let store = ReplicationPolicy {
            backends: to(&["a", "b"]),
            copies: Some(1),
            pin: Some(true),
            ..ReplicationPolicy::default()
        };
        let call = ReplicationPolicy { copies: Some(2), evict_with: Some(1), ..ReplicationPolicy::default() };
        let rule = call.over(&store).rule().unwrap().unwrap();
        assert_eq!((rule.wanted(), rule.evict_with, rule.read_back), (2, Some(1), ReadBack::Sample(16)));
        assert_eq!(call.over(&store).pin, Some(true));
        // A call can say that it is not to go anywhere.
        assert_eq!(
            ReplicationPolicy { backends: to(&[]), ..ReplicationPolicy::default() }.over(&store).rule(),
            Ok(None)
        );
        assert_eq!(ReplicationPolicy::default().rule(), Ok(None));
    }

    #[test]
    fn what_would_lose_data_or_prove_nothing_is_refused() {
        let good = ReplicationPolicy { backends: to(&["a", "a"]), ..ReplicationPolicy::default() };
        assert_eq!(good.rule().unwrap().unwrap().backends, ["a"]);
        for bad in [
            ReplicationPolicy { copies: Some(0), ..good.clone() },
            ReplicationPolicy { evict_with: Some(0), ..good.clone() },
            ReplicationPolicy { read_back: Some(ReadBack::Sample(0)), ..good.clone() },
        ] {
            assert!(matches!(bad.rule(), Err(Error::InvalidArgument(_))), "{bad:?}");
        }
    }

    #[test]
    fn who_was_to_have_a_copy_still_is() {
        let earlier = ReplicationPolicy {
            backends: to(&["a"]),
            archive: Some(ArchiveRule { backend: "cold".into(), days: 3, moves: true }),
            ..ReplicationPolicy::default()
        };
        let later = ReplicationPolicy { backends: to(&["b", "cold"]), ..ReplicationPolicy::default() };
        let rule = later.rule().unwrap().unwrap().after(&earlier.rule().unwrap().unwrap());
        assert_eq!((rule.backends, rule.archive), (vec!["b".into(), "cold".into(), "a".into()], None));
        assert_eq!(rule.moves_to, Some("cold".into()));
    }
}
