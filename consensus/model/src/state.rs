//! The replicated state, and the one way in which it changes.

use std::collections::BTreeMap;

use crate::codec::CodecError;
use crate::record::{Change, Key, Record};
use crate::request::{self, EVICTED_PER_APPLY};
use crate::transition;
use crate::{Command, Digest, Effect, NodeId, Outcome, Proposal, RequestId, Run, RunId, RunStatus};

/// What every node holds equal at an equal log index. Kept in memory; its records lie in the state store.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct State {
    log_time_ms: u64,
    runs: BTreeMap<RunId, Run>,
    requests: BTreeMap<RequestId, Outcome>,
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
    pub(crate) written: Vec<Record>,
    pub(crate) removed: Vec<Key>,
}

impl Decision {
    pub(crate) fn new(outcome: Outcome) -> Self {
        Self { outcome, effects: Vec::new(), written: Vec::new(), removed: Vec::new() }
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
        Applied { outcome, effects, changes }
    }

    fn execute(&mut self, proposal: &Proposal, before_ms: u64, changes: &mut Vec<Change>) -> (Outcome, Vec<Effect>) {
        let decision = self.decide(&proposal.command, before_ms);
        for record in decision.written {
            self.write(record, changes);
        }
        for key in decision.removed {
            self.remove(key, changes);
        }
        if let Some(id) = proposal.request {
            self.write(Record::Request(id, decision.outcome.clone()), changes);
        }
        (decision.outcome, decision.effects)
    }

    fn decide(&self, command: &Command, before_ms: u64) -> Decision {
        match command {
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
        }
    }

    /// Takes a stored record up again; `None` means that it was removed.
    pub fn replay(&mut self, key: &[u8], value: Option<&[u8]>) -> Result<(), CodecError> {
        let key = Key::decode(key)?;
        match value {
            Some(value) => self.absorb(Record::decode(key, value)?),
            None => self.forget(key),
        }
        Ok(())
    }

    /// Every record of the state, in the order of their keys.
    pub fn records(&self) -> impl Iterator<Item = (Vec<u8>, Vec<u8>)> {
        let time = (self.log_time_ms > 0).then_some(Record::LogTime(self.log_time_ms));
        let specs = self.runs.iter().map(|(&id, run)| Record::RunSpec(id, Box::new(run.spec.clone())));
        let progress = self.runs.iter().map(|(&id, run)| Record::RunProgress(id, Box::new(run.progress.clone())));
        let results = self.runs.iter().flat_map(|(&id, run)| {
            let present = (0u32..).zip(&run.results);
            present.filter_map(move |(index, result)| Some(Record::RunResult(id, index, result.clone()?)))
        });
        let requests = self.requests.iter().map(|(&id, outcome)| Record::Request(id, outcome.clone()));
        time.into_iter()
            .chain(specs)
            .chain(progress)
            .chain(results)
            .chain(requests)
            .map(|record| (record.key().encode(), record.encode()))
    }

    /// A digest of all records: equal on every node at an equal index.
    pub fn digest(&self) -> Digest {
        let mut bytes = Vec::new();
        for (key, value) in self.records() {
            bytes.extend_from_slice(&(key.len() as u64).to_be_bytes());
            bytes.extend_from_slice(&key);
            bytes.extend_from_slice(&(value.len() as u64).to_be_bytes());
            bytes.extend_from_slice(&value);
        }
        Digest::of(&bytes)
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

    /// A run.
    pub fn run(&self, run: RunId) -> Option<&Run> {
        self.runs.get(&run)
    }

    /// All runs, oldest first.
    pub fn runs(&self) -> impl DoubleEndedIterator<Item = (RunId, &Run)> {
        self.runs.iter().map(|(&id, run)| (id, run))
    }

    pub(crate) fn request_outcome(&self, id: RequestId) -> Option<&Outcome> {
        self.requests.get(&id)
    }

    fn write(&mut self, record: Record, changes: &mut Vec<Change>) {
        changes.push(Change { key: record.key().encode(), value: Some(record.encode()) });
        self.absorb(record);
    }

    fn remove(&mut self, key: Key, changes: &mut Vec<Change>) {
        changes.push(Change { key: key.encode(), value: None });
        self.forget(key);
    }

    fn evict_requests(&mut self, changes: &mut Vec<Change>) {
        let old: Vec<RequestId> = self
            .requests
            .keys()
            .take(EVICTED_PER_APPLY)
            .filter(|id| request::is_too_old(self.log_time_ms, **id))
            .copied()
            .collect();
        for id in old {
            self.remove(Key::Request(id), changes);
        }
    }

    /// Removes one run that ended longer ago than runs are kept. Only the oldest is looked at, so that an apply stays short.
    fn expire_run(&mut self, changes: &mut Vec<Change>) -> Vec<Effect> {
        let Some((&id, run)) = self.runs.first_key_value() else {
            return Vec::new();
        };
        if !run.is_expired(self.log_time_ms) {
            return Vec::new();
        }
        let decision = transition::delete_run(self, id);
        for key in decision.removed {
            self.remove(key, changes);
        }
        decision.effects
    }

    fn absorb(&mut self, record: Record) {
        match record {
            Record::LogTime(time) => self.log_time_ms = time,
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
            Record::Request(id, outcome) => {
                self.requests.insert(id, outcome);
            }
        }
    }

    fn forget(&mut self, key: Key) {
        match key {
            Key::LogTime => self.log_time_ms = 0,
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
            Key::Request(id) => {
                self.requests.remove(&id);
            }
        }
    }
}
