//! When the faults have ended, every node takes writes again within a bound.

use std::time::{Duration, Instant};

use dspex_api::v1::{CreateSessionRequest, RequestId};
use uuid::Uuid;

use crate::finding::Finding;
use crate::target::Target;

const PAUSE: Duration = Duration::from_millis(100);

/// Writes through each node until that is acknowledged. What it writes ends by itself.
pub fn check(target: &Target, limit: Duration) -> Finding {
    let begun = Instant::now();
    let mut broken = Vec::new();
    for (node, door) in target.doors().iter().enumerate() {
        loop {
            let Err(error) = target.ask(node, async |client| client.create_session(mark()).await) else { break };
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

fn mark() -> CreateSessionRequest {
    let request_id = Some(RequestId { client: Uuid::new_v4().to_string(), request: Uuid::now_v7().to_string() });
    CreateSessionRequest { request_id, ttl_ms: Some(60_000), ..Default::default() }
}
