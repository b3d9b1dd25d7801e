//! A new cluster of one node, made of a snapshot: in an empty data directory, which is whole when it has its name.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use dspex_api::reason;
use dspex_cli::{CommandError, Console, RestoreArguments, START_ERROR_FILE, exit};
use dspex_consensus::{RecordStoring, begin_log};
use dspex_model::RunStatus;
use dspex_storage::{BlobPiece, DataDirectory, OpenError, Restoration};
use serde_json::{Value, json};
use uuid::Uuid;

use super::contents::{self, Contents, Taker};
use super::storing::Storing;
use crate::configuration::{Configuration, is_host_and_port};
use crate::life;
use crate::private_files;

/// Who restores, in the audit trail: whoever can write the data directory.
const ACTOR: &str = "local user";

/// What a node or a restore that came to nothing leaves in a directory, and a new file system in its root.
const NOTHING: [&str; 4] = ["data.restoring", "token", START_ERROR_FILE, "lost+found"];

/// A snapshot's parts on their way into the directory. They count when that is whole.
struct Filling {
    records: RecordStoring,
    blobs: Storing,
}

impl Filling {
    fn new(data: &DataDirectory) -> Self {
        Self { records: RecordStoring::new(data), blobs: Storing::new(data.blobs().clone()) }
    }

    fn finish(self) -> io::Result<()> {
        self.records.finish()?;
        self.blobs.finish()
    }
}

impl Taker for Filling {
    fn record(&mut self, key: &[u8], value: &[u8]) -> io::Result<()> {
        self.records.take(key, value)
    }

    fn blob(&mut self, piece: &BlobPiece<'_>) -> io::Result<()> {
        self.blobs.take(piece)
    }
}

/// What came of it.
struct Restored {
    object: Value,
    is_confirmed: bool,
    /// Runs that were running.
    interrupted: usize,
    /// Valid ones.
    tokens: usize,
}

/// Where the new cluster's first node will be.
struct Target {
    /// Of the node: its data lies in a directory below.
    home: PathBuf,
    /// Where its peers reach it; empty: it has none.
    address: String,
}

pub(super) fn restore(arguments: &RestoreArguments, console: &Console) -> Result<Value, CommandError> {
    let target = target(arguments)?;
    refuse_what_is_there(&target.home)?;
    let is_new = !target.home.exists();
    let done = make(&arguments.file, &target, is_new);
    if done.is_err() && is_new {
        // Only when nothing is in it.
        let _ = fs::remove_dir(&target.home);
    }
    let restored = done?;
    tell(console, arguments, &target, &restored);
    Ok(restored.object)
}

fn target(arguments: &RestoreArguments) -> Result<Target, CommandError> {
    let (home, address) = match (&arguments.config, &arguments.data_dir) {
        (Some(config), _) => {
            let configuration = Configuration::read(config).map_err(|wrong| CommandError::usage(wrong.to_string()))?;
            let peers = configuration.peers().map_err(|wrong| CommandError::usage(wrong.to_string()))?;
            (configuration.data_dir, peers.map(|peers| peers.advertise).unwrap_or_default())
        }
        (None, Some(home)) => {
            let address = arguments.advertise.clone().unwrap_or_default();
            if arguments.advertise.is_some() && !is_host_and_port(&address) {
                let message = format!("--advertise: {address:?} is not HOST:PORT, like node-1.example:7410");
                return Err(CommandError::usage(message));
            }
            (home.clone(), address)
        }
        (None, None) => return Err(CommandError::usage("name the node's settings: --config FILE")),
    };
    Ok(Target { home: std::path::absolute(home)?, address })
}

/// What is there may be the only copy of something.
fn refuse_what_is_there(home: &Path) -> Result<(), CommandError> {
    let shown = home.display();
    let entries = match fs::read_dir(home) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(CommandError::usage(format!("the data directory {shown}: {error}"))),
    };
    for entry in entries {
        let name = entry?.file_name();
        if !NOTHING.iter().any(|nothing| name == *nothing) {
            let message = format!("the data directory {shown} is not empty: it holds {}", name.to_string_lossy());
            return Err(CommandError::because(reason::DATA_DIRECTORY_NOT_EMPTY, message)
                .hint("a restore makes a new directory: name another one, or move this one away"));
        }
    }
    Ok(())
}

fn make(file: &Path, target: &Target, is_new: bool) -> Result<Restored, CommandError> {
    let (node, cluster) = (life::new_node_id(), Uuid::new_v4().to_string());
    let failed = |error: io::Error| unwritable(&target.home, &error);
    if is_new {
        private_files::make_directory(&target.home).map_err(failed)?;
    }
    let restoration = Restoration::begin(&target.home.join("data"), node, &cluster).map_err(|error| opened(&error))?;
    let mut filling = Filling::new(restoration.data());
    let Contents { header, state, position, end } = contents::read(file, &mut filling)?;
    filling.finish().map_err(failed)?;
    let interrupted = state.runs().filter(|(_, run)| run.progress.status == RunStatus::Running).count();
    let state = state.restored(&cluster, ACTOR);
    let at = begin_log(restoration.data(), &state, position, &target.address).map_err(failed)?;
    restoration.finish().map_err(failed)?;
    let tokens = state.tokens().filter(|(_, token)| token.is_valid(state.log_time_ms())).count();
    let object = json!({
        "data_dir": target.home.display().to_string(),
        "cluster_id": cluster,
        "node_id": node.0,
        "peer_address": Some(&target.address).filter(|address| !address.is_empty()),
        "term": at.term,
        "index": at.index,
        "log_time_unix_ms": state.log_time_ms(),
        "restored_from": header.cluster_id,
        "confirmed": header.is_confirmed,
        "saved_unix_ms": header.saved_ms,
        "sessions": state.sessions_after(None).count(),
        "programs": state.programs().count(),
        "variables": state.variables_held(),
        "runs": state.runs().count(),
        "interrupted_runs": interrupted,
        "executions": state.execution_counts().iter().sum::<u64>(),
        "tokens": tokens,
        "blobs": end.blobs,
    });
    Ok(Restored { object, is_confirmed: header.is_confirmed, interrupted, tokens })
}

/// What the operator has to know, and to do next.
fn tell(console: &Console, arguments: &RestoreArguments, target: &Target, restored: &Restored) {
    let Restored { interrupted, tokens, .. } = restored;
    if !restored.is_confirmed {
        console.warning("no quorum had confirmed the snapshot: what others had acknowledged may be missing");
    }
    if *interrupted > 0 {
        console.note(&format!(
            "{interrupted} run(s) were running and are interrupted: dspex run resume ID goes on with one"
        ));
    }
    if *tokens > 0 {
        console.note(&format!(
            "{tokens} token(s) of the old cluster open this one, too: dspex token revoke those that should not"
        ));
    }
    if target.address.is_empty() {
        console.note(
            "no address for peers was given: the node stays alone; for one that is to grow, restore with the file of a node that \
             has [peers], or with --advertise",
        );
    }
    let start = arguments.config.as_ref().map(|config| format!("dspex node --config {}", config.display()));
    let start = start.unwrap_or_else(|| "dspex node with a file that names this data_dir".to_owned());
    console.note(&format!("start it: {start}"));
}

fn opened(error: &OpenError) -> CommandError {
    let message = error.to_string();
    match error {
        OpenError::Full { .. } => CommandError::because(reason::STORAGE_FULL, message),
        OpenError::Exists { .. } => CommandError::because(reason::DATA_DIRECTORY_NOT_EMPTY, message),
        OpenError::Locked { .. } => CommandError::because(reason::DATA_DIRECTORY_LOCKED, message)
            .hint("another restore is under way there: wait for its end"),
        OpenError::ReadOnly { .. } => CommandError::because(reason::DATA_DIRECTORY_READ_ONLY, message),
        _ => CommandError::new(exit::FAILED, message),
    }
}

fn unwritable(home: &Path, error: &io::Error) -> CommandError {
    let message = format!("the data directory {} cannot be made: {error}", home.display());
    match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
            CommandError::because(reason::STORAGE_FULL, message).hint("free some room, or name another data directory")
        }
        _ => CommandError::new(exit::FAILED, message),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_that_holds_something_is_refused_by_name() {
        let home = tempfile::tempdir().expect("a directory");
        assert_eq!(refuse_what_is_there(&home.path().join("new")), Ok(()));
        for nothing in NOTHING {
            fs::create_dir(home.path().join(nothing)).expect("made");
        }
        assert_eq!(refuse_what_is_there(home.path()), Ok(()));
        fs::write(home.path().join("data"), "").expect("written");
        let error = refuse_what_is_there(home.path()).expect_err("it is not empty");
        assert_eq!((error.reason.as_ref(), error.exit), (reason::DATA_DIRECTORY_NOT_EMPTY, exit::USAGE));
        let message = &error.message;
        assert!(message.contains("holds data") && message.contains(&home.path().display().to_string()), "{message}");
    }

    #[test]
    fn a_directory_without_settings_may_name_the_address_for_peers() {
        let arguments = |advertise: Option<&str>| RestoreArguments {
            file: "f".into(),
            config: None,
            data_dir: Some("/d".into()),
            advertise: advertise.map(str::to_owned),
        };
        let of = |advertise| target(&arguments(advertise)).map(|target| (target.home, target.address));
        assert_eq!(of(None), Ok(("/d".into(), String::new())));
        assert_eq!(of(Some("n.example:7410")), Ok(("/d".into(), "n.example:7410".to_owned())));
        assert!(of(Some("n.example")).is_err_and(|error| error.message.contains("--advertise")));
    }
}
