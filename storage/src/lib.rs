//! Bytes on disk: the only room that knows RocksDB.
//!
//! A [`DataDirectory`] is one node's storage: the replicated log ([`LogStore`]), the state that the log
//! produces ([`StateStore`]), its snapshots ([`Snapshots`]) and the content-addressed [`BlobStore`]. Beside it there is the
//! file that `dspex snapshot save` makes ([`ArchivePieces`], [`ArchiveReader`]), and a directory made of one ([`Restoration`]).
//! Everything here is plain threads and opaque bytes. What the bytes mean is known to `dspex-consensus`,
//! and openraft is unknown here.

mod archive;
mod blob_hold;
mod blob_reader;
mod blob_reclaim;
mod blob_store;
mod blob_writer;
mod database;
mod directory;
mod durable_file;
mod error;
mod first_failure;
mod format;
mod frozen_state;
mod hashing;
mod identity_file;
mod incoming_snapshot;
mod lock;
mod log_store;
mod pins;
mod restoration;
mod snapshot_file;
mod snapshots;
mod state_store;
mod state_view;

pub use archive::{ARCHIVE_VERSION, ArchiveBlobs, ArchiveEnd, ArchiveHeader, ArchivePieces, ArchiveReader, BlobPiece};
pub use blob_hold::BlobHold;
pub use blob_reader::BlobReader;
pub use blob_store::BlobStore;
pub use blob_writer::BlobWriter;
pub use directory::{DataDirectory, Options};
pub use error::OpenError;
pub use format::{DirectoryKind, FORMAT_VERSION, Identity};
pub use frozen_state::FrozenState;
pub use identity_file::IdentityFile;
pub use incoming_snapshot::IncomingSnapshot;
pub use log_store::{Done, LogBounds, LogStatistics, LogStore};
pub use restoration::Restoration;
pub use snapshot_file::{SnapshotFile, SnapshotHeader};
pub use snapshots::Snapshots;
pub use state_store::StateStore;
pub use state_view::StateView;
