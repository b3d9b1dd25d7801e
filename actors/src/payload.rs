//! Payloads of drivers, read where a worker needs one.

use bytes::Bytes;
use dspex_model::{Digest, payload_of};
use dspex_storage::BlobStore;

use crate::error::{SubmitError, SubmitErrorKind};

/// A frame to a worker holds 32 MiB.
const PAYLOAD_MAX: usize = 24 << 20;

/// The payload of a program, if it is one.
pub(crate) async fn read(blobs: &BlobStore, program: &str) -> Result<Option<Bytes>, SubmitError> {
    if !program.starts_with("pickle:") {
        return Ok(None);
    }
    let missing = || {
        SubmitError::new(
            SubmitErrorKind::PayloadMissing,
            format!("the payload {program} was not uploaded (Blobs.Put), or not kept: send it again"),
        )
    };
    let digest: Digest = payload_of(program).ok_or_else(missing)?;
    let blobs = blobs.clone();
    let read = tokio::task::spawn_blocking(move || blobs.get(&digest)).await;
    let bytes = read.map_err(|error| SubmitError::new(SubmitErrorKind::Internal, error))??.ok_or_else(missing)?;
    if bytes.len() > PAYLOAD_MAX {
        let message = format!("the program with its metric takes {} bytes pickled; the limit is 24 MiB", bytes.len());
        return Err(SubmitError::new(SubmitErrorKind::TooLarge, message));
    }
    Ok(Some(bytes.into()))
}
