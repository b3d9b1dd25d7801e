//! Requests on a consensus connection.

use std::io;
use std::sync::Arc;

use bytes::Bytes;
use dspex_model::{NodeId, Proposal};
use dspex_transport::{Request, Requests, Session};
use openraft::ReadPolicy;
use openraft::async_runtime::WatchReceiver;
use tokio::sync::mpsc;

use super::{PeerService, Served, appends, fellow};
use crate::codec::wire;
use crate::membership;
use crate::network::method;
use crate::outpost::Voters;
use crate::refusal::Refusal;
use crate::status::Status;
use crate::types::Raft;

/// For a change of members: promoting waits until the learner has caught up.
const MEMBER_LIMIT: std::time::Duration = std::time::Duration::from_secs(60);

/// Until the connection ends. Appends are handed on in their order; everything else is served side by side.
pub(super) async fn serve(service: PeerService, session: Session, mut requests: Requests) {
    // Unbounded, but each request in it holds one of its connection's places.
    let (appends, received) = mpsc::unbounded_channel();
    let appending = tokio::spawn(appends::run(service.clone(), received));
    // Once it is one it stays one.
    let mut peer = None;
    while let Some(request) = requests.next().await {
        let Some(served) = service.get() else {
            request.fail("consensus has not started, or is ending").await;
            continue;
        };
        peer = peer.or_else(|| fellow(&served.own, &session));
        if peer.is_none() && !matches!(request.method, method::INTRODUCE | method::JOIN) {
            request.fail("this node and the one that asks do not belong to the same cluster").await;
        } else if request.method == method::APPEND {
            // Where nobody receives, the request is dropped, and its drop tells the peer.
            let _ = appends.send(request);
        } else {
            tokio::spawn(answer(served, peer, request));
        }
    }
    drop(appends);
    let _ = appending.await;
}

async fn answer(served: Arc<Served>, peer: Option<NodeId>, request: Request) {
    match reply(&served, peer, &request).await {
        Ok(reply) => request.reply(reply).await,
        Err(error) => request.fail(error.to_string()).await,
    }
}

/// What a node asks that was removed and does not know it yet.
fn outsider(served: &Served, peer: Option<NodeId>) -> Option<Refusal> {
    let node = peer?;
    membership::known_at(&served.raft, node).is_none().then(|| {
        Refusal::Refused(format!(
            "node {node} is no member of this cluster any more: stop it, or take it in again with `dspex member add`"
        ))
    })
}

/// What nodes say that have no vote, and are no members.
fn is_of_worker(proposal: &[u8]) -> bool {
    Proposal::decode(proposal).is_ok_and(|proposal| proposal.command.is_of_worker())
}

fn voters(raft: &Raft) -> Voters {
    let metrics = raft.server_metrics();
    let metrics = metrics.borrow_watched();
    let membership = metrics.membership_config.membership();
    let address = |node| Some((NodeId(node), membership.get_node(&node)?.address.clone()));
    Voters {
        leader: metrics.current_leader.map(NodeId),
        addresses: membership.voter_ids().filter_map(address).collect(),
    }
}

async fn reply(served: &Served, peer: Option<NodeId>, request: &Request) -> io::Result<Bytes> {
    let body = &request.body;
    // Only a leader knows the members for certain; others send the peer on to it.
    let outsider = if served.raft.is_leader() { outsider(served, peer) } else { None };
    Ok(match request.method {
        method::HEARTBEAT => {
            let append = wire::decode_append(body)?;
            served.contradictions.check(&served.raft, &append)?;
            let (before, last) = (append.prev_log_id, append.entries.last().map(openraft::entry::RaftEntry::log_id));
            let reply = served.raft.append_entries(append).await.map_err(io::Error::other)?;
            wire::encode_appended(&reply.into_stream_result(before, last.or(before)))
        }
        method::VOTE => {
            let answer = served.raft.vote(wire::decode_ballot(body)?).await.map_err(io::Error::other)?;
            wire::encode_ballot_answer(&answer)
        }
        method::PRE_VOTE => {
            let answer = served.raft.pre_vote(wire::decode_ballot(body)?).await.map_err(io::Error::other)?;
            wire::encode_ballot_answer(&answer)
        }
        method::TRANSFER => {
            let transfer = wire::decode_transfer(body)?;
            let answer = served.raft.handle_transfer_leader(transfer).await.map_err(io::Error::other)?;
            wire::encode_transfer_answer(&answer)
        }
        method::PROPOSE => wire::encode_proposed(&match outsider.filter(|_| !is_of_worker(body)) {
            Some(refusal) => Err(refusal),
            None => served.leading.propose_encoded(body).await,
        }),
        method::READ_INDEX => wire::encode_read_index(&match outsider {
            Some(refusal) => Err(refusal),
            None => served.rounds.join().await,
        }),
        method::LEASE_INDEX => wire::encode_read_index(&match outsider {
            Some(refusal) => Err(refusal),
            None => served.leading.read_index(ReadPolicy::LeaseRead).await,
        }),
        method::MEMBER if outsider.is_some() => wire::encode_member_changed(&outsider.map_or(Ok(()), Err)),
        method::MEMBER => {
            let change = wire::decode_member_change(body)?;
            let changed = membership::begin(&served.raft, &served.copies, &change, MEMBER_LIMIT).await;
            if let Err(Refusal::Unknown(detail)) = &changed {
                tracing::warn!(?change, detail, "a change of the members did not end well");
            }
            wire::encode_member_changed(&changed)
        }
        method::INTRODUCE => wire::encode_introduction(&served.own.introduction().await),
        method::JOIN => {
            let cluster = wire::decode_join(body)?;
            served.own.join(&cluster).await.map_err(io::Error::other)?;
            tracing::info!(cluster, "this node belongs to a cluster now");
            Bytes::new()
        }
        method::VOTERS => wire::encode_voters(&voters(&served.raft)),
        method::STATUS => {
            let status = Status::of(&served.raft.metrics().borrow_watched());
            wire::encode_status(&Status { remark: served.remark.clone(), ..status }, body)
        }
        other => return Err(io::Error::other(format!("method {other} is unknown here: start a newer dspex"))),
    })
}
