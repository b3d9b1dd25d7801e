//! Runs as JSON.

use dspex_api::v1::{Run, RunStatus};
use serde_json::{Map, Value, json};

use crate::strategy::Choice;

/// The word for a status.
pub fn status_name(status: RunStatus) -> &'static str {
    match status {
        RunStatus::Unspecified => "unknown",
        RunStatus::Running => "running",
        RunStatus::Finished => "finished",
        RunStatus::Failed => "failed",
        RunStatus::Cancelled => "cancelled",
        RunStatus::Interrupted => "interrupted",
        RunStatus::Paused => "paused",
    }
}

/// The object of CONTRACT.md: these keys, in this order.
pub fn evaluation(run: &Run) -> Map<String, Value> {
    let usage: Map<String, Value> =
        run.usage.iter().map(|(model, usage)| (model.clone(), json!(usage.tokens))).collect();
    let value = json!({
        "run_id": run.run_id,
        "kind": run.kind,
        "status": status_name(run.status()),
        "score": run.score,
        "examples": run.examples,
        "failed": run.failed,
        "metric": run.metric,
        "duration_s": run.duration_ms as f64 / 1000.0,
        "usage": usage,
        "cost_usd": run.cost_usd,
        "label": run.label,
        "digest": run.digest,
    });
    match value {
        Value::Object(object) => object,
        _ => Map::new(),
    }
}

/// What a command ends with that has executed a run, and has chosen where.
pub fn ended(run: &Run, choice: Option<&Choice>) -> Map<String, Value> {
    let mut object = evaluation(run);
    object.extend(choice.map(Choice::fields).unwrap_or_default());
    object
}

/// Everything that is known of a run.
pub fn run(run: &Run) -> Value {
    let mut object = evaluation(run);
    let more = json!({
        "program": run.program,
        "dataset": run.dataset,
        "dataset_digest": (!run.dataset_digest.is_empty()).then_some(&run.dataset_digest),
        "lm": run.lm,
        "inputs": run.inputs,
        "done": run.done,
        "reason": run.reason,
        "created_unix_ms": run.created_unix_ms,
        "ended_unix_ms": (run.ended_unix_ms > 0).then_some(run.ended_unix_ms),
        "num_threads": run.num_threads,
        "workers": run.workers,
        "interpreter": run.interpreter,
        "python": run.python,
        "dspy": run.dspy,
        "directory": run.directory,
        "environment": (!run.environment.is_empty()).then_some(&run.environment),
        "bundle": (!run.bundle.is_empty()).then_some(&run.bundle),
        "generation": run.generation,
        "epoch": run.epoch,
        "duplicates": run.duplicates,
        "weight": run.weight,
        "startup_s": measured(run.startup_us),
        "execution_s": measured(run.execution_us),
    });
    if let Value::Object(more) = more {
        object.extend(more);
    }
    Value::Object(object)
}

/// Seconds; none where nothing was measured, or a restart of the node has forgotten it.
fn measured(time_us: u64) -> Option<f64> {
    (time_us > 0).then(|| time_us as f64 / 1e6)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::strategy::{Reason, Strategy};

    #[test]
    fn the_keys_are_those_of_the_contract() {
        let run = Run {
            run_id: "r".into(),
            kind: "evaluation".into(),
            status: RunStatus::Finished.into(),
            score: Some(96.0),
            examples: 200,
            duration_ms: 1234,
            label: "complete".into(),
            digest: Some("d".into()),
            ..Run::default()
        };
        assert_eq!(
            Value::Object(evaluation(&run)).to_string(),
            r#"{"run_id":"r","kind":"evaluation","status":"finished","score":96.0,"examples":200,"failed":0,"metric":"","duration_s":1.234,"usage":{},"cost_usd":null,"label":"complete","digest":"d"}"#
        );
    }

    #[test]
    fn the_choice_of_the_place_and_its_reason_stand_at_the_end() {
        let choice = Choice { strategy: Strategy::Local, reason: Reason::ClusterUnavailable("nobody answers".into()) };
        let text = Value::Object(ended(&Run::default(), Some(&choice))).to_string();
        let end = r#""digest":null,"strategy":"local","strategy_reason":"cluster_unavailable","strategy_detail":"nobody answers"}"#;
        assert!(text.ends_with(end), "{text}");
        assert_eq!(ended(&Run::default(), None), evaluation(&Run::default()), "whoever chose nothing says nothing");
    }

    #[test]
    fn an_unfinished_run_has_no_score() {
        let object = evaluation(&Run::default());
        assert_eq!((&object["score"], &object["digest"]), (&Value::Null, &Value::Null));
    }
}
