//! A dataset's rows in memory: one allocation, shared by all that read it.

use bytes::Bytes;
use dspex_model::Dataset;
use dspex_python::protocol::MAXIMUM_FRAME_BYTES;
use dspex_storage::BlobStore;

use crate::error::{SubmitError, SubmitErrorKind};

/// A worker gets a row whole, in one frame; half a frame leaves room for everything beside it.
const ROW_BYTES_MAX: usize = MAXIMUM_FRAME_BYTES / 2;

/// Lines of JSON.
#[derive(Clone, Debug)]
pub(crate) struct Rows {
    bytes: Bytes,
    /// Where each row ends; a row starts behind the newline of the one before.
    ends: Vec<usize>,
}

impl Rows {
    /// Those of a run's dataset, whose blob is here: as many as the run has examples, and none that no worker takes.
    pub(crate) async fn read(blobs: &BlobStore, dataset: &Dataset) -> Result<Self, SubmitError> {
        let (blobs, digest) = (blobs.clone(), dataset.digest);
        let read = tokio::task::spawn_blocking(move || blobs.get(&digest)).await;
        let bytes = read.map_err(|error| SubmitError::new(SubmitErrorKind::Internal, error))??;
        let bytes = bytes.ok_or_else(|| broken(format!("the dataset {digest} is not here")))?;
        Self::new(bytes).checked(dataset)
    }

    fn checked(self, dataset: &Dataset) -> Result<Self, SubmitError> {
        let Dataset { digest, examples, .. } = dataset;
        if self.len() != *examples as usize {
            return Err(broken(format!("the dataset {digest} has {} rows instead of {examples}", self.len())));
        }
        if let Some(index) = self.too_long() {
            return Err(broken(format!("row {index} of the dataset {digest} is longer than 16 MiB")));
        }
        Ok(self)
    }

    /// Cuts JSON Lines into rows: each newline ends one, also an empty one; the last row may lack its newline.
    pub(crate) fn new(bytes: Vec<u8>) -> Self {
        let bytes = Bytes::from(bytes);
        let mut ends: Vec<usize> =
            bytes.iter().enumerate().filter(|(_, byte)| **byte == b'\n').map(|(position, _)| position).collect();
        if bytes.last().is_some_and(|byte| *byte != b'\n') {
            ends.push(bytes.len());
        }
        Self { bytes, ends }
    }

    /// The first row that is longer than a worker takes.
    pub(crate) fn too_long(&self) -> Option<u32> {
        let count = u32::try_from(self.ends.len()).unwrap_or(u32::MAX);
        (0..count).find(|&index| self.get(index).is_some_and(|row| row.len() > ROW_BYTES_MAX))
    }

    /// How many.
    pub(crate) fn len(&self) -> usize {
        self.ends.len()
    }

    /// The row's JSON.
    pub(crate) fn get(&self, index: u32) -> Option<Bytes> {
        let index = index as usize;
        let end = *self.ends.get(index)?;
        let start = index.checked_sub(1).map_or(0, |before| self.ends[before] + 1);
        Some(self.bytes.slice(start..end))
    }
}

/// It was checked when the run was submitted.
fn broken(message: String) -> SubmitError {
    SubmitError::new(SubmitErrorKind::Internal, message)
}

#[cfg(test)]
mod tests {
    use dspex_model::Digest;

    use super::*;

    #[test]
    fn rows_that_are_not_those_of_the_run_are_refused() {
        let digest = Digest::of(b"rows");
        let dataset = |examples| Dataset { digest, name: "d".to_owned(), examples, columns: None, text_cells: false };
        assert_eq!(Rows::new(b"{}\n{}\n".into()).checked(&dataset(2)).map(|rows| rows.len()).ok(), Some(2));
        let fewer = Rows::new(b"{}\n{}\n".into()).checked(&dataset(3)).expect_err("refused");
        assert!(fewer.message.contains("has 2 rows instead of 3"), "{}", fewer.message);
        let mut long = vec![b' '; ROW_BYTES_MAX + 1];
        long.extend(b"\n{}\n");
        let refused = Rows::new(long).checked(&dataset(2)).expect_err("refused");
        assert!(refused.message.contains("row 0 of the dataset"), "{}", refused.message);
    }

    #[test]
    fn rows_are_the_lines_with_or_without_a_last_newline() {
        for text in ["{\"a\":1}\n{}\n", "{\"a\":1}\n{}"] {
            let rows = Rows::new(text.into());
            assert_eq!(rows.len(), 2);
            assert_eq!(rows.get(0).as_deref(), Some(&b"{\"a\":1}"[..]));
            assert_eq!(rows.get(1).as_deref(), Some(&b"{}"[..]));
            assert_eq!(rows.get(2), None);
        }
        assert_eq!(Rows::new(Vec::new()).len(), 0);
    }
}
