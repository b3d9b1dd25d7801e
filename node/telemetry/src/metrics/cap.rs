//! The bound on label values. Each one is a time series for ever, and models, functions and errors are named by users.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, PoisonError};

use crate::redaction::redact;

/// Distinct values of one label, over all metrics; later ones become [`OTHER`].
const VALUES_MAX: usize = 100;
/// Letters of a value; the rest is cut off.
const LETTERS_MAX: usize = 120;
/// What stands for values that came too late.
const OTHER: &str = "other";

static SEEN: Mutex<BTreeMap<&'static str, BTreeSet<String>>> = Mutex::new(BTreeMap::new());

/// The value to be used for `label`: without secrets, of bounded length, one of a bounded number.
pub(super) fn cap(label: &'static str, value: &str) -> String {
    let mut seen = SEEN.lock().unwrap_or_else(PoisonError::into_inner);
    let seen = seen.entry(label).or_default();
    if seen.contains(value) {
        return value.to_owned();
    }
    let value: String = redact(value).chars().take(LETTERS_MAX).collect();
    if seen.contains(&value) {
        return value;
    }
    if seen.len() >= VALUES_MAX {
        return OTHER.to_owned();
    }
    seen.insert(value.clone());
    value
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hundred_first_value_becomes_other_and_the_first_hundred_stay() {
        let value = |n: usize| cap("a label of this test", &format!("model-{n}"));
        for n in 0..VALUES_MAX {
            assert_eq!(value(n), format!("model-{n}"));
        }
        assert_eq!((value(VALUES_MAX).as_str(), value(0).as_str()), (OTHER, "model-0"));
        assert_eq!(cap("another label of this test", "model-100"), "model-100");
    }

    #[test]
    fn values_are_short_and_without_secrets() {
        assert_eq!(cap("a third label", &"x".repeat(1000)).len(), LETTERS_MAX);
        assert_eq!(cap("a third label", "api_key=abc"), "api_key=[redacted]");
        assert_eq!(cap("a third label", ""), "");
    }
}
