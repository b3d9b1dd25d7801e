//! `dspex run export`: a row for each result, in example order, with all that is known of it. Names are the same whatever the
//! program gives: a field of an example is `example_NAME`, one of a prediction `pred_NAME`.

use std::io::Write;
use std::path::{Path, PathBuf};

use clap::ValueEnum;
use dspex_api::Client;
use dspex_api::v1::{ExampleResult, Run, RunResultsRequest};
use serde_json::{Map, Value, json};

use super::file::{NewFile, parent};
use super::for_each;
use super::row::{Prediction, prediction, raw, score};
use super::shape;
use super::survey::Survey;
use super::writer::{Kind, Writer};
use crate::error::CommandError;
use crate::exit;
use crate::object::Object;
use crate::output;
use crate::verbatim::written;

/// A format of exports.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Form {
    /// Cells under a header.
    Csv,
    /// A JSON object a line.
    Jsonl,
    /// Typed columns, in a file.
    Parquet,
}

impl Form {
    /// The one that a file's name stands for.
    pub fn of(path: &Path) -> Option<Self> {
        let extension = path.extension()?.to_string_lossy().to_ascii_lowercase();
        match extension.as_str() {
            "csv" => Some(Self::Csv),
            "jsonl" | "ndjson" => Some(Self::Jsonl),
            "parquet" | "pq" => Some(Self::Parquet),
            _ => None,
        }
    }

    fn kind(self) -> Kind {
        match self {
            Self::Csv => Kind::Csv,
            Self::Jsonl => Kind::Jsonl,
            Self::Parquet => Kind::Parquet,
        }
    }
}

/// A file that an export goes to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Destination {
    path: PathBuf,
    replace: bool,
}

impl Destination {
    /// Refuses what cannot be written, and a file that is there unless it may be replaced, before anything is read.
    pub fn new(path: &str, replace: bool) -> Result<Self, CommandError> {
        let path = PathBuf::from(path);
        let parent = parent(&path);
        let refused = |why: String| CommandError::usage(format!("--to {}: {why}", path.display()));
        if !parent.is_dir() {
            return Err(refused(format!("there is no directory {}", parent.display())));
        }
        if path.is_dir() {
            return Err(refused("it is a directory".to_owned()));
        }
        if !replace && path.exists() {
            return Err(refused("it exists already".to_owned()).hint(TAKEN));
        }
        Ok(Self { path, replace })
    }

    /// The file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    fn failed(&self, why: &str) -> CommandError {
        CommandError::new(exit::FAILED, format!("the run cannot be exported to {}: {why}", self.path.display()))
    }
}

const TAKEN: &str = "--force replaces it";

/// Writes the results that exist; says how many.
pub async fn export(
    client: &Client,
    run: &Run,
    form: Form,
    destination: Option<&Destination>,
) -> Result<u64, CommandError> {
    let Some(destination) = destination else {
        let (mut out, rows) = rows(client, run, form, output::stream()).await?;
        out.flush()?;
        return Ok(rows);
    };
    let failed = |error: std::io::Error| match error.kind() {
        std::io::ErrorKind::AlreadyExists => destination.failed("it has come into being meanwhile").hint(TAKEN),
        _ => destination.failed(&error.to_string()),
    };
    let file = NewFile::begin(&destination.path).map_err(failed)?;
    let (written, rows) = rows(client, run, form, file.writer().map_err(failed)?).await?;
    file.finish(&written, destination.replace).map_err(failed)?;
    Ok(rows)
}

/// CSV and Parquet begin with the names of all columns, for which all results are read once before.
async fn rows<W: Write + Send>(client: &Client, run: &Run, form: Form, out: W) -> Result<(W, u64), CommandError> {
    let request = RunResultsRequest { run_id: run.run_id.clone(), full: true, ..RunResultsRequest::default() };
    let mut survey = match form {
        Form::Jsonl => None,
        Form::Csv | Form::Parquet => Some(Survey::of(client, request.clone(), row).await?),
    };
    let shape = survey.as_mut().map(|survey| std::mem::take(&mut survey.shape)).unwrap_or_default();
    let mut writer = Writer::new(out, form.kind(), ordered(shape)?)?;
    let mut count = 0;
    for_each(client, request, |result| {
        if survey.as_ref().is_none_or(|survey| survey.has(result.index)) {
            writer.write(row(&result)?)?;
            count += 1;
        }
        Ok(true)
    })
    .await?;
    Ok((writer.finish()?, count))
}

fn row(result: &ExampleResult) -> Result<Object, CommandError> {
    flat(result)
        .map_err(|error| CommandError::new(exit::FAILED, format!("the node sent a result that is not JSON: {error}")))
}

const INDEX: &str = "index";
const EXAMPLE: &str = "example_";
const PREDICTED: &str = "pred_";
const PREDICTION: &str = "prediction";

fn flat(result: &ExampleResult) -> Result<Object, serde_json::Error> {
    let mut row = Object::default().with(INDEX, written(&result.index));
    if !result.example.is_empty() {
        let example: Object = serde_json::from_slice(&result.example)?;
        example.0.into_iter().for_each(|(name, value)| row.set(format!("{EXAMPLE}{name}"), value));
    }
    match prediction(result)? {
        Prediction::Fields(fields) => {
            fields.0.into_iter().for_each(|(name, value)| row.set(format!("{PREDICTED}{name}"), value));
        }
        Prediction::Other(value) => row.set(PREDICTION, value),
    }
    let failure = result.failure.as_ref();
    row.set("score", raw(score(result))?);
    row.set("failure", written(&failure.map(|failure| &failure.r#type)));
    row.set("failure_message", written(&failure.map(|failure| &failure.message)));
    row.set("attempt", written(&result.attempt));
    row.set("duration_s", written(&(result.duration_us as f64 / 1e6)));
    // A node counts tokens for the run as a whole; where one says more, it is shown.
    if !result.usage.is_empty() {
        let usage: Map<String, Value> =
            result.usage.iter().map(|(model, usage)| (model.clone(), json!(usage.tokens))).collect();
        row.set("usage", written(&usage));
    }
    Ok(row)
}

/// Columns by what they are of, since not every row has all of them; also those of a run without a result.
fn ordered(shape: shape::Shape) -> Result<shape::Shape, CommandError> {
    let mut shape = shape;
    shape.add(&row(&ExampleResult::default())?);
    shape.columns.sort_by_key(|(name, _)| match name.as_str() {
        INDEX => 0,
        name if name.starts_with(EXAMPLE) => 1,
        name if name.starts_with(PREDICTED) || name == PREDICTION => 2,
        _ => 3,
    });
    Ok(shape)
}

#[cfg(test)]
mod tests {
    use dspex_api::v1::{Failure, ScoreKind};

    use super::*;

    fn result(index: u32, example: &str, prediction: &str, failure: Option<&str>) -> ExampleResult {
        ExampleResult {
            index,
            example: example.to_owned().into(),
            prediction: prediction.to_owned().into(),
            score: f64::from(u8::from(failure.is_none())),
            score_kind: ScoreKind::Integer.into(),
            failure: failure.map(|class| Failure {
                r#type: class.to_owned(),
                message: "bad, \"very\"".to_owned(),
                ..Failure::default()
            }),
            attempt: 2,
            duration_us: 1500,
            ..ExampleResult::default()
        }
    }

    fn exported(form: Form, results: &[ExampleResult]) -> String {
        let mut shape = shape::Shape::default();
        results.iter().for_each(|result| shape.add(&row(result).expect("JSON")));
        let mut writer = Writer::new(Vec::new(), form.kind(), ordered(shape).expect("ordered")).expect("begun");
        results.iter().for_each(|result| writer.write(row(result).expect("JSON")).expect("written"));
        String::from_utf8(writer.finish().expect("finished")).expect("UTF-8")
    }

    fn two() -> [ExampleResult; 2] {
        [
            result(0, r#"{"q":1.10}"#, "", Some("builtins.ValueError")),
            result(3, r#"{"q":2,"answer":"b"}"#, r#"{"answer":"c"}"#, None),
        ]
    }

    #[test]
    fn a_row_has_the_same_names_whether_or_not_the_example_failed() {
        assert_eq!(
            exported(Form::Jsonl, &two()),
            concat!(
                r#"{"index":0,"example_q":1.10,"score":0,"failure":"builtins.ValueError","failure_message":"bad, \"very\"","attempt":2,"duration_s":0.0015}"#,
                "\n",
                r#"{"index":3,"example_q":2,"example_answer":"b","pred_answer":"c","score":1,"failure":null,"failure_message":null,"attempt":2,"duration_s":0.0015}"#,
                "\n"
            )
        );
    }

    #[test]
    fn columns_stand_in_one_order_whichever_row_has_them_first() {
        assert_eq!(
            exported(Form::Csv, &two()),
            "index,example_q,example_answer,pred_answer,score,failure,failure_message,attempt,duration_s\n\
             0,1.10,,,0,builtins.ValueError,\"bad, \"\"very\"\"\",2,0.0015\n\
             3,2,b,c,1,,,2,0.0015\n"
        );
    }

    #[test]
    fn a_run_without_results_has_a_header() {
        assert_eq!(exported(Form::Csv, &[]), "index,score,failure,failure_message,attempt,duration_s\n");
        assert_eq!(exported(Form::Jsonl, &[]), "");
    }

    #[test]
    fn a_prediction_without_fields_is_a_column_of_its_own() {
        let text = exported(Form::Csv, &[result(0, r#"{"q":1}"#, "\"text\"", None)]);
        assert!(text.starts_with("index,example_q,prediction,score,"), "{text}");
    }

    #[test]
    fn a_file_that_exists_is_replaced_only_on_request() {
        let file = tempfile::NamedTempFile::new().expect("a file");
        let path = file.path().to_str().expect("UTF-8");
        let refused = Destination::new(path, false).expect_err("it exists");
        assert_eq!((refused.exit, refused.hint.as_deref()), (exit::USAGE, Some("--force replaces it")));
        assert!(Destination::new(path, true).is_ok());
        for path in ["/nowhere/at/all.csv", "/tmp"] {
            assert_eq!(Destination::new(path, true).expect_err(path).exit, exit::USAGE);
        }
    }

    #[test]
    fn the_form_is_that_of_the_files_name() {
        let forms = ["a.csv", "a.JSONL", "a.pq", "a.txt", "a"].map(|name| Form::of(Path::new(name)));
        assert_eq!(forms, [Some(Form::Csv), Some(Form::Jsonl), Some(Form::Parquet), None, None]);
    }
}
