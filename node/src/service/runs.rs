//! The service Runs.

use std::collections::BTreeMap;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Instant;

use dspex_actors::{By, ResumeRequest, SubmitRequest, Submitted};
use dspex_api::v1::runs_server::Runs;
use dspex_api::v1::{
    Caller, CancelRunRequest, DeleteRunRequest, DeleteRunResponse, DriverAnswer, DriverQuestion, Freshness,
    GetRunRequest, ListRunsRequest, ListRunsResponse, PauseRunRequest, RequestId, ResultBatch, ResumeRunRequest,
    RetryRunRequest, Run, RunEvent, RunResultsRequest, SubmitRunRequest, SubmitRunResponse, WatchRunRequest,
    WeighRunRequest,
};
use dspex_api::{ApiError, reason};
use dspex_model::{RUN_WEIGHT_MAX, RunId};
use futures::Stream;
use tonic::{Request, Response, Status, Streaming};

use super::{Node, errors, results, serve, translate, watch};

/// A list shows this many unless all are asked for.
const LIST_MAX: usize = 100;

pub(crate) struct RunsService {
    node: Arc<Node>,
}

impl RunsService {
    pub(crate) fn new(node: Arc<Node>) -> Self {
        Self { node }
    }

    fn submitted(&self, submitted: Submitted) -> Result<Response<SubmitRunResponse>, Status> {
        let Submitted { run, resumed, notes } = submitted;
        Ok(Response::new(SubmitRunResponse { run: Some(self.node.run(run)?), resumed, notes }))
    }

    /// A stored run is executed again, with what only its caller has.
    async fn go_on(&self, asked: GoOn) -> Result<Response<SubmitRunResponse>, Status> {
        let received = Instant::now();
        let _call = self.node.activity.enter();
        let GoOn { actor, request_id, run_id, failed, caller, detach, traceparent, bundle } = asked;
        let run = translate::run_id(&run_id)?;
        let request = ResumeRequest {
            by: by(request_id, actor)?,
            received,
            caller: match self.node.was_sent(run) {
                true => translate::caller_elsewhere(caller)?,
                false => translate::caller(caller)?,
            },
            run,
            failed,
            bundle: translate::bundle(&bundle)?,
            detach,
            traceparent: (!traceparent.is_empty()).then_some(traceparent),
        };
        let submitted = self.node.tree.resume(request).await.map_err(errors::submit)?;
        self.submitted(submitted)
    }
}

/// A resume or a retry as it was asked for.
struct GoOn {
    actor: Option<String>,
    request_id: Option<RequestId>,
    run_id: String,
    failed: bool,
    caller: Option<Caller>,
    detach: bool,
    traceparent: String,
    bundle: String,
}

impl Node {
    /// A run as the contract shows it.
    pub(super) fn run(&self, id: RunId) -> Result<Run, ApiError> {
        let timing = self.tree.board(id).map(|board| board.timing()).unwrap_or_default();
        let now_ms = self.tree.now_ms();
        self.consensus
            .read_stale(|state| state.run(id).map(|run| translate::run(state, id, run, timing, now_ms)))
            .ok_or_else(|| ApiError::not_found(reason::RUN_NOT_FOUND, format!("run {id} does not exist")))
    }
}

impl Node {
    /// The same, also of one that another node has taken in a moment ago.
    pub(super) async fn known(&self, id: RunId) -> Result<Run, ApiError> {
        if let Ok(run) = self.run(id) {
            return Ok(run);
        }
        self.read(Freshness::Linearizable.into(), |_| ()).await?;
        self.run(id)
    }

    /// Whether the code of a run was sent along, so that its caller's machine plays no part.
    fn was_sent(&self, run: RunId) -> bool {
        self.consensus.read_stale(|state| state.run(run).is_some_and(|held| held.spec.shipped.is_some()))
    }
}

fn by(request_id: Option<RequestId>, actor: Option<String>) -> Result<By, ApiError> {
    Ok(By { request: Some(translate::request_id(request_id)?), actor })
}

type Events<T> = Pin<Box<dyn Stream<Item = Result<T, Status>> + Send>>;

#[tonic::async_trait]
impl Runs for RunsService {
    async fn submit(&self, request: Request<SubmitRunRequest>) -> Result<Response<SubmitRunResponse>, Status> {
        let received = Instant::now();
        let _call = self.node.activity.enter();
        let (actor, request) = translate::actor(request);
        let SubmitRunRequest { request_id, caller, evaluation, detach, resume, traceparent } = request;
        let request = SubmitRequest {
            by: by(request_id, actor)?,
            received,
            caller: match evaluation.as_ref().is_some_and(|evaluation| evaluation.shipped.is_some()) {
                true => translate::caller_elsewhere(caller)?,
                false => translate::caller(caller)?,
            },
            evaluation: translate::evaluation(evaluation)?,
            detach,
            resume,
            traceparent: (!traceparent.is_empty()).then_some(traceparent),
        };
        let submitted = self.node.tree.submit(request).await.map_err(errors::submit)?;
        self.submitted(submitted)
    }

    async fn get(&self, request: Request<GetRunRequest>) -> Result<Response<Run>, Status> {
        let _call = self.node.activity.enter();
        let id = translate::run_id(&request.into_inner().run_id)?;
        Ok(Response::new(self.node.known(id).await?))
    }

    async fn list(&self, request: Request<ListRunsRequest>) -> Result<Response<ListRunsResponse>, Status> {
        let _call = self.node.activity.enter();
        let ListRunsRequest { all, status } = request.into_inner();
        let now_ms = self.node.tree.now_ms();
        let boards = |id| self.node.tree.board(id).map(|board| board.timing()).unwrap_or_default();
        let answer = self.node.read(Freshness::Linearizable.into(), |state| {
            let mut counts: BTreeMap<String, u32> = BTreeMap::new();
            for (_, run) in state.runs() {
                *counts.entry(run.progress.status.name().to_owned()).or_default() += 1;
            }
            let wanted = |run: &dspex_model::Run| {
                status.is_empty() || status.contains(&translate::status(run.progress.status).into())
            };
            let limit = if all { usize::MAX } else { LIST_MAX };
            let mut matching = state.runs().rev().filter(|(_, run)| wanted(run));
            let items = matching.by_ref().take(limit);
            let items = items.map(|(id, run)| translate::run(state, id, run, boards(id), now_ms)).collect();
            ListRunsResponse { items, counts, truncated: matching.next().is_some() }
        });
        Ok(Response::new(answer.await?))
    }

    type WatchStream = Events<RunEvent>;

    async fn watch(&self, request: Request<WatchRunRequest>) -> Result<Response<Self::WatchStream>, Status> {
        let request = request.into_inner();
        let id = translate::run_id(&request.run_id)?;
        self.node.known(id).await?;
        let events = watch::events(Arc::clone(&self.node), id, &request);
        Ok(Response::new(Box::pin(events)))
    }

    type ResultsStream = Events<ResultBatch>;

    async fn results(&self, request: Request<RunResultsRequest>) -> Result<Response<Self::ResultsStream>, Status> {
        let request = request.into_inner();
        let id = translate::run_id(&request.run_id)?;
        self.node.known(id).await?;
        let batches = results::batches(Arc::clone(&self.node), id, request);
        Ok(Response::new(Box::pin(batches)))
    }

    type ServeStream = Events<DriverQuestion>;

    async fn serve(&self, request: Request<Streaming<DriverAnswer>>) -> Result<Response<Self::ServeStream>, Status> {
        let questions = serve::questions(Arc::clone(&self.node), request.into_inner()).await?;
        Ok(Response::new(Box::pin(questions)))
    }

    async fn cancel(&self, request: Request<CancelRunRequest>) -> Result<Response<Run>, Status> {
        let _call = self.node.activity.enter();
        let (actor, request) = translate::actor(request);
        let CancelRunRequest { request_id, run_id, reason } = request;
        let (id, by) = (translate::run_id(&run_id)?, by(request_id, actor)?);
        let mut reason = if reason.is_empty() { "cancelled".to_owned() } else { reason };
        reason.truncate(reason.floor_char_boundary(1024));
        self.node.tree.cancel(id, reason, by).await.map_err(errors::submit)?;
        Ok(Response::new(self.node.run(id)?))
    }

    async fn pause(&self, request: Request<PauseRunRequest>) -> Result<Response<Run>, Status> {
        let _call = self.node.activity.enter();
        let (actor, request) = translate::actor(request);
        let PauseRunRequest { request_id, run_id } = request;
        let (id, by) = (translate::run_id(&run_id)?, by(request_id, actor)?);
        self.node.tree.pause(id, by).await.map_err(errors::submit)?;
        Ok(Response::new(self.node.run(id)?))
    }

    async fn weigh(&self, request: Request<WeighRunRequest>) -> Result<Response<Run>, Status> {
        let _call = self.node.activity.enter();
        let (actor, request) = translate::actor(request);
        let WeighRunRequest { request_id, run_id, weight } = request;
        let (id, by) = (translate::run_id(&run_id)?, by(request_id, actor)?);
        if !(1..=RUN_WEIGHT_MAX).contains(&weight) {
            let why = format!("the weight {weight} is not from 1 to {RUN_WEIGHT_MAX}");
            return Err(ApiError::invalid(reason::REQUEST_INVALID, why).into());
        }
        self.node.tree.weigh(id, weight, by).await.map_err(errors::submit)?;
        Ok(Response::new(self.node.run(id)?))
    }

    async fn resume(&self, request: Request<ResumeRunRequest>) -> Result<Response<SubmitRunResponse>, Status> {
        let (actor, request) = translate::actor(request);
        let ResumeRunRequest { request_id, run_id, caller, detach, traceparent, bundle } = request;
        self.go_on(GoOn { actor, request_id, run_id, failed: false, caller, detach, traceparent, bundle }).await
    }

    async fn retry(&self, request: Request<RetryRunRequest>) -> Result<Response<SubmitRunResponse>, Status> {
        let (actor, request) = translate::actor(request);
        let RetryRunRequest { request_id, run_id, caller, detach, traceparent, bundle } = request;
        self.go_on(GoOn { actor, request_id, run_id, failed: true, caller, detach, traceparent, bundle }).await
    }

    async fn delete(&self, request: Request<DeleteRunRequest>) -> Result<Response<DeleteRunResponse>, Status> {
        let _call = self.node.activity.enter();
        let (actor, request) = translate::actor(request);
        let DeleteRunRequest { request_id, run_id } = request;
        let (id, by) = (translate::run_id(&run_id)?, by(request_id, actor)?);
        self.node.tree.delete(id, by).await.map_err(errors::submit)?;
        Ok(Response::new(DeleteRunResponse {}))
    }
}
