//! One leader per term, where openraft's term is the pair (term, node): whoever leads under a pair is the node that the pair
//! names, in one life of that node. A restart elects anew.
//!
//! Two nodes may lead in one term number: votes are ordered by the pair, so who has voted for node 1 may go on to node 2 in
//! the same term, never the other way round (`votes_never_go_back`). The statistics count how often it comes to that.

use std::collections::BTreeMap;

use super::Invariant;
use crate::committed::Committed;
use crate::observer::Seen;
use crate::types::LeaderId;

#[derive(Default)]
pub(crate) struct OneLeaderPerTerm {
    /// In which of its lives each leader leads.
    leaders: BTreeMap<LeaderId, u64>,
}

impl Invariant for OneLeaderPerTerm {
    fn name(&self) -> &'static str {
        "one_leader_per_term"
    }

    fn see(&mut self, seen: &Seen<'_>, _committed: &Committed) -> Result<(), String> {
        let &Seen::Leads { node, incarnation, leader, .. } = seen else { return Ok(()) };
        if leader.node_id != node {
            return Err(format!("node {node} leads under the vote {leader}"));
        }
        let life = *self.leaders.entry(leader).or_insert(incarnation);
        if life != incarnation {
            return Err(format!("node {node} leads as {leader} again after a restart"));
        }
        Ok(())
    }
}
