//! A variable of the cluster: one value under one version after another.

use std::collections::VecDeque;

use serde::{Deserialize, Serialize};

/// Versions that are kept of a variable, the newest included.
pub const VARIABLE_VERSIONS_MAX: usize = 20;

/// Bytes of a value.
pub const VARIABLE_BYTES_MAX: usize = 16 * 1024;

/// Bytes that the kept versions of all variables may hold together: every node has them in memory.
pub const VARIABLES_TOTAL_BYTES_MAX: u64 = 64 * 1024 * 1024;

/// What a version takes beside its value, about.
const VERSION_BYTES: u64 = 128;

/// How a variable stands. Rewritten with each version, so it stays small.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct VariableInfo {
    /// 1 at its creation, one more with each write.
    pub version: u64,
    /// Log time of its creation.
    pub created_ms: u64,
    /// Log time of its newest version.
    pub updated_ms: u64,
}

/// One version of a variable.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct VariableVersion {
    /// JSON. Checked where it comes in, and opaque here.
    pub value: String,
    /// Log time at which it was written.
    pub written_ms: u64,
    /// Who wrote it: the name of a token, or of the local user.
    pub written_by: String,
}

impl VariableVersion {
    /// What it counts for in [`VARIABLES_TOTAL_BYTES_MAX`].
    pub(crate) fn weight(&self) -> u64 {
        VERSION_BYTES + self.value.len() as u64
    }
}

/// A variable with the versions that are kept.
#[derive(Clone, Debug, PartialEq)]
pub struct Variable {
    /// How it stands.
    pub info: VariableInfo,
    /// Oldest first; the last one is `info.version`.
    versions: VecDeque<VariableVersion>,
}

impl Variable {
    pub(crate) fn new(info: VariableInfo) -> Self {
        Self { info, versions: VecDeque::with_capacity(1) }
    }

    /// The newest version. A variable always has one; before its record is read there is none.
    pub fn newest(&self) -> Option<&VariableVersion> {
        self.versions.back()
    }

    /// A version that is kept.
    pub fn version(&self, number: u64) -> Option<&VariableVersion> {
        let place = number.checked_sub(self.oldest_version()?)?;
        self.versions.get(usize::try_from(place).ok()?)
    }

    /// The versions that are kept with their numbers, oldest first.
    pub fn versions(&self) -> impl DoubleEndedIterator<Item = (u64, &VariableVersion)> {
        let oldest = self.oldest_version().unwrap_or(0);
        self.versions.iter().enumerate().map(move |(place, version)| (oldest + place as u64, version))
    }

    /// The number of the oldest version that is kept.
    pub fn oldest_version(&self) -> Option<u64> {
        let kept = self.versions.len() as u64;
        (kept > 0).then(|| (self.info.version + 1).saturating_sub(kept))
    }

    /// A version as it is read or written: in the order of their numbers.
    pub(crate) fn push(&mut self, version: VariableVersion) {
        self.versions.push_back(version);
    }

    /// Gives what it weighed.
    pub(crate) fn forget_oldest(&mut self) -> u64 {
        self.versions.pop_front().map_or(0, |version| version.weight())
    }

    pub(crate) fn weight(&self) -> u64 {
        self.versions.iter().map(VariableVersion::weight).sum()
    }
}
