//! Log matching: where two logs hold an entry with the same id, they are equal up to there. By induction it is enough that an
//! entry of one id has everywhere the same content and the same predecessor.

use std::collections::BTreeMap;

use openraft::entry::RaftEntry;

use super::Invariant;
use crate::committed::{Committed, digest};
use crate::observer::Seen;
use crate::types::LogId;

#[derive(Default)]
pub(crate) struct LogMatching {
    entries: BTreeMap<LogId, (Option<LogId>, u64)>,
}

impl Invariant for LogMatching {
    fn name(&self) -> &'static str {
        "log_matching"
    }

    fn see(&mut self, seen: &Seen<'_>, _committed: &Committed) -> Result<(), String> {
        let Seen::Appended { node, before, entries } = seen else { return Ok(()) };
        let mut before = *before;
        for entry in *entries {
            let (id, now) = (entry.log_id(), (before, digest(entry)));
            let known = *self.entries.entry(id).or_insert(now);
            if known != now {
                return Err(format!(
                    "node {node} has another entry {id} than a node before it: {now:?}, not {known:?}"
                ));
            }
            if before.is_some_and(|before| before >= id) {
                return Err(format!("node {node} wrote entry {id} behind {before:?}"));
            }
            before = Some(id);
        }
        Ok(())
    }
}
