//! A disk that fails under a node: the node stops serving, says why, and comes back when the disk does.

use std::time::Duration;

use crate::cluster::{Cluster, ClusterError};
use crate::fault::full_disk::FullDisk;

/// How long a node may take to notice, while the cluster is written to.
const NOTICE: Duration = Duration::from_secs(30);
/// On a full disk it may never notice: databases take room in advance.
const NOTICE_FULL: Duration = Duration::from_secs(2);

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
    /// What a person finds in the log, one of them. A disk that the kernel forbids to be written fails a sync that was under way.
    fn words(self) -> &'static [&'static str] {
        match self {
            Self::Full => &["No space left on device", "no space left", "STORAGE_FULL"],
            Self::ReadOnly => &["Read-only file system", "Input/output error"],
            Self::Failing => &["Input/output error"],
        }
    }

    fn notice(self) -> Duration {
        if self == Self::Full { NOTICE_FULL } else { NOTICE }
    }
}

impl Suffering {
    /// Waits for the node's end, gives it its disk back, starts it; what was wrong with its end.
    pub(super) fn end(self, cluster: &mut Cluster) -> Result<Vec<String>, ClusterError> {
        let wrong = self.refusal(cluster)?;
        if cluster.node(self.node).pid().is_some() {
            cluster.node(self.node).kill()?;
        }
        match self.full {
            Some(full) => full.end(),
            None => cluster.node(self.node).disk_mut()?.mount_again()?,
        }
        cluster.start_node(self.node)?;
        Ok(wrong)
    }

    /// What is wrong with how the node ended.
    fn refusal(&self, cluster: &mut Cluster) -> Result<Vec<String>, ClusterError> {
        let Self { node, kind, log_length, .. } = *self;
        let mut ended = cluster.node(node).ends_within(kind.notice());
        if ended.is_none() && kind == Kind::Full {
            // It writes into room that it had taken before. A new life has to take some.
            cluster.node(node).kill()?;
            cluster.start_node(node)?;
            ended = cluster.node(node).ends_within(NOTICE);
        }
        let (name, words) = (cluster.node(node).name.clone(), kind.words());
        let said = cluster.node(node).log_since(log_length);
        Ok(match ended {
            None => vec![format!("{name} runs on after {} s with a disk that says {words:?}", NOTICE.as_secs())],
            Some(status) if status.success() => vec![format!("{name} ended with success though its disk failed")],
            Some(_) if !words.iter().any(|word| said.contains(word)) => {
                vec![format!("{name} ended without naming the cause ({words:?}):\n{said}")]
            }
            Some(_) => Vec::new(),
        })
    }
}
