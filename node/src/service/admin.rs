//! The service Admin: this node.

use std::sync::Arc;

use dspex_actors::WorkerService;
use dspex_api::v1::admin_server::Admin;
use dspex_api::v1::{
    AuditRequest, AuditResponse, CreateTokenRequest, CreateTokenResponse, ListTokensRequest, ListTokensResponse,
    RevokeTokenRequest, RevokeTokenResponse, SaveSnapshotRequest, StatusRequest, StatusResponse, StopRequest,
    StopResponse, Worker, WorkersRequest, WorkersResponse, Zygote,
};
use dspex_api::{ApiError, reason};
use dspex_model::RunStatus;
use tonic::{Request, Response, Status};

use super::snapshots::{SavingPlace, SnapshotStream};
use super::{Node, sessions, translate, workers};

pub(crate) struct AdminService {
    node: Arc<Node>,
    saving: SavingPlace,
}

impl AdminService {
    pub(crate) fn new(node: Arc<Node>) -> Self {
        Self { node, saving: SavingPlace::new() }
    }

    fn running(&self) -> u32 {
        let count = self
            .node
            .consensus
            .read_stale(|state| state.runs().filter(|(_, run)| run.progress.status == RunStatus::Running).count());
        u32::try_from(count).unwrap_or(u32::MAX)
    }
}

#[tonic::async_trait]
impl Admin for AdminService {
    async fn status(&self, _: Request<StatusRequest>) -> Result<Response<StatusResponse>, Status> {
        let status = self.node.consensus.status();
        let zygotes = self.node.zygotes.running().into_iter().map(|zygote| {
            let ready = zygote.ready();
            Zygote {
                pid: ready.pid,
                interpreter: ready.executable.clone(),
                python: ready.python.clone(),
                dspy: ready.dspy.clone(),
                workers: u32::try_from(zygote.workers()).unwrap_or(u32::MAX),
                import_seconds: ready.import_seconds,
            }
        });
        Ok(Response::new(StatusResponse {
            pid: std::process::id(),
            home: self.node.home.display().to_string(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            runs: self.running(),
            node_id: status.node_id.0,
            term: status.term,
            last_log_index: status.last_index.unwrap_or_default(),
            applied_index: status.applied_index.unwrap_or_default(),
            uptime_ms: u64::try_from(self.node.started.elapsed().as_millis()).unwrap_or(u64::MAX),
            zygotes: zygotes.collect(),
            embedded: self.node.is_embedded,
        }))
    }

    async fn stop(&self, request: Request<StopRequest>) -> Result<Response<StopResponse>, Status> {
        let runs = self.running();
        if runs > 0 && !request.into_inner().force {
            let message = format!("{runs} run(s) are executing; with --force they are interrupted and can be resumed");
            return Err(ApiError::precondition(reason::RUN_RUNNING, message).into());
        }
        self.node.stop.notify_one();
        Ok(Response::new(StopResponse {}))
    }

    async fn workers(&self, _: Request<WorkersRequest>) -> Result<Response<WorkersResponse>, Status> {
        let items = self.node.tree.workers().into_iter().map(|view| Worker {
            worker_id: view.worker,
            pid: view.pid,
            run_id: match view.service {
                WorkerService::Run(run) => run.to_string(),
                WorkerService::Pool(_) => String::new(),
            },
            state: workers::state(view.state).to_owned(),
            in_flight: u32::try_from(view.in_flight).unwrap_or(u32::MAX),
            completed: view.completed,
        });
        Ok(Response::new(WorkersResponse { items: items.collect() }))
    }

    async fn create_token(
        &self,
        request: Request<CreateTokenRequest>,
    ) -> Result<Response<CreateTokenResponse>, Status> {
        let (actor, request) = translate::actor(request);
        Ok(Response::new(self.node.create_token(actor, request).await?))
    }

    async fn list_tokens(&self, request: Request<ListTokensRequest>) -> Result<Response<ListTokensResponse>, Status> {
        Ok(Response::new(ListTokensResponse { items: self.node.tokens(request.into_inner()).await? }))
    }

    async fn revoke_token(
        &self,
        request: Request<RevokeTokenRequest>,
    ) -> Result<Response<RevokeTokenResponse>, Status> {
        let (actor, RevokeTokenRequest { request_id, token }) = translate::actor(request);
        let token = Some(self.node.revoke_token(actor, request_id, &token).await?);
        Ok(Response::new(RevokeTokenResponse { token }))
    }

    async fn audit(&self, request: Request<AuditRequest>) -> Result<Response<AuditResponse>, Status> {
        Ok(Response::new(self.node.audit(request.into_inner()).await?))
    }

    type SaveSnapshotStream = SnapshotStream;

    async fn save_snapshot(&self, request: Request<SaveSnapshotRequest>) -> Result<Response<SnapshotStream>, Status> {
        let (actor, SaveSnapshotRequest { freshness }) = translate::actor(request);
        let freshness = sessions::freshness(freshness)?;
        Ok(Response::new(self.node.save_snapshot(actor, freshness, self.saving.take()?).await?))
    }
}
