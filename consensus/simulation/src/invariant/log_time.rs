//! Log time never goes back, in the log or in one life of a node; and it is never far ahead of the true time: a clock that
//! leaps takes the log along by five seconds at the most, beyond what it was ahead by when its node was started.

use std::collections::BTreeMap;

use super::Invariant;
use crate::committed::Committed;
use crate::observer::Seen;

/// As `dspex_consensus::clock` has it.
const LEAP_MS: u64 = 5_000;

#[derive(Default)]
pub(crate) struct LogTime {
    committed_ms: u64,
    nodes: BTreeMap<u64, u64>,
    /// The most that a node's clock was ahead when the node was started.
    ahead_ms: u64,
}

impl Invariant for LogTime {
    fn name(&self) -> &'static str {
        "log_time"
    }

    fn see(&mut self, seen: &Seen<'_>, committed: &Committed) -> Result<(), String> {
        match *seen {
            Seen::Started { node, clock_ahead_ms } => {
                self.ahead_ms = self.ahead_ms.max(u64::try_from(clock_ahead_ms).unwrap_or(0));
                self.nodes.remove(&node);
            }
            Seen::Committed { index } => {
                let time_ms = committed.at(index).map_or(0, |entry| entry.log_time_ms);
                if time_ms < self.committed_ms {
                    return Err(format!("log time goes from {} back to {time_ms} at {index}", self.committed_ms));
                }
                self.committed_ms = time_ms;
                let most_ms = committed.true_ms + LEAP_MS + self.ahead_ms;
                if time_ms > most_ms {
                    return Err(format!("log time {time_ms} at {index} is beyond {most_ms}"));
                }
            }
            Seen::Stands { node, log_time_ms, .. } => {
                let before = self.nodes.insert(node, log_time_ms).unwrap_or(0);
                if log_time_ms < before {
                    return Err(format!("log time goes from {before} back to {log_time_ms} on node {node}"));
                }
            }
            _ => {}
        }
        Ok(())
    }
}
