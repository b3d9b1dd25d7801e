//! Appends in flight to one peer: sent in order, answered in order, ended by the first that fails.

use std::future::ready;
use std::sync::Arc;
use std::time::Duration;

use futures::stream::{self, Stream, StreamExt};
use openraft::base::BoxStream;
use openraft::errors::RPCError;
use openraft::network::RPCOption;
use openraft::raft::{AppendEntriesRequest, StreamAppendResult};

use super::{Peer, Purpose, method, rpc_error, unreadable};
use crate::codec::wire;
use crate::types::Types;

/// Appends on their way at once. Each is a megabyte of entries at the most.
pub(super) const IN_FLIGHT: usize = 64;

/// A follower that syncs slowly is still a follower; the transport notices one that is gone.
const SLOWEST_APPEND: Duration = Duration::from_secs(5);

type Answer = Result<StreamAppendResult<Types>, RPCError<Types>>;

/// Never fails by itself: openraft pauses between attempts when it is asked for the next append, so the failure to reach the
/// peer must be the answer to one. (Failing here instead gave 50,000 attempts a second at a peer that was gone.)
pub(super) fn stream<'s, S>(peer: &'s Peer, input: S, option: &RPCOption) -> BoxStream<'s, Answer>
where
    S: Stream<Item = AppendEntriesRequest<Types>> + Send + Unpin + 'static,
{
    let (method, limit) = match peer.purpose {
        Purpose::Replication => (method::APPEND, SLOWEST_APPEND),
        Purpose::Heartbeat => (method::HEARTBEAT, option.soft_ttl()),
    };
    let setup = option.soft_ttl();
    // One connection for all of them: another one knows nothing of what the last one has carried.
    let begun = stream::unfold((input, None), move |(mut input, session)| async move {
        let request = input.next().await?;
        let session = match session {
            Some(session) => Ok(session),
            None => {
                // Appends of a stream that was given up are refused one after another, and what comes among them as well: a
                // follower under traffic would never catch up. All of them are answered first.
                drop(peer.room.acquire_many(IN_FLIGHT as u32).await);
                peer.session(setup).await
            }
        };
        match session {
            Ok(session) => {
                let room = Arc::clone(&peer.room).acquire_owned().await;
                let pending = session.begin(method, wire::encode_append(&request)).await.map_err(rpc_error);
                // A task of its own: it waits for the answer whether or not the stream still does.
                let answer = pending.map(|pending| {
                    tokio::spawn(async move {
                        let answer = pending.within(limit).await;
                        drop(room);
                        answer
                    })
                });
                Some((answer, (input, Some(session))))
            }
            Err(error) => Some((Err(error), (input, None))),
        }
    });
    let answers = begun.map(move |begun| async move {
        let reply = begun?.await.map_err(|error| unreadable(std::io::Error::other(error)))?.map_err(rpc_error)?;
        wire::decode_appended(&reply).map_err(unreadable)
    });
    // What follows a refused append was sent for a log that the peer does not have.
    let until_refused = answers.buffered(IN_FLIGHT).scan(false, |ended, answer: Answer| {
        let item = (!*ended).then_some(answer);
        *ended = !matches!(item, Some(Ok(Ok(_))));
        ready(item)
    });
    Box::pin(until_refused)
}
