//! A leader whose log says something else than what is applied here: looks at appends as `consensus/src/contradiction.rs` does.
//! There the node stops; here that is what no simulation may come to.

use openraft::async_runtime::WatchReceiver;
use openraft::entry::RaftEntry;
use openraft::raft::AppendEntriesRequest;

use crate::disk::Disk;
use crate::types::{LogId, Raft, Types};

/// Compares an append with what is applied.
///
/// # Errors
/// Where they contradict each other.
pub(crate) fn check(raft: &Raft, disk: &Disk, append: &AppendEntriesRequest<Types>) -> Result<(), String> {
    let (term, applied) = {
        let metrics = raft.metrics();
        let metrics = metrics.borrow_watched();
        (metrics.current_term, metrics.last_applied)
    };
    let Some(applied) = applied else { return Ok(()) };
    // A leader of an earlier term may well have what was never committed; openraft refuses it.
    let claimed = claimed(append, applied.index).filter(|_| append.vote.leader_id.term >= term);
    let Some(claimed) = claimed else { return Ok(()) };
    match own(disk, claimed.index, applied) {
        Some(own) if own != claimed => Err(format!("the leader's log has {claimed} where this node has applied {own}")),
        _ => Ok(()),
    }
}

/// The entry that this node has at an index up to `applied`; none where it was purged.
fn own(disk: &Disk, index: u64, applied: LogId) -> Option<LogId> {
    if index == applied.index {
        return Some(applied);
    }
    disk.contents().log.read().entries.get(&index).map(RaftEntry::log_id)
}

/// The last entry up to `applied` that an append says its leader has.
fn claimed(append: &AppendEntriesRequest<Types>, applied: u64) -> Option<LogId> {
    if append.prev_log_id.is_some_and(|before| before.index > applied) {
        return None;
    }
    let entries = append.entries.iter().rev().map(RaftEntry::log_id);
    entries.chain(append.prev_log_id).find(|id| id.index <= applied)
}
