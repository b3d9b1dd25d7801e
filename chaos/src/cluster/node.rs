//! One node of a cluster under test: a real process with a file, a directory and a log of its own.

use std::fs::{self, File, OpenOptions};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use super::ClusterError;
use crate::fault::clock::Clock;
use crate::fault::{Disk, kill};

/// How often an end is looked for.
const TICK: Duration = Duration::from_millis(10);

/// A node, whether or not it runs.
#[derive(Debug)]
pub struct Node {
    /// `node-1` and so on: its name, and that of its host.
    pub name: String,
    pub(super) directory: PathBuf,
    pub(super) disk: Option<Disk>,
    pub(super) clock: Option<Clock>,
    process: Option<Child>,
}

impl Node {
    pub(super) fn new(name: String, directory: PathBuf, disk: Option<Disk>, clock: Option<Clock>) -> Self {
        Self { name, directory, disk, clock, process: None }
    }

    /// Its data directory.
    pub fn data(&self) -> PathBuf {
        self.disk.as_ref().map_or_else(|| self.directory.clone(), Disk::path).join("data")
    }

    /// Its file.
    pub fn config(&self) -> PathBuf {
        self.directory.join("dspex.toml")
    }

    /// The file with all that it said, in all its lives.
    pub fn log_path(&self) -> PathBuf {
        self.directory.join("log")
    }

    /// All that it said, in all its lives.
    pub fn log(&self) -> String {
        fs::read(self.log_path()).map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).unwrap_or_default()
    }

    /// How long its log is, to ask later what was said since.
    pub fn log_length(&self) -> usize {
        fs::metadata(self.log_path()).map_or(0, |metadata| usize::try_from(metadata.len()).unwrap_or(usize::MAX))
    }

    /// What it said since its log had this length.
    pub fn log_since(&self, length: usize) -> String {
        let bytes = fs::read(self.log_path()).unwrap_or_default();
        String::from_utf8_lossy(bytes.get(length..).unwrap_or_default()).into_owned()
    }

    /// Its process, where it runs.
    pub fn pid(&mut self) -> Option<u32> {
        let child = self.process.as_mut()?;
        match child.try_wait() {
            Ok(None) => Some(child.id()),
            _ => None,
        }
    }

    /// Its disk, where it has one of its own.
    pub fn disk(&self) -> Result<&Disk, ClusterError> {
        self.disk.as_ref().ok_or_else(|| ClusterError::Impossible(format!("{} has no disk of its own", self.name)))
    }

    /// The same, to be mounted again.
    pub fn disk_mut(&mut self) -> Result<&mut Disk, ClusterError> {
        let name = &self.name;
        self.disk.as_mut().ok_or_else(|| ClusterError::Impossible(format!("{name} has no disk of its own")))
    }

    /// Its clock, where it has one of its own.
    pub fn clock_mut(&mut self) -> Result<&mut Clock, ClusterError> {
        let name = &self.name;
        self.clock.as_mut().ok_or_else(|| ClusterError::Impossible(format!("{name} has no clock of its own")))
    }

    /// Starts it by this command, without waiting for anything.
    pub(super) fn start(&mut self, mut command: Command) -> Result<(), ClusterError> {
        self.reap();
        let log = OpenOptions::new().create(true).append(true).open(self.log_path());
        let log = log.map_err(ClusterError::at(&self.log_path()))?;
        let both = log.try_clone().map_err(ClusterError::at(&self.log_path()))?;
        if let Some(clock) = &self.clock {
            command.envs(clock.environment());
        }
        command.stdin(Stdio::null()).stdout(both).stderr(log);
        let child = command.spawn().map_err(ClusterError::system(format!("starting {}", self.name)))?;
        self.process = Some(child);
        Ok(())
    }

    /// kill -9. One that has ended by itself is an error: the fault did not land.
    pub fn kill(&mut self) -> Result<(), ClusterError> {
        let Some(pid) = self.pid() else {
            return Err(ClusterError::Impossible(format!("{} does not run", self.name)));
        };
        kill::kill(pid)?;
        self.reap();
        Ok(())
    }

    /// Waits until it has ended by itself; how, or none where it still runs.
    pub fn ends_within(&mut self, limit: Duration) -> Option<ExitStatus> {
        let begun = Instant::now();
        loop {
            let child = self.process.as_mut()?;
            if let Ok(Some(status)) = child.try_wait() {
                return Some(status);
            }
            if begun.elapsed() > limit {
                return None;
            }
            std::thread::sleep(TICK);
        }
    }

    /// Ends it where it still runs, and forgets it.
    pub(super) fn reap(&mut self) {
        if let Some(mut child) = self.process.take() {
            let pid = child.id();
            // It may have ended by itself.
            let _ = child.kill();
            let _ = child.wait();
            if let Some(clock) = &self.clock {
                clock.clean_up_after(pid);
            }
        }
    }

    /// Copies its data beside its log, where it has a disk of its own, which goes away with it.
    pub(super) fn keep_data(&self) -> Result<(), ClusterError> {
        if self.disk.is_some() { copy(&self.data(), &self.directory.join("data")) } else { Ok(()) }
    }

    /// Writes out what the kernel holds back of its disk, as its age would make it do some time.
    pub fn write_back(&self) -> Result<(), ClusterError> {
        let path = self.data();
        let written = File::open(&path).and_then(|directory| Ok(rustix::fs::syncfs(&directory)?));
        written.map_err(ClusterError::at(&path))
    }
}

fn copy(from: &Path, to: &Path) -> Result<(), ClusterError> {
    make_directory(to)?;
    for entry in fs::read_dir(from).map_err(ClusterError::at(from))?.flatten() {
        let (path, target) = (entry.path(), to.join(entry.file_name()));
        if path.is_dir() {
            copy(&path, &target)?;
        } else if path.is_file() {
            fs::copy(&path, target).map_err(ClusterError::at(&path))?;
        }
    }
    Ok(())
}

impl Drop for Node {
    fn drop(&mut self) {
        // Before its disk goes.
        self.reap();
    }
}

pub(super) fn make_directory(path: &Path) -> Result<(), ClusterError> {
    fs::create_dir_all(path).map_err(ClusterError::at(path))
}
