//! Times as people read them.

use chrono::{DateTime, SecondsFormat};
use serde_json::Value;

/// A time in Unix milliseconds, in UTC.
pub fn date(milliseconds: u64) -> String {
    let signed = i64::try_from(milliseconds).unwrap_or(i64::MAX);
    DateTime::from_timestamp_millis(signed).unwrap_or_default().to_rfc3339_opts(SecondsFormat::Secs, true)
}

/// An object's times: `created_unix_ms` becomes `created`, in UTC.
pub fn with_dates(value: Value) -> Value {
    let Value::Object(object) = value else { return value };
    let shown = object.into_iter().map(|(key, value)| match (key.strip_suffix("_unix_ms"), value.as_u64()) {
        (Some(name), Some(milliseconds)) => (name.to_owned(), Value::from(date(milliseconds))),
        (Some(name), None) => (name.to_owned(), value),
        (None, _) => (key, value),
    });
    Value::Object(shown.collect())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn times_are_dates() {
        let shown = with_dates(json!({"created_unix_ms": 1_700_000_000_123_u64, "ended_unix_ms": null, "done": 3}));
        assert_eq!(shown, json!({"created": "2023-11-14T22:13:20Z", "ended": null, "done": 3}));
    }
}
