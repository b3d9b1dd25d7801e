//! One result as a row: with the very text that Python wrote for each value.

use dspex_api::v1::{ExampleResult, ScoreKind};
use serde_json::value::RawValue;

use crate::object::Object;

/// DSPy's row for `save_as_json` and `save_as_csv`: the example's fields, the prediction's, the score under the metric's
/// name. A name that both have becomes `example_NAME` and `pred_NAME`.
pub fn merged(result: &ExampleResult, metric: &str) -> Result<Object, serde_json::Error> {
    let example: Object = match result.example.is_empty() {
        true => Object::default(),
        false => serde_json::from_slice(&result.example)?,
    };
    let mut row = Object::default();
    match prediction(result)? {
        Prediction::Fields(fields) => {
            for (name, value) in &example.0 {
                let prefix = if fields.has(name) { "example_" } else { "" };
                row.set(format!("{prefix}{name}"), value.clone());
            }
            for (name, value) in fields.0 {
                let prefix = if example.has(&name) { "pred_" } else { "" };
                row.set(format!("{prefix}{name}"), value);
            }
        }
        Prediction::Other(value) => {
            row = example;
            row.set("prediction".to_owned(), value);
        }
    }
    row.set(metric.to_owned(), raw(score(result))?);
    Ok(row)
}

/// What a program gave.
pub enum Prediction {
    /// The fields of a `dspy.Prediction`.
    Fields(Object),
    /// Any other value.
    Other(Box<RawValue>),
}

/// A failed example has DSPy's empty prediction.
pub fn prediction(result: &ExampleResult) -> Result<Prediction, serde_json::Error> {
    if result.prediction.is_empty() {
        return Ok(Prediction::Fields(Object::default()));
    }
    if result.prediction.first() == Some(&b'{') {
        return Ok(Prediction::Fields(serde_json::from_slice(&result.prediction)?));
    }
    Ok(Prediction::Other(serde_json::from_slice(&result.prediction)?))
}

/// The score as JSON; one that is not a number has no JSON form.
pub fn score(result: &ExampleResult) -> String {
    if !result.score.is_finite() {
        return "null".to_owned();
    }
    match result.score_kind() {
        ScoreKind::Boolean => (result.score != 0.0).to_string(),
        ScoreKind::Integer if result.score.abs() < 9e15 => format!("{}", result.score as i64),
        _ => serde_json::Value::from(result.score).to_string(),
    }
}

/// JSON text as a value.
pub fn raw(json: String) -> Result<Box<RawValue>, serde_json::Error> {
    RawValue::from_string(json)
}

/// The column of the score: the metric's own name, as in DSPy.
pub fn metric_column(metric: &str) -> &str {
    let name = metric.rsplit([':', '.']).next().unwrap_or(metric);
    if name.is_empty() { "score" } else { name }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(example: &str, prediction: &str, score: f64, kind: ScoreKind, expected: &str) {
        let result = ExampleResult {
            example: example.to_owned().into(),
            prediction: prediction.to_owned().into(),
            score,
            score_kind: kind.into(),
            ..ExampleResult::default()
        };
        assert_eq!(merged(&result, "exact").expect("JSON").json(), expected);
    }

    #[test]
    fn rows_are_merged_as_in_dspy() {
        check(
            r#"{"q":"a","answer":"b"}"#,
            r#"{"answer":"c","why":[1]}"#,
            1.0,
            ScoreKind::Integer,
            r#"{"q":"a","example_answer":"b","pred_answer":"c","why":[1],"exact":1}"#,
        );
        check(r#"{"q":"a"}"#, "", 0.0, ScoreKind::Unspecified, r#"{"q":"a","exact":0.0}"#);
        check(r#"{"q":"a"}"#, "\"text\"", 0.5, ScoreKind::Unspecified, r#"{"q":"a","prediction":"text","exact":0.5}"#);
        check("{}", "{}", 1.0, ScoreKind::Boolean, r#"{"exact":true}"#);
        check(
            r#"{"q":12345678901234567890123}"#,
            r#"{"x":1.10}"#,
            f64::NAN,
            ScoreKind::Unspecified,
            r#"{"q":12345678901234567890123,"x":1.10,"exact":null}"#,
        );
    }

    #[test]
    fn the_column_is_the_metrics_own_name() {
        for (metric, column) in
            [("exact", "exact"), ("qa.py:exact", "exact"), ("pkg.mod:Judge", "Judge"), ("", "score")]
        {
            assert_eq!(metric_column(metric), column);
        }
    }
}
