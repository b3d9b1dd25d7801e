//! The state as records: each change is one, and all of them, replayed in the order of their keys, give the state again.

use super::State;
use crate::codec::CodecError;
use crate::executions::is_cold;
use crate::record::{Change, Key, Record};
use crate::{Digest, ExampleResult, Run, RunId};

impl State {
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

    pub(super) fn write(&mut self, record: Record, changes: &mut Vec<Change>) {
        changes.push(Change::Put { key: record.key().encode(), value: record.encode() });
        self.absorb(record);
    }

    pub(super) fn remove(&mut self, key: Key, changes: &mut Vec<Change>) {
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
            Record::RunProgress(id, progress) => self.change_run(id, |run| run.progress = *progress),
            Record::RunResult(id, index, result) => self.change_result(id, index, Some(result)),
            Record::RunAttempts(id, index, attempts) => self.change_run(id, |run| {
                run.attempts.insert(index, attempts);
            }),
            Record::RunWeight(id, weight) => self.change_run(id, |run| run.weight = weight),
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
            Key::RunResult(id, index) => self.change_result(id, index, None),
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

    /// Progress and results come after their run's specification, in the log and in the order of keys.
    fn change_run(&mut self, id: RunId, change: impl FnOnce(&mut Run)) {
        if let Some(run) = self.runs.get_mut(&id) {
            change(run);
        }
    }

    fn change_result(&mut self, id: RunId, index: u32, result: Option<ExampleResult>) {
        let place = self.runs.get_mut(&id).and_then(|run| run.results.get_mut(index as usize));
        if let Some(place) = place {
            *place = result;
        }
    }
}
