//! What someone has to do after a command was applied.
//!
//! An effect is a hint that makes things quick. [`crate::State::pending`] derives each open [`Effect::OwnRun`] from the state
//! alone; the others are not derived: after a lost stop results are refused, and what was not freed goes with a later sweep.
//! So a lost effect costs time, never a result. Performing one twice is harmless.

use crate::{Digest, NodeId, RunId};

/// One thing to do, and who does it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Effect {
    /// `owner` plans the run: it knows what is missing and gives orders to workers, all fenced by `epoch`.
    OwnRun {
        /// Who acts.
        owner: NodeId,
        /// The run.
        run: RunId,
        /// Fences its orders.
        epoch: u64,
    },
    /// Every node stops work for the run: it ended, was cancelled or deleted. Results that still come are refused anyway.
    StopRun {
        /// The run.
        run: RunId,
    },
    /// The run's owner gives nothing new out and lets the workers end what they have. Lost, it is made up for by the status that
    /// comes back with the next result.
    PauseRun {
        /// The run.
        run: RunId,
    },
    /// Every node may drop blobs that only this deleted run referred to.
    FreeBlobs {
        /// The deleted run.
        run: RunId,
    },
    /// Every node may drop blobs that only executions before this number referred to: they are not kept any more.
    FreeExecutions {
        /// The first number that is kept.
        before: u64,
    },
    /// Every node may drop this blob: the last version of a program that named it has gone.
    FreeBlob {
        /// The blob.
        digest: Digest,
    },
}
