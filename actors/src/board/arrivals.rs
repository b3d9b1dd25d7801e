//! What of the prints of other nodes has arrived. Their way may lose some; each says how much was printed up to it.

use std::collections::BTreeMap;

use dspex_model::NodeId;

/// Bytes up to which the prints of each node are accounted for, under each owner that employed workers there.
#[derive(Debug, Default)]
pub(super) struct Arrivals {
    totals: BTreeMap<(NodeId, u64), u64>,
}

impl Arrivals {
    /// `bytes` have come, the last of `total`; how many before them have not.
    pub(super) fn note(&mut self, from: NodeId, epoch: u64, bytes: u64, total: u64) -> u64 {
        let known = self.totals.entry((from, epoch)).or_default();
        let missing = total.saturating_sub(*known).saturating_sub(bytes);
        // A node whose part of the run has begun anew counts from the beginning.
        *known = total;
        missing
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_lost_on_the_way_is_known_with_the_next_that_comes() {
        let mut arrivals = Arrivals::default();
        let mut note = |node, bytes, total| arrivals.note(NodeId(node), 1, bytes, total);
        assert_eq!(note(1, 10, 10), 0);
        assert_eq!(note(1, 5, 35), 20);
        assert_eq!(note(2, 5, 5), 0, "another node counts by itself");
        assert_eq!(note(1, 0, 35), 0);
        assert_eq!(note(1, 0, 40), 5, "the last were lost");
        assert_eq!(note(1, 4, 4), 0, "its part has begun anew");
        assert_eq!(note(1, 4, 9), 1);
        assert_eq!(arrivals.note(NodeId(1), 2, 4, 4), 0, "another owner");
    }
}
