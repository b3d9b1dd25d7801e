//! What a bundle holds, without the contents.

/// A file or link. Directories are not named: they are where files are, and empty ones are nobody's code.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Entry {
    /// From the root, with `/` between names.
    pub path: String,
    /// What it is.
    pub kind: Kind,
}

/// What an entry is.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// A file of so many bytes.
    File {
        /// Its length.
        bytes: u64,
        /// Whether its owner may execute it.
        executable: bool,
    },
    /// A symbolic link.
    Link {
        /// Relative to where the link is.
        target: String,
    },
}

impl Entry {
    /// The bytes of its contents.
    pub fn bytes(&self) -> u64 {
        match self.kind {
            Kind::File { bytes, .. } => bytes,
            Kind::Link { .. } => 0,
        }
    }
}
