//! Changes of what is queued and promised: by whoever stores, deletes, evicts, releases or audits.

use std::collections::HashSet;

use bytes::Bytes;

use super::{
    Shared,
    record::{self, COPIES, Copy, NEVER, OUTBOX, Pair, Promise, Stage, Work},
    rule::{DAY, ReplicationPolicy, Rule},
};
use crate::{
    block::Cid,
    error::{Error, Result},
    storage::StoreOptions,
    tier::Root,
};

pub type Notes = Vec<(String, Option<Bytes>)>;

/// What a commit is to say, and what must be so for that.
#[derive(Debug, Default)]
pub struct Change {
    pub notes: Notes,
    pub expect: Notes,
}

impl Change {
    /// From what a note says now to what it is to say.
    fn set(&mut self, name: String, now: Option<Bytes>, then: Option<Bytes>) {
        self.expect.push((name.clone(), now));
        self.notes.push((name, then));
    }

    /// Both at once, or none.
    pub fn add(&mut self, other: Change) {
        self.notes.extend(other.notes);
        self.expect.extend(other.expect);
    }
}

impl Shared {
    /// What a call's policy comes to over the store's. Names are checked where backends are configured: a build without a
    /// network has none, and queues for whoever opens the store with one.
    pub(in crate::storage) fn rule(&self, call: &ReplicationPolicy) -> Result<Option<Rule>> {
        let rule = call.over(&self.options.policy).rule()?;
        for name in rule.iter().flat_map(|rule| rule.backends.iter().chain(rule.archive.iter().map(|(name, _)| name))) {
            let unknown = self.member(name).is_none();
            if unknown && (self.backends().is_some() || self.options.offline.is_none()) {
                let known = self.backends().map_or_else(|| "it has none".to_owned(), |known| format!("{known:?}"));
                return Err(Error::InvalidArgument(format!("{name:?} is none of this store's backends: {known}")));
            }
        }
        Ok(rule)
    }

    /// Options that name only backends that there are.
    pub(in crate::storage) fn checked(&self, options: StoreOptions) -> Result<StoreOptions> {
        let options = options.check()?;
        self.rule(&options.replicate)?;
        Ok(options)
    }

    /// Whether what is stored so is pinned by policy.
    pub(in crate::storage) fn pins(&self, call: &ReplicationPolicy) -> bool {
        call.pin.or(self.options.policy.pin).unwrap_or_default()
    }

    /// What a commit that stores a root has to say besides. Nothing need be expected for it: whoever works for this root
    /// meanwhile begins anew at most.
    pub(in crate::storage) async fn queue_in_commit(&self, cid: &Cid, call: &ReplicationPolicy) -> Result<Notes> {
        match self.rule(call)? {
            Some(rule) => Ok(self.queue(cid, rule, false).await?.notes),
            None => Ok(Vec::new()),
        }
    }

    /// Queues a root for the backends that have no copy yet. `again`: also where it was given up.
    pub(super) async fn queue(&self, cid: &Cid, rule: Rule, again: bool) -> Result<Change> {
        let now = self.clock.now();
        let mut change = Change::default();
        let earlier = self.promise(cid).await?;
        let rule = match &earlier {
            Some((earlier, _)) => rule.after(&earlier.rule),
            None => rule,
        };
        for name in &rule.backends {
            let pair = Pair::new(cid, name);
            let (note, copy) = (self.tier.note(&pair.work()).await?, self.tier.note(&pair.copy()).await?);
            let work = note.as_ref().map(|note| Work::decode(&pair.work(), note)).transpose()?;
            let next = match work {
                None if copy.is_some() => continue,
                None => Work::to_send(now),
                // It is wanted again.
                Some(Work { stage: Stage::Remove, .. }) => Work::to_send(now),
                Some(work) if work.has_failed() && again => {
                    Work { due: now, failures: 0, losses: 0, trouble: None, ..work }
                }
                Some(_) => continue,
            };
            change.set(pair.work(), note, Some(next.encode()));
        }
        let since = earlier.as_ref().map_or(now, |(earlier, _)| earlier.since);
        let next = rule.archive_at(since).min(rule.leaves_at(now));
        let next = next.min(earlier.as_ref().map_or(NEVER, |(earlier, _)| earlier.next));
        let promise = Promise { since, rule, next, left: None }.encode();
        change.set(record::policy(cid), earlier.map(|(_, note)| note), Some(promise));
        Ok(change)
    }

    /// What forgets the work for a root that is deleted, and what was promised; what has been sent in part is removed.
    pub(in crate::storage) async fn unqueue(&self, cid: &Cid) -> Result<Change> {
        let mut change = Change::default();
        let Some((_, policy)) = self.promise(cid).await? else { return Ok(change) };
        change.set(record::policy(cid), Some(policy), None);
        for (name, note) in self.notes(&record::all_of(OUTBOX, cid)).await? {
            let (pair, work) = (Pair::of(&name, OUTBOX)?, Work::decode(&name, &note)?);
            let copy = self.tier.note(&pair.copy()).await?.is_some();
            let then = match work.stage {
                Stage::Remove => continue,
                // A copy that counts, and was to be read back again.
                _ if copy => None,
                Stage::Send if !work.has_begun() => None,
                _ => Some(self.to_remove(work.state()).encode()),
            };
            change.set(name, Some(note), then);
        }
        Ok(change)
    }

    fn to_remove(&self, state: Option<Bytes>) -> Work {
        let mut work = Work { stage: Stage::Remove, ..Work::to_send(self.clock.now()) };
        work.set_state(state);
        work
    }

    /// What has the copies removed at some backends.
    pub(super) async fn release(&self, cid: &Cid, released: impl Fn(&str) -> bool) -> Result<Change> {
        let mut change = Change::default();
        let mut names = HashSet::new();
        for prefix in [OUTBOX, COPIES] {
            for (note, _) in self.notes(&record::all_of(prefix, cid)).await? {
                names.insert(Pair::of(&note, prefix)?.backend);
            }
        }
        names.retain(|name| released(name));
        for name in &names {
            let pair = Pair::new(cid, name);
            let (note, copied) = (self.tier.note(&pair.work()).await?, self.tier.note(&pair.copy()).await?);
            let work = note.as_ref().map(|note| Work::decode(&pair.work(), note)).transpose()?;
            let copy = copied.as_ref().map(|note| Copy::decode(&pair.copy(), note)).transpose()?;
            let state = copy.map(|copy| copy.state()).or_else(|| work.as_ref()?.state());
            let nothing = copied.is_none() && work.as_ref().is_some_and(|work| !work.has_begun());
            let then = (!nothing).then(|| self.to_remove(state).encode());
            change.set(pair.work(), note, then);
            if copied.is_some() {
                change.set(pair.copy(), copied, None);
            }
        }
        if let Some((mut promise, note)) = self.promise(cid).await? {
            let rule = &mut promise.rule;
            rule.backends.retain(|name| !released(name));
            rule.archive = rule.archive.take().filter(|(name, _)| !released(name));
            rule.moves_to = rule.moves_to.take().filter(|name| !released(name));
            let kept = !rule.backends.is_empty() || rule.archive.is_some();
            change.set(record::policy(cid), Some(note), kept.then(|| promise.encode()));
        }
        Ok(change)
    }

    /// Queues a copy to be read back, unless there is work for it already.
    pub(super) async fn audit(&self, pair: &Pair) -> Result<Change> {
        let mut change = Change::default();
        let (note, copied) = (self.tier.note(&pair.work()).await?, self.tier.note(&pair.copy()).await?);
        if let (None, Some(copied)) = (&note, copied) {
            let copy = Copy::decode(&pair.copy(), &copied)?;
            let mut work = Work { stage: Stage::Prove, ..Work::to_send(self.clock.now()) };
            (work.whole, work.stored) = (copy.whole, copy.stored);
            work.set_state(Some(copy.state()));
            change.set(pair.work(), note, Some(work.encode()));
            change.expect.push((pair.copy(), Some(copied)));
        }
        Ok(change)
    }

    /// What has the copies removed at all backends but the archive that it moves to, once one is proven there.
    pub(super) async fn move_on(&self, cid: &Cid) -> Result<Change> {
        let nothing = Ok(Change::default());
        let Some((Promise { rule, .. }, _)) = self.promise(cid).await? else { return nothing };
        let Some(archive) = rule.moves_to.filter(|archive| rule.backends.iter().any(|name| name != archive)) else {
            return nothing;
        };
        let pair = Pair::new(cid, &archive);
        let (work, copied) = (self.tier.note(&pair.work()).await?, self.tier.note(&pair.copy()).await?);
        if work.is_some() || copied.is_none() {
            return nothing;
        }
        let mut change = self.release(cid, |name| name != archive).await?;
        change.expect.extend([(pair.work(), None), (pair.copy(), copied)]);
        Ok(change)
    }

    /// When the local copy of a root is to leave, by what was promised for it; none if that says nothing, or it is not here.
    pub(in crate::storage) async fn leaves_at(&self, cid: &Cid) -> Result<Option<u64>> {
        let Some((promise, _)) = self.promise(cid).await? else { return Ok(None) };
        if promise.rule.local_days.is_none() || self.tier.root(cid).await?.is_none() {
            return Ok(None);
        }
        let used = self.last_use(cid).await?.unwrap_or_default();
        Ok(Some(promise.rule.leaves_at(promise.since.max(used))))
    }

    /// What a root was that has left by its promise.
    pub(in crate::storage) async fn left(&self, cid: &Cid) -> Result<Option<Root>> {
        let left = self.promise(cid).await?.and_then(|(promise, _)| promise.left);
        left.map(|root| Root::decode(&root)).transpose()
    }

    /// What is noted, and must be so, when a root leaves this tier, by what was promised for it; none if it must stay.
    pub(in crate::storage) async fn may_leave(&self, root: &Root) -> Result<Option<Change>> {
        let cid = &root.cid;
        let mut change = Change::default();
        let Some((promise, note)) = self.promise(cid).await? else {
            change.expect.push((record::policy(cid), None));
            return Ok(Some(change));
        };
        for (name, note) in self.notes(&record::all_of(OUTBOX, cid)).await? {
            // What is still to be sent is sent from here. What was given up is, too.
            if Work::decode(&name, &note)?.stage == Stage::Send {
                return Ok(None);
            }
        }
        let copies = self.notes(&record::all_of(COPIES, cid)).await?;
        let enough = copies.len() >= promise.rule.spares_with();
        change.expect.extend(copies.into_iter().map(|(name, note)| (name, Some(note))));
        let left = Promise { left: Some(root.encode().into()), ..promise };
        change.set(record::policy(cid), Some(note), Some(left.encode()));
        Ok(enough.then_some(change))
    }

    /// Queues what is due of a promise: audits, the archive, and copies that are neither there nor queued.
    pub(super) async fn look_after(&self, cid: &Cid) -> Result<Change> {
        let now = self.clock.now();
        let Some((mut promise, note)) = self.promise(cid).await? else { return Ok(Change::default()) };
        if promise.next > now {
            return Ok(Change::default());
        }
        let mut change = Change::default();
        if promise.rule.archive_at(promise.since) <= now
            && let Some((name, _)) = promise.rule.archive.take()
        {
            promise.rule.backends.push(name);
        }
        let mut next = promise.rule.archive_at(promise.since);
        for name in &promise.rule.backends {
            let pair = Pair::new(cid, name);
            let (work, copied) = (self.tier.note(&pair.work()).await?, self.tier.note(&pair.copy()).await?);
            match (work, copied) {
                (Some(_), _) => {}
                (None, None) => change.set(pair.work(), None, Some(Work::to_send(now).encode())),
                (None, Some(copied)) => {
                    let audit = promise.rule.audit_at(Copy::decode(&pair.copy(), &copied)?.proven);
                    if audit > now {
                        next = next.min(audit);
                    } else {
                        let queued = self.audit(&pair).await?;
                        change.add(queued);
                    }
                }
            }
        }
        if let Some(days) = promise.rule.local_days {
            // One that could not leave is looked at again, and so is one that may have come back.
            let again = now.saturating_add(DAY * u64::from(days.max(1)));
            let leaves = self.leaves_at(cid).await?.filter(|when| *when > now);
            next = next.min(leaves.unwrap_or(again));
        }
        promise.next = next;
        change.set(record::policy(cid), Some(note), Some(promise.encode()));
        Ok(change)
    }
}
