//! Why a cluster is not as a scenario needs it. Not a broken promise: those are findings.

use std::io;
use std::path::Path;
use std::time::Duration;

use crate::fault::FaultError;

/// What went wrong with a cluster under test.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ClusterError {
    /// A fault did not land, or was not put back.
    #[error(transparent)]
    Fault(#[from] FaultError),
    /// The system refused something.
    #[error("{doing}: {source}")]
    System {
        /// What was tried.
        doing: String,
        /// Why not.
        source: io::Error,
    },
    /// A command of the program under test failed.
    #[error("{command}: {said}")]
    Command {
        /// What was run.
        command: String,
        /// What it said.
        said: String,
    },
    /// Something did not come about in time.
    #[error("{waiting}: not within {} s; {seen}", .limit.as_secs())]
    TooLong {
        /// What was waited for.
        waiting: String,
        /// How long.
        limit: Duration,
        /// What there was instead.
        seen: String,
    },
    /// A fault needs something that is not there, such as a node that runs.
    #[error("{0}")]
    Impossible(String),
}

impl ClusterError {
    pub(crate) fn system(doing: impl Into<String>) -> impl FnOnce(io::Error) -> Self {
        let doing = doing.into();
        move |source| Self::System { doing, source }
    }

    pub(crate) fn at(path: &Path) -> impl FnOnce(io::Error) -> Self {
        Self::system(path.display().to_string())
    }
}
