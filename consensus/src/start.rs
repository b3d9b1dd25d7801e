//! From a data directory to a node that can write.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use dspex_storage::DataDirectory;
use openraft::async_runtime::WatchReceiver;
use openraft::{Config, ServerState, SnapshotPolicy};

use crate::codec;
use crate::error::StartError;
use crate::log::RaftLog;
use crate::machine::{Machine, MachineView, snapshot_meta};
use crate::network::Network;
use crate::options::ConsensusOptions;
use crate::types::{Member, Raft};

/// Starts openraft on a directory. A node alone in its cluster leads when this returns.
pub(crate) async fn start(
    data: &DataDirectory,
    options: &ConsensusOptions,
    network: Network,
) -> Result<(Raft, MachineView), StartError> {
    let alone = network.transport.is_none();
    let node = data.identity().node_id.0;
    let config = config(data, options)?;
    let (machine, view) = Machine::open(data, options.effect_backlog).map_err(StartError::storage)?;
    complete(data, *view.progress.borrow())?;
    let log = RaftLog::new(data.log().clone(), data.state().clone());
    let raft = Raft::new(node, config, network, log, machine).await.map_err(StartError::storage)?;
    if alone && !raft.is_initialized().await.map_err(StartError::storage)? {
        // Nothing was ever stored here, so nobody else can know of this cluster.
        raft.initialize(BTreeMap::from([(node, Member::default())])).await.map_err(StartError::storage)?;
        tracing::info!(node, "made a cluster of one node");
    }
    let voters = raft.with_raft_state(|state| state.membership_state.effective().voter_ids().collect::<Vec<_>>());
    if voters.await.map_err(StartError::storage)? == [node] {
        lead_alone(&raft, node, options.start_limit).await?;
    }
    Ok((raft, view))
}

/// The state is written after the log is synced, so a log that ends before the state has lost entries: unless the state came
/// as a snapshot, and the log's end has not been moved behind it yet. openraft does that when it starts.
fn complete(data: &DataDirectory, applied: u64) -> Result<(), StartError> {
    let purged = data.log().last_purged().map_err(StartError::storage)?;
    let purged = purged.as_deref().map(codec::decode_position).transpose().map_err(StartError::storage)?.flatten();
    let snapshot = data.snapshots().current().map_err(StartError::storage)?;
    let snapshot = snapshot.as_ref().map(snapshot_meta).transpose().map_err(StartError::storage)?;
    let installed = snapshot.and_then(|meta| meta.last_log_id).map(|id| id.index);
    let last = data.log().bounds().last.max(purged.map(|id| id.index)).unwrap_or(0);
    if applied > last && installed.is_none_or(|installed| applied > installed) {
        let detail = format!("the log ends with entry {last}, the state with entry {applied}: entries are missing");
        return Err(StartError::Storage { detail });
    }
    Ok(())
}

/// There is nobody to wait for: stand for election at once instead of after the election time.
///
/// openraft could restore the leadership of the last run without an election. An election is the safe way: its
/// blank entry commits everything before it, whether or not the last commit pointer reached the disk.
async fn lead_alone(raft: &Raft, node: u64, limit: Duration) -> Result<(), StartError> {
    raft.trigger().elect(false).await.map_err(StartError::storage)?;
    let leads = |metrics: &openraft::RaftMetrics<crate::types::Types>| {
        let applied = metrics.last_applied;
        metrics.state == ServerState::Leader
            && applied.is_some_and(|id| id.leader_id.term == metrics.current_term)
            && applied.map(|id| id.index) == metrics.last_log_index
    };
    if raft.wait(Some(limit)).metrics(leads, "the only voter leads").await.is_err() {
        let failure = raft.metrics().borrow_watched().running_state.clone();
        return Err(failure.err().map_or(StartError::TooSlow { limit }, StartError::storage));
    }
    tracing::info!(node, "leads");
    Ok(())
}

fn config(data: &DataDirectory, options: &ConsensusOptions) -> Result<Arc<Config>, StartError> {
    let milliseconds = |time: Duration| u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
    let config = Config {
        cluster_name: data.identity().cluster_id.unwrap_or_else(|| "dspex".to_owned()),
        heartbeat_interval: milliseconds(options.heartbeat),
        election_timeout_min: milliseconds(options.election.0),
        election_timeout_max: milliseconds(options.election.1),
        // By bytes, not by entries: see `compaction`.
        snapshot_policy: SnapshotPolicy::Never,
        max_in_snapshot_log_to_keep: options.kept_entries,
        purge_batch_size: 256,
        enable_pre_vote: Some(true),
        // A leader that hears no quorum falls silent, so that those who can elect another do.
        quorum_loss_probe_interval: Some(3 * milliseconds(options.election.1)),
        enable_leader_restore: Some(false),
        // A follower that has lost the end of its log (its directory is an older copy) gets it again. Otherwise it would be sent
        // nothing for as long as this leader leads.
        allow_log_reversion: Some(true),
        ..Config::default()
    };
    config.validate().map(Arc::new).map_err(|error| StartError::Options { detail: error.to_string() })
}
