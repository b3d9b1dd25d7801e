//! Times as people read them.

use chrono::{DateTime, SecondsFormat};

use crate::object::Object;
use crate::verbatim::written;

/// A time in Unix milliseconds, in UTC.
pub fn date(milliseconds: u64) -> String {
    let signed = i64::try_from(milliseconds).unwrap_or(i64::MAX);
    DateTime::from_timestamp_millis(signed).unwrap_or_default().to_rfc3339_opts(SecondsFormat::Secs, true)
}

/// An object's times: `created_unix_ms` becomes `created`, in UTC.
pub fn with_dates(object: Object) -> Object {
    let shown = object.0.into_iter().map(|(name, value)| match (name.strip_suffix("_unix_ms"), value.get().parse()) {
        (Some(name), Ok(milliseconds)) => (name.to_owned(), written(&date(milliseconds))),
        (Some(name), Err(_)) => (name.to_owned(), value),
        (None, _) => (name, value),
    });
    Object(shown.collect())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn times_are_dates() {
        let shown =
            with_dates(json!({"created_unix_ms": 1_700_000_000_123_u64, "ended_unix_ms": null, "done": 3}).into());
        assert_eq!(shown.json(), r#"{"created":"2023-11-14T22:13:20Z","ended":null,"done":3}"#);
    }
}
