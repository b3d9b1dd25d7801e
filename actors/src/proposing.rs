//! How actors put a command to the log: stamped here, retried while the outcome is only unknown.

use std::sync::LazyLock;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use dspex_consensus::{Consensus, ProposeError};
use dspex_model::{Command, Outcome, Proposal, RequestId};
use tracing::warn;

use crate::metering;

const ATTEMPTS_MAX: u32 = 8;

/// How far the wall clock may run ahead of the monotonic one: beyond that somebody has set it.
const AHEAD_MAX_MS: u64 = 5_000;

/// Now, as a proposal's stamp. Log time never goes back, so a wall clock that jumps ahead must not take it along.
pub(crate) fn stamp_ms() -> u64 {
    static START: LazyLock<(u64, Instant)> = LazyLock::new(|| (wall_ms(), Instant::now()));
    let elapsed = u64::try_from(START.1.elapsed().as_millis()).unwrap_or(u64::MAX);
    clamped(wall_ms(), START.0.saturating_add(elapsed))
}

fn wall_ms() -> u64 {
    let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since_epoch.as_millis()).unwrap_or(u64::MAX)
}

fn clamped(wall_ms: u64, monotonic_ms: u64) -> u64 {
    if wall_ms > monotonic_ms.saturating_add(AHEAD_MAX_MS) {
        warn!(wall_ms, monotonic_ms, "the clock was set ahead; the log's time does not follow until a restart");
        return monotonic_ms;
    }
    wall_ms
}

/// Proposes a command that may safely be proposed twice: `RecordResults`, the end of a run, or one with a request id.
pub(crate) async fn propose(
    consensus: &Consensus,
    request: Option<RequestId>,
    command: &Command,
) -> Result<Outcome, ProposeError> {
    let mut wait = Duration::from_millis(20);
    let mut attempt = 1;
    loop {
        let proposal = Proposal { stamp_ms: stamp_ms(), request, command: command.clone() };
        let proposed = Instant::now();
        let outcome = consensus.propose(proposal).await;
        metering::proposed(proposed.elapsed());
        match outcome {
            Err(error) if attempt < ATTEMPTS_MAX && is_retryable(&error) => {
                tokio::time::sleep(wait).await;
                wait = (wait * 2).min(Duration::from_secs(2));
                attempt += 1;
            }
            done => return done,
        }
    }
}

/// Not executed, or harmless to execute twice. A node that has stopped is neither.
fn is_retryable(error: &ProposeError) -> bool {
    matches!(error, ProposeError::Busy | ProposeError::NoLeader | ProposeError::Unknown { .. })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_that_jumps_ahead_does_not_take_the_log_along() {
        assert_eq!(clamped(10_000, 10_000), 10_000);
        assert_eq!(clamped(14_000, 10_000), 14_000, "it may be corrected a little");
        assert_eq!(clamped(3_600_000, 10_000), 10_000);
        assert_eq!(clamped(9_000, 10_000), 9_000, "a clock that was set back is the log's own matter");
    }
}
