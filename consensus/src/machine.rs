//! The state machine as openraft sees it: applies committed entries to the model's state and to the state store.
//!
//! A batch of entries is applied in memory, written as one batch, and only then answered. An entry that cannot be
//! decoded stops the node: skipping it would let this node's state differ from the others'.

mod batch;
mod builder;

use std::io;
use std::sync::{Arc, PoisonError, RwLock};

use dspex_model::{COLD_RECORDS, State};
use dspex_storage::{DataDirectory, LogStore, SnapshotFile, Snapshots, StateStore};
use futures::stream::{Stream, StreamExt};
use openraft::storage::{EntryResponder, RaftStateMachine};
use openraft::type_config::alias::SnapshotOf;
use openraft::{OptionalSend, Snapshot};
use tokio::sync::{broadcast, watch};

use self::batch::Batch;
use self::builder::Builder;
use crate::codec;
use crate::effects::EffectBatch;
use crate::log::acknowledged;
use crate::types::{LogId, SnapshotMeta, StoredMembership, Types};

/// The state, shared with readers.
pub(crate) type SharedState = Arc<RwLock<Held>>;

/// The state, and the index of the last entry in it.
#[derive(Debug)]
pub(crate) struct Held {
    pub(crate) state: State,
    pub(crate) applied: u64,
}

/// Applies entries. There is one, owned by openraft; when it is dropped, nothing is applied any more.
#[derive(Debug)]
pub(crate) struct Machine {
    log: LogStore,
    store: StateStore,
    snapshots: Snapshots,
    state: SharedState,
    applied: Option<LogId>,
    membership: StoredMembership,
    progress: watch::Sender<u64>,
    effects: broadcast::Sender<Arc<EffectBatch>>,
}

/// What readers keep of a machine.
#[derive(Debug)]
pub(crate) struct MachineView {
    pub(crate) state: SharedState,
    pub(crate) progress: watch::Receiver<u64>,
    /// Weak, so that receivers see the end when the machine is dropped.
    pub(crate) effects: broadcast::WeakSender<Arc<EffectBatch>>,
}

impl Machine {
    /// Loads the state from the disk.
    pub(crate) fn open(data: &DataDirectory, effect_backlog: usize) -> io::Result<(Self, MachineView)> {
        let store = data.state().clone();
        let (applied, membership) = positions(&store)?;
        let index = index_of(applied.as_ref());
        let state = Arc::new(RwLock::new(Held { state: load(&store)?, applied: index }));
        let (progress, progress_receiver) = watch::channel(index);
        let (effects, _) = broadcast::channel(effect_backlog.max(1));
        let view = MachineView { state: Arc::clone(&state), progress: progress_receiver, effects: effects.downgrade() };
        let snapshots = data.snapshots().clone();
        let log = data.log().clone();
        Ok((Self { log, store, snapshots, state, applied, membership, progress, effects }, view))
    }

    /// Writes what a batch changed, then tells everybody who waits for it.
    async fn commit(&mut self, batch: Batch) -> io::Result<()> {
        let Some(applied) = batch.last else { return Ok(()) };
        // A quorum has the entries, this node's disk perhaps not yet. A state that is ahead of its log is taken for a log that
        // has lost entries: see `start::complete`.
        acknowledged(|done| self.log.when_synced(applied.index, done)).await?;
        let finished = {
            let mut held = self.state.write().unwrap_or_else(PoisonError::into_inner);
            held.applied = applied.index;
            batch.apply(&mut held.state)
        };
        let membership = finished.membership.as_ref().map(codec::encode_stored_membership);
        self.store.write(&finished.changes, &codec::encode_position(Some(&applied)), membership.as_deref())?;
        self.applied = Some(applied);
        if let Some(membership) = finished.membership {
            self.membership = membership;
        }
        self.progress.send_replace(applied.index);
        for effects in finished.effects {
            // Without a receiver nobody is told, and nothing is lost: effects are derivable.
            let _ = self.effects.send(Arc::new(effects));
        }
        for (responder, reply) in finished.replies {
            responder.send(reply);
        }
        Ok(())
    }
}

/// The applied position and the membership of a state store.
fn positions(store: &StateStore) -> io::Result<(Option<LogId>, StoredMembership)> {
    decode_positions(store.applied()?.as_deref(), store.membership()?.as_deref())
}

fn decode_positions(
    applied: Option<&[u8]>,
    membership: Option<&[u8]>,
) -> io::Result<(Option<LogId>, StoredMembership)> {
    let applied = applied.map(codec::decode_position).transpose()?.flatten();
    let membership = membership.map(codec::decode_stored_membership).transpose()?.unwrap_or_default();
    Ok((applied, membership))
}

fn load(store: &StateStore) -> io::Result<State> {
    let mut state = State::new();
    store.load(COLD_RECORDS, |key, value| {
        state
            .replay(key, Some(value))
            .map_err(|error| io::Error::new(io::ErrorKind::InvalidData, format!("a record of the state: {error}")))
    })?;
    Ok(state)
}

/// What a snapshot file says about itself, in openraft's words.
pub(crate) fn snapshot_meta(file: &SnapshotFile) -> io::Result<SnapshotMeta> {
    let header = file.header()?;
    let (last_log_id, last_membership) = decode_positions(header.applied.as_deref(), header.membership.as_deref())?;
    Ok(SnapshotMeta { last_log_id, last_membership })
}

fn index_of(position: Option<&LogId>) -> u64 {
    position.map_or(0, |id| id.index)
}

impl RaftStateMachine<Types> for Machine {
    type SnapshotData = SnapshotFile;
    type SnapshotBuilder = Builder;

    async fn applied_state(&mut self) -> io::Result<(Option<LogId>, StoredMembership)> {
        Ok((self.applied, self.membership.clone()))
    }

    async fn apply<S>(&mut self, mut entries: S) -> io::Result<()>
    where
        S: Stream<Item = io::Result<EntryResponder<Types>>> + Unpin + OptionalSend,
    {
        let mut batch = Batch::default();
        while let Some(item) = entries.next().await {
            let pushed = item.and_then(|(entry, responder)| batch.push(entry, responder));
            if let Err(error) = pushed {
                // What came before it is good, and stays applied.
                self.commit(batch).await?;
                tracing::error!(%error, "an entry of the log cannot be applied; the node stops");
                return Err(error);
            }
            if batch.is_full() {
                self.commit(std::mem::take(&mut batch)).await?;
            }
        }
        self.commit(batch).await
    }

    async fn get_snapshot_builder(&mut self) -> Builder {
        let meta = SnapshotMeta { last_log_id: self.applied, last_membership: self.membership.clone() };
        Builder::new(self.store.freeze(), self.snapshots.clone(), meta)
    }

    async fn install_snapshot(&mut self, meta: &SnapshotMeta, snapshot: SnapshotFile) -> io::Result<()> {
        let (store, snapshots, expected) = (self.store.clone(), self.snapshots.clone(), meta.clone());
        let install = move || {
            let found = snapshot_meta(&snapshot)?;
            if found != expected {
                let detail = format!("the snapshot is {found}, not {expected}");
                return Err(io::Error::new(io::ErrorKind::InvalidData, detail));
            }
            // Kept first: a crash in between leaves a state that is ahead of its log, and the snapshot says why.
            let kept = snapshots.adopt(&snapshot, index_of(found.last_log_id.as_ref()))?;
            store.install(&kept)?;
            load(&store)
        };
        let state = tokio::task::spawn_blocking(install).await.map_err(io::Error::other)??;
        let index = index_of(meta.last_log_id.as_ref());
        *self.state.write().unwrap_or_else(PoisonError::into_inner) = Held { state, applied: index };
        self.applied = meta.last_log_id;
        self.membership = meta.last_membership.clone();
        self.progress.send_replace(index);
        Ok(())
    }

    async fn get_current_snapshot(&mut self) -> io::Result<Option<SnapshotOf<Types, SnapshotFile>>> {
        let Some(snapshot) = self.snapshots.current()? else { return Ok(None) };
        Ok(Some(Snapshot { meta: snapshot_meta(&snapshot)?, snapshot }))
    }
}
