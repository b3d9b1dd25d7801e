//! How actors put a command to the log: retried while the outcome is only unknown.

use std::time::{Duration, Instant};

use dspex_consensus::{Consensus, ProposeError};
use dspex_model::{Command, Outcome, Proposal, RequestId};

use crate::metering;

const ATTEMPTS_MAX: u32 = 8;

/// On whose behalf something is proposed. The default: the node itself.
#[derive(Clone, Debug, Default)]
pub struct By {
    /// The same request is executed once.
    pub request: Option<RequestId>,
    /// Who asks, for the audit trail: the name of a token or of the local user.
    pub actor: Option<String>,
}

/// Proposes a command that may safely be proposed twice: `RecordResults`, the end of a run, or one with a request id.
pub(crate) async fn propose(consensus: &Consensus, by: By, command: &Command) -> Result<Outcome, ProposeError> {
    let mut wait = Duration::from_millis(20);
    let mut attempt = 1;
    loop {
        let By { request, actor } = by.clone();
        let proposal = Proposal { request, actor, ..Proposal::internal(command.clone()) };
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
