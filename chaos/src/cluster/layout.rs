//! What a cluster under test is made of: as much as its scenarios need, and no more than this machine can have.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::fault::{Disk, clock, network, power_cut};

/// A file system for a data directory. The program unpacks its Python package into it, too.
const DISK_MEGABYTES: u32 = 256;

/// The program under test, and the interpreter that its nodes are given.
#[derive(Clone, Debug)]
pub struct Program {
    /// `dspex`.
    pub path: PathBuf,
    /// The nodes'. Where code is called, it is started and has to have DSPy.
    pub interpreter: PathBuf,
}

/// How a cluster is made.
#[derive(Clone, Debug)]
pub struct Layout {
    /// What runs.
    pub program: Program,
    /// How many voters.
    pub nodes: usize,
    /// How many nodes without a vote beside them.
    pub workers: usize,
    /// Each node on a host of its own, with certificates.
    pub networks: bool,
    /// Each data directory on a disk of its own, of so many MiB.
    pub disk_megabytes: Option<u32>,
    /// Each node by a clock of its own.
    pub clocks: bool,
    /// False: the kernel acknowledges the nodes' syncs without doing them. A control, which must lose writes.
    pub syncs: bool,
}

/// What a scenario needs of a cluster beyond processes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Need {
    /// Hosts of their own.
    Networks,
    /// Disks of their own.
    Disks,
    /// Clocks of their own.
    Clocks,
}

impl Need {
    /// Why it cannot be had here.
    pub fn probe(self) -> Result<(), String> {
        match self {
            Self::Networks => network::probe(),
            Self::Disks => Disk::probe().and_then(|()| power_cut::probe()),
            Self::Clocks => clock::probe(),
        }
    }
}

impl Program {
    /// A program with this interpreter, else with the one beside it or that of the system.
    pub fn with(path: &Path, interpreter: Option<&Path>) -> Self {
        match interpreter {
            Some(interpreter) => Self { path: path.to_owned(), interpreter: interpreter.to_owned() },
            None => Self::beside(path),
        }
    }

    /// Why its nodes cannot be called for Python code.
    ///
    /// # Errors
    /// When the interpreter cannot be started, or has no DSPy.
    pub fn probe_calls(&self) -> Result<(), String> {
        let shown = self.interpreter.display();
        // Not imported: that takes seconds.
        let look = "import importlib.util as u, sys; sys.exit(u.find_spec('dspy') is None)";
        match Command::new(&self.interpreter).args(["-c", look]).output() {
            Ok(output) if output.status.success() => Ok(()),
            Ok(_) => Err(format!("{shown} has no DSPy")),
            Err(error) => Err(format!("{shown} cannot be started: {error}")),
        }
    }

    fn beside(path: &Path) -> Self {
        let beside = path.with_file_name("python");
        let interpreter = if beside.exists() { beside } else { PathBuf::from("/usr/bin/python3") };
        Self { path: path.to_owned(), interpreter }
    }
}

impl Layout {
    /// Processes on loopback.
    pub fn plain(program: Program, nodes: usize) -> Self {
        Self { program, nodes, workers: 0, networks: false, disk_megabytes: None, clocks: false, syncs: true }
    }

    /// With so many nodes without a vote.
    #[must_use]
    pub fn with_workers(self, workers: usize) -> Self {
        Self { workers, ..self }
    }

    /// All nodes.
    pub fn all(&self) -> usize {
        self.nodes + self.workers
    }

    /// With what is needed, too.
    #[must_use]
    pub fn with(mut self, needs: &[Need]) -> Self {
        for need in needs {
            match need {
                Need::Networks => self.networks = true,
                Need::Disks => self.disk_megabytes = Some(DISK_MEGABYTES),
                Need::Clocks => self.clocks = true,
            }
        }
        self
    }

    /// Whether a cluster of this layout has what is needed.
    pub fn has(&self, need: Need) -> bool {
        match need {
            Need::Networks => self.networks,
            Need::Disks => self.disk_megabytes.is_some(),
            Need::Clocks => self.clocks,
        }
    }
}
