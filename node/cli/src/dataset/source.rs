//! Which of the forms of `--devset` a text is.

use std::path::{Path, PathBuf};

use dspex_api::reason;

use crate::error::CommandError;

/// Where examples come from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    /// A file of rows.
    File(PathBuf, Kind),
    /// `path.py:name` or `module:name`.
    Python(String),
}

/// The format of a file, told by its extension.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// One JSON object a line.
    Jsonl,
    /// Text cells under a header.
    Csv,
    /// Typed columns.
    Parquet,
}

impl Source {
    /// Tells the forms apart. A file that exists is a file, whatever its name looks like.
    pub fn parse(text: &str) -> Result<Self, CommandError> {
        if !Path::new(text).exists() && is_python(text) {
            return Ok(Self::Python(text.to_owned()));
        }
        let path = PathBuf::from(text);
        let extension = path.extension().map(|extension| extension.to_string_lossy().to_ascii_lowercase());
        let kind = match extension.as_deref() {
            Some("jsonl" | "ndjson") => Kind::Jsonl,
            Some("csv") => Kind::Csv,
            Some("parquet" | "pq") => Kind::Parquet,
            other => return Err(unknown(text, other)),
        };
        Ok(Self::File(path, kind))
    }
}

/// Whether a text has the form of `path.py:name` or `module:name`.
fn is_python(text: &str) -> bool {
    let Some((place, name)) = text.rsplit_once(':') else {
        return false;
    };
    let is_module = place.split('.').all(is_identifier);
    is_identifier(name) && (place.ends_with(".py") || is_module)
}

fn is_identifier(text: &str) -> bool {
    !text.starts_with(|first: char| first.is_ascii_digit())
        && !text.is_empty()
        && text.chars().all(|letter| letter.is_alphanumeric() || letter == '_')
}

fn unknown(text: &str, extension: Option<&str>) -> CommandError {
    let error = CommandError::because(
        reason::DATASET_INVALID,
        format!("the format of the dataset {text} is unknown: .jsonl, .csv, .parquet or path.py:name are"),
    );
    match extension {
        Some("json") => error.hint("put one object a line into a .jsonl file: jq -c '.[]' data.json > data.jsonl"),
        Some("py") => error.hint(format!("name the list in it: {text}:devset")),
        _ => error,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forms_are_told_apart() {
        for text in ["data.py:devset", "../a b/data.py:devset", "pkg.mod:devset", "mod:d1"] {
            assert_eq!(Source::parse(text), Ok(Source::Python(text.into())), "{text}");
        }
        for (text, kind) in [("a:b.jsonl", Kind::Jsonl), ("A.CSV", Kind::Csv), ("x/y.parquet", Kind::Parquet)] {
            assert_eq!(Source::parse(text), Ok(Source::File(text.into(), kind)), "{text}");
        }
        for text in ["data.json", "data", "data.py", "data.txt:1x", "mod:", ":x"] {
            assert_eq!(Source::parse(text).expect_err(text).exit, 2, "{text}");
        }
    }
}
