//! A read under a leader's lease may be stale, and by no more than the lease.
//!
//! openraft's leases are no proof of leadership: a voter that was restarted has forgotten to whom it has promised to wait, and
//! the only voter of a new membership does not wait for the lease of the leader that it replaces. How often a read was stale
//! indeed is in the statistics.

use super::Invariant;
use crate::committed::Committed;
use crate::handle::Freshness;
use crate::observer::Seen;

#[derive(Default)]
pub(crate) struct LeaseReadsAreBounded;

impl Invariant for LeaseReadsAreBounded {
    fn name(&self) -> &'static str {
        "lease_reads_are_bounded"
    }

    fn see(&mut self, seen: &Seen<'_>, _committed: &Committed) -> Result<(), String> {
        match seen {
            Seen::Read { client, node, freshness: Freshness::Lease, lease_ago, applied, .. } if applied < lease_ago => {
                Err(format!(
                    "client {client} read at node {node} at {applied}, when {lease_ago} was visible a lease before it began"
                ))
            }
            _ => Ok(()),
        }
    }
}
