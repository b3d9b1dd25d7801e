//! `dspex run export`.

use std::path::Path;

use clap::Args;

use crate::arguments::identifier;
use crate::error::CommandError;
use crate::exit;
use crate::invocation::Invocation;
use crate::output::Format;
use crate::result::{self, Destination, Form};
use crate::run_id;

/// The arguments of `dspex run export`.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  dspex run export 01a1fda7-bbcf > results.jsonl\n  dspex run export 01a1fda7-bbcf --format csv | head\n  dspex run export 01a1fda7-bbcf --to results.parquet\n  dspex run export 01a1fda7-bbcf --to results.csv --force\n\nA row has: index, the example's fields (example_NAME), the prediction's (pred_NAME), score, failure, failure_message,\nattempt, duration_s. Examples without a result have no row. dspex run results --save writes DSPy's own rows instead."
)]
pub struct Options {
    /// The run's id, or its beginning
    #[arg(value_parser = identifier)]
    run: String,
    /// The format [default: that of FILE's extension, else -o, else jsonl]
    #[arg(long, value_enum)]
    format: Option<Form>,
    /// Write to a file instead of stdout; parquet needs one
    #[arg(long, value_name = "FILE", value_parser = identifier)]
    to: Option<String>,
    /// Replace FILE if it exists
    #[arg(long, requires = "to")]
    force: bool,
}

/// Writes all results that exist.
pub async fn execute(invocation: &Invocation, options: Options) -> Result<u8, CommandError> {
    let form = form(&options, invocation.format)?;
    let destination = options.to.as_deref().map(|path| Destination::new(path, options.force)).transpose()?;
    let client = invocation.node().await?;
    let id = run_id::resolve(&client, &options.run).await?;
    let run = client.run(&id).await?;
    let rows = result::export(&client, &run, form, destination.as_ref()).await?;
    if let Some(destination) = destination {
        invocation.console.note(&format!("{rows} rows are in {}", destination.path().display()));
    }
    if run.done < run.examples {
        invocation.console.note(&format!("{} of {} examples have a result so far", run.done, run.examples));
    }
    Ok(exit::OK)
}

fn form(options: &Options, format: Format) -> Result<Form, CommandError> {
    let form = match (options.format, options.to.as_deref()) {
        (Some(form), _) => form,
        (None, Some(path)) => Form::of(Path::new(path)).ok_or_else(|| {
            CommandError::usage(format!("--to {path}: the extension names no format"))
                .hint("name one: --format csv, jsonl or parquet")
        })?,
        (None, None) if format == Format::Csv => Form::Csv,
        (None, None) if format == Format::Json => {
            return Err(CommandError::usage("an export is no single JSON document")
                .hint("--format jsonl has an object a line; dspex run results -o json has a document"));
        }
        (None, None) => Form::Jsonl,
    };
    if form == Form::Parquet && options.to.is_none() {
        return Err(CommandError::usage("--format parquet cannot go to stdout").hint("name a file: --to FILE"));
    }
    Ok(form)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chosen(format: Option<Form>, to: Option<&str>, output: Format) -> Result<Form, u8> {
        let options = Options { run: "r".to_owned(), format, to: to.map(str::to_owned), force: false };
        form(&options, output).map_err(|error| error.exit)
    }

    #[test]
    fn what_is_said_comes_before_what_a_name_stands_for() {
        assert_eq!(chosen(Some(Form::Csv), Some("a.parquet"), Format::Jsonl), Ok(Form::Csv));
        assert_eq!(chosen(None, Some("a.parquet"), Format::Csv), Ok(Form::Parquet));
        assert_eq!(chosen(None, None, Format::Csv), Ok(Form::Csv));
        assert_eq!(chosen(None, None, Format::Table), Ok(Form::Jsonl));
    }

    #[test]
    fn a_form_that_cannot_be_written_is_wrong_usage() {
        assert_eq!(chosen(None, Some("a.txt"), Format::Table), Err(exit::USAGE));
        assert_eq!(chosen(Some(Form::Parquet), None, Format::Table), Err(exit::USAGE));
        assert_eq!(chosen(None, None, Format::Json), Err(exit::USAGE));
    }
}
