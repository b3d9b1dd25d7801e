//! What can be set about consensus, each default in one place.

use std::time::Duration;

/// Settings of one node's consensus.
#[derive(Debug, Clone)]
pub struct ConsensusOptions {
    /// A snapshot is made after this many bytes of log.
    pub snapshot_log_bytes: u64,
    /// Entries kept after a snapshot, so that a peer that is a little behind needs no snapshot.
    pub kept_entries: u64,
    /// Proposals and reads under way at once; more wait, within their time limit.
    pub in_flight: usize,
    /// How long a proposal or a read may take, retries included.
    pub time_limit: Duration,
    /// How long a start may take until the node can write.
    pub start_limit: Duration,
    /// Effect batches that a slow receiver may fall behind before it is told to derive them again.
    pub effect_backlog: usize,
    /// How often a leader shows that it is alive.
    pub heartbeat: Duration,
    /// A leader counts as alive for the longer of the two after its last sign. Then a follower waits for a time between them,
    /// drawn anew each time, and stands for election. So a dead leader is missed for 1.5 to 2 times the longer one.
    pub election: (Duration, Duration),
    /// A word about this node that its members show beside its status, as it is; empty: none.
    pub remark: String,
}

impl Default for ConsensusOptions {
    fn default() -> Self {
        Self {
            snapshot_log_bytes: 64 * 1024 * 1024,
            kept_entries: 1000,
            in_flight: 4096,
            time_limit: Duration::from_secs(10),
            start_limit: Duration::from_secs(30),
            effect_backlog: 1024,
            heartbeat: Duration::from_millis(100),
            election: (Duration::from_millis(250), Duration::from_millis(500)),
            remark: String::new(),
        }
    }
}
