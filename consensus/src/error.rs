//! Errors for callers, each saying what may have happened to what they asked for.

use std::time::Duration;

use dspex_model::CodecError;

/// Why a node could not start.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StartError {
    /// The log or the state cannot be read, or belongs to a newer version.
    #[error(
        "the log or the state in the data directory cannot be used: {detail}; restore it from a backup, \
         or start the dspex version that wrote it"
    )]
    Storage {
        /// What was found.
        detail: String,
    },
    /// The file system has no space left.
    #[error(
        "no space left for the log or the state ({detail}); free at least 64 MiB on its file system and start again"
    )]
    Full {
        /// What was refused.
        detail: String,
    },
    /// The settings contradict each other.
    #[error("the consensus settings are not usable: {detail}")]
    Options {
        /// Which and why.
        detail: String,
    },
    /// The only voter did not become leader in time.
    #[error("the node could not write within {limit:?} after its start; is the disk very slow?")]
    TooSlow {
        /// The limit.
        limit: Duration,
    },
}

impl StartError {
    /// A failed read or write.
    pub(crate) fn storage(error: impl std::fmt::Display) -> Self {
        let detail = error.to_string();
        if is_disk_full(&detail) { Self::Full { detail } } else { Self::Storage { detail } }
    }
}

/// openraft hands on the words of a failed read or write, not its kind; for a full disk they are those of `strerror`.
fn is_disk_full(detail: &str) -> bool {
    ["No space left on device", "Disk quota exceeded"].iter().any(|words| detail.contains(words))
}

/// Why a proposal has no outcome.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ProposeError {
    /// It cannot be encoded, or is larger than an entry may be.
    #[error("the proposal cannot be encoded: {0}")]
    Encode(#[from] CodecError),
    /// Too many proposals are under way. It was not executed.
    #[error("too many proposals are under way; try again in a moment")]
    Busy,
    /// No leader was there in time. It was not executed.
    #[error("no leader within the time limit; try again")]
    NoLeader,
    /// It can never be executed as it is.
    #[error("the leader refused the proposal: {detail}")]
    Refused {
        /// Why.
        detail: String,
    },
    /// It was sent to the log, but no answer came.
    #[error("no answer ({detail}); the proposal may have been executed: look, or repeat it under the same request id")]
    Unknown {
        /// What happened.
        detail: String,
    },
    /// The node has stopped. The proposal may have been executed.
    #[error("the node has stopped ({detail}); the proposal may have been executed")]
    Stopped {
        /// Why it stopped.
        detail: String,
    },
}

impl ProposeError {
    /// Whether the proposal may have been executed, now or later. If not, it surely was and will not be.
    pub fn outcome_unknown(&self) -> bool {
        matches!(self, Self::Unknown { .. } | Self::Stopped { .. })
    }

    /// Whether the node has stopped because its disk is full.
    pub fn is_storage_full(&self) -> bool {
        matches!(self, Self::Stopped { detail } if is_disk_full(detail))
    }
}

/// Why the state could not be read with certainty.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ReadError {
    /// Too many requests are under way.
    #[error("too many requests are under way; try again in a moment")]
    Busy,
    /// No leader confirmed it in time.
    #[error("no leader confirmed the read within the time limit; try again, or read stale")]
    NoLeader,
    /// The leader does not answer this node.
    #[error("the leader refused the read: {detail}")]
    Refused {
        /// Why, and what to do.
        detail: String,
    },
    /// This node did not apply what it must have for the read in time.
    #[error("this node is behind: it has not applied entry {index} in time; read at another node, or read stale")]
    Behind {
        /// How far the read has to see.
        index: u64,
    },
    /// The node has stopped.
    #[error("the node has stopped ({detail})")]
    Stopped {
        /// Why it stopped.
        detail: String,
    },
}

/// Why executions could not be looked for.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ExecutionsError {
    /// It would not have been certain to show everything that was acknowledged.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// The records cannot be read.
    #[error("the records of executions cannot be read: {0}")]
    Storage(#[from] std::io::Error),
}

/// Why there is no image of the state.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ImageError {
    /// It would not have been certain to hold everything that was acknowledged.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// It could not be written.
    #[error("the state could not be written to a file: {0}")]
    Storage(#[from] std::io::Error),
}

/// Why the members were not changed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum MemberError {
    /// It cannot be done as asked.
    #[error("{detail}")]
    Refused {
        /// Why, and what to do.
        detail: String,
    },
    /// No leader was there in time. Nothing was changed.
    #[error("no leader within the time limit: without a quorum the members cannot be changed; try again")]
    NoLeader,
    /// It was begun, and may be done yet.
    #[error("no answer ({detail}): look at the members, then repeat it")]
    Unknown {
        /// What happened.
        detail: String,
    },
}

/// Why a node did not become a member.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FormationError {
    /// Waiting cannot help.
    #[error("{detail}")]
    Never {
        /// Why, and what to do.
        detail: String,
    },
    /// The node at the address gave no answer, or refused.
    #[error("the node at {address}: {detail}")]
    Unreachable {
        /// HOST:PORT.
        address: String,
        /// Why.
        detail: String,
    },
    /// The members could not be changed.
    #[error(transparent)]
    Members(#[from] MemberError),
    /// Consensus has stopped on this node.
    #[error("the node has stopped ({detail})")]
    Stopped {
        /// Why.
        detail: String,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_disk_is_not_taken_for_a_damaged_log() {
        for words in
            ["IO error: No space left on device: While appending to 7.log", "Disk quota exceeded (os error 122)"]
        {
            assert!(matches!(StartError::storage(words), StartError::Full { .. }), "{words}");
        }
        assert!(matches!(StartError::storage("log entry 7 is damaged"), StartError::Storage { .. }));
        let stopped = |detail: &str| ProposeError::Stopped { detail: detail.to_owned() };
        assert!(stopped("when Write Vote: No space left on device (os error 28)").is_storage_full());
        assert!(!stopped("raft stopped").is_storage_full());
    }
}
