//! `dspex dev`: a cluster on this machine in the foreground, to try things. Its nodes are child processes of this program,
//! `dspex node` each, on loopback; they end with it, and so does their directory unless it was named.

mod lines;
pub(crate) mod nodes;
pub(crate) mod place;
pub(crate) mod plan;
mod report;
pub(crate) mod signals;

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use dspex_api::reason;

use crate::arguments::identifier;
use crate::error::CommandError;
use crate::exit;
use crate::interpreter;
use crate::invocation::Invocation;
use nodes::Nodes;
use place::{Place, Wanted};
use plan::{NODES_MAX, WORKER_NODES_MAX};
use signals::Signals;

/// For the nodes to find each other and to elect a leader, on a machine that does something else as well.
const FORMED_LIMIT: Duration = Duration::from_secs(90);

/// The arguments of `dspex dev`.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  dspex dev                      three nodes; Ctrl-C ends them and removes what they kept\n  dspex dev --nodes 1 --env OPENAI_API_KEY\n  dspex dev --worker-nodes 2     and two nodes that execute and have no vote\n  dspex dev --data ~/cluster     kept: the same command goes on with it\n  dspex dev -o json              one object with addresses and files, as soon as there is a leader\n\nThe addresses and the lines to export go to stdout, the nodes' logs to stderr (-q: none). Workers start in the current directory.\nA node that ends is not started again: the command that does so is printed. Every node listens on loopback only."
)]
pub struct Options {
    /// How many nodes with a vote [default: 3, or those that --data has]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=i64::from(NODES_MAX)))]
    nodes: Option<u32>,
    /// How many nodes besides, which execute and have no vote [default: 0, or those that --data has]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(0..=i64::from(WORKER_NODES_MAX)))]
    worker_nodes: Option<u32>,
    /// Where the nodes keep what they have, for the next time [default: a temporary directory, which is removed]
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
    /// The interpreter for workers, which needs dspy [default: as for dspex eval]
    #[arg(long, value_name = "PATH", value_parser = identifier)]
    python: Option<String>,
    /// The name of a variable of yours that workers get, for instance OPENAI_API_KEY; repeat it for more
    #[arg(long, value_name = "NAME", value_parser = plan::variable)]
    env: Vec<String>,
}

/// Runs the cluster until it is told to end; whatever happens, the nodes are ended and a temporary directory is removed.
pub async fn execute(invocation: &Invocation, options: Options) -> Result<u8, CommandError> {
    let console = &invocation.console;
    let interpreter = interpreter::of_this_process(options.python.as_deref(), "")?;
    let mut signals = Signals::listen()?;
    let wanted = Wanted { voters: options.nodes, workers: options.worker_nodes };
    let place = Place::prepare(options.data.as_deref(), wanted)?;
    place.write(&interpreter.path, &std::env::current_dir()?, &options.env)?;
    let mut nodes = Nodes::new(&place, console);
    let lived = tokio::select! {
        lived = live(invocation, &place, &mut nodes) => lived,
        () = signals.told_to_end() => Ok(()),
        () = invocation.out_of_time() => {
            Err(CommandError::because(reason::NODE_TIMED_OUT, "--command-timeout is over"))
        }
    };
    console.note("ending the nodes; once more kills them");
    tokio::select! {
        () = nodes.end() => {}
        () = signals.told_to_end() => nodes.kill().await,
    }
    drop(nodes);
    let left = place.leave().await;
    lived?;
    left?;
    Ok(exit::OK)
}

/// Returns only with an error: the cluster did not come about.
async fn live(invocation: &Invocation, place: &Place, nodes: &mut Nodes<'_>) -> Result<(), CommandError> {
    nodes.start()?;
    let formed = tokio::select! {
        formed = tokio::time::timeout(FORMED_LIMIT, nodes.formed(place.is_new())) => formed,
        early = nodes.one_ended() => return Err(early),
    };
    let leader = formed.map_err(|_| {
        let limit = FORMED_LIMIT.as_secs();
        let message = format!("after {limit} s the nodes have no leader, or not all of them have found each other");
        CommandError::because(reason::NO_LEADER, message).hint("their log lines above say whom they wait for")
    })?;
    nodes.share_token().await?;
    report::print(invocation.format, &place.report(nodes.pids(), leader), &invocation.console)?;
    invocation.console.note("the cluster is ready; Ctrl-C ends it");
    loop {
        nodes.tell_ended().await;
    }
}
