//! The replicated state, and the one way in which it changes while there is a log.

mod expiry;
mod programs;

use std::collections::{BTreeMap, VecDeque};

use crate::codec::CodecError;
use crate::executions::{Executions, is_cold};
use crate::programs::Programs;
use crate::record::{Change, Key, Record};
use crate::request;
use crate::sessions::Sessions;
use crate::tokens::Tokens;
use crate::transition;
use crate::variables::Variables;
use crate::{
    AuditEntry, ClusterInfo, Command, Digest, Effect, NodeId, NodeLease, NodeRecord, Outcome, Proposal, Rejection,
    RequestId, Run, RunId, RunStatus, Session, SessionId, Token, TokenId, audit,
};

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

/// What a transition decided: it reads the state and never touches it.
#[derive(Debug)]
pub(crate) struct Decision {
    pub(crate) outcome: Outcome,
    pub(crate) effects: Vec<Effect>,
    /// What makes way for what is written.
    pub(crate) removed_before: Vec<Key>,
    pub(crate) written: Vec<Record>,
    pub(crate) removed: Vec<Key>,
    /// What changes on the disk alone.
    pub(crate) cold: Vec<Change>,
}

impl Decision {
    pub(crate) fn new(outcome: Outcome) -> Self {
        Self {
            outcome,
            effects: Vec::new(),
            removed_before: Vec::new(),
            written: Vec::new(),
            removed: Vec::new(),
            cold: Vec::new(),
        }
    }

    pub(crate) fn effect(mut self, effect: Effect) -> Self {
        self.effects.push(effect);
        self
    }

    pub(crate) fn write(mut self, record: Record) -> Self {
        self.written.push(record);
        self
    }
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

    fn decide(&self, proposal: &Proposal, before_ms: u64) -> Decision {
        let by = proposal.actor.as_deref();
        match &proposal.command {
            Command::Tick => Decision::new(Outcome::Done),
            Command::SubmitRun(submission) => transition::submit_run(self, submission),
            Command::RecordResults { run, generation, names, results } => {
                transition::record_results(self, *run, *generation, names, results)
            }
            Command::FailRun { run, epoch, reason } => transition::fail_run(self, *run, *epoch, reason),
            Command::CancelRun { run, reason } => transition::cancel_run(self, *run, reason),
            Command::InterruptRuns { node } => transition::interrupt_runs(self, *node, before_ms),
            Command::ResumeRun { run, owner, detached } => transition::resume_run(self, *run, *owner, *detached),
            Command::DeleteRun { run } => transition::delete_run(self, *run),
            Command::NameCluster { id } => transition::name_cluster(self, id),
            Command::AdmitNode { node, info } => transition::admit_node(self, *node, info),
            Command::ForgetNode { node } => transition::forget_node(self, *node),
            Command::CreateToken(token) => transition::create_token(self, token),
            Command::RevokeToken { token } => transition::revoke_token(self, *token),
            Command::CreateSession { session, ttl_ms, data } => {
                transition::create_session(self, session, *ttl_ms, data)
            }
            Command::UpdateSession { session, expected_version, change, ttl_ms } => {
                transition::update_session(self, session, *expected_version, change, *ttl_ms)
            }
            Command::DeleteSession { session, expected_version } => {
                transition::delete_session(self, session, *expected_version)
            }
            Command::Audit { .. } => Decision::new(Outcome::Done),
            Command::HouseSession { session, node, expected_epoch } => {
                transition::house_session(self, session, *node, *expected_epoch)
            }
            Command::WriteExecuted(executed) => transition::write_executed(self, executed, proposal.request),
            Command::RecordExecutions { executions } => transition::record_executions(self, executions),
            Command::ClearExecutions => transition::clear_executions(self),
            Command::PutProgram(put) => transition::put_program(self, put, by),
            Command::SetProgramStatus { key, expected_version, status } => {
                transition::set_program_status(self, key, *expected_version, *status)
            }
            Command::DeleteProgram { key, expected_version } => {
                transition::delete_program(self, key, *expected_version)
            }
            Command::RecordOptimization(new) => transition::record_optimization(self, new, by),
            Command::SetVariable { name, expected_version, value } => {
                transition::set_variable(self, name, *expected_version, value, by)
            }
            Command::DeleteVariable { name, expected_version } => {
                transition::delete_variable(self, name, *expected_version)
            }
            Command::SubmitShippedRun { submission, shipped } => {
                transition::submit_shipped_run(self, submission, shipped)
            }
            Command::AssignRun { run, owner, expected_epoch } => {
                transition::assign_run(self, *run, *owner, *expected_epoch)
            }
            Command::PauseRun { run } => transition::pause_run(self, *run),
            Command::WeighRun { run, weight } => transition::weigh_run(self, *run, *weight),
            Command::RetryRun { run, owner, detached } => transition::retry_run(self, *run, *owner, *detached),
            Command::LeaseNode { node, info, ttl_ms } => transition::lease_node(self, *node, info, *ttl_ms),
            Command::DrainNode { node, drain } => transition::drain_node(self, *node, *drain),
        }
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

    /// Takes a stored record up again; `None` means that it was removed. One that stays on the disk is passed over.
    pub fn replay(&mut self, key: &[u8], value: Option<&[u8]>) -> Result<(), CodecError> {
        if is_cold(key) {
            return Ok(());
        }
        let key = Key::decode(key)?;
        match value {
            Some(value) => self.absorb(Record::decode(key, value)?),
            None => self.forget(key),
        }
        Ok(())
    }

    /// Every record that the state holds, in the order of their keys: all but those of [`COLD_RECORDS`](crate::COLD_RECORDS).
    pub fn records(&self) -> impl Iterator<Item = (Vec<u8>, Vec<u8>)> {
        let time = (self.log_time_ms > 0).then_some(Record::LogTime(self.log_time_ms));
        let cluster = self.cluster.clone().map(Record::Cluster);
        let nodes = self.nodes.iter().map(|(&id, node)| Record::Node(id, node.clone()));
        let leases = self.leases.iter().map(|(&id, lease)| Record::NodeLease(id, lease.clone()));
        let draining = self.draining.iter().map(|(&id, &since_ms)| Record::Draining(id, since_ms));
        let tokens = self.tokens.iter().map(|(id, token)| Record::Token(id, token.clone()));
        let audit = self.audit.iter().map(|(number, entry)| Record::Audit(*number, entry.clone()));
        let specs = self.runs.iter().map(|(&id, run)| Record::RunSpec(id, Box::new(run.spec.clone())));
        let progress = self.runs.iter().map(|(&id, run)| Record::RunProgress(id, Box::new(run.progress.clone())));
        let results = self.runs.iter().flat_map(|(&id, run)| {
            let present = (0u32..).zip(&run.results);
            present.filter_map(move |(index, result)| Some(Record::RunResult(id, index, result.clone()?)))
        });
        let attempts = self.runs.iter().flat_map(|(&id, run)| {
            run.attempts.iter().map(move |(&index, &attempts)| Record::RunAttempts(id, index, attempts))
        });
        let weights = self.runs.iter().filter(|(_, run)| run.weight != 1);
        let weights = weights.map(|(&id, run)| Record::RunWeight(id, run.weight));
        let requests = self.requests.iter().map(|(&id, outcome)| Record::Request(id, outcome.clone()));
        let sessions = self.sessions.iter().map(|(id, session)| Record::Session(id.clone(), session.info));
        let versions = self.sessions.iter().flat_map(|(id, session)| {
            session.versions().map(|(number, version)| Record::SessionVersion(id.clone(), number, version.clone()))
        });
        let homes =
            self.sessions.iter().filter_map(|(id, session)| Some(Record::SessionHome(id.clone(), session.home?)));
        let executed = self.executed.iter().map(|(&id, result)| Record::Executed(id, result.clone()));
        let head = self.executions.head().map(Record::ExecutionsHead);
        let segments = self.executions.segments().map(|(first, segment)| Record::ExecutionSegment(first, segment));
        let recent = self.executions.recent().map(|(first, ids)| Record::RecentExecutions(first, ids.clone()));
        time.into_iter()
            .chain(cluster)
            .chain(nodes)
            .chain(tokens)
            .chain(audit)
            .chain(leases)
            .chain(draining)
            .chain(specs)
            .chain(progress)
            .chain(results)
            .chain(attempts)
            .chain(weights)
            .chain(requests)
            .chain(sessions)
            .chain(versions)
            .chain(homes)
            .chain(executed)
            .chain(self.programs.records())
            .chain(self.variables.records())
            .chain(head)
            .chain(segments)
            .chain(recent)
            .map(|record| (record.key().encode(), record.encode()))
    }

    /// A digest of all records: equal on every node at an equal index. Those that stay on the disk are in it by their chain.
    pub fn digest(&self) -> Digest {
        Digest::of_parts(self.records().flat_map(|(key, value)| {
            let lengths = [key.len(), value.len()].map(|length| (length as u64).to_be_bytes().to_vec());
            let [key_length, value_length] = lengths;
            [key_length, key, value_length, value]
        }))
    }

    /// The runs that `node` has to execute, derived from the state alone: of the effects of the log only `OwnRun`s.
    pub fn pending(&self, node: NodeId) -> Vec<Effect> {
        let owned = |(&run, held): (&RunId, &Run)| {
            let progress = &held.progress;
            let mine = progress.status == RunStatus::Running && progress.owner == node;
            mine.then_some(Effect::OwnRun { owner: node, run, epoch: progress.epoch })
        };
        self.runs.iter().filter_map(owned).collect()
    }

    /// Log time in Unix milliseconds: every expiry is judged by it.
    pub fn log_time_ms(&self) -> u64 {
        self.log_time_ms
    }

    /// Every blob that the state refers to; one may come more than once.
    pub fn blobs(&self) -> impl Iterator<Item = Digest> {
        self.runs.values().flat_map(Run::blobs).chain(self.programs.blobs())
    }

    /// A run.
    pub fn run(&self, run: RunId) -> Option<&Run> {
        self.runs.get(&run)
    }

    /// All runs, oldest first.
    pub fn runs(&self) -> impl DoubleEndedIterator<Item = (RunId, &Run)> {
        self.runs.iter().map(|(&id, run)| (id, run))
    }

    /// The cluster that the log belongs to, once it has one.
    pub fn cluster(&self) -> Option<&ClusterInfo> {
        self.cluster.as_ref()
    }

    /// A node.
    pub fn node(&self, node: NodeId) -> Option<&NodeRecord> {
        self.nodes.get(&node)
    }

    /// A node without a vote, whether or not its lease holds.
    pub fn lease(&self, node: NodeId) -> Option<&NodeLease> {
        self.leases.get(&node)
    }

    /// All nodes without a vote.
    pub fn leases(&self) -> impl Iterator<Item = (NodeId, &NodeLease)> {
        self.leases.iter().map(|(&id, lease)| (id, lease))
    }

    /// Nodes that take nothing new, and since when, in log time.
    pub fn draining(&self) -> impl Iterator<Item = (NodeId, u64)> {
        self.draining.iter().map(|(&id, &since_ms)| (id, since_ms))
    }

    /// Whether the node takes nothing new.
    pub fn is_draining(&self, node: NodeId) -> bool {
        self.draining.contains_key(&node)
    }

    /// All nodes that said who they are.
    pub fn nodes(&self) -> impl Iterator<Item = (NodeId, &NodeRecord)> {
        self.nodes.iter().map(|(&id, node)| (id, node))
    }

    /// A token.
    pub fn token(&self, id: TokenId) -> Option<&Token> {
        self.tokens.get(id)
    }

    /// The token with this digest of its secret, valid or not.
    pub fn token_of(&self, secret: &Digest) -> Option<(TokenId, &Token)> {
        self.tokens.of(secret)
    }

    /// All tokens, revoked ones included.
    pub fn tokens(&self) -> impl Iterator<Item = (TokenId, &Token)> {
        self.tokens.iter()
    }

    /// A session whose time is not over.
    pub fn session(&self, id: &SessionId) -> Option<&Session> {
        self.sessions.get(id).filter(|session| !session.info.is_expired(self.log_time_ms))
    }

    /// Sessions whose time is not over, after this one, in the order of their ids.
    pub fn sessions_after(&self, id: Option<&SessionId>) -> impl Iterator<Item = (&SessionId, &Session)> {
        self.sessions.after(id).filter(|(_, session)| !session.info.is_expired(self.log_time_ms))
    }

    /// How many sessions are held; those whose time is over go one after another.
    pub fn sessions_held(&self) -> usize {
        self.sessions.len()
    }

    /// Sessions that have a home, whether or not their time is over.
    pub(crate) fn housed_sessions(&self) -> impl Iterator<Item = &SessionId> {
        self.sessions.iter().filter(|(_, session)| session.home.is_some()).map(|(id, _)| id)
    }

    /// What all kept versions of all sessions weigh.
    pub(crate) fn sessions_weight(&self) -> u64 {
        self.sessions.weight()
    }

    /// A session, whether or not its time is over.
    pub(crate) fn held_session(&self, id: &SessionId) -> Option<&Session> {
        self.sessions.get(id)
    }

    /// The audit trail, newest first.
    pub fn audit(&self) -> impl Iterator<Item = (u64, &AuditEntry)> {
        self.audit.iter().rev().map(|(number, entry)| (*number, entry))
    }

    /// How many executions are kept, in the order of [`ExecutionStatus::ALL`](crate::ExecutionStatus::ALL).
    pub fn execution_counts(&self) -> [u64; 5] {
        self.executions.counts()
    }

    /// The first number of an execution that is kept.
    pub fn oldest_execution(&self) -> u64 {
        self.executions.oldest()
    }

    pub(crate) fn executions(&self) -> &Executions {
        &self.executions
    }

    #[cfg(test)]
    pub(crate) fn limit_executions(&mut self, limits: crate::executions::Limits) {
        self.executions.limit(limits);
    }

    /// The log time at which something ends by itself, if anything does: a tick is wanted then.
    pub fn next_deadline_ms(&self) -> Option<u64> {
        self.sessions.next_expiry_ms()
    }

    /// What a request that was executed came to, as long as it is known: its outcome, and its result where it is kept.
    pub fn executed(&self, request: RequestId) -> Option<(Outcome, Option<&[u8]>)> {
        let outcome = request::known_outcome(self, request)?;
        Some((outcome, self.executed.get(&request).map(Vec::as_slice)))
    }

    pub(crate) fn request_outcome(&self, id: RequestId) -> Option<&Outcome> {
        self.requests.get(&id)
    }

    fn write(&mut self, record: Record, changes: &mut Vec<Change>) {
        changes.push(Change::Put { key: record.key().encode(), value: record.encode() });
        self.absorb(record);
    }

    fn remove(&mut self, key: Key, changes: &mut Vec<Change>) {
        changes.push(Change::Remove { key: key.encode() });
        self.forget(key);
    }

    fn absorb(&mut self, record: Record) {
        match record {
            Record::LogTime(time) => self.log_time_ms = time,
            Record::Cluster(cluster) => self.cluster = Some(cluster),
            Record::Node(id, node) => {
                self.nodes.insert(id, node);
            }
            Record::NodeLease(id, lease) => {
                self.leases.insert(id, lease);
            }
            Record::Draining(id, since_ms) => {
                self.draining.insert(id, since_ms);
            }
            Record::Token(id, token) => self.tokens.insert(id, token),
            Record::Audit(number, entry) => self.audit.push_back((number, entry)),
            Record::RunSpec(id, spec) => {
                let run = Run::new(*spec);
                self.runs.insert(id, run);
            }
            // Progress and results come after their run's specification, in the log and in the order of keys.
            Record::RunProgress(id, progress) => {
                if let Some(run) = self.runs.get_mut(&id) {
                    run.progress = *progress;
                }
            }
            Record::RunResult(id, index, result) => {
                let place = self.runs.get_mut(&id).and_then(|run| run.results.get_mut(index as usize));
                if let Some(place) = place {
                    *place = Some(result);
                }
            }
            Record::RunAttempts(id, index, attempts) => {
                if let Some(run) = self.runs.get_mut(&id) {
                    run.attempts.insert(index, attempts);
                }
            }
            Record::RunWeight(id, weight) => {
                if let Some(run) = self.runs.get_mut(&id) {
                    run.weight = weight;
                }
            }
            Record::Request(id, outcome) => {
                self.requests.insert(id, outcome);
            }
            Record::Session(id, info) => self.sessions.set_info(id, info),
            // Versions come after their session, in the order of their numbers.
            Record::SessionVersion(id, _, version) => self.sessions.push_version(&id, version),
            Record::SessionHome(id, home) => self.sessions.set_home(&id, Some(home)),
            Record::Executed(id, result) => {
                self.executed.insert(id, result);
            }
            Record::ExecutionsHead(head) => self.executions.set_head(head),
            Record::ExecutionSegment(first, segment) => self.executions.set_segment(first, segment),
            Record::RecentExecutions(first, ids) => self.executions.remember(first, ids),
            Record::Program(id, info) => self.programs.set_info(id, *info),
            // These come after their program, in the order of their numbers.
            Record::ProgramVersion(id, _, version) => self.programs.push_version(id, *version),
            Record::Optimization(id, number, optimization) => {
                self.programs.push_optimization(id, number, *optimization);
            }
            Record::Variable(name, info) => self.variables.set_info(name, info),
            Record::VariableVersion(name, _, version) => self.variables.push_version(&name, version),
        }
    }

    fn forget(&mut self, key: Key) {
        match key {
            Key::LogTime => self.log_time_ms = 0,
            Key::Cluster => self.cluster = None,
            Key::Node(id) => {
                self.nodes.remove(&id);
            }
            Key::NodeLease(id) => {
                self.leases.remove(&id);
            }
            Key::Draining(id) => {
                self.draining.remove(&id);
            }
            Key::Token(id) => self.tokens.remove(id),
            // Only the oldest ever goes.
            Key::Audit(_) => {
                self.audit.pop_front();
            }
            Key::RunSpec(id) => {
                self.runs.remove(&id);
            }
            // They go with the specification.
            Key::RunProgress(_) => {}
            Key::RunResult(id, index) => {
                let place = self.runs.get_mut(&id).and_then(|run| run.results.get_mut(index as usize));
                if let Some(place) = place {
                    *place = None;
                }
            }
            // They go with the specification.
            Key::RunAttempts(..) | Key::RunWeight(_) => {}
            Key::Request(id) => {
                self.requests.remove(&id);
            }
            Key::Session(id) => self.sessions.remove(&id),
            // Only the oldest ever goes, or all in their order.
            Key::SessionVersion(id, _) => self.sessions.forget_oldest_version(&id),
            Key::SessionHome(id) => self.sessions.set_home(&id, None),
            Key::Executed(id) => {
                self.executed.remove(&id);
            }
            // It is written only.
            Key::ExecutionsHead => {}
            Key::ExecutionSegment(first) => self.executions.remove_segment(first),
            Key::RecentExecutions(first) => self.executions.forget(first),
            Key::Program(id) => self.programs.remove(id),
            Key::ProgramVersion(id, _) => self.programs.forget_oldest_version(id),
            Key::Optimization(id, _) => self.programs.forget_oldest_optimization(id),
            Key::Variable(name) => self.variables.remove(&name),
            Key::VariableVersion(name, _) => self.variables.forget_oldest_version(&name),
        }
    }
}
