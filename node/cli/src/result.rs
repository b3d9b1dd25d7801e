//! Results: the object of CONTRACT.md, the short summary, failures in groups, rows on stdout and in files.

mod export;
mod failures;
mod file;
mod object;
mod parquet;
mod print;
mod row;
mod save;
mod shape;
mod summary;
mod survey;
mod writer;

pub use export::{Destination, Form, export};
pub use failures::Failures;
pub use object::{ended, evaluation, run, status_name};
pub use print::{Selection, print_results};
pub use row::score;
pub use save::{Target, save};
pub use summary::summary;

use dspex_api::v1::{ExampleResult, RunResultsRequest};
use dspex_api::{ApiError, Client};

use crate::error::CommandError;

/// Hands each result of a run to `take`, in example order, until that says false.
pub async fn for_each(
    client: &Client,
    request: RunResultsRequest,
    mut take: impl FnMut(ExampleResult) -> Result<bool, CommandError>,
) -> Result<(), CommandError> {
    let mut stream = client.results(request).await?;
    while let Some(batch) = stream.message().await.map_err(ApiError::from)? {
        for result in batch.results {
            if !take(result)? {
                return Ok(());
            }
        }
    }
    Ok(())
}

/// Writes rows as Parquet, for the tests of the reader.
#[cfg(test)]
pub fn save_for_tests(path: &std::path::Path, rows: &[serde_json::Value]) {
    writer::write_parquet_for_tests(path, rows);
}
