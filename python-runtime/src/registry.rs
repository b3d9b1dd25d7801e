//! The processes that this node owns, on disk: what the next start needs to find what a crash left behind.
//!
//! One small file for each process, written beside and renamed, so that a reader sees a whole entry or none. Nothing is synced: the
//! entries matter only within the boot that wrote them (a process does not outlive the boot), and the page cache outlives a
//! killed node.

mod orphans;

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::{Deserialize, Serialize};

pub use orphans::{Cleanup, clean_up_orphans};

use crate::process::{Fingerprint, boot_id};

/// What a registered process is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ProcessKind {
    /// A zygote.
    Zygote,
    /// A worker.
    Worker,
}

/// One registered process.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// The node instance that owns it.
    pub instance: String,
    /// What it is.
    pub kind: ProcessKind,
    /// The worker's id, for a worker.
    pub worker: Option<String>,
    /// The actor that owns it.
    pub actor: String,
    /// Its process id; also its process group.
    pub pid: u32,
    /// With the pid and the boot, its fingerprint.
    pub start_ticks: u64,
    /// The boot that it belongs to.
    pub boot_id: String,
}

impl Entry {
    /// Its fingerprint within its boot.
    pub fn fingerprint(&self) -> Fingerprint {
        Fingerprint { pid: self.pid, start_ticks: self.start_ticks }
    }

    fn file_name(&self) -> String {
        file_name(self.fingerprint())
    }
}

fn file_name(process: Fingerprint) -> String {
    format!("{}-{}.json", process.pid, process.start_ticks)
}

/// The registry of one node instance. Clones write to the same one.
#[derive(Debug, Clone)]
pub struct Registry {
    directory: Arc<PathBuf>,
    instance: Arc<str>,
}

impl Registry {
    /// Opens the registry for an instance of the node: a token that no other start of any node has had, such as a random UUID.
    /// [`clean_up_orphans`] comes first.
    pub fn open(directory: &Path, instance: &str) -> io::Result<Self> {
        fs::create_dir_all(directory)?;
        Ok(Self { directory: Arc::new(directory.to_path_buf()), instance: instance.into() })
    }

    /// The instance's token.
    pub fn instance(&self) -> &str {
        &self.instance
    }

    /// Records a process of this instance.
    pub fn add(&self, kind: ProcessKind, worker: Option<&str>, actor: &str, process: Fingerprint) -> io::Result<()> {
        let entry = Entry {
            instance: self.instance.to_string(),
            kind,
            worker: worker.map(str::to_owned),
            actor: actor.to_owned(),
            pid: process.pid,
            start_ticks: process.start_ticks,
            boot_id: boot_id().to_owned(),
        };
        let path = self.directory.join(entry.file_name());
        let fresh = path.with_extension("new");
        fs::write(&fresh, serde_json::to_vec(&entry)?)?;
        fs::rename(fresh, path)
    }

    /// Forgets a process that has ended with its whole group.
    pub fn remove(&self, process: Fingerprint) {
        // A leftover entry is harmless: its fingerprint matches nothing any more.
        let _ = fs::remove_file(self.directory.join(file_name(process)));
    }

    /// What is registered, in no order.
    pub fn entries(&self) -> io::Result<Vec<Entry>> {
        Ok(read(&self.directory)?.into_iter().filter_map(|(_, entry)| entry).collect())
    }
}

/// Every file with its entry; `None` for one that is not readable as an entry (half-written, or foreign).
fn read(directory: &Path) -> io::Result<Vec<(PathBuf, Option<Entry>)>> {
    let mut found = Vec::new();
    for file in fs::read_dir(directory)? {
        let path = file?.path();
        let complete = path.extension().is_some_and(|extension| extension == "json");
        let entry = fs::read(&path).ok().filter(|_| complete).and_then(|bytes| serde_json::from_slice(&bytes).ok());
        found.push((path, entry));
    }
    Ok(found)
}

#[cfg(test)]
mod tests;
