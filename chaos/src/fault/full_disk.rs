//! The disk is full (ENOSPC), until there is room again.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use rustix::fs::{FallocateFlags, fallocate, syncfs};

use super::{Disk, FaultError};

/// A file that takes all the room. The room comes back when this is dropped.
#[derive(Debug)]
pub struct FullDisk {
    filler: PathBuf,
}

/// Why disks cannot be filled here.
pub fn probe() -> Result<(), String> {
    Disk::probe()
}

impl FullDisk {
    /// Fills a disk to the last block.
    pub fn fill(disk: &Disk) -> Result<Self, FaultError> {
        let full = Self { filler: disk.path().join(".dspex-filler") };
        full.take_all().map_err(FaultError::system(format!("filling {}", disk.path().display())))?;
        Ok(full)
    }

    /// Gives the room back.
    pub fn end(self) {}

    fn take_all(&self) -> io::Result<()> {
        let file = File::create(&self.filler)?;
        // Blocks that the last transaction freed are free only after it.
        syncfs(&file)?;
        let (mut taken, mut step) = (0, 64 << 20);
        while step >= 1024 {
            match fallocate(&file, FallocateFlags::empty(), taken, step) {
                Ok(()) => taken += step,
                Err(rustix::io::Errno::NOSPC) => step /= 2,
                Err(rustix::io::Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
        syncfs(&file)?;
        Ok(())
    }
}

impl Drop for FullDisk {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.filler);
        if let Some(disk) = self.filler.parent().map(Path::to_owned)
            && let Ok(disk) = File::open(disk)
        {
            let _ = syncfs(&disk);
        }
    }
}
