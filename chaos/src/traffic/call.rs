//! A write by code that is called in the session.

use std::time::Duration;

use dspex_api::v1::{ExecuteSessionRequest, RequestId};
use dspex_api::{ApiError, reason};
use serde_json::json;

use crate::Outcome;

/// How long a call may take with all its sendings: a Python process may have to be started for it, on a node that was just started itself.
pub(super) const LIMIT: Duration = Duration::from_secs(20);
/// How long one sending may wait for a worker, and take in all.
const QUEUED: Duration = Duration::from_secs(8);
const SENDING: Duration = Duration::from_secs(10);

/// Puts a value into a session.
pub(super) fn request(request: RequestId, key: &str, command: &str, value: &str) -> ExecuteSessionRequest {
    ExecuteSessionRequest {
        request_id: Some(request),
        session_id: key.to_owned(),
        command: command.to_owned(),
        arguments: json!({ "value": value }).to_string().into(),
        queue_timeout_ms: u64::try_from(QUEUED.as_millis()).ok(),
        ..ExecuteSessionRequest::default()
    }
}

/// What came of one sending.
pub(super) async fn execute(client: &dspex_api::Client, request: ExecuteSessionRequest) -> Result<Outcome, ApiError> {
    match client.execute_session(request, SENDING).await {
        Ok(executed) => match executed.version {
            Some(version) => Ok(Outcome::Written { version }),
            None => Err(ApiError::internal("a call that changes the session made no version of it")),
        },
        // Somebody else has written meanwhile, so nothing of it counts. Where the session stands now is not said to a write
        // that expected nothing.
        Err(error) if error.reason == reason::VERSION_CONFLICT => {
            Ok(Outcome::Refused { reason: error.reason.to_string() })
        }
        Err(error) => Err(error),
    }
}
