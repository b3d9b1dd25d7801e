//! `dspex local status`. It never starts a node.

use dspex_api::v1::StatusResponse;
use serde_json::{Value, json};

use crate::embedded::Home;
use crate::error::CommandError;
use crate::exit;
use crate::invocation::Invocation;
use crate::listing;

/// Prints the node's status; that no node runs is an answer, too.
pub async fn execute(invocation: &Invocation) -> Result<u8, CommandError> {
    let status = match invocation.running_node().await? {
        Some(client) => Some(client.status().await?),
        None => None,
    };
    let value = match &status {
        Some(status) => object(status),
        None => json!({"running": false, "home": Home::of_this_process()?.path(), "runs": 0}),
    };
    listing::show(value, invocation.format)?;
    Ok(exit::OK)
}

fn object(status: &StatusResponse) -> Value {
    let zygotes: Vec<Value> = status
        .zygotes
        .iter()
        .map(|zygote| {
            json!({
                "pid": zygote.pid,
                "interpreter": zygote.interpreter,
                "python": zygote.python,
                "dspy": zygote.dspy,
                "workers": zygote.workers,
                "import_s": zygote.import_seconds,
            })
        })
        .collect();
    json!({
        "running": true,
        "pid": status.pid,
        "home": status.home,
        "version": status.version,
        "runs": status.runs,
        "node_id": status.node_id,
        "term": status.term,
        "last_log_index": status.last_log_index,
        "applied_index": status.applied_index,
        "uptime_s": status.uptime_ms as f64 / 1000.0,
        "zygotes": zygotes,
    })
}
