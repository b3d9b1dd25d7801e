//! HTTP for people, probes and Prometheus.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::http::StatusCode;
use axum::http::header::{self, HeaderName};
use axum::routing::get;

use super::channels;
use crate::service::Node;

/// For the quorum to answer a probe; probes themselves give up after a second or more.
const READY_LIMIT: Duration = Duration::from_millis(900);

/// `/healthz/startup|live|ready` and `/metrics`.
pub(super) fn router(node: Arc<Node>) -> Router {
    let measured = Arc::clone(&node);
    Router::new()
        // There is no server before the node has started.
        .route("/healthz/startup", get(|| async { "ok\n" }))
        // Never depends on others: a restart would not mend them.
        .route("/healthz/live", get(|| async { "ok\n" }))
        .route("/healthz/ready", get(move || async move { ready(&node).await }))
        .route("/metrics", get(move || async move { metrics(&measured) }))
}

/// Whether a quorum answers now: a leader that has lost it still takes itself for one for a while. A node without a vote is ready
/// when it knows for whom it works.
async fn ready(node: &Node) -> (StatusCode, &'static str) {
    if node.consensus.is_worker() {
        return match node.consensus.status().leader {
            Some(_) => (StatusCode::OK, "ok\n"),
            None => (StatusCode::SERVICE_UNAVAILABLE, "no voter answers\n"),
        };
    }
    match tokio::time::timeout(READY_LIMIT, node.consensus.read(|_| ())).await {
        Ok(Ok(())) => (StatusCode::OK, "ok\n"),
        Ok(Err(_)) | Err(_) => (StatusCode::SERVICE_UNAVAILABLE, "no quorum answers\n"),
    }
}

fn metrics(node: &Node) -> ([(HeaderName, &'static str); 1], String) {
    if let Some(traffic) = &node.traffic {
        channels::publish(traffic);
    }
    ([(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], dspex_telemetry::render())
}
