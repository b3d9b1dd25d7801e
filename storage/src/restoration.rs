//! A data directory that is made of something else. Until it is complete it has another name, and no node opens the
//! directory that it is to become: a node that came up empty there would be taken for the restored one.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use dspex_model::NodeId;

use crate::directory::{DataDirectory, Options};
use crate::durable_file;
use crate::error::OpenError;
use crate::format::DirectoryKind;
use crate::lock::DirectoryLock;

const EXTENSION: &str = ".restoring";

/// A directory under way. Dropped before its end, it is removed.
#[derive(Debug)]
pub struct Restoration {
    // Before the building: the databases are closed, then their files are removed.
    data: DataDirectory,
    building: Building,
}

#[derive(Debug)]
struct Building {
    path: PathBuf,
    /// What it becomes.
    target: PathBuf,
    is_done: bool,
}

impl Restoration {
    /// Begins a directory for a node of a cluster that becomes `path`, which is not there yet. What an earlier restoration left
    /// behind is removed.
    ///
    /// # Errors
    /// When `path` is there, another restoration is under way, or the directory cannot be made.
    pub fn begin(path: &Path, node_id: NodeId, cluster_id: &str) -> Result<Self, OpenError> {
        let target = std::path::absolute(path).map_err(|error| OpenError::from_io(path, error))?;
        if target.exists() {
            return Err(OpenError::Exists { path: target });
        }
        let building = building_of(&target);
        if building.exists() {
            drop(DirectoryLock::take(&building)?);
            fs::remove_dir_all(&building).map_err(|error| OpenError::from_io(&building, error))?;
        }
        let cluster_id = Some(cluster_id.to_owned());
        let options = Options { kind: DirectoryKind::Cluster, node_id, cluster_id, sync: true };
        let data = DataDirectory::open(&building, &options)?;
        Ok(Self { data, building: Building { path: building, target, is_done: false } })
    }

    /// What is being filled.
    pub fn data(&self) -> &DataDirectory {
        &self.data
    }

    /// Makes everything durable and gives the directory its name. Nobody may hold its stores any more.
    ///
    /// # Errors
    /// When it cannot be synced or renamed; then it is removed.
    pub fn finish(self) -> io::Result<()> {
        let Self { data, mut building } = self;
        data.close()?;
        durable_file::sync_directory(&building.path)?;
        durable_file::rename(&building.path, &building.target)?;
        building.is_done = true;
        for above in building.target.ancestors().skip(2).take(2) {
            // They may be new as well; those that this user may not open are not.
            let _ = durable_file::sync_directory(above);
        }
        Ok(())
    }
}

impl Drop for Building {
    fn drop(&mut self) {
        if !self.is_done {
            // What stays is told by the next start, and removed by the next restoration.
            let _ = fs::remove_dir_all(&self.path);
        }
    }
}

/// The directory that is to become this one, if somebody has begun it.
pub(crate) fn unfinished(path: &Path) -> Option<PathBuf> {
    Some(building_of(path)).filter(|building| building.exists())
}

fn building_of(path: &Path) -> PathBuf {
    let mut name = path.file_name().unwrap_or_default().to_os_string();
    name.push(EXTENSION);
    path.with_file_name(name)
}
