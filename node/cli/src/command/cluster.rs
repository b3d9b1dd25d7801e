//! `dspex cluster`: its members, and who leads.

use clap::{Args, Subcommand};
use dspex_api::reason;
use dspex_api::v1::{ClusterStatusResponse, Member};
use serde_json::{Value, json};

use crate::error::CommandError;
use crate::exit;
use crate::invocation::Invocation;
use crate::listing::{self, Listing};
use crate::object::Object;
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
    /// Show every member: role, term, last, committed and applied entry, snapshot, lag, version, sandbox, what it has of runs
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
            for warning in leaderless(&status).into_iter().chain(unconfined(&status)) {
                invocation.console.warning(&warning);
            }
            print(invocation, &status)
        }
        Some(Verb::Health) => health(invocation, &client.cluster_status().await?),
        Some(Verb::Hash) => {
            let hash = client.state_hash().await?;
            let value = json!({ "applied_index": hash.applied_index, "hash": hash.hash });
            let text = |_: &Object| format!("{}  {}\n", hash.applied_index, hash.hash);
            listing::show_as(value, invocation.format, text)?;
            Ok(exit::OK)
        }
    }
}

/// Why nothing can be written for now, as far as one sees who leads.
fn leaderless(status: &ClusterStatusResponse) -> Option<String> {
    match status.members.iter().find(|member| member.leader) {
        None => Some("the node knows no leader: nothing can be written for now".to_owned()),
        Some(leader) if !leader.reachable => Some(format!(
            "the leader {} does not answer: nothing can be written until a quorum has elected another one",
            called(leader)
        )),
        Some(_) => None,
    }
}

/// Whose workers do whatever their node's user may.
fn unconfined(status: &ClusterStatusResponse) -> Option<String> {
    let free: Vec<String> = status.members.iter().filter(|member| member.sandbox == "off").map(called).collect();
    (!free.is_empty()).then(|| format!("the workers of {} are not sandboxed (sandbox.mode = \"off\")", free.join(", ")))
}

fn print(invocation: &Invocation, status: &ClusterStatusResponse) -> Result<u8, CommandError> {
    if invocation.format == Format::Json {
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
    members(&status.members).print(invocation.format, &invocation.console)?;
    Ok(exit::OK)
}

/// A member as it is named: the id is a name for those that have said none yet.
pub fn called(member: &Member) -> String {
    if member.name.is_empty() { member.node_id.to_string() } else { member.name.clone() }
}

/// Members as a list.
pub fn members(members: &[Member]) -> Listing {
    Listing {
        items: members.iter().map(object).collect(),
        counts: listing::counts(members.iter().map(|member| member.role.as_str())),
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
            "SANDBOX",
            "WORKERS",
            "RUNS",
        ],
        rows: members.iter().map(row).collect(),
        ..Listing::default()
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
        "sandbox": if member.sandbox.is_empty() { Value::Null } else { Value::from(member.sandbox.as_str()) },
        "draining": member.draining,
        "workers": member.workers,
        "runs": member.runs,
    })
}

fn row(member: &Member) -> Vec<String> {
    let number = |number: Option<u64>| number.map(|number| number.to_string()).unwrap_or_default();
    let role = if member.leader { "leader" } else { member.role.as_str() };
    let answers = if member.reachable { "" } else { " (no answer)" };
    let drains = if member.draining { " (drains)" } else { "" };
    vec![
        member.node_id.to_string(),
        member.name.clone(),
        member.peer_address.clone(),
        format!("{role}{answers}{drains}"),
        number(member.term),
        number(member.last_index),
        number(member.committed_index),
        number(member.applied_index),
        number(member.snapshot_index),
        number(member.lag),
        member.version.clone(),
        member.sandbox.clone(),
        number(member.workers.map(u64::from)),
        member.runs.to_string(),
    ]
}

fn health(invocation: &Invocation, status: &ClusterStatusResponse) -> Result<u8, CommandError> {
    let voters: Vec<&Member> = status.members.iter().filter(|member| member.role == "voter").collect();
    let answering = voters.iter().filter(|member| member.reachable).count();
    let needed = voters.len() / 2 + 1;
    let leader = status.members.iter().find(|member| member.leader);
    let healthy = leader.is_some_and(|leader| leader.reachable) && answering >= needed;
    let value = json!({
        "healthy": healthy,
        "leader_id": if status.leader_id == 0 { Value::Null } else { Value::from(status.leader_id) },
        "voters": voters.len(),
        "answering": answering,
        "needed": needed,
    });
    let said = if healthy { "healthy" } else { "not healthy" };
    let text = |_: &Object| format!("{said}: {answering} of {} voters answer, {needed} are needed\n", voters.len());
    listing::show_as(value, invocation.format, text)?;
    if healthy {
        return Ok(exit::OK);
    }
    let why = match leader {
        None => "there is no leader",
        Some(_) if answering < needed => "no quorum answers",
        Some(_) => "the leader does not answer",
    };
    Err(CommandError::because(reason::NO_LEADER, format!("the cluster cannot write: {why}"))
        .hint("dspex cluster status shows which members do not answer"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn member(name: &str, leader: bool, reachable: bool) -> Member {
        Member { name: name.to_owned(), role: "voter".to_owned(), leader, reachable, ..Member::default() }
    }

    #[test]
    fn who_does_not_answer_is_shown_so_the_leader_too() {
        let role = |leader, reachable| row(&member("n", leader, reachable))[3].clone();
        assert_eq!([role(true, true), role(true, false)], ["leader", "leader (no answer)"]);
        assert_eq!([role(false, true), role(false, false)], ["voter", "voter (no answer)"]);
    }

    #[test]
    fn who_drains_is_shown_with_what_it_has_left() {
        let drains = Member { draining: true, workers: Some(2), runs: 1, ..member("n", false, true) };
        let shown = row(&drains);
        assert_eq!([&shown[3], &shown[12], &shown[13]], ["voter (drains)", "2", "1"]);
        assert_eq!(shown.len(), members(std::slice::from_ref(&drains)).header.len());
        let told = object(&drains);
        assert_eq!((&told["draining"], &told["workers"], &told["runs"]), (&json!(true), &json!(2), &json!(1)));
        let unknown = object(&member("n", false, true));
        assert_eq!((&unknown["draining"], &unknown["workers"]), (&json!(false), &Value::Null));
    }

    #[test]
    fn workers_without_a_sandbox_are_warned_of() {
        let of = |sandbox: &str| Member { sandbox: sandbox.to_owned(), ..member(&format!("n-{sandbox}"), false, true) };
        let warning = |members: Vec<Member>| unconfined(&ClusterStatusResponse { members, ..Default::default() });
        assert_eq!(warning(vec![of("on"), of("")]), None, "what is not known is not warned of");
        let told = warning(vec![of("on"), of("off")]).expect("one has none");
        assert!(told.contains("n-off are not sandboxed") && !told.contains("n-on"), "{told}");
        assert_eq!((&object(&of("off"))["sandbox"], &object(&of(""))["sandbox"]), (&json!("off"), &Value::Null));
    }

    #[test]
    fn a_leader_that_does_not_answer_is_warned_of() {
        let warning = |members: Vec<Member>| leaderless(&ClusterStatusResponse { members, ..Default::default() });
        assert_eq!(warning(vec![member("a", true, true), member("b", false, false)]), None);
        let silent = warning(vec![member("a", true, false), member("b", false, true)]);
        assert!(silent.is_some_and(|text| text.contains("the leader a does not answer")));
        assert!(warning(vec![member("a", false, true)]).is_some_and(|text| text.contains("no leader")));
    }
}
