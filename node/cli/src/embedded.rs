//! The embedded node: one background node for each home directory, started by whoever needs it first.

mod home;
mod log;
mod start;
mod version;

pub use home::Home;
pub use start::{START_ERROR_FILE, StartError};

use std::time::Duration;

use dspex_api::v1::StatusResponse;
use dspex_api::{ApiError, Client, TimeLimits, Token, reason};

use crate::console::Console;
use crate::error::CommandError;
use crate::process;
use version::Verdict;

/// How long an older node may take to make room.
const STOP_LIMIT: Duration = Duration::from_secs(20);

/// A connection to the home's node, started if need be, of this program's version.
pub async fn connect(home: &Home, limits: TimeLimits, console: &Console) -> Result<Client, CommandError> {
    // A few times at most: the last time the node is the one that this program started.
    for _ in 0..3 {
        let client = match running(home, limits).await? {
            Some(client) => client,
            None => start::start(home, limits, console).await?,
        };
        // A node that is just ending answers the connection but not the call.
        let status = match client.status().await {
            Ok(status) => status,
            Err(error) if error.reason == reason::NODE_STOPPING => {
                wait_until_closed(home, limits).await?;
                continue;
            }
            // Killed between the connection and the call.
            Err(error) if error.reason == reason::NODE_UNREACHABLE => {
                tokio::time::sleep(Duration::from_millis(20)).await;
                continue;
            }
            Err(error) => return Err(error.into()),
        };
        match version::compare(&status.version, version::OWN, status.runs) {
            Verdict::Same => return Ok(client),
            Verdict::Replace => replace(&client, &status, console).await?,
            Verdict::Refuse(message) => {
                return Err(CommandError::because(reason::NODE_VERSION_DIFFERS, message)
                    .hint("`dspex local stop` ends it; the next command starts one of its own version"));
            }
        }
    }
    Err(CommandError::because(
        reason::NODE_UNREACHABLE,
        "the embedded node ends again and again; its log is node.log in the home directory",
    )
    .hint(format!("see {}", home.log().display())))
}

/// A connection to the home's node if one runs.
pub async fn running(home: &Home, limits: TimeLimits) -> Result<Option<Client>, ApiError> {
    if !home.socket().exists() {
        return Ok(None);
    }
    match Client::connect(home.socket().as_path(), Token::default(), limits).await {
        Ok(client) => Ok(Some(client)),
        // The socket's file outlives a node that was killed.
        Err(error) if error.reason == reason::NODE_UNREACHABLE => Ok(None),
        Err(error) => Err(error),
    }
}

async fn wait_until_closed(home: &Home, limits: TimeLimits) -> Result<(), CommandError> {
    let end = tokio::time::Instant::now() + STOP_LIMIT;
    while running(home, limits).await?.is_some() && tokio::time::Instant::now() < end {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    Ok(())
}

async fn replace(client: &Client, status: &StatusResponse, console: &Console) -> Result<(), CommandError> {
    console.note(&format!("replacing the idle node of version {} by {}", status.version, version::OWN));
    client.stop(false).await?;
    if process::wait_until_gone(status.pid, STOP_LIMIT).await {
        return Ok(());
    }
    Err(CommandError::because(
        reason::NODE_VERSION_DIFFERS,
        format!("the node of version {} (pid {}) does not end", status.version, status.pid),
    ))
}
