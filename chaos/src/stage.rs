//! Where faults are played: our own cluster, or an operator's by commands of the operator's.
//!
//! | File | Does |
//! |---|---|
//! | `own` | makes every fault at a cluster of ours, and puts it back |
//! | `disk_faults` | what a node must do when its disk fails, and how it comes back |
//! | `flipped_byte` | flips a byte of a value that a node stored |
//! | `hooks` | runs an operator's commands |

mod disk_faults;
mod flipped_byte;
mod hooks;
mod own;

use std::collections::BTreeMap;

pub use hooks::{Hooks, OperatorsCluster};
pub use own::OwnCluster;

use crate::cluster::ClusterError;
use crate::schedule::Fault;
use crate::target::Target;

/// A cluster at which faults can be made, one at a time.
pub trait Stage {
    /// How its nodes are asked.
    fn target(&self) -> &Target;

    /// Makes a fault. An error says that it did not land.
    ///
    /// # Errors
    /// When it cannot be made.
    fn begin(&mut self, fault: &Fault) -> Result<(), ClusterError>;

    /// Ends the fault that was begun last, and brings back what it took down; what is wrong with how the nodes bore it.
    ///
    /// # Errors
    /// When it cannot be put back.
    fn end(&mut self, fault: &Fault) -> Result<Vec<String>, ClusterError>;

    /// What its nodes can be called for in sessions, where something is.
    fn command(&self) -> Option<String>;

    /// Our own cluster, where it is one: for promises that only its owner can check.
    fn own(&mut self) -> Option<&mut crate::cluster::Cluster>;
}

/// Faults that landed, by their kinds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Landed(pub BTreeMap<&'static str, u32>);

impl Landed {
    /// How many, of all kinds.
    pub fn total(&self) -> u32 {
        self.0.values().sum()
    }

    pub(crate) fn count(&mut self, fault: &Fault) {
        *self.0.entry(fault.kind()).or_default() += 1;
    }
}

impl std::fmt::Display for Landed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let kinds: Vec<String> = self.0.iter().map(|(kind, count)| format!("{count} {kind}")).collect();
        f.write_str(if kinds.is_empty() { "none".to_owned() } else { kinds.join(", ") }.as_str())
    }
}
