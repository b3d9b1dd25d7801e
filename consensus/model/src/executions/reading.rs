//! Finding executions among the records of a disk: which keys are looked at, and nothing of how.

use std::collections::BTreeSet;
use std::ops::ControlFlow;

use super::keys::{self, Index, Short};
use super::{ExecutionSegment, ExecutionsHead, total};
use crate::codec::{CodecError, damaged};
use crate::record::{Key, Record};
use crate::{Digest, ExecutionId, ExecutionStatus, RecordedExecution};

/// Entries of a session's index that are looked at for one page, where it is to hold a program or a status only.
const EXAMINED_MAX: usize = 10_000;

/// Which end of a range comes first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// The least key.
    FirstFirst,
    /// The greatest key.
    LastFirst,
}

/// Sees a record, and says whether it wants to see the next one.
pub type Visit<'a> = dyn FnMut(&[u8], &[u8]) -> ControlFlow<()> + 'a;

/// The records of a state as they stand on a disk at one moment.
pub trait ColdRecords {
    /// Why they cannot be read.
    type Error: From<CodecError>;

    /// The value of a key.
    ///
    /// # Errors
    /// When it cannot be read.
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, Self::Error>;

    /// Shows the records from one key up to another, until `visit` has seen enough.
    ///
    /// # Errors
    /// When they cannot be read.
    fn scan(&self, from: &[u8], to: &[u8], order: Order, visit: &mut Visit<'_>) -> Result<(), Self::Error>;
}

/// Which executions somebody wants to see, newest first.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ExecutionQuery {
    /// Of this program or command.
    pub program: Option<String>,
    /// That ended so.
    pub status: Option<ExecutionStatus>,
    /// Of this session.
    pub session: Option<String>,
    /// Recorded at this log time or later.
    pub since_ms: Option<u64>,
    /// Recorded before this log time.
    pub until_ms: Option<u64>,
    /// Before this one: where the last page ended.
    pub before: Option<u64>,
    /// How many.
    pub limit: usize,
}

/// Executions, newest first.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ExecutionPage {
    /// With their numbers.
    pub items: Vec<(u64, RecordedExecution)>,
    /// Where the next page begins ([`ExecutionQuery::before`]); `None`: there is none. A page may be shorter than asked for, and
    /// have one behind it all the same.
    pub next: Option<u64>,
    /// How many are kept in all, in the order of [`ExecutionStatus::ALL`].
    pub counts: [u64; 5],
}

/// A page of executions.
///
/// # Errors
/// When the records cannot be read.
pub fn execution_page<R: ColdRecords>(records: &R, query: &ExecutionQuery) -> Result<ExecutionPage, R::Error> {
    let history = History::read(records)?;
    let span = history.span(records, query)?;
    let (items, next) = match wanted(query) {
        None => newest(records, span, query.limit)?,
        Some((index, filter)) => {
            let (found, next) = history.walk(records, index, filter, span, query.limit)?;
            let read = |sequence| Ok((sequence, recorded(records, sequence)?));
            (found.into_iter().map(read).collect::<Result<_, R::Error>>()?, next)
        }
    };
    let counts = total(history.segments.iter().map(|(.., segment)| segment));
    Ok(ExecutionPage { items, next, counts })
}

/// The execution with this id, and its number.
///
/// # Errors
/// When the records cannot be read.
pub fn find_execution<R: ColdRecords>(
    records: &R,
    id: ExecutionId,
) -> Result<Option<(u64, RecordedExecution)>, R::Error> {
    for (segment, ..) in History::read(records)?.segments.into_iter().rev() {
        if let Some(value) = records.get(&keys::by_id(segment, id))? {
            let sequence =
                keys::sequence_at_end(&value).ok_or_else(|| damaged("an execution's number", value.len()))?;
            return Ok(Some((sequence, recorded(records, sequence)?)));
        }
    }
    Ok(None)
}

/// The number that the next execution gets.
///
/// # Errors
/// When the records cannot be read.
pub fn next_execution<R: ColdRecords>(records: &R) -> Result<u64, R::Error> {
    let head = records.get(&Key::ExecutionsHead.encode())?;
    let head = head.map(|bytes| Record::decode(Key::ExecutionsHead, &bytes)).transpose()?;
    Ok(match head {
        Some(Record::ExecutionsHead(head)) => head.next,
        _ => ExecutionsHead::default().next,
    })
}

/// The blobs that executions from this number on refer to, each with the execution's number, and all of the last one that is
/// named: about so many.
///
/// # Errors
/// When the records cannot be read.
pub fn execution_blobs<R: ColdRecords>(records: &R, from: u64, about: usize) -> Result<Vec<(u64, Digest)>, R::Error> {
    let mut blobs: Vec<(u64, Digest)> = Vec::new();
    let (from, to) = keys::blobs_from(from);
    records.scan(&from, &to, Order::FirstFirst, &mut |key, _| {
        let Some(named) = keys::blob(key) else { return ControlFlow::Continue(()) };
        if blobs.len() >= about && blobs.last().is_some_and(|(last, _)| *last != named.0) {
            return ControlFlow::Break(());
        }
        blobs.push(named);
        ControlFlow::Continue(())
    })?;
    Ok(blobs)
}

/// Those of some blobs that executions from a number on refer to. A few are looked up in each segment; of more than a segment has
/// names for, these are read through, as are those of segments that an older version began.
///
/// # Errors
/// When the records cannot be read.
pub fn named_blobs<R: ColdRecords>(records: &R, blobs: &[Digest], from: u64) -> Result<BTreeSet<Digest>, R::Error> {
    let mut named = BTreeSet::new();
    for (first, end, segment) in History::read(records)?.segments {
        let from = from.max(first);
        if from >= end || segment.blobs == 0 {
            continue;
        }
        let is_few = (blobs.len() as u64) < segment.blobs;
        if is_few && records.get(&keys::has_all_by_blob(first))?.is_some() {
            for digest in blobs {
                let (low, high) = keys::referring(first, digest, from, end);
                records.scan(&low, &high, Order::FirstFirst, &mut |_, _| {
                    named.insert(*digest);
                    ControlFlow::Break(())
                })?;
            }
            continue;
        }
        let wanted: BTreeSet<Digest> = blobs.iter().copied().collect();
        let (low, high) = keys::blobs_between(from, end);
        records.scan(&low, &high, Order::FirstFirst, &mut |key, _| {
            named.extend(keys::blob(key).map(|(_, digest)| digest).filter(|digest| wanted.contains(digest)));
            ControlFlow::Continue(())
        })?;
    }
    Ok(named)
}

/// What only some of an index's entries have.
type Filter = (Option<Short>, Option<ExecutionStatus>);

/// The index that has the fewest others in it.
fn wanted(query: &ExecutionQuery) -> Option<(Index, Filter)> {
    let (program, status) = (query.program.as_deref().map(keys::short), query.status);
    if let Some(session) = query.session.as_deref() {
        return Some((Index::Session(keys::short(session)), (program, status)));
    }
    let index = match (program, status) {
        (Some(program), Some(status)) => Index::ProgramAndStatus(program, status),
        (Some(program), None) => Index::Program(program),
        (None, Some(status)) => Index::Status(status),
        (None, None) => return None,
    };
    Some((index, (None, None)))
}

/// Sequence numbers, the second one excluded.
type Span = (u64, u64);

/// What is known of the executions that are kept.
struct History {
    next: u64,
    /// The first number of each, the one behind its last, and what is known of it; in their order.
    segments: Vec<(u64, u64, ExecutionSegment)>,
}

impl History {
    fn read<R: ColdRecords>(records: &R) -> Result<Self, R::Error> {
        let next = next_execution(records)?;
        let (from, to) = (Key::ExecutionSegment(0).encode(), Key::ExecutionSegment(u64::MAX).encode());
        let mut read: Vec<Result<(u64, ExecutionSegment), CodecError>> = Vec::new();
        records.scan(&from, &to, Order::LastFirst, &mut |key, value| {
            read.push(segment(key, value));
            ControlFlow::Continue(())
        })?;
        let (mut segments, mut end) = (Vec::with_capacity(read.len()), next);
        for segment in read {
            let (first, segment) = segment?;
            segments.push((first, end, segment));
            end = first;
        }
        segments.reverse();
        Ok(Self { next, segments })
    }

    /// The numbers among which the query looks.
    fn span<R: ColdRecords>(&self, records: &R, query: &ExecutionQuery) -> Result<Span, R::Error> {
        let mut from = self.segments.first().map_or(self.next, |(first, ..)| *first);
        let mut to = query.before.map_or(self.next, |before| before.min(self.next));
        if let Some(since_ms) = query.since_ms {
            from = from.max(self.at(records, since_ms)?);
        }
        if let Some(until_ms) = query.until_ms {
            to = to.min(self.at(records, until_ms)?);
        }
        Ok((from, to))
    }

    /// The first number that was recorded at this log time or later: log time never goes back, so numbers are in its order.
    fn at<R: ColdRecords>(&self, records: &R, time_ms: u64) -> Result<u64, R::Error> {
        let begun = self.segments.partition_point(|(.., segment)| segment.began_ms < time_ms);
        let Some(&(mut from, mut to, _)) = begun.checked_sub(1).and_then(|place| self.segments.get(place)) else {
            return Ok(self.segments.first().map_or(self.next, |(first, ..)| *first));
        };
        while from < to {
            let middle = from + (to - from) / 2;
            if recorded(records, middle)?.created_ms < time_ms {
                from = middle + 1;
            } else {
                to = middle;
            }
        }
        Ok(from)
    }

    /// The newest numbers of an index, and where the next ones begin.
    fn walk<R: ColdRecords>(
        &self,
        records: &R,
        index: Index,
        (program, status): Filter,
        (from, to): Span,
        limit: usize,
    ) -> Result<(Vec<u64>, Option<u64>), R::Error> {
        let (mut found, mut examined, mut next) = (Vec::new(), 0, None);
        for &(first, end, _) in self.segments.iter().rev() {
            let (from, to) = (from.max(first), to.min(end));
            if from >= to {
                continue;
            }
            let (from, to) = index.range(first, from, to);
            records.scan(&from, &to, Order::LastFirst, &mut |key, value| {
                let Some(sequence) = keys::sequence_at_end(key) else { return ControlFlow::Continue(()) };
                let has_all = found.len() == limit;
                if has_all || examined == EXAMINED_MAX {
                    // This one is left to the next page.
                    next = Some(sequence + 1);
                    return ControlFlow::Break(());
                }
                examined += 1;
                if !matches!(index, Index::Session(_)) || keys::matches(value, program, status) {
                    found.push(sequence);
                }
                ControlFlow::Continue(())
            })?;
            if next.is_some() {
                break;
            }
        }
        Ok((found, next))
    }
}

/// Executions with their numbers, and where the next ones begin.
type Items = (Vec<(u64, RecordedExecution)>, Option<u64>);

/// The newest of all.
fn newest<R: ColdRecords>(records: &R, (from, to): Span, limit: usize) -> Result<Items, R::Error> {
    let (mut read, mut next) = (Vec::new(), None);
    if from >= to {
        return Ok((Vec::new(), None));
    }
    records.scan(&keys::execution(from), &keys::execution(to), Order::LastFirst, &mut |key, value| {
        let Some(sequence) = keys::sequence_at_end(key) else { return ControlFlow::Continue(()) };
        if read.len() == limit {
            next = Some(sequence + 1);
            return ControlFlow::Break(());
        }
        read.push(Record::decode_execution(value).map(|execution| (sequence, execution)));
        ControlFlow::Continue(())
    })?;
    Ok((read.into_iter().collect::<Result<_, CodecError>>()?, next))
}

fn recorded<R: ColdRecords>(records: &R, sequence: u64) -> Result<RecordedExecution, R::Error> {
    let value = records.get(&keys::execution(sequence))?;
    let value = value.ok_or_else(|| damaged("an execution", format!("the record of number {sequence} is missing")))?;
    Ok(Record::decode_execution(&value)?)
}

fn segment(key: &[u8], value: &[u8]) -> Result<(u64, ExecutionSegment), CodecError> {
    match Record::decode(Key::decode(key)?, value)? {
        Record::ExecutionSegment(first, segment) => Ok((first, segment)),
        other => Err(damaged("a segment of executions", format!("{other:?}"))),
    }
}
