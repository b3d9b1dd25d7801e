//! Histories as JSON lines, an operation a line: kept beside the logs of a run, and checked again later.

use std::io::{BufRead, Write};

use super::{History, InvalidOperation, Operation};

/// The lines are not a history.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum HistoryError {
    /// The lines cannot be read.
    #[error("line {line} of the history cannot be read: {source}")]
    Io {
        /// Its number, from 1.
        line: usize,
        /// Why.
        source: std::io::Error,
    },
    /// A line is not an operation. The last one of a run that was killed may be cut off.
    #[error(
        "line {line} of the history is no operation: {source}; where the run was killed while it wrote it, remove the line"
    )]
    NotJson {
        /// Its number, from 1.
        line: usize,
        /// Why.
        source: serde_json::Error,
    },
    /// A line says what cannot have been.
    #[error("line {line} of the history: {source}")]
    Invalid {
        /// Its number, from 1.
        line: usize,
        /// Why.
        source: InvalidOperation,
    },
}

impl History {
    /// Reads lines of JSON; empty ones are passed over.
    pub fn read_lines(reader: impl BufRead) -> Result<Self, HistoryError> {
        let mut history = Self::default();
        for (line, text) in (1..).zip(reader.lines()) {
            let text = text.map_err(|source| HistoryError::Io { line, source })?;
            if text.trim().is_empty() {
                continue;
            }
            let operation: Operation =
                serde_json::from_str(&text).map_err(|source| HistoryError::NotJson { line, source })?;
            history.push(operation).map_err(|source| HistoryError::Invalid { line, source })?;
        }
        Ok(history)
    }

    /// Writes lines of JSON.
    pub fn write_lines(&self, mut writer: impl Write) -> std::io::Result<()> {
        for operation in &self.operations {
            serde_json::to_writer(&mut writer, operation)?;
            writer.write_all(b"\n")?;
        }
        writer.flush()
    }
}
