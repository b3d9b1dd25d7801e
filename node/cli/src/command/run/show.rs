//! `dspex run show`.

use chrono::{DateTime, SecondsFormat};
use clap::Args;
use serde_json::Value;

use crate::error::CommandError;
use crate::exit;
use crate::invocation::Invocation;
use crate::listing::{self, Listing};
use crate::output::{self, Format};
use crate::result::{self, Failures};
use crate::run_id;

/// The arguments of `dspex run show`.
#[derive(Debug, Args)]
pub struct Options {
    /// The run's id, or its beginning
    run: String,
}

/// Prints the run; a table ends with the failures in groups.
pub async fn execute(invocation: &Invocation, options: Options) -> Result<u8, CommandError> {
    let client = invocation.node().await?;
    let id = run_id::resolve(&client, &options.run).await?;
    let run = client.run(&id).await?;
    let value = result::run(&run);
    match invocation.format {
        Format::Table => {
            let failures = match run.failed {
                0 => String::new(),
                _ => Failures::of(&client, &id).await?.text(),
            };
            output::text(&format!("{}{failures}", listing::pairs(&with_dates(value))))?;
        }
        Format::Json | Format::Jsonl => output::json(&value)?,
        Format::Csv => Listing::of_objects(vec![value]).print(Format::Csv)?,
    }
    Ok(exit::OK)
}

/// Times as people read them: `created_unix_ms` becomes `created`, in UTC.
fn with_dates(value: Value) -> Value {
    let Value::Object(object) = value else { return value };
    let shown = object.into_iter().map(|(key, value)| match (key.strip_suffix("_unix_ms"), value.as_i64()) {
        (Some(name), Some(milliseconds)) => {
            let time = DateTime::from_timestamp_millis(milliseconds).unwrap_or_default();
            (name.to_owned(), Value::from(time.to_rfc3339_opts(SecondsFormat::Secs, true)))
        }
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
