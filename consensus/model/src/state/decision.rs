//! What a command comes to, decided without a change: one transition for each.

use super::State;
use crate::record::{Change, Key, Record};
use crate::{Command, Effect, Outcome, Proposal, transition};

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
    pub(super) fn decide(&self, proposal: &Proposal, before_ms: u64) -> Decision {
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
}
