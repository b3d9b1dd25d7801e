//! The wall clock jumps, for the processes that were started with this environment (libfaketime). The monotonic clock goes on as
//! it did, as on a machine whose time is set.

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};

use tempfile::TempDir;

use super::FaultError;

/// Where Debian, Ubuntu and others put it. The variant for programs with threads.
const LIBRARIES: [&str; 5] = [
    "/usr/lib/x86_64-linux-gnu/faketime/libfaketimeMT.so.1",
    "/usr/lib/aarch64-linux-gnu/faketime/libfaketimeMT.so.1",
    "/usr/lib/faketime/libfaketimeMT.so.1",
    "/usr/lib64/faketime/libfaketimeMT.so.1",
    "/usr/local/lib/faketime/libfaketimeMT.so.1",
];

/// A clock for some processes, which starts with the right time.
#[derive(Debug)]
pub struct Clock {
    library: &'static Path,
    directory: TempDir,
    ahead_seconds: i64,
}

/// Why clocks cannot be set here.
pub fn probe() -> Result<(), String> {
    library().map(|_| ())
}

fn library() -> Result<&'static Path, String> {
    let found = LIBRARIES.iter().map(Path::new).find(|path| path.is_file());
    found.ok_or_else(|| "libfaketime is not installed (Debian package libfaketime)".to_owned())
}

impl Clock {
    /// One that is right.
    pub fn new() -> Result<Self, FaultError> {
        let library = library().map_err(FaultError::Impossible)?;
        let directory = tempfile::Builder::new().prefix("dspex-clock-").tempdir();
        let directory = directory.map_err(FaultError::system("a temporary directory"))?;
        let clock = Self { library, directory, ahead_seconds: 0 };
        clock.set()?;
        Ok(clock)
    }

    /// What a process must have in its environment to live by this clock. Its children inherit it; Python 3.11 cannot sleep under
    /// it, so workers should not.
    pub fn environment(&self) -> Vec<(&'static str, OsString)> {
        vec![
            ("LD_PRELOAD", self.library.into()),
            ("FAKETIME_TIMESTAMP_FILE", self.file().into()),
            ("FAKETIME_DONT_FAKE_MONOTONIC", "1".into()),
            // How many seconds pass at the most until a process notices a jump.
            ("FAKETIME_CACHE_DURATION", "1".into()),
        ]
    }

    /// Sets it forward, or back. A running process notices within a second or two.
    pub fn jump(&mut self, seconds: i64) -> Result<(), FaultError> {
        self.ahead_seconds = self.ahead_seconds.saturating_add(seconds);
        self.set()
    }

    /// How far it is ahead of the right time.
    pub fn ahead_seconds(&self) -> i64 {
        self.ahead_seconds
    }

    /// Removes what libfaketime leaves in `/dev/shm` of a process that was started with this clock and then killed.
    pub fn clean_up_after(&self, pid: u32) {
        for name in [format!("faketime_shm_{pid}"), format!("sem.faketime_sem_{pid}")] {
            let _ = fs::remove_file(Path::new("/dev/shm").join(name));
        }
    }

    fn file(&self) -> PathBuf {
        self.directory.path().join("time")
    }

    fn set(&self) -> Result<(), FaultError> {
        // Put in place as a whole: a process may read it at any time.
        let next = self.directory.path().join("next");
        let written = fs::write(&next, format!("{:+}s\n", self.ahead_seconds));
        written.and_then(|()| fs::rename(&next, self.file())).map_err(FaultError::system("setting a clock"))
    }
}
