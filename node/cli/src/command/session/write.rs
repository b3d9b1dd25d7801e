//! `dspex session create`, `update` and `delete`.

use std::time::Duration;

use clap::Args;
use dspex_api::v1::{
    CreateSessionRequest, DeleteSessionRequest, GetSessionRequest, SessionWritten, UpdateSessionRequest,
};
use serde_json::json;
use uuid::Uuid;

use crate::arguments::identifier;
use crate::arguments::{life, seconds};
use crate::assignment::{once, parse};
use crate::confirm::confirm;
use crate::echo::shortened;
use crate::error::CommandError;
use crate::exit;
use crate::follow::new_request_id;
use crate::invocation::Invocation;
use crate::listing;
use crate::repeat::until_known;

#[derive(Debug, Args)]
pub struct Create {
    /// Its id, 1 to 256 bytes of text [default: a new UUID]
    #[arg(value_parser = identifier)]
    session: Option<String>,
    /// It ends so many seconds after each write [default: never]
    #[arg(long, value_name = "SECONDS", value_parser = life, allow_negative_numbers = true)]
    ttl: Option<Duration>,
    /// A value: JSON; repeat it for more
    #[arg(long, value_name = "NAME=JSON", value_parser = parse)]
    set: Vec<(String, String)>,
}

#[derive(Debug, Args)]
pub struct Update {
    /// Its id
    #[arg(value_parser = identifier)]
    session: String,
    /// A value: JSON; repeat it for more
    #[arg(long, value_name = "NAME=JSON", value_parser = parse)]
    set: Vec<(String, String)>,
    /// A value that goes; repeat it for more
    #[arg(long, value_name = "NAME", value_parser = identifier)]
    remove: Vec<String>,
    /// What is not set goes
    #[arg(long)]
    replace: bool,
    /// Refuse when the session is at another version
    #[arg(long, value_name = "VERSION")]
    if_version: Option<u64>,
    /// It ends so many seconds after each write from now on
    #[arg(long, value_name = "SECONDS", value_parser = another_life)]
    ttl: Option<Duration>,
    /// It lives until it is deleted
    #[arg(long, conflicts_with = "ttl")]
    forever: bool,
}

#[derive(Debug, Args)]
pub struct Delete {
    /// Its id
    #[arg(value_parser = identifier)]
    session: String,
    /// Refuse when the session is at another version
    #[arg(long, value_name = "VERSION")]
    if_version: Option<u64>,
    /// Do not ask
    #[arg(long)]
    yes: bool,
}

pub async fn create(invocation: &Invocation, options: Create) -> Result<u8, CommandError> {
    let request = CreateSessionRequest {
        request_id: Some(new_request_id()),
        // Not the node's: it would make another one for each time that the request is sent.
        session_id: options.session.unwrap_or_else(|| Uuid::now_v7().to_string()),
        data: once(options.set)?,
        ttl_ms: options.ttl.map(milliseconds),
    };
    let client = invocation.node().await?;
    let create = async || client.create_session(request.clone()).await;
    let session = until_known(invocation.deadline, &invocation.console, &look(&request.session_id), create).await?;
    written(invocation, &session)
}

pub async fn update(invocation: &Invocation, options: Update) -> Result<u8, CommandError> {
    let ttl_ms = if options.forever { Some(0) } else { options.ttl.map(milliseconds) };
    let request = UpdateSessionRequest {
        request_id: Some(new_request_id()),
        session_id: options.session,
        expected_version: options.if_version,
        replace: options.replace,
        removed: options.remove,
        set: once(options.set)?,
        ttl_ms,
    };
    let client = invocation.node().await?;
    let update = async || client.update_session(request.clone()).await;
    let session = until_known(invocation.deadline, &invocation.console, &look(&request.session_id), update).await?;
    written(invocation, &session)
}

pub async fn delete(invocation: &Invocation, options: Delete) -> Result<u8, CommandError> {
    let client = invocation.node().await?;
    let id = options.session;
    // A session that does not exist is said before anything is asked.
    let get = GetSessionRequest { session_id: id.clone(), freshness: 0, version: None };
    let version = client.session(get).await?.version;
    confirm(&format!("delete session {id} at version {version} with its history"), &id, options.yes)?;
    let request = DeleteSessionRequest {
        request_id: Some(new_request_id()),
        session_id: id.clone(),
        expected_version: options.if_version,
    };
    let delete = async || client.delete_session(request.clone()).await;
    until_known(invocation.deadline, &invocation.console, &look(&id), delete).await?;
    invocation.console.note(&format!("deleted session {id}"));
    Ok(exit::OK)
}

fn written(invocation: &Invocation, session: &SessionWritten) -> Result<u8, CommandError> {
    let value = json!({
        "session": session.session_id,
        "version": session.version,
        "expires_unix_ms": session.expires_ms,
    });
    listing::show(value, invocation.format)?;
    Ok(exit::OK)
}

/// How a person sees whether a write was executed.
fn look(session: &str) -> String {
    format!("dspex session show {} shows what stands there, once there is a quorum", shortened(session))
}

fn another_life(text: &str) -> Result<Duration, String> {
    seconds(text).map_err(|why| format!("{why}; --forever is a life without an end"))
}

/// `--ttl 0.0001` is a life, if a short one.
fn milliseconds(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_life_without_an_end_is_asked_for_in_words() {
        assert!(another_life("0").is_err_and(|why| why.contains("--forever")));
    }
}
