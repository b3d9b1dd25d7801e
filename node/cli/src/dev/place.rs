//! The directory of the cluster: a temporary one, or one that is kept with its ports, so that the members find each other again.

use std::fs::{self, DirBuilder, OpenOptions};
use std::io::{self, Write};
use std::net::{Ipv4Addr, TcpListener};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tempfile::TempDir;
use tokio::time::Instant;

use super::plan::{self, NODES_DEFAULT, Planned, Role, Shared};
use super::report::Report;
use crate::error::CommandError;
use crate::exit;

/// The file that makes a directory one of `dspex dev`.
const RECORD: &str = "dev.json";
/// Below the range that the kernel gives to those who ask for any port, so that none of them takes one between two starts.
const PORTS_FIRST: u16 = 10_000;
const PORTS_COUNT: u16 = 20_000;
/// For the last files of processes that were killed.
const REMOVE_LIMIT: Duration = Duration::from_secs(10);
const REMOVE_PAUSE: Duration = Duration::from_millis(100);

/// What is kept of a cluster besides its data.
#[derive(Debug, Serialize, Deserialize)]
struct Record {
    nodes: Vec<Planned>,
}

/// The file with the token that every node knows.
pub fn token(directory: &Path) -> PathBuf {
    directory.join("token")
}

/// How many nodes were asked for. Where nobody has said it: as many as the directory has, else the default.
#[derive(Debug, Clone, Copy, Default)]
pub struct Wanted {
    /// With a vote.
    pub voters: Option<u32>,
    /// Without.
    pub workers: Option<u32>,
}

/// The directory, and the nodes in it.
#[derive(Debug)]
pub struct Place {
    path: PathBuf,
    nodes: Vec<Planned>,
    is_new: bool,
    /// Removed at the end.
    temporary: Option<TempDir>,
}

impl Place {
    /// Finds or makes the directory, and ports for its nodes.
    pub fn prepare(kept: Option<&Path>, wanted: Wanted) -> Result<Self, CommandError> {
        let failed = |error: io::Error| CommandError::new(exit::FAILED, format!("no temporary directory: {error}"));
        let (path, temporary) = match kept {
            Some(path) => (std::path::absolute(path)?, None),
            None => {
                let directory = tempfile::Builder::new().prefix("dspex-dev-").tempdir().map_err(failed)?;
                (directory.path().to_owned(), Some(directory))
            }
        };
        let record = recorded(&path)?;
        let is_new = record.is_none();
        let nodes = match record {
            Some(Record { nodes }) => found(&path, nodes, wanted)?,
            None => planned(wanted)?,
        };
        Ok(Self { path, nodes, is_new, temporary })
    }

    /// Writes the files of the nodes.
    pub fn write(&self, interpreter: &Path, directory: &Path, variables: &[String]) -> Result<(), CommandError> {
        let failed =
            |path: &Path, error: io::Error| CommandError::new(exit::FAILED, format!("{}: {error}", path.display()));
        let shared = Shared { nodes: &self.nodes, interpreter, directory, variables };
        for node in &self.nodes {
            let own = node.directory(&self.path);
            make_private(&own).map_err(|error| failed(&own, error))?;
            let file = node.config(&self.path);
            fs::write(&file, plan::file(node, shared)?).map_err(|error| failed(&file, error))?;
        }
        let file = self.path.join(RECORD);
        let record = serde_json::to_vec(&Record { nodes: self.nodes.clone() });
        let written = record.map_err(io::Error::other).and_then(|record| fs::write(&file, record));
        written.map_err(|error| failed(&file, error))
    }

    /// Keeps the token that every node knows.
    pub fn keep_token(&self, secret: &str) -> Result<(), CommandError> {
        let file = token(&self.path);
        let opened = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&file);
        let written = opened.and_then(|mut opened| opened.write_all(secret.as_bytes()));
        written.map_err(|error| CommandError::new(exit::FAILED, format!("{}: {error}", file.display())))
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Where the nodes leave tokens for their user: with everything else of theirs.
    pub fn home(&self) -> PathBuf {
        self.path.join("home")
    }

    /// Its nodes, voters first.
    pub fn nodes(&self) -> &[Planned] {
        &self.nodes
    }

    /// Those with a vote.
    pub fn voters(&self) -> impl Iterator<Item = &Planned> {
        self.nodes.iter().filter(|node| node.role == Role::Voter)
    }

    /// How many have none.
    pub fn workers(&self) -> usize {
        self.nodes.len() - self.voters().count()
    }

    /// Whether the cluster forms for the first time.
    pub fn is_new(&self) -> bool {
        self.is_new
    }

    /// What to print of it.
    pub fn report(&self, pids: Vec<u32>, leader: String) -> Report<'_> {
        Report { directory: &self.path, is_kept: self.temporary.is_none(), nodes: &self.nodes, pids, leader }
    }

    /// Removes a temporary directory.
    pub async fn leave(self) -> Result<(), CommandError> {
        let Some(temporary) = self.temporary else { return Ok(()) };
        removed(temporary.path()).await
    }
}

/// Removes the directory of a cluster whose nodes have ended. What they have unpacked is read-only, also for its owner.
pub(crate) async fn removed(path: &Path) -> Result<(), CommandError> {
    let failed = |error: &dyn std::fmt::Display| {
        CommandError::new(exit::FAILED, format!("{} cannot be removed: {error}", path.display()))
    };
    let (Some(parent), Some(name)) = (path.parent(), path.file_name().and_then(|name| name.to_str())) else {
        return Err(failed(&"it is no directory of ours"));
    };
    let end = Instant::now() + REMOVE_LIMIT;
    loop {
        // The directory for temporary files may be a link.
        match parent.canonicalize().and_then(|parent| dspex_bundle::remove(&parent, name)) {
            Ok(()) => return Ok(()),
            // A process that was killed writes for a moment longer.
            Err(_) if Instant::now() < end => tokio::time::sleep(REMOVE_PAUSE).await,
            Err(error) => return Err(failed(&error)),
        }
    }
}

/// What a directory that is kept says of its nodes; nothing: it is new.
fn recorded(path: &Path) -> Result<Option<Record>, CommandError> {
    let file = path.join(RECORD);
    match fs::read(&file) {
        Ok(text) => {
            let read = serde_json::from_slice::<Record>(&text).map_err(|error| error.to_string());
            let read =
                read.and_then(|record| if record.nodes.is_empty() { Err("no nodes".into()) } else { Ok(record) });
            read.map(Some).map_err(|why| {
                CommandError::usage(format!("{}: {why}", file.display())).hint("name another directory with --data")
            })
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let is_empty = match fs::read_dir(path) {
                Ok(mut entries) => entries.next().is_none(),
                Err(error) => error.kind() == io::ErrorKind::NotFound,
            };
            if is_empty {
                return Ok(None);
            }
            Err(CommandError::usage(format!("{} is not empty, and not a directory of dspex dev", path.display()))
                .hint("name one that is empty or not there with --data"))
        }
        Err(error) => Err(CommandError::usage(format!("{}: {error}", file.display()))),
    }
}

/// The nodes of a new cluster.
fn planned(wanted: Wanted) -> Result<Vec<Planned>, CommandError> {
    let (voters, workers) = (wanted.voters.unwrap_or(NODES_DEFAULT), wanted.workers.unwrap_or_default());
    let ports = free_ports(3 * (voters + workers) as usize)?;
    let (of_voters, of_workers) = ports.split_at(3 * voters as usize);
    Ok([plan::plan(of_voters), plan::workers(0, of_workers)].concat())
}

/// The nodes that are kept, if there are as many voters as wanted and their ports are free. Nobody admits those without a vote, so
/// there may be more or fewer than before.
fn found(path: &Path, nodes: Vec<Planned>, wanted: Wanted) -> Result<Vec<Planned>, CommandError> {
    let (mut nodes, mut workers): (Vec<Planned>, Vec<Planned>) =
        nodes.into_iter().partition(|node| node.role == Role::Voter);
    if wanted.voters.is_some_and(|wanted| wanted as usize != nodes.len()) {
        let why = format!("{} keeps a cluster of {} nodes", path.display(), nodes.len());
        return Err(CommandError::usage(why).hint("leave --nodes out, or name another directory with --data"));
    }
    let there = workers.len();
    let wanted = wanted.workers.map_or(there, |wanted| wanted as usize);
    workers.truncate(wanted);
    nodes.append(&mut workers);
    for node in &nodes {
        if let Some(taken) =
            node.ports().into_iter().find(|port| TcpListener::bind((Ipv4Addr::LOCALHOST, *port)).is_err())
        {
            let why = format!("the port {taken} of {} is taken", node.name);
            return Err(CommandError::new(exit::UNREACHABLE, why)
                .hint("does another `dspex dev` run in this directory? Its members know each other by their ports"));
        }
    }
    if wanted > there {
        // Ports of nodes that are kept are free as well, until these start.
        let kept: Vec<u16> = nodes.iter().flat_map(Planned::ports).collect();
        let more = 3 * (wanted - there);
        let mut free = free_ports(more + kept.len())?;
        free.retain(|port| !kept.contains(port));
        free.truncate(more);
        nodes.extend(plan::workers(there, &free));
    }
    Ok(nodes)
}

/// So many ports on loopback that nobody listens on.
pub(crate) fn free_ports(count: usize) -> Result<Vec<u16>, CommandError> {
    // Each process begins at another one.
    let start = std::process::id().wrapping_mul(97) % u32::from(PORTS_COUNT);
    let mut free = Vec::new();
    for offset in 0..u32::from(PORTS_COUNT) {
        let offset = u16::try_from((start + offset) % u32::from(PORTS_COUNT)).unwrap_or_default();
        let port = PORTS_FIRST + offset;
        if TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok() {
            free.push(port);
        }
        if free.len() == count {
            return Ok(free);
        }
    }
    Err(CommandError::new(exit::FAILED, "no ports are free on 127.0.0.1"))
}

fn make_private(path: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(path)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn wanted(voters: Option<u32>, workers: Option<u32>) -> Wanted {
        Wanted { voters, workers }
    }

    fn names(place: &Place) -> Vec<&str> {
        place.nodes().iter().map(|node| node.name.as_str()).collect()
    }

    #[test]
    fn a_temporary_cluster_has_free_ports_that_differ() {
        let place = Place::prepare(None, wanted(Some(1), Some(1))).expect("a place");
        assert_eq!((names(&place), place.workers()), (vec!["node-1", "worker-node-1"], 1));
        let mut ports: Vec<u16> = place.nodes().iter().flat_map(Planned::ports).collect();
        ports.sort_unstable();
        ports.dedup();
        assert_eq!((ports.len(), place.is_new()), (6, true));
        let path = place.path().to_owned();
        drop(place);
        assert!(!path.exists());
    }

    #[tokio::test]
    async fn what_a_node_has_sealed_is_removed_with_the_rest() {
        let place = Place::prepare(None, wanted(Some(1), None)).expect("a place");
        let path = place.path().to_owned();
        let sealed = path.join("node-1/data/bundles/1");
        fs::create_dir_all(&sealed).expect("made");
        fs::write(sealed.join("qa.py"), "").expect("written");
        fs::set_permissions(&sealed, fs::Permissions::from_mode(0o555)).expect("sealed");
        place.leave().await.expect("removed");
        assert!(!path.exists());
        removed(&path).await.expect("what is gone is as good");
    }

    #[test]
    fn a_kept_cluster_keeps_its_nodes() {
        let root = tempfile::tempdir().expect("a directory");
        let path = root.path().join("cluster");
        let first = Place::prepare(Some(&path), wanted(Some(1), None)).expect("a place");
        first.write(Path::new("/python"), Path::new("/"), &[]).expect("written");
        let again = Place::prepare(Some(&path), Wanted::default()).expect("found");
        assert_eq!((again.nodes(), again.is_new()), (first.nodes(), false));
        let other = Place::prepare(Some(&path), wanted(Some(3), None)).expect_err("another number");
        assert!(other.message.contains("a cluster of 1 nodes"), "{other}");
        let _busy = TcpListener::bind((Ipv4Addr::LOCALHOST, first.nodes()[0].http)).expect("free");
        let busy = Place::prepare(Some(&path), Wanted::default()).expect_err("taken");
        assert!(busy.message.contains("is taken"), "{busy}");
    }

    #[test]
    fn a_kept_cluster_has_as_many_nodes_without_a_vote_as_are_wanted_this_time() {
        let root = tempfile::tempdir().expect("a directory");
        let path = root.path().join("cluster");
        let prepared = |workers| {
            let place = Place::prepare(Some(&path), wanted(Some(1), workers)).expect("a place");
            place.write(Path::new("/python"), Path::new("/"), &[]).expect("written");
            place
        };
        let one = prepared(Some(1));
        let three = prepared(Some(3));
        assert_eq!(names(&three), ["node-1", "worker-node-1", "worker-node-2", "worker-node-3"]);
        assert_eq!(three.nodes()[..2], *one.nodes(), "those that were there stay");
        let mut ports: Vec<u16> = three.nodes().iter().flat_map(Planned::ports).collect();
        ports.sort_unstable();
        ports.dedup();
        assert_eq!(ports.len(), 12);
        assert_eq!(prepared(None).workers(), 3);
        assert_eq!(names(&prepared(Some(0))), ["node-1"]);
    }

    #[test]
    fn another_directory_is_left_alone() {
        let root = tempfile::tempdir().expect("a directory");
        fs::write(root.path().join("thesis.tex"), "").expect("written");
        let refused = Place::prepare(Some(root.path()), Wanted::default()).expect_err("refused");
        assert!(refused.message.contains("not empty") && refused.exit == exit::USAGE, "{refused}");
        fs::write(root.path().join(RECORD), "{}").expect("written");
        assert!(Place::prepare(Some(root.path()), Wanted::default()).is_err());
    }
}
