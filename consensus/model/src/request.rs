//! The window of request ids: a repeated write gets the outcome of the first, an old one is never executed.

use crate::{Outcome, Rejection, RequestId, State};

/// How long an outcome is kept, in milliseconds of log time.
pub const REQUEST_WINDOW_MS: u64 = 15 * 60 * 1000;

/// Outcomes that leave with each command at the most, so that no single `apply` is long.
pub(crate) const EVICTED_PER_APPLY: usize = 4;

/// The outcome without executing: known, or from before the window.
pub(crate) fn known_outcome(state: &State, request: RequestId) -> Option<Outcome> {
    if is_too_old(state.log_time_ms(), request) {
        return Some(Outcome::Rejected(Rejection::RequestTooOld));
    }
    state.request_outcome(request).cloned()
}

/// Judged by the time inside the id alone, so that an evicted and a never seen id get the same answer.
pub(crate) fn is_too_old(log_time_ms: u64, request: RequestId) -> bool {
    request.made_ms() + REQUEST_WINDOW_MS < log_time_ms
}
