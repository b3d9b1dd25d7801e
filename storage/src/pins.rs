//! Blobs that are on their way into the log: nothing refers to them yet, and nobody may free them.

use std::collections::{HashMap, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use dspex_model::Digest;

/// Entries before the first search for those whose time is over.
const CLEANED_AT_FIRST: usize = 1024;

/// Until when each upload is kept whose proposal is still to come. In memory: a restart ends every proposal under way that this
/// node has made, but not those of its peers, for whom [`pin_all`](Pins::pin_all) is.
#[derive(Debug, Default)]
pub(crate) struct Pins {
    held: Mutex<Held>,
}

#[derive(Debug)]
struct Held {
    ends: HashMap<Digest, VecDeque<Instant>>,
    /// Until then everything is kept.
    all_end: Option<Instant>,
    /// Searched again when there are so many: twice as many as were left the last time.
    clean_at: usize,
}

impl Default for Held {
    fn default() -> Self {
        Self { ends: HashMap::new(), all_end: None, clean_at: CLEANED_AT_FIRST }
    }
}

impl Pins {
    /// Another upload, kept for so long unless its proposal comes before.
    pub(crate) fn pin(&self, digest: Digest, keep: Duration) {
        let (mut held, now) = (self.held(), Instant::now());
        if held.ends.len() >= held.clean_at {
            held.ends.retain(|_, ends| ends.iter().any(|end| *end > now));
            held.clean_at = CLEANED_AT_FIRST.max(2 * held.ends.len());
        }
        held.ends.entry(digest).or_default().push_back(now + keep);
    }

    /// The proposal that one upload was for has come.
    pub(crate) fn unpin(&self, digest: &Digest) {
        if let Some(ends) = self.held().ends.get_mut(digest) {
            ends.pop_front();
        }
    }

    /// Whatever was pinned in an earlier life is kept for so long, and everything else with it.
    pub(crate) fn pin_all(&self, keep: Duration) {
        self.held().all_end = Some(Instant::now() + keep);
    }

    /// For how long everything is kept yet.
    pub(crate) fn all_pinned_for(&self) -> Duration {
        self.held().all_end.map_or(Duration::ZERO, |end| end.saturating_duration_since(Instant::now()))
    }

    pub(crate) fn is_pinned(&self, digest: &Digest) -> bool {
        let (held, now) = (self.held(), Instant::now());
        if held.all_end.is_some_and(|end| end > now) {
            return true;
        }
        held.ends.get(digest).is_some_and(|ends| ends.iter().any(|end| *end > now))
    }

    fn held(&self) -> MutexGuard<'_, Held> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LONG: Duration = Duration::from_secs(600);

    #[test]
    fn an_upload_is_kept_until_each_proposal_for_it_has_come_or_its_time_is_over() {
        let (pins, digest) = (Pins::default(), Digest::of(b"x"));
        assert!(!pins.is_pinned(&digest));
        pins.pin(digest, LONG);
        pins.pin(digest, LONG);
        pins.unpin(&digest);
        assert!(pins.is_pinned(&digest), "another upload of the same bytes waits still");
        pins.unpin(&digest);
        assert!(!pins.is_pinned(&digest));
        pins.pin(digest, Duration::ZERO);
        assert!(!pins.is_pinned(&digest));
    }

    #[test]
    fn what_an_earlier_life_may_have_pinned_is_kept_with_everything_else_for_a_while() {
        let (pins, digest) = (Pins::default(), Digest::of(b"x"));
        assert_eq!(pins.all_pinned_for(), Duration::ZERO);
        pins.pin_all(LONG);
        assert!(pins.is_pinned(&digest) && pins.all_pinned_for() > LONG / 2);
        pins.unpin(&digest);
        assert!(pins.is_pinned(&digest));
        pins.pin_all(Duration::ZERO);
        assert!(!pins.is_pinned(&digest) && pins.all_pinned_for() == Duration::ZERO);
    }

    #[test]
    fn those_whose_time_is_over_do_not_pile_up() {
        let pins = Pins::default();
        for number in 0..10 * CLEANED_AT_FIRST {
            pins.pin(Digest::of(&number.to_le_bytes()), Duration::ZERO);
        }
        assert!(pins.held().ends.len() <= CLEANED_AT_FIRST);
    }
}
