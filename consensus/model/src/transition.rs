//! One file for each transition: what it reads, what it refuses, what it writes.

mod admit_node;
mod assign_run;
mod cancel_run;
mod clear_executions;
mod create_session;
mod create_token;
mod delete_program;
mod delete_run;
mod delete_session;
mod delete_variable;
mod drain_node;
mod expire_executions;
mod fail_run;
mod forget_node;
mod house_session;
mod interrupt_runs;
mod lease_node;
mod name_cluster;
mod pause_run;
mod put_program;
mod record_executions;
mod record_optimization;
mod record_results;
mod restore;
mod resume_run;
mod retry_run;
mod revoke_token;
mod set_program_status;
mod set_variable;
mod submit_run;
mod submit_shipped_run;
mod update_session;
mod weigh_run;
mod write_executed;

pub(crate) use admit_node::admit_node;
pub(crate) use assign_run::assign_run;
pub(crate) use cancel_run::cancel_run;
pub(crate) use clear_executions::clear_executions;
pub(crate) use create_session::create_session;
pub(crate) use create_token::create_token;
pub(crate) use delete_program::delete_program;
pub(crate) use delete_run::delete_run;
pub(crate) use delete_session::delete_session;
pub(crate) use delete_variable::delete_variable;
pub(crate) use drain_node::drain_node;
pub(crate) use expire_executions::expire_executions;
pub(crate) use fail_run::fail_run;
pub(crate) use forget_node::forget_node;
pub(crate) use house_session::house_session;
pub(crate) use interrupt_runs::interrupt_runs;
pub(crate) use lease_node::lease_node;
pub(crate) use name_cluster::name_cluster;
pub(crate) use pause_run::pause_run;
pub(crate) use put_program::put_program;
pub(crate) use record_executions::record_executions;
pub(crate) use record_optimization::record_optimization;
pub(crate) use record_results::record_results;
pub(crate) use restore::restore;
pub(crate) use resume_run::resume_run;
pub(crate) use retry_run::retry_run;
pub(crate) use revoke_token::revoke_token;
pub(crate) use set_program_status::set_program_status;
pub(crate) use set_variable::set_variable;
pub(crate) use submit_run::submit_run;
pub(crate) use submit_shipped_run::submit_shipped_run;
pub(crate) use update_session::update_session;
pub(crate) use weigh_run::weigh_run;
pub use write_executed::EXECUTED_BYTES_MAX;
pub(crate) use write_executed::write_executed;

use std::collections::BTreeMap;

use crate::record::{Key, Record};
use crate::state::Decision;
use crate::{
    Digest, Effect, NodeId, Outcome, Program, ProgramId, ProgramKey, Rejection, Run, RunId, RunProgress, RunStatus,
    SESSION_BYTES_MAX, SESSIONS_TOTAL_BYTES_MAX, Session, SessionId, SessionVersion, State,
};

/// Longer reasons are cut: they live in the replicated state.
const REASON_BYTES_MAX: usize = 1024;

/// The same of names of tokens.
const ACTOR_BYTES_MAX: usize = 256;

fn rejected(rejection: Rejection) -> Decision {
    Decision::new(Outcome::Rejected(rejection))
}

fn running(state: &State, id: RunId) -> Result<&Run, Rejection> {
    let run = state.run(id).ok_or(Rejection::RunNotFound(id))?;
    match run.progress.status {
        RunStatus::Running => Ok(run),
        status => Err(Rejection::RunNotRunning(status)),
    }
}

/// A paused run may still have examples under way.
fn under_way(state: &State, id: RunId) -> Result<&Run, Rejection> {
    let run = state.run(id).ok_or(Rejection::RunNotFound(id))?;
    match run.progress.status {
        status if status.is_under_way() => Ok(run),
        status => Err(Rejection::RunNotRunning(status)),
    }
}

/// A run goes no further, unless somebody goes on with it; `effect` says what its workers do.
fn stopped(id: RunId, progress: RunProgress, effect: Effect) -> Decision {
    Decision::new(Outcome::Done).write(Record::RunProgress(id, Box::new(progress))).effect(effect)
}

/// The progress of a run that is under way again, under a new epoch. What it has, it keeps.
fn resumed(state: &State, run: &Run, owner: NodeId, detached: bool) -> RunProgress {
    let mut progress = run.progress.clone();
    progress.status = RunStatus::Running;
    progress.reason = String::new();
    progress.detached = detached;
    progress.owner = owner;
    progress.epoch += 1;
    progress.resumed_ms = state.log_time_ms();
    progress.ended_ms = 0;
    progress
}

/// What is removed where a node takes work again, if it does not now.
fn drained(state: &State, node: NodeId) -> Option<Key> {
    state.is_draining(node).then_some(Key::Draining(node))
}

/// The progress of a run whose stretch of execution ends now.
fn ended(state: &State, run: &Run, status: RunStatus, reason: &str) -> RunProgress {
    ended_at(state.log_time_ms(), run, status, reason)
}

fn ended_at(now_ms: u64, run: &Run, status: RunStatus, reason: &str) -> RunProgress {
    let mut progress = run.progress.clone();
    progress.executed_ms = run.executed_ms(now_ms);
    progress.status = status;
    progress.reason = cut(reason).to_owned();
    progress.ended_ms = now_ms;
    progress
}

/// The session, where it stands at the version that the caller saw.
fn session_at<'a>(state: &'a State, id: &SessionId, expected: Option<u64>) -> Result<&'a Session, Rejection> {
    let session = state.session(id).ok_or(Rejection::SessionNotFound)?;
    let current = session.info.version;
    match expected {
        Some(expected) if expected != current => Err(Rejection::VersionConflict { current }),
        _ => Ok(session),
    }
}

/// Whether there is room for another version.
fn session_fits(state: &State, version: &SessionVersion) -> Result<(), Rejection> {
    let (bytes, limit) = (version.data.bytes(), SESSION_BYTES_MAX);
    if bytes > limit {
        return Err(Rejection::SessionTooLarge { bytes: bytes as u64, limit: limit as u64 });
    }
    let (bytes, limit) = (state.sessions_weight() + version.weight(), SESSIONS_TOTAL_BYTES_MAX);
    if bytes > limit {
        return Err(Rejection::SessionsFull { bytes, limit });
    }
    Ok(())
}

/// Every record of a session, whether or not its time is over.
fn session_keys(state: &State, id: &SessionId) -> Vec<Key> {
    let Some(session) = state.held_session(id) else { return Vec::new() };
    let versions = session.versions().map(|(number, _)| Key::SessionVersion(id.clone(), number));
    let home = session.home.map(|_| Key::SessionHome(id.clone()));
    versions.chain(home).chain([Key::Session(id.clone())]).collect()
}

/// A session leaves with its programs, whether or not its time is over.
pub(crate) fn without_session(state: &State, id: &SessionId) -> Decision {
    let programs: Vec<ProgramId> = state.held_programs(id).map(|(program, _)| program).collect();
    let mut decision = without_programs(state, &programs);
    decision.removed.extend(session_keys(state, id));
    decision
}

/// Programs leave with all that is kept of them, and blobs that nothing but they named may go.
fn without_programs(state: &State, programs: &[ProgramId]) -> Decision {
    let mut decision = Decision::new(Outcome::Done);
    let mut named: BTreeMap<Digest, u32> = BTreeMap::new();
    for id in programs {
        decision.removed.extend(state.program_keys(*id));
        let blobs = state.held_program(*id).into_iter().flat_map(Program::blobs);
        blobs.for_each(|digest| *named.entry(digest).or_default() += 1);
    }
    let free = named.into_iter().filter(|(digest, count)| state.programs_naming(digest) == *count);
    decision.effects.extend(free.map(|(digest, _)| Effect::FreeBlob { digest }));
    decision
}

/// The program, where it stands at the version that the caller saw.
fn program_at<'a>(
    state: &'a State,
    key: &ProgramKey,
    expected: Option<u64>,
) -> Result<(ProgramId, &'a Program), Rejection> {
    let (id, program) = state.program(key).ok_or(Rejection::ProgramNotFound)?;
    let current = program.info.version;
    match expected {
        Some(expected) if expected != current => Err(Rejection::ProgramConflict { current }),
        _ => Ok((id, program)),
    }
}

/// Who writes, as it is kept beside what was written. Nobody is asked for by the cluster itself.
fn actor(by: Option<&str>) -> String {
    let by = by.unwrap_or_default();
    by[..by.floor_char_boundary(ACTOR_BYTES_MAX)].to_owned()
}

fn cut(text: &str) -> &str {
    &text[..text.floor_char_boundary(REASON_BYTES_MAX)]
}

#[cfg(test)]
pub(crate) mod tests;
