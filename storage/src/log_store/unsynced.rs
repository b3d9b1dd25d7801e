//! Which writes brought the entries whose sync has not been seen yet.

use std::collections::VecDeque;

/// The last entry and the number of each append, in their order, until a sync has covered it. Plain data.
#[derive(Debug, Default)]
pub(super) struct Unsynced {
    appends: VecDeque<(u64, u64)>,
}

impl Unsynced {
    /// A write that ends with the entry `last`.
    pub(super) fn appended(&mut self, last: u64, write: u64) {
        self.appends.push_back((last, write));
    }

    /// Entries from `from` on are gone: others will take their places.
    pub(super) fn truncated(&mut self, from: u64) {
        for (last, _) in self.appends.iter_mut().filter(|(last, _)| *last >= from) {
            *last = from.saturating_sub(1);
        }
    }

    /// The write that must be synced so that the entry `index` and all before it are durable; `None`: they are, when every
    /// write up to `synced` is.
    pub(super) fn covering(&mut self, index: u64, synced: u64) -> Option<u64> {
        while self.appends.front().is_some_and(|(_, write)| *write <= synced) {
            self.appends.pop_front();
        }
        let first = self.appends.iter().find(|(last, _)| *last >= index);
        first.or(self.appends.back()).map(|(_, write)| *write)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entry_waits_for_its_own_write_and_not_for_later_ones() {
        let mut unsynced = Unsynced::default();
        unsynced.appended(3, 1);
        unsynced.appended(5, 2);
        unsynced.appended(9, 4);
        assert_eq!(unsynced.covering(3, 0), Some(1));
        assert_eq!(unsynced.covering(4, 0), Some(2));
        assert_eq!(unsynced.covering(3, 1), Some(2));
        assert_eq!(unsynced.covering(6, 2), Some(4));
        assert_eq!(unsynced.covering(9, 4), None);
    }

    #[test]
    fn an_entry_that_took_the_place_of_another_waits_for_the_newer_write() {
        let mut unsynced = Unsynced::default();
        unsynced.appended(10, 1);
        unsynced.truncated(9);
        unsynced.appended(10, 3);
        assert_eq!(unsynced.covering(8, 0), Some(1));
        assert_eq!(unsynced.covering(9, 0), Some(3));
        assert_eq!(unsynced.covering(9, 1), Some(3));
    }
}
