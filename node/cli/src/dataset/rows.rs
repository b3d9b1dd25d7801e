//! Where the readers of the formats put their rows: chunks of JSON Lines that leave as soon as they are full.

use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use dspex_api::v1::Column;
use dspex_api::{Bytes, reason};

use super::columns::Columns;
use super::invalid;
use crate::error::CommandError;

/// Below the limit of a `BlobChunk`, so that the row that fills a chunk seldom needs a second one.
const CHUNK_BYTES: usize = 512 << 10;

/// A longer row is refused: a worker gets it whole, in one frame.
pub const ROW_LIMIT_BYTES: usize = 16 << 20;

/// Takes a chunk; false when nobody wants more.
pub type Outlet = Box<dyn FnMut(Bytes) -> bool + Send>;

/// Rows on their way out.
pub struct Rows {
    send: Outlet,
    path: PathBuf,
    buffer: Vec<u8>,
    /// Where the row that is being written begins in the buffer.
    row_start: usize,
    columns: Columns,
    examples: u32,
    limit: Option<u32>,
    text_cells: bool,
}

/// What is known once all rows are read.
#[derive(Debug, Default)]
pub struct ReadRows {
    /// How many rows.
    pub examples: u32,
    /// Their fields.
    pub columns: Vec<Column>,
    /// Cells are text.
    pub text_cells: bool,
}

impl Rows {
    /// Rows of the file `path`, at most `limit` of them.
    pub fn new(path: &Path, limit: Option<u32>, send: Outlet) -> Self {
        Self {
            send,
            path: path.to_path_buf(),
            buffer: Vec::with_capacity(CHUNK_BYTES),
            row_start: 0,
            columns: Columns::default(),
            examples: 0,
            limit,
            text_cells: false,
        }
    }

    /// Marks the cells as text.
    pub fn text_cells(&mut self) {
        self.text_cells = true;
    }

    /// Where the next row's JSON object is written, without a line break.
    pub fn buffer(&mut self) -> &mut Vec<u8> {
        &mut self.buffer
    }

    /// Ends the row that was written to the buffer. Breaks when no more rows are wanted.
    pub fn end_row<'a>(
        &mut self,
        line: u64,
        names: impl Iterator<Item = &'a str>,
    ) -> Result<ControlFlow<()>, CommandError> {
        let length = self.buffer.len() - self.row_start;
        if length > ROW_LIMIT_BYTES {
            let what = format!("a row of {length} bytes; the limit is {} MiB", ROW_LIMIT_BYTES >> 20);
            return Err(invalid(&self.path, Some(("line", line)), &what));
        }
        self.columns.add(line, names).map_err(|what| invalid(&self.path, Some(("line", line)), &what))?;
        self.examples = self
            .examples
            .checked_add(1)
            .ok_or_else(|| CommandError::because(reason::TOO_LARGE, "the dataset has more than 4,294,967,295 rows"))?;
        self.buffer.push(b'\n');
        if self.buffer.len() >= CHUNK_BYTES {
            self.flush()?;
        }
        self.row_start = self.buffer.len();
        Ok(match self.limit {
            Some(limit) if self.examples >= limit => ControlFlow::Break(()),
            _ => ControlFlow::Continue(()),
        })
    }

    /// Sends what is left.
    pub fn finish(mut self) -> Result<ReadRows, CommandError> {
        self.flush()?;
        Ok(ReadRows { examples: self.examples, columns: self.columns.finish(), text_cells: self.text_cells })
    }

    fn flush(&mut self) -> Result<(), CommandError> {
        let full = std::mem::replace(&mut self.buffer, Vec::with_capacity(CHUNK_BYTES));
        let mut rest = Bytes::from(full);
        while !rest.is_empty() {
            let chunk = rest.split_to(rest.len().min(dspex_api::CHUNK_LIMIT_BYTES));
            if !(self.send)(chunk) {
                return Err(CommandError::because(reason::NODE_UNREACHABLE, "the upload of the dataset broke off"));
            }
        }
        Ok(())
    }
}
