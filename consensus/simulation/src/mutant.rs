//! Protections that can be taken away. Each one must then be missed by an invariant, or the invariant proves nothing.

use std::fmt;

use crate::traps::Moment;

/// What a control takes away.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Mutant {
    /// Entries count as synced as soon as they are written.
    AcknowledgesUnsynced,
    /// A vote counts as synced as soon as it is written.
    VotesUnsynced,
    /// Entries are applied before this node's log has synced them.
    AppliesUnsynced,
    /// A linearizable read does not ask for the read index.
    ReadsWithoutIndex,
    /// Requests lose their ids on their way into the log.
    ForgetsRequests,
    /// An installed snapshot lacks what was written last.
    InstallsTruncated,
    /// A snapshot is kept after its state was installed, not before.
    KeepsSnapshotsLate,
    /// A node is not started when its log ends before its state, even though a snapshot says why.
    DemandsWholeLogs,
    /// A change of the members that its leader has left halfway is not finished by the next.
    LeavesChangesHalfway,
    /// A blob counts as held before it is synced.
    HoldsBlobsUnsynced,
    /// The log names a blob that only the proposing node has.
    PromisesUnspread,
    /// A node that was restarted frees what its peers are about to name.
    ForgetsPins,
    /// Voters come and go wherever the blobs are.
    VotesWithoutCopies,
}

impl Mutant {
    /// All of them.
    pub const ALL: [Self; 13] = [
        Self::AcknowledgesUnsynced,
        Self::VotesUnsynced,
        Self::AppliesUnsynced,
        Self::ReadsWithoutIndex,
        Self::ForgetsRequests,
        Self::InstallsTruncated,
        Self::KeepsSnapshotsLate,
        Self::DemandsWholeLogs,
        Self::LeavesChangesHalfway,
        Self::HoldsBlobsUnsynced,
        Self::PromisesUnspread,
        Self::ForgetsPins,
        Self::VotesWithoutCopies,
    ];

    /// The moment of a crash that shows it, where chance alone would need many seeds.
    pub(crate) fn moment(self) -> Option<Moment> {
        match self {
            Self::AcknowledgesUnsynced => Some(Moment::AppendAcknowledged),
            Self::VotesUnsynced => Some(Moment::VoteGranted),
            Self::AppliesUnsynced => Some(Moment::AheadOfLog),
            Self::KeepsSnapshotsLate | Self::DemandsWholeLogs => Some(Moment::Installing),
            Self::HoldsBlobsUnsynced | Self::ForgetsPins => Some(Moment::BlobsStored),
            _ => None,
        }
    }

    /// Its name on a command line.
    pub fn name(self) -> &'static str {
        match self {
            Self::AcknowledgesUnsynced => "acknowledges-unsynced",
            Self::VotesUnsynced => "votes-unsynced",
            Self::AppliesUnsynced => "applies-unsynced",
            Self::ReadsWithoutIndex => "reads-without-index",
            Self::ForgetsRequests => "forgets-requests",
            Self::InstallsTruncated => "installs-truncated",
            Self::KeepsSnapshotsLate => "keeps-snapshots-late",
            Self::DemandsWholeLogs => "demands-whole-logs",
            Self::LeavesChangesHalfway => "leaves-changes-halfway",
            Self::HoldsBlobsUnsynced => "holds-blobs-unsynced",
            Self::PromisesUnspread => "promises-unspread",
            Self::ForgetsPins => "forgets-pins",
            Self::VotesWithoutCopies => "votes-without-copies",
        }
    }
}

impl fmt::Display for Mutant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
