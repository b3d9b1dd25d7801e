//! A dataset's rows in memory: one allocation, shared by all that read it.

use bytes::Bytes;
use dspex_python::protocol::MAXIMUM_FRAME_BYTES;

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

#[cfg(test)]
mod tests {
    use super::*;

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
