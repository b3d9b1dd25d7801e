//! What the state says: of runs, nodes, tokens, sessions, executions and requests.

use super::State;
use crate::executions::Executions;
use crate::{
    AuditEntry, ClusterInfo, Digest, Effect, NodeId, NodeLease, NodeRecord, Outcome, RequestId, Run, RunId, RunStatus,
    Session, SessionId, Token, TokenId, request,
};

impl State {
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
        // A lease that has ended stays for people to see, and asks for no tick any more.
        let holding = self.leases.values().filter(|lease| lease.holds(self.log_time_ms));
        holding.map(|lease| lease.until_ms).chain(self.sessions.next_expiry_ms()).min()
    }

    /// What a request that was executed came to, as long as it is known: its outcome, and its result where it is kept.
    pub fn executed(&self, request: RequestId) -> Option<(Outcome, Option<&[u8]>)> {
        let outcome = request::known_outcome(self, request)?;
        Some((outcome, self.executed.get(&request).map(Vec::as_slice)))
    }

    pub(crate) fn request_outcome(&self, id: RequestId) -> Option<&Outcome> {
        self.requests.get(&id)
    }
}
