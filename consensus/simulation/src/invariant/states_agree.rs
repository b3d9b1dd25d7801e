//! Nodes that have applied the same entries have the same state: after applying, after an install, after a restart.

use super::Invariant;
use crate::committed::Committed;
use crate::observer::Seen;

#[derive(Default)]
pub(crate) struct StatesAgree;

impl Invariant for StatesAgree {
    fn name(&self) -> &'static str {
        "states_agree"
    }

    fn see(&mut self, seen: &Seen<'_>, committed: &Committed) -> Result<(), String> {
        let Seen::Stands { node, applied, fingerprint, log_time_ms } = seen else { return Ok(()) };
        let Some(entry) = committed.at(applied.index) else {
            return Err(format!("node {node} stands at {applied}, which nobody has applied"));
        };
        if entry.log_id != *applied {
            return Err(format!("node {node} stands at {applied}, and committed is {}", entry.log_id));
        }
        if entry.fingerprint != *fingerprint || entry.log_time_ms != *log_time_ms {
            return Err(format!("node {node} has another state than others had at {applied}"));
        }
        Ok(())
    }
}
