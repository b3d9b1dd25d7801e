//! The `FORMAT` file: which format a directory has, whose it is. It is written last when a directory is made,
//! so a directory without it holds nothing that was ever acknowledged.

use std::fmt;
use std::io;
use std::path::Path;
use std::str::FromStr;

use dspex_model::NodeId;

use crate::durable_file;
use crate::error::OpenError;

/// The format that this version writes, and the newest that it reads.
pub const FORMAT_VERSION: u64 = 1;

const FILE_NAME: &str = "FORMAT";
const FIRST_LINE: &str = "dspex data directory";

/// Whether a directory belongs to the one node of a home directory or to a cluster's node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DirectoryKind {
    /// The background node of one user.
    Embedded,
    /// A node started by `dspex node`.
    Cluster,
}

impl fmt::Display for DirectoryKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Embedded => "an embedded",
            Self::Cluster => "a cluster's",
        })
    }
}

impl DirectoryKind {
    fn stored(self) -> &'static str {
        match self {
            Self::Embedded => "embedded",
            Self::Cluster => "cluster",
        }
    }
}

impl FromStr for DirectoryKind {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "embedded" => Ok(Self::Embedded),
            "cluster" => Ok(Self::Cluster),
            _ => Err(format!("unknown kind {text:?}")),
        }
    }
}

/// Whose a directory is. Fixed when it is made, except that a cluster's id arrives with the cluster.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// Embedded or a cluster's.
    pub kind: DirectoryKind,
    /// The node that the directory belongs to.
    pub node_id: NodeId,
    /// The cluster that the node belongs to, once there is one.
    pub cluster_id: Option<String>,
}

impl Identity {
    /// Reads the identity, or `None` where there is no `FORMAT` file.
    pub(crate) fn read(directory: &Path) -> Result<Option<Self>, OpenError> {
        let path = directory.join(FILE_NAME);
        let text = match std::fs::read_to_string(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(OpenError::from_io(&path, error)),
        };
        let damaged = |detail: String| OpenError::Corrupt { what: path.clone(), detail };
        let mut lines = text.lines();
        if lines.next() != Some(FIRST_LINE) {
            return Err(damaged("not a FORMAT file".to_owned()));
        }
        // The version decides how the rest is read, so it is judged before anything else is looked at.
        let version: u64 = field(lines.next(), "format").map_err(damaged)?;
        if version > FORMAT_VERSION {
            return Err(OpenError::NewerFormat {
                path: directory.to_path_buf(),
                found: version,
                supported: FORMAT_VERSION,
            });
        }
        if version != FORMAT_VERSION {
            return Err(damaged(format!("unknown format {version}")));
        }
        let kind = field(lines.next(), "kind").map_err(damaged)?;
        let node_id = NodeId(field(lines.next(), "node").map_err(damaged)?);
        let cluster_id = match lines.next() {
            None => None,
            line => Some(field::<String>(line, "cluster").map_err(damaged)?),
        };
        if let Some(extra) = lines.next() {
            return Err(damaged(format!("unexpected line {extra:?}")));
        }
        Ok(Some(Self { kind, node_id, cluster_id }))
    }

    /// Writes the identity durably.
    pub(crate) fn write(&self, directory: &Path) -> io::Result<()> {
        let mut text = format!(
            "{FIRST_LINE}\nformat = {FORMAT_VERSION}\nkind = {}\nnode = {}\n",
            self.kind.stored(),
            self.node_id.0
        );
        if let Some(cluster_id) = &self.cluster_id {
            text.push_str(&format!("cluster = {cluster_id}\n"));
        }
        durable_file::replace(&directory.join(FILE_NAME), text.as_bytes())
    }
}

fn field<T: FromStr>(line: Option<&str>, name: &str) -> Result<T, String> {
    line.and_then(|line| line.split_once(" = "))
        .filter(|(key, _)| *key == name)
        .and_then(|(_, value)| value.parse().ok())
        .ok_or_else(|| format!("the line {name:?} is missing or unreadable"))
}
