//! The disk takes no more writes (EROFS), be it by an administrator or by the kernel after an error.

use std::fs;
use std::path::PathBuf;

use super::{Disk, FaultError};

/// A disk that an administrator made read-only. It is writable again when this is dropped.
#[derive(Debug)]
pub struct ReadOnly {
    path: PathBuf,
}

/// Why disks cannot be made read-only here.
pub fn probe() -> Result<(), String> {
    Disk::probe()
}

impl ReadOnly {
    /// Remounts a disk. The kernel refuses it while a file is open for writing: under a running node see `emergency`.
    pub fn begin(disk: &Disk) -> Result<Self, FaultError> {
        Disk::remount(&disk.path(), "remount,ro")?;
        Ok(Self { path: disk.path() })
    }

    /// Makes it writable again.
    pub fn end(self) -> Result<(), FaultError> {
        Disk::remount(&self.path, "remount,rw")
    }
}

impl Drop for ReadOnly {
    fn drop(&mut self) {
        // Once more after `end`, which does no harm.
        let _ = Disk::remount(&self.path, "remount,rw");
    }
}

/// The kernel meets an error on the disk and lets nobody write any more, whatever is open. Only `Disk::mount_again` ends it.
pub fn emergency(disk: &Disk) -> Result<(), FaultError> {
    let trigger = format!("/sys/fs/ext4/{}/trigger_fs_error", disk.device());
    fs::write(&trigger, "dspex").map_err(FaultError::system(trigger))
}
