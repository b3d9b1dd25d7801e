//! `--read`: how fresh a read is.

use clap::ValueEnum;
use dspex_api::{ApiError, reason, v1};

use crate::error::CommandError;

/// How fresh a read is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub enum Freshness {
    /// Everything that was acknowledged before; needs a quorum
    #[default]
    Linearizable,
    /// As fresh, as long as no node's clock runs much faster than another's
    Lease,
    /// Whatever the node that is asked has
    Stale,
}

impl Freshness {
    /// In a request.
    pub fn wire(self) -> v1::Freshness {
        match self {
            Self::Linearizable => v1::Freshness::Linearizable,
            Self::Lease => v1::Freshness::Lease,
            Self::Stale => v1::Freshness::Stale,
        }
    }

    /// A read that failed; where less would do, it says so.
    pub fn refusal(self, error: ApiError) -> CommandError {
        let error = CommandError::from(error);
        match error.reason.as_ref() {
            reason::NO_LEADER | reason::NODE_BEHIND if self != Self::Stale => error.hint(
                "--read stale shows what the node that is asked has; dspex cluster status shows who does not answer",
            ),
            _ => error,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_has_asked_for_less_already_is_not_told_to() {
        let error = || ApiError::unavailable(reason::NO_LEADER, "no leader confirmed the read");
        let hint = |freshness: Freshness| freshness.refusal(error()).hint.unwrap_or_default();
        assert!(
            hint(Freshness::Linearizable).contains("--read stale") && hint(Freshness::Lease).contains("--read stale")
        );
        assert!(!hint(Freshness::Stale).contains("--read"));
    }
}
