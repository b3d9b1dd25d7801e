//! The stamps that carry log time: the leader's clock, kept from leaping.

/// A clock may be ahead of what has passed since the start by so much; beyond that somebody has set it.
const LEAP_MS: u64 = 5_000;

/// Judges readings of the wall clock by the monotonic one. Plain data: time arrives as arguments.
#[derive(Debug, Clone, Copy)]
pub(crate) struct LogClock {
    wall_ms: u64,
    monotonic_ms: u64,
}

/// A stamp, and whether the wall clock had leapt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Stamp {
    pub(crate) ms: u64,
    /// By how much the wall clock is ahead, where that is too much.
    pub(crate) leapt_ms: Option<u64>,
}

impl LogClock {
    /// With both readings of the start.
    pub(crate) fn new(wall_ms: u64, monotonic_ms: u64) -> Self {
        Self { wall_ms, monotonic_ms }
    }

    /// The stamp for these readings. A clock that was set back needs no care: log time never goes back.
    pub(crate) fn stamp(self, wall_ms: u64, monotonic_ms: u64) -> Stamp {
        let expected = self.wall_ms + monotonic_ms.saturating_sub(self.monotonic_ms);
        if wall_ms > expected + LEAP_MS {
            return Stamp { ms: expected, leapt_ms: Some(wall_ms - expected) };
        }
        Stamp { ms: wall_ms, leapt_ms: None }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_that_leaps_does_not_take_the_log_along() {
        let clock = LogClock::new(1_000_000, 50);
        assert_eq!(clock.stamp(1_000_700, 750), Stamp { ms: 1_000_700, leapt_ms: None });
        assert_eq!(clock.stamp(1_005_000, 50), Stamp { ms: 1_005_000, leapt_ms: None });
        assert_eq!(clock.stamp(9_000_000, 1_050), Stamp { ms: 1_001_000, leapt_ms: Some(7_999_000) });
        assert_eq!(clock.stamp(400_000, 1_050), Stamp { ms: 400_000, leapt_ms: None });
    }
}
