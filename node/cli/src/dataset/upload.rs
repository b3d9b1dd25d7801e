//! Sends a dataset file to the node while it is being read: 500 MB need no memory.

use std::path::PathBuf;

use dspex_api::v1::FileDataset;
use dspex_api::{Client, Part};
use tokio::sync::mpsc;

use super::source::Kind;
use crate::error::CommandError;
use crate::exit;

/// Chunks between the reader and the connection.
const CHUNKS_IN_FLIGHT: usize = 8;

/// Reads, checks and uploads; the node keeps nothing when the file turns out to be bad.
pub async fn upload(
    client: &Client,
    path: PathBuf,
    kind: Kind,
    limit: Option<u32>,
) -> Result<FileDataset, CommandError> {
    let name = path.to_string_lossy().into_owned();
    let (sender, receiver) = mpsc::channel(CHUNKS_IN_FLIGHT);
    // Only the end completes the upload: a bad last line still takes everything back.
    let end = sender.clone();
    let mut reading = tokio::task::spawn_blocking(move || {
        let send = Box::new(move |chunk| sender.blocking_send(Part::Chunk(chunk)).is_ok());
        super::read(&path, kind, limit, send)
    });
    let mut putting = std::pin::pin!(client.put_blob_stream(receiver));
    let read = tokio::select! {
        read = &mut reading => read,
        answer = &mut putting => {
            answer?;
            return Err(CommandError::new(exit::UNREACHABLE, "the node ended the upload of the dataset early"));
        }
    };
    let read = read.map_err(|error| CommandError::new(exit::FAILED, error.to_string()))??;
    let (stored, _) = tokio::join!(putting, end.send(Part::End));
    let stored = stored?;
    Ok(FileDataset {
        digest: stored.digest,
        name,
        examples: read.examples,
        columns: read.columns,
        text_cells: read.text_cells,
        envelopes: false,
    })
}
