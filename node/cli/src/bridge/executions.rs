//! The executions of a node, for the program.

use bytes::Bytes;
use dspex_api::v1::{self, ClearExecutionsRequest, ExecutionStatus, GetExecutionRequest, ListExecutionsRequest};
use dspex_api::{ApiError, Client, Code, reason};
use serde::{Deserialize, Serialize};

use super::answers::{Body, Nothing};
use super::messages::Failure;
use crate::echo::quoted;
use crate::follow::new_request_id;

/// A frame holds 32 MiB.
const BLOB_BYTES_MAX: usize = 31 << 20;

#[derive(Debug, Deserialize)]
pub(super) struct List {
    #[serde(default)]
    before: u64,
    #[serde(default)]
    limit: u32,
    #[serde(default)]
    program: String,
    #[serde(default)]
    status: String,
    #[serde(default)]
    session: String,
    since_ms: Option<u64>,
    until_ms: Option<u64>,
    #[serde(default)]
    values: bool,
}

#[derive(Debug, Deserialize)]
pub(super) struct OfExecution {
    execution_id: String,
}

#[derive(Debug, Deserialize)]
pub(super) struct OfBlob {
    digest: String,
}

#[derive(Debug, Serialize)]
pub(super) struct Execution {
    execution_id: String,
    number: u64,
    program: String,
    program_id: String,
    program_version: Option<u64>,
    session_id: String,
    status: &'static str,
    input: Option<Value>,
    output: Option<Value>,
    trace: Option<Value>,
    metrics: String,
    error: Option<Raised>,
    duration_us: u64,
    queued_us: u64,
    node_id: u64,
    worker: String,
    actor: String,
    trace_id: String,
    created_ms: u64,
}

#[derive(Debug, Serialize)]
struct Value {
    json: String,
    digest: String,
    bytes: u64,
}

#[derive(Debug, Serialize)]
struct Raised {
    r#type: String,
    message: String,
}

const STATUSES: [(ExecutionStatus, &str); 6] = [
    (ExecutionStatus::Unspecified, ""),
    (ExecutionStatus::Succeeded, "succeeded"),
    (ExecutionStatus::Failed, "failed"),
    (ExecutionStatus::TimedOut, "timed_out"),
    (ExecutionStatus::Lost, "lost"),
    (ExecutionStatus::Cancelled, "cancelled"),
];

fn status(name: &str) -> Result<ExecutionStatus, ApiError> {
    let known = STATUSES.into_iter().find(|(_, own)| *own == name);
    known.map(|(status, _)| status).ok_or_else(|| {
        let names: Vec<&str> = STATUSES[1..].iter().map(|(_, name)| *name).collect();
        ApiError::invalid(
            reason::REQUEST_INVALID,
            format!("{} is none of the statuses {}", quoted(name), names.join(", ")),
        )
    })
}

impl From<v1::Execution> for Execution {
    fn from(execution: v1::Execution) -> Self {
        let value = |value: v1::ExecutionValue| Value { json: value.json, digest: value.digest, bytes: value.bytes };
        let (own, error) = (execution.status(), execution.error);
        Self {
            status: STATUSES.into_iter().find(|(status, _)| *status == own).map_or("", |(_, name)| name),
            execution_id: execution.execution_id,
            number: execution.number,
            program: execution.program,
            program_id: execution.program_id,
            program_version: execution.program_version,
            session_id: execution.session_id,
            input: execution.input.map(value),
            output: execution.output.map(value),
            trace: execution.trace.map(value),
            metrics: execution.metrics,
            error: error.map(|error| Raised { r#type: error.r#type, message: error.message }),
            duration_us: execution.duration_us,
            queued_us: execution.queued_us,
            node_id: execution.node_id,
            worker: execution.worker,
            actor: execution.actor,
            trace_id: execution.trace_id,
            created_ms: execution.created_ms,
        }
    }
}

pub(super) async fn list(client: &Client, list: List) -> Result<Body, Failure> {
    let request = ListExecutionsRequest {
        before: list.before,
        limit: list.limit,
        program: list.program,
        status: status(&list.status)?.into(),
        session_id: list.session,
        since_ms: list.since_ms,
        until_ms: list.until_ms,
        values: list.values,
        freshness: v1::Freshness::Linearizable.into(),
    };
    let page = client.list_executions(request).await?;
    let items = page.items.into_iter().map(Into::into).collect();
    Ok(Body::Executions { items, next: page.next, counts: page.counts })
}

pub(super) async fn get(client: &Client, of: OfExecution) -> Result<Body, Failure> {
    let request = GetExecutionRequest { execution_id: of.execution_id, freshness: v1::Freshness::Linearizable.into() };
    Ok(Body::Execution(Box::new(client.execution(request).await?.into())))
}

pub(super) async fn clear(client: &Client) -> Result<Body, Failure> {
    client.clear_executions(ClearExecutionsRequest { request_id: Some(new_request_id()) }).await?;
    Ok(Body::Nothing(Nothing {}))
}

/// A blob in one answer.
pub(super) async fn blob(client: &Client, of: OfBlob) -> Result<Body, Failure> {
    let data = client.get_blob(&of.digest).await?;
    if data.len() > BLOB_BYTES_MAX {
        let message =
            format!("the blob {} takes {} bytes, and an answer holds {BLOB_BYTES_MAX}", of.digest, data.len());
        return Err(ApiError::new(Code::ResourceExhausted, reason::TOO_LARGE, message).into());
    }
    Ok(Body::Blob { data: Bytes::from(data) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_status_has_the_name_that_it_is_asked_for_by() {
        for (own, name) in STATUSES {
            assert_eq!(status(name), Ok(own));
            let shown = Execution::from(v1::Execution { status: own.into(), ..v1::Execution::default() });
            assert_eq!(shown.status, name);
        }
        let error = status("done").expect_err("none of them");
        assert!(error.message.contains("succeeded, failed, timed_out, lost, cancelled"), "{}", error.message);
    }
}
