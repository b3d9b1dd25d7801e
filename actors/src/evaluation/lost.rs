//! The result of an example that has none of its own.

use dspex_model::{RunSpec, ScoreKind};
use dspex_python::protocol::{self, ExampleFailure, ExampleResult};

use super::plan::{Assignment, Verdict};
use crate::worker::WorkerEnd;

/// Lines of a dead worker's output that go into a message.
const TAIL_LINES: usize = 20;

/// The failure that stands for a lost or late example.
pub(super) fn result(verdict: Verdict, spec: &RunSpec, end: &WorkerEnd) -> ExampleResult {
    let (Assignment { index, attempt }, exception, message, duration_us) = match verdict {
        Verdict::WorkerLost(held) => {
            let message =
                format!("{}; attempt {} of this example{}", end.message, held.attempt, shown_tail(&end.output));
            (held, "WorkerLost", message, 0)
        }
        Verdict::TimedOut(held) => {
            let limit_ms = spec.timeout_ms.unwrap_or_default();
            (
                held,
                "TimedOut",
                format!("still running after {} s (--timeout)", limit_ms as f64 / 1000.0),
                limit_ms * 1000,
            )
        }
    };
    ExampleResult {
        index: u64::from(index),
        attempt,
        score: spec.failure_score.value,
        score_kind: match spec.failure_score.kind {
            ScoreKind::Integer => protocol::ScoreKind::Integral,
            ScoreKind::Float => protocol::ScoreKind::Float,
            ScoreKind::Object => protocol::ScoreKind::Object,
            ScoreKind::Boolean => protocol::ScoreKind::Boolean,
        },
        prediction: None,
        canonical: None,
        failure: Some(ExampleFailure {
            exception: exception.to_owned(),
            message,
            traceback: None,
            file: None,
            line: None,
        }),
        usage: None,
        cost_usd: None,
        returned: None,
        duration_us,
    }
}

/// The last lines a worker printed, as the end of a message; nothing when it printed nothing.
pub(crate) fn shown_tail(output: &str) -> String {
    let lines: Vec<&str> = output.trim_end().lines().collect();
    if lines.is_empty() {
        return String::new();
    }
    let tail = lines[lines.len().saturating_sub(TAIL_LINES)..].join("\n");
    format!("\nIt printed last:\n{tail}")
}
