//! Starts the embedded node. Commands that come at the same time start one: they queue at a lock file.

use std::fs::{File, OpenOptions, TryLockError};
use std::os::unix::fs::OpenOptionsExt;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

use dspex_api::{Client, TimeLimits, reason};
use serde::{Deserialize, Serialize};
use tokio::time::Instant;

use super::home::Home;
use super::{log, running};
use crate::console::Console;
use crate::error::CommandError;
use crate::exit;

/// How long a node may take until it answers.
const START_LIMIT: Duration = Duration::from_secs(30);
/// Longer than one start, so that a waiting command sees the other's node.
const LOCK_LIMIT: Duration = Duration::from_secs(45);
const POLL: Duration = Duration::from_millis(5);
const LOCKED_PAUSE: Duration = Duration::from_millis(250);
const ATTEMPT_LEAST: Duration = Duration::from_secs(5);
const LOG_LINES_SHOWN: usize = 12;

/// The file in the home where a node says why it could not start.
pub const START_ERROR_FILE: &str = "start-error.json";

/// What a node writes to [`START_ERROR_FILE`] before it ends.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct StartError {
    /// One of `dspex_api::reason`.
    pub reason: String,
    /// For people.
    pub message: String,
    /// The exit code of the command that wanted the node.
    pub exit_code: u8,
}

/// The variables that a node needs for itself. Everything else, secrets above all, reaches it only with a run, is held in
/// memory and is not part of the process's environment.
const INHERITED: &[&str] = &[
    "PATH",
    "HOME",
    "USER",
    "LOGNAME",
    "LANG",
    "TZ",
    "TMPDIR",
    "LD_LIBRARY_PATH",
    "SSL_CERT_FILE",
    "SSL_CERT_DIR",
    "HTTP_PROXY",
    "HTTPS_PROXY",
    "NO_PROXY",
    "http_proxy",
    "https_proxy",
    "no_proxy",
    "SENTRY_DSN",
    "LOG_LEVEL",
    "LOG_FORMAT",
    "PRETTY_LOGS",
    "ENABLE_TRACING",
];
const INHERITED_PREFIXES: &[&str] = &["DSPEX_", "XDG_", "LC_", "RUST_", "OTEL_", "MALLOC_"];

/// Starts a node unless one appears while waiting for the lock.
pub async fn start(home: &Home, limits: TimeLimits, console: &Console) -> Result<Client, CommandError> {
    home.create()?;
    // Held until the node answers; the kernel frees it when this process ends.
    let _lock = lock(home).await?;
    if let Some(client) = running(home, limits).await? {
        return Ok(client);
    }
    let end = Instant::now() + START_LIMIT;
    loop {
        // The last one, too, has the time to say why it cannot start.
        let attempt_end = end.max(Instant::now() + ATTEMPT_LEAST);
        match attempt(home, limits, console, attempt_end).await {
            // A node that is just ending has closed its socket but still holds its data.
            Err(error) if error.reason == reason::DATA_DIRECTORY_LOCKED && Instant::now() + LOCKED_PAUSE < end => {
                tokio::time::sleep(LOCKED_PAUSE).await;
            }
            done => return done,
        }
    }
}

/// Starts one process and waits until it answers or ends.
async fn attempt(home: &Home, limits: TimeLimits, console: &Console, end: Instant) -> Result<Client, CommandError> {
    let error_file = home.path().join(START_ERROR_FILE);
    if let Err(error) = std::fs::remove_file(&error_file)
        && error.kind() != std::io::ErrorKind::NotFound
    {
        return Err(not_started(home, &error.to_string()));
    }
    let mut child = spawn(home)?;
    console.detail(&format!("started a node in {} (pid {})", home.path().display(), child.id()));
    loop {
        if let Some(client) = running(home, limits).await? {
            return Ok(client);
        }
        if let Some(status) = child.try_wait()? {
            return Err(ended(home, status));
        }
        if Instant::now() >= end {
            child.kill()?;
            child.wait()?;
            return Err(not_started(home, &format!("it did not answer within {} s", START_LIMIT.as_secs())));
        }
        tokio::time::sleep(POLL).await;
    }
}

async fn lock(home: &Home) -> Result<File, CommandError> {
    let path = home.path().join("start.lock");
    let file = OpenOptions::new()
        .create(true)
        .truncate(false)
        .write(true)
        .mode(0o600)
        .open(&path)
        .map_err(|error| not_started(home, &format!("{}: {error}", path.display())))?;
    let end = Instant::now() + LOCK_LIMIT;
    loop {
        match file.try_lock() {
            Ok(()) => return Ok(file),
            Err(TryLockError::Error(error)) => return Err(not_started(home, &error.to_string())),
            Err(TryLockError::WouldBlock) if Instant::now() >= end => {
                return Err(not_started(home, &format!("another command holds {}", path.display())));
            }
            Err(TryLockError::WouldBlock) => tokio::time::sleep(POLL).await,
        }
    }
}

fn spawn(home: &Home) -> Result<Child, CommandError> {
    let failed = |error: std::io::Error| not_started(home, &error.to_string());
    let log = log::open(&home.log()).map_err(failed)?;
    let environment = std::env::vars_os().filter(|(name, _)| {
        name.to_str().is_some_and(|name| {
            INHERITED.contains(&name) || INHERITED_PREFIXES.iter().any(|prefix| name.starts_with(prefix))
        })
    });
    // No process group here: the node makes itself a session (entry.rs), which a group leader could not.
    Command::new(std::env::current_exe().map_err(failed)?)
        .args(["node", "--home"])
        .arg(home.path())
        .env_clear()
        .envs(environment)
        // The caller's directory may be removed while the node lives.
        .current_dir(home.path())
        .stdin(Stdio::null())
        .stdout(log.try_clone().map_err(failed)?)
        .stderr(log)
        .spawn()
        .map_err(failed)
}

/// The node's own words where it left some, else the end of its log.
fn ended(home: &Home, status: ExitStatus) -> CommandError {
    let said = std::fs::read(home.path().join(START_ERROR_FILE))
        .ok()
        .and_then(|bytes| serde_json::from_slice::<StartError>(&bytes).ok());
    match said {
        Some(said) => CommandError {
            reason: said.reason.into(),
            ..CommandError::new(said.exit_code.max(exit::FAILED), said.message)
        },
        None => {
            let lines = log::tail(&home.log(), LOG_LINES_SHOWN);
            CommandError {
                traceback: (!lines.is_empty()).then_some(lines),
                ..not_started(home, &format!("it ended at once ({status})"))
            }
        }
    }
}

fn not_started(home: &Home, why: &str) -> CommandError {
    CommandError::because(reason::NODE_START_FAILED, format!("the embedded node could not be started: {why}"))
        .hint(format!("its home is {}, its log {}", home.path().display(), home.log().display()))
}
