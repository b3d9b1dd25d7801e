//! This node's part of a run that another node owns. It decides nothing: orders come from the owner, reports go to it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use dspex_model::{
    Employment, EndedBy, ExecutedExample, NodeId, OrderedExample, PeerMessage, RunId, RunReport, WorkOrder, WorkReport,
};
use dspex_python::protocol::{Answer, Example, ExampleResult};
use ractor::{Actor, ActorProcessingErr, ActorRef};
use ractor_cluster::RactorMessage;
use tracing::debug;

use super::HostingArguments;
use super::idle::InHand;
use super::preparing::{Prepared, prepare};
use crate::error::SubmitError;
use crate::evaluation::{WorkerKey, load};
use crate::metering;
use crate::printing::Outlet;
use crate::recorder::{Recorded, RecorderMessage, Recording, Teller};
use crate::run_workers::RunWorkersMessage;
use crate::worker::{Origin, WorkerEnd, WorkerMessage, WorkerOwner, WorkerPlace, WorkerReport, WorkerService};

/// When the owner is lost, what is under way may still end well, and counts; for so long.
const ORPHANED_MAX: Duration = Duration::from_secs(60);

#[derive(RactorMessage)]
pub(crate) enum HostedMessage {
    /// From the owner.
    Order(WorkOrder),
    /// From a worker.
    Worker(WorkerKey, WorkerReport),
    /// From the recorder.
    Recorded(Recorded),
    /// The owner is lost: workers end with what they have.
    Orphaned,
    /// They have had their time.
    OrphansEnd,
}

pub(crate) struct HostedActor;

pub(crate) struct HostedArguments {
    pub shared: HostingArguments,
    pub owner: NodeId,
    pub run: RunId,
    pub epoch: u64,
    pub in_hand: Arc<InHand>,
}

pub(crate) struct Hosted {
    arguments: HostedArguments,
    myself: ActorRef<HostedMessage>,
    outlet: Arc<Outlet>,
    prepared: Option<Prepared>,
    workers: BTreeMap<WorkerKey, Hired>,
}

struct Hired {
    actor: ActorRef<WorkerMessage>,
    id: String,
    /// Examples that it was given and has not reported.
    held: usize,
    /// Its owner was lost: another one knows nothing of it.
    is_orphan: bool,
}

impl Actor for HostedActor {
    type Msg = HostedMessage;
    type State = Hosted;
    type Arguments = HostedArguments;

    async fn pre_start(
        &self,
        myself: ActorRef<HostedMessage>,
        arguments: HostedArguments,
    ) -> Result<Hosted, ActorProcessingErr> {
        let HostedArguments { shared, owner, run, epoch, .. } = &arguments;
        let outlet = Outlet::open(Arc::clone(&shared.context), *owner, *run, *epoch);
        Ok(Hosted { arguments, myself, outlet, prepared: None, workers: BTreeMap::new() })
    }

    async fn handle(
        &self,
        _: ActorRef<HostedMessage>,
        message: HostedMessage,
        hosted: &mut Hosted,
    ) -> Result<(), ActorProcessingErr> {
        let is_order = matches!(message, HostedMessage::Order(_));
        match message {
            HostedMessage::Order(order) => hosted.order(order).await,
            HostedMessage::Worker(key, report) => hosted.hear(key, report),
            HostedMessage::Recorded(Recorded { results, status }) => {
                hosted.report(WorkReport::Recorded { results: u32::try_from(results).unwrap_or(u32::MAX), status });
            }
            HostedMessage::Orphaned => hosted.orphan(),
            HostedMessage::OrphansEnd => hosted.end_orphans(),
        }
        let in_hand = &hosted.arguments.in_hand;
        in_hand.has_workers(hosted.workers.len());
        if is_order {
            in_hand.carried_out();
        }
        Ok(())
    }

    async fn post_stop(&self, _: ActorRef<HostedMessage>, hosted: &mut Hosted) -> Result<(), ActorProcessingErr> {
        for hired in hosted.workers.values() {
            // Not a message: it must also reach a worker that waits for capacity.
            hired.actor.kill();
        }
        Ok(())
    }
}

impl Hosted {
    fn report(&self, what: WorkReport) {
        let HostedArguments { shared, owner, run, epoch, .. } = &self.arguments;
        let report = RunReport { run: *run, epoch: *epoch, what };
        shared.context.links.tell(*owner, &PeerMessage::Report(report));
    }

    async fn order(&mut self, order: WorkOrder) {
        match order {
            WorkOrder::Employ(employment) => self.employ(*employment).await,
            WorkOrder::Execute { worker, examples } => self.execute(worker, examples),
            WorkOrder::Ping { worker } => self.pass_on(worker, WorkerMessage::Ping),
            WorkOrder::Weigh { weight } => {
                self.arguments.shared.context.capacity.weigh(self.arguments.run, weight);
            }
            WorkOrder::Threads { worker, count } => self.pass_on(worker, WorkerMessage::Threads(count)),
            WorkOrder::Kill { worker } => self.pass_on(worker, WorkerMessage::Kill),
            WorkOrder::Finish { worker } => self.pass_on(worker, WorkerMessage::Finish),
            WorkOrder::Answer { worker, id, body, error } => {
                let answer = Answer { id, body: body.map(Into::into), error };
                self.pass_on(worker, WorkerMessage::Answer(answer));
            }
        }
    }

    /// A worker that is gone has reported its end.
    fn pass_on(&self, key: WorkerKey, message: WorkerMessage) {
        if let Some(hired) = self.workers.get(&key) {
            let _ = hired.actor.cast(message);
        }
    }

    async fn employ(&mut self, employment: Employment) {
        let (key, id) = (employment.worker, employment.id.clone());
        if self.prepared.is_none() {
            match prepare(&self.arguments.shared.context, &employment).await {
                Ok(prepared) => self.prepared = Some(prepared),
                Err(error) => return self.refuse(key, &error),
            }
        }
        let Some(prepared) = &self.prepared else { return };
        let caller = Arc::clone(&prepared.caller);
        let load = Box::new(load(&prepared.spec, employment.threads, prepared.payload.clone(), &caller));
        let place = WorkerPlace {
            context: Arc::clone(&self.arguments.shared.context),
            key,
            id: id.clone(),
            service: WorkerService::Run(self.arguments.run),
            owner: WorkerOwner::Hosted(self.myself.clone(), Arc::clone(&self.outlet)),
            memory_limit: None,
        };
        let run_workers = &self.arguments.shared.run_workers;
        let origin = Origin::Launch { caller, load };
        let spawned = ractor::call!(run_workers, |reply| RunWorkersMessage::Spawn(place, origin, reply));
        match spawned {
            Ok(Ok(actor)) => drop(self.workers.insert(key, Hired { actor, id, held: 0, is_orphan: false })),
            Ok(Err(error)) => self.ended(key, error.to_string()),
            Err(error) => self.ended(key, error.to_string()),
        }
    }

    /// This node can have no worker of this run.
    fn refuse(&self, worker: WorkerKey, error: &SubmitError) {
        debug!(run = %self.arguments.run, %error, "another node's run cannot be executed here");
        let (message, output) = (error.to_string(), String::new());
        self.report(WorkReport::Ended { worker, message, output, by: EndedBy::Node, is_refused: true });
    }

    fn ended(&self, worker: WorkerKey, message: String) {
        let output = String::new();
        self.report(WorkReport::Ended { worker, message, output, by: EndedBy::Node, is_refused: false });
    }

    fn execute(&mut self, key: WorkerKey, examples: Vec<OrderedExample>) {
        let (Some(hired), Some(prepared)) = (self.workers.get_mut(&key), &self.prepared) else { return };
        let example = |OrderedExample { index, attempt, traceparent }| {
            let row = prepared.rows.get(index)?;
            Some(Example { index: u64::from(index), attempt, row, traceparent })
        };
        let examples: Vec<Example> = examples.into_iter().filter_map(example).collect();
        hired.held += examples.len();
        // A worker that is gone reports its end.
        let _ = hired.actor.cast(WorkerMessage::Execute(examples));
    }

    fn hear(&mut self, worker: WorkerKey, report: WorkerReport) {
        match report {
            WorkerReport::Ready(sources) => {
                let sources = sources.unwrap_or_default().into_iter().collect();
                self.report(WorkReport::Ready { worker, sources });
            }
            WorkerReport::Results(results) => self.executed(worker, results),
            WorkerReport::Fatal(fatal) => {
                self.report(WorkReport::Fatal { worker, message: fatal.message, index: fatal.index });
            }
            WorkerReport::Answers => self.report(WorkReport::Answers { worker }),
            WorkerReport::Ask(ask) => {
                self.report(WorkReport::Asks { worker, id: ask.id, index: ask.index, body: ask.body.to_vec() });
            }
            WorkerReport::Leave { replace } => self.report(WorkReport::Leaves { worker, replace }),
            WorkerReport::Ended(end) => self.worker_ended(worker, end),
            // Said by workers of pools only.
            WorkerReport::Serving | WorkerReport::Replies(_) | WorkerReport::Returned(_) => {}
        }
    }

    fn executed(&mut self, key: WorkerKey, results: Vec<ExampleResult>) {
        let Some(hired) = self.workers.get_mut(&key) else { return };
        hired.held = hired.held.saturating_sub(results.len());
        let id = hired.id.clone();
        metering::examples(&results);
        let examples = results.iter().map(summary).collect();
        // First: the owner hears of the result before it hears that it is recorded.
        self.report(WorkReport::Executed { worker: key, examples });
        self.record(results, &id);
        self.let_orphan_go(key);
    }

    fn record(&self, results: Vec<ExampleResult>, worker: &str) {
        let Some(Prepared { generation, .. }) = self.prepared else { return };
        let recording = |result| Recording {
            run: self.arguments.run,
            generation,
            result,
            worker: worker.to_owned(),
            output_tail: String::new(),
            teller: Teller::Hosted(self.myself.clone()),
        };
        // A recorder that is gone is gone with this node.
        let _ =
            self.arguments.shared.recorder.cast(RecorderMessage::Record(results.into_iter().map(recording).collect()));
    }

    fn worker_ended(&mut self, worker: WorkerKey, end: WorkerEnd) {
        if self.workers.remove(&worker).is_none() {
            return;
        }
        self.report(ended(worker, end));
    }

    fn orphan(&mut self) {
        let keys: Vec<WorkerKey> = self.workers.keys().copied().collect();
        for key in keys {
            if let Some(hired) = self.workers.get_mut(&key) {
                hired.is_orphan = true;
            }
            self.let_orphan_go(key);
        }
        if !self.workers.is_empty() {
            self.myself.send_after(ORPHANED_MAX, || HostedMessage::OrphansEnd);
        }
    }

    fn let_orphan_go(&mut self, key: WorkerKey) {
        if let Some(hired) = self.workers.get(&key)
            && hired.is_orphan
            && hired.held == 0
        {
            // It may be loading yet.
            hired.actor.kill();
            self.workers.remove(&key);
        }
    }

    fn end_orphans(&mut self) {
        self.workers.retain(|_, hired| {
            if hired.is_orphan {
                hired.actor.kill();
            }
            !hired.is_orphan
        });
    }
}

/// What the owner is told. A worker that could not even begin could not begin again: the owner must not ask this node for ever.
fn ended(worker: WorkerKey, end: WorkerEnd) -> WorkReport {
    let WorkerEnd { message, output, by, refused } = end;
    WorkReport::Ended { worker, message, output, by, is_refused: refused.is_some() }
}

fn summary(result: &ExampleResult) -> ExecutedExample {
    let total = |kind: &str| {
        let usage = result.usage.as_ref()?;
        Some(usage.values().filter_map(|kinds| kinds.get(kind)).sum::<i64>())
    };
    ExecutedExample {
        index: u32::try_from(result.index).unwrap_or(u32::MAX),
        duration_us: result.duration_us,
        score: result.score,
        failure: result.failure.as_ref().map(|failure| (failure.exception.clone(), failure.message.clone())),
        tokens: total("prompt_tokens").zip(total("completion_tokens")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::SubmitErrorKind;

    #[test]
    fn a_worker_that_could_not_begin_shuts_its_node_out_and_one_that_died_does_not() {
        let end =
            |refused| WorkerEnd { message: "why".to_owned(), output: "tail".to_owned(), by: EndedBy::Node, refused };
        let told = |refused| match ended(7, end(refused)) {
            WorkReport::Ended { worker: 7, message, output, by: EndedBy::Node, is_refused } => {
                assert_eq!((message.as_str(), output.as_str()), ("why", "tail"));
                is_refused
            }
            _ => panic!("not an end"),
        };
        assert!(told(Some(SubmitError::new(SubmitErrorKind::PythonBroken, "there is no such interpreter"))));
        assert!(!told(None));
    }
}
