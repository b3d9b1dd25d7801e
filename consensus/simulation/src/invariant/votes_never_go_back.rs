//! A node that has promised its vote never promises it to somebody lesser afterwards, whatever crashes come in between: that
//! is what makes elections safe.

use std::collections::BTreeMap;

use super::Invariant;
use crate::committed::Committed;
use crate::observer::Seen;
use crate::types::LeaderId;

#[derive(Default)]
pub(crate) struct VotesNeverGoBack {
    votes: BTreeMap<u64, LeaderId>,
}

impl Invariant for VotesNeverGoBack {
    fn name(&self) -> &'static str {
        "votes_never_go_back"
    }

    fn see(&mut self, seen: &Seen<'_>, _committed: &Committed) -> Result<(), String> {
        let &Seen::Voted { node, vote } = seen else { return Ok(()) };
        match self.votes.insert(node, vote) {
            Some(before) if before > vote => {
                Err(format!("node {node} votes for {vote} after it has voted for {before}"))
            }
            _ => Ok(()),
        }
    }
}
