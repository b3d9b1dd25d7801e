//! Lets log time pass while something waits for it: without writes nothing would ever expire.

use std::sync::PoisonError;
use std::time::Duration;

use dspex_model::{Command, Proposal};
use tokio::sync::watch;

use crate::leading::Leading;
use crate::machine::SharedState;
use crate::types::Raft;

/// At most one tick in this time: what has ended is late by no more, and not seen in the meantime where log time moves.
const PAUSE: Duration = Duration::from_secs(1);

/// Runs until the node stops. Only the leader ticks, and only when a deadline has passed.
pub(crate) async fn run(raft: Raft, leading: Leading, state: SharedState, progress: watch::Receiver<u64>) {
    // The state has ended with its writer.
    while progress.has_changed().is_ok() {
        tokio::time::sleep(PAUSE).await;
        let deadline_ms = state.read().unwrap_or_else(PoisonError::into_inner).state.next_deadline_ms();
        let due = deadline_ms.is_some_and(|deadline_ms| deadline_ms <= leading.stamp_ms());
        if due && raft.is_leader() {
            // Whoever leads next ticks next.
            let _ = leading.propose(Proposal::internal(Command::Tick)).await;
        }
    }
}
