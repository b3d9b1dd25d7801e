//! The state machine as openraft sees it. It does what `consensus/src/machine.rs` does, with that room's own batches.

#[path = "../../src/machine/batch.rs"]
mod batch;
mod builder;

use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, PoisonError, RwLock};

use dspex_model::{Effect, State};
use futures::stream::{Stream, StreamExt};
use openraft::storage::{EntryResponder, RaftStateMachine};
use openraft::type_config::alias::SnapshotOf;
use openraft::{OptionalSend, Snapshot};
use tokio::sync::watch;
use tokio::time::sleep;

use self::batch::Batch;
use self::builder::Builder;
use crate::disk::{Disk, SnapshotFile, StateImage, StateWrite};
use crate::effects::EffectBatch;
use crate::log::acknowledged;
use crate::mutant::Mutant;
use crate::observer::Seen;
use crate::traps::Moment;
use crate::types::{Entry, LogId, SnapshotMeta, StoredMembership, Types};
use crate::world::World;

/// The state, shared with readers.
pub(crate) type SharedState = Arc<RwLock<Held>>;

/// The state, and the index of the last entry in it.
#[derive(Debug)]
pub(crate) struct Held {
    pub(crate) state: State,
    pub(crate) applied: u64,
}

/// Applies entries. There is one, owned by openraft.
pub(crate) struct Machine {
    node: u64,
    disk: Disk,
    world: Arc<World>,
    state: SharedState,
    applied: Option<LogId>,
    membership: StoredMembership,
    progress: watch::Sender<u64>,
    freed: watch::Sender<u64>,
}

/// What readers keep of a machine.
#[derive(Clone)]
pub(crate) struct MachineView {
    pub(crate) state: SharedState,
    pub(crate) progress: watch::Receiver<u64>,
    /// The last entry that has left blobs to nobody.
    pub(crate) freed: watch::Receiver<u64>,
}

impl Machine {
    /// Loads the state from the disk.
    pub(crate) fn open(node: u64, disk: Disk, world: Arc<World>) -> io::Result<(Self, MachineView)> {
        let image = disk.contents().state.read().clone();
        let index = image.applied.map_or(0, |id| id.index);
        let held = Held { state: load(&image.records)?, applied: index };
        let state = Arc::new(RwLock::new(held));
        let (progress, progress_receiver) = watch::channel(index);
        let (freed, freed_receiver) = watch::channel(0);
        let view = MachineView { state: Arc::clone(&state), progress: progress_receiver, freed: freed_receiver };
        let (applied, membership) = (image.applied, image.membership);
        let machine = Self { node, disk, world, state, applied, membership, progress, freed };
        machine.stands();
        Ok((machine, view))
    }

    /// Writes what a batch changed, then tells everybody who waits for it.
    async fn commit(&mut self, batch: Batch, entries: &[Entry]) -> io::Result<()> {
        let Some(applied) = batch.last else { return Ok(()) };
        // Where entries count as synced when they are written, nothing is left to wait for.
        let early = [Some(Mutant::AppliesUnsynced), Some(Mutant::AcknowledgesUnsynced)];
        if !early.contains(&self.world.mutant) {
            acknowledged(|done| self.disk.when_synced(applied.index, done)).await?;
        }
        let finished = {
            let mut held = self.state.write().unwrap_or_else(PoisonError::into_inner);
            held.applied = applied.index;
            batch.apply(&mut held.state)
        };
        let write = StateWrite { changes: finished.changes, applied, membership: finished.membership.clone() };
        self.disk.contents().state.write(write);
        self.applied = Some(applied);
        if let Some(membership) = finished.membership {
            self.membership = membership;
        }
        for entry in entries {
            self.world.observer.see(Seen::Applied { node: self.node, entry });
        }
        self.stands();
        self.progress.send_replace(applied.index);
        let is_freeing = |effect: &Effect| {
            matches!(effect, Effect::FreeBlobs { .. } | Effect::FreeBlob { .. } | Effect::FreeExecutions { .. })
        };
        let frees = |batch: &EffectBatch| batch.effects.iter().any(is_freeing);
        if finished.effects.iter().any(frees) {
            self.freed.send_replace(applied.index);
        }
        for (responder, reply) in finished.replies {
            responder.send(reply);
        }
        Ok(())
    }

    /// Says where the state stands now.
    fn stands(&self) {
        let Some(applied) = self.applied else { return };
        let fingerprint = self.disk.contents().state.read().fingerprint;
        let log_time_ms = self.state.read().unwrap_or_else(PoisonError::into_inner).state.log_time_ms();
        self.world.observer.see(Seen::Stands { node: self.node, applied, fingerprint, log_time_ms });
    }
}

fn load(records: &BTreeMap<Vec<u8>, Vec<u8>>) -> io::Result<State> {
    let mut state = State::new();
    for (key, value) in records {
        state
            .replay(key, Some(value))
            .map_err(|error| io::Error::new(io::ErrorKind::InvalidData, format!("a record of the state: {error}")))?;
    }
    Ok(state)
}

impl RaftStateMachine<Types> for Machine {
    type SnapshotData = Arc<SnapshotFile>;
    type SnapshotBuilder = Builder;

    async fn applied_state(&mut self) -> io::Result<(Option<LogId>, StoredMembership)> {
        Ok((self.applied, self.membership.clone()))
    }

    async fn apply<S>(&mut self, mut entries: S) -> io::Result<()>
    where
        S: Stream<Item = io::Result<EntryResponder<Types>>> + Unpin + OptionalSend,
    {
        let (mut batch, mut pushed) = (Batch::default(), Vec::new());
        while let Some(item) = entries.next().await {
            let (entry, responder) = item?;
            pushed.push(entry.clone());
            batch.push(entry, responder)?;
            if batch.is_full() {
                self.commit(std::mem::take(&mut batch), &std::mem::take(&mut pushed)).await?;
            }
        }
        self.commit(batch, &pushed).await?;
        if self.disk.contents().is_state_ahead() {
            self.world.reached(self.node, Moment::AheadOfLog).await;
        }
        Ok(())
    }

    async fn get_snapshot_builder(&mut self) -> Builder {
        let meta = SnapshotMeta { last_log_id: self.applied, last_membership: self.membership.clone() };
        let records = self.disk.contents().state.read().records.clone();
        Builder::new(SnapshotFile { meta, records }, self.node, self.disk.clone(), Arc::clone(&self.world))
    }

    async fn install_snapshot(&mut self, meta: &SnapshotMeta, snapshot: Arc<SnapshotFile>) -> io::Result<()> {
        if snapshot.meta != *meta {
            let detail = format!("the snapshot is {}, not {meta}", snapshot.meta);
            return Err(io::Error::new(io::ErrorKind::InvalidData, detail));
        }
        let mut records = snapshot.records.clone();
        if self.world.mutant == Some(Mutant::InstallsTruncated) {
            records.pop_last();
        }
        let image = StateImage::of(records, meta.last_log_id, meta.last_membership.clone());
        sleep(self.disk.snapshot_time()).await;
        let state = load(&image.records)?;
        // Kept first: a crash in between leaves a state that is ahead of its log, and the snapshot says why.
        let keeps_late = self.world.mutant == Some(Mutant::KeepsSnapshotsLate);
        if !keeps_late {
            self.disk.adopt_snapshot(Arc::clone(&snapshot));
            self.world.reached(self.node, Moment::Kept).await;
            sleep(self.disk.snapshot_time()).await;
        }
        self.disk.contents().state.replace(image);
        self.world.reached(self.node, Moment::Installing).await;
        sleep(self.disk.snapshot_time()).await;
        if keeps_late {
            self.disk.adopt_snapshot(snapshot);
        }
        let index = meta.last_log_id.map_or(0, |id| id.index);
        *self.state.write().unwrap_or_else(PoisonError::into_inner) = Held { state, applied: index };
        self.applied = meta.last_log_id;
        self.membership = meta.last_membership.clone();
        self.world.observer.see(Seen::Installed { node: self.node, index });
        self.stands();
        self.progress.send_replace(index);
        Ok(())
    }

    async fn get_current_snapshot(&mut self) -> io::Result<Option<SnapshotOf<Types, Arc<SnapshotFile>>>> {
        Ok(self.disk.snapshot().map(|snapshot| Snapshot { meta: snapshot.meta.clone(), snapshot }))
    }
}
