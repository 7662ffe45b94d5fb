//! What is known of a remote by what it did.

use super::Failure;

/// Failures in a row after which a remote rests.
const RESTS_AFTER: u32 = 3;

/// How long it rests at first; twice as long each time that it fails again, up to the longest.
const REST: u64 = 1_000;
const LONGEST_REST: u64 = 60_000;

/// The longest rest that a remote can ask for.
const LONGEST_STATED: u64 = 3_600_000;

/// The evidence on one remote.
#[derive(Debug, Clone, Default)]
pub struct Health {
    /// When it was last heard of, and what was wrong then.
    pub last: Option<(u64, Result<(), Failure>)>,
    /// Milliseconds until its first bytes came: the mean, the latest weighing most.
    pub latency: Option<u64>,
    /// Failures since it last worked.
    pub failures: u32,
    /// Until when it is not asked.
    pub rests_until: u64,
    /// What it sent that was not asked for; then it is not asked again.
    pub lie: Option<String>,
    /// Bytes it sent.
    pub bytes_in: u64,
    /// Bytes it was sent.
    pub bytes_out: u64,
}

/// What a remote can be expected to do now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// The last call worked.
    Works,
    /// Nothing is known yet, or it has had its rest.
    Unknown,
    /// It failed lately, and is asked all the same.
    Failing,
    /// It is not asked for a while.
    Rests,
    /// It lied, and is not asked again.
    Struck,
}

impl Health {
    /// It gave what it was asked for, its first bytes after so many milliseconds.
    pub fn worked(&mut self, now: u64, latency: u64) {
        self.last = Some((now, Ok(())));
        self.latency = Some(self.latency.map_or(latency, |mean| (mean + 3 * latency) / 4));
        self.failures = 0;
        self.rests_until = 0;
    }

    /// Another answered while it was waited for.
    pub fn outrun(&mut self, waited: u64) {
        self.latency = Some(self.latency.unwrap_or_default().max(waited));
    }

    /// It did not.
    pub fn failed(&mut self, now: u64, failure: &Failure) {
        self.last = Some((now, Err(failure.clone())));
        match failure {
            // It answered, and well: it has not got it, or does not speak that.
            Failure::NotFound | Failure::Unsupported(_) => self.failures = 0,
            Failure::Lied(what) => self.lie = Some(what.clone()),
            Failure::Busy(wait) => {
                self.failures += 1;
                self.rests_until = now + wait.map_or_else(|| self.rest(), |wait| wait.min(LONGEST_STATED));
            }
            _ => {
                self.failures += 1;
                if self.failures >= RESTS_AFTER {
                    self.rests_until = now + self.rest();
                }
            }
        }
    }

    fn rest(&self) -> u64 {
        let again = self.failures.saturating_sub(RESTS_AFTER).min(16);
        (REST << again).min(LONGEST_REST)
    }

    /// What to expect of it.
    pub fn state(&self, now: u64) -> State {
        match &self.last {
            _ if self.lie.is_some() => State::Struck,
            _ if self.rests_until > now => State::Rests,
            None => State::Unknown,
            Some((_, Err(Failure::NotFound | Failure::Unsupported(_)) | Ok(()))) => State::Works,
            Some(_) if self.rests_until > 0 => State::Unknown,
            Some(_) => State::Failing,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn down() -> Failure {
        Failure::Unreachable("status 500".into())
    }

    #[test]
    fn rests_after_failures_and_longer_each_time() {
        let mut health = Health::default();
        health.worked(0, 10);
        for _ in 0..2 {
            health.failed(0, &down());
        }
        assert_eq!(health.state(0), State::Failing);
        health.failed(0, &down());
        assert_eq!(
            (health.state(0), health.state(999), health.state(1000)),
            (State::Rests, State::Rests, State::Unknown)
        );
        health.failed(1000, &down());
        assert_eq!((health.state(2999), health.state(3000)), (State::Rests, State::Unknown));
        health.worked(3000, 10);
        assert_eq!((health.state(3000), health.failures), (State::Works, 0));
        for _ in 0..40 {
            health.failed(3000, &down());
        }
        assert_eq!(health.rests_until, 3000 + LONGEST_REST);
    }

    #[test]
    fn who_has_it_not_works_and_who_lies_is_struck() {
        let mut health = Health::default();
        health.failed(0, &Failure::NotFound);
        assert_eq!(health.state(0), State::Works);
        health.failed(0, &Failure::Busy(Some(5000)));
        assert_eq!((health.state(4999), health.state(5000)), (State::Rests, State::Unknown));
        health.failed(0, &Failure::Lied("another block".into()));
        health.worked(1, 1);
        assert_eq!(health.state(1_000_000), State::Struck);
    }
}
