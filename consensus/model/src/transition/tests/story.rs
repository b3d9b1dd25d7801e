//! A state beside its own replay: what every test applies commands with.

use std::collections::BTreeMap;

use crate::executions::Limits;
use crate::{Applied, COLD_RECORDS, Change, Command, Effect, Outcome, Proposal, RequestId, State};

/// A state and a log beside it: every command's changes are replayed into a second state, which must stay equal.
#[derive(Default)]
pub(super) struct Story {
    pub(super) state: State,
    replayed: State,
    /// The records that the changes leave on a disk.
    pub(super) disk: BTreeMap<Vec<u8>, Vec<u8>>,
    pub(super) now_ms: u64,
}

impl Story {
    pub(super) fn apply(&mut self, command: Command) -> (Outcome, Vec<Effect>) {
        self.apply_request(None, command)
    }

    pub(super) fn apply_request(&mut self, request: Option<RequestId>, command: Command) -> (Outcome, Vec<Effect>) {
        self.apply_proposal(Proposal { request, ..Proposal::internal(command) })
    }

    /// Ten milliseconds after the last one.
    pub(super) fn apply_proposal(&mut self, proposal: Proposal) -> (Outcome, Vec<Effect>) {
        self.now_ms += 10;
        self.apply_proposal_at(&Proposal { stamp_ms: self.now_ms, ..proposal })
    }

    /// With the stamp that it has.
    pub(super) fn apply_proposal_at(&mut self, proposal: &Proposal) -> (Outcome, Vec<Effect>) {
        let applied = self.apply_replaying(proposal);
        self.assert_replayed();
        (applied.outcome, applied.effects)
    }

    /// Without the comparison, which takes as long as the state is large.
    pub(super) fn apply_quickly(&mut self, proposal: &Proposal) {
        self.apply_replaying(proposal);
    }

    pub(super) fn assert_replayed(&self) {
        assert_eq!(self.replayed, self.state, "replaying the changes gives the state");
        let mut loaded = State::new();
        for (key, value) in &self.disk {
            loaded.replay(key, Some(value)).expect("replays");
        }
        assert!(loaded.records().eq(self.state.records()), "and so does reading what they leave on the disk");
    }

    /// So much is kept of executions, and no more.
    pub(super) fn limit_executions(&mut self, limits: Limits) {
        self.state.limit_executions(limits);
        self.replayed.limit_executions(limits);
    }

    fn apply_replaying(&mut self, proposal: &Proposal) -> Applied {
        let proposal = Proposal::decode(&proposal.encode().expect("encodes")).expect("decodes");
        let applied = self.state.apply(&proposal);
        for change in &applied.changes {
            change.carry_out(&mut self.disk);
            match change {
                Change::Put { key, value } => self.replayed.replay(key, Some(value)).expect("replays"),
                Change::Remove { key } => self.replayed.replay(key, None).expect("replays"),
                Change::RemoveRange { from, to } => {
                    let (begin, end) = COLD_RECORDS;
                    assert!(from < to && begin <= &from[..] && &to[..] <= end, "only of what no state holds");
                }
            }
        }
        assert!(applied.outcome.encode().expect("encodes").len() <= 256);
        applied
    }
}
