//! Executions: far too many for memory. The records of them are *cold*: `apply` writes them and never reads one, and a node
//! looks for them on its disk when somebody asks. What the state holds is what `apply` decides by: how far the numbers are, where
//! the segments begin, and which ones came last.
//!
//! Executions are numbered from 1 in the order of the log. A *segment* is a stretch of these numbers; every index is kept by
//! segment, and the oldest segment leaves as a whole: a few ranges of keys, whatever is in it. So nothing has to be remembered of
//! programs and sessions, of which there may be any number.

mod keys;
mod ordered;
mod reading;

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::record::{Change, Record};
use crate::{Digest, Execution, ExecutionId, RecordedExecution};

pub use keys::COLD_RECORDS;
pub(crate) use keys::{blob, is_cold};
pub use reading::{
    ColdRecords, ExecutionPage, ExecutionQuery, Order, Visit, execution_blobs, execution_page, find_execution,
    named_blobs, next_execution,
};

/// Executions that are kept, whatever they hold; the oldest segment goes when the others are as many.
pub const EXECUTIONS_MAX: u64 = 1_000_000;

/// Bytes of records that are kept: each Raft snapshot holds them.
pub const EXECUTIONS_BYTES_MAX: u64 = 2 * 1024 * 1024 * 1024;

/// How long executions are kept in milliseconds of log time.
pub const EXECUTION_RETENTION_MS: u64 = 30 * 24 * 3600 * 1000;

/// How much is kept, and in which steps it leaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Limits {
    /// Executions.
    pub(crate) kept: u64,
    /// Bytes of their records.
    pub(crate) kept_bytes: u64,
    /// Milliseconds of log time.
    pub(crate) kept_ms: u64,
    /// A segment ends with so many executions,
    pub(crate) segment: u64,
    /// so many bytes,
    pub(crate) segment_bytes: u64,
    /// or so many milliseconds after its begin.
    pub(crate) segment_ms: u64,
    /// Ids that are remembered, so that an execution that is reported again is not recorded again.
    pub(crate) remembered: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            kept: EXECUTIONS_MAX,
            kept_bytes: EXECUTIONS_BYTES_MAX,
            kept_ms: EXECUTION_RETENTION_MS,
            segment: 1 << 16,
            segment_bytes: EXECUTIONS_BYTES_MAX / 16,
            segment_ms: 24 * 3600 * 1000,
            remembered: 1 << 13,
        }
    }
}

/// What is known of all executions.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ExecutionsHead {
    /// The number of the next one.
    pub(crate) next: u64,
    /// When the last one was recorded.
    pub(crate) last_ms: u64,
    /// The digest of the last one's record and of the chain before it: equal on nodes that have recorded the same.
    pub(crate) chain: Digest,
}

impl Default for ExecutionsHead {
    fn default() -> Self {
        Self { next: 1, last_ms: 0, chain: Digest([0; 32]) }
    }
}

/// What is known of a segment; its name is its first number.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ExecutionSegment {
    /// When its first one was recorded.
    pub(crate) began_ms: u64,
    /// Bytes of its records.
    pub(crate) bytes: u64,
    /// How often its executions refer to a blob.
    pub(crate) blobs: u64,
    /// Executions, by the place of their status.
    pub(crate) counts: [u64; 5],
}

impl ExecutionSegment {
    fn count(&self) -> u64 {
        self.counts.iter().sum()
    }
}

/// What the state holds of executions.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Executions {
    head: ExecutionsHead,
    segments: BTreeMap<u64, ExecutionSegment>,
    /// Ids that came last, by the first number of the command that brought them.
    recent: BTreeMap<u64, Vec<ExecutionId>>,
    recent_ids: BTreeSet<ExecutionId>,
    limits: Limits,
}

/// What recording gives.
#[derive(Debug, Default)]
pub(crate) struct Recording {
    /// The number of the first one that counts.
    pub(crate) first: u64,
    /// How many count.
    pub(crate) recorded: u32,
    /// What the state holds from then on.
    pub(crate) written: Vec<Record>,
    /// The commands whose ids are forgotten.
    pub(crate) forgotten: Vec<u64>,
    /// What the disk alone holds.
    pub(crate) cold: Vec<Change>,
}

/// A segment that leaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Expired {
    /// Its name.
    pub(crate) segment: u64,
    /// The first number behind it.
    pub(crate) end: u64,
    /// Whether its executions refer to blobs.
    pub(crate) has_blobs: bool,
}

impl Executions {
    /// What these executions bring to the log at this time.
    pub(crate) fn record(&self, now_ms: u64, executions: &[Execution]) -> Recording {
        let (mut head, mut segments) = (self.head, BTreeMap::new());
        let mut open = self.segments.last_key_value().map(|(first, segment)| (*first, *segment));
        let mut ids = BTreeSet::new();
        let mut recording = Recording { first: head.next, ..Recording::default() };
        for execution in executions {
            if self.recent_ids.contains(&execution.id) || !ids.insert(execution.id) {
                continue;
            }
            let (first, mut segment) = open
                .filter(|(_, segment)| !self.is_full(segment, now_ms))
                .unwrap_or((head.next, ExecutionSegment { began_ms: now_ms, ..ExecutionSegment::default() }));
            if segment.count() == 0 {
                recording.cold.push(Change::Put { key: keys::has_all_by_blob(first), value: Vec::new() });
            }
            let record = RecordedExecution { created_ms: now_ms, execution: execution.clone() };
            let value = Record::encode_execution(&record);
            let indexes = keys::indexes(first, head.next, execution);
            segment.counts[execution.status.place()] += 1;
            segment.blobs += execution.blobs().count() as u64;
            segment.bytes += value.len() as u64 + indexes.iter().map(|(key, _)| key.len() as u64).sum::<u64>();
            head.chain = Digest::of_parts([head.chain.0.to_vec(), value.clone()].into_iter());
            recording.cold.push(Change::Put { key: keys::execution(head.next), value });
            recording.cold.extend(indexes.into_iter().map(|(key, value)| Change::Put { key, value }));
            // Not among the segment's bytes: what an older version counts must be the same.
            let by_blob = keys::by_blob(first, head.next, execution);
            recording.cold.extend(by_blob.map(|key| Change::Put { key, value: Vec::new() }));
            head = ExecutionsHead { next: head.next + 1, last_ms: now_ms, ..head };
            segments.insert(first, segment);
            open = Some((first, segment));
        }
        recording.recorded = ids.len() as u32;
        if recording.recorded > 0 {
            recording.written.push(Record::ExecutionsHead(head));
            let segments = segments.into_iter().map(|(first, segment)| Record::ExecutionSegment(first, segment));
            recording.written.extend(segments);
            let order = executions.iter().map(|execution| execution.id).filter(|id| ids.remove(id)).collect();
            recording.written.push(Record::RecentExecutions(recording.first, order));
            recording.forgotten = self.forgotten(recording.recorded as usize);
        }
        recording
    }

    fn is_full(&self, segment: &ExecutionSegment, now_ms: u64) -> bool {
        segment.count() >= self.limits.segment
            || segment.bytes >= self.limits.segment_bytes
            || segment.began_ms + self.limits.segment_ms <= now_ms
    }

    /// The commands whose ids nobody has to remember when so many more come.
    fn forgotten(&self, added: usize) -> Vec<u64> {
        let mut held = self.recent_ids.len() + added;
        let mut forgotten = Vec::new();
        for (first, ids) in &self.recent {
            held -= ids.len();
            if held < self.limits.remembered {
                break;
            }
            forgotten.push(*first);
        }
        forgotten
    }

    /// The oldest segment, when its time is over, or the others hold as much as is kept. Only one is looked at, so that an
    /// apply stays short.
    pub(crate) fn expired(&self, now_ms: u64) -> Option<Expired> {
        let mut segments = self.segments.iter();
        let (&segment, oldest) = segments.next()?;
        let (end, last_ms) = match segments.next() {
            Some((&next, segment)) => (next, segment.began_ms),
            None => (self.head.next, self.head.last_ms),
        };
        let bytes: u64 = self.segments.values().skip(1).map(|segment| segment.bytes).sum();
        let is_over = last_ms + self.limits.kept_ms < now_ms
            || self.head.next - end >= self.limits.kept
            || bytes >= self.limits.kept_bytes;
        is_over.then_some(Expired { segment, end, has_blobs: oldest.blobs > 0 })
    }

    /// How many are kept, by their statuses.
    pub(crate) fn counts(&self) -> [u64; 5] {
        total(self.segments.values())
    }

    /// The first number that is kept.
    pub(crate) fn oldest(&self) -> u64 {
        self.segments.first_key_value().map_or(self.head.next, |(first, _)| *first)
    }

    /// The number of the next one.
    pub(crate) fn next(&self) -> u64 {
        self.head.next
    }

    pub(crate) fn head(&self) -> Option<ExecutionsHead> {
        (self.head != ExecutionsHead::default()).then_some(self.head)
    }

    pub(crate) fn segments(&self) -> impl Iterator<Item = (u64, ExecutionSegment)> {
        self.segments.iter().map(|(first, segment)| (*first, *segment))
    }

    pub(crate) fn recent(&self) -> impl Iterator<Item = (u64, &Vec<ExecutionId>)> {
        self.recent.iter().map(|(first, ids)| (*first, ids))
    }

    pub(crate) fn set_head(&mut self, head: ExecutionsHead) {
        self.head = head;
    }

    pub(crate) fn set_segment(&mut self, first: u64, segment: ExecutionSegment) {
        self.segments.insert(first, segment);
    }

    pub(crate) fn remove_segment(&mut self, first: u64) {
        self.segments.remove(&first);
    }

    pub(crate) fn remember(&mut self, first: u64, ids: Vec<ExecutionId>) {
        self.recent_ids.extend(&ids);
        self.recent.insert(first, ids);
    }

    pub(crate) fn forget(&mut self, first: u64) {
        for id in self.recent.remove(&first).unwrap_or_default() {
            self.recent_ids.remove(&id);
        }
    }

    #[cfg(test)]
    pub(crate) fn limit(&mut self, limits: Limits) {
        self.limits = limits;
    }
}

/// What removes every record of whole segments that only the disk holds: from the first number up to the one behind the last.
pub(crate) fn removal(from: u64, to: u64) -> impl Iterator<Item = Change> {
    keys::whole(from, to).map(|(from, to)| Change::RemoveRange { from, to })
}

fn total<'a>(segments: impl Iterator<Item = &'a ExecutionSegment>) -> [u64; 5] {
    segments.fold([0; 5], |mut total, segment| {
        total.iter_mut().zip(segment.counts).for_each(|(total, count)| *total += count);
        total
    })
}
