//! The service Executions.

use std::sync::Arc;

use dspex_api::v1::executions_server::Executions;
use dspex_api::v1::{
    self, ClearExecutionsRequest, ClearExecutionsResponse, GetExecutionRequest, ListExecutionsRequest,
    ListExecutionsResponse,
};
use dspex_api::{ApiError, reason};
use dspex_consensus::ExecutionsError;
use dspex_model::{Command, ExecutionQuery, ExecutionStatus, ExecutionValue, RecordedExecution, quoted};
use tonic::{Request, Response, Status};
use uuid::Uuid;

use super::sessions::freshness;
use super::{Node, errors, translate};

/// A page has this many unless another number is asked for, and never more than the second.
const PAGE: usize = 100;
const PAGE_MAX: usize = 1000;

pub(crate) struct ExecutionsService {
    node: Arc<Node>,
}

impl ExecutionsService {
    pub(crate) fn new(node: Arc<Node>) -> Self {
        Self { node }
    }
}

fn status(wanted: i32) -> Result<Option<ExecutionStatus>, ApiError> {
    Ok(match v1::ExecutionStatus::try_from(wanted) {
        Ok(v1::ExecutionStatus::Unspecified) => None,
        Ok(v1::ExecutionStatus::Succeeded) => Some(ExecutionStatus::Succeeded),
        Ok(v1::ExecutionStatus::Failed) => Some(ExecutionStatus::Failed),
        Ok(v1::ExecutionStatus::TimedOut) => Some(ExecutionStatus::TimedOut),
        Ok(v1::ExecutionStatus::Lost) => Some(ExecutionStatus::Lost),
        Ok(v1::ExecutionStatus::Cancelled) => Some(ExecutionStatus::Cancelled),
        Err(_) => {
            return Err(ApiError::invalid(reason::REQUEST_INVALID, format!("the status {wanted} is unknown here")));
        }
    })
}

fn of_status(status: ExecutionStatus) -> v1::ExecutionStatus {
    match status {
        ExecutionStatus::Succeeded => v1::ExecutionStatus::Succeeded,
        ExecutionStatus::Failed => v1::ExecutionStatus::Failed,
        ExecutionStatus::TimedOut => v1::ExecutionStatus::TimedOut,
        ExecutionStatus::Lost => v1::ExecutionStatus::Lost,
        ExecutionStatus::Cancelled => v1::ExecutionStatus::Cancelled,
    }
}

fn value(value: ExecutionValue) -> v1::ExecutionValue {
    match value {
        ExecutionValue::Inline(json) => {
            v1::ExecutionValue { bytes: json.len() as u64, json, ..v1::ExecutionValue::default() }
        }
        ExecutionValue::Blob { digest, bytes } => {
            v1::ExecutionValue { digest: digest.to_string(), bytes, ..v1::ExecutionValue::default() }
        }
    }
}

fn execution((number, recorded): (u64, RecordedExecution), with_values: bool) -> v1::Execution {
    let RecordedExecution { created_ms, execution } = recorded;
    let shown = |given: Option<ExecutionValue>| given.filter(|_| with_values).map(value);
    v1::Execution {
        execution_id: execution.id.to_string(),
        number,
        program: execution.program,
        program_id: execution.program_id.map(|id| Uuid::from_u128(id).to_string()).unwrap_or_default(),
        program_version: execution.program_version,
        session_id: execution.session.map(|session| session.to_string()).unwrap_or_default(),
        status: of_status(execution.status).into(),
        input: shown(Some(execution.input)),
        output: shown(execution.output),
        trace: shown(execution.trace),
        metrics: execution.metrics,
        error: execution.error.map(|error| v1::ExecutionError { r#type: error.class, message: error.message }),
        duration_us: execution.duration_us,
        queued_us: execution.queued_us,
        node_id: execution.node.0,
        worker: execution.worker,
        actor: execution.actor.unwrap_or_default(),
        trace_id: execution.trace_id.map(|id| format!("{id:032x}")).unwrap_or_default(),
        created_ms,
    }
}

fn failed(error: &ExecutionsError) -> Status {
    match error {
        ExecutionsError::Read(error) => errors::read(error).into(),
        ExecutionsError::Storage(error) => errors::storage(error),
        other => errors::internal(other),
    }
}

fn query(request: ListExecutionsRequest) -> Result<ExecutionQuery, ApiError> {
    let ListExecutionsRequest { before, limit, program, status: wanted, session_id, since_ms, until_ms, .. } = request;
    let given = |text: String| Some(text).filter(|text| !text.is_empty());
    Ok(ExecutionQuery {
        program: given(program),
        status: status(wanted)?,
        session: given(session_id),
        since_ms,
        until_ms,
        before: (before > 0).then_some(before),
        limit: if limit == 0 { PAGE } else { (limit as usize).min(PAGE_MAX) },
    })
}

#[tonic::async_trait]
impl Executions for ExecutionsService {
    async fn list(&self, request: Request<ListExecutionsRequest>) -> Result<Response<ListExecutionsResponse>, Status> {
        let request = request.into_inner();
        let (freshness, with_values) = (freshness(request.freshness)?, request.values);
        let page = self.node.consensus.executions(query(request)?, freshness).await.map_err(|error| failed(&error))?;
        let counts = ExecutionStatus::ALL.into_iter().zip(page.counts);
        Ok(Response::new(ListExecutionsResponse {
            items: page.items.into_iter().map(|one| execution(one, with_values)).collect(),
            next: page.next.unwrap_or_default(),
            counts: counts.map(|(status, count)| (status.name().to_owned(), count)).collect(),
        }))
    }

    async fn get(&self, request: Request<GetExecutionRequest>) -> Result<Response<v1::Execution>, Status> {
        let GetExecutionRequest { execution_id: text, freshness: wanted } = request.into_inner();
        let id = text
            .parse()
            .map_err(|error| ApiError::invalid(reason::REQUEST_INVALID, format!("{}: {error}", quoted(&text))))?;
        let found = self.node.consensus.execution(id, freshness(wanted)?).await.map_err(|error| failed(&error))?;
        let found = found.ok_or_else(|| {
            let message = format!("execution {id} is not recorded, or not kept any more");
            ApiError::not_found(reason::EXECUTION_NOT_FOUND, message)
        })?;
        Ok(Response::new(execution(found, true)))
    }

    async fn clear(
        &self,
        request: Request<ClearExecutionsRequest>,
    ) -> Result<Response<ClearExecutionsResponse>, Status> {
        let (actor, ClearExecutionsRequest { request_id }) = translate::actor(request);
        self.node.write(request_id, actor, Command::ClearExecutions).await?;
        Ok(Response::new(ClearExecutionsResponse {}))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_is_bounded_whatever_is_asked_for() {
        let limit =
            |limit| query(ListExecutionsRequest { limit, ..ListExecutionsRequest::default() }).map(|query| query.limit);
        assert_eq!([limit(0), limit(7), limit(u32::MAX)], [Ok(PAGE), Ok(7), Ok(PAGE_MAX)]);
    }

    #[test]
    fn what_is_not_said_does_not_choose_and_an_unknown_status_is_refused() {
        let all = query(ListExecutionsRequest::default()).expect("a query");
        assert_eq!(all, ExecutionQuery { limit: PAGE, ..ExecutionQuery::default() });
        let error = query(ListExecutionsRequest { status: 77, ..ListExecutionsRequest::default() });
        assert!(error.is_err_and(|error| error.message.contains("77")));
        for own in ExecutionStatus::ALL {
            assert_eq!(status(of_status(own).into()), Ok(Some(own)));
        }
    }
}
