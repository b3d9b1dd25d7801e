//! From disks to a running node, as `consensus/src/start.rs` does it.

use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use openraft::async_runtime::WatchReceiver;
use openraft::errors::Fatal;
use openraft::{Config, ServerState, SnapshotPolicy};
use tokio::spawn;
use tokio::sync::watch::channel as watch_channel;
use tokio::time::sleep;

use crate::blobs::free as freeing;
use crate::blobs::keeper::{self, Lacking};
use crate::disk::Disk;
use crate::handle::Handle;
use crate::leading::{Leading, WallClock};
use crate::log::RaftLog;
use crate::machine::Machine;
use crate::mutant::Mutant;
use crate::network::Network;
use crate::observer::Seen;
use crate::served::Served;
use crate::settings::{ELECTION_MS, HEARTBEAT_MS, Settings};
use crate::traps::Moment;
use crate::types::{LogId, Member, Raft, Types};
use crate::world::World;
use crate::{compaction, settling, ticks};

/// How long the only voter may take until it leads: dspex-consensus's default.
const START_LIMIT: Duration = Duration::from_secs(30);

/// Starts openraft on a node's disks, in the group of the caller, which is the node's.
pub(crate) async fn start(
    node: u64,
    incarnation: u64,
    disk: Disk,
    wall: WallClock,
    world: Arc<World>,
) -> io::Result<Handle> {
    drop(spawn(disk.clone().flush_log()));
    let config = Arc::new(config(&world.settings).validate().map_err(io::Error::other)?);
    let (machine, view) = Machine::open(node, disk.clone(), Arc::clone(&world))?;
    complete(&disk, world.mutant)?;
    let log = RaftLog::new(node, disk.clone(), Arc::clone(&world));
    let network = Network { node, incarnation, disk, world: Arc::clone(&world) };
    let raft = Raft::new(node, config, network.clone(), log, machine).await.map_err(io::Error::other)?;
    drop(spawn(watch(raft.clone(), network.clone())));
    // It also waits until openraft has told of what it found: until then nobody knows the members.
    let voters = raft.with_raft_state(|state| state.membership_state.effective().voter_ids().collect::<Vec<_>>());
    if voters.await.map_err(io::Error::other)? == [node] {
        lead_alone(&raft).await?;
    }
    let leading = Leading::new(raft.clone(), wall, Arc::clone(&world));
    let (told, lacking) = watch_channel(Lacking::UNKNOWN);
    let handle = Handle::new(raft.clone(), view, leading.clone(), network.clone(), lacking);
    world.wires.serve(node, Some(Arc::new(Served::new(&handle, incarnation))));
    let progress = handle.watch();
    drop(spawn(compaction::run(raft.clone(), network, progress.clone())));
    drop(spawn(ticks::run(raft.clone(), leading, Arc::clone(&handle.view.state), progress.clone())));
    if world.mutant != Some(Mutant::LeavesChangesHalfway) {
        drop(spawn(settling::run(raft.clone(), progress)));
    }
    drop(spawn(keeper::run(handle.clone(), told)));
    drop(spawn(freeing(handle.clone())));
    Ok(handle)
}

/// Makes a cluster of these nodes, of which this one is the first.
pub(crate) async fn form(raft: &Raft, voters: u64) -> io::Result<()> {
    let members: BTreeMap<u64, Member> = (1..=voters).map(|node| (node, member(node))).collect();
    raft.initialize(members).await.map_err(io::Error::other)
}

/// How the membership names a node.
pub(crate) fn member(node: u64) -> Member {
    Member { address: format!("n{node}:7410") }
}

/// The state is written after the log is synced, so a log that ends before the state has lost entries: unless the state came
/// as a snapshot, and the log's end has not been moved behind it yet. openraft does that when it starts.
fn complete(disk: &Disk, mutant: Option<Mutant>) -> io::Result<()> {
    let installed = disk.snapshot().and_then(|snapshot| snapshot.meta.last_log_id).map(|id| id.index);
    let installed = installed.filter(|_| mutant != Some(Mutant::DemandsWholeLogs));
    let contents = disk.contents();
    let index = |id: Option<LogId>| id.map_or(0, |id| id.index);
    let state = contents.state.read();
    let (applied, last) = (index(state.applied), index(contents.log.read().last()));
    if applied > last && installed.is_none_or(|installed| applied > installed) {
        let detail = format!("the log ends with entry {last}, the state with entry {applied}: entries are missing");
        return Err(io::Error::new(io::ErrorKind::InvalidData, detail));
    }
    Ok(())
}

/// There is nobody to wait for: stand for election at once instead of after the election time.
async fn lead_alone(raft: &Raft) -> io::Result<()> {
    raft.trigger().elect(false).await.map_err(io::Error::other)?;
    let leads = |metrics: &openraft::RaftMetrics<Types>| {
        let applied = metrics.last_applied;
        metrics.state == ServerState::Leader
            && applied.is_some_and(|id| id.leader_id.term == metrics.current_term)
            && applied.map(|id| id.index) == metrics.last_log_index
    };
    raft.wait(Some(START_LIMIT)).metrics(leads, "the only voter leads").await.map(drop).map_err(io::Error::other)
}

/// The product's, with smaller numbers of entries.
fn config(settings: &Settings) -> Config {
    Config {
        cluster_name: "simulation".to_owned(),
        heartbeat_interval: HEARTBEAT_MS,
        election_timeout_min: ELECTION_MS.0,
        election_timeout_max: ELECTION_MS.1,
        // See `compaction`.
        snapshot_policy: SnapshotPolicy::Never,
        max_in_snapshot_log_to_keep: settings.kept_entries,
        purge_batch_size: settings.purge_batch,
        enable_pre_vote: Some(true),
        quorum_loss_probe_interval: Some(3 * ELECTION_MS.1),
        enable_leader_restore: Some(false),
        allow_log_reversion: Some(true),
        ..Config::default()
    }
}

/// Tells when the node leads, and when its consensus has stopped by itself. Nobody stops it here: nodes are killed.
async fn watch(raft: Raft, network: Network) {
    let mut metrics = raft.server_metrics();
    loop {
        let leads = {
            let metrics = metrics.borrow_watched();
            (metrics.state == ServerState::Leader && metrics.vote.is_committed()).then_some(metrics.vote)
        };
        if let Some(vote) = leads {
            network.leads(&vote);
            network.world.reached(network.node, Moment::Leads).await;
        }
        if metrics.changed().await.is_err() {
            break;
        }
    }
    // The reason is published by a task that ends beside this one.
    sleep(Duration::from_secs(1)).await;
    let failure = raft.metrics().borrow_watched().running_state.clone().err().unwrap_or(Fatal::Stopped);
    network.world.observer.see(Seen::Failed { node: network.node, detail: &failure.to_string() });
}
