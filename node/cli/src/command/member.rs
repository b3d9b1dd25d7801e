//! `dspex member`: who belongs to the cluster.

use clap::{Args, Subcommand};
use dspex_api::Client;
use dspex_api::v1::{AddMemberRequest, ChangeMemberRequest, Member};

use super::cluster;
use crate::confirm::confirm;
use crate::error::CommandError;
use crate::exit;
use crate::follow::new_request_id;
use crate::invocation::Invocation;
use crate::listing::{self, Listing};
use crate::output::{self, Format};

/// The arguments of `dspex member`.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  dspex member                                 the same as dspex member list\n  dspex member add node-4.example:7410         it follows the log from here on, without a vote\n  dspex member promote 4183                    it votes, as soon as it has caught up\n  dspex member remove node-2 --yes             refused while the rest would have no quorum\n  dspex member transfer-leader node-3\n\nA member is named by its id or its name. A node that was lost for good is replaced by adding and promoting the new one, then removing the lost one."
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
        /// HOST:PORT of its peer port
        // Not `address`: that is the node to ask.
        #[arg(value_name = "ADDRESS")]
        peer: String,
    },
    /// Give a member a vote, as soon as it has caught up
    Promote {
        /// Its id or name
        #[arg(value_name = "MEMBER")]
        member: String,
    },
    /// Take a member's vote; it goes on following the log
    Demote(Taking),
    /// Remove a member from the cluster for good
    Remove(Taking),
    /// Let another voter lead
    TransferLeader {
        /// Its id or name
        #[arg(value_name = "MEMBER")]
        member: String,
    },
}

#[derive(Debug, Args)]
struct Taking {
    /// Its id or name
    #[arg(value_name = "MEMBER")]
    member: String,
    /// Do not ask
    #[arg(long)]
    yes: bool,
    /// Even when the rest would have no quorum, so that the cluster cannot write any more; always asks for the name
    #[arg(long)]
    force: bool,
}

/// Does what the verb says; the bare noun lists.
pub async fn execute(invocation: &Invocation, options: Options) -> Result<u8, CommandError> {
    let client = invocation.node().await?;
    let member = match options.verb {
        None | Some(Verb::List) => {
            let status = client.cluster_status().await?;
            cluster::members(&status.members).print(invocation.format)?;
            return Ok(exit::OK);
        }
        Some(Verb::Add { peer }) => {
            client.add_member(AddMemberRequest { request_id: Some(new_request_id()), address: peer }).await?
        }
        Some(Verb::Promote { member }) => client.promote_member(request(member, false)).await?,
        Some(Verb::Demote(taking)) => {
            ask(&client, "take the vote of", &taking).await?;
            client.demote_member(request(taking.member, taking.force)).await?
        }
        Some(Verb::Remove(taking)) => {
            ask(&client, "remove", &taking).await?;
            client.remove_member(request(taking.member, taking.force)).await?
        }
        Some(Verb::TransferLeader { member }) => client.transfer_leader(request(member, false)).await?,
    };
    show(invocation, &member)
}

fn request(member: String, force: bool) -> ChangeMemberRequest {
    ChangeMemberRequest { request_id: Some(new_request_id()), member, force }
}

/// Whoever forces it types the name, in scripts, too: it can end the cluster.
async fn ask(client: &Client, what: &str, taking: &Taking) -> Result<(), CommandError> {
    let known = client.cluster_status().await?.members;
    let shown = known.iter().find(|member| member.node_id.to_string() == taking.member || member.name == taking.member);
    let name = shown.map_or(taking.member.clone(), |member| match member.name.as_str() {
        "" => member.node_id.to_string(),
        name => name.to_owned(),
    });
    let warning = if taking.force { ", whether or not the rest has a quorum," } else { "" };
    confirm(&format!("{what} member {name}{warning}"), &name, taking.yes && !taking.force)
}

fn show(invocation: &Invocation, member: &Member) -> Result<u8, CommandError> {
    let value = cluster::object(member);
    match invocation.format {
        Format::Table => output::text(&listing::pairs(&value))?,
        Format::Json | Format::Jsonl => output::json(&value)?,
        Format::Csv => Listing::of_objects(vec![value]).print(Format::Csv)?,
    }
    Ok(exit::OK)
}
