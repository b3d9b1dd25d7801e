//! How often results are written. A flush costs all nodes of a cluster about the same for one result as for sixty: a sync and two
//! messages each, so that results that come one by one would take more CPU from the workers than they are worth.
//!
//! What a crash repeats is bounded by the plan, not by this.

use std::time::Duration;

/// Between the starts of two flushes, at the least.
pub(super) const FLUSH_EVERY: Duration = Duration::from_millis(10);
/// Results are kept for this long at the most, where more are to come.
const REST_MAX: Duration = Duration::from_millis(100);
/// Of the time in which results are written or waited with, so much is rest.
const RESTS: u32 = 8;
/// So many are worth a flush.
const ENOUGH: usize = 64;

/// How long nothing but what cannot wait is flushed, after a flush that took so long: on a slow disk, or on a busy machine, longer.
pub(super) fn rest(taken: Duration) -> Duration {
    (taken * RESTS).min(REST_MAX)
}

/// Whether so many results are to be written now.
pub(super) fn is_time(results: usize, is_urgent: bool, is_resting: bool) -> bool {
    results > 0 && (!is_resting || is_urgent || results >= ENOUGH)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_result_is_written_at_once_and_those_behind_it_together() {
        assert!(is_time(1, false, false), "nothing was written lately");
        assert!(!is_time(1, false, true) && !is_time(ENOUGH - 1, false, true));
        assert!(is_time(ENOUGH, false, true), "enough have gathered");
        assert!(!is_time(0, true, false), "there is nothing to write");
    }

    #[test]
    fn the_last_result_is_not_kept_waiting() {
        assert!(is_time(1, true, true));
    }

    #[test]
    fn a_slow_disk_is_asked_less_often_but_results_wait_no_longer_than_a_tenth_of_a_second() {
        assert_eq!(rest(Duration::from_millis(2)), Duration::from_millis(16));
        assert_eq!(rest(Duration::from_secs(30)), REST_MAX);
    }
}
