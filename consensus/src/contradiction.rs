//! A leader whose log says something else than what is applied here.
//!
//! What is applied was committed, and a leader has everything that was ever committed: unless a majority has lost what it had
//! acknowledged. openraft takes entries up to the commit index for equal and does not look at them, so a node that has what
//! the others lost would go on from another state, without a word. It stops instead.

use std::io;
use std::sync::{Arc, OnceLock};

use dspex_storage::LogStore;
use openraft::async_runtime::WatchReceiver;
use openraft::entry::RaftEntry;
use openraft::raft::AppendEntriesRequest;

use crate::codec;
use crate::types::{LogId, Raft, Types};

/// Looks at appends before openraft does. Clones share what was found.
#[derive(Debug, Clone)]
pub(crate) struct Contradictions {
    log: LogStore,
    found: Arc<OnceLock<String>>,
}

impl Contradictions {
    pub(crate) fn new(log: LogStore) -> Self {
        Self { log, found: Arc::default() }
    }

    /// Why this node stops, once it has to.
    pub(crate) fn found(&self) -> Option<String> {
        self.found.get().cloned()
    }

    /// Compares an append with what is applied. Where they contradict each other, consensus stops on this node.
    pub(crate) fn check(&self, raft: &Raft, append: &AppendEntriesRequest<Types>) -> io::Result<()> {
        let (term, applied) = {
            let metrics = raft.metrics();
            let metrics = metrics.borrow_watched();
            (metrics.current_term, metrics.last_applied)
        };
        let Some(applied) = applied else { return Ok(()) };
        // A leader of an earlier term may well have what was never committed; openraft refuses it.
        let claimed = claimed(append, applied.index).filter(|_| append.vote.leader_id.term >= term);
        let Some(claimed) = claimed else { return Ok(()) };
        match self.own(claimed.index, applied)? {
            Some(own) if own != claimed => Err(self.stop(raft, own, claimed, applied)),
            _ => Ok(()),
        }
    }

    /// The entry that this node has at an index up to `applied`; none where it was purged.
    fn own(&self, index: u64, applied: LogId) -> io::Result<Option<LogId>> {
        if index == applied.index {
            return Ok(Some(applied));
        }
        let entries = self.log.read(index..index + 1, u64::MAX)?;
        entries.first().map(|(_, bytes)| codec::decode_entry(bytes).map(|entry| entry.log_id())).transpose()
    }

    fn stop(&self, raft: &Raft, own: LogId, claimed: LogId, applied: LogId) -> io::Error {
        let reason = format!(
            "the leader's log has entry {claimed} where this node has applied {own}, and this node has applied everything up to \
             entry {}: the other nodes have lost entries that they had acknowledged (older copies of their directories were put \
             back, or their disks do not keep what they say is synced). Keep this node's data directory, it may be the only one \
             that holds them: see \"When something is wrong\" in the how-to of clusters",
            applied.index
        );
        if self.found.set(reason.clone()).is_ok() {
            tracing::error!("{reason}");
            let raft = raft.clone();
            tokio::spawn(async move { raft.shutdown().await });
        }
        io::Error::new(io::ErrorKind::InvalidData, reason)
    }
}

/// The last entry up to `applied` that an append says its leader has.
fn claimed(append: &AppendEntriesRequest<Types>, applied: u64) -> Option<LogId> {
    if append.prev_log_id.is_some_and(|before| before.index > applied) {
        return None;
    }
    let entries = append.entries.iter().rev().map(RaftEntry::log_id);
    entries.chain(append.prev_log_id).find(|id| id.index <= applied)
}

#[cfg(test)]
mod tests {
    use openraft::EntryPayload;

    use super::*;
    use crate::types::{Entry, LeaderId, Vote};

    fn id(term: u64, index: u64) -> LogId {
        LogId::new(LeaderId { term, node_id: 1 }, index)
    }

    fn append(before: Option<LogId>, entries: &[LogId]) -> AppendEntriesRequest<Types> {
        let entries = entries.iter().map(|id| Entry { log_id: *id, payload: EntryPayload::Blank }).collect();
        AppendEntriesRequest { vote: Vote::new(3, 1), prev_log_id: before, entries, leader_commit: None }
    }

    #[test]
    fn the_last_entry_up_to_the_applied_one_is_compared_and_later_ones_are_not() {
        let usual = append(Some(id(2, 9)), &[id(3, 10), id(3, 11)]);
        assert_eq!(claimed(&usual, 9), Some(id(2, 9)));
        assert_eq!(claimed(&usual, 10), Some(id(3, 10)));
        assert_eq!(claimed(&usual, 20), Some(id(3, 11)));
        assert_eq!(claimed(&usual, 8), None);
        assert_eq!(claimed(&append(None, &[id(1, 0)]), 5), Some(id(1, 0)));
        assert_eq!(claimed(&append(None, &[]), 5), None);
    }
}
