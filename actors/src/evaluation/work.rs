//! The state of an Evaluation actor: the plan, the rows, and the workers that carry it out.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use bytes::Bytes;
use dspex_model::{BoardEvent, NodeId, OrderedExample, RunSpec, WorkOrder};
use dspex_python::protocol::{Ask, Example, ExampleResult};
use ractor::{ActorProcessingErr, ActorRef};
use uuid::Uuid;

use super::backoff::Backoff;
use super::plan::{Assignment, Cause, Plan, Rules, Verdict, WorkerKey};
use super::rows::Rows;
use super::shut_out::ShutOut;
use super::since::Since;
use super::spans::Spans;
use super::starving::Starving;
use super::unrecorded::Unrecorded;
use super::workers::{Deadline, Hands, Member};
use super::{EvaluationArguments, EvaluationMessage, Next, lost};
use crate::board::Question;
use crate::metering;
use crate::payload;
use crate::preparation::sources;
use crate::recorder::{RecorderMessage, Recording, Recordings, Teller};
use crate::worker::{EndedBy, WorkerEnd, WorkerMessage, WorkerReport};

/// Results of a node on their way to the log beyond its threads: enough that a flush never makes workers wait.
const UNRECORDED_MIN: usize = 256;
/// An example without a deadline that runs longer is worth a word.
const SLOW_US: u64 = 120_000_000;
/// Deaths of workers that are told one by one.
const DEATHS_TOLD_MAX: u32 = 5;
/// Workers in a row that did not come up: the run fails instead of trying for ever.
const FAILED_STARTS_MAX: u32 = 5;

/// Other nodes may still have workers that this node has employed for the run before it started again: no key is used twice.
fn first_key() -> WorkerKey {
    let (time_and_chance, _) = Uuid::now_v7().as_u64_pair();
    time_and_chance
}

/// A worker that ended, as it was then.
#[derive(Clone, Copy, Debug)]
struct Ended {
    was_ready: bool,
    was_here: bool,
    /// It had been told to leave.
    was_leaving: bool,
    by: EndedBy,
}

/// Whether the program did not come up. The loss of a node, or its refusal, says nothing of it, nor does it when a worker that loads
/// gives way.
fn is_failed_start(Ended { was_ready, was_here, was_leaving, by }: Ended) -> bool {
    let is_the_nodes_doing = by == EndedBy::Node && (!was_here || was_leaving);
    !was_ready && !is_the_nodes_doing
}

pub(crate) struct Work {
    pub(super) arguments: EvaluationArguments,
    pub(super) myself: ActorRef<EvaluationMessage>,
    pub(super) spec: RunSpec,
    /// The program, where a driver sent it.
    pub(super) payload: Option<Bytes>,
    pub(super) detached: bool,
    pub(super) plan: Plan,
    pub(super) unrecorded: Unrecorded,
    pub(super) members: BTreeMap<WorkerKey, Member>,
    pub(super) next_key: WorkerKey,
    pub(super) backoff: Backoff,
    pub(super) failed_starts: u32,
    pub(super) generation: u64,
    pub(super) rows: Rows,
    /// The program's files when it was checked.
    sources: BTreeMap<String, String>,
    warned: BTreeSet<u32>,
    /// Places of workers that an operator drained: they stay empty.
    pub(super) drained: usize,
    /// Workers for which no node had room.
    pub(super) unplaced: usize,
    /// What is left is kept for another owner.
    pub(super) kept: Since,
    /// It goes on though another owner could have it.
    pub(super) goes_on: Since,
    /// Who was said to be the next owner.
    pub(super) told_of_heir: Option<NodeId>,
    pub(super) shut_out: ShutOut,
    pub(super) starving: Starving,
    /// There is nothing left to do but to wait for the log.
    pub(super) exhausted: Since,
    pub(super) last_move: Option<Instant>,
    /// How much the run is to have of the nodes, as they were told.
    pub(super) weight: u32,
    pub(super) spans: Spans,
    deaths_told: u32,
    started: Instant,
}

impl Work {
    /// Reads the run from the log's state and its rows from the blobs.
    pub(super) async fn open(
        arguments: EvaluationArguments,
        myself: ActorRef<EvaluationMessage>,
    ) -> Result<Self, ActorProcessingErr> {
        let parts = &arguments.context.parts;
        let run = arguments.run;
        let held = parts.consensus.read_stale(|state| state.run(run).cloned());
        let held = held.ok_or_else(|| format!("run {run} is not in the state"))?;
        // Another node may have taken the run in.
        parts.consensus.obtain(held.spec.blobs()).await?;
        let rows = Rows::read(&parts.blobs, &held.spec.dataset).await?;
        let (blobs, sources) = (parts.blobs.clone(), held.spec.sources);
        let sources = tokio::task::spawn_blocking(move || sources::stored(&blobs, &sources)).await??;
        let payload = payload::read(&parts.blobs, &held.spec.program).await?;
        let spans = Spans::new(
            run,
            &held.spec.program_class,
            &held.spec.metric_name,
            held.spec.dataset.examples,
            arguments.traceparent.as_deref(),
        );
        let rules = Rules {
            owner: parts.node,
            retries: held.spec.retries,
            timeout_us: held.spec.timeout_ms.map(|limit| limit * 1000),
            unrecorded_max: UNRECORDED_MIN.max(held.spec.num_threads as usize),
            num_threads: held.spec.num_threads as usize,
            // A program that asks its driver has state there: a second execution could change the answers of others.
            hedges: held.spec.retries > 0 && payload.is_none(),
        };
        Ok(Self {
            plan: Plan::new(rules, held.missing()),
            unrecorded: Unrecorded::default(),
            generation: held.progress.generation,
            detached: held.progress.detached,
            spec: held.spec,
            payload,
            arguments,
            myself,
            members: BTreeMap::new(),
            next_key: first_key(),
            backoff: Backoff::default(),
            failed_starts: 0,
            rows,
            sources,
            warned: BTreeSet::new(),
            drained: 0,
            unplaced: 0,
            kept: Since::default(),
            goes_on: Since::default(),
            told_of_heir: None,
            shut_out: ShutOut::default(),
            starving: Starving::default(),
            exhausted: Since::default(),
            last_move: None,
            weight: held.weight,
            spans,
            deaths_told: 0,
            started: Instant::now(),
        })
    }

    /// Deadlines are judged this often: late by a twentieth at the most, and never early.
    pub(super) fn tick_every(&self) -> Duration {
        let limit_ms = self.spec.timeout_ms.unwrap_or(u64::MAX);
        Duration::from_millis((limit_ms / 20).clamp(10, 1000))
    }

    pub(super) fn now_us(&self) -> u64 {
        u64::try_from(self.started.elapsed().as_micros()).unwrap_or(u64::MAX)
    }

    /// Gives out what can be given out.
    pub(super) fn dispatch(&mut self) {
        let orders = self.plan.assign(self.now_us());
        if !orders.is_empty() {
            self.arguments.board.dispatched();
        }
        for (key, assignments) in orders {
            let worker = self.members.get(&key).map(|member| member.id.clone()).unwrap_or_default();
            let begin = |one: &Assignment| self.spans.begin(one.index, one.attempt, &worker);
            let traced = assignments.iter().map(begin).collect::<Vec<_>>();
            self.give(key, assignments.into_iter().zip(traced));
        }
    }

    /// Orders a worker to execute examples, each with the trace context of its span.
    pub(super) fn give(&self, key: WorkerKey, orders: impl Iterator<Item = (Assignment, Option<String>)>) {
        match self.members.get(&key).map(|member| &member.hands) {
            Some(Hands::Here(actor)) => {
                let example = |(Assignment { index, attempt }, traceparent)| {
                    Some(Example { index: u64::from(index), attempt, row: self.rows.get(index)?, traceparent })
                };
                // A worker that is gone reports its end, and the plan takes its examples back.
                let _ = actor.cast(WorkerMessage::Execute(orders.filter_map(example).collect()));
            }
            // The node that executes it has the row.
            Some(Hands::There(node)) => {
                let ordered =
                    |(Assignment { index, attempt }, traceparent)| OrderedExample { index, attempt, traceparent };
                self.order(*node, WorkOrder::Execute { worker: key, examples: orders.map(ordered).collect() });
            }
            None => {}
        }
    }

    pub(super) async fn hear(&mut self, key: WorkerKey, report: WorkerReport) -> Result<Next, ActorProcessingErr> {
        match report {
            WorkerReport::Ready(sources) => {
                if let Some(path) = self.changed(&sources.unwrap_or_default()) {
                    return Ok(Next::Cancel(format!(
                        "{path} changed while the run was under way, so a new worker would run another program; put the \
                         file back and resume, or start a new run"
                    )));
                }
                self.failed_starts = 0;
                let own = self.arguments.context.parts.node;
                if let Some(member) = self.members.get_mut(&key) {
                    member.ready = true;
                    self.plan.worker_joined(key, member.site(own), member.threads as usize);
                    if let Some(replace) = member.leaving {
                        self.leaving(key, replace);
                    }
                }
                self.share_out();
                Ok(Next::Go)
            }
            WorkerReport::Results(results) => {
                self.results(key, results);
                Ok(Next::Go)
            }
            WorkerReport::Fatal(fatal) => Ok(Next::Fail(match fatal.index {
                Some(index) => format!("example {index}: {}", fatal.message),
                None => fatal.message,
            })),
            WorkerReport::Answers => {
                self.answers(key);
                Ok(Next::Go)
            }
            WorkerReport::Leave { replace } => {
                self.leaving(key, replace);
                Ok(Next::Go)
            }
            WorkerReport::Ended(end) => self.worker_ended(key, &end),
            // Said by workers of pools only.
            WorkerReport::Placed | WorkerReport::Serving | WorkerReport::Replies(_) | WorkerReport::Returned(_) => {
                Ok(Next::Go)
            }
            WorkerReport::Ask(ask) => {
                self.ask(key, ask);
                Ok(Next::Go)
            }
        }
    }

    /// User code asks the driver: the answer goes to the worker directly.
    fn ask(&self, key: WorkerKey, ask: Ask) {
        if let Some(member) = self.members.get(&key) {
            let Ask { id, index, body } = ask;
            self.arguments.board.ask(Question { worker: member.id.clone(), id, index, body });
        }
    }

    fn results(&mut self, key: WorkerKey, results: Vec<ExampleResult>) {
        let Some(member) = self.members.get(&key) else { return };
        let worker = member.id.clone();
        let now_us = self.now_us();
        self.backoff.success();
        metering::examples(&results);
        let mut recordings = Vec::with_capacity(results.len());
        for result in results {
            let index = u32::try_from(result.index).unwrap_or(u32::MAX);
            if self.plan.finished(key, index, result.duration_us, now_us) {
                self.spans.end(index, &result);
                recordings.push(self.recording(result, worker.clone(), String::new()));
            }
        }
        self.record(recordings);
        self.let_go(key);
    }

    fn recording(&self, result: ExampleResult, worker: String, output_tail: String) -> Recording {
        Recording {
            run: self.arguments.run,
            generation: self.generation,
            result,
            worker,
            output_tail,
            teller: Teller::Evaluation(self.myself.clone()),
        }
    }

    fn record(&self, recordings: Vec<Recording>) {
        if !recordings.is_empty() {
            let recordings = Recordings { results: recordings, more_to_come: self.plan.waiting() > 0 };
            // A recorder that is gone is replaced by its supervisor together with this actor.
            let _ = self.arguments.recorder.cast(RecorderMessage::Record(recordings));
        }
    }

    pub(super) fn worker_ended(&mut self, key: WorkerKey, end: &WorkerEnd) -> Result<Next, ActorProcessingErr> {
        let Some(member) = self.members.remove(&key) else { return Ok(Next::Go) };
        self.arguments.board.forget_questions(&member.id);
        let is_failed_start = is_failed_start(Ended {
            was_ready: member.ready,
            was_here: matches!(member.hands, Hands::Here(_)),
            was_leaving: member.leaving.is_some(),
            by: end.by,
        });
        if is_failed_start {
            self.failed_starts += 1;
            if self.failed_starts >= FAILED_STARTS_MAX {
                return Ok(self.too_many_failed_starts(end));
            }
        }
        let cause = match (member.deadline, end.by) {
            (Deadline::Killed(cause), _) => cause,
            (_, EndedBy::Node) => Cause::Node,
            (_, EndedBy::Zygote) => Cause::Zygote,
            (_, EndedBy::Itself) => Cause::Crash,
        };
        let held = self.plan.held_by(key);
        let verdicts = self.plan.worker_ended(key, cause);
        self.share_out();
        if cause == Cause::Crash || cause == Cause::Zygote {
            self.tell_of_death(end, held, verdicts.len());
        }
        self.record_verdicts(&verdicts, end, &member.id);
        let wait_ms = if cause == Cause::Crash || is_failed_start { self.backoff.death() } else { 0 };
        self.myself.send_after(Duration::from_millis(wait_ms), || EvaluationMessage::SpawnWorker);
        Ok(Next::Go)
    }

    /// Examples that have failed without a result of their own.
    pub(super) fn record_verdicts(&mut self, verdicts: &[Verdict], end: &WorkerEnd, worker: &str) {
        let lost: Vec<ExampleResult> = verdicts.iter().map(|verdict| lost::result(*verdict, &self.spec, end)).collect();
        metering::examples(&lost);
        let mut recordings = Vec::with_capacity(lost.len());
        for result in lost {
            self.spans.end(u32::try_from(result.index).unwrap_or(u32::MAX), &result);
            recordings.push(self.recording(result, worker.to_owned(), end.output.clone()));
        }
        self.record(recordings);
    }

    /// The program could be loaded once, so what fails now may pass: the run can be resumed, or goes on with fewer workers.
    fn too_many_failed_starts(&self, end: &WorkerEnd) -> Next {
        let ready = self.members.values().filter(|member| member.ready).count();
        let why = format!("{FAILED_STARTS_MAX} workers in a row did not start: {}", end.message);
        if ready > 0 {
            let text = format!(
                "{why}; the run goes on with {ready}. A program that cannot be loaded twice at once needs --workers 1"
            );
            self.arguments.board.publish(BoardEvent::Warning(text));
            return Next::Go;
        }
        Next::Cancel(format!("{why}{}", lost::shown_tail(&end.output)))
    }

    /// A file of the program that is not what it was when the run started.
    fn changed(&self, sources: &BTreeMap<String, String>) -> Option<String> {
        let differs = |path: &&String| self.sources.get(*path).is_some_and(|known| *known != sources[*path]);
        sources.keys().find(differs).cloned()
    }

    /// People see that a worker died while it happens, not only what came of it.
    fn tell_of_death(&mut self, end: &WorkerEnd, held: usize, failed: usize) {
        self.deaths_told += 1;
        let text = match self.deaths_told {
            ..=DEATHS_TOLD_MAX => format!("{}; {} of its {held} examples run again", end.message, held - failed),
            _ if self.deaths_told == DEATHS_TOLD_MAX + 1 => {
                "more workers died; they are not told one by one".to_owned()
            }
            _ => return,
        };
        self.arguments.board.publish(BoardEvent::Warning(text));
    }

    pub(super) fn warn_of_slow_examples(&mut self) {
        if self.spec.timeout_ms.is_some() {
            return;
        }
        for (_, index) in self.plan.running_for(self.now_us(), SLOW_US) {
            if self.warned.insert(index) {
                let text = format!("example {index} has been running for 120 s; --timeout S sets a limit");
                self.arguments.board.publish(BoardEvent::Warning(text));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_start_has_failed_by_the_program_and_not_when_its_node_is_lost_or_it_gives_way() {
        let here = Ended { was_ready: false, was_here: true, was_leaving: false, by: EndedBy::Itself };
        assert!(is_failed_start(here) && is_failed_start(Ended { by: EndedBy::Node, ..here }));
        assert!(is_failed_start(Ended { was_here: false, ..here }), "it ended by itself elsewhere");
        assert!(!is_failed_start(Ended { was_ready: true, ..here }));
        let by_node = Ended { by: EndedBy::Node, ..here };
        assert!(!is_failed_start(Ended { was_here: false, ..by_node }), "its node is lost");
        assert!(!is_failed_start(Ended { was_leaving: true, ..by_node }), "it gave way while it loaded");
        assert!(is_failed_start(Ended { was_leaving: true, ..here }), "it was told to leave, and died by itself");
    }
}
