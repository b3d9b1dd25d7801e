//! What a simulation did, so that one that does nothing cannot pass for one that found nothing.

use std::collections::BTreeSet;
use std::fmt;

use dspex_model::Outcome;

use crate::handle::Freshness;
use crate::observer::Seen;
use crate::types::LeaderId;

/// Counts of one simulation, or of many.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Statistics {
    /// Simulations.
    pub simulations: u64,
    /// Those in which a client had a write acknowledged after the first fault.
    pub committed_something: u64,
    /// Committed entries.
    pub entries: u64,
    /// Writes whose outcome a client has; after the first fault.
    pub acknowledged: u64,
    /// Of all, before or after.
    pub acknowledged_in_all: u64,
    /// Writes that a client gave up without knowing their outcome.
    pub unknown: u64,
    /// Writes that were sent again under their request id.
    pub repeated: u64,
    /// Reads that were answered.
    pub reads: u64,
    /// Those of them under a lease, and how many of these were stale.
    pub lease_reads: u64,
    /// Reads under a lease that did not see what was acknowledged before they began.
    pub stale_lease_reads: u64,
    /// Leaders.
    pub leaders: u64,
    /// Terms that had more than one leader, which openraft allows: see `invariant/one_leader_per_term.rs`.
    pub shared_terms: u64,
    /// Snapshots that were written.
    pub snapshots: u64,
    /// Snapshots of a leader that were installed.
    pub installs: u64,
    /// Simulations with an install.
    pub with_installs: u64,
    /// Changes of the members that succeeded.
    pub changes: u64,
    /// Changes of the members that did not, or whose end is not known.
    pub failed_changes: u64,
    /// Simulations with a change of the voters.
    pub with_changes: u64,
    /// Executions that were recorded.
    pub executions: u64,
    /// Blobs that acknowledged writes have named.
    pub blobs_promised: u64,
    /// Blobs that a node lacked and had from another.
    pub blobs_fetched: u64,
    /// Blobs that were freed.
    pub blobs_freed: u64,
    /// Crashes.
    pub crashes: u64,
    /// Nodes that crashed or were isolated at a chosen moment.
    pub caught: u64,
    /// Other faults.
    pub faults: u64,
    /// Times that a task went on.
    pub steps: u64,
    /// Virtual milliseconds.
    pub virtual_ms: u64,
    known: BTreeSet<LeaderId>,
}

impl Statistics {
    pub(crate) fn see(&mut self, seen: &Seen<'_>) {
        match seen {
            Seen::Leads { leader, .. } if !self.knows(*leader) => {
                self.leaders += 1;
                self.shared_terms += u64::from(self.known.iter().any(|known| known.term == leader.term));
                self.known.insert(*leader);
            }
            Seen::Snapshot { .. } => self.snapshots += 1,
            Seen::Installed { .. } => self.installs += 1,
            Seen::Read { freshness, visible, applied, .. } => {
                self.reads += 1;
                self.lease_reads += u64::from(*freshness == Freshness::Lease);
                self.stale_lease_reads += u64::from(applied < visible);
            }
            Seen::Acknowledged { outcome, .. } => {
                self.acknowledged_in_all += 1;
                if let Outcome::ExecutionsRecorded { recorded, .. } = outcome {
                    self.executions += u64::from(*recorded);
                }
            }
            _ => {}
        }
    }

    pub(crate) fn knows(&self, leader: LeaderId) -> bool {
        self.known.contains(&leader)
    }

    /// Counts one simulation as a whole.
    pub(crate) fn close(&mut self, steps: u64, virtual_ms: u64) {
        self.known.clear();
        (self.simulations, self.steps, self.virtual_ms) = (1, steps, virtual_ms);
        self.committed_something = u64::from(self.acknowledged > 0);
        self.with_installs = u64::from(self.installs > 0);
        self.with_changes = u64::from(self.changes > 0);
    }

    /// Adds those of another simulation.
    pub fn add(&mut self, other: &Self) {
        for (own, other) in self.counts_mut().into_iter().zip(other.clone().counts_mut()) {
            *own += *other;
        }
    }

    fn counts_mut(&mut self) -> [&mut u64; 27] {
        [
            &mut self.simulations,
            &mut self.committed_something,
            &mut self.entries,
            &mut self.acknowledged,
            &mut self.acknowledged_in_all,
            &mut self.unknown,
            &mut self.repeated,
            &mut self.reads,
            &mut self.lease_reads,
            &mut self.stale_lease_reads,
            &mut self.leaders,
            &mut self.shared_terms,
            &mut self.snapshots,
            &mut self.installs,
            &mut self.with_installs,
            &mut self.changes,
            &mut self.failed_changes,
            &mut self.with_changes,
            &mut self.executions,
            &mut self.blobs_promised,
            &mut self.blobs_fetched,
            &mut self.blobs_freed,
            &mut self.crashes,
            &mut self.caught,
            &mut self.faults,
            &mut self.steps,
            &mut self.virtual_ms,
        ]
    }
}

impl fmt::Display for Statistics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "{} simulations of {} s in all: {} committed something among faults",
            self.simulations,
            self.virtual_ms / 1000,
            self.committed_something
        )?;
        writeln!(
            f,
            "{} entries committed, {} writes acknowledged ({} after the first fault), {} sent again, {} given up",
            self.entries, self.acknowledged_in_all, self.acknowledged, self.repeated, self.unknown
        )?;
        writeln!(
            f,
            "{} reads, {} of them under a lease, of which {} were stale",
            self.reads, self.lease_reads, self.stale_lease_reads
        )?;
        writeln!(
            f,
            "{} leaders ({} in a term that had one already), {} snapshots, {} installed in {} simulations",
            self.leaders, self.shared_terms, self.snapshots, self.installs, self.with_installs
        )?;
        writeln!(
            f,
            "{} changes of members in {} simulations, {} failed",
            self.changes, self.with_changes, self.failed_changes
        )?;
        writeln!(
            f,
            "{} executions recorded, {} blobs promised, {} fetched by nodes that lacked them, {} freed",
            self.executions, self.blobs_promised, self.blobs_fetched, self.blobs_freed
        )?;
        write!(
            f,
            "{} crashes, {} nodes caught at a chosen moment, {} other faults, {} steps",
            self.crashes, self.caught, self.faults, self.steps
        )
    }
}
