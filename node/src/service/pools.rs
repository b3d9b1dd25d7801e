//! The service Pools.

use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use dspex_actors::{CallError, CallReply, CallRequest, CalledBy, Pool, PoolClass};
use dspex_api::v1::pools_server::Pools;
use dspex_api::v1::{
    self, CallPoolRequest, CallPoolResponse, DrainWorkerRequest, ListWorkersRequest, ListWorkersResponse,
    OpenPoolRequest, OpenPoolResponse, PoolStats, PoolStatsRequest, PoolStatsResponse, PoolWorker,
    RestartWorkerRequest,
};
use dspex_api::{ApiError, Code, key, reason};
use futures::{Stream, StreamExt};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status, Streaming};
use uuid::Uuid;

use super::{Node, errors, json, translate, workers};

/// Calls of one stream that are under way at once; a client that sends more waits.
const STREAM_CALLS_MAX: usize = 1024;

pub(crate) struct PoolsService {
    node: Arc<Node>,
}

impl PoolsService {
    pub(crate) fn new(node: Arc<Node>) -> Self {
        Self { node }
    }
}

impl Node {
    async fn pool(&self, id: &str) -> Result<Pool, ApiError> {
        let not_open =
            || ApiError::precondition(reason::POOL_NOT_OPEN, format!("the pool {id} is not open: open it again"));
        let id = Uuid::try_parse(id).map_err(|_| not_open())?;
        self.tree.pools().find(id).await.map_err(refusal)?.ok_or_else(not_open)
    }
}

type Answers = Pin<Box<dyn Stream<Item = Result<CallPoolResponse, Status>> + Send>>;

#[tonic::async_trait]
impl Pools for PoolsService {
    async fn open(&self, request: Request<OpenPoolRequest>) -> Result<Response<OpenPoolResponse>, Status> {
        let _call = self.node.activity.enter();
        let OpenPoolRequest { pool, caller } = request.into_inner();
        let class: PoolClass = class(&pool)?;
        let caller = match caller {
            Some(caller) => Some(translate::caller(Some(caller))?),
            None if self.node.is_embedded => {
                return Err(ApiError::invalid(reason::REQUEST_INVALID, "caller is missing").into());
            }
            None => None,
        };
        if self.node.tree.is_draining() {
            return Err(refusal(CallError::Draining).into());
        }
        let (id, _) = self.node.tree.pools().open(class, caller).await.map_err(refusal)?;
        Ok(Response::new(OpenPoolResponse { pool_id: id.to_string() }))
    }

    async fn call(&self, request: Request<CallPoolRequest>) -> Result<Response<CallPoolResponse>, Status> {
        let _call = self.node.activity.enter();
        let (actor, request) = translate::actor(request);
        let pool = self.node.pool(&request.pool_id).await?;
        json::checked_arguments(&request.arguments).await?;
        let id = request.id;
        let by = CalledBy { actor, session: None };
        let reply = self.node.tree.call(&pool, call_request(request), by).await.map_err(refusal)?;
        Ok(Response::new(answer(id, reply)))
    }

    type CallsStream = Answers;

    async fn calls(&self, request: Request<Streaming<CallPoolRequest>>) -> Result<Response<Self::CallsStream>, Status> {
        let (sender, receiver) = mpsc::channel(STREAM_CALLS_MAX);
        let (actor, requests) = translate::actor(request);
        tokio::spawn(execute_all(Arc::clone(&self.node), CalledBy { actor, session: None }, requests, sender));
        Ok(Response::new(Box::pin(ReceiverStream::new(receiver))))
    }

    async fn stats(&self, request: Request<PoolStatsRequest>) -> Result<Response<PoolStatsResponse>, Status> {
        let wanted = match request.into_inner().pool.as_str() {
            "" => None,
            name => Some(class(name)?),
        };
        let all = self.node.tree.pools().stats().await;
        let items = all.into_iter().filter(|stats| wanted.is_none_or(|class| stats.class == class)).map(stats);
        Ok(Response::new(PoolStatsResponse { items: items.collect() }))
    }

    async fn list_workers(&self, _: Request<ListWorkersRequest>) -> Result<Response<ListWorkersResponse>, Status> {
        Ok(Response::new(ListWorkersResponse { items: workers::list(&self.node).await }))
    }

    async fn drain_worker(&self, request: Request<DrainWorkerRequest>) -> Result<Response<PoolWorker>, Status> {
        let _call = self.node.activity.enter();
        let id = request.into_inner().worker_id;
        Ok(Response::new(workers::drain(&self.node, &id).await?))
    }

    async fn restart_worker(&self, request: Request<RestartWorkerRequest>) -> Result<Response<PoolWorker>, Status> {
        let _call = self.node.activity.enter();
        let RestartWorkerRequest { worker_id, force } = request.into_inner();
        Ok(Response::new(workers::restart(&self.node, &worker_id, force).await?))
    }
}

/// Executes the calls of a stream side by side, and answers each as it is ready.
async fn execute_all(
    node: Arc<Node>,
    by: CalledBy,
    mut requests: Streaming<CallPoolRequest>,
    answers: mpsc::Sender<Result<CallPoolResponse, Status>>,
) {
    let _call = node.activity.enter();
    let mut opened: Option<(String, Pool)> = None;
    while let Some(next) = requests.next().await {
        let request = match next {
            Ok(request) => request,
            // The client is gone, and with it whoever would read this.
            Err(_) => return,
        };
        // Most streams call one pool, which need not be looked up each time.
        let known = opened.as_ref().filter(|(id, _)| *id == request.pool_id).map(|(_, pool)| pool.clone());
        let pool = match known {
            Some(pool) => Ok(pool),
            None => node.pool(&request.pool_id).await,
        };
        // A place for the answer first: a reader that is slow makes its own calls wait, not this process grow.
        let Ok(place) = answers.clone().reserve_owned().await else { return };
        let id = request.id;
        // In the order of the stream, too: a long one is looked through before the next one goes on.
        let checked = match pool {
            Ok(pool) => json::checked_arguments(&request.arguments).await.map(|()| pool),
            Err(error) => Err(error),
        };
        match checked {
            Err(error) => {
                place.send(Ok(failed(id, error)));
            }
            Ok(pool) => {
                opened = Some((request.pool_id.clone(), pool.clone()));
                // In the order of the stream: only the wait is a task of its own.
                let called = node.tree.call(&pool, call_request(request), by.clone());
                tokio::spawn(async move { place.send(Ok(told(id, called.await))) });
            }
        }
    }
}

fn class(name: &str) -> Result<PoolClass, ApiError> {
    name.parse().map_err(|why: String| ApiError::not_found(reason::POOL_NOT_FOUND, why))
}

fn call_request(request: CallPoolRequest) -> CallRequest {
    CallRequest {
        command: request.command,
        arguments: request.arguments,
        queue_timeout: request.queue_timeout_ms.map(Duration::from_millis),
        execution_timeout: request.timeout_ms.map(Duration::from_millis),
        retries: request.retries,
        traceparent: (!request.traceparent.is_empty()).then_some(request.traceparent),
        session: None,
        program: None,
    }
}

fn told(id: u64, reply: Result<CallReply, CallError>) -> CallPoolResponse {
    match reply {
        Ok(reply) => answer(id, reply),
        Err(error) => failed(id, refusal(error)),
    }
}

fn answer(id: u64, reply: CallReply) -> CallPoolResponse {
    let micros = |time: Duration| u64::try_from(time.as_micros()).unwrap_or(u64::MAX);
    CallPoolResponse {
        id,
        result: reply.result,
        worker: reply.worker,
        queued_us: micros(reply.queued),
        executed_us: micros(reply.executed),
        attempt: reply.attempt,
        error: None,
    }
}

fn failed(id: u64, error: ApiError) -> CallPoolResponse {
    CallPoolResponse { id, error: Some(call_error(error)), ..CallPoolResponse::default() }
}

pub(super) fn call_error(error: ApiError) -> v1::CallError {
    let ApiError { code, reason, message, metadata } = error;
    v1::CallError { code: code.into(), reason: reason.into_owned(), message, metadata }
}

pub(super) fn refusal(error: CallError) -> ApiError {
    let message = error.to_string();
    let (code, reason) = match error {
        CallError::Full { .. }
        | CallError::ClassFull { .. }
        | CallError::TooManyDefinitions(_)
        | CallError::TooManyPools(_) => (Code::ResourceExhausted, reason::POOL_FULL),
        CallError::Drained { .. } => (Code::FailedPrecondition, reason::POOL_DRAINED),
        CallError::QueueTimeout { .. } => (Code::DeadlineExceeded, reason::QUEUE_TIMEOUT),
        CallError::TimedOut { .. } => (Code::DeadlineExceeded, reason::CALL_TIMED_OUT),
        CallError::NotDefined(_) | CallError::UnknownCommand(_) => (Code::NotFound, reason::NOT_DEFINED),
        CallError::Inputs { .. } => (Code::InvalidArgument, reason::PROGRAM_INPUTS_INVALID),
        CallError::ProgramMissing { .. } => (Code::Unavailable, reason::BLOB_NOT_FOUND),
        CallError::Read(error) => return errors::read(&error),
        CallError::TooLong(_) => (Code::ResourceExhausted, reason::TOO_LARGE),
        CallError::Stopping => (Code::Unavailable, reason::NODE_STOPPING),
        CallError::Draining => (Code::Unavailable, reason::NODE_DRAINING),
        CallError::WorkerLost { output, .. } => {
            return ApiError::new(Code::Aborted, reason::WORKER_LOST, message).with("output", output);
        }
        CallError::Failed(failure) => {
            return ApiError::new(Code::Unknown, reason::CALL_FAILED, message)
                .with("type", failure.exception)
                .with(key::TRACEBACK, failure.traceback.unwrap_or_default())
                .with(key::FILE, failure.file.unwrap_or_default())
                .with(key::LINE, failure.line.map(|line| line.to_string()).unwrap_or_default());
        }
        CallError::NotStarted(error) => return errors::refusal(error),
    };
    ApiError::new(code, reason, message)
}

fn stats(stats: dspex_actors::PoolStats) -> PoolStats {
    let count = |count: usize| u32::try_from(count).unwrap_or(u32::MAX);
    PoolStats {
        pool: stats.class.name().to_owned(),
        interpreter: stats.interpreter,
        directory: stats.directory,
        workers: count(stats.workers),
        starting: count(stats.starting),
        available: count(stats.available),
        busy: count(stats.busy),
        drained: count(stats.drained),
        queued: count(stats.queued),
        in_flight: count(stats.in_flight),
        requests: stats.requests,
        errors: stats.errors,
        queue_timeouts: stats.queue_timeouts,
        refused: stats.refused,
        restarts: stats.restarts,
        health: stats.health.status.name().to_owned(),
        health_reasons: stats.health.reasons,
    }
}
