//! How long to wait before a zygote is started again. Time comes in as data.

use std::time::{Duration, Instant};

const FIRST: Duration = Duration::from_millis(100);
const LONGEST: Duration = Duration::from_secs(10);
/// One that lived so long did not die of its start.
const HEALTHY: Duration = Duration::from_secs(60);

#[derive(Debug)]
pub(super) struct Backoff {
    failures: u32,
    since: Instant,
}

impl Backoff {
    pub fn new(now: Instant) -> Self {
        Self { failures: 0, since: now }
    }

    /// It is ready.
    pub fn started(&mut self, now: Instant) {
        self.since = now;
    }

    /// It did not become ready.
    pub fn failed(&mut self, now: Instant) {
        self.failures += 1;
        self.since = now;
    }

    /// It was found dead.
    pub fn ended(&mut self, now: Instant) {
        let lived = now.saturating_duration_since(self.since);
        self.failures = if lived >= HEALTHY { 0 } else { self.failures + 1 };
        self.since = now;
    }

    /// When it may be started.
    pub fn not_before(&self) -> Instant {
        let wait = match self.failures {
            0 => Duration::ZERO,
            failures => FIRST.saturating_mul(1 << (failures - 1).min(16)).min(LONGEST),
        };
        self.since + wait
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_longer_after_each_failure_up_to_a_cap() {
        let now = Instant::now();
        let mut backoff = Backoff::new(now);
        assert_eq!(backoff.not_before(), now);
        let mut waits = Vec::new();
        for _ in 0..9 {
            backoff.failed(now);
            waits.push((backoff.not_before() - now).as_millis());
        }
        assert_eq!(waits, [100, 200, 400, 800, 1600, 3200, 6400, 10_000, 10_000]);
    }

    #[test]
    fn a_long_life_forgives_what_was_before() {
        let now = Instant::now();
        let mut backoff = Backoff::new(now);
        backoff.failed(now);
        backoff.started(now);
        backoff.ended(now + Duration::from_secs(1));
        assert_eq!(backoff.not_before(), now + Duration::from_millis(1200));
        backoff.started(now);
        backoff.ended(now + HEALTHY);
        assert_eq!(backoff.not_before(), now + HEALTHY);
    }
}
