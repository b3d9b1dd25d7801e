//! Why something is no bundle. Each names the file, because that is what its owner can change.

use crate::links::LinkFault;
use crate::path::PathFault;

/// Why a project cannot be packed, or an archive not be taken.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// It is none, or not whole.
    #[error("this is no bundle: {0}")]
    Damaged(String),
    /// Written by a newer version.
    #[error("the bundle has format {found}, this program reads up to {supported}: start a newer dspex")]
    Newer {
        /// The format found.
        found: u8,
        /// The newest that is read.
        supported: u8,
    },
    /// Too many files.
    #[error("{files} files and links; a bundle holds {limit} at the most")]
    TooManyFiles {
        /// How many there are.
        files: u64,
        /// How many there may be.
        limit: u64,
    },
    /// Too many bytes.
    #[error("{bytes} bytes of files; the limit is {limit}")]
    TooLarge {
        /// How many there are.
        bytes: u64,
        /// How many there may be.
        limit: u64,
    },
    /// A path that cannot be.
    #[error("the path {path:?} {fault}")]
    Path {
        /// The path, as far as it can be shown.
        path: String,
        /// What is wrong with it.
        fault: PathFault,
    },
    /// Twice the same, in the eyes of some file system.
    #[error("{first:?} and {second:?} are one name where upper and lower case do not count: rename one of them")]
    Collision {
        /// One of them.
        first: String,
        /// The other.
        second: String,
    },
    /// Not in the order that makes equal projects equal bytes.
    #[error("{path:?} stands twice, or not in its place")]
    Order {
        /// The path.
        path: String,
    },
    /// Something lies beneath what is no directory.
    #[error("{path:?} lies beneath {above:?}, which is a file or a link")]
    Beneath {
        /// What lies there.
        path: String,
        /// What it lies beneath.
        above: String,
    },
    /// A link that cannot be.
    #[error("the link {path:?} (to {target:?}) {fault}")]
    Link {
        /// Where it is.
        path: String,
        /// Where it leads.
        target: String,
        /// What is wrong with it.
        fault: LinkFault,
    },
}
