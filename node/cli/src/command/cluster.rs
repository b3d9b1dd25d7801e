//! `dspex cluster`: its members, and who leads.

use clap::{Args, Subcommand};
use dspex_api::reason;
use dspex_api::v1::{ClusterStatusResponse, Member};
use serde_json::{Map, Value, json};

use crate::error::CommandError;
use crate::exit;
use crate::invocation::Invocation;
use crate::listing::Listing;
use crate::output::{self, Format};

/// The arguments of `dspex cluster`.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  dspex cluster                     the same as dspex cluster status\n  dspex cluster health              exit code 6 when no quorum answers\n  dspex cluster hash                equal on every node at an equal index"
)]
pub struct Options {
    #[command(subcommand)]
    verb: Option<Verb>,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Show every member: role, term, last, committed and applied entry, snapshot, lag, version
    Status,
    /// Say whether the cluster can write: a leader, and a quorum that answers
    Health,
    /// Print a digest of the node's state
    Hash,
}

/// Does what the verb says; the bare noun shows the status.
pub async fn execute(invocation: &Invocation, options: Options) -> Result<u8, CommandError> {
    let client = invocation.node().await?;
    match options.verb {
        None | Some(Verb::Status) => {
            let status = client.cluster_status().await?;
            if status.leader_id == 0 {
                invocation.console.warning("the node knows no leader: nothing can be written for now");
            }
            print(invocation.format, &status)
        }
        Some(Verb::Health) => health(invocation, &client.cluster_status().await?),
        Some(Verb::Hash) => {
            let hash = client.state_hash().await?;
            let value = json!({ "applied_index": hash.applied_index, "hash": hash.hash });
            match invocation.format {
                Format::Table => output::text(&format!("{}  {}\n", hash.applied_index, hash.hash))?,
                Format::Json | Format::Jsonl => output::json(&value)?,
                Format::Csv => Listing::of_objects(vec![value]).print(Format::Csv)?,
            }
            Ok(exit::OK)
        }
    }
}

fn print(format: Format, status: &ClusterStatusResponse) -> Result<u8, CommandError> {
    if format == Format::Json {
        output::json(&json!({
            "cluster_id": status.cluster_id,
            "node_id": status.node_id,
            "leader_id": if status.leader_id == 0 { Value::Null } else { Value::from(status.leader_id) },
            "term": status.term,
            "log_time_unix_ms": status.log_time_ms,
            "members": status.members.iter().map(object).collect::<Vec<_>>(),
        }))?;
        return Ok(exit::OK);
    }
    members(&status.members).print(format)?;
    Ok(exit::OK)
}

/// Members as a list.
pub fn members(members: &[Member]) -> Listing {
    let mut counts = Map::new();
    for member in members {
        let count = counts.get(&member.role).and_then(Value::as_u64).unwrap_or(0);
        counts.insert(member.role.clone(), Value::from(count + 1));
    }
    Listing {
        items: members.iter().map(object).collect(),
        counts,
        truncated: false,
        header: vec![
            "ID",
            "NAME",
            "ADDRESS",
            "ROLE",
            "TERM",
            "LAST",
            "COMMITTED",
            "APPLIED",
            "SNAPSHOT",
            "LAG",
            "VERSION",
        ],
        rows: members.iter().map(row).collect(),
    }
}

/// A member as an object.
pub fn object(member: &Member) -> Value {
    json!({
        "id": member.node_id,
        "name": member.name,
        "peer_address": member.peer_address,
        "api_address": member.api_address,
        "role": member.role,
        "leader": member.leader,
        "reachable": member.reachable,
        "term": member.term,
        "last_index": member.last_index,
        "committed_index": member.committed_index,
        "applied_index": member.applied_index,
        "snapshot_index": member.snapshot_index,
        "lag": member.lag,
        "version": member.version,
    })
}

fn row(member: &Member) -> Vec<String> {
    let number = |number: Option<u64>| number.map(|number| number.to_string()).unwrap_or_default();
    let role = match (member.leader, member.reachable) {
        (true, _) => "leader".to_owned(),
        (false, true) => member.role.clone(),
        (false, false) => format!("{} (no answer)", member.role),
    };
    vec![
        member.node_id.to_string(),
        member.name.clone(),
        member.peer_address.clone(),
        role,
        number(member.term),
        number(member.last_index),
        number(member.committed_index),
        number(member.applied_index),
        number(member.snapshot_index),
        number(member.lag),
        member.version.clone(),
    ]
}

fn health(invocation: &Invocation, status: &ClusterStatusResponse) -> Result<u8, CommandError> {
    let voters: Vec<&Member> = status.members.iter().filter(|member| member.role == "voter").collect();
    let answering = voters.iter().filter(|member| member.reachable).count();
    let needed = voters.len() / 2 + 1;
    let healthy = status.leader_id != 0 && answering >= needed;
    let value = json!({
        "healthy": healthy,
        "leader_id": if status.leader_id == 0 { Value::Null } else { Value::from(status.leader_id) },
        "voters": voters.len(),
        "answering": answering,
        "needed": needed,
    });
    match invocation.format {
        Format::Table => {
            let said = if healthy { "healthy" } else { "not healthy" };
            output::text(&format!("{said}: {answering} of {} voters answer, {needed} are needed\n", voters.len()))?;
        }
        Format::Json | Format::Jsonl => output::json(&value)?,
        Format::Csv => Listing::of_objects(vec![value]).print(Format::Csv)?,
    }
    if healthy {
        return Ok(exit::OK);
    }
    let why = if status.leader_id == 0 { "there is no leader" } else { "no quorum answers" };
    Err(CommandError::because(reason::NO_LEADER, format!("the cluster cannot write: {why}"))
        .hint("dspex cluster status shows which members do not answer"))
}
