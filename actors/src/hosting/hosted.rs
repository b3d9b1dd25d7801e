//! This node's part of a run that another node owns. It decides nothing: orders come from the owner, reports go to it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use dspex_model::{
    Employment, EndedBy, ExecutedExample, NodeId, OrderedExample, PeerMessage, RunId, RunReport, WorkOrder, WorkReport,
};
use dspex_python::protocol::{Answer, Example, ExampleResult};
use ractor::{Actor, ActorProcessingErr, ActorRef};
use ractor_cluster::RactorMessage;
use tracing::debug;

use super::preparing::{Prepared, prepare};
use super::{HostingArguments, HostingMessage};
use crate::error::SubmitError;
use crate::evaluation::{WorkerKey, load};
use crate::metering;
use crate::printing::Outlet;
use crate::recorder::{Recorded, RecorderMessage, Recording, Recordings, Teller};
use crate::run_workers::RunWorkersMessage;
use crate::worker::{Origin, WorkerEnd, WorkerMessage, WorkerOwner, WorkerPlace, WorkerReport, WorkerService};

/// When the owner is lost, what is under way may still end well, and counts; for so long.
const ORPHANED_MAX: Duration = Duration::from_secs(60);
/// Without a worker and without an order for so long, it has nothing to keep rows and programs for.
const REST_MAX: Duration = Duration::from_secs(60);

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
    /// Whether there is anything left to do? So many orders have been passed on before.
    Look { orders: u64 },
}

pub(crate) struct HostedActor;

pub(crate) struct HostedArguments {
    pub shared: HostingArguments,
    pub hosting: ActorRef<HostingMessage>,
    pub owner: NodeId,
    pub run: RunId,
    pub epoch: u64,
}

pub(crate) struct Hosted {
    arguments: HostedArguments,
    myself: ActorRef<HostedMessage>,
    outlet: Arc<Outlet>,
    prepared: Option<Prepared>,
    workers: BTreeMap<WorkerKey, Hired>,
    last_order: Instant,
}

struct Hired {
    actor: ActorRef<WorkerMessage>,
    id: String,
    /// Examples that it was given and has not reported.
    held: usize,
    /// It has come up, so it reads what it is told.
    is_ready: bool,
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
        Ok(Hosted { arguments, myself, outlet, prepared: None, workers: BTreeMap::new(), last_order: Instant::now() })
    }

    async fn handle(
        &self,
        _: ActorRef<HostedMessage>,
        message: HostedMessage,
        hosted: &mut Hosted,
    ) -> Result<(), ActorProcessingErr> {
        match message {
            HostedMessage::Order(order) => hosted.order(order).await,
            HostedMessage::Worker(key, report) => hosted.hear(key, report),
            HostedMessage::Recorded(Recorded { results, status }) => {
                hosted.report(WorkReport::Recorded { results: u32::try_from(results).unwrap_or(u32::MAX), status });
            }
            HostedMessage::Orphaned => hosted.orphan(),
            HostedMessage::OrphansEnd => hosted.end_orphans(),
            HostedMessage::Look { orders } => hosted.look(orders),
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

/// Whether a part of a run has nothing left to do. `unrecorded`: results of this node on their way to the log, whose end is reported.
fn rests(workers: usize, unrecorded: usize, since: Duration) -> bool {
    workers == 0 && unrecorded == 0 && since >= REST_MAX
}

impl Hired {
    /// At once, also one that waits for capacity and reads no messages: until it has its place others would give way for nothing.
    fn kill(&self) {
        if self.is_ready {
            let _ = self.actor.cast(WorkerMessage::Kill);
        } else {
            self.actor.kill();
        }
    }
}

impl Hosted {
    fn look(&self, orders: u64) {
        let HostedArguments { shared, hosting, owner, run, epoch } = &self.arguments;
        let unrecorded = shared.context.unrecorded.load(Ordering::Acquire);
        if rests(self.workers.len(), unrecorded, self.last_order.elapsed()) {
            // It is gone only when the node stops.
            let _ = hosting.cast(HostingMessage::Rests { part: (*owner, *run, *epoch), orders });
        }
    }

    fn report(&self, what: WorkReport) {
        let HostedArguments { shared, owner, run, epoch, .. } = &self.arguments;
        let report = RunReport { run: *run, epoch: *epoch, what };
        shared.context.links.tell(*owner, &PeerMessage::Report(report));
    }

    async fn order(&mut self, order: WorkOrder) {
        self.last_order = Instant::now();
        match order {
            WorkOrder::Employ(employment) => self.employ(*employment).await,
            WorkOrder::Execute { worker, examples } => self.execute(worker, examples),
            WorkOrder::Ping { worker } => self.pass_on(worker, WorkerMessage::Ping),
            WorkOrder::Weigh { weight } => {
                self.arguments.shared.context.capacity.weigh(self.arguments.run, weight);
            }
            WorkOrder::Threads { worker, count } => self.pass_on(worker, WorkerMessage::Threads(count)),
            WorkOrder::Kill { worker } => match self.workers.get(&worker) {
                // Its end comes by its supervisor, where it cannot say it.
                Some(hired) => hired.kill(),
                None => self.is_gone(worker),
            },
            WorkOrder::Finish { worker } => self.pass_on(worker, WorkerMessage::Finish),
            WorkOrder::Answer { worker, id, body, error } => {
                let answer = Answer { id, body: body.map(Into::into), error };
                self.pass_on(worker, WorkerMessage::Answer(answer));
            }
        }
    }

    fn pass_on(&self, key: WorkerKey, message: WorkerMessage) {
        match self.workers.get(&key) {
            // One that has just ended reports that.
            Some(hired) => drop(hired.actor.cast(message)),
            None => self.is_gone(key),
        }
    }

    /// The end of a worker was reported, unless it went together with an actor like this one that has failed: then its owner would wait
    /// for ever. One that knows of it passes over this.
    fn is_gone(&self, key: WorkerKey) {
        self.ended(key, "its node has no such worker any more".to_owned());
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
            may_repeat: prepared.spec.retries > 0,
            memory_limit: None,
        };
        let run_workers = &self.arguments.shared.run_workers;
        let origin = Origin::Launch { caller, load };
        let spawned = ractor::call!(run_workers, |reply| RunWorkersMessage::Spawn(place, origin, reply));
        match spawned {
            Ok(Ok(actor)) => {
                self.workers.insert(key, Hired { actor, id, held: 0, is_ready: false, is_orphan: false });
            }
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
        let (Some(hired), Some(prepared)) = (self.workers.get_mut(&key), &self.prepared) else {
            return self.is_gone(key);
        };
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
                if let Some(hired) = self.workers.get_mut(&worker) {
                    hired.is_ready = true;
                }
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
            WorkerReport::Placed | WorkerReport::Serving | WorkerReport::Replies(_) | WorkerReport::Returned(_) => {}
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
        let recordings = Recordings {
            results: results.into_iter().map(recording).collect(),
            more_to_come: self.workers.values().any(|hired| hired.held > 0),
        };
        // A recorder that is gone is gone with this node.
        let _ = self.arguments.shared.recorder.cast(RecorderMessage::Record(recordings));
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
        // As the program counts them.
        Some(usage.values().filter_map(|kinds| kinds.get(kind)).fold(0, |sum: i64, count| sum.saturating_add(*count)))
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

    /// As a worker that waits for its place: it reads nothing.
    struct Waiting;

    impl Actor for Waiting {
        type Msg = WorkerMessage;
        type State = ();
        type Arguments = ();

        async fn pre_start(&self, myself: ActorRef<WorkerMessage>, (): ()) -> Result<(), ActorProcessingErr> {
            Ok(myself.cast(WorkerMessage::Ping)?)
        }

        async fn handle(
            &self,
            myself: ActorRef<WorkerMessage>,
            message: WorkerMessage,
            (): &mut (),
        ) -> Result<(), ActorProcessingErr> {
            match message {
                WorkerMessage::Ping => std::future::pending().await,
                _ => myself.stop(None),
            }
            Ok(())
        }
    }

    #[tokio::test]
    async fn a_worker_that_waits_for_its_place_ends_when_it_is_told_to() {
        let (actor, ended) = Actor::spawn(None, Waiting, ()).await.expect("it starts");
        let hired = Hired { actor, id: "w".to_owned(), held: 0, is_ready: false, is_orphan: false };
        hired.kill();
        tokio::time::timeout(Duration::from_secs(60), ended).await.expect("it ends").expect("without a panic");
    }

    #[test]
    fn a_part_of_a_run_rests_when_it_has_had_no_worker_no_order_and_no_result_for_a_minute() {
        assert!(rests(0, 0, REST_MAX));
        assert!(!rests(0, 0, REST_MAX - Duration::from_millis(1)));
        assert!(!rests(1, 0, 10 * REST_MAX), "it may execute for long");
        assert!(!rests(0, 1, 10 * REST_MAX), "its owner waits to hear of a result");
    }

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
