//! Results on stdout. Tables and JSON lists are capped; `jsonl` and `csv` are streams and always complete.

use std::io::Write;

use dspex_api::Client;
use dspex_api::v1::{ExampleResult, Run, RunResultsRequest};
use serde_json::{Value, json};

use super::for_each;
use super::row::{metric_column, score};
use super::survey::{self, Survey};
use super::writer::cells;
use crate::console::Console;
use crate::error::CommandError;
use crate::listing::{Listing, csv_failed};
use crate::output::{self, Format};

/// The cap of lists.
const CAP: usize = 100;

/// Which results are wanted.
#[derive(Debug, Clone, Copy, Default)]
pub struct Selection {
    /// Failed examples only.
    pub failed_only: bool,
    /// Without a cap.
    pub all: bool,
}

/// Prints the results of a run in a format.
pub async fn print_results(
    client: &Client,
    run: &Run,
    selection: Selection,
    format: Format,
    console: &Console,
) -> Result<(), CommandError> {
    let request = RunResultsRequest {
        run_id: run.run_id.clone(),
        failed_only: selection.failed_only,
        full: format != Format::Table,
        ..RunResultsRequest::default()
    };
    match format {
        Format::Table => print_table(client, selection, request, console).await,
        Format::Json => print_json(client, run, selection, request).await,
        Format::Jsonl => print_lines(client, request).await,
        Format::Csv => print_csv(client, run, request).await,
    }
}

async fn print_lines(client: &Client, request: RunResultsRequest) -> Result<(), CommandError> {
    let mut out = output::writer();
    for_each(client, request, |result| {
        writeln!(out, "{}", item(&result))?;
        Ok(true)
    })
    .await?;
    Ok(out.flush()?)
}

/// Written by hand around the items, which keep Python's digits.
async fn print_json(
    client: &Client,
    run: &Run,
    selection: Selection,
    request: RunResultsRequest,
) -> Result<(), CommandError> {
    let mut out = output::writer();
    let (mut shown, mut truncated) = (0, false);
    write!(out, "{{\"items\":[")?;
    for_each(client, request, |result| {
        if !selection.all && shown == CAP {
            truncated = true;
            return Ok(false);
        }
        let comma = if shown == 0 { "" } else { "," };
        write!(out, "{comma}{}", item(&result))?;
        shown += 1;
        Ok(true)
    })
    .await?;
    writeln!(out, "],\"counts\":{},\"truncated\":{truncated}}}", counts(run))?;
    Ok(out.flush()?)
}

async fn print_csv(client: &Client, run: &Run, request: RunResultsRequest) -> Result<(), CommandError> {
    let column = metric_column(&run.metric);
    let survey = Survey::of(client, request.clone(), |result| survey::row(result, column)).await?;
    let names: Vec<String> = survey.shape.columns.iter().map(|(name, _)| name.clone()).collect();
    let mut writer = csv::Writer::from_writer(output::writer());
    if !names.is_empty() {
        writer.write_record(&names).map_err(csv_failed)?;
    }
    for_each(client, request, |result| {
        if survey.has(result.index) {
            writer.write_record(cells(&survey::row(&result, column)?, &names)).map_err(csv_failed)?;
        }
        Ok(true)
    })
    .await?;
    Ok(writer.flush()?)
}

async fn print_table(
    client: &Client,
    selection: Selection,
    request: RunResultsRequest,
    console: &Console,
) -> Result<(), CommandError> {
    let mut listing =
        Listing { header: vec!["EXAMPLE", "SCORE", "DURATION", "ATTEMPT", "FAILURE"], ..Listing::default() };
    for_each(client, request, |result| {
        if !selection.all && listing.rows.len() == CAP {
            listing.truncated = true;
            return Ok(false);
        }
        let failure = result.failure.as_ref().map_or_else(String::new, |failure| {
            format!("{}: {}", failure.r#type, failure.message.lines().next().unwrap_or_default())
        });
        listing.rows.push(vec![
            result.index.to_string(),
            score(&result),
            format!("{:.3} s", result.duration_us as f64 / 1e6),
            result.attempt.to_string(),
            failure,
        ]);
        Ok(true)
    })
    .await?;
    listing.print(Format::Table, console)
}

fn counts(run: &Run) -> Value {
    json!({"examples": run.examples, "done": run.done, "failed": run.failed})
}

/// One result as a JSON object.
fn item(result: &ExampleResult) -> String {
    let or_null = |bytes: &[u8]| match bytes.is_empty() {
        true => "null".to_owned(),
        false => String::from_utf8_lossy(bytes).into_owned(),
    };
    let failure = result.failure.as_ref().map_or(Value::Null, |failure| {
        json!({
            "type": failure.r#type,
            "message": failure.message,
            "traceback": failure.traceback,
            "file": failure.file,
            "line": failure.line,
            "worker": failure.worker,
            "node": failure.node,
            "output_tail": failure.output_tail,
        })
    });
    let usage: serde_json::Map<String, Value> =
        result.usage.iter().map(|(model, usage)| (model.clone(), json!(usage.tokens))).collect();
    format!(
        "{{\"index\":{},\"score\":{},\"example\":{},\"prediction\":{},\"failure\":{failure},\"duration_s\":{},\"attempt\":{},\"usage\":{}}}",
        result.index,
        score(result),
        or_null(&result.example),
        or_null(&result.prediction),
        result.duration_us as f64 / 1e6,
        result.attempt,
        Value::Object(usage),
    )
}

#[cfg(test)]
mod tests {
    use dspex_api::v1::ScoreKind;

    use super::*;

    #[test]
    fn an_item_is_json() {
        let result = ExampleResult {
            index: 3,
            score: 1.0,
            score_kind: ScoreKind::Integer.into(),
            example: "{\"q\":1.10}".into(),
            failure: Some(dspex_api::v1::Failure::default()),
            duration_us: 1500,
            ..ExampleResult::default()
        };
        let text = item(&result);
        let value: Value = serde_json::from_str(&text).expect("JSON");
        assert!(text.contains("1.10") && value["prediction"].is_null() && value["failure"].is_object());
        assert_eq!((&value["index"], &value["score"], &value["duration_s"]), (&json!(3), &json!(1), &json!(0.0015)));
    }
}
