//! When progress off a terminal is worth a line: each 10 %, and each 10 s.

use std::time::Duration;

const SILENCE_LIMIT: Duration = Duration::from_secs(10);

/// What was said last.
#[derive(Debug, Default)]
pub struct Milestones {
    tenth: u64,
    done: u32,
    at: Duration,
}

impl Milestones {
    /// Starts at a run's present state, so that a resumed run does not begin with a line.
    pub fn at(done: u32, examples: u32) -> Self {
        Self { tenth: tenth(done, examples), done, at: Duration::ZERO }
    }

    /// Whether a line is due, `now` being the time since the start.
    pub fn is_due(&mut self, done: u32, examples: u32, now: Duration) -> bool {
        let reached = tenth(done, examples);
        let silent = now.saturating_sub(self.at) >= SILENCE_LIMIT;
        let due = done != self.done && (reached > self.tenth || silent);
        if due {
            *self = Self { tenth: reached, done, at: now };
        }
        due
    }
}

fn tenth(done: u32, examples: u32) -> u64 {
    (u64::from(done) * 10).checked_div(u64::from(examples)).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fast_run_says_each_tenth_once() {
        let mut milestones = Milestones::at(0, 200);
        let said: Vec<u32> = (0..=200).filter(|&done| milestones.is_due(done, 200, Duration::from_millis(1))).collect();
        assert_eq!(said, [20, 40, 60, 80, 100, 120, 140, 160, 180, 200]);
    }

    #[test]
    fn a_slow_run_says_something_each_ten_seconds() {
        let mut milestones = Milestones::at(0, 1_000_000);
        let said: Vec<u32> = (1..60)
            .filter(|&second| milestones.is_due(second, 1_000_000, Duration::from_secs(u64::from(second))))
            .collect();
        assert_eq!(said, [10, 20, 30, 40, 50]);
    }

    #[test]
    fn no_progress_no_line() {
        let mut milestones = Milestones::at(5, 10);
        assert!(!milestones.is_due(5, 10, Duration::from_secs(100)));
    }
}
