//! HTTP for people, probes and Prometheus.

use std::sync::Arc;

use axum::Router;
use axum::http::{StatusCode, header};
use axum::response::IntoResponse;
use axum::routing::get;

use crate::service::Node;

/// `/healthz/startup|live|ready` and `/metrics`.
pub(super) fn router(node: Arc<Node>) -> Router {
    Router::new()
        // There is no server before the node has started.
        .route("/healthz/startup", get(|| async { "ok\n" }))
        // Never depends on others: a restart would not mend them.
        .route("/healthz/live", get(|| async { "ok\n" }))
        .route("/healthz/ready", get(move || async move { ready(&node) }))
        .route("/metrics", get(metrics))
}

fn ready(node: &Node) -> (StatusCode, &'static str) {
    if node.consensus.status().leader.is_some() {
        (StatusCode::OK, "ok\n")
    } else {
        (StatusCode::SERVICE_UNAVAILABLE, "the log has no leader\n")
    }
}

async fn metrics() -> impl IntoResponse {
    ([(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], dspex_telemetry::render())
}
