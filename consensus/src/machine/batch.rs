//! Entries that are applied together.

use std::io;

use dspex_model::{Change, Proposal, State};
use openraft::EntryPayload;
use openraft::entry::RaftEntry;
use openraft::storage::ApplyResponder;

use crate::effects::EffectBatch;
use crate::types::{EncodedProposal, Entry, LogId, Reply, StoredMembership, Types};

/// Bounds the memory of a batch and how long readers wait for it.
const ENTRIES_MAX: usize = 512;
const BYTES_MAX: usize = 4 * 1024 * 1024;

/// Decoded entries that wait to be applied.
#[derive(Default)]
pub(super) struct Batch {
    proposals: Vec<(u64, Option<Proposal>, Option<ApplyResponder<Types>>)>,
    membership: Option<StoredMembership>,
    bytes: usize,
    pub(super) last: Option<LogId>,
}

/// What applying a batch gave.
pub(super) struct Finished {
    pub(super) changes: Vec<Change>,
    pub(super) effects: Vec<EffectBatch>,
    pub(super) membership: Option<StoredMembership>,
    pub(super) replies: Vec<(ApplyResponder<Types>, Reply)>,
}

impl Batch {
    pub(super) fn push(&mut self, entry: Entry, responder: Option<ApplyResponder<Types>>) -> io::Result<()> {
        let log_id = entry.log_id();
        let proposal = match entry.payload {
            EntryPayload::Blank => None,
            EntryPayload::Normal(EncodedProposal(bytes)) => {
                self.bytes += bytes.len();
                Some(Proposal::decode(&bytes).map_err(|error| {
                    io::Error::new(io::ErrorKind::InvalidData, format!("log entry {}: {error}", log_id.index))
                })?)
            }
            EntryPayload::Membership(membership) => {
                self.membership = Some(StoredMembership::new(Some(log_id), membership));
                None
            }
        };
        self.proposals.push((log_id.index, proposal, responder));
        self.last = Some(log_id);
        Ok(())
    }

    pub(super) fn is_full(&self) -> bool {
        self.proposals.len() >= ENTRIES_MAX || self.bytes >= BYTES_MAX
    }

    pub(super) fn apply(self, state: &mut State) -> Finished {
        let mut finished = Finished {
            changes: Vec::new(),
            effects: Vec::new(),
            membership: self.membership,
            replies: Vec::with_capacity(self.proposals.len()),
        };
        for (index, proposal, responder) in self.proposals {
            let outcome = proposal.map(|proposal| {
                let applied = state.apply(&proposal);
                finished.changes.extend(applied.changes);
                if !applied.effects.is_empty() {
                    finished.effects.push(EffectBatch { index, effects: applied.effects });
                }
                applied.outcome
            });
            if let Some(responder) = responder {
                finished.replies.push((responder, Reply(outcome)));
            }
        }
        finished
    }
}
