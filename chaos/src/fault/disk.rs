//! A small disk of a scenario's own, an ext4 file system in a file, for the faults that disks have.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use tempfile::TempDir;

use super::FaultError;
use super::command::{are_installed, is_root, run};

/// How long files may stay open on a disk that is to be unmounted.
const UNMOUNT_LIMIT: Duration = Duration::from_secs(10);

/// A disk. It goes away with this value; end what uses it before.
#[derive(Debug)]
pub struct Disk {
    directory: TempDir,
    /// Such as `/dev/loop0`; kept over power cuts, so that the file is never mounted twice.
    device: String,
    is_mounted: bool,
}

impl Disk {
    /// Why disks cannot be had here.
    pub fn probe() -> Result<(), String> {
        is_root()?;
        let mount = [("mount", "mount"), ("umount", "mount"), ("losetup", "mount")];
        are_installed(&mount)?;
        are_installed(&[("mkfs.ext4", "e2fsprogs")])?;
        Self::new(8).map(|_| ()).map_err(|error| error.to_string())
    }

    /// One of so many MiB.
    pub fn new(megabytes: u32) -> Result<Self, FaultError> {
        let directory = tempfile::Builder::new().prefix("dspex-disk-").tempdir();
        let directory = directory.map_err(FaultError::system("a temporary directory"))?;
        let image = directory.path().join("image");
        let sized = File::create(&image).and_then(|file| file.set_len(u64::from(megabytes) << 20));
        sized.map_err(FaultError::system(format!("an image in {}", image.display())))?;
        fs::create_dir(directory.path().join("mount")).map_err(FaultError::system("a directory to mount on"))?;
        // Nothing is left to be initialised in the background, and nothing is kept back for root.
        let words =
            ["mkfs.ext4", "-q", "-F", "-m", "0", "-E", "lazy_itable_init=0,lazy_journal_init=0"].map(OsStr::new);
        run(&[&words[..], &[image.as_os_str()]].concat())?;
        let words = ["losetup", "--find", "--show"].map(OsStr::new);
        let device = run(&[&words[..], &[image.as_os_str()]].concat())?.trim().to_owned();
        let mut disk = Self { directory, device, is_mounted: false };
        disk.mount()?;
        Ok(disk)
    }

    /// Where it is mounted.
    pub fn path(&self) -> PathBuf {
        self.directory.path().join("mount")
    }

    /// Its device, without `/dev/`.
    pub(super) fn device(&self) -> &str {
        self.device.trim_start_matches("/dev/")
    }

    /// What a restart of the machine does to it: unmounted, mounted, its journal replayed. Ends a power cut and an emergency. Waits
    /// a while for processes that still have files open on it.
    pub fn mount_again(&mut self) -> Result<(), FaultError> {
        let begun = Instant::now();
        loop {
            let outcome = self.unmount().and_then(|()| self.mount()).and_then(|()| self.is_usable());
            match outcome {
                Ok(()) => return Ok(()),
                // Also where it is mounted in a namespace of a process that still ends: it came back as it was.
                Err(error) if begun.elapsed() > UNMOUNT_LIMIT => return Err(error),
                Err(_) => thread::sleep(Duration::from_millis(20)),
            }
        }
    }

    fn is_usable(&self) -> Result<(), FaultError> {
        let path = self.path().join(".dspex-probe");
        let written = File::create(&path).and_then(|file| file.sync_all()).and_then(|()| fs::remove_file(&path));
        written.map_err(FaultError::system(format!(
            "writing to {} after it was mounted again (end the processes that have files open on it)",
            self.path().display()
        )))
    }

    fn mount(&mut self) -> Result<(), FaultError> {
        // Late write-back: what a power cut takes does not hang on how fast a test is.
        let words = ["mount", "-t", "ext4", "-o", "errors=remount-ro,commit=300", &self.device].map(OsStr::new);
        run(&[&words[..], &[self.path().as_os_str()]].concat())?;
        self.is_mounted = true;
        Ok(())
    }

    fn unmount(&mut self) -> Result<(), FaultError> {
        if self.is_mounted {
            run(&[OsStr::new("umount"), self.path().as_os_str()])?;
            self.is_mounted = false;
        }
        Ok(())
    }

    /// Remounts it with other options.
    pub(super) fn remount(path: &Path, options: &str) -> Result<(), FaultError> {
        let words = ["mount", "-o", options].map(OsStr::new);
        run(&[&words[..], &[path.as_os_str()]].concat()).map(|_| ())
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        if self.unmount().is_err() {
            // Something still ends; the kernel removes it when the last file is closed, and the device with it.
            let _ = run(&[OsStr::new("umount"), OsStr::new("-l"), self.path().as_os_str()]);
        }
        let _ = run(&["losetup", "-d", &self.device]);
    }
}
