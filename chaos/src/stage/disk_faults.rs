//! A disk that fails under a node: the node stops serving, says why, and comes back when the disk does.

use std::time::Duration;

use crate::cluster::{Cluster, ClusterError};
use crate::fault::full_disk::FullDisk;

/// How long a node may take to notice, while the cluster is written to.
const NOTICE: Duration = Duration::from_secs(15);

/// What a disk has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Full,
    ReadOnly,
    Failing,
}

/// A node whose disk fails.
#[derive(Debug)]
pub(super) struct Suffering {
    pub(super) node: usize,
    pub(super) kind: Kind,
    /// Takes the room.
    pub(super) full: Option<FullDisk>,
    /// Of the node's log, when it began.
    pub(super) log_length: usize,
}

impl Kind {
    /// What a person finds in the log: the system's words.
    fn words(self) -> &'static str {
        match self {
            Self::Full => "No space left on device",
            Self::ReadOnly => "Read-only file system",
            Self::Failing => "Input/output error",
        }
    }
}

impl Suffering {
    /// Waits for the node's end, gives it its disk back, starts it; what was wrong with its end.
    pub(super) fn end(self, cluster: &mut Cluster) -> Result<Vec<String>, ClusterError> {
        let Self { node, kind, full, log_length } = self;
        let ended = cluster.node(node).ends_within(NOTICE);
        let said = cluster.node(node).log_since(log_length);
        let name = cluster.node(node).name.clone();
        let wrong = match ended {
            None => {
                vec![format!("{name} runs on after {} s with a disk that says {:?}", NOTICE.as_secs(), kind.words())]
            }
            Some(status) if status.success() => vec![format!("{name} ended with success though its disk failed")],
            Some(_) if !said.contains(kind.words()) => {
                vec![format!("{name} ended without naming the cause ({:?}):\n{said}", kind.words())]
            }
            Some(_) => Vec::new(),
        };
        if ended.is_none() {
            cluster.node(node).kill()?;
        }
        match full {
            Some(full) => full.end(),
            None => cluster.node(node).disk_mut()?.mount_again()?,
        }
        cluster.start_node(node)?;
        Ok(wrong)
    }
}
