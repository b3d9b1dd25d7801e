//! How much a bundle may be. A project is code: what is larger is data, which nodes are better given otherwise.

/// Files and links in a bundle.
pub const FILES_MAX: usize = 20_000;

/// What a caller packs unless told otherwise: the contents of all files together.
pub const BYTES_DEFAULT: u64 = 64 << 20;

/// Of one path, from the root: below it there is still the directory that bundles are kept in.
pub const PATH_BYTES_MAX: usize = 1024;

/// What no file system takes is refused before it is tried.
pub(crate) const NAME_BYTES_MAX: usize = 255;

/// Directories around a file: each holds a descriptor while it is written.
pub(crate) const DEPTH_MAX: usize = 64;

/// Links that lead to links.
pub(crate) const LINKS_MAX: usize = 40;

/// What one side takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Files and links.
    pub files: usize,
    /// The contents of all files together.
    pub bytes: u64,
}

impl Limits {
    /// As many files as ever, and so many bytes.
    pub fn of_bytes(bytes: u64) -> Self {
        Self { files: FILES_MAX, bytes }
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self::of_bytes(BYTES_DEFAULT)
    }
}
