//! When the faults have ended, every node takes writes again within a bound.

use std::time::{Duration, Instant};

use dspex_api::v1::{DeleteSessionRequest, RequestId};
use dspex_api::{ApiError, Client, reason};
use uuid::Uuid;

use crate::finding::Finding;
use crate::target::Target;

const PAUSE: Duration = Duration::from_millis(100);

/// Writes through each node until that is answered by the log.
pub fn check(target: &Target, limit: Duration) -> Finding {
    let begun = Instant::now();
    let mut broken = Vec::new();
    for (node, door) in target.doors().iter().enumerate() {
        while let Err(error) = target.ask(node, write) {
            if begun.elapsed() > limit {
                broken.push(format!("{} takes no writes {} s after the faults: {error}", door.name, limit.as_secs()));
                break;
            }
            std::thread::sleep(PAUSE);
        }
    }
    let looked_at = format!("{} nodes, after {:.1} s", target.doors().len(), begun.elapsed().as_secs_f64());
    Finding::new("answers again", looked_at, broken)
}

/// The end of a session that nobody has: it goes through the log, which refuses it, and leaves nothing behind.
async fn write(client: Client) -> Result<(), ApiError> {
    let request_id = Some(RequestId { client: Uuid::new_v4().to_string(), request: Uuid::now_v7().to_string() });
    let session_id = format!("chaos-nobody-{}", Uuid::new_v4());
    match client.delete_session(DeleteSessionRequest { request_id, session_id, expected_version: None }).await {
        Err(error) if error.reason == reason::SESSION_NOT_FOUND => Ok(()),
        answer => answer,
    }
}
