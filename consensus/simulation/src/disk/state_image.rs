//! What the state's device holds: the records of the model, and the log position that they belong to.

use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash, Hasher};

use dspex_model::Change;

use super::device::Image;
use crate::types::{LogId, StoredMembership};

/// The state as the disk has it.
#[derive(Debug, Clone, Default)]
pub(crate) struct StateImage {
    pub(crate) records: BTreeMap<Vec<u8>, Vec<u8>>,
    pub(crate) applied: Option<LogId>,
    pub(crate) membership: StoredMembership,
    /// Equal for equal records, however they came about.
    pub(crate) fingerprint: u64,
}

/// A batch.
#[derive(Debug)]
pub(crate) struct StateWrite {
    pub(crate) changes: Vec<Change>,
    pub(crate) applied: LogId,
    pub(crate) membership: Option<StoredMembership>,
}

impl StateImage {
    /// The state of a snapshot.
    pub(crate) fn of(
        records: BTreeMap<Vec<u8>, Vec<u8>>,
        applied: Option<LogId>,
        membership: StoredMembership,
    ) -> Self {
        let fingerprint = records.iter().fold(0, |sum, (key, value)| sum ^ record_hash(key, value));
        Self { records, applied, membership, fingerprint }
    }

    pub(crate) fn change(&mut self, change: &Change) {
        match change {
            Change::Put { key, value } => {
                self.fingerprint ^= record_hash(key, value);
                let before = self.records.insert(key.clone(), value.clone());
                self.fingerprint ^= before.map_or(0, |before| record_hash(key, &before));
            }
            Change::Remove { key } => self.remove(key),
            Change::RemoveRange { from, to } => {
                let removed: Vec<_> = self.records.keys().filter(|key| (from..to).contains(key)).cloned().collect();
                removed.iter().for_each(|key| self.remove(key));
            }
        }
    }

    fn remove(&mut self, key: &[u8]) {
        let before = self.records.remove(key);
        self.fingerprint ^= before.map_or(0, |before| record_hash(key, &before));
    }
}

impl Image for StateImage {
    type Write = StateWrite;

    fn take(&mut self, write: &StateWrite) {
        write.changes.iter().for_each(|change| self.change(change));
        self.applied = Some(write.applied);
        if let Some(membership) = &write.membership {
            self.membership = membership.clone();
        }
    }
}

fn record_hash(key: &[u8], value: &[u8]) -> u64 {
    // Its keys are fixed: the same in every process.
    let mut hasher = DefaultHasher::new();
    (key, value).hash(&mut hasher);
    hasher.finish()
}
