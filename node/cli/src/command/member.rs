//! `dspex member`: who belongs to the cluster.

mod drain;

use clap::{Args, Subcommand};
use dspex_api::v1::{AddMemberRequest, ChangeMemberRequest, Member};
use dspex_api::{ApiError, Client, reason};

use super::cluster;
use crate::arguments::identifier;
use crate::confirm::{confirm, confirm_by_name};
use crate::error::CommandError;
use crate::exit;
use crate::follow::new_request_id;
use crate::invocation::Invocation;
use crate::listing;
use crate::output::Format;

/// The arguments of `dspex member`.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  dspex member                                 the same as dspex member list\n  dspex member add node-4.example:7410         it follows the log from here on, without a vote\n  dspex member promote 4183                    it votes, as soon as it has caught up\n  dspex member remove node-2 --yes             refused while the rest would have no quorum\n  dspex member remove node-2 --force --confirm node-2\n                                               done all the same: nothing can be written until the quorum is back\n  dspex member transfer-leader node-3\n  dspex member drain node-2                    it takes nothing new; waits until what it has of runs has finished or moved\n  dspex member drain node-2 --undo             it takes work again, as it does by itself when it starts the next time\n\nA member is named by its id or its name. A node that was lost for good is replaced by adding and promoting the new one, then removing the lost one."
)]
pub struct Options {
    #[command(subcommand)]
    verb: Option<Verb>,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// List the members
    List,
    /// Take a node in: it follows the log, without a vote
    Add {
        /// HOST:PORT of its peer port, as in its peers.advertise
        // Not `address`: that is the node to ask.
        #[arg(value_name = "ADDRESS", value_parser = host_and_port)]
        peer: String,
    },
    /// Give a member a vote, as soon as it has caught up
    Promote {
        /// Its id or name
        #[arg(value_name = "MEMBER", value_parser = identifier)]
        member: String,
    },
    /// Take a member's vote; it goes on following the log
    Demote(Taking),
    /// Remove a member from the cluster for good
    Remove(Taking),
    /// Let another voter lead
    TransferLeader {
        /// Its id or name
        #[arg(value_name = "MEMBER", value_parser = identifier)]
        member: String,
    },
    /// Let a member take nothing new; what it has of runs finishes or moves, then it can be stopped without loss
    Drain(drain::Options),
}

#[derive(Debug, Args)]
struct Taking {
    /// Its id or name
    #[arg(value_name = "MEMBER", value_parser = identifier)]
    member: String,
    /// Do not ask
    #[arg(long)]
    yes: bool,
    /// Even when the rest would have no quorum, so that the cluster cannot write any more; wants the name, --yes or not
    #[arg(long)]
    force: bool,
    /// The member's name, for --force in scripts; on a terminal it is asked for
    #[arg(long, value_name = "NAME", requires = "force", value_parser = identifier)]
    confirm: Option<String>,
}

/// Does what the verb says; the bare noun lists.
pub async fn execute(invocation: &Invocation, options: Options) -> Result<u8, CommandError> {
    let client = invocation.node().await?;
    let member = match options.verb {
        None | Some(Verb::List) => {
            let status = client.cluster_status().await?;
            cluster::members(&status.members).print(invocation.format, &invocation.console)?;
            return Ok(exit::OK);
        }
        Some(Verb::Add { peer }) => {
            client.add_member(AddMemberRequest { request_id: Some(new_request_id()), address: peer }).await
        }
        Some(Verb::Promote { member }) => client.promote_member(request(member, false)).await,
        Some(Verb::Demote(taking)) => {
            ask(&client, "take the vote of", &taking).await?;
            client.demote_member(request(taking.member, taking.force)).await
        }
        Some(Verb::Remove(taking)) => {
            ask(&client, "remove", &taking).await?;
            let removed = client.remove_member(request(taking.member, taking.force)).await.map_err(refusal)?;
            return tell_removed(invocation, &removed);
        }
        Some(Verb::Drain(options)) => return drain::execute(invocation, &client, options).await,
        Some(Verb::TransferLeader { member }) => client.transfer_leader(request(member, false)).await,
    };
    listing::show(cluster::object(&member.map_err(refusal)?), invocation.format)?;
    Ok(exit::OK)
}

/// Changes of members are not kept by their request id, so they are not sent again by themselves.
fn refusal(error: ApiError) -> CommandError {
    let error = CommandError::from(error);
    match error.reason.as_ref() {
        reason::OUTCOME_UNKNOWN | reason::NODE_TIMED_OUT => error.hint(
            "dspex member list shows whether it was done; the same command may be repeated: it says what is to be",
        ),
        _ => error,
    }
}

/// There is no member any more that could be shown; programs get it as it was.
fn tell_removed(invocation: &Invocation, removed: &Member) -> Result<u8, CommandError> {
    match invocation.format {
        Format::Table => {
            let text = format!("removed member {} ({})", cluster::called(removed), removed.node_id);
            invocation.console.note(&text);
        }
        format => listing::show(cluster::object(removed), format)?,
    }
    Ok(exit::OK)
}

fn request(member: String, force: bool) -> ChangeMemberRequest {
    ChangeMemberRequest { request_id: Some(new_request_id()), member, force }
}

/// Whoever forces it gives the name, in scripts, too: it can end the cluster.
async fn ask(client: &Client, what: &str, taking: &Taking) -> Result<(), CommandError> {
    let known = client.cluster_status().await?.members;
    let shown = known.iter().find(|member| member.node_id.to_string() == taking.member || member.name == taking.member);
    let name = shown.map_or(taking.member.clone(), cluster::called);
    if taking.force {
        let what = format!("{what} member {name}, whether or not the rest has a quorum,");
        return confirm_by_name(&what, &name, taking.confirm.as_deref());
    }
    confirm(&format!("{what} member {name}"), &name, taking.yes)
}

fn host_and_port(text: &str) -> Result<String, String> {
    let port = text.rsplit_once(':').filter(|(host, _)| !host.is_empty() && !host.contains('/'));
    match port.and_then(|(_, port)| port.parse::<u16>().ok()) {
        Some(1..) => Ok(text.to_owned()),
        _ => Err("write HOST:PORT of its peer port, like node-4.example:7410".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_node_is_added_by_host_and_port() {
        for good in ["node-4.example:7410", "127.0.0.1:1", "[::1]:7410"] {
            assert_eq!(host_and_port(good), Ok(good.to_owned()));
        }
        for bad in ["node-4", ":7410", "node-4:", "node-4:0", "node-4:peer", "node-4:99999", "http://node-4:7410", ""] {
            assert!(host_and_port(bad).is_err_and(|why| why.contains("HOST:PORT")), "{bad}");
        }
    }
}
