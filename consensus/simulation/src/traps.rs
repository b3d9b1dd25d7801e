//! Crashes at chosen moments: where a crash hurts most, chance alone hits too seldom.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::mpsc::UnboundedSender;

/// A moment in a node's life.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Moment {
    /// It has promised its vote to another.
    VoteGranted,
    /// It has told its leader that it has entries.
    AppendAcknowledged,
    /// It begins to lead.
    Leads,
    /// Its state holds an entry that others have committed and its own log has not synced. Only a mutant comes to it.
    AheadOfLog,
    /// It has kept a snapshot of its leader's, and has the state of before.
    Kept,
    /// The state of a snapshot is on its disk, and its log ends before it.
    Installing,
    /// It has written a snapshot, and not purged the log yet.
    SnapshotBuilt,
    /// It has purged the log.
    Purged,
    /// It has told a peer that it has blobs.
    BlobsStored,
    /// Blobs that it was given are on a majority, and what names them is not proposed yet.
    BlobsSpread,
}

impl Moment {
    pub(crate) const ALL: [Self; 10] = [
        Self::VoteGranted,
        Self::AppendAcknowledged,
        Self::Leads,
        Self::AheadOfLog,
        Self::Kept,
        Self::Installing,
        Self::SnapshotBuilt,
        Self::Purged,
        Self::BlobsStored,
        Self::BlobsSpread,
    ];

    /// Whether the node does not come to what would be next. Otherwise the crash follows within a millisecond or two.
    pub(crate) fn is_the_last(self) -> bool {
        matches!(self, Self::AheadOfLog | Self::Kept | Self::Installing | Self::SnapshotBuilt | Self::Purged)
    }
}

impl fmt::Display for Moment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::VoteGranted => "it has granted a vote",
            Self::AppendAcknowledged => "it has acknowledged entries",
            Self::Leads => "it begins to lead",
            Self::AheadOfLog => "its state is ahead of its log",
            Self::Kept => "it has kept a snapshot that it is to install",
            Self::Installing => "it is installing a snapshot",
            Self::SnapshotBuilt => "it has built a snapshot",
            Self::Purged => "it has purged its log",
            Self::BlobsStored => "it has stored blobs of a peer",
            Self::BlobsSpread => "it has spread blobs",
        })
    }
}

/// What a trap does to the node that is caught.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Catch {
    /// It loses its power for a while.
    Crash { down: Duration },
    /// It is cut off from all others for a while.
    Isolate { long: Duration },
}

/// A node that was caught just now.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Caught {
    pub(crate) node: u64,
    pub(crate) catch: Catch,
    /// It must not come to what would be next.
    pub(crate) at_once: bool,
}

/// The traps that are set, and who does what they ask for.
#[derive(Debug)]
pub(crate) struct Traps {
    set: Mutex<BTreeMap<u64, Vec<(Moment, Catch)>>>,
    /// `None` when nobody is caught any more.
    caught: Mutex<Option<UnboundedSender<Caught>>>,
}

impl Traps {
    pub(crate) fn new(caught: UnboundedSender<Caught>) -> Self {
        Self { set: Mutex::default(), caught: Mutex::new(Some(caught)) }
    }

    /// Sets a trap in the place of another for the same moment.
    pub(crate) fn set(&self, node: u64, moment: Moment, catch: Catch) {
        let mut set = self.set.lock().unwrap_or_else(PoisonError::into_inner);
        let traps = set.entry(node).or_default();
        traps.retain(|(known, _)| *known != moment);
        traps.push((moment, catch));
    }

    pub(crate) fn clear(&self) {
        self.set.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }

    /// Nobody is caught any more.
    pub(crate) fn end(&self) {
        *self.caught.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }

    /// Whether the node is to come no further: it has come to the moment of a trap.
    pub(crate) fn spring(&self, node: u64, moment: Moment) -> bool {
        let catch = {
            let mut set = self.set.lock().unwrap_or_else(PoisonError::into_inner);
            let Some(traps) = set.get_mut(&node) else { return false };
            let Some(place) = traps.iter().position(|(expected, _)| *expected == moment) else { return false };
            traps.swap_remove(place).1
        };
        let at_once = moment.is_the_last() && matches!(catch, Catch::Crash { .. });
        let caught = self.caught.lock().unwrap_or_else(PoisonError::into_inner);
        let told = caught.as_ref().is_some_and(|caught| caught.send(Caught { node, catch, at_once }).is_ok());
        told && at_once
    }
}
