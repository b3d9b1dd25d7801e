//! The log as openraft sees it, over the simulated disk. It does what `consensus/src/log.rs` does over RocksDB.

use std::fmt::Debug;
use std::io;
use std::ops::{Bound, RangeBounds};
use std::sync::Arc;

use openraft::entry::RaftEntry;
use openraft::storage::{IOFlushed, LogState, RaftLogReader, RaftLogStorage};
use openraft::{OptionalSend, RaftTypeConfig};
use tokio::sync::oneshot;

use crate::disk::{Disk, Done, LogWrite};
use crate::mutant::Mutant;
use crate::observer::Seen;
use crate::traps::Moment;
use crate::types::{Entry, LogId, Types, Vote};
use crate::world::World;

/// A handle to the log; clones share it.
#[derive(Clone)]
pub(crate) struct RaftLog {
    node: u64,
    disk: Disk,
    world: Arc<World>,
}

impl RaftLog {
    pub(crate) fn new(node: u64, disk: Disk, world: Arc<World>) -> Self {
        Self { node, disk, world }
    }

    async fn acknowledged(&self, write: LogWrite) -> io::Result<()> {
        acknowledged(|done| self.disk.write_log(write, Some(done))).await
    }
}

/// Starts something and waits until it is acknowledged.
pub(crate) async fn acknowledged(begin: impl FnOnce(Done)) -> io::Result<()> {
    let (sender, receiver) = oneshot::channel();
    begin(Box::new(move || {
        // Nobody waits any more when the node is being stopped.
        let _ = sender.send(());
    }));
    receiver.await.map_err(|_| io::Error::new(io::ErrorKind::BrokenPipe, "the log is closed"))
}

impl RaftLogReader<Types> for RaftLog {
    async fn try_get_log_entries<RB: RangeBounds<u64> + Clone + Debug + OptionalSend>(
        &mut self,
        range: RB,
    ) -> io::Result<Vec<Entry>> {
        let bounds = (range.start_bound().cloned(), range.end_bound().cloned());
        if let (Bound::Included(start), Bound::Excluded(end)) = bounds
            && start >= end
        {
            return Ok(Vec::new());
        }
        let contents = self.disk.contents();
        Ok(contents.log.read().entries.range(bounds).map(|(_, entry)| entry.clone()).collect())
    }

    async fn limited_get_log_entries(&mut self, start: u64, end: u64) -> io::Result<Vec<Entry>> {
        let end = end.min(start.saturating_add(self.world.settings.read_entries));
        self.try_get_log_entries(start..end).await
    }

    async fn read_vote(&mut self) -> io::Result<Option<Vote>> {
        Ok(self.disk.contents().log.read().vote)
    }
}

impl RaftLogStorage<Types> for RaftLog {
    type LogReader = Self;

    async fn get_log_state(&mut self) -> io::Result<LogState<Types>> {
        let contents = self.disk.contents();
        let log = contents.log.read();
        Ok(LogState { last_purged_log_id: log.purged, last_log_id: log.last() })
    }

    async fn get_log_reader(&mut self) -> Self {
        self.clone()
    }

    async fn save_vote(&mut self, vote: &Vote) -> io::Result<()> {
        if self.world.mutant == Some(Mutant::VotesUnsynced) {
            self.disk.write_log(LogWrite::Vote(*vote), None);
        } else {
            self.acknowledged(LogWrite::Vote(*vote)).await?;
        }
        self.world.observer.see(Seen::Voted { node: self.node, vote: *vote.leader_id() });
        Ok(())
    }

    async fn save_committed(&mut self, committed: Option<LogId>) -> io::Result<()> {
        self.disk.write_log(LogWrite::Committed(committed), None);
        Ok(())
    }

    async fn read_committed(&mut self) -> io::Result<Option<LogId>> {
        Ok(self.disk.contents().log.read().committed)
    }

    async fn append<I>(&mut self, entries: I, callback: IOFlushed<Types>) -> io::Result<()>
    where
        I: IntoIterator<Item = <Types as RaftTypeConfig>::Entry> + OptionalSend,
        I::IntoIter: OptionalSend,
    {
        let entries: Vec<Entry> = entries.into_iter().collect();
        let last = self.disk.contents().log.read().last();
        if let Some(first) = entries.first()
            && last.is_some_and(|last| first.index() != last.index + 1)
        {
            let detail = format!("entry {} does not follow the last entry {last:?}", first.index());
            return Err(io::Error::new(io::ErrorKind::InvalidInput, detail));
        }
        self.world.observer.see(Seen::Appended { node: self.node, before: last, entries: &entries });
        if self.world.mutant == Some(Mutant::AcknowledgesUnsynced) {
            self.disk.write_log(LogWrite::Append(entries), None);
            callback.io_completed(Ok(()));
        } else {
            self.disk.write_log(LogWrite::Append(entries), Some(Box::new(move || callback.io_completed(Ok(())))));
        }
        Ok(())
    }

    async fn truncate_after(&mut self, last_log_id: Option<LogId>) -> io::Result<()> {
        self.acknowledged(LogWrite::Truncate(last_log_id.map(|id| id.index))).await
    }

    async fn purge(&mut self, log_id: LogId) -> io::Result<()> {
        self.disk.sync_state().await;
        self.acknowledged(LogWrite::Purge(log_id)).await?;
        self.world.reached(self.node, Moment::Purged).await;
        Ok(())
    }
}
