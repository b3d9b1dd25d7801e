//! `dspex pool stats`.

use clap::Args;
use dspex_api::v1::PoolStats;
use serde_json::{Value, json};

use crate::arguments::identifier;
use crate::error::CommandError;
use crate::exit;
use crate::invocation::Invocation;
use crate::listing::{self, Listing};

/// The arguments of `dspex pool stats`.
#[derive(Debug, Default, Args)]
pub struct Options {
    /// Only this pool: general, optimizer or inference
    #[arg(value_name = "CLASS", value_parser = identifier)]
    class: Option<String>,
}

/// Prints the pools that were used since the node started, one for each class and environment.
pub async fn execute(invocation: &Invocation, options: Options) -> Result<u8, CommandError> {
    let pools = match invocation.running_node().await? {
        Some(client) => client.pool_stats(options.class.as_deref().unwrap_or_default()).await?,
        // No node, no pools: nothing is started to say so.
        None => Vec::new(),
    };
    for pool in &pools {
        for reason in &pool.health_reasons {
            invocation.console.warning(&format!("pool {}: {reason}", pool.pool));
        }
    }
    let listing = Listing {
        items: pools.iter().map(object).collect(),
        counts: listing::counts(pools.iter().map(|pool| pool.health.as_str())),
        header: vec![
            "POOL",
            "HEALTH",
            "WORKERS",
            "AVAILABLE",
            "BUSY",
            "QUEUED",
            "REQUESTS",
            "ERRORS",
            "QUEUE TIMEOUTS",
            "DIRECTORY",
        ],
        rows: pools.iter().map(row).collect(),
        ..Listing::default()
    };
    listing.print(invocation.format, &invocation.console)?;
    Ok(exit::OK)
}

fn object(pool: &PoolStats) -> Value {
    json!({
        "pool": pool.pool,
        "health": pool.health,
        "health_reasons": pool.health_reasons,
        "workers": pool.workers,
        "available": pool.available,
        "busy": pool.busy,
        "queued": pool.queued,
        "requests": pool.requests,
        "errors": pool.errors,
        "queue_timeouts": pool.queue_timeouts,
        "starting": pool.starting,
        "drained": pool.drained,
        "in_flight": pool.in_flight,
        "refused": pool.refused,
        "restarts": pool.restarts,
        "interpreter": pool.interpreter,
        "directory": pool.directory,
    })
}

fn row(pool: &PoolStats) -> Vec<String> {
    vec![
        pool.pool.clone(),
        pool.health.clone(),
        pool.workers.to_string(),
        pool.available.to_string(),
        pool.busy.to_string(),
        pool.queued.to_string(),
        pool.requests.to_string(),
        pool.errors.to_string(),
        pool.queue_timeouts.to_string(),
        pool.directory.clone(),
    ]
}
