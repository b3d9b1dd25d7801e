//! Attempts to reach the leader, until a deadline.

use std::time::Duration;

use dspex_model::NodeId;
use openraft::async_runtime::WatchReceiver;
use tokio::time::{Instant, sleep};

use crate::following::Leader;
use crate::types::Raft;

/// Right after an election a leader refuses writes until a quorum has answered once: a few milliseconds.
const FIRST_PAUSE: Duration = Duration::from_millis(2);
const LONGEST_PAUSE: Duration = Duration::from_millis(100);

/// Pauses between attempts that double, up to a limit.
pub(crate) struct Attempts {
    pub(crate) deadline: Instant,
    pause: Duration,
    /// Who leads, in the words of the one who was asked last.
    pub(crate) hint: Option<Leader>,
}

impl Attempts {
    pub(crate) fn until(deadline: Instant) -> Self {
        Self { deadline, pause: FIRST_PAUSE, hint: None }
    }

    /// Whom to ask next. A hint is used once: it may be as old as what this node knows itself.
    pub(crate) fn leader(&mut self, raft: &Raft) -> Option<Leader> {
        self.hint.take().filter(|hint| !hint.address.is_empty()).or_else(|| leader_of(raft))
    }

    /// The time that is left.
    pub(crate) fn left(&self) -> Duration {
        self.deadline.saturating_duration_since(Instant::now())
    }

    /// Waits a moment, or until another leader is known; `false` when the deadline would pass.
    pub(crate) async fn pause(&mut self, raft: &Raft) -> bool {
        if Instant::now() + self.pause >= self.deadline {
            return false;
        }
        let mut metrics = raft.server_metrics();
        let before = metrics.borrow_watched().current_leader;
        let another = async {
            while metrics.changed().await.is_ok() {
                if metrics.borrow_watched().current_leader != before {
                    return;
                }
            }
            // openraft has stopped: nothing will change.
            std::future::pending::<()>().await;
        };
        tokio::select! {
            () = sleep(self.pause) => {}
            () = another => {}
        }
        self.pause = (self.pause * 2).min(LONGEST_PAUSE);
        true
    }
}

/// The leader as far as this node knows.
pub(crate) fn leader_of(raft: &Raft) -> Option<Leader> {
    let metrics = raft.server_metrics();
    let metrics = metrics.borrow_watched();
    let node = metrics.current_leader?;
    let member = metrics.membership_config.membership().get_node(&node);
    Some(Leader { node: NodeId(node), address: member.map(|member| member.address.clone()).unwrap_or_default() })
}
