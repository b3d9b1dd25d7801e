//! CSV: cells stay text; the worker converts them where the signature types the field.

use std::collections::BTreeSet;
use std::fs::File;
use std::ops::ControlFlow;
use std::path::Path;

use csv::{ByteRecord, ErrorKind, ReaderBuilder};

use super::rows::Rows;
use super::{invalid, read_failed};
use crate::error::CommandError;

/// Reads all records under the header.
pub fn read(path: &Path, file: File, rows: &mut Rows) -> Result<(), CommandError> {
    rows.text_cells();
    let mut reader = ReaderBuilder::new().buffer_capacity(256 << 10).from_reader(file);
    let header = reader.byte_headers().map_err(|error| explain(path, &error))?;
    let header = header_of(path, header)?;
    if header.is_empty() {
        return Ok(());
    }
    // "{"name":" and so on: the same in every row.
    let prefixes: Vec<Vec<u8>> = header
        .iter()
        .enumerate()
        .map(|(position, name)| {
            let start = if position == 0 { '{' } else { ',' };
            format!("{start}{}:", serde_json::Value::from(name.as_str())).into_bytes()
        })
        .collect();
    let mut record = ByteRecord::new();
    while reader.read_byte_record(&mut record).map_err(|error| explain(path, &error))? {
        let line = record.position().map_or(0, csv::Position::line);
        for (prefix, cell) in prefixes.iter().zip(&record) {
            let cell = std::str::from_utf8(cell).map_err(|_| invalid(path, Some(("line", line)), "not UTF-8"))?;
            rows.buffer().extend_from_slice(prefix);
            serde_json::to_writer(rows.buffer(), cell)
                .map_err(|error| invalid(path, Some(("line", line)), &error.to_string()))?;
        }
        rows.buffer().push(b'}');
        if let ControlFlow::Break(()) = rows.end_row(line, header.iter().map(String::as_str))? {
            break;
        }
    }
    Ok(())
}

fn header_of(path: &Path, record: &ByteRecord) -> Result<Vec<String>, CommandError> {
    let at = |what: &str| invalid(path, Some(("line", 1)), what);
    let mut seen = BTreeSet::new();
    let mut header = Vec::with_capacity(record.len());
    for (position, cell) in record.iter().enumerate() {
        let name = std::str::from_utf8(cell).map_err(|_| at("the header is not UTF-8"))?;
        if name.trim().is_empty() {
            return Err(at(&format!("column {} has no name in the header", position + 1)));
        }
        if !seen.insert(name) {
            return Err(at(&format!("the header names {name:?} twice")));
        }
        header.push(name.to_owned());
    }
    Ok(header)
}

fn explain(path: &Path, error: &csv::Error) -> CommandError {
    match error.kind() {
        ErrorKind::UnequalLengths { pos, expected_len, len } => {
            let line = pos.as_ref().map_or(0, csv::Position::line);
            let what = format!("{len} cells, but the header has {expected_len}");
            invalid(path, Some(("line", line)), &what)
        }
        ErrorKind::Io(error) => read_failed(path, error),
        _ => invalid(path, None, &error.to_string()),
    }
}
