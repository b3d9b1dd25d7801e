//! `--save FILE`: the results in DSPy's shape, in the format that the extension names. The file appears when it is
//! complete, under its name at once.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

use dspex_api::Client;
use dspex_api::v1::{Run, RunResultsRequest};

use super::for_each;
use super::parquet;
use super::row::metric_column;
use super::shape::Shape;
use super::survey::{self, Survey};
use crate::error::CommandError;
use crate::exit;
use crate::listing::csv_failed;
use crate::object::Object;

/// Where and how results are saved; made before a run starts, so that a wrong name costs no work.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    path: PathBuf,
    kind: Kind,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Json,
    Jsonl,
    Csv,
    Parquet,
}

impl Target {
    /// Tells the format by the extension, and checks that the directory exists.
    pub fn parse(text: &str) -> Result<Self, CommandError> {
        let path = PathBuf::from(text);
        let extension = path.extension().map(|extension| extension.to_string_lossy().to_ascii_lowercase());
        let kind = match extension.as_deref() {
            Some("json") => Kind::Json,
            Some("jsonl" | "ndjson") => Kind::Jsonl,
            Some("csv") => Kind::Csv,
            Some("parquet" | "pq") => Kind::Parquet,
            _ => {
                return Err(CommandError::usage(format!(
                    "--save {text}: the extension names no format: .json, .jsonl, .csv and .parquet do"
                )));
            }
        };
        let parent = parent(&path);
        if !parent.is_dir() {
            return Err(CommandError::usage(format!("--save {text}: there is no directory {}", parent.display())));
        }
        if path.is_dir() {
            return Err(CommandError::usage(format!("--save {text}: it is a directory")));
        }
        Ok(Self { path, kind })
    }

    /// Refuses to replace a file that the evaluation reads.
    pub fn spares<'a>(self, inputs: impl IntoIterator<Item = &'a str>) -> Result<Self, CommandError> {
        let Ok(own) = self.path.canonicalize() else { return Ok(self) };
        for input in inputs {
            let file = input.rsplit_once(':').map_or(input, |(file, _)| file);
            if [input, file].iter().any(|name| Path::new(name).canonicalize().is_ok_and(|read| read == own)) {
                let text = format!("--save {} would replace {input}, which the evaluation reads", self.path.display());
                return Err(CommandError::usage(text));
            }
        }
        Ok(self)
    }

    /// The file.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

fn parent(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    }
}

/// Writes the results that exist; says how many.
pub async fn save(client: &Client, run: &Run, target: &Target) -> Result<u64, CommandError> {
    let request = RunResultsRequest {
        run_id: run.run_id.clone(),
        failed_only: false,
        full: true,
        ..RunResultsRequest::default()
    };
    let column = metric_column(&run.metric);
    let mut survey = match target.kind {
        Kind::Csv | Kind::Parquet => Some(Survey::of(client, request.clone(), column).await?),
        Kind::Json | Kind::Jsonl => None,
    };
    let shape = survey.as_mut().map(|survey| std::mem::take(&mut survey.shape)).unwrap_or_default();
    let failed = |error: std::io::Error| cannot_save(target, &error.to_string());
    let temporary = tempfile::NamedTempFile::new_in(parent(&target.path)).map_err(failed)?;
    let mut writer = Writer::new(temporary.reopen().map_err(failed)?, target.kind, shape)
        .map_err(|error| cannot_save(target, &error.message))?;
    let mut rows = 0;
    for_each(client, request, |result| {
        if survey.as_ref().is_some_and(|survey| !survey.has(result.index)) {
            return Ok(true);
        }
        writer.write(survey::row(&result, column)?).map_err(|error| cannot_save(target, &error.message))?;
        rows += 1;
        Ok(true)
    })
    .await?;
    let file = writer.finish().map_err(|error| cannot_save(target, &error.message))?;
    // A temporary file is private; what a person saves has the usual mode.
    file.set_permissions(usual_mode()).map_err(failed)?;
    file.sync_all().map_err(failed)?;
    temporary.persist(&target.path).map_err(|error| failed(error.error))?;
    Ok(rows)
}

fn usual_mode() -> std::fs::Permissions {
    use std::os::unix::fs::PermissionsExt;
    // Reading the mask means setting it; nothing else runs in this process meanwhile.
    let mask = rustix::process::umask(rustix::fs::Mode::empty());
    rustix::process::umask(mask);
    std::fs::Permissions::from_mode(0o666 & !mask.bits())
}

fn cannot_save(target: &Target, why: &str) -> CommandError {
    CommandError::new(exit::FAILED, format!("the results cannot be saved to {}: {why}", target.path.display()))
        .hint("they are kept: dspex run results ID --save FILE")
}

enum Writer {
    Json(BufWriter<File>, bool),
    Jsonl(BufWriter<File>),
    Csv(Box<csv::Writer<File>>, Vec<String>),
    Parquet(Box<parquet::Writer>),
}

impl Writer {
    fn new(file: File, kind: Kind, shape: Shape) -> Result<Self, CommandError> {
        Ok(match kind {
            Kind::Json => Self::Json(BufWriter::new(file), true),
            Kind::Jsonl => Self::Jsonl(BufWriter::new(file)),
            Kind::Csv => {
                let names: Vec<String> = shape.columns.into_iter().map(|(name, _)| name).collect();
                let mut writer = csv::Writer::from_writer(file);
                if !names.is_empty() {
                    writer.write_record(&names).map_err(csv_failed)?;
                }
                Self::Csv(Box::new(writer), names)
            }
            Kind::Parquet => Self::Parquet(Box::new(parquet::Writer::new(file, shape).map_err(parquet_failed)?)),
        })
    }

    fn write(&mut self, row: Object) -> Result<(), CommandError> {
        match self {
            Self::Json(out, first) => {
                out.write_all(if *first { b"[\n  " } else { b",\n  " })?;
                *first = false;
                out.write_all(row.json().as_bytes())?;
            }
            Self::Jsonl(out) => writeln!(out, "{}", row.json())?,
            Self::Csv(writer, names) => writer.write_record(cells(&row, names)).map_err(csv_failed)?,
            Self::Parquet(writer) => writer.write(row).map_err(parquet_failed)?,
        }
        Ok(())
    }

    fn finish(self) -> Result<File, CommandError> {
        match self {
            Self::Json(mut out, first) => {
                out.write_all(if first { b"[]\n" } else { b"\n]\n" })?;
                into_file(out)
            }
            Self::Jsonl(out) => into_file(out),
            Self::Csv(writer, _) => {
                writer.into_inner().map_err(|error| CommandError::new(exit::FAILED, error.to_string()))
            }
            Self::Parquet(writer) => writer.finish().map_err(parquet_failed),
        }
    }
}

fn into_file(out: BufWriter<File>) -> Result<File, CommandError> {
    out.into_inner().map_err(|error| error.into_error().into())
}

// map_err hands the error over.
#[allow(clippy::needless_pass_by_value)]
fn parquet_failed(error: ::parquet::errors::ParquetError) -> CommandError {
    CommandError::new(exit::FAILED, error.to_string())
}

/// A row's cells under a header: text bare, Python's words for booleans, JSON for what is nested.
pub fn cells(row: &Object, names: &[String]) -> Vec<String> {
    names
        .iter()
        .map(|name| match row.get(name).map(|value| value.get()) {
            None | Some("null") => String::new(),
            Some("true") => "True".to_owned(),
            Some("false") => "False".to_owned(),
            Some(text) if text.starts_with('"') => serde_json::from_str(text).unwrap_or_else(|_| text.to_owned()),
            Some(text) => text.to_owned(),
        })
        .collect()
}

#[cfg(test)]
pub fn write_parquet_for_tests(path: &Path, rows: &[serde_json::Value]) {
    let rows: Vec<Object> = rows.iter().map(|row| serde_json::from_str(&row.to_string()).expect("an object")).collect();
    let mut shape = Shape::default();
    rows.iter().for_each(|row| shape.add(row));
    let file = File::create(path).expect("created");
    let mut writer = Writer::new(file, Kind::Parquet, shape).expect("started");
    for row in rows {
        writer.write(row).expect("written");
    }
    writer.finish().expect("finished");
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(kind: Kind, rows: &[&str]) -> String {
        let rows: Vec<Object> = rows.iter().map(|row| serde_json::from_str(row).expect("JSON")).collect();
        let mut shape = Shape::default();
        rows.iter().for_each(|row| shape.add(row));
        let file = tempfile::NamedTempFile::new().expect("temporary file");
        let mut writer = Writer::new(file.reopen().expect("opened"), kind, shape).expect("started");
        for row in rows {
            writer.write(row).expect("written");
        }
        writer.finish().expect("finished");
        std::fs::read_to_string(file.path()).expect("read")
    }

    const ROWS: [&str; 2] = [r#"{"q":"a,\"b\"","n":1,"l":[1]}"#, r#"{"q":null,"x":true}"#];

    #[test]
    fn every_format_holds_all_columns() {
        assert_eq!(written(Kind::Csv, &ROWS), "q,n,l,x\n\"a,\"\"b\"\"\",1,[1],\n,,,True\n");
        assert_eq!(written(Kind::Jsonl, &ROWS), format!("{}\n{}\n", ROWS[0], ROWS[1]));
        assert_eq!(written(Kind::Json, &ROWS), format!("[\n  {},\n  {}\n]\n", ROWS[0], ROWS[1]));
        assert_eq!(written(Kind::Json, &[]), "[]\n");
    }

    #[test]
    fn a_bad_target_is_refused_before_any_work() {
        for text in ["results", "results.txt", "/none/at/all/r.json", "/tmp"] {
            assert_eq!(Target::parse(text).expect_err(text).exit, 2, "{text}");
        }
        assert!(Target::parse("results.parquet").is_ok());
    }
}
