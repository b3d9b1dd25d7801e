//! A small file system of a test's own, which can be made read-only or full.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use tempfile::TempDir;

use crate::waiting::holds_within;

/// A tmpfs. It goes away with this value; whatever uses it must have been dropped before.
#[derive(Debug)]
pub struct Mount {
    directory: TempDir,
}

impl Mount {
    /// One of so many MiB; an error says why this machine cannot have it.
    pub fn tmpfs(megabytes: u32) -> Result<Self, String> {
        let directory = tempfile::Builder::new()
            .prefix("dspex-mount-")
            .tempdir()
            .map_err(|error| format!("no temporary directory: {error}"))?;
        let size = format!("size={megabytes}m,mode=0700");
        let words = ["-t", "tmpfs", "-o", &size, "tmpfs"].map(OsStr::new);
        mount(words.into_iter().chain([directory.path().as_os_str()]))?;
        Ok(Self { directory })
    }

    /// Its directory.
    pub fn path(&self) -> &Path {
        self.directory.path()
    }

    /// Makes it read-only, or writable again. Processes that were killed hold their files open until the kernel has taken them
    /// away, which is waited for.
    ///
    /// # Panics
    /// When somebody keeps writing to it.
    pub fn read_only(&self, on: bool) {
        let options = if on { "remount,ro" } else { "remount,rw" };
        let words = [OsStr::new("-o"), OsStr::new(options), self.path().as_os_str()];
        let mut refused = String::new();
        let done = holds_within(Duration::from_secs(20), || match mount(words) {
            Ok(()) => true,
            Err(why) => {
                refused = why;
                false
            }
        });
        assert!(done, "the file system cannot be mounted again: {refused}");
    }

    /// Fills it but for so many KiB. The space comes back when the file is removed.
    ///
    /// # Panics
    /// When the space that stays cannot be made.
    pub fn fill(&self, left_kilobytes: u64) -> PathBuf {
        let path = self.path().join("filler");
        let mut file = File::create(&path).expect("a file");
        // By the megabyte, then by the page: a gigabyte must not take longer than what is to meet the full disk.
        for size in [1 << 20, 4096] {
            let block = vec![1; size];
            while file.write_all(&block).is_ok() {}
        }
        let length = file.metadata().expect("a length").len();
        file.set_len(length.saturating_sub(left_kilobytes << 10)).expect("a shorter file");
        path
    }

    /// Takes what has become free since it was [filled](Self::fill): a store frees space some time after it was told to.
    ///
    /// # Panics
    /// When it was not filled.
    pub fn fill_again(&self) {
        let filler = File::options().append(true).open(self.path().join("filler"));
        let mut filler = filler.expect("it was filled before");
        while filler.write_all(&[1; 4096]).is_ok() {}
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        let _ = fs::remove_file(self.path().join("filler"));
        let plain = Command::new("umount").arg(self.path()).output();
        if !plain.is_ok_and(|output| output.status.success()) {
            // Something still ends; the kernel removes it when the last has gone.
            let _ = Command::new("umount").arg("-l").arg(self.path()).output();
        }
    }
}

fn mount<'a>(words: impl IntoIterator<Item = &'a OsStr>) -> Result<(), String> {
    match Command::new("mount").args(words).output() {
        Ok(output) if output.status.success() => Ok(()),
        Ok(output) => Err(String::from_utf8_lossy(&output.stderr).trim().to_owned()),
        Err(error) => Err(format!("mount: {error}")),
    }
}
