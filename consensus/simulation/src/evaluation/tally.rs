//! What a simulated run did, so that one to which nothing happens cannot pass for one that bore everything.

use std::fmt;
use std::ops::AddAssign;

/// Counts of one run, or of many.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Tally {
    /// Entries of the log.
    pub entries: u64,
    /// Examples that workers began.
    pub executions: u64,
    /// Of these, those of examples that had been begun before.
    pub again: u64,
    /// As many of them as may be, by what has happened.
    pub again_max: u64,
    /// Results that came after the first one.
    pub duplicates: u64,
    /// Proposals of results that an earlier generation fenced off.
    pub fenced: u64,
    /// Owners that the run has had beyond the first.
    pub owners: u64,
    /// Lines that were lost.
    pub lines_lost: u64,
    /// Nodes that were killed.
    pub kills: u64,
    /// Workers that were.
    pub workers_killed: u64,
    /// Results that were lost with their node.
    pub results_lost: u64,
    /// What a user did.
    pub wishes: u64,
}

impl AddAssign for Tally {
    fn add_assign(&mut self, other: Self) {
        self.entries += other.entries;
        self.executions += other.executions;
        self.again += other.again;
        self.again_max += other.again_max;
        self.duplicates += other.duplicates;
        self.fenced += other.fenced;
        self.owners += other.owners;
        self.lines_lost += other.lines_lost;
        self.kills += other.kills;
        self.workers_killed += other.workers_killed;
        self.results_lost += other.results_lost;
        self.wishes += other.wishes;
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { entries, executions, again, again_max, duplicates, fenced, .. } = self;
        let Self { owners, lines_lost, kills, workers_killed, results_lost, wishes, .. } = self;
        write!(
            f,
            "{entries} entries, {executions} executions, {again} again (at most {again_max}), {duplicates} duplicates, {fenced} fenced off, \
             {owners} further owners, {lines_lost} lines lost, {kills} nodes and {workers_killed} workers killed, {results_lost} results lost, \
             {wishes} wishes of a user"
        )
    }
}
