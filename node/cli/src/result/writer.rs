//! Rows in a format: of a file, or of stdout.

use std::io::{BufWriter, Write};

use super::parquet;
use super::shape::Shape;
use crate::error::CommandError;
use crate::exit;
use crate::listing::csv_failed;
use crate::object::Object;

/// A format of rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// One list.
    Json,
    /// An object a line.
    Jsonl,
    /// Cells under a header.
    Csv,
    /// Typed columns.
    Parquet,
}

/// Rows on their way out.
pub enum Writer<W: Write + Send> {
    Json(BufWriter<W>, bool),
    Jsonl(BufWriter<W>),
    Csv(Box<csv::Writer<W>>, Vec<String>),
    Parquet(Box<parquet::Writer<W>>),
}

impl<W: Write + Send> Writer<W> {
    /// Begins with what stands before the first row.
    pub fn new(file: W, kind: Kind, shape: Shape) -> Result<Self, CommandError> {
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

    /// Writes a row.
    pub fn write(&mut self, row: Object) -> Result<(), CommandError> {
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

    /// Writes what stands behind the last row, and gives back what was written to.
    pub fn finish(self) -> Result<W, CommandError> {
        match self {
            Self::Json(mut out, first) => {
                out.write_all(if first { b"[]\n" } else { b"\n]\n" })?;
                into_inner(out)
            }
            Self::Jsonl(out) => into_inner(out),
            Self::Csv(writer, _) => {
                writer.into_inner().map_err(|error| CommandError::new(exit::FAILED, error.to_string()))
            }
            Self::Parquet(writer) => writer.finish().map_err(parquet_failed),
        }
    }
}

fn into_inner<W: Write>(out: BufWriter<W>) -> Result<W, CommandError> {
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
pub fn write_parquet_for_tests(path: &std::path::Path, rows: &[serde_json::Value]) {
    let rows: Vec<Object> = rows.iter().map(|row| serde_json::from_str(&row.to_string()).expect("an object")).collect();
    let mut shape = Shape::default();
    rows.iter().for_each(|row| shape.add(row));
    let file = std::fs::File::create(path).expect("created");
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
}
