//! How actors put a command to the log: stamped here, retried while the outcome is only unknown.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use dspex_consensus::{Consensus, ProposeError};
use dspex_model::{Command, Outcome, Proposal, RequestId};

const ATTEMPTS_MAX: u32 = 8;

/// Now, as a proposal's stamp.
pub(crate) fn stamp_ms() -> u64 {
    let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since_epoch.as_millis()).unwrap_or(u64::MAX)
}

/// Proposes a command that may safely be proposed twice: `RecordResults`, or one with a request id.
pub(crate) async fn propose(
    consensus: &Consensus,
    request: Option<RequestId>,
    command: &Command,
) -> Result<Outcome, ProposeError> {
    let mut wait = Duration::from_millis(20);
    let mut attempt = 1;
    loop {
        let proposal = Proposal { stamp_ms: stamp_ms(), request, command: command.clone() };
        match consensus.propose(proposal).await {
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
