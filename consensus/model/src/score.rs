//! DSPy's score, to the last digit: Python's `sum` over the scores in example order, then `round(100 * sum / n, 2)`.

use serde::{Deserialize, Serialize};

/// What kind of Python object a score was; `sum` treats them differently.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum ScoreKind {
    /// `int`.
    Integer,
    /// `float`.
    Float,
    /// An object with `__radd__`: `dspy.Prediction`, a NumPy scalar.
    Object,
    /// `bool`, which adds up as an `int`.
    Boolean,
}

impl ScoreKind {
    /// Whether Python adds it exactly.
    fn is_integral(self) -> bool {
        matches!(self, Self::Integer | Self::Boolean)
    }
}

/// One example's score.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Score {
    /// The value.
    pub value: f64,
    /// Its kind in Python.
    pub kind: ScoreKind,
}

/// How the run's Python adds floats.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum SumRule {
    /// One after another (Python up to 3.11).
    Plain,
    /// With Neumaier's compensation (Python from 3.12 on).
    Compensated,
}

/// `round(100 * sum(scores) / n, 2)` as the run's Python computes it; `None` without examples.
pub fn evaluation_score(rule: SumRule, scores: &[Score]) -> Option<f64> {
    if scores.is_empty() {
        return None;
    }
    let percent = 100.0 * python_sum(rule, scores) / scores.len() as f64;
    Some(round_to_cents(percent))
}

/// CPython's `sum`: integers exactly, then floats (compensated or not), then, from the first object on, plain additions.
fn python_sum(rule: SumRule, scores: &[Score]) -> f64 {
    let mut sum = 0.0;
    let mut compensation = 0.0;
    let mut position = scores.iter().peekable();
    while let Some(score) = position.next_if(|score| score.kind.is_integral()) {
        sum += score.value;
    }
    // The first float is added to the integers by `+`; compensation starts after it.
    if let Some(score) = position.next_if(|score| score.kind == ScoreKind::Float) {
        sum += score.value;
        while let Some(score) = position.next_if(|score| score.kind != ScoreKind::Object) {
            if rule == SumRule::Compensated && score.kind == ScoreKind::Float {
                compensation += neumaier(sum, score.value);
            }
            sum += score.value;
        }
    }
    if compensation != 0.0 && f64::is_finite(compensation) {
        sum += compensation;
    }
    position.fold(sum, |sum, score| sum + score.value)
}

/// What the addition `sum + value` loses.
fn neumaier(sum: f64, value: f64) -> f64 {
    let total = sum + value;
    if sum.abs() >= value.abs() { (sum - total) + value } else { (value - total) + sum }
}

/// Python's `round(value, 2)`: the decimal nearest to the exact binary value, ties to even.
fn round_to_cents(value: f64) -> f64 {
    if !value.is_finite() {
        return value;
    }
    format!("{value:.2}").parse().unwrap_or(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scores(kind: ScoreKind, values: &[f64]) -> Vec<Score> {
        values.iter().map(|&value| Score { value, kind }).collect()
    }

    #[test]
    fn thirds_give_the_score_that_dspy_gives() {
        let thirds = scores(ScoreKind::Integer, &[1.0, 0.0, 0.0]);
        assert_eq!(evaluation_score(SumRule::Plain, &thirds), Some(33.33));
    }

    #[test]
    fn ten_tenths_differ_by_the_rule_of_the_python_that_ran_them() {
        let tenths = scores(ScoreKind::Float, &[0.1; 10]);
        assert_eq!(python_sum(SumRule::Plain, &tenths), 0.999_999_999_999_999_9);
        assert_eq!(python_sum(SumRule::Compensated, &tenths), 1.0);
    }

    #[test]
    fn objects_are_never_compensated() {
        let tenths = scores(ScoreKind::Object, &[0.1; 10]);
        assert_eq!(python_sum(SumRule::Compensated, &tenths), 0.999_999_999_999_999_9);
    }

    #[test]
    fn ties_are_rounded_to_even_as_python_does() {
        assert_eq!(round_to_cents(0.125), 0.12);
        assert_eq!(round_to_cents(0.375), 0.38);
        assert_eq!(round_to_cents(2.675), 2.67);
        assert_eq!(round_to_cents(-100.0), -100.0);
        assert!(round_to_cents(f64::NAN).is_nan());
    }

    #[test]
    fn no_examples_have_no_score() {
        assert_eq!(evaluation_score(SumRule::Plain, &[]), None);
    }
}
