//! How many bytes of a worker's prints are forwarded: a token bucket. Time comes in as data.

use std::time::Instant;

/// What is forwarded in the long run.
const BYTES_PER_SECOND: f64 = 64.0 * 1024.0;
/// What may come at once after a quiet time.
const BURST_BYTES: f64 = 256.0 * 1024.0;

#[derive(Debug)]
pub(super) struct ByteBudget {
    available: f64,
    filled: Instant,
}

impl ByteBudget {
    pub fn new(now: Instant) -> Self {
        Self { available: BURST_BYTES, filled: now }
    }

    /// Whether so many bytes may pass now.
    pub fn take(&mut self, bytes: usize, now: Instant) -> bool {
        let passed = now.saturating_duration_since(self.filled).as_secs_f64();
        self.available = (self.available + passed * BYTES_PER_SECOND).min(BURST_BYTES);
        self.filled = now;
        let allowed = bytes as f64 <= self.available;
        if allowed {
            self.available -= bytes as f64;
        }
        allowed
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn allows_a_burst_and_then_the_rate() {
        let start = Instant::now();
        let mut budget = ByteBudget::new(start);
        let passed = |budget: &mut ByteBudget, now| (0..10_000).filter(|_| budget.take(1024, now)).count();
        assert_eq!(passed(&mut budget, start), 256);
        assert_eq!(passed(&mut budget, start), 0);
        assert_eq!(passed(&mut budget, start + Duration::from_secs(1)), 64);
        assert_eq!(passed(&mut budget, start + Duration::from_secs(3600)), 256);
    }
}
