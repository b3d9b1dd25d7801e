//! A node's part of a run that another node owns: a double of `actors/src/hosting/hosted.rs`.

use std::collections::BTreeMap;

use dspex_model::{Employment, EndedBy, ExecutedExample, RunStatus, WorkOrder, WorkReport};

use super::acts::{Act, Hands, Part, ProcessId, Recorded, Recording, Said, Teller};
use super::plan::{Assignment, WorkerKey};
use super::subject::Subject;

#[derive(Debug)]
pub(super) struct Hosted {
    part: Part,
    generation: u64,
    workers: BTreeMap<WorkerKey, Hired>,
}

#[derive(Debug)]
struct Hired {
    process: ProcessId,
    held: usize,
    is_orphan: bool,
}

impl Hosted {
    pub(super) fn new(part: Part) -> Self {
        Self { part, generation: 0, workers: BTreeMap::new() }
    }

    pub(super) fn order(&mut self, order: WorkOrder, next_process: &mut ProcessId, acts: &mut Vec<Act>) {
        match order {
            WorkOrder::Employ(employment) => self.employ(&employment, next_process, acts),
            WorkOrder::Execute { worker, examples } => {
                let Some(hired) = self.workers.get_mut(&worker) else { return };
                hired.held += examples.len();
                let examples =
                    examples.iter().map(|one| Assignment { index: one.index, attempt: one.attempt }).collect();
                acts.push(Act::Execute { process: hired.process, examples });
            }
            WorkOrder::Kill { worker } | WorkOrder::Finish { worker } => {
                if let Some(hired) = self.workers.get(&worker) {
                    acts.push(Act::Kill { process: hired.process, says: true });
                }
            }
            WorkOrder::Ping { .. } | WorkOrder::Answer { .. } | WorkOrder::Threads { .. } | WorkOrder::Weigh { .. } => {
            }
        }
    }

    fn employ(&mut self, employment: &Employment, next_process: &mut ProcessId, acts: &mut Vec<Act>) {
        self.generation = employment.generation;
        *next_process += 1;
        let (process, key) = (*next_process, employment.worker);
        acts.push(Act::Launch {
            process,
            threads: employment.threads as usize,
            hands: Hands::Hosted { part: self.part, key },
        });
        self.workers.insert(key, Hired { process, held: 0, is_orphan: false });
    }

    pub(super) fn hear(&mut self, worker: WorkerKey, said: Said, chance: u64, acts: &mut Vec<Act>) {
        match said {
            Said::Ready => self.report(WorkReport::Ready { worker, sources: Vec::new() }, acts),
            Said::Executed { held, duration_us } => self.executed(worker, (held, duration_us), chance, acts),
            Said::Ended => {
                if self.workers.remove(&worker).is_some() {
                    let (message, output) = ("it ended".to_owned(), String::new());
                    let by = EndedBy::Itself;
                    self.report(WorkReport::Ended { worker, message, output, by, is_refused: false }, acts);
                }
            }
        }
    }

    fn executed(
        &mut self,
        worker: WorkerKey,
        (held, duration_us): (Assignment, u64),
        chance: u64,
        acts: &mut Vec<Act>,
    ) {
        let Some(hired) = self.workers.get_mut(&worker) else { return };
        hired.held = hired.held.saturating_sub(1);
        let result = Subject::result(held.index, held.attempt, self.generation, chance);
        let score = result.result.score.value;
        let example = ExecutedExample { index: held.index, duration_us, score, failure: None, tokens: None };
        // First: the owner hears of the result before it hears that it is recorded.
        self.report(WorkReport::Executed { worker, examples: vec![example] }, acts);
        let teller = Teller::Host(self.part);
        acts.push(Act::Record(vec![Recording { generation: self.generation, result, teller }]));
        self.let_orphan_go(worker, acts);
    }

    pub(super) fn recorded(&self, recorded: Recorded, acts: &mut Vec<Act>) {
        let status: Result<RunStatus, String> = Ok(recorded.status);
        self.report(WorkReport::Recorded { results: recorded.results as u32, status }, acts);
    }

    /// The owner is lost: what is under way may still end well.
    pub(super) fn orphan(&mut self, acts: &mut Vec<Act>) {
        let keys: Vec<WorkerKey> = self.workers.keys().copied().collect();
        for key in keys {
            if let Some(hired) = self.workers.get_mut(&key) {
                hired.is_orphan = true;
            }
            self.let_orphan_go(key, acts);
        }
    }

    fn let_orphan_go(&mut self, key: WorkerKey, acts: &mut Vec<Act>) {
        if let Some(hired) = self.workers.get(&key).filter(|hired| hired.is_orphan && hired.held == 0) {
            acts.push(Act::Kill { process: hired.process, says: false });
            self.workers.remove(&key);
        }
    }

    pub(super) fn end_orphans(&mut self, acts: &mut Vec<Act>) {
        let orphans: Vec<WorkerKey> =
            self.workers.iter().filter(|(_, hired)| hired.is_orphan).map(|(key, _)| *key).collect();
        for key in orphans {
            acts.extend(self.workers.remove(&key).map(|hired| Act::Kill { process: hired.process, says: false }));
        }
    }

    pub(super) fn stop(&mut self, acts: &mut Vec<Act>) {
        let workers = std::mem::take(&mut self.workers);
        acts.extend(workers.into_values().map(|hired| Act::Kill { process: hired.process, says: false }));
    }

    fn report(&self, what: WorkReport, acts: &mut Vec<Act>) {
        acts.push(Act::Report { part: self.part, what });
    }
}
