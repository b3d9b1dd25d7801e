//! The bytes of a bundle. Equal projects give equal bytes: entries in the order of their paths, and neither times nor owners.
//!
//! ```text
//! "dspex-bundle" | version u8 | entries u32
//! entry:  kind u8 (0 file, 1 file that is executed, 2 link) | path: length u16, UTF-8 | file: bytes u64; link: target: length u16, UTF-8
//! the contents of the files, in the order of their entries
//! ```
//! Numbers are little endian. All entries come first, so that the whole is judged before anything is written. It is not
//! compressed: code is small, the store compresses what it keeps, and there is no size that the reader does not know beforehand.

mod reader;

use crate::entry::{Entry, Kind};
use crate::limits::Limits;
use crate::refusal::Refusal;
use crate::table;

pub use reader::Archive;

const MAGIC: &[u8] = b"dspex-bundle";
const VERSION: u8 = 1;

const FILE: u8 = 0;
const EXECUTABLE: u8 = 1;
const LINK: u8 = 2;

/// What is to be packed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Item {
    /// A file.
    File {
        /// From the root.
        path: String,
        /// Whether its owner may execute it.
        executable: bool,
        /// What is in it.
        contents: Vec<u8>,
    },
    /// A symbolic link.
    Link {
        /// From the root.
        path: String,
        /// Relative to where the link is.
        target: String,
    },
}

impl Item {
    /// Where it is, from the root.
    pub fn path(&self) -> &str {
        match self {
            Self::File { path, .. } | Self::Link { path, .. } => path,
        }
    }

    fn contents(&self) -> &[u8] {
        match self {
            Self::File { contents, .. } => contents,
            Self::Link { .. } => &[],
        }
    }

    fn entry(&self) -> Entry {
        let path = self.path().to_owned();
        match self {
            Self::File { executable, contents, .. } => {
                Entry { path, kind: Kind::File { bytes: contents.len() as u64, executable: *executable } }
            }
            Self::Link { target, .. } => Entry { path, kind: Kind::Link { target: target.clone() } },
        }
    }
}

/// Packs these items, in whatever order they come.
///
/// # Errors
/// What a reader would refuse.
pub fn pack(mut items: Vec<Item>, limits: &Limits) -> Result<Vec<u8>, Refusal> {
    items.sort_by(|one, other| one.path().as_bytes().cmp(other.path().as_bytes()));
    let entries: Vec<Entry> = items.iter().map(Item::entry).collect();
    table::judge(&entries, limits)?;
    let mut bytes = head(&entries);
    items.iter().for_each(|item| bytes.extend_from_slice(item.contents()));
    Ok(bytes)
}

/// Everything before the contents. The entries have been judged, so that their lengths fit.
fn head(entries: &[Entry]) -> Vec<u8> {
    let mut bytes = MAGIC.to_vec();
    bytes.push(VERSION);
    bytes.extend_from_slice(&(entries.len() as u32).to_le_bytes());
    for entry in entries {
        let kind = match entry.kind {
            Kind::File { executable: false, .. } => FILE,
            Kind::File { executable: true, .. } => EXECUTABLE,
            Kind::Link { .. } => LINK,
        };
        bytes.push(kind);
        text(&mut bytes, &entry.path);
        match &entry.kind {
            Kind::File { bytes: length, .. } => bytes.extend_from_slice(&length.to_le_bytes()),
            Kind::Link { target } => text(&mut bytes, target),
        }
    }
    bytes
}

fn text(bytes: &mut Vec<u8>, text: &str) {
    bytes.extend_from_slice(&(text.len() as u16).to_le_bytes());
    bytes.extend_from_slice(text.as_bytes());
}

#[cfg(test)]
mod tests;
