//! A directory's identity while it is open. It changes once at the most: when the node becomes part of a cluster.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use crate::error::OpenError;
use crate::format::Identity;
use crate::lock::DirectoryLock;

/// A handle to the `FORMAT` file of an open directory; clones share it.
#[derive(Debug, Clone)]
pub struct IdentityFile {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    directory: PathBuf,
    identity: Mutex<Identity>,
    _lock: Arc<DirectoryLock>,
}

impl IdentityFile {
    pub(crate) fn new(directory: &Path, identity: Identity, lock: Arc<DirectoryLock>) -> Self {
        let shared = Shared { directory: directory.to_path_buf(), identity: Mutex::new(identity), _lock: lock };
        Self { shared: Arc::new(shared) }
    }

    /// As it stands in the file.
    pub fn get(&self) -> Identity {
        self.shared.identity.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Records the cluster that this node has become a part of, durably.
    ///
    /// # Errors
    /// A directory never moves from one cluster to another.
    pub fn join_cluster(&self, cluster_id: &str) -> Result<(), OpenError> {
        let directory = &self.shared.directory;
        let mut identity = self.shared.identity.lock().unwrap_or_else(PoisonError::into_inner);
        match &identity.cluster_id {
            Some(found) if found == cluster_id => return Ok(()),
            Some(found) => {
                return Err(OpenError::OtherCluster {
                    path: directory.clone(),
                    found: found.clone(),
                    expected: cluster_id.to_owned(),
                });
            }
            None => {}
        }
        let joined = Identity { cluster_id: Some(cluster_id.to_owned()), ..identity.clone() };
        joined.write(directory).map_err(|error| OpenError::from_io(directory, error))?;
        *identity = joined;
        Ok(())
    }
}
