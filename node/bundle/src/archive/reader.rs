//! Reads a bundle that anybody may have made. Nothing is believed: every length is compared with what is there.

use std::ops::Range;

use super::{EXECUTABLE, FILE, LINK, MAGIC, VERSION};
use crate::entry::{Entry, Kind};
use crate::limits::Limits;
use crate::refusal::Refusal;
use crate::table;

/// A bundle that has been judged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Archive<'a> {
    entries: Vec<Entry>,
    /// All contents, one after another.
    contents: &'a [u8],
}

impl<'a> Archive<'a> {
    /// Reads and judges a bundle.
    ///
    /// # Errors
    /// When it is none, or holds what no bundle may hold.
    pub fn open(bytes: &'a [u8], limits: &Limits) -> Result<Self, Refusal> {
        let mut cursor = Cursor { rest: bytes };
        if cursor.take(MAGIC.len())? != MAGIC {
            return Err(Refusal::Damaged("it begins with something else".to_owned()));
        }
        let found = cursor.byte()?;
        if found > VERSION {
            return Err(Refusal::Newer { found, supported: VERSION });
        }
        if found != VERSION {
            return Err(Refusal::Damaged(format!("unknown format {found}")));
        }
        let count = u32::from_le_bytes(cursor.array()?);
        // Before room is made for them.
        if count as usize > limits.files {
            return Err(Refusal::TooManyFiles { files: u64::from(count), limit: limits.files as u64 });
        }
        let entries = (0..count).map(|_| cursor.entry()).collect::<Result<Vec<Entry>, Refusal>>()?;
        table::judge(&entries, limits)?;
        let expected: u64 = entries.iter().map(Entry::bytes).sum();
        if expected != cursor.rest.len() as u64 {
            let found = cursor.rest.len();
            return Err(Refusal::Damaged(format!("its files take {expected} bytes, and {found} are there")));
        }
        Ok(Self { entries, contents: cursor.rest })
    }

    /// What is in it, in the order of the paths.
    pub fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// Each entry with its contents; of a link there are none.
    pub fn items(&self) -> impl Iterator<Item = (&Entry, &'a [u8])> {
        let mut start = 0;
        self.entries.iter().map(move |entry| {
            let range = range(start, entry);
            start = range.end;
            // The sum of all lengths is the length of the whole.
            (entry, self.contents.get(range).unwrap_or_default())
        })
    }

    /// The bytes of all files.
    pub fn bytes(&self) -> u64 {
        self.contents.len() as u64
    }

    /// Whether it has such a directory; "" is the root.
    pub fn has_directory(&self, path: &str) -> bool {
        let beneath = |entry: &Entry| entry.path.strip_prefix(path).is_some_and(|rest| rest.starts_with('/'));
        path.is_empty() || self.entries.iter().any(beneath)
    }
}

fn range(start: usize, entry: &Entry) -> Range<usize> {
    start..start.saturating_add(usize::try_from(entry.bytes()).unwrap_or(usize::MAX))
}

struct Cursor<'a> {
    rest: &'a [u8],
}

impl<'a> Cursor<'a> {
    fn take(&mut self, count: usize) -> Result<&'a [u8], Refusal> {
        let (taken, rest) =
            self.rest.split_at_checked(count).ok_or_else(|| Refusal::Damaged("it ends too early".to_owned()))?;
        self.rest = rest;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], Refusal> {
        let mut array = [0; N];
        array.copy_from_slice(self.take(N)?);
        Ok(array)
    }

    fn byte(&mut self) -> Result<u8, Refusal> {
        Ok(self.array::<1>()?[0])
    }

    fn text(&mut self) -> Result<String, Refusal> {
        let length = u16::from_le_bytes(self.array()?);
        let bytes = self.take(usize::from(length))?;
        String::from_utf8(bytes.to_vec()).map_err(|error| Refusal::Path {
            path: String::from_utf8_lossy(error.as_bytes()).into_owned(),
            fault: crate::path::PathFault::NotUtf8,
        })
    }

    fn entry(&mut self) -> Result<Entry, Refusal> {
        let kind = self.byte()?;
        let path = self.text()?;
        let kind = match kind {
            FILE | EXECUTABLE => {
                Kind::File { bytes: u64::from_le_bytes(self.array()?), executable: kind == EXECUTABLE }
            }
            LINK => Kind::Link { target: self.text()? },
            other => return Err(Refusal::Damaged(format!("{path:?} is of the unknown kind {other}"))),
        };
        Ok(Entry { path, kind })
    }
}
