//! A node's data directory: locked, versioned, with the three databases and the snapshots.
//!
//! ```text
//! LOCK        the holder's process id, under an exclusive flock
//! FORMAT      format version, kind, node id, cluster id
//! log/        RocksDB: entries, vote, committed, last purged        (synced)
//! state/      CURRENT -> 000001/ RocksDB: what the log has produced (synced before the log is purged)
//! blobs/      RocksDB: content-addressed values                     (synced)
//! snapshots/  images of the state, one file each
//! ```

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use dspex_model::NodeId;

use crate::blob_store::BlobStore;
use crate::database::Creation;
use crate::durable_file;
use crate::error::OpenError;
use crate::format::{DirectoryKind, Identity};
use crate::identity_file::IdentityFile;
use crate::lock::DirectoryLock;
use crate::log_store::LogStore;
use crate::restoration;
use crate::snapshots::Snapshots;
use crate::state_store::StateStore;

/// Below this much space a start would only fail a moment later, in a worse place.
const LEAST_FREE_BYTES: u64 = 16 * 1024 * 1024;

/// What a directory may hold before it is a data directory: traces of a first start that was cut short.
const OWN_NAMES: [&str; 8] = ["LOCK", "LOCK.space", "FORMAT", "FORMAT.new", "log", "state", "blobs", "snapshots"];

/// How to open a data directory.
#[derive(Debug, Clone)]
pub struct Options {
    /// What the directory must be, or what it becomes.
    pub kind: DirectoryKind,
    /// The node that a new directory will belong to; an existing one keeps its own.
    pub node_id: NodeId,
    /// The cluster that the directory must belong to, where it is known.
    pub cluster_id: Option<String>,
    /// Sync what is acknowledged. `false` loses acknowledged data at a power cut: it exists only as the control
    /// that shows that a power-cut test can see a loss.
    pub sync: bool,
}

impl Options {
    /// The embedded node's directory.
    pub fn embedded() -> Self {
        Self { kind: DirectoryKind::Embedded, node_id: NodeId(1), cluster_id: None, sync: true }
    }

    /// A cluster node's directory.
    pub fn cluster(node_id: NodeId) -> Self {
        Self { kind: DirectoryKind::Cluster, node_id, cluster_id: None, sync: true }
    }
}

/// An open, locked data directory. The lock is held until the last of its stores is dropped.
#[derive(Debug)]
pub struct DataDirectory {
    path: PathBuf,
    identity: IdentityFile,
    log: LogStore,
    state: StateStore,
    blobs: BlobStore,
    snapshots: Snapshots,
    lock: Arc<DirectoryLock>,
}

impl DataDirectory {
    /// Opens the directory, making it first where there is none.
    ///
    /// # Errors
    /// See [`OpenError`]; an error leaves everything that was stored untouched.
    pub fn open(path: impl AsRef<Path>, options: &Options) -> Result<Self, OpenError> {
        let path = path.as_ref();
        if let Some(building) = restoration::unfinished(path) {
            return Err(OpenError::HalfRestored { path: path.to_path_buf(), building });
        }
        durable_file::create_directory(path).map_err(|error| OpenError::from_io(path, error))?;
        let found = Identity::read(path)?;
        if found.is_none() {
            refuse_foreign(path)?;
        }
        let lock = Arc::new(DirectoryLock::take(path)?);
        ensure_space(path)?;
        // Read again under the lock: another process may have made the directory in between.
        let found = Identity::read(path)?;
        let creation = if found.is_some() { Creation::Refused } else { Creation::Allowed };
        let identity = match found {
            Some(identity) => check(path, identity, options)?,
            None => Identity { kind: options.kind, node_id: options.node_id, cluster_id: options.cluster_id.clone() },
        };
        let stores = open_stores(path, creation, options.sync, &lock)?;
        if creation == Creation::Allowed {
            refuse_orphaned(path, &stores.log)?;
            use std::os::unix::fs::PermissionsExt;
            fs::set_permissions(path, fs::Permissions::from_mode(0o700))
                .and_then(|()| identity.write(path))
                .map_err(|error| OpenError::from_io(path, error))?;
        }
        let Stores { log, state, blobs, snapshots } = stores;
        let identity = IdentityFile::new(path, identity, Arc::clone(&lock));
        Ok(Self { path: path.to_path_buf(), identity, log, state, blobs, snapshots, lock })
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Whose it is.
    pub fn identity(&self) -> Identity {
        self.identity.get()
    }

    /// The identity, for those who outlive this handle or change it.
    pub fn identity_file(&self) -> &IdentityFile {
        &self.identity
    }

    /// The replicated log.
    pub fn log(&self) -> &LogStore {
        &self.log
    }

    /// What the log has produced.
    pub fn state(&self) -> &StateStore {
        &self.state
    }

    /// Content-addressed values.
    pub fn blobs(&self) -> &BlobStore {
        &self.blobs
    }

    /// Images of the state.
    pub fn snapshots(&self) -> &Snapshots {
        &self.snapshots
    }

    /// Stops the flusher thread after a last sync and gives up the directory. Handles that others still hold
    /// keep the lock; writes to the log through them fail.
    ///
    /// # Errors
    /// When the last sync fails.
    pub fn close(self) -> io::Result<()> {
        let state = self.state.sync();
        let log = self.log.close();
        drop(self.lock);
        state.and(log)
    }
}

struct Stores {
    log: LogStore,
    state: StateStore,
    blobs: BlobStore,
    snapshots: Snapshots,
}

/// Opens the databases side by side: each spends most of its time waiting for the disk.
fn open_stores(path: &Path, creation: Creation, sync: bool, lock: &Arc<DirectoryLock>) -> Result<Stores, OpenError> {
    let (log_path, state_path, blob_path) = (path.join("log"), path.join("state"), path.join("blobs"));
    let (log, state, blobs) = std::thread::scope(|scope| {
        let log = scope.spawn(|| LogStore::open(&log_path, creation, sync, Arc::clone(lock)));
        let state = scope.spawn(|| StateStore::open(&state_path, creation, Arc::clone(lock)));
        let blobs = BlobStore::open(&blob_path, creation, sync, Arc::clone(lock));
        (joined(log), joined(state), blobs)
    });
    let snapshots = Snapshots::open(&path.join("snapshots"));
    let failed = |path: &Path, error: io::Error| match (creation, error.kind()) {
        // The directory was complete once: a file that is not there any more is damage.
        (Creation::Refused, io::ErrorKind::NotFound) => {
            OpenError::Corrupt { what: path.to_path_buf(), detail: error.to_string() }
        }
        _ => OpenError::from_io(path, error),
    };
    Ok(Stores {
        log: log.map_err(|error| failed(&log_path, error))?,
        state: state.map_err(|error| failed(&state_path, error))?,
        blobs: blobs.map_err(|error| failed(&blob_path, error))?,
        snapshots: snapshots.map_err(|error| failed(path, error))?,
    })
}

fn joined<T>(thread: std::thread::ScopedJoinHandle<'_, io::Result<T>>) -> io::Result<T> {
    thread.join().unwrap_or_else(|_| Err(io::Error::other("the opening thread panicked")))
}

fn check(path: &Path, found: Identity, options: &Options) -> Result<Identity, OpenError> {
    if found.kind != options.kind {
        return Err(OpenError::OtherKind { path: path.to_path_buf(), found: found.kind, expected: options.kind });
    }
    match (&found.cluster_id, &options.cluster_id) {
        (Some(has), Some(wanted)) if has != wanted => {
            Err(OpenError::OtherCluster { path: path.to_path_buf(), found: has.clone(), expected: wanted.clone() })
        }
        _ => Ok(found),
    }
}

/// A wrong path must not scatter databases over somebody's files.
fn refuse_foreign(path: &Path) -> Result<(), OpenError> {
    let entries = fs::read_dir(path).map_err(|error| OpenError::from_io(path, error))?;
    for entry in entries {
        let name = entry.map_err(|error| OpenError::from_io(path, error))?.file_name();
        let name = name.to_string_lossy();
        if !OWN_NAMES.contains(&name.as_ref()) {
            return Err(OpenError::NotADataDirectory { path: path.to_path_buf(), example: name.into_owned() });
        }
    }
    Ok(())
}

/// Without `FORMAT` nothing was ever acknowledged, unless somebody removed the file.
fn refuse_orphaned(path: &Path, log: &LogStore) -> Result<(), OpenError> {
    let vote = log.vote().map_err(|error| OpenError::from_io(path, error))?;
    if vote.is_some() || log.bounds().last.is_some() {
        return Err(OpenError::Corrupt {
            what: path.join("FORMAT"),
            detail: "the file is missing although the log holds entries".to_owned(),
        });
    }
    Ok(())
}

/// Asks for space instead of reading statistics: quotas and reserves count too.
fn ensure_space(path: &Path) -> Result<(), OpenError> {
    let probe = path.join("LOCK.space");
    let result = durable_file::create(&probe).and_then(|file| {
        match rustix::fs::fallocate(&file, rustix::fs::FallocateFlags::empty(), 0, LEAST_FREE_BYTES) {
            // A file system that cannot reserve space says nothing about how much there is.
            Ok(()) | Err(rustix::io::Errno::OPNOTSUPP) => Ok(()),
            Err(error) => Err(error.into()),
        }
    });
    let _ = fs::remove_file(&probe);
    result.map_err(|error: io::Error| OpenError::from_io(path, error))
}
