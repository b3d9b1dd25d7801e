//! A run's workers on other nodes: ordered over the links, and heard by their reports.

use dspex_model::{BoardEvent, EndedBy, ExecutedExample, NodeId, PeerMessage, RunOrder, WorkOrder, WorkReport};
use dspex_python::protocol::{Answer, Ask, Fatal};
use ractor::ActorProcessingErr;
use tracing::info;

use super::plan::WorkerKey;
use super::work::Work;
use super::workers::Hands;
use super::{EvaluationArguments, EvaluationMessage, Next};
use crate::recorder::Recorded;
use crate::worker::{WorkerEnd, WorkerReport};

impl Work {
    /// Puts an order on its way. One that is lost is lost with its line, and that is said.
    pub(super) fn order(&self, node: NodeId, what: WorkOrder) {
        let (run, epoch) = (self.arguments.run, self.arguments.epoch);
        let order = PeerMessage::Order(RunOrder { run, epoch, what });
        if !self.arguments.context.links.tell(node, &order) {
            // It will not be carried out, so the node is as good as lost. Fails only when this actor is stopping.
            let _ = self.myself.cast(EvaluationMessage::NodeLost(node));
        }
    }

    /// What another node says of this run's workers there.
    pub(super) async fn hear_remote(&mut self, node: NodeId, report: WorkReport) -> Result<Next, ActorProcessingErr> {
        let is_there = |work: &Self, key: WorkerKey| {
            work.members.get(&key).is_some_and(|member| matches!(member.hands, Hands::There(at) if at == node))
        };
        let (worker, report) = match report {
            WorkReport::Recorded { status: Err(why), .. } => return self.cannot_record(node, &why),
            // Which ones is asked of the log: its node may say it of results that this owner has given up, or not heard of.
            WorkReport::Recorded { status, .. } => {
                self.forget_recorded(node);
                return Ok(self.recorded(Recorded { results: 0, status }));
            }
            // Of a node that has no telemetry channel yet.
            WorkReport::Printed { id, text, dropped_bytes } => {
                self.arguments.board.publish(BoardEvent::Output { worker: id, text, dropped_bytes });
                return Ok(Next::Go);
            }
            WorkReport::Executed { worker, examples } => {
                if is_there(self, worker) {
                    self.executed_remotely(node, worker, &examples);
                }
                return Ok(Next::Go);
            }
            WorkReport::Ended { worker, message, output, by, is_refused } => {
                if is_refused && is_there(self, worker) && self.shut_out.refused(node, &message) {
                    self.tell_of_absence(node, &message);
                }
                (worker, WorkerReport::Ended(WorkerEnd { message, output, by, refused: None }))
            }
            WorkReport::Ready { worker, sources } => (worker, WorkerReport::Ready(Some(sources.into_iter().collect()))),
            WorkReport::Fatal { worker, message, index } => (worker, WorkerReport::Fatal(Fatal { message, index })),
            WorkReport::Answers { worker } => (worker, WorkerReport::Answers),
            WorkReport::Asks { worker, id, index, body } => {
                (worker, WorkerReport::Ask(Ask { id, index, body: body.into() }))
            }
            WorkReport::Leaves { worker, replace } => (worker, WorkerReport::Leave { replace }),
        };
        // A worker that this owner has given up is not its any more.
        if !is_there(self, worker) {
            return Ok(Next::Go);
        }
        self.hear(worker, report).await
    }

    /// They are on their way to the log already: their node has proposed them.
    fn executed_remotely(&mut self, node: NodeId, key: WorkerKey, examples: &[ExecutedExample]) {
        let now_us = self.now_us();
        self.backoff.success();
        for example in examples {
            if self.plan.finished(key, example.index, example.duration_us, now_us) {
                if !self.unrecorded.executed(node, example.index) {
                    // It is one result all the same.
                    self.plan.recorded_at(node, 1);
                }
                self.spans.end_remote(example);
            }
        }
        self.let_go(key);
    }

    /// The others go on without the node.
    fn tell_of_absence(&self, node: NodeId, why: &str) {
        // Its refusals are no failures of the program.
        let text = format!("node {node} takes no part in this run: {why}");
        info!(run = %self.arguments.run, %node, why, "a node takes no part in a run");
        self.arguments.board.publish(BoardEvent::Warning(text));
    }

    /// The node reaches this one and not the log, or its disk is full: what it executes would be for nothing, until that has passed.
    fn cannot_record(&mut self, node: NodeId, why: &str) -> Result<Next, ActorProcessingErr> {
        if self.shut_out.cannot_record(node, self.now_us()) {
            self.tell_of_absence(node, &format!("it cannot store results: {why}; it is tried again in a minute"));
        }
        for (&key, member) in &self.members {
            if matches!(member.hands, Hands::There(at) if at == node) {
                self.order(node, WorkOrder::Kill { worker: key });
            }
        }
        self.node_lost(node)
    }

    /// Nothing comes from the node any more: what its workers held runs again elsewhere, and is charged to nobody.
    pub(super) fn node_lost(&mut self, node: NodeId) -> Result<Next, ActorProcessingErr> {
        self.results_lost(node);
        let there = |(&key, member): (&WorkerKey, &super::workers::Member)| {
            matches!(member.hands, Hands::There(at) if at == node).then_some(key)
        };
        let lost: Vec<WorkerKey> = self.members.iter().filter_map(there).collect();
        if lost.is_empty() {
            return Ok(Next::Go);
        }
        let held: usize = lost.iter().map(|key| self.plan.held_by(*key)).sum();
        let what = if self.spec.retries == 0 { "have failed (--retries 0)" } else { "run again elsewhere" };
        let text = format!("node {node} is lost; {held} examples that it held {what}");
        self.arguments.board.publish(BoardEvent::Warning(text));
        for key in lost {
            if let Next::Cancel(reason) = self.worker_ended(key, &node_end(node))? {
                return Ok(Next::Cancel(reason));
            }
        }
        Ok(Next::Go)
    }

    /// The log has taken results of the node: which ones, its state says.
    fn forget_recorded(&mut self, node: NodeId) {
        let Self { arguments, unrecorded, plan, .. } = self;
        arguments.context.parts.consensus.read_stale(|state| {
            if let Some(run) = state.run(arguments.run) {
                plan.recorded_at(node, unrecorded.forget_recorded(node, |index| !run.is_missing(index)));
            }
        });
    }

    /// What nodes have said was recorded before it was applied here.
    pub(super) fn forget_what_was_recorded(&mut self) {
        self.unrecorded.nodes().into_iter().for_each(|node| self.forget_recorded(node));
    }

    /// What the node had executed and the log has not: it may have died before it proposed that. Where it is only cut off, its
    /// results come later, and are duplicates or the first ones.
    fn results_lost(&mut self, node: NodeId) {
        let unrecorded = self.unrecorded.lost(node);
        if unrecorded.is_empty() {
            return;
        }
        let EvaluationArguments { context, run, .. } = &self.arguments;
        let missing: Vec<u32> = context.parts.consensus.read_stale(|state| {
            let Some(held) = state.run(*run) else { return Vec::new() };
            unrecorded.iter().copied().filter(|index| held.is_missing(*index)).collect()
        });
        info!(%run, %node, results = missing.len(), "results are lost with their node, unless they come later");
        self.plan.results_lost(node, unrecorded.len(), missing);
    }

    /// The driver's answer for a worker elsewhere.
    pub(super) fn answer(&self, worker: &str, answer: Answer) {
        let found = self.members.iter().find(|(_, member)| member.id == worker);
        if let Some((&key, member)) = found
            && let Hands::There(node) = member.hands
        {
            let Answer { id, body, error } = answer;
            self.order(node, WorkOrder::Answer { worker: key, id, body: body.map(|body| body.to_vec()), error });
        }
    }
}

fn node_end(node: NodeId) -> WorkerEnd {
    WorkerEnd { message: format!("node {node} is lost"), output: String::new(), by: EndedBy::Node, refused: None }
}
