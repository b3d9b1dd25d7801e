//! A byte that a disk gives back otherwise than it was written, in the middle of a value that a node had stored.

use std::fs::{self, OpenOptions};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::cluster::{Cluster, ClusterError};

/// How long a node may take to find it at its start.
const START: Duration = Duration::from_secs(30);

/// In the data of every session that traffic writes: the keys of a run begin with it.
const MARK: &[u8] = b"chaos-";

/// A byte that is wrong.
#[derive(Debug)]
pub(super) struct Flip {
    node: usize,
    file: PathBuf,
    offset: u64,
    log_length: usize,
}

impl Flip {
    /// Flips a byte in what a stopped node stored, and starts it.
    pub(super) fn begin(cluster: &mut Cluster, node: usize) -> Result<Self, ClusterError> {
        let data = cluster.node(node).data();
        let (file, offset) = stored_value(&data)?;
        let flip = Self { node, file, offset, log_length: cluster.node(node).log_length() };
        flip.turn()?;
        if let Err(error) = cluster.start_node(node) {
            flip.turn()?;
            return Err(error);
        }
        Ok(flip)
    }

    /// Waits for the node's refusal, puts the byte right, starts it; what was wrong with the refusal.
    pub(super) fn end(self, cluster: &mut Cluster) -> Result<Vec<String>, ClusterError> {
        let (node, name) = (self.node, cluster.node(self.node).name.clone());
        let ended = cluster.node(node).ends_within(START);
        let said = cluster.node(node).log_since(self.log_length);
        let place = format!("byte {} of {}", self.offset, self.file.display());
        let file = self.file.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        let wrong = match ended {
            None => vec![format!("{name} runs though {place} is wrong")],
            Some(status) if status.success() => vec![format!("{name} ended with success though {place} is wrong")],
            Some(_) if !is_named(&said, &file) => {
                vec![format!("{name} does not say that {place} is wrong:\n{said}")]
            }
            Some(_) => Vec::new(),
        };
        if ended.is_none() {
            cluster.node(node).kill()?;
        }
        self.turn()?;
        cluster.start_node(node)?;
        Ok(wrong)
    }

    /// Once more puts it right.
    fn turn(&self) -> Result<(), ClusterError> {
        let mut byte = [0];
        let open = OpenOptions::new().read(true).write(true).open(&self.file);
        let turned = open.and_then(|file| {
            file.read_exact_at(&mut byte, self.offset)?;
            file.write_all_at(&[byte[0] ^ 0xff], self.offset)?;
            file.sync_all()
        });
        turned.map_err(ClusterError::at(&self.file))
    }
}

/// Whether an error says that the directory is damaged, and where.
fn is_named(said: &str, file: &str) -> bool {
    let said = said.to_lowercase();
    said.contains("damaged") || said.contains("corrupt") || (said.contains("checksum") && said.contains(file))
}

/// A place in the middle of what traffic stored, in the file of the log that has most of it: before others, so that it is not taken for a write
/// that a crash cut off.
fn stored_value(data: &Path) -> Result<(PathBuf, u64), ClusterError> {
    let mut best: Option<(usize, PathBuf, u64)> = None;
    for file in files(&data.join("data/log")).map_err(ClusterError::at(data))? {
        let Ok(bytes) = fs::read(&file) else { continue };
        let places: Vec<usize> =
            bytes.windows(MARK.len()).enumerate().filter(|(_, window)| *window == MARK).map(|(at, _)| at).collect();
        let Some(&middle) = places.get(places.len() / 2) else { continue };
        if best.as_ref().is_none_or(|(most, ..)| places.len() > *most) {
            best = Some((places.len(), file, middle as u64 + 1));
        }
    }
    let none = || ClusterError::Impossible(format!("no value of a session is found in {}/data/log", data.display()));
    best.map(|(_, file, offset)| (file, offset)).ok_or_else(none)
}

fn files(directory: &Path) -> std::io::Result<Vec<PathBuf>> {
    let entries = fs::read_dir(directory)?.collect::<Result<Vec<_>, _>>()?;
    // RocksDB's LOG is for people.
    let stored = |path: &PathBuf| path.extension().is_some_and(|kind| kind == "log" || kind == "sst");
    Ok(entries.into_iter().map(|entry| entry.path()).filter(stored).collect())
}
