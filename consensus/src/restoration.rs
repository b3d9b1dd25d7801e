//! The log of a new cluster that begins with a state.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::sync::mpsc;

use dspex_model::State;
use dspex_storage::{DataDirectory, Done, StateStore};
use openraft::vote::{RaftLeaderId, RaftVote};

use crate::codec;
use crate::image::LogPosition;
use crate::types::{LeaderId, LogId, Member, Membership, StoredMembership, Vote};

/// Records that are written together.
const BATCH_BYTES: usize = 4 * 1024 * 1024;

/// Gives an empty directory a state, as the whole cluster of its node alone: the node votes, leads when it starts, and hands
/// the state on as a snapshot to the members that come. `address` is where these reach it; empty: nobody will.
///
/// The state stands where one more entry after `after` would, in one more term: neither goes back. The log before it is purged,
/// as it is behind any snapshot, and the vote is the one that its leader, this node, would have.
///
/// # Errors
/// When it cannot be written.
pub fn begin_log(data: &DataDirectory, state: &State, after: LogPosition, address: &str) -> io::Result<LogPosition> {
    let node = data.identity().node_id.0;
    let at = LogPosition { term: after.term + 1, index: after.index + 1 };
    let leader = LeaderId::new(at.term, node);
    let last = LogId::new(leader, at.index);
    let position = codec::encode_position(Some(&last));
    let members = BTreeMap::from([(node, Member { address: address.to_owned() })]);
    let membership = Membership::new(vec![BTreeSet::from([node])], members).map_err(io::Error::other)?;
    let membership = codec::encode_stored_membership(&StoredMembership::new(Some(last), membership));

    write(data.state(), state, &position, &membership)?;
    data.state().sync()?;
    data.snapshots().write(data.state().freeze()?, at.index)?;
    let vote = codec::encode_vote(&Vote::from_leader_id(leader, true));
    acknowledged(|done| data.log().save_vote(&vote, done))?;
    acknowledged(|done| data.log().purge_upto(at.index, &position, done))?;
    acknowledged(|done| data.log().save_committed(&position, done))?;
    Ok(at)
}

fn write(store: &StateStore, state: &State, position: &[u8], membership: &[u8]) -> io::Result<()> {
    let mut batch = Vec::new();
    let mut bytes = 0;
    let put = |batch: &mut Vec<(Vec<u8>, Vec<u8>)>| {
        let changes = batch.iter().map(|(key, value)| (&key[..], Some(&value[..])));
        store.write(changes, position, Some(membership))?;
        batch.clear();
        Ok::<_, io::Error>(())
    };
    for (key, value) in state.records() {
        bytes += key.len() + value.len();
        batch.push((key, value));
        if bytes >= BATCH_BYTES {
            put(&mut batch)?;
            bytes = 0;
        }
    }
    put(&mut batch)
}

/// Waits for the log's flusher. There is no runtime here, and nothing else to do.
fn acknowledged(write: impl FnOnce(Done)) -> io::Result<()> {
    let (sender, receiver) = mpsc::channel();
    // The receiver waits for it.
    write(Box::new(move |result| drop(sender.send(result))));
    receiver.recv().map_err(io::Error::other)?
}
