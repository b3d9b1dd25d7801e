//! The keys of executions that stay on the disk. Behind its tag each begins with a number, so that the executions of a segment
//! leave every index as one range:
//!
//! ```text
//! 0x50 sequence                                    -> the execution
//! 0x51 segment, program, sequence                     by program
//! 0x52 segment, program, status, sequence             by program and status
//! 0x53 segment, status, sequence                      by status
//! 0x54 segment, session, sequence                  -> status and program: by session
//! 0x55 segment, id                                 -> sequence
//! 0x56 sequence, digest                               a blob that it refers to
//! 0x57 segment                                        every blob of the segment has the next key, too
//! 0x57 segment, digest, sequence                      by blob
//! ```
//!
//! Numbers are big endian. A segment is named by its first sequence number; a program or a session by the first half of the
//! sha256 of its name, so that keys are short whatever the names are.

use crate::{Digest, Execution, ExecutionId, ExecutionStatus};

const TAG_EXECUTION: u8 = 0x50;
const TAG_BY_PROGRAM: u8 = 0x51;
const TAG_BY_PROGRAM_AND_STATUS: u8 = 0x52;
const TAG_BY_STATUS: u8 = 0x53;
const TAG_BY_SESSION: u8 = 0x54;
const TAG_BY_ID: u8 = 0x55;
const TAG_BLOB: u8 = 0x56;
const TAG_BY_BLOB: u8 = 0x57;

/// Every tag that is in use.
const TAGS: [u8; 8] = [
    TAG_EXECUTION,
    TAG_BY_PROGRAM,
    TAG_BY_PROGRAM_AND_STATUS,
    TAG_BY_STATUS,
    TAG_BY_SESSION,
    TAG_BY_ID,
    TAG_BLOB,
    TAG_BY_BLOB,
];

/// From where on keys are those of records that no state holds in memory, and where that ends.
pub const COLD_RECORDS: (&[u8], &[u8]) = (&[TAG_EXECUTION], &[0x58]);

/// Whether a record stays on the disk.
pub(crate) fn is_cold(key: &[u8]) -> bool {
    let (from, to) = COLD_RECORDS;
    (from..to).contains(&key)
}

/// What stands for a program's or a session's name.
pub(super) type Short = [u8; 16];

pub(super) fn short(name: &str) -> Short {
    let mut short = Short::default();
    short.copy_from_slice(&Digest::of(name.as_bytes()).0[..16]);
    short
}

fn joined(tag: u8, number: u64, parts: &[&[u8]]) -> Vec<u8> {
    let mut key = Vec::with_capacity(9 + parts.iter().map(|part| part.len()).sum::<usize>());
    key.push(tag);
    key.extend_from_slice(&number.to_be_bytes());
    parts.iter().for_each(|part| key.extend_from_slice(part));
    key
}

pub(super) fn execution(sequence: u64) -> Vec<u8> {
    joined(TAG_EXECUTION, sequence, &[])
}

pub(super) fn by_id(segment: u64, id: ExecutionId) -> Vec<u8> {
    joined(TAG_BY_ID, segment, &[&id.0.to_be_bytes()])
}

/// What stands in every index of an execution, beside the execution itself.
pub(super) fn indexes(segment: u64, sequence: u64, execution: &Execution) -> Vec<(Vec<u8>, Vec<u8>)> {
    let (program, status) = (short(&execution.program), execution.status.byte());
    let number = sequence.to_be_bytes();
    let mut indexes = vec![
        (joined(TAG_BY_PROGRAM, segment, &[&program, &number]), Vec::new()),
        (joined(TAG_BY_PROGRAM_AND_STATUS, segment, &[&program, &[status], &number]), Vec::new()),
        (joined(TAG_BY_STATUS, segment, &[&[status], &number]), Vec::new()),
        (by_id(segment, execution.id), number.to_vec()),
    ];
    if let Some(session) = &execution.session {
        let key = joined(TAG_BY_SESSION, segment, &[&short(session.as_str()), &number]);
        indexes.push((key, [&[status], &program[..]].concat()));
    }
    indexes.extend(execution.blobs().map(|digest| (joined(TAG_BLOB, sequence, &[&digest.0]), Vec::new())));
    indexes
}

/// What says that every blob of a segment is found by its digest. Segments that an older version began do not have it.
pub(super) fn has_all_by_blob(segment: u64) -> Vec<u8> {
    joined(TAG_BY_BLOB, segment, &[])
}

/// By the blobs that it refers to.
pub(super) fn by_blob(segment: u64, sequence: u64, execution: &Execution) -> impl Iterator<Item = Vec<u8>> {
    execution.blobs().map(move |digest| joined(TAG_BY_BLOB, segment, &[&digest.0, &sequence.to_be_bytes()]))
}

/// Where the executions of a segment from one number up to another stand that refer to a blob.
pub(super) fn referring(segment: u64, digest: &Digest, from: u64, to: u64) -> (Vec<u8>, Vec<u8>) {
    let key = |number: u64| joined(TAG_BY_BLOB, segment, &[&digest.0, &number.to_be_bytes()]);
    (key(from), key(to))
}

/// The ranges in which everything stands of the executions from one number up to another, which is that of a segment, too.
pub(super) fn whole(from: u64, to: u64) -> impl Iterator<Item = (Vec<u8>, Vec<u8>)> {
    TAGS.into_iter().map(move |tag| (joined(tag, from, &[]), joined(tag, to, &[])))
}

/// An index in which executions stand in their order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Index {
    Program(Short),
    ProgramAndStatus(Short, ExecutionStatus),
    Status(ExecutionStatus),
    Session(Short),
}

impl Index {
    /// Where the executions from one number up to another stand in a segment.
    pub(super) fn range(self, segment: u64, from: u64, to: u64) -> (Vec<u8>, Vec<u8>) {
        let key = |sequence: u64| {
            let number = sequence.to_be_bytes();
            match self {
                Self::Program(program) => joined(TAG_BY_PROGRAM, segment, &[&program, &number]),
                Self::ProgramAndStatus(program, status) => {
                    joined(TAG_BY_PROGRAM_AND_STATUS, segment, &[&program, &[status.byte()], &number])
                }
                Self::Status(status) => joined(TAG_BY_STATUS, segment, &[&[status.byte()], &number]),
                Self::Session(session) => joined(TAG_BY_SESSION, segment, &[&session, &number]),
            }
        };
        (key(from), key(to))
    }
}

/// The number that a key of an [`Index`] ends with, or a value of [`by_id`] is.
pub(super) fn sequence_at_end(bytes: &[u8]) -> Option<u64> {
    bytes.last_chunk().map(|number| u64::from_be_bytes(*number))
}

/// Whether the value of an index by session speaks of this program and status.
pub(super) fn matches(value: &[u8], program: Option<Short>, status: Option<ExecutionStatus>) -> bool {
    let Some((&found_status, found_program)) = value.split_first() else { return false };
    status.is_none_or(|status| status.byte() == found_status) && program.is_none_or(|program| program == found_program)
}

/// Where the blobs stand that executions from this number on refer to.
pub(super) fn blobs_from(sequence: u64) -> (Vec<u8>, Vec<u8>) {
    (joined(TAG_BLOB, sequence, &[]), vec![TAG_BLOB + 1])
}

/// The same up to another number.
pub(super) fn blobs_between(from: u64, to: u64) -> (Vec<u8>, Vec<u8>) {
    (joined(TAG_BLOB, from, &[]), joined(TAG_BLOB, to, &[]))
}

/// The execution and the blob that a key of [`blobs_from`] names; `None`: it is another kind of key.
pub(crate) fn blob(key: &[u8]) -> Option<(u64, Digest)> {
    let (number, digest) = key.strip_prefix(&[TAG_BLOB])?.split_first_chunk()?;
    Some((u64::from_be_bytes(*number), Digest(digest.try_into().ok()?)))
}
