//! `--devset`: a file is read here, on the caller's machine, into JSON Lines and uploaded; a Python name is left to the workers.

mod columns;
mod count;
mod csv;
mod jsonl;
mod parquet;
mod rows;
mod source;
mod upload;

pub use count::count;
pub use source::Source;
pub use upload::upload;

use std::fs::File;
use std::path::Path;

use dspex_api::reason;

use crate::error::CommandError;
use rows::{Outlet, ReadRows, Rows};
use source::Kind;

/// Reads a dataset file; its rows leave through `send` while it is read.
fn read(path: &Path, kind: Kind, limit: Option<u32>, send: Outlet) -> Result<ReadRows, CommandError> {
    let file = open(path)?;
    let mut rows = Rows::new(path, limit, send);
    match kind {
        Kind::Jsonl => jsonl::read(path, file, &mut rows)?,
        Kind::Csv => csv::read(path, file, &mut rows)?,
        Kind::Parquet => parquet::read(path, file, &mut rows)?,
    }
    let read = rows.finish()?;
    if read.examples == 0 {
        return Err(CommandError::because(
            reason::DATASET_EMPTY,
            format!("devset must contain at least one example: {} has none", path.display()),
        ));
    }
    Ok(read)
}

fn open(path: &Path) -> Result<File, CommandError> {
    let unreadable = |error: &std::io::Error| {
        let message = match error.kind() {
            std::io::ErrorKind::NotFound => format!("there is no dataset {}", path.display()),
            _ => format!("the dataset {} cannot be read: {error}", path.display()),
        };
        CommandError::because(reason::DATASET_MISSING, message)
    };
    let file = File::open(path).map_err(|error| unreadable(&error))?;
    let metadata = file.metadata().map_err(|error| unreadable(&error))?;
    if metadata.is_dir() {
        return Err(invalid(path, None, "a directory; name a file"));
    }
    Ok(file)
}

/// A dataset that cannot be used, with the place at fault.
fn invalid(path: &Path, place: Option<(&str, u64)>, what: &str) -> CommandError {
    let message = match place {
        Some((unit, number)) => format!("{}, {unit} {number}: {what}", path.display()),
        None => format!("{}: {what}", path.display()),
    };
    CommandError::because(reason::DATASET_INVALID, message)
}

fn read_failed(path: &Path, error: &std::io::Error) -> CommandError {
    invalid(path, None, &format!("reading failed: {error}"))
}

#[cfg(test)]
mod tests;
