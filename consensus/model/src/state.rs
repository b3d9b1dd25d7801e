//! The replicated state, and the one way in which it changes while there is a log.

mod decision;
mod expiry;
mod programs;
mod reading;
mod records;

use std::collections::{BTreeMap, VecDeque};

use crate::executions::Executions;
use crate::programs::Programs;
use crate::record::{Change, Key, Record};
use crate::request;
use crate::sessions::Sessions;
use crate::tokens::Tokens;
use crate::transition;
use crate::variables::Variables;
use crate::{
    AuditEntry, ClusterInfo, Command, Effect, NodeId, NodeLease, NodeRecord, Outcome, Proposal, Rejection, RequestId,
    Run, RunId, audit,
};
pub(crate) use decision::Decision;

/// What every node holds equal at an equal log index. Kept in memory; its records lie in the state store.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct State {
    log_time_ms: u64,
    runs: BTreeMap<RunId, Run>,
    requests: BTreeMap<RequestId, Outcome>,
    /// What the executions among the requests gave.
    executed: BTreeMap<RequestId, Vec<u8>>,
    cluster: Option<ClusterInfo>,
    nodes: BTreeMap<NodeId, NodeRecord>,
    leases: BTreeMap<NodeId, NodeLease>,
    /// Since when they take nothing new, in log time.
    draining: BTreeMap<NodeId, u64>,
    tokens: Tokens,
    sessions: Sessions,
    programs: Programs,
    variables: Variables,
    audit: VecDeque<(u64, AuditEntry)>,
    executions: Executions,
}

/// What applying a proposal gave.
#[derive(Clone, Debug, PartialEq)]
pub struct Applied {
    /// The answer to the proposer.
    pub outcome: Outcome,
    /// Who has to act now.
    pub effects: Vec<Effect>,
    /// Records to write; replaying them on the state before gives the state after.
    pub changes: Vec<Change>,
}

impl State {
    /// The state before the first entry.
    pub fn new() -> Self {
        Self::default()
    }

    /// Applies a proposal: deterministic, a function of the state and the proposal alone.
    pub fn apply(&mut self, proposal: &Proposal) -> Applied {
        let before_ms = self.log_time_ms;
        let log_time_ms = before_ms.max(proposal.stamp_ms);
        let mut changes = Vec::new();
        self.write(Record::LogTime(log_time_ms), &mut changes);
        let known = proposal.request.and_then(|id| request::known_outcome(self, id));
        let (outcome, mut effects) = match known {
            Some(outcome) => (outcome, Vec::new()),
            None => self.execute(proposal, before_ms, &mut changes),
        };
        self.evict_requests(&mut changes);
        effects.extend(self.expire_run(&mut changes));
        if let Some(decision) = transition::expire_executions(self) {
            effects.extend(self.carry_out(decision, &mut changes).1);
        }
        effects.extend(self.expire_sessions(proposal.command == Command::Tick, &mut changes));
        Applied { outcome, effects, changes }
    }

    fn execute(&mut self, proposal: &Proposal, before_ms: u64, changes: &mut Vec<Change>) -> (Outcome, Vec<Effect>) {
        let decision = self.decide(proposal, before_ms);
        let (outcome, effects) = self.carry_out(decision, changes);
        // Where a session has moved, the same request is executed once more by its new home.
        if let Some(id) = proposal.request
            && !matches!(outcome, Outcome::Rejected(Rejection::SessionMoved(_)))
        {
            self.write(Record::Request(id, outcome.clone()), changes);
        }
        if let Some(actor) = &proposal.actor {
            self.note(actor, &proposal.command, &outcome, changes);
        }
        (outcome, effects)
    }

    fn carry_out(&mut self, decision: Decision, changes: &mut Vec<Change>) -> (Outcome, Vec<Effect>) {
        for key in decision.removed_before {
            self.remove(key, changes);
        }
        for record in decision.written {
            self.write(record, changes);
        }
        for key in decision.removed {
            self.remove(key, changes);
        }
        changes.extend(decision.cold);
        (decision.outcome, decision.effects)
    }

    /// The state that a new cluster with this id begins with when it is made of a snapshot of this one: without the nodes of
    /// the old cluster, and with no run under way. `actor` stands in the audit trail.
    ///
    /// Not a command: a new cluster has no log yet, and no node may ever hold the state of the old one under the new id.
    #[must_use]
    pub fn restored(mut self, cluster: &str, actor: &str) -> Self {
        let source = self.cluster.as_ref().map_or("a node without a cluster", |known| known.id.as_str()).to_owned();
        let decision = transition::restore(&self, cluster);
        // All records are written anew, so nobody asks which of them have changed.
        let mut changes = Vec::new();
        let (outcome, _) = self.carry_out(decision, &mut changes);
        let noted = Command::Audit { action: "snapshot restore".to_owned(), subject: format!("from {source}") };
        self.note(actor, &noted, &outcome, &mut changes);
        self
    }

    /// Puts a change into the audit trail, if it belongs there; the oldest entry makes way.
    fn note(&mut self, actor: &str, command: &Command, outcome: &Outcome, changes: &mut Vec<Change>) {
        let Some(entry) = audit::entry(self.log_time_ms, actor, command, outcome) else { return };
        let number = self.audit.back().map_or(1, |(last, _)| last + 1);
        self.write(Record::Audit(number, entry), changes);
        if self.audit.len() > audit::AUDIT_ENTRIES_MAX
            && let Some((oldest, _)) = self.audit.front()
        {
            self.remove(Key::Audit(*oldest), changes);
        }
    }
}
