//! A node from its start to its end, whichever kind it is.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use dspex_actors::{BundleSettings, Bundles, NamedEnvironment, NodeParts, PoolsSettings, RunLimits, Tree};
use dspex_consensus::{Consensus, ConsensusOptions, MemberChange, PeerService};
use dspex_model::{NodeId, NodeInfo, RunStatus};
use dspex_python::{
    Limits, Package, Registry, Sandbox, SandboxSetup, Zygotes, clean_up_orphans, probe_process_cgroup,
    remove_left_groups,
};
use dspex_sandbox::Kernel;
use dspex_storage::{BlobStore, DataDirectory, OpenError, Options};
use dspex_telemetry::{Settings, Telemetry};
use dspex_transport::Traffic;
use futures::FutureExt;
use futures::future::FusedFuture;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::Notify;
use tracing::{info, warn};
use uuid::Uuid;

use crate::activity::Activity;
use crate::peers::{self, PeerSetup};
use crate::server::{self, Listeners};
use crate::service::{self, Homes, Inference, Node};
use crate::start_error::Failure;

/// For the API server to answer what is under way.
const SERVER_GRACE: Duration = Duration::from_secs(5);
const LOOK_EVERY: Duration = Duration::from_secs(5);
/// For another voter to take over the leadership.
const HAND_OVER: Duration = Duration::from_secs(3);
/// For calls of pools that are under way.
const CALLS_GRACE: Duration = Duration::from_secs(5);
/// For other nodes to take over what this one has of runs.
const RUNS_GRACE: Duration = Duration::from_secs(5);
/// For the records of executions that have ended.
const RECORDS_GRACE: Duration = Duration::from_secs(5);
/// After a failed write: for the runs to end.
const FAILURE_GRACE: Duration = Duration::from_secs(2);
/// How soon a failed write is noticed, and how long commands have to hear of it.
const FAILURE_LOOK_EVERY: Duration = Duration::from_millis(200);
/// For the last spans to reach their collector.
const TELEMETRY_GRACE: Duration = Duration::from_secs(3);

/// What a node is started with.
pub(crate) struct Setup {
    /// Its own files are beneath it.
    pub home: PathBuf,
    pub listeners: Listeners,
    pub pools: PoolsSettings,
    pub runs: RunLimits,
    /// In which code is executed that was sent along; an embedded node has none.
    pub environments: Vec<NamedEnvironment>,
    /// How much room that code has.
    pub bundles: BundleSettings,
    /// Of its workers; `None`: they have none.
    pub sandbox: Option<SandboxSetup>,
    /// Each caller brings its own environment.
    pub is_embedded: bool,
    /// Without calls and runs for so long, it ends.
    pub idle_max: Option<Duration>,
    /// `None`: it has no peers.
    pub peers: Option<PeerSetup>,
    /// What people and clients are told of it.
    pub info: NodeInfo,
}

/// Starts telemetry, then makes the setup and runs the node until it is told to stop or nobody needs it. Gives the exit code.
pub(crate) fn run(home: &Path, setup: impl FnOnce() -> Result<Setup, Failure>) -> i32 {
    let telemetry = match Telemetry::start(Settings::from_environment()) {
        Ok(telemetry) => telemetry,
        Err(error) => return Failure::other(error).leave(home),
    };
    let code = run_observed(home, setup);
    telemetry.shutdown(TELEMETRY_GRACE);
    code
}

fn run_observed(home: &Path, setup: impl FnOnce() -> Result<Setup, Failure>) -> i32 {
    // A child of the same user could otherwise read this process's memory and environment.
    if let Err(error) = rustix::process::set_dumpable_behavior(rustix::process::DumpableBehavior::NotDumpable) {
        warn!(%error, "the node's memory is readable for processes of the same user");
    }
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return Failure::other(error).leave(home),
    };
    let code = match setup().and_then(|setup| runtime.block_on(live(setup))) {
        Ok(()) => 0,
        Err(failure) => failure.leave(home),
    };
    // Python processes and files are gone by now; a blocked reader must not hold the process.
    runtime.shutdown_timeout(Duration::from_secs(2));
    code
}

async fn live(setup: Setup) -> Result<(), Failure> {
    let home = setup.home.as_path();
    let data = open(home, &setup).await?;
    let node_id = data.identity().node_id;
    let (consensus, peers) = start_consensus(&data, &setup).await?;
    let (peer_service, traffic) = peers.unzip();
    if setup.sandbox.is_none() && !setup.is_embedded {
        warn!("the workers are not sandboxed: what a caller's program does, this node's user does (sandbox.mode)");
    }
    let bundles = Bundles::open(&home.join("bundles"), setup.bundles);
    let shipped = Shipped { environments: setup.environments, bundles: Arc::new(bundles) };
    let tree = start_tree(home, &data, &consensus, (setup.pools, setup.runs), shipped, setup.sandbox).await?;
    if let Some(service) = peer_service {
        serve_peers(&service, &tree, &consensus);
    }
    let activity = Activity::new();
    let stop = Arc::new(Notify::new());
    let node = Node {
        home: home.to_path_buf(),
        started: std::time::Instant::now(),
        tree: tree.clone(),
        consensus: consensus.clone(),
        blobs: data.blobs().clone(),
        zygotes: tree.zygotes(),
        traffic,
        activity: activity.clone(),
        stop: Arc::clone(&stop),
        is_embedded: setup.is_embedded,
    };
    let (end, ended) = tokio::sync::watch::channel(());
    let place = setup.listeners.to_string();
    let serving = server::serve(setup.listeners.clone(), Arc::new(node), ended);
    let mut serving = tokio::spawn(serving).fuse();
    info!(home = %home.display(), version = env!("CARGO_PKG_VERSION"), node = %node_id, listens = %place, "the node is ready");
    let taking_part = async {
        match setup.peers {
            Some(_) => peers::take_part(consensus.clone(), node_id, setup.info).await,
            None => std::future::pending().await,
        }
    };
    let failure = tokio::select! {
        () = wanted_no_more(&consensus, &activity, setup.idle_max) => None,
        () = stop.notified() => None,
        () = told_to_end() => None,
        error = taking_part => Some(Failure::formation(error)),
        stopped = consensus.stopped() => Some(Failure::storage(log_stopped(stopped))),
        failed = storage_failed(data.blobs(), &consensus) => Some(Failure::storage(failed)),
        // A node that nobody can reach is of no use, and would hold the data directory.
        served = &mut serving => Some(Failure::other(unreachable(&place, served))),
    };
    // New commands must not find a node that is ending.
    setup.listeners.remove_socket();
    drop(end);
    leave(&tree, &consensus, node_id).await;
    // One that ended by itself was heard above.
    if !serving.is_terminated()
        && let Ok(Ok(Err(error))) = tokio::time::timeout(SERVER_GRACE, serving).await
    {
        warn!(%error, "the API server ended badly");
    }
    consensus.shutdown().await;
    data.blobs().stop_copying();
    match failure {
        Some(failure) => Err(failure),
        None => {
            info!("the node has ended");
            Ok(())
        }
    }
}

/// What the node has under way goes to others or comes to its end, each within its grace.
async fn leave(tree: &Tree, consensus: &Consensus, node: NodeId) {
    hand_over(consensus).await;
    tokio::join!(tree.leave(RUNS_GRACE), tree.pools().settle(CALLS_GRACE), tree.sessions().settle(CALLS_GRACE));
    peers::end_lease(consensus, node).await;
    tree.executions().settle(RECORDS_GRACE).await;
    tree.stop().await;
}

fn log_stopped(why: Option<String>) -> String {
    format!("the log stopped: {}", why.unwrap_or_default())
}

/// What to say of an API server that ended while it was needed.
fn unreachable(place: &str, served: Result<anyhow::Result<()>, tokio::task::JoinError>) -> String {
    let why = match served {
        Ok(Ok(())) => "it ended".to_owned(),
        Ok(Err(error)) => format!("{error:#}"),
        Err(error) => error.to_string(),
    };
    format!("no command can reach the node at {place}: {why}; give it a directory it can write, or a port that is free")
}

async fn open(home: &Path, setup: &Setup) -> Result<DataDirectory, Failure> {
    let path = home.join("data");
    let (is_embedded, is_alone) = (setup.is_embedded, setup.peers.is_none());
    let opening = tokio::task::spawn_blocking(move || {
        if is_embedded {
            return DataDirectory::open(path, &Options::embedded());
        }
        match DataDirectory::open(&path, &Options::cluster(new_node_id())) {
            // Before there were clusters, a node alone had the other kind. It never becomes part of one.
            Err(OpenError::OtherKind { .. }) if is_alone => DataDirectory::open(&path, &Options::embedded()),
            opened => opened,
        }
    });
    Ok(opening.await.map_err(Failure::other)??)
}

async fn start_consensus(
    data: &DataDirectory,
    setup: &Setup,
) -> Result<(Consensus, Option<(PeerService, Traffic)>), Failure> {
    let peers = match &setup.peers {
        Some(peers) => Some(peers.start(data).await?),
        None => None,
    };
    let kept = peers.as_ref().map(|peers| (peers.service.clone(), peers.transport.traffic()));
    let remark = service::sandbox(setup.is_embedded, setup.sandbox.is_some()).to_owned();
    let options = ConsensusOptions { remark, ..ConsensusOptions::default() };
    Ok((Consensus::start(data, options, peers).await?, kept))
}

/// What peers ask beside consensus.
fn serve_peers(service: &PeerService, tree: &Tree, consensus: &Consensus) {
    service.serve_inference(Inference::new(tree.sessions().clone(), consensus.clone()));
    service.serve_coordination(tree.links());
    service.serve_real_time(tree.real_time());
    service.serve_telemetry(tree.telemetry());
}

/// For a new directory; drawn, so that no two nodes have the same. Small enough to be typed.
pub(crate) fn new_node_id() -> NodeId {
    let drawn = Uuid::new_v4().as_u128() & u128::from(u32::MAX);
    NodeId(u64::try_from(drawn).unwrap_or_default().max(1))
}

/// A leader that ends says who leads from here on, so that nobody has to wait for an election.
async fn hand_over(consensus: &Consensus) {
    let draining: Vec<NodeId> = consensus.read_stale(|state| state.draining().map(|(node, _)| node).collect());
    // One that drains would have to hand it over again.
    let successor = consensus.successor(|node| !draining.contains(&node)).or_else(|| consensus.successor(|_| true));
    let Some(node) = successor else { return };
    let transfer = MemberChange::Transfer { node };
    match tokio::time::timeout(HAND_OVER, consensus.change_members(&transfer, HAND_OVER)).await {
        Ok(Ok(())) => info!(to = %node, "handed over the leadership"),
        Ok(Err(error)) => warn!(%error, "the leadership was not handed over"),
        Err(_) => warn!("the leadership was not handed over in time"),
    }
}

/// For code that was sent along.
struct Shipped {
    environments: Vec<NamedEnvironment>,
    bundles: Arc<Bundles>,
}

async fn start_tree(
    home: &Path,
    data: &DataDirectory,
    consensus: &Consensus,
    (pools, runs): (PoolsSettings, RunLimits),
    shipped: Shipped,
    sandbox: Option<SandboxSetup>,
) -> Result<Tree, Failure> {
    let processes = home.join("processes");
    let cleanup = clean_up_orphans(&processes).map_err(Failure::other)?;
    if !cleanup.killed.is_empty() {
        info!(killed = ?cleanup.killed, "ended what a crashed node left behind");
    }
    // What was just ended was still in them.
    let groups = remove_left_groups();
    if groups > 0 {
        info!(groups, "removed the cgroups of nodes that were killed");
    }
    let registry = Registry::open(&processes, &Uuid::now_v7().to_string()).map_err(Failure::other)?;
    let package = Package::unpack(&home.join("runtime")).map_err(Failure::other)?;
    let sandbox = sandbox.map(start_sandbox).transpose()?;
    let parts = NodeParts {
        node: data.identity().node_id,
        consensus: consensus.clone(),
        blobs: data.blobs().clone(),
        zygotes: Zygotes::new(package, registry, Limits::default(), sandbox),
        cpus: cpus(),
        pools,
        runs,
        has_peers: consensus.has_peers(),
        remote: Arc::new(Homes::new(consensus.clone())),
        environments: shipped.environments,
        bundles: shipped.bundles,
    };
    Tree::start(parts).await.map_err(Failure::other)
}

/// A machine that lacks something was refused before anything was opened.
fn start_sandbox(setup: SandboxSetup) -> Result<Arc<Sandbox>, Failure> {
    if let (Err(why), true) = (probe_process_cgroup(), rustix::process::geteuid().is_root()) {
        warn!(%why, "nothing holds workers to sandbox.processes: no cgroup can be made, and root has no other limit");
    }
    let directories = setup.directories.clone();
    Sandbox::start(setup, Kernel::gather()).map_err(|error| {
        Failure::other(format!("the directory for workers, {}, cannot be made: {error}", directories.display()))
    })
}

/// CPUs that may be used.
pub(crate) fn cpus() -> usize {
    std::thread::available_parallelism().map_or(1, std::num::NonZero::get)
}

async fn wanted_no_more(consensus: &Consensus, activity: &Activity, idle_max: Option<Duration>) {
    let Some(idle_max) = idle_max else { return std::future::pending().await };
    loop {
        tokio::time::sleep(LOOK_EVERY).await;
        if activity.idle() > idle_max && !is_running(consensus) {
            info!("nobody has needed the node for {} minutes", idle_max.as_secs() / 60);
            return;
        }
    }
}

/// Blobs cannot be written any more, and the runs have had the time to end for that reason: the next node opens the directory
/// anew, as soon as the disk is mended.
async fn storage_failed(blobs: &BlobStore, consensus: &Consensus) -> String {
    loop {
        tokio::time::sleep(FAILURE_LOOK_EVERY).await;
        let Some(failure) = blobs.failure() else { continue };
        let ended = async {
            while is_running(consensus) {
                tokio::time::sleep(FAILURE_LOOK_EVERY).await;
            }
        };
        // A run that cannot be ended is interrupted by the next start.
        let _ = tokio::time::timeout(FAILURE_GRACE, ended).await;
        tokio::time::sleep(FAILURE_LOOK_EVERY).await;
        return format!("results cannot be stored any more: {failure}");
    }
}

fn is_running(consensus: &Consensus) -> bool {
    consensus.read_stale(|state| state.runs().any(|(_, run)| run.progress.status == RunStatus::Running))
}

async fn told_to_end() {
    let (Ok(mut terminate), Ok(mut interrupt)) = (signal(SignalKind::terminate()), signal(SignalKind::interrupt()))
    else {
        return std::future::pending().await;
    };
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_that_ended_says_where_and_why() {
        let told = unreachable("/home/node.sock", Ok(Err(anyhow::anyhow!("Permission denied"))));
        assert!(told.contains("/home/node.sock: Permission denied; give"), "{told}");
        assert!(unreachable("/s", Ok(Ok(()))).contains("it ended"));
    }
}
