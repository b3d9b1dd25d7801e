//! The Python processes of this node, as people see them and what people do with them.

use std::collections::BTreeMap;

use dspex_actors::{WorkerService, WorkerState, WorkerView};
use dspex_api::v1::PoolWorker;
use dspex_api::{ApiError, reason};

use super::Node;

/// Those that live, and the places of those that were drained.
pub(super) async fn list(node: &Node) -> Vec<PoolWorker> {
    let views = node.tree.workers();
    let pids: Vec<u32> = views.iter().map(|view| view.pid).collect();
    // Reading it takes the kernel a millisecond a process.
    let memory = tokio::task::spawn_blocking(move || dspex_python::memory_of(&pids)).await.unwrap_or_default();
    let mut workers: Vec<PoolWorker> = views.into_iter().map(|view| worker(view, &memory)).collect();
    for (class, id) in node.tree.pools().drained().await {
        if !workers.iter().any(|worker| worker.worker_id == id) {
            workers.push(PoolWorker {
                worker_id: id,
                pool: class.name().to_owned(),
                state: "drained".to_owned(),
                ..PoolWorker::default()
            });
        }
    }
    workers
}

pub(super) async fn drain(node: &Node, id: &str) -> Result<PoolWorker, ApiError> {
    let worker = find(node, id).await?;
    if worker.state == "drained" {
        return Ok(worker);
    }
    if node.tree.let_worker_go(id, false) {
        return Ok(PoolWorker { state: "draining".to_owned(), ..worker });
    }
    Err(not_found(id))
}

pub(super) async fn restart(node: &Node, id: &str, force: bool) -> Result<PoolWorker, ApiError> {
    let worker = find(node, id).await?;
    if worker.state == "drained" {
        node.tree.pools().refill(id).await;
        return Ok(PoolWorker { state: "starting".to_owned(), ..worker });
    }
    let told = if force { node.tree.kill_worker(id) } else { node.tree.let_worker_go(id, true) };
    if told {
        return Ok(PoolWorker { state: "draining".to_owned(), ..worker });
    }
    // It was draining, and has ended since it was looked for.
    if node.tree.pools().refill(id).await {
        return Ok(PoolWorker { state: "starting".to_owned(), ..worker });
    }
    Err(not_found(id))
}

async fn find(node: &Node, id: &str) -> Result<PoolWorker, ApiError> {
    list(node).await.into_iter().find(|worker| worker.worker_id == id).ok_or_else(|| not_found(id))
}

fn not_found(id: &str) -> ApiError {
    ApiError::not_found(
        reason::WORKER_NOT_FOUND,
        format!("there is no worker {} (dspex worker list)", dspex_model::quoted(id)),
    )
}

fn worker(view: WorkerView, memory: &BTreeMap<u32, u64>) -> PoolWorker {
    let (pool, run_id) = match view.service {
        WorkerService::Pool(class) => (class.name().to_owned(), String::new()),
        WorkerService::Run(run) => (String::new(), run.to_string()),
    };
    PoolWorker {
        worker_id: view.worker,
        pid: view.pid,
        pool,
        run_id,
        state: state(view.state).to_owned(),
        in_flight: u32::try_from(view.in_flight).unwrap_or(u32::MAX),
        completed: view.completed,
        age_ms: u64::try_from(view.since.elapsed().as_millis()).unwrap_or(u64::MAX),
        memory_bytes: memory.get(&view.pid).copied().unwrap_or_default(),
        memory_limit_bytes: view.memory_limit,
    }
}

pub(super) fn state(state: WorkerState) -> &'static str {
    match state {
        WorkerState::Starting => "starting",
        WorkerState::Loading => "loading",
        WorkerState::Ready => "ready",
        WorkerState::Busy => "busy",
        WorkerState::Draining => "draining",
    }
}
