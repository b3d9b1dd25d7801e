//! Why telemetry did not start, and how errors are told.

/// The deepest chain of causes that is told.
const CAUSES_MAX: usize = 16;

/// Why telemetry did not start. None of it comes from the environment: what is wrong there is warned of, and the node runs.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// There is a subscriber or a recorder in this process.
    #[error("telemetry was started before in this process")]
    AlreadyStarted,
    /// The recorder could not be made.
    #[error("the metrics cannot be recorded: {0}")]
    Metrics(String),
}

/// An error with its causes.
pub(crate) fn chain(error: &(dyn std::error::Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    for _ in 0..CAUSES_MAX {
        let Some(error) = cause else { break };
        text.push_str(": ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    text
}
