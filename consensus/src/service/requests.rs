//! Requests on a consensus connection.

use std::io;
use std::sync::Arc;

use bytes::Bytes;
use dspex_transport::{Request, Requests};
use openraft::ReadPolicy;
use openraft::async_runtime::WatchReceiver;
use tokio::sync::mpsc;

use super::{PeerService, Served, appends};
use crate::codec::wire;
use crate::membership;
use crate::network::method;
use crate::refusal::Refusal;
use crate::status::Status;

/// For a change of members: promoting waits until the learner has caught up.
const MEMBER_LIMIT: std::time::Duration = std::time::Duration::from_secs(60);

/// Until the connection ends. Appends are handed on in their order; everything else is served side by side.
pub(super) async fn serve(service: PeerService, mut requests: Requests) {
    // Unbounded, but each request in it holds one of its connection's places.
    let (appends, received) = mpsc::unbounded_channel();
    let appending = tokio::spawn(appends::run(service.clone(), received));
    while let Some(request) = requests.next().await {
        let Some(served) = service.get() else {
            request.fail("consensus has not started, or is ending").await;
            continue;
        };
        if request.method == method::APPEND {
            // Where nobody receives, the request is dropped, and its drop tells the peer.
            let _ = appends.send(request);
        } else {
            tokio::spawn(answer(served, request));
        }
    }
    drop(appends);
    let _ = appending.await;
}

async fn answer(served: Arc<Served>, request: Request) {
    match reply(&served, &request).await {
        Ok(reply) => request.reply(reply).await,
        Err(error) => request.fail(error.to_string()).await,
    }
}

async fn reply(served: &Served, request: &Request) -> io::Result<Bytes> {
    let body = &request.body;
    Ok(match request.method {
        method::HEARTBEAT => {
            let append = wire::decode_append(body)?;
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
        method::PROPOSE => wire::encode_proposed(&served.leading.propose_encoded(body).await),
        method::READ_INDEX => wire::encode_read_index(&served.rounds.join().await),
        method::LEASE_INDEX => wire::encode_read_index(&served.leading.read_index(ReadPolicy::LeaseRead).await),
        method::MEMBER => {
            let change = wire::decode_member_change(body)?;
            let changed = membership::change(&served.raft, &change, MEMBER_LIMIT).await;
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
        method::STATUS => wire::encode_status(&Status::of(&served.raft.metrics().borrow_watched())),
        other => return Err(io::Error::other(format!("method {other} is unknown here: start a newer dspex"))),
    })
}
