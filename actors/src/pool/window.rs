//! Counts over a sliding window, and the health that follows from them. Pure: time comes in as milliseconds.

/// Seconds that the window covers.
const SECONDS: u64 = 60;
/// Without a free worker for so long, a pool is short of workers. A moment without one is what a busy pool looks like.
const UNAVAILABLE_MS: u64 = 10_000;
/// Of 1,000 requests.
const ERRORS_MAX_PER_MILLE: u64 = 50;

/// What a window counts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Counts {
    pub requests: u64,
    pub errors: u64,
    pub queue_timeouts: u64,
}

/// The last minute, second by second.
#[derive(Clone, Debug)]
pub(crate) struct Window {
    seconds: [Counts; SECONDS as usize],
    /// The second that was counted last.
    second: u64,
    last_available_ms: u64,
}

impl Window {
    pub(crate) fn new(now_ms: u64) -> Self {
        Self { seconds: [Counts::default(); SECONDS as usize], second: now_ms / 1000, last_available_ms: now_ms }
    }

    pub(crate) fn add(&mut self, now_ms: u64, counts: Counts) {
        self.advance(now_ms);
        let current = &mut self.seconds[(self.second % SECONDS) as usize];
        current.requests += counts.requests;
        current.errors += counts.errors;
        current.queue_timeouts += counts.queue_timeouts;
    }

    /// A worker is free.
    pub(crate) fn available(&mut self, now_ms: u64) {
        self.last_available_ms = self.last_available_ms.max(now_ms);
    }

    pub(crate) fn counts(&mut self, now_ms: u64) -> Counts {
        self.advance(now_ms);
        self.seconds.iter().fold(Counts::default(), |sum, second| Counts {
            requests: sum.requests + second.requests,
            errors: sum.errors + second.errors,
            queue_timeouts: sum.queue_timeouts + second.queue_timeouts,
        })
    }

    fn advance(&mut self, now_ms: u64) {
        let now = now_ms / 1000;
        // A clock that stands still or goes back counts into the current second.
        for second in (self.second + 1)..=now.min(self.second + SECONDS) {
            self.seconds[(second % SECONDS) as usize] = Counts::default();
        }
        self.second = self.second.max(now);
    }

    /// The health rule. `started`: the pool has, or should have, workers.
    pub(crate) fn health(&mut self, now_ms: u64, started: bool) -> Health {
        let Counts { requests, errors, queue_timeouts } = self.counts(now_ms);
        let mut reasons = Vec::new();
        let failing = errors * 1000 > requests * ERRORS_MAX_PER_MILLE;
        if failing {
            reasons.push(format!("{errors} of {requests} requests of the last minute failed: see their errors"));
        }
        if started && now_ms.saturating_sub(self.last_available_ms) > UNAVAILABLE_MS {
            reasons.push(
                "no worker has been free for 10 s: give the pool more workers, or look for calls that hang".to_owned(),
            );
        }
        if queue_timeouts > 0 {
            reasons.push(format!("{queue_timeouts} requests of the last minute found no worker in time"));
        }
        let status = match (failing, reasons.is_empty()) {
            (true, _) => HealthStatus::Error,
            (false, false) => HealthStatus::Warning,
            (false, true) => HealthStatus::Ok,
        };
        Health { status, reasons }
    }
}

/// How a pool is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Health {
    /// In a word.
    pub status: HealthStatus,
    /// Why, and what to do.
    pub reasons: Vec<String>,
}

/// How a pool is, in a word.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HealthStatus {
    /// Nothing to do.
    Ok,
    /// Someone should look.
    Warning,
    /// More than 5 % of the requests of the last minute failed.
    Error,
}

impl HealthStatus {
    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Warning => "warning",
            Self::Error => "error",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn requests(count: u64, errors: u64) -> Counts {
        Counts { requests: count, errors, queue_timeouts: 0 }
    }

    #[test]
    fn without_requests_a_pool_is_healthy() {
        assert_eq!(Window::new(0).health(0, false).status, HealthStatus::Ok);
        assert_eq!(Window::new(0).health(100_000, false).status, HealthStatus::Ok);
    }

    #[test]
    fn more_than_one_error_in_twenty_is_an_error_until_the_minute_is_over() {
        let mut window = Window::new(5_000);
        window.available(5_000);
        window.add(5_000, requests(20, 1));
        assert_eq!(window.health(5_000, true).status, HealthStatus::Ok);
        window.add(5_500, requests(0, 1));
        assert_eq!(window.health(6_000, true).status, HealthStatus::Error);
        window.available(64_000);
        assert_eq!(window.health(64_000, true).status, HealthStatus::Error);
        window.available(65_000);
        assert_eq!(window.health(65_000, true).status, HealthStatus::Ok);
    }

    #[test]
    fn a_queue_timeout_and_a_lasting_lack_of_workers_are_warnings() {
        let mut window = Window::new(0);
        assert_eq!(window.health(10_000, true).status, HealthStatus::Ok);
        assert_eq!(window.health(10_001, true).status, HealthStatus::Warning);
        window.available(10_001);
        assert_eq!(window.health(10_001, true).status, HealthStatus::Ok);
        window.add(10_002, Counts { requests: 1, errors: 0, queue_timeouts: 1 });
        let health = window.health(10_002, true);
        assert_eq!((health.status, health.reasons.len()), (HealthStatus::Warning, 1));
    }

    #[test]
    fn a_long_silence_empties_the_window() {
        let mut window = Window::new(0);
        window.add(0, requests(7, 7));
        assert_eq!(window.counts(3_600_000), Counts::default());
        window.add(3_600_000, requests(1, 0));
        // A clock that goes back loses nothing.
        window.add(3_000_000, requests(1, 0));
        assert_eq!(window.counts(3_600_000).requests, 2);
    }
}
