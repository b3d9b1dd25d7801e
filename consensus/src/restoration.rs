//! The log of a new cluster that begins with a state.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::sync::mpsc;

use dspex_model::{COLD_RECORDS, Change, State};
use dspex_storage::{DataDirectory, Done, StateStore};
use openraft::vote::{RaftLeaderId, RaftVote};

use crate::codec;
use crate::image::LogPosition;
use crate::types::{LeaderId, LogId, Member, Membership, StoredMembership, Vote};

/// Records that are written together.
const BATCH_BYTES: usize = 4 * 1024 * 1024;

/// Records that no state holds in memory, on their way from a snapshot into the directory of a new cluster, before
/// [`begin_log`] makes it one.
#[derive(Debug)]
pub struct RecordStoring {
    store: StateStore,
    batch: Vec<Change>,
    bytes: usize,
}

impl RecordStoring {
    /// Into this directory.
    pub fn new(data: &DataDirectory) -> Self {
        Self { store: data.state().clone(), batch: Vec::new(), bytes: 0 }
    }

    /// Takes a record of the snapshot; others than cold ones are passed over.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn take(&mut self, key: &[u8], value: &[u8]) -> io::Result<()> {
        let (from, to) = COLD_RECORDS;
        if !(from..to).contains(&key) {
            return Ok(());
        }
        self.put(key.to_vec(), value.to_vec(), &codec::encode_position(None))
    }

    /// Writes what is left.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn finish(mut self) -> io::Result<()> {
        self.write(&codec::encode_position(None), None)
    }

    fn put(&mut self, key: Vec<u8>, value: Vec<u8>, position: &[u8]) -> io::Result<()> {
        self.bytes += key.len() + value.len();
        self.batch.push(Change::Put { key, value });
        if self.bytes >= BATCH_BYTES { self.write(position, None) } else { Ok(()) }
    }

    fn write(&mut self, position: &[u8], membership: Option<&[u8]>) -> io::Result<()> {
        self.bytes = 0;
        self.store.write(&std::mem::take(&mut self.batch), position, membership)
    }
}

/// Gives a directory without a log a state, beside the cold records that it has, as the whole cluster of its node alone: the
/// node votes, leads when it starts, and hands the state on as a snapshot to the members that come. `address` is where these
/// reach it; empty: nobody will.
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

    let mut storing = RecordStoring::new(data);
    state.records().try_for_each(|(key, value)| storing.put(key, value, &position))?;
    storing.write(&position, Some(&membership))?;
    data.state().sync()?;
    data.snapshots().write(data.state().freeze()?, at.index)?;
    let vote = codec::encode_vote(&Vote::from_leader_id(leader, true));
    acknowledged(|done| data.log().save_vote(&vote, done))?;
    acknowledged(|done| data.log().purge_upto(at.index, &position, done))?;
    acknowledged(|done| data.log().save_committed(&position, done))?;
    Ok(at)
}

/// Waits for the log's flusher. There is no runtime here, and nothing else to do.
fn acknowledged(write: impl FnOnce(Done)) -> io::Result<()> {
    let (sender, receiver) = mpsc::channel();
    // The receiver waits for it.
    write(Box::new(move |result| drop(sender.send(result))));
    receiver.recv().map_err(io::Error::other)?
}
