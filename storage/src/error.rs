//! Errors of opening a data directory, each saying what a person can do about it.

use std::io;
use std::path::{Path, PathBuf};

use crate::format::DirectoryKind;

/// Why a data directory could not be opened. Nothing was changed in it.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// Another process holds the directory.
    #[error(
        "data directory {} is in use by {}; stop that process or use another directory",
        path.display(),
        holder(*pid)
    )]
    Locked {
        /// The directory.
        path: PathBuf,
        /// The process that holds it, when it could be read.
        pid: Option<u32>,
    },
    /// The directory cannot be written to.
    #[error(
        "data directory {} cannot be written to ({detail}); make it writable for this user or use another directory",
        path.display()
    )]
    ReadOnly {
        /// The directory.
        path: PathBuf,
        /// What the operating system said.
        detail: String,
    },
    /// The file system has no space left.
    #[error(
        "no space left for data directory {}; free at least 64 MiB on its file system and start again",
        path.display()
    )]
    Full {
        /// The directory.
        path: PathBuf,
    },
    /// Stored bytes are damaged.
    #[error(
        "{} is damaged ({detail}); nothing was changed: restore the directory from a backup, or move it away to start with an empty one",
        what.display()
    )]
    Corrupt {
        /// The damaged file or database.
        what: PathBuf,
        /// How it was noticed.
        detail: String,
    },
    /// The directory was written by a newer version.
    #[error(
        "data directory {} has format {found}, this version reads up to {supported}; start it with a newer dspex",
        path.display()
    )]
    NewerFormat {
        /// The directory.
        path: PathBuf,
        /// The format found.
        found: u64,
        /// The newest format this version reads.
        supported: u64,
    },
    /// An embedded directory was opened as a cluster's, or the other way round.
    #[error(
        "data directory {} belongs to {found} node, not to {expected} node; use another directory",
        path.display()
    )]
    OtherKind {
        /// The directory.
        path: PathBuf,
        /// What it is.
        found: DirectoryKind,
        /// What was asked for.
        expected: DirectoryKind,
    },
    /// The directory belongs to another cluster.
    #[error(
        "data directory {} belongs to cluster {found}, not to {expected}; use another directory",
        path.display()
    )]
    OtherCluster {
        /// The directory.
        path: PathBuf,
        /// The cluster that it belongs to.
        found: String,
        /// The cluster that was asked for.
        expected: String,
    },
    /// A directory was to be made of a snapshot, and is not complete.
    #[error(
        "data directory {} is being made of a snapshot, or that was cut short: wait for the end of `dspex snapshot restore`, \
         repeat it, or remove {} to start with an empty directory",
        path.display(),
        building.display()
    )]
    HalfRestored {
        /// The directory.
        path: PathBuf,
        /// What it was to become of.
        building: PathBuf,
    },
    /// A directory was to be made, and there is one.
    #[error("{} is there already: name a directory that is empty or not there yet, nothing was changed", path.display())]
    Exists {
        /// The directory.
        path: PathBuf,
    },
    /// The directory holds files, but not a node's.
    #[error(
        "{} is not a DSPex data directory and not empty (it holds {example}); use an empty directory",
        path.display()
    )]
    NotADataDirectory {
        /// The directory.
        path: PathBuf,
        /// One of the files in it.
        example: String,
    },
    /// Any other failure of the operating system.
    #[error("cannot open {}: {source}", path.display())]
    Io {
        /// What was opened.
        path: PathBuf,
        /// The failure.
        source: io::Error,
    },
}

fn holder(pid: Option<u32>) -> String {
    pid.map_or_else(|| "another process".to_owned(), |pid| format!("process {pid}"))
}

impl OpenError {
    /// Sorts an error of the operating system (or of RocksDB, see [`from_rocksdb`]) into what a person can act on.
    pub(crate) fn from_io(path: &Path, error: io::Error) -> Self {
        let path = path.to_path_buf();
        match error.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Self::Full { path },
            io::ErrorKind::ReadOnlyFilesystem | io::ErrorKind::PermissionDenied => {
                Self::ReadOnly { path, detail: error.to_string() }
            }
            io::ErrorKind::InvalidData => Self::Corrupt { what: path, detail: error.to_string() },
            _ => Self::Io { path, source: error },
        }
    }
}

/// RocksDB gives a status class and a text only; the texts are those of `strerror`.
#[expect(clippy::needless_pass_by_value, reason = "it stands behind `map_err` everywhere")]
pub(crate) fn from_rocksdb(error: rocksdb::Error) -> io::Error {
    let text = error.to_string();
    let kind = if text.contains("No space left on device") || text.contains("Disk quota exceeded") {
        io::ErrorKind::StorageFull
    } else if text.contains("Read-only file system") {
        io::ErrorKind::ReadOnlyFilesystem
    } else if text.contains("Permission denied") {
        io::ErrorKind::PermissionDenied
    } else if text.contains("No such file or directory") {
        io::ErrorKind::NotFound
    } else if error.kind() == rocksdb::ErrorKind::Corruption {
        io::ErrorKind::InvalidData
    } else {
        io::ErrorKind::Other
    };
    io::Error::new(kind, text)
}

/// An error for bytes that fail their own check.
pub(crate) fn corrupt(detail: impl Into<String>) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, detail.into())
}
