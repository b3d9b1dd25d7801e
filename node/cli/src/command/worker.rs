//! `dspex worker`: the Python processes of a node.

use clap::{Args, Subcommand};
use dspex_api::v1::PoolWorker;
use dspex_api::{Client, reason};
use serde_json::{Value, json};

use crate::arguments::identifier;
use crate::echo::quoted;
use crate::error::CommandError;
use crate::exit;
use crate::invocation::Invocation;
use crate::listing::{self, Listing};

/// The arguments of `dspex worker`.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  dspex worker                      the same as dspex worker list\n  dspex worker show ID\n  dspex worker drain ID             it finishes what it has and ends; its place stays empty\n  dspex worker restart ID           the same, and another one takes its place; fills the place of a drained one\n  dspex worker restart ID --force   now; what it executes runs again on another worker\n\nAn id may be shortened to what only one worker's id begins or ends with."
)]
pub struct Options {
    #[command(subcommand)]
    verb: Option<Verb>,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// List the workers of pools and of runs
    List,
    /// Show one worker
    Show {
        /// Its id
        #[arg(value_name = "ID", value_parser = identifier)]
        worker: String,
    },
    /// Let a worker finish what it has and end, without a replacement
    Drain {
        /// Its id
        #[arg(value_name = "ID", value_parser = identifier)]
        worker: String,
    },
    /// Replace a worker when it has finished what it has
    Restart {
        /// Its id
        #[arg(value_name = "ID", value_parser = identifier)]
        worker: String,
        /// Now: what it executes runs again on another worker
        #[arg(long)]
        force: bool,
    },
}

/// Does what the verb says; the bare noun lists.
pub async fn execute(invocation: &Invocation, options: Options) -> Result<u8, CommandError> {
    let Some(client) = invocation.running_node().await? else {
        return match options.verb {
            None | Some(Verb::List) => list(invocation, &[]),
            Some(_) => Err(CommandError::because(reason::WORKER_NOT_FOUND, "no node runs, so there are no workers")),
        };
    };
    match options.verb {
        None | Some(Verb::List) => list(invocation, &client.list_workers().await?),
        Some(Verb::Show { worker }) => show(invocation, &find(&client, &worker).await?),
        Some(Verb::Drain { worker }) => {
            let id = find(&client, &worker).await?.worker_id;
            show(invocation, &client.drain_worker(&id).await?)
        }
        Some(Verb::Restart { worker, force }) => {
            let id = find(&client, &worker).await?.worker_id;
            show(invocation, &client.restart_worker(&id, force).await?)
        }
    }
}

async fn find(client: &Client, text: &str) -> Result<PoolWorker, CommandError> {
    let workers = client.list_workers().await?;
    let is_meant = |worker: &&PoolWorker| {
        !text.is_empty() && (worker.worker_id.starts_with(text) || worker.worker_id.ends_with(text))
    };
    let mut found: Vec<&PoolWorker> = workers.iter().filter(is_meant).collect();
    if let Some(exact) = workers.iter().find(|worker| worker.worker_id == text) {
        found = vec![exact];
    }
    match found.as_slice() {
        [one] => Ok((*one).clone()),
        [] => Err(CommandError::because(reason::WORKER_NOT_FOUND, format!("there is no worker {}", quoted(text)))
            .hint("dspex worker list shows the workers")),
        several => {
            let ids: Vec<&str> = several.iter().take(10).map(|worker| worker.worker_id.as_str()).collect();
            Err(CommandError::because(
                reason::WORKER_NOT_FOUND,
                format!("{} workers are meant by {}:\n  {}", several.len(), quoted(text), ids.join("\n  ")),
            ))
        }
    }
}

fn list(invocation: &Invocation, workers: &[PoolWorker]) -> Result<u8, CommandError> {
    let listing = Listing {
        items: workers.iter().map(object).collect(),
        counts: listing::counts(workers.iter().map(|worker| worker.state.as_str())),
        header: vec!["WORKER", "PID", "SERVES", "STATE", "IN FLIGHT", "COMPLETED", "MEMORY", "AGE"],
        rows: workers.iter().map(row).collect(),
        ..Listing::default()
    };
    listing.print(invocation.format, &invocation.console)?;
    Ok(exit::OK)
}

fn show(invocation: &Invocation, worker: &PoolWorker) -> Result<u8, CommandError> {
    listing::show(object(worker), invocation.format)?;
    Ok(exit::OK)
}

fn object(worker: &PoolWorker) -> Value {
    let or_null = |text: &str| if text.is_empty() { Value::Null } else { Value::from(text) };
    json!({
        "worker": worker.worker_id,
        "pid": if worker.pid == 0 { Value::Null } else { Value::from(worker.pid) },
        "pool": or_null(&worker.pool),
        "run_id": or_null(&worker.run_id),
        "state": worker.state,
        "in_flight": worker.in_flight,
        "completed": worker.completed,
        "age_s": worker.age_ms as f64 / 1000.0,
        "memory_bytes": if worker.memory_bytes == 0 { Value::Null } else { Value::from(worker.memory_bytes) },
        "memory_limit_bytes": worker.memory_limit_bytes,
    })
}

fn row(worker: &PoolWorker) -> Vec<String> {
    vec![
        worker.worker_id.clone(),
        if worker.pid == 0 { String::new() } else { worker.pid.to_string() },
        if worker.pool.is_empty() { format!("run {}", worker.run_id) } else { worker.pool.clone() },
        worker.state.clone(),
        worker.in_flight.to_string(),
        worker.completed.to_string(),
        if worker.memory_bytes == 0 {
            String::new()
        } else {
            format!("{:.1} MiB", worker.memory_bytes as f64 / f64::from(1 << 20))
        },
        format!("{} s", worker.age_ms / 1000),
    ]
}
