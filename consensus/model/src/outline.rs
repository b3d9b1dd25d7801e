//! What a stored state says of itself, gathered from its records one after another: a state that nobody holds in memory.

use std::collections::BTreeSet;

use crate::codec::CodecError;
use crate::record::{Key, Record};
use crate::{ClusterInfo, Digest, executions};

/// Gathered so far.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Outline {
    /// Log time in Unix milliseconds.
    pub log_time_ms: u64,
    /// The cluster, if the log knows it.
    pub cluster: Option<ClusterInfo>,
    /// Every blob that a run, a program or an execution refers to.
    pub blobs: BTreeSet<Digest>,
}

impl Outline {
    /// Takes a record into account.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn add(&mut self, key: &[u8], value: &[u8]) -> Result<(), CodecError> {
        if executions::is_cold(key) {
            self.blobs.extend(executions::blob(key).map(|(_, digest)| digest));
            return Ok(());
        }
        let key = Key::decode(key)?;
        // The others are many, and say nothing that is asked for here.
        if !matches!(key, Key::LogTime | Key::Cluster | Key::RunSpec(_) | Key::RunResult(..) | Key::ProgramVersion(..))
        {
            return Ok(());
        }
        match Record::decode(key, value)? {
            Record::LogTime(time) => self.log_time_ms = time,
            Record::Cluster(cluster) => self.cluster = Some(cluster),
            Record::RunSpec(_, spec) => self.blobs.extend(spec.blobs()),
            Record::RunResult(_, _, result) => self.blobs.extend(result.blobs()),
            Record::ProgramVersion(_, _, version) => self.blobs.extend(version.definition.blob()),
            _ => {}
        }
        Ok(())
    }
}
