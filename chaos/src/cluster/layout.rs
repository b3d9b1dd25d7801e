//! What a cluster under test is made of: as much as its scenarios need, and no more than this machine can have.

use std::path::{Path, PathBuf};

use crate::fault::{Disk, clock, network, power_cut};

/// A file system for a data directory. The program unpacks its Python package into it, too.
const DISK_MEGABYTES: u32 = 256;

/// The program under test, and the interpreter that its nodes are given.
#[derive(Clone, Debug)]
pub struct Program {
    /// `dspex`.
    pub path: PathBuf,
    /// Nodes want one named; no scenario starts it.
    pub interpreter: PathBuf,
}

/// How a cluster is made.
#[derive(Clone, Debug)]
pub struct Layout {
    /// What runs.
    pub program: Program,
    /// How many voters.
    pub nodes: usize,
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
    /// A program, with the interpreter beside it or that of the system.
    pub fn beside(path: &Path) -> Self {
        let beside = path.with_file_name("python");
        let interpreter = if beside.exists() { beside } else { PathBuf::from("/usr/bin/python3") };
        Self { path: path.to_owned(), interpreter }
    }
}

impl Layout {
    /// Processes on loopback.
    pub fn plain(program: Program, nodes: usize) -> Self {
        Self { program, nodes, networks: false, disk_megabytes: None, clocks: false, syncs: true }
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
