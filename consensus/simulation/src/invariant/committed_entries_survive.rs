//! What was committed stays: every node applies the same entry at an index, and every later leader has it in its log.

use std::collections::BTreeSet;

use openraft::entry::RaftEntry;

use super::Invariant;
use crate::committed::{Committed, digest};
use crate::disk::LogImage;
use crate::observer::Seen;
use crate::types::{LeaderId, LogId};

#[derive(Default)]
pub(crate) struct CommittedEntriesSurvive {
    leaders: BTreeSet<LeaderId>,
}

impl Invariant for CommittedEntriesSurvive {
    fn name(&self) -> &'static str {
        "committed_entries_survive"
    }

    fn see(&mut self, seen: &Seen<'_>, committed: &Committed) -> Result<(), String> {
        match seen {
            Seen::Applied { node, entry } => {
                let id = entry.log_id();
                match committed.at(id.index) {
                    Some(known) if known.log_id == id && known.digest == digest(entry) => Ok(()),
                    known => Err(format!(
                        "node {node} applied {id}, where {:?} is committed",
                        known.map(|known| known.log_id)
                    )),
                }
            }
            Seen::Leads { leader, log, applied, .. } if self.leaders.insert(*leader) => {
                complete(*leader, log, *applied, committed)
            }
            _ => Ok(()),
        }
    }
}

/// Whether a new leader has everything that was committed before it. What its state has, it need not have in its log.
fn complete(leader: LeaderId, log: &LogImage, applied: Option<LogId>, committed: &Committed) -> Result<(), String> {
    let held = applied.max(log.purged).map_or(0, |id| id.index + 1);
    let place = usize::try_from(held).unwrap_or(usize::MAX).min(committed.entries().len());
    for entry in &committed.entries()[place..] {
        let id = entry.log_id;
        if id.leader_id < leader && log.entries.get(&id.index).map(RaftEntry::log_id) != Some(id) {
            return Err(format!("{leader} leads without the committed entry {id}"));
        }
    }
    Ok(())
}
