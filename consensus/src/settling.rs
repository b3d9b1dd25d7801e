//! Finishes a change of the members whose leader ended in the middle: until then two majorities are needed for everything.

use std::collections::BTreeSet;
use std::time::Duration;

use openraft::ChangeMembers;
use openraft::async_runtime::WatchReceiver;
use tokio::sync::watch;

use crate::types::{LogId, Raft};

/// A change that is under way is over sooner than this; one that stands still is nobody's.
const PAUSE: Duration = Duration::from_secs(5);

/// Runs until the node stops. Only the leader finishes anything.
pub(crate) async fn run(raft: Raft, progress: watch::Receiver<u64>) {
    let mut seen = None;
    while progress.has_changed().is_ok() {
        tokio::time::sleep(PAUSE).await;
        let halfway = halfway(&raft);
        if halfway.is_some() && halfway == seen {
            tracing::warn!("a change of the members was left halfway by a former leader; finishing it");
            // Where it fails, the next look finds it again. Who was to leave stays as one who follows.
            let finished = raft.change_membership(ChangeMembers::AddVoterIds(BTreeSet::new()), true).await;
            if let Err(error) = finished {
                tracing::warn!(%error, "the change of the members could not be finished yet");
            }
        }
        seen = halfway;
    }
}

/// The entry that began a change which has not ended, where this node leads.
fn halfway(raft: &Raft) -> Option<LogId> {
    if !raft.is_leader() {
        return None;
    }
    let metrics = raft.server_metrics();
    let metrics = metrics.borrow_watched();
    let membership = &metrics.membership_config;
    membership.membership().get_joint_config().get(1)?;
    *membership.log_id()
}
