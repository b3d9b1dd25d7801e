//! `dspex audit`: who changed what.

use clap::{Args, Subcommand};
use dspex_api::v1::AuditEntry;
use serde_json::{Map, Value, json};

use crate::dates::date;
use crate::error::CommandError;
use crate::exit;
use crate::invocation::Invocation;
use crate::listing::Listing;

/// A list shows this many unless all are asked for.
const LIST_MAX: u32 = 100;

/// The arguments of `dspex audit`.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  dspex audit                the same as dspex audit list\n  dspex audit list --all -o jsonl\n\nThe newest 10,000 changes are kept: runs, tokens, members, deleted sessions; refused ones, too. Reads are not in it."
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
    },
}

/// Lists.
pub async fn execute(invocation: &Invocation, options: Options) -> Result<u8, CommandError> {
    let all = matches!(options.verb, Some(Verb::List { all: true }));
    let client = invocation.node().await?;
    let answer = client.audit(if all { u32::MAX } else { LIST_MAX }).await?;
    let mut counts = Map::new();
    for entry in &answer.items {
        let count = counts.get(&entry.action).and_then(Value::as_u64).unwrap_or(0);
        counts.insert(entry.action.clone(), Value::from(count + 1));
    }
    let listing = Listing {
        items: answer.items.iter().map(object).collect(),
        counts,
        truncated: answer.truncated,
        header: vec!["TIME", "WHO", "ACTION", "SUBJECT", "REFUSED"],
        rows: answer.items.iter().map(row).collect(),
    };
    listing.print(invocation.format)?;
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
