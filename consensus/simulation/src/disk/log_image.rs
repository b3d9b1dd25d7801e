//! What the log's device holds.

use std::collections::BTreeMap;

use openraft::entry::RaftEntry;

use super::device::Image;
use crate::types::{Entry, LogId, Vote};

/// The log as the disk has it.
#[derive(Debug, Clone, Default)]
pub(crate) struct LogImage {
    pub(crate) entries: BTreeMap<u64, Entry>,
    pub(crate) vote: Option<Vote>,
    pub(crate) committed: Option<LogId>,
    pub(crate) purged: Option<LogId>,
}

/// A batch.
#[derive(Debug)]
pub(crate) enum LogWrite {
    Append(Vec<Entry>),
    /// Everything after an index goes; everything for `None`.
    Truncate(Option<u64>),
    Purge(LogId),
    Vote(Vote),
    Committed(Option<LogId>),
}

impl LogImage {
    /// The last entry, purged ones included.
    pub(crate) fn last(&self) -> Option<LogId> {
        self.entries.last_key_value().map(|(_, entry)| entry.log_id()).or(self.purged)
    }
}

impl Image for LogImage {
    type Write = LogWrite;

    fn take(&mut self, write: &LogWrite) {
        match write {
            LogWrite::Append(entries) => {
                self.entries.extend(entries.iter().map(|entry| (entry.index(), entry.clone())));
            }
            LogWrite::Truncate(after) => {
                let from = after.map_or(0, |index| index + 1);
                drop(self.entries.split_off(&from));
            }
            LogWrite::Purge(upto) => {
                self.entries = self.entries.split_off(&(upto.index + 1));
                self.purged = Some(*upto);
            }
            LogWrite::Vote(vote) => self.vote = Some(*vote),
            LogWrite::Committed(committed) => self.committed = *committed,
        }
    }
}
