//! stdout: data and nothing else. The only place that writes there.

use std::io::{self, BufWriter, Write};

use serde_json::Value;

use crate::error::CommandError;
use crate::visible;

/// What `-o` takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Format {
    /// For people.
    Table,
    /// One JSON document.
    Json,
    /// One JSON object a line.
    Jsonl,
    /// Comma-separated values with a header.
    Csv,
}

/// A buffered stdout; flush it, so that a full disk or a closed pipe is noticed.
pub fn writer() -> impl Write {
    BufWriter::with_capacity(64 << 10, io::stdout().lock())
}

/// The same for what is handed over from one place to another.
pub fn stream() -> impl Write + Send {
    BufWriter::with_capacity(64 << 10, io::stdout())
}

/// Prints a text for people, in which nothing acts on their terminal. It ends with a line break of its own.
pub fn people(shown: &str) -> Result<(), CommandError> {
    text(&visible::text(shown))
}

/// Prints data, whatever is in it, with a line break of its own.
pub fn text(text: &str) -> Result<(), CommandError> {
    let mut out = writer();
    out.write_all(text.as_bytes())?;
    Ok(out.flush()?)
}

/// Prints a JSON document on one line.
pub fn json(value: &Value) -> Result<(), CommandError> {
    text(&format!("{value}\n"))
}
