//! What is left of a run is kept for its next owner: nothing is given out while what is under way comes to its end.

use super::Plan;

impl Plan {
    /// Whether what is left is for another owner to give out.
    pub(crate) fn keep(&mut self, is_kept: bool) {
        self.is_kept = is_kept;
    }

    pub(crate) fn is_kept(&self) -> bool {
        self.is_kept
    }

    /// Kept, or paused.
    pub(super) fn gives_nothing(&self) -> bool {
        self.is_held || self.is_kept
    }

    /// Whether nothing is executing and the log has all results, as far as was said.
    pub(crate) fn is_idle(&self) -> bool {
        self.in_flight() == 0 && !self.has_unrecorded()
    }
}
