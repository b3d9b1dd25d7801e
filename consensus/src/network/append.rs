//! Appends in flight to one peer: sent in order, answered in order, ended by the first that fails.

use std::future::ready;
use std::time::Duration;

use futures::stream::{Stream, StreamExt};
use openraft::base::BoxStream;
use openraft::errors::RPCError;
use openraft::network::RPCOption;
use openraft::raft::{AppendEntriesRequest, StreamAppendResult};

use super::{Peer, Purpose, method, rpc_error, unreadable};
use crate::codec::wire;
use crate::types::Types;

/// Appends on their way at once. Each is a megabyte of entries at the most.
const IN_FLIGHT: usize = 64;

/// A follower that syncs slowly is still a follower; the transport notices one that is gone.
const SLOWEST_APPEND: Duration = Duration::from_secs(5);

type Answer = Result<StreamAppendResult<Types>, RPCError<Types>>;

pub(super) async fn stream<'s, S>(
    peer: &'s mut Peer,
    input: S,
    option: RPCOption,
) -> Result<BoxStream<'s, Answer>, RPCError<Types>>
where
    S: Stream<Item = AppendEntriesRequest<Types>> + Send + Unpin + 'static,
{
    let (method, limit) = match peer.purpose {
        Purpose::Replication => (method::APPEND, SLOWEST_APPEND),
        Purpose::Heartbeat => (method::HEARTBEAT, option.soft_ttl()),
    };
    let session = peer.links()?.consensus.session(option.soft_ttl()).await.map_err(rpc_error)?;
    let begun = input.then(move |request| {
        let session = session.clone();
        async move { session.begin(method, wire::encode_append(&request)).await }
    });
    let answers = begun.map(move |begun| async move {
        let reply = begun.map_err(rpc_error)?.within(limit).await.map_err(rpc_error)?;
        wire::decode_appended(&reply).map_err(unreadable)
    });
    // What follows a refused append was sent for a log that the peer does not have.
    let until_refused = answers.buffered(IN_FLIGHT).scan(false, |ended, answer: Answer| {
        let item = (!*ended).then_some(answer);
        *ended = !matches!(item, Some(Ok(Ok(_))));
        ready(item)
    });
    Ok(Box::pin(until_refused))
}
