//! `--save FILE`: the results in DSPy's shape, in the format that the extension names.

use std::path::{Path, PathBuf};

use dspex_api::Client;
use dspex_api::v1::{Run, RunResultsRequest};

use super::file::{NewFile, parent};
use super::for_each;
use super::row::metric_column;
use super::survey::{self, Survey};
use super::writer::{Kind, Writer};
use crate::error::CommandError;
use crate::exit;

/// Where and how results are saved; made before a run starts, so that a wrong name costs no work.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    path: PathBuf,
    kind: Kind,
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
        Kind::Csv | Kind::Parquet => {
            Some(Survey::of(client, request.clone(), |result| survey::row(result, column)).await?)
        }
        Kind::Json | Kind::Jsonl => None,
    };
    let shape = survey.as_mut().map(|survey| std::mem::take(&mut survey.shape)).unwrap_or_default();
    let failed = |error: std::io::Error| cannot_save(target, &error.to_string());
    let file = NewFile::begin(&target.path).map_err(failed)?;
    let mut writer = Writer::new(file.writer().map_err(failed)?, target.kind, shape)
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
    let written = writer.finish().map_err(|error| cannot_save(target, &error.message))?;
    file.finish(&written, true).map_err(failed)?;
    Ok(rows)
}

fn cannot_save(target: &Target, why: &str) -> CommandError {
    CommandError::new(exit::FAILED, format!("the results cannot be saved to {}: {why}", target.path.display()))
        .hint("they are kept: dspex run results ID --save FILE")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bad_target_is_refused_before_any_work() {
        for text in ["results", "results.txt", "/none/at/all/r.json", "/tmp"] {
            assert_eq!(Target::parse(text).expect_err(text).exit, 2, "{text}");
        }
        assert!(Target::parse("results.parquet").is_ok());
    }
}
