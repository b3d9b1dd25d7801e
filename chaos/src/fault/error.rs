//! Why a fault could not be made or put back.

use std::io;
use std::time::Duration;

/// A fault that did not land. A scenario that goes on all the same tests nothing.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FaultError {
    /// A command failed.
    #[error("{command}: {said}")]
    Command {
        /// It and its arguments.
        command: String,
        /// What it said, or how it ended.
        said: String,
    },
    /// The system refused something.
    #[error("{doing}: {source}")]
    System {
        /// What was tried.
        doing: String,
        /// Why not.
        source: io::Error,
    },
    /// It cannot be had.
    #[error("{0}")]
    Impossible(String),
    /// It took too long.
    #[error("{doing}: not within {} s", .limit.as_secs())]
    TooLong {
        /// What was waited for.
        doing: String,
        /// How long.
        limit: Duration,
    },
}

impl FaultError {
    pub(super) fn system(doing: impl Into<String>) -> impl FnOnce(io::Error) -> Self {
        let doing = doing.into();
        move |source| Self::System { doing, source }
    }
}
