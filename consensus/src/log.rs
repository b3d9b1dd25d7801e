//! The log as openraft sees it, over the log store.

use std::fmt::Debug;
use std::io;
use std::ops::{Bound, Range, RangeBounds};

use dspex_storage::{Done, LogStore, StateStore};
use futures::stream::{self, Stream};
use openraft::entry::RaftEntry;
use openraft::storage::{IOFlushed, LogState, RaftLogReader, RaftLogStorage};
use openraft::{OptionalSend, RaftTypeConfig};

use crate::codec;
use crate::types::{Entry, LogId, Types, Vote};

/// Bytes of entries read at once where a part is enough: applying must not hold the whole backlog in memory.
const READ_BYTES: u64 = 1024 * 1024;

/// A handle to the log; clones share it.
#[derive(Debug, Clone)]
pub(crate) struct RaftLog {
    log: LogStore,
    state: StateStore,
}

impl RaftLog {
    pub(crate) fn new(log: LogStore, state: StateStore) -> Self {
        Self { log, state }
    }

    fn read(&self, range: Range<u64>, most_bytes: u64) -> io::Result<Vec<Entry>> {
        let entries = self.log.read(range, most_bytes)?;
        entries.iter().map(|(index, bytes)| decode(*index, bytes)).collect()
    }
}

/// Decodes an entry and checks that it is the one that belongs at its index.
fn decode(index: u64, bytes: &[u8]) -> io::Result<Entry> {
    let entry = codec::decode_entry(bytes)
        .map_err(|error| io::Error::new(error.kind(), format!("log entry {index}: {error}")))?;
    if entry.index() != index {
        let detail = format!("log entry {index} says that it is {}", entry.index());
        return Err(io::Error::new(io::ErrorKind::InvalidData, detail));
    }
    Ok(entry)
}

fn range_of(range: &impl RangeBounds<u64>) -> Range<u64> {
    let start = match range.start_bound() {
        Bound::Included(index) => *index,
        Bound::Excluded(index) => index.saturating_add(1),
        Bound::Unbounded => 0,
    };
    let end = match range.end_bound() {
        Bound::Included(index) => index.saturating_add(1),
        Bound::Excluded(index) => *index,
        Bound::Unbounded => u64::MAX,
    };
    start..end
}

/// Starts a write and waits for the flusher's acknowledgement without blocking a runtime thread.
pub(crate) async fn acknowledged(write: impl FnOnce(Done)) -> io::Result<()> {
    let (sender, receiver) = tokio::sync::oneshot::channel();
    write(Box::new(move |result| {
        // Nobody waits any more when the node is being stopped.
        let _ = sender.send(result);
    }));
    receiver.await.map_err(|_| io::Error::new(io::ErrorKind::BrokenPipe, "the log is closed"))?
}

impl RaftLogReader<Types> for RaftLog {
    async fn try_get_log_entries<RB: RangeBounds<u64> + Clone + Debug + OptionalSend>(
        &mut self,
        range: RB,
    ) -> io::Result<Vec<Entry>> {
        self.read(range_of(&range), u64::MAX)
    }

    async fn entries_stream<RB>(&mut self, range: RB) -> impl Stream<Item = io::Result<Entry>> + OptionalSend
    where
        RB: RangeBounds<u64> + Clone + Debug + OptionalSend,
    {
        let log = self.clone();
        Box::pin(stream::unfold(Parts::new(log, range_of(&range)), Parts::next))
    }

    async fn limited_get_log_entries(&mut self, start: u64, end: u64) -> io::Result<Vec<Entry>> {
        self.read(start..end, READ_BYTES)
    }

    async fn read_vote(&mut self) -> io::Result<Option<Vote>> {
        self.log.vote()?.map(|bytes| codec::decode_vote(&bytes)).transpose()
    }
}

/// A range of the log, read part by part, to be applied. It may end early, and never begins late: a state that misses entries
/// would differ from the others' and nobody would say so, because openraft takes what was asked for as applied.
struct Parts {
    log: RaftLog,
    range: Range<u64>,
    started: bool,
    ready: std::vec::IntoIter<Entry>,
}

impl Parts {
    fn new(log: RaftLog, range: Range<u64>) -> Self {
        Self { log, range, started: false, ready: Vec::new().into_iter() }
    }

    async fn next(mut self) -> Option<(io::Result<Entry>, Self)> {
        if self.ready.as_slice().is_empty()
            && let Err(error) = self.read_on()
        {
            self.range.start = self.range.end;
            return Some((Err(error), self));
        }
        self.ready.next().map(|entry| (Ok(entry), self))
    }

    /// Reads the next part; nothing at the end.
    fn read_on(&mut self) -> io::Result<()> {
        if self.range.is_empty() {
            return Ok(());
        }
        let wanted = self.range.start;
        let entries = self.log.read(self.range.clone(), READ_BYTES)?;
        let missing = match entries.first().map(RaftEntry::index) {
            Some(first) => first != wanted,
            None => !self.started || self.log.log.bounds().last.is_some_and(|last| last >= wanted),
        };
        if missing {
            return Err(io::Error::new(io::ErrorKind::InvalidData, format!("log entry {wanted} is missing")));
        }
        self.started = true;
        self.range.start = entries.last().map_or(self.range.end, |last| last.index() + 1);
        self.ready = entries.into_iter();
        Ok(())
    }
}

impl RaftLogStorage<Types> for RaftLog {
    type LogReader = Self;

    async fn get_log_state(&mut self) -> io::Result<LogState<Types>> {
        let last_purged_log_id = match self.log.last_purged()? {
            Some(bytes) => codec::decode_position(&bytes)?,
            None => None,
        };
        let last_log_id = match self.log.bounds().last {
            Some(last) => {
                let entries = self.read(last..last + 1, u64::MAX)?;
                let entry = entries.first().map(RaftEntry::log_id);
                entry.or(last_purged_log_id)
            }
            None => last_purged_log_id,
        };
        Ok(LogState { last_purged_log_id, last_log_id })
    }

    async fn get_log_reader(&mut self) -> Self {
        self.clone()
    }

    async fn save_vote(&mut self, vote: &Vote) -> io::Result<()> {
        let bytes = codec::encode_vote(vote);
        acknowledged(|done| self.log.save_vote(&bytes, done)).await
    }

    async fn save_committed(&mut self, committed: Option<LogId>) -> io::Result<()> {
        acknowledged(|done| self.log.save_committed(&codec::encode_position(committed.as_ref()), done)).await
    }

    async fn read_committed(&mut self) -> io::Result<Option<LogId>> {
        match self.log.committed()? {
            Some(bytes) => codec::decode_position(&bytes),
            None => Ok(None),
        }
    }

    async fn append<I>(&mut self, entries: I, callback: IOFlushed<Types>) -> io::Result<()>
    where
        I: IntoIterator<Item = <Types as RaftTypeConfig>::Entry> + OptionalSend,
        I::IntoIter: OptionalSend,
    {
        let entries: Vec<_> = entries.into_iter().map(|entry| (entry.index(), codec::encode_entry(&entry))).collect();
        self.log.append(&entries, Box::new(move |result| callback.io_completed(result)));
        Ok(())
    }

    async fn truncate_after(&mut self, last_log_id: Option<LogId>) -> io::Result<()> {
        acknowledged(|done| self.log.truncate_after(last_log_id.map(|id| id.index), done)).await
    }

    async fn purge(&mut self, log_id: LogId) -> io::Result<()> {
        // The purged entries are the only other copy of what the state store has not synced yet.
        let state = self.state.clone();
        tokio::task::spawn_blocking(move || state.sync()).await.map_err(io::Error::other)??;
        let bytes = codec::encode_position(Some(&log_id));
        acknowledged(|done| self.log.purge_upto(log_id.index, &bytes, done)).await
    }
}
