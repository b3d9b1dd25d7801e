//! What an operator sets.

use std::path::PathBuf;

/// The sandbox of a node's workers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Where programs may connect.
    pub network: Network,
    /// Processes and threads of one worker.
    pub processes: u32,
    /// Files and connections that one process may have open.
    pub open_files: u32,
    /// The longest file.
    pub file_bytes: u64,
    /// What a worker may keep in its own directory.
    pub disk_bytes: u64,
    /// Files and directories that programs may read and execute, besides what every program needs.
    pub readable: Vec<PathBuf>,
    /// Those that they may also write.
    pub writable: Vec<PathBuf>,
}

/// Where programs may connect.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Network {
    /// Everywhere but to the node's own ports and to metadata services.
    All,
    /// Nowhere.
    None,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            network: Network::All,
            processes: 512,
            open_files: 1024,
            file_bytes: 1 << 30,
            disk_bytes: 2 << 30,
            readable: Vec::new(),
            writable: Vec::new(),
        }
    }
}
