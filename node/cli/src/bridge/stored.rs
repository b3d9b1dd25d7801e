//! What requests about stored things share: request ids, time limits, how fresh a read is.

use std::time::Duration;

use dspex_api::v1::{self, Freshness};
use dspex_api::{ApiError, Code, reason};
use serde::Deserialize;
use tokio::time::{Instant, timeout_at};
use uuid::Uuid;

use super::messages::Failure;
use super::sessions::RequestId;
use crate::console::Console;
use crate::echo::quoted;
use crate::error::CommandError;
use crate::repeat::repeated;

/// Where the program names no limit. Writes may meet a change of leaders.
const LIMIT: Duration = Duration::from_secs(60);

/// With every request.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Limits {
    timeout_ms: Option<u64>,
    /// "linearizable", "lease" or "stale".
    read: Option<String>,
    request_id: Option<RequestId>,
}

impl Limits {
    /// Of a write.
    pub(super) fn request_id(&self) -> v1::RequestId {
        match &self.request_id {
            Some(RequestId(client, request)) => v1::RequestId { client: client.clone(), request: request.clone() },
            None => v1::RequestId { client: Uuid::now_v7().to_string(), request: Uuid::now_v7().to_string() },
        }
    }

    /// Of a read.
    pub(super) fn freshness(&self) -> Result<i32, Failure> {
        let known = match self.read.as_deref() {
            None | Some("linearizable") => Freshness::Linearizable,
            Some("lease") => Freshness::Lease,
            Some("stale") => Freshness::Stale,
            Some(other) => {
                let message = format!("read is \"linearizable\", \"lease\" or \"stale\", not {}", quoted(other));
                return Err(Failure::Own(CommandError::usage(message)));
            }
        };
        Ok(known.into())
    }

    fn end(&self) -> (Duration, Instant) {
        let limit = self.timeout_ms.map_or(LIMIT, Duration::from_millis);
        (limit, Instant::now() + limit)
    }

    /// Sends a write, and again under its request id while nobody can say whether it was executed.
    pub(super) async fn write<T>(&self, write: impl AsyncFn() -> Result<T, ApiError>) -> Result<T, Failure> {
        let (limit, end) = self.end();
        match timeout_at(end, repeated(&Console::new(true, 0), write)).await {
            Ok(answer) => answer.map_err(Failure::Api),
            Err(_) => {
                let waited = limit.as_secs_f64();
                let message = format!(
                    "within {waited} s nobody could say whether the write was executed; it may be, even later: read what \
                     stands there before you write again"
                );
                Err(Failure::Api(ApiError::new(Code::Unavailable, reason::OUTCOME_UNKNOWN, message)))
            }
        }
    }

    /// Waits for a read, but not for ever.
    pub(super) async fn read<T>(&self, read: impl Future<Output = Result<T, ApiError>>) -> Result<T, Failure> {
        let (limit, end) = self.end();
        match timeout_at(end, read).await {
            Ok(answer) => answer.map_err(Failure::Api),
            Err(_) => {
                let message = format!("the node did not answer within {} s", limit.as_secs_f64());
                Err(Failure::Api(ApiError::new(Code::DeadlineExceeded, reason::NODE_TIMED_OUT, message)))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limits(text: &str) -> Limits {
        serde_json::from_str(text).expect(text)
    }

    #[test]
    fn a_program_may_bring_its_own_request_id() {
        let given = limits(r#"{"request_id": ["c", "r"]}"#).request_id();
        assert_eq!((given.client.as_str(), given.request.as_str()), ("c", "r"));
        let (one, other) = (limits("{}").request_id(), limits("{}").request_id());
        assert!(
            one.request != other.request && Uuid::parse_str(&one.request).is_ok_and(|id| id.get_version_num() == 7)
        );
    }

    #[test]
    fn a_read_is_as_fresh_as_is_asked_for() {
        assert_eq!(limits("{}").freshness().expect("known"), i32::from(Freshness::Linearizable));
        assert_eq!(limits(r#"{"read": "stale"}"#).freshness().expect("known"), i32::from(Freshness::Stale));
        assert!(limits(r#"{"read": "soon"}"#).freshness().is_err());
    }

    #[tokio::test]
    async fn what_stays_unknown_ends_with_the_limit_and_a_refusal_keeps_what_the_node_says() {
        let short = limits(r#"{"timeout_ms": 200}"#);
        let unknown = || ApiError::unavailable(reason::OUTCOME_UNKNOWN, "unknown");
        let ended = short.write(async || Err::<(), _>(unknown())).await.expect_err("unknown");
        assert!(
            matches!(&ended, Failure::Api(error) if error.reason == reason::OUTCOME_UNKNOWN && error.message.contains("0.2 s")),
            "{ended:?}"
        );
        let refusal =
            || ApiError::new(Code::Aborted, reason::VERSION_CONFLICT, "at 3").with(dspex_api::key::CURRENT, "3");
        let refused = short.write(async || Err::<(), _>(refusal())).await.expect_err("refused");
        assert!(
            matches!(&refused, Failure::Api(error) if error.get(dspex_api::key::CURRENT) == Some("3")),
            "{refused:?}"
        );
        let late = short.read(std::future::pending::<Result<(), ApiError>>()).await.expect_err("too late");
        assert!(matches!(&late, Failure::Api(error) if error.reason == reason::NODE_TIMED_OUT), "{late:?}");
    }
}
