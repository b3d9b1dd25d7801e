//! `dspex audit`: who changed what.

use clap::{Args, Subcommand};
use dspex_api::v1::AuditEntry;
use serde_json::{Value, json};

use crate::dates::date;
use crate::error::CommandError;
use crate::exit;
use crate::freshness::Freshness;
use crate::invocation::Invocation;
use crate::listing::{self, Listing};

/// A list shows this many unless all are asked for.
const LIST_MAX: u32 = 100;

/// The arguments of `dspex audit`.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  dspex audit                the same as dspex audit list\n  dspex audit list --all -o jsonl\n\nThe newest 10,000 changes are kept: runs, programs, tokens, members, deleted sessions and variables;\nrefused ones, too. Reads are not in it."
)]
pub struct Options {
    #[command(subcommand)]
    verb: Option<Verb>,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// List changes, newest first
    List {
        /// All that are kept, not the newest 100
        #[arg(long)]
        all: bool,
        /// How fresh the answer must be
        #[arg(long, value_enum, default_value_t = Freshness::Linearizable)]
        read: Freshness,
    },
}

/// Lists.
pub async fn execute(invocation: &Invocation, options: Options) -> Result<u8, CommandError> {
    let (all, read) = match options.verb {
        Some(Verb::List { all, read }) => (all, read),
        None => (false, Freshness::default()),
    };
    let client = invocation.node().await?;
    let limit = if all { u32::MAX } else { LIST_MAX };
    let answer = client.audit(limit, read.wire()).await.map_err(|error| read.refusal(error))?;
    let listing = Listing {
        items: answer.items.iter().map(object).collect(),
        counts: listing::counts(answer.items.iter().map(|entry| entry.action.as_str())),
        truncated: answer.truncated,
        // A node of an earlier version does not say.
        total: (answer.total > 0).then_some(answer.total),
        header: vec!["TIME", "WHO", "ACTION", "SUBJECT", "REFUSED"],
        rows: answer.items.iter().map(row).collect(),
    };
    listing.print(invocation.format, &invocation.console)?;
    Ok(exit::OK)
}

fn object(entry: &AuditEntry) -> Value {
    json!({
        "number": entry.number,
        "at_unix_ms": entry.at_ms,
        "actor": entry.actor,
        "action": entry.action,
        "subject": entry.subject,
        "refusal": if entry.refusal.is_empty() { Value::Null } else { Value::from(entry.refusal.clone()) },
    })
}

fn row(entry: &AuditEntry) -> Vec<String> {
    vec![date(entry.at_ms), entry.actor.clone(), entry.action.clone(), entry.subject.clone(), entry.refusal.clone()]
}
