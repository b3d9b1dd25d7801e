//! What can be asked of the log. Variants are appended, never reordered or reused: their position is stored.

use serde::{Deserialize, Serialize};

use crate::{NodeId, RecordedResult, RunId, RunSpec};

/// An intent; becomes an entry of the log as part of a [`crate::Proposal`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Command {
    /// Lets log time pass while a deadline is pending.
    Tick,
    /// A new run.
    SubmitRun(Box<RunSubmission>),
    /// Results of a run's examples. The first one of the current generation counts.
    RecordResults {
        /// The run.
        run: RunId,
        /// The generation that the work was ordered in.
        generation: u64,
        /// Names of models and kinds of tokens that the results' usage refers to.
        names: Vec<String>,
        /// The results.
        results: Vec<RecordedResult>,
    },
    /// The run cannot have a score.
    FailRun {
        /// The run.
        run: RunId,
        /// The owner's epoch.
        epoch: u64,
        /// What a person should read.
        reason: String,
    },
    /// Stops a run; what it has is kept.
    CancelRun {
        /// The run.
        run: RunId,
        /// What a person should read.
        reason: String,
    },
    /// The embedded node started again: its running runs wait for a resume.
    InterruptRuns {
        /// The node.
        node: NodeId,
    },
    /// Continues a cancelled or interrupted run.
    ResumeRun {
        /// The run.
        run: RunId,
        /// Its new owner.
        owner: NodeId,
        /// Whether it goes on without its driver from now on.
        detached: bool,
    },
    /// Removes a run that is not running.
    DeleteRun {
        /// The run.
        run: RunId,
    },
}

/// A new run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RunSubmission {
    /// Its id.
    pub run: RunId,
    /// Who plans it.
    pub owner: NodeId,
    /// Whether it goes on without its driver.
    pub detached: bool,
    /// What was asked for.
    pub spec: RunSpec,
}
