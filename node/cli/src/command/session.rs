//! `dspex session`: replicated sessions.

mod execute;
mod write;

use clap::{Args, Subcommand};
use dspex_api::reason;
use dspex_api::v1::{GetSessionRequest, ListSessionsRequest, Session, SessionHistoryRequest, SessionStatsRequest};
use serde_json::{Map, Value, json};

use crate::arguments::identifier;
use crate::assignment;
use crate::dates::date;
use crate::error::CommandError;
use crate::exit;
use crate::freshness::Freshness;
use crate::invocation::Invocation;
use crate::listing::{self, Listing, Page};
use crate::object::Object;
use crate::verbatim::plain;

/// The arguments of `dspex session`.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  dspex session create user-123 --ttl 3600 --set language='\"en\"'\n  dspex session update user-123 --set visits=2 --if-version 1    refused when somebody else has written\n  dspex session show user-123\n  dspex session show user-123 --at 1                             an earlier version; the last 100 are kept\n  dspex session list --prefix user-\n  dspex session execute user-123 visits.py:count '{\"page\": \"/\"}'   one call after the other, wherever it is asked for\n  dspex session stats                                            how many, what they take, where they are executed for\n  dspex session delete user-123 --yes\n\nA value is JSON: a number, \"text\", true, [1, 2], {\"a\": 1}."
)]
pub struct Options {
    #[command(subcommand)]
    verb: Option<Verb>,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// List sessions in the order of their ids
    List {
        /// Only ids that begin like this
        #[arg(long, default_value = "")]
        prefix: String,
        /// All of them, not the first 100
        #[arg(long)]
        all: bool,
        /// How fresh the answer must be
        #[arg(long, value_enum, default_value_t = Freshness::Linearizable)]
        read: Freshness,
    },
    /// Show a session
    Show {
        /// Its id
        #[arg(value_parser = identifier)]
        session: String,
        /// An earlier version
        #[arg(long, value_name = "VERSION")]
        at: Option<u64>,
        /// How fresh the answer must be
        #[arg(long, value_enum, default_value_t = Freshness::Linearizable)]
        read: Freshness,
    },
    /// Make a session
    Create(write::Create),
    /// Change values of a session
    Update(write::Update),
    /// Remove a session with its history
    Delete(write::Delete),
    /// Call a command or program in a session: its code may read and change the session's values
    Execute(execute::Execute),
    /// Say whether there is a session of this id; exit code 5: there is none
    Exists {
        /// Its id
        #[arg(value_parser = identifier)]
        session: String,
        /// How fresh the answer must be
        #[arg(long, value_enum, default_value_t = Freshness::Linearizable)]
        read: Freshness,
    },
    /// Show how many sessions there are, what they take, and how many each node executes for
    Stats {
        /// Of this one alone
        #[arg(value_parser = identifier)]
        session: Option<String>,
        /// How fresh the answer must be
        #[arg(long, value_enum, default_value_t = Freshness::Linearizable)]
        read: Freshness,
    },
    /// List the versions of a session that are kept, newest first
    History {
        /// Its id
        #[arg(value_parser = identifier)]
        session: String,
        /// How fresh the answer must be
        #[arg(long, value_enum, default_value_t = Freshness::Linearizable)]
        read: Freshness,
    },
}

/// Does what the verb says; the bare noun lists.
pub async fn execute(invocation: &Invocation, options: Options) -> Result<u8, CommandError> {
    match options.verb {
        None => list(invocation, String::new(), false, Freshness::default()).await,
        Some(Verb::List { prefix, all, read }) => list(invocation, prefix, all, read).await,
        Some(Verb::Show { session, at, read }) => {
            let request = GetSessionRequest { session_id: session, freshness: read.wire().into(), version: at };
            let session = invocation.node().await?.session(request).await.map_err(|error| read.refusal(error))?;
            listing::show(object(&session, true), invocation.format)?;
            Ok(exit::OK)
        }
        Some(Verb::Create(options)) => write::create(invocation, options).await,
        Some(Verb::Update(options)) => write::update(invocation, options).await,
        Some(Verb::Delete(options)) => write::delete(invocation, options).await,
        Some(Verb::Execute(options)) => execute::execute(invocation, options).await,
        Some(Verb::Exists { session, read }) => exists(invocation, session, read).await,
        Some(Verb::Stats { session, read }) => stats(invocation, session.unwrap_or_default(), read).await,
        Some(Verb::History { session, read }) => history(invocation, session, read).await,
    }
}

async fn list(invocation: &Invocation, prefix: String, all: bool, read: Freshness) -> Result<u8, CommandError> {
    let client = invocation.node().await?;
    let ask = async |after: String, limit: u32| {
        let request = ListSessionsRequest { after, limit, prefix: prefix.clone(), freshness: read.wire().into() };
        let page = client.list_sessions(request).await.map_err(|error| read.refusal(error))?;
        Ok(Page { items: page.items, total: page.total, truncated: page.truncated })
    };
    let Page { items: sessions, total, truncated } =
        listing::pages(all, |session: &Session| session.session_id.clone(), ask).await?;
    let listing = Listing {
        items: sessions.iter().map(|session| object(session, false)).collect(),
        counts: Map::from_iter([("sessions".to_owned(), Value::from(total))]),
        truncated,
        // The cluster's total: of those with a prefix nobody counts all.
        total: prefix.is_empty().then_some(total),
        header: vec!["SESSION", "VERSION", "UPDATED", "ENDS"],
        rows: sessions.iter().map(row).collect(),
    };
    listing.print(invocation.format, &invocation.console)?;
    Ok(exit::OK)
}

async fn exists(invocation: &Invocation, session: String, read: Freshness) -> Result<u8, CommandError> {
    let request = GetSessionRequest { session_id: session.clone(), freshness: read.wire().into(), version: None };
    let exists = match invocation.node().await?.session(request).await {
        Ok(_) => true,
        Err(error) if error.reason == reason::SESSION_NOT_FOUND => false,
        Err(error) => return Err(read.refusal(error)),
    };
    listing::show(json!({"session": session, "exists": exists}), invocation.format)?;
    Ok(if exists { exit::OK } else { exit::NOT_FOUND })
}

async fn stats(invocation: &Invocation, session: String, read: Freshness) -> Result<u8, CommandError> {
    let request = SessionStatsRequest { session_id: session, freshness: read.wire().into() };
    let stats = invocation.node().await?.session_stats(request).await.map_err(|error| read.refusal(error))?;
    let shown = json!({
        "sessions": stats.sessions,
        "versions": stats.versions,
        "bytes": stats.bytes,
        "bytes_max": stats.bytes_max,
        "programs": stats.programs,
        "homes": stats.homes,
    });
    listing::show(shown, invocation.format)?;
    Ok(exit::OK)
}

async fn history(invocation: &Invocation, session: String, read: Freshness) -> Result<u8, CommandError> {
    let client = invocation.node().await?;
    let request = SessionHistoryRequest { session_id: session, freshness: read.wire().into() };
    let versions = client.session_history(request).await.map_err(|error| read.refusal(error))?;
    let listing = Listing {
        items: versions
            .iter()
            .map(|version| {
                let object = json!({"version": version.version, "written_unix_ms": version.written_ms});
                Object::from(object).with("data", assignment::object(&version.data))
            })
            .collect(),
        counts: Map::from_iter([("versions".to_owned(), Value::from(versions.len()))]),
        header: vec!["VERSION", "WRITTEN", "DATA"],
        rows: versions
            .iter()
            .map(|version| {
                vec![version.version.to_string(), date(version.written_ms), plain(&assignment::object(&version.data))]
            })
            .collect(),
        ..Listing::default()
    };
    listing.print(invocation.format, &invocation.console)?;
    Ok(exit::OK)
}

fn object(session: &Session, with_data: bool) -> Object {
    let object = Object::from(json!({
        "session": session.session_id,
        "version": session.version,
        "created_unix_ms": session.created_ms,
        "updated_unix_ms": session.updated_ms,
        "expires_unix_ms": session.expires_ms,
        "ttl_s": session.ttl_ms.map(|ttl| ttl as f64 / 1000.0),
    }));
    if with_data { object.with("data", assignment::object(&session.data)) } else { object }
}

fn row(session: &Session) -> Vec<String> {
    vec![
        session.session_id.clone(),
        session.version.to_string(),
        date(session.updated_ms),
        session.expires_ms.map(date).unwrap_or_else(|| "never".to_owned()),
    ]
}
