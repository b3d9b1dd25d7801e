//! What nodes say to each other about the log: the bodies of requests and replies on the peer connections.
//!
//! The envelope, log ids, votes and entries are those of the stored bytes; the kinds continue theirs.
//!
//! ```text
//! 32 append            vote | log id? before | log id? committed | entries u32 | (length u32 | entry) ...
//! 33 appended          0 log id? matching | 1 log id conflicting | 2 vote, the higher one
//! 34 ballot            vote | log id? last | leadership is handed over u8
//! 35 ballot's answer   vote | granted u8 | log id? last
//! 36 transfer          vote of the leader | to u64 | log id? that is needed
//! 37 transfer's answer 0 | 1 vote expected, vote found | 2 log id? expected, log id? found
//! 38 proposed          0 index u64, outcome | 1 | 2 node u64, address | 3 | 4 text | 5 text
//! 39 read index        0 index u64 | 1 | 2 node u64, address | 3 | 4 text
//! 40 snapshot offer    length u64 | digest 32 bytes
//! 41 snapshot has      bytes u64
//! 42 snapshot chunk    digest 32 bytes | offset u64 | bytes
//! 43 snapshot install  vote | digest 32 bytes
//! 44 snapshot's answer vote
//! 45 member change     1 node u64, address | 2 node u64 | 3 node u64, forced u8 | 4 node u64, forced u8 | 5 node u64
//! 46 member changed    0 | 1 | 2 node u64, address | 3 | 4 text | 5 text
//! 47 introduction      node u64 | address | cluster? | log has begun u8 | voters expected u32
//! 48 join              cluster
//! 49 status            node u64 | term u64 | leader? | leads u8 | last? | committed? | applied? | snapshot? | purged?
//!                      | voters u32, node u64 ... | learners u32, node u64 ... | failure?
//!                      | remark, where it was asked for (the request's body is [1]; a node that asks without reads none)
//!
//! vote = term u64 | node u64 | granted by a quorum u8          ? = present u8, then the value
//! ```

mod blobs;
mod voters;

use std::io;

use bytes::Bytes;
use dspex_model::{NodeId, Outcome};
use openraft::raft::{
    AppendEntriesRequest, StreamAppendError, TransferLeaderError, TransferLeaderRequest, TransferLeaderResponse,
    VoteRequest, VoteResponse,
};
use openraft::vote::{RaftLeaderId, RaftVote};

use super::bytes::{Reader, Writer, damaged};
use super::{decode_entry, encode_entry, read_log_id, read_optional_log_id, write_log_id, write_optional_log_id};
use crate::formation::Introduction;
use crate::leading::Proposed;
use crate::membership::MemberChange;
use crate::refusal::Refusal;
use crate::status::Status;
use crate::types::{LeaderId, LogId, Types, Vote};

pub(crate) use self::blobs::{
    DIGESTS_MAX, decode_blob_chunk, decode_blob_piece, decode_blob_read, decode_blobs, decode_digests, decode_lacking,
    encode_blob_chunk, encode_blob_piece, encode_blob_read, encode_blobs, encode_digests, encode_lacking,
};
pub(crate) use self::voters::{decode_voters, encode_voters};

const APPEND: u8 = 32;
const APPENDED: u8 = 33;
const BALLOT: u8 = 34;
const BALLOT_ANSWER: u8 = 35;
const TRANSFER: u8 = 36;
const TRANSFER_ANSWER: u8 = 37;
const PROPOSED: u8 = 38;
const READ_INDEX: u8 = 39;
const SNAPSHOT_OFFER: u8 = 40;
const SNAPSHOT_HAS: u8 = 41;
const SNAPSHOT_CHUNK: u8 = 42;
const SNAPSHOT_INSTALL: u8 = 43;
const SNAPSHOT_ANSWER: u8 = 44;
const MEMBER_CHANGE: u8 = 45;
const MEMBER_CHANGED: u8 = 46;
const INTRODUCTION: u8 = 47;
const JOIN: u8 = 48;
const STATUS: u8 = 49;

/// What a follower answers to an append.
pub(crate) type Appended = Result<Option<LogId>, StreamAppendError<Types>>;

/// A snapshot's digest: what its file ends with.
pub(crate) type SnapshotDigest = [u8; 32];

pub(crate) fn encode_append(request: &AppendEntriesRequest<Types>) -> Bytes {
    let mut writer = Writer::new(APPEND, 128);
    write_vote(&mut writer, &request.vote);
    write_optional_log_id(&mut writer, request.prev_log_id.as_ref());
    write_optional_log_id(&mut writer, request.leader_commit.as_ref());
    writer.count(request.entries.len());
    for entry in &request.entries {
        let bytes = encode_entry(entry);
        writer.count(bytes.len());
        writer.raw(&bytes);
    }
    writer.finish().into()
}

pub(crate) fn decode_append(bytes: &[u8]) -> io::Result<AppendEntriesRequest<Types>> {
    let mut reader = Reader::open_as("append request", APPEND, bytes)?;
    let vote = read_vote(&mut reader)?;
    let prev_log_id = read_optional_log_id(&mut reader)?;
    let leader_commit = read_optional_log_id(&mut reader)?;
    let mut entries = Vec::new();
    for _ in 0..reader.u32()? {
        let length = reader.u32()?;
        entries.push(decode_entry(reader.take(length as usize)?)?);
    }
    reader.end()?;
    Ok(AppendEntriesRequest { vote, prev_log_id, entries, leader_commit })
}

pub(crate) fn encode_appended(appended: &Appended) -> Bytes {
    let mut writer = Writer::new(APPENDED, 32);
    match appended {
        Ok(matching) => {
            writer.u8(0);
            write_optional_log_id(&mut writer, matching.as_ref());
        }
        Err(StreamAppendError::Conflict(log_id)) => {
            writer.u8(1);
            write_log_id(&mut writer, log_id);
        }
        Err(StreamAppendError::HigherVote(vote)) => {
            writer.u8(2);
            write_vote(&mut writer, vote);
        }
    }
    writer.finish().into()
}

pub(crate) fn decode_appended(bytes: &[u8]) -> io::Result<Appended> {
    let mut reader = Reader::open_as("append reply", APPENDED, bytes)?;
    let appended = match reader.u8()? {
        0 => Ok(read_optional_log_id(&mut reader)?),
        1 => Err(StreamAppendError::Conflict(read_log_id(&mut reader)?)),
        2 => Err(StreamAppendError::HigherVote(read_vote(&mut reader)?)),
        other => return Err(unknown("append reply", other)),
    };
    reader.end()?;
    Ok(appended)
}

pub(crate) fn encode_ballot(request: &VoteRequest<Types>) -> Bytes {
    let mut writer = Writer::new(BALLOT, 48);
    write_vote(&mut writer, &request.vote);
    write_optional_log_id(&mut writer, request.last_log_id.as_ref());
    writer.u8(u8::from(request.leadership_transfer));
    writer.finish().into()
}

pub(crate) fn decode_ballot(bytes: &[u8]) -> io::Result<VoteRequest<Types>> {
    let mut reader = Reader::open_as("vote request", BALLOT, bytes)?;
    let mut request = VoteRequest::new(read_vote(&mut reader)?, read_optional_log_id(&mut reader)?);
    request.leadership_transfer = reader.flag()?;
    reader.end()?;
    Ok(request)
}

pub(crate) fn encode_ballot_answer(answer: &VoteResponse<Types>) -> Bytes {
    let mut writer = Writer::new(BALLOT_ANSWER, 48);
    write_vote(&mut writer, &answer.vote);
    writer.u8(u8::from(answer.vote_granted));
    write_optional_log_id(&mut writer, answer.last_log_id.as_ref());
    writer.finish().into()
}

pub(crate) fn decode_ballot_answer(bytes: &[u8]) -> io::Result<VoteResponse<Types>> {
    let mut reader = Reader::open_as("vote reply", BALLOT_ANSWER, bytes)?;
    let (vote, granted) = (read_vote(&mut reader)?, reader.flag()?);
    let last_log_id = read_optional_log_id(&mut reader)?;
    reader.end()?;
    Ok(VoteResponse::new(vote, last_log_id, granted))
}

pub(crate) fn encode_transfer(request: &TransferLeaderRequest<Types>) -> Bytes {
    let mut writer = Writer::new(TRANSFER, 64);
    write_vote(&mut writer, request.from_leader());
    writer.u64(*request.to_node_id());
    write_optional_log_id(&mut writer, request.last_log_id());
    writer.finish().into()
}

pub(crate) fn decode_transfer(bytes: &[u8]) -> io::Result<TransferLeaderRequest<Types>> {
    let mut reader = Reader::open_as("leader transfer", TRANSFER, bytes)?;
    let (from, to) = (read_vote(&mut reader)?, reader.u64()?);
    let last_log_id = read_optional_log_id(&mut reader)?;
    reader.end()?;
    Ok(TransferLeaderRequest::new(from, to, last_log_id))
}

pub(crate) fn encode_transfer_answer(answer: &TransferLeaderResponse<Types>) -> Bytes {
    let mut writer = Writer::new(TRANSFER_ANSWER, 64);
    match answer {
        Ok(()) => writer.u8(0),
        Err(TransferLeaderError::VoteChanged { expected, actual }) => {
            writer.u8(1);
            write_vote(&mut writer, expected);
            write_vote(&mut writer, actual);
        }
        Err(TransferLeaderError::LogNotFlushed { expected, actual }) => {
            writer.u8(2);
            write_optional_log_id(&mut writer, expected.as_ref());
            write_optional_log_id(&mut writer, actual.as_ref());
        }
    }
    writer.finish().into()
}

pub(crate) fn decode_transfer_answer(bytes: &[u8]) -> io::Result<TransferLeaderResponse<Types>> {
    let mut reader = Reader::open_as("transfer reply", TRANSFER_ANSWER, bytes)?;
    let answer = match reader.u8()? {
        0 => Ok(()),
        1 => {
            let (expected, actual) = (read_vote(&mut reader)?, read_vote(&mut reader)?);
            Err(TransferLeaderError::VoteChanged { expected, actual })
        }
        2 => {
            let (expected, actual) = (read_optional_log_id(&mut reader)?, read_optional_log_id(&mut reader)?);
            Err(TransferLeaderError::LogNotFlushed { expected, actual })
        }
        other => return Err(unknown("transfer reply", other)),
    };
    reader.end()?;
    Ok(answer)
}

/// The outcome of a proposal on its way back from the leader.
pub(crate) fn encode_proposed(proposed: &Result<Proposed, Refusal>) -> Bytes {
    let encoded = match proposed {
        Ok(Proposed { index, outcome }) => match outcome.encode() {
            Ok(outcome) => Ok((*index, outcome)),
            Err(error) => Err(Refusal::Unknown(error.to_string())),
        },
        Err(refusal) => Err(refusal.clone()),
    };
    encode_result(PROPOSED, encoded, |writer, (index, outcome)| {
        writer.u64(index);
        writer.raw(&outcome);
    })
}

pub(crate) fn decode_proposed(bytes: &[u8]) -> io::Result<Result<Proposed, Refusal>> {
    decode_result("proposal's reply", PROPOSED, bytes, |reader| {
        let index = reader.u64()?;
        let outcome = Outcome::decode(reader.rest()).map_err(|error| damaged("proposal's reply", error.to_string()))?;
        Ok(Proposed { index, outcome })
    })
}

pub(crate) fn encode_read_index(index: &Result<u64, Refusal>) -> Bytes {
    encode_result(READ_INDEX, index.clone(), Writer::u64)
}

pub(crate) fn decode_read_index(bytes: &[u8]) -> io::Result<Result<u64, Refusal>> {
    decode_result("read index", READ_INDEX, bytes, Reader::u64)
}

pub(crate) fn encode_snapshot_offer(length: u64, digest: &SnapshotDigest) -> Bytes {
    let mut writer = Writer::new(SNAPSHOT_OFFER, 40);
    writer.u64(length);
    writer.raw(digest);
    writer.finish().into()
}

pub(crate) fn decode_snapshot_offer(bytes: &[u8]) -> io::Result<(u64, SnapshotDigest)> {
    let mut reader = Reader::open_as("snapshot offer", SNAPSHOT_OFFER, bytes)?;
    let offer = (reader.u64()?, read_digest(&mut reader)?);
    reader.end()?;
    Ok(offer)
}

pub(crate) fn encode_snapshot_has(bytes: u64) -> Bytes {
    let mut writer = Writer::new(SNAPSHOT_HAS, 8);
    writer.u64(bytes);
    writer.finish().into()
}

pub(crate) fn decode_snapshot_has(bytes: &[u8]) -> io::Result<u64> {
    let mut reader = Reader::open_as("snapshot reply", SNAPSHOT_HAS, bytes)?;
    let has = reader.u64()?;
    reader.end()?;
    Ok(has)
}

pub(crate) fn encode_snapshot_chunk(digest: &SnapshotDigest, offset: u64, chunk: &[u8]) -> Bytes {
    let mut writer = Writer::new(SNAPSHOT_CHUNK, 40 + chunk.len());
    writer.raw(digest);
    writer.u64(offset);
    writer.raw(chunk);
    writer.finish().into()
}

pub(crate) fn decode_snapshot_chunk(bytes: &[u8]) -> io::Result<(SnapshotDigest, u64, &[u8])> {
    let mut reader = Reader::open_as("snapshot chunk", SNAPSHOT_CHUNK, bytes)?;
    Ok((read_digest(&mut reader)?, reader.u64()?, reader.rest()))
}

pub(crate) fn encode_snapshot_install(vote: &Vote, digest: &SnapshotDigest) -> Bytes {
    let mut writer = Writer::new(SNAPSHOT_INSTALL, 64);
    write_vote(&mut writer, vote);
    writer.raw(digest);
    writer.finish().into()
}

pub(crate) fn decode_snapshot_install(bytes: &[u8]) -> io::Result<(Vote, SnapshotDigest)> {
    let mut reader = Reader::open_as("snapshot install", SNAPSHOT_INSTALL, bytes)?;
    let install = (read_vote(&mut reader)?, read_digest(&mut reader)?);
    reader.end()?;
    Ok(install)
}

pub(crate) fn encode_snapshot_answer(vote: &Vote) -> Bytes {
    let mut writer = Writer::new(SNAPSHOT_ANSWER, 17);
    write_vote(&mut writer, vote);
    writer.finish().into()
}

pub(crate) fn decode_snapshot_answer(bytes: &[u8]) -> io::Result<Vote> {
    let mut reader = Reader::open_as("snapshot reply", SNAPSHOT_ANSWER, bytes)?;
    let vote = read_vote(&mut reader)?;
    reader.end()?;
    Ok(vote)
}

pub(crate) fn encode_member_change(change: &MemberChange) -> Bytes {
    let mut writer = Writer::new(MEMBER_CHANGE, 64);
    let (number, node) = match change {
        MemberChange::Add { node, .. } => (1, node),
        MemberChange::Promote { node } => (2, node),
        MemberChange::Demote { node, .. } => (3, node),
        MemberChange::Remove { node, .. } => (4, node),
        MemberChange::Transfer { node } => (5, node),
    };
    writer.u8(number);
    writer.u64(node.0);
    match change {
        MemberChange::Add { address, .. } => writer.text(address),
        MemberChange::Demote { forced, .. } | MemberChange::Remove { forced, .. } => writer.u8(u8::from(*forced)),
        MemberChange::Promote { .. } | MemberChange::Transfer { .. } => {}
    }
    writer.finish().into()
}

pub(crate) fn decode_member_change(bytes: &[u8]) -> io::Result<MemberChange> {
    let mut reader = Reader::open_as("member change", MEMBER_CHANGE, bytes)?;
    let (number, node) = (reader.u8()?, NodeId(reader.u64()?));
    let change = match number {
        1 => MemberChange::Add { node, address: reader.text()? },
        2 => MemberChange::Promote { node },
        3 => MemberChange::Demote { node, forced: reader.flag()? },
        4 => MemberChange::Remove { node, forced: reader.flag()? },
        5 => MemberChange::Transfer { node },
        other => return Err(unknown("member change", other)),
    };
    reader.end()?;
    Ok(change)
}

pub(crate) fn encode_member_changed(changed: &Result<(), Refusal>) -> Bytes {
    encode_result(MEMBER_CHANGED, changed.clone(), |_, ()| {})
}

pub(crate) fn decode_member_changed(bytes: &[u8]) -> io::Result<Result<(), Refusal>> {
    decode_result("member change's reply", MEMBER_CHANGED, bytes, |_| Ok(()))
}

pub(crate) fn encode_introduction(said: &Introduction) -> Bytes {
    let mut writer = Writer::new(INTRODUCTION, 128);
    writer.u64(said.node.0);
    writer.text(&said.address);
    writer.u8(u8::from(said.cluster.is_some()));
    if let Some(cluster) = &said.cluster {
        writer.text(cluster);
    }
    writer.u8(u8::from(said.formed));
    writer.count(said.expect as usize);
    writer.finish().into()
}

pub(crate) fn decode_introduction(bytes: &[u8]) -> io::Result<Introduction> {
    let mut reader = Reader::open_as("introduction", INTRODUCTION, bytes)?;
    let (node, address) = (NodeId(reader.u64()?), reader.text()?);
    let cluster = if reader.flag()? { Some(reader.text()?) } else { None };
    let said = Introduction { node, address, cluster, formed: reader.flag()?, expect: reader.u32()? };
    reader.end()?;
    Ok(said)
}

pub(crate) fn encode_join(cluster: &str) -> Bytes {
    let mut writer = Writer::new(JOIN, 64);
    writer.text(cluster);
    writer.finish().into()
}

pub(crate) fn decode_join(bytes: &[u8]) -> io::Result<String> {
    let mut reader = Reader::open_as("join", JOIN, bytes)?;
    let cluster = reader.text()?;
    reader.end()?;
    Ok(cluster)
}

/// The body of a request for a status with its remark.
pub(crate) const WITH_REMARK: &[u8] = &[1];

pub(crate) fn encode_status(status: &Status, asked: &[u8]) -> Bytes {
    let mut writer = Writer::new(STATUS, 256);
    writer.u64(status.node_id.0);
    writer.u64(status.term);
    write_optional(&mut writer, status.leader.map(|leader| leader.0));
    writer.u8(u8::from(status.is_leader));
    let indices =
        [status.last_index, status.committed_index, status.applied_index, status.snapshot_index, status.purged_index];
    indices.into_iter().for_each(|index| write_optional(&mut writer, index));
    for nodes in [&status.voters, &status.learners] {
        writer.count(nodes.len());
        nodes.iter().for_each(|node| writer.u64(node.0));
    }
    writer.u8(u8::from(status.failure.is_some()));
    if let Some(failure) = &status.failure {
        writer.text(failure);
    }
    if asked == WITH_REMARK {
        writer.text(&status.remark);
    }
    writer.finish().into()
}

pub(crate) fn decode_status(bytes: &[u8]) -> io::Result<Status> {
    let mut reader = Reader::open_as("status", STATUS, bytes)?;
    let status = Status {
        node_id: NodeId(reader.u64()?),
        term: reader.u64()?,
        leader: read_optional(&mut reader)?.map(NodeId),
        is_leader: reader.flag()?,
        last_index: read_optional(&mut reader)?,
        committed_index: read_optional(&mut reader)?,
        applied_index: read_optional(&mut reader)?,
        snapshot_index: read_optional(&mut reader)?,
        purged_index: read_optional(&mut reader)?,
        voters: read_nodes(&mut reader)?,
        learners: read_nodes(&mut reader)?,
        failure: if reader.flag()? { Some(reader.text()?) } else { None },
        remark: if reader.is_empty() { String::new() } else { reader.text()? },
    };
    reader.end()?;
    Ok(status)
}

fn write_optional(writer: &mut Writer, value: Option<u64>) {
    writer.u8(u8::from(value.is_some()));
    if let Some(value) = value {
        writer.u64(value);
    }
}

fn read_optional(reader: &mut Reader<'_>) -> io::Result<Option<u64>> {
    if reader.flag()? { reader.u64().map(Some) } else { Ok(None) }
}

fn read_nodes(reader: &mut Reader<'_>) -> io::Result<Vec<NodeId>> {
    let mut nodes = Vec::new();
    for _ in 0..reader.u32()? {
        nodes.push(NodeId(reader.u64()?));
    }
    Ok(nodes)
}

fn encode_result<T>(kind: u8, result: Result<T, Refusal>, write: impl FnOnce(&mut Writer, T)) -> Bytes {
    let mut writer = Writer::new(kind, 64);
    match result {
        Ok(value) => {
            writer.u8(0);
            write(&mut writer, value);
        }
        Err(Refusal::NoLeader) => writer.u8(1),
        Err(Refusal::OtherLeader { node, address }) => {
            writer.u8(2);
            writer.u64(node.0);
            writer.text(&address);
        }
        Err(Refusal::Busy) => writer.u8(3),
        // To a peer they are the same: it may have been executed.
        Err(Refusal::Unknown(text) | Refusal::Stopped(text)) => {
            writer.u8(4);
            writer.text(&text);
        }
        Err(Refusal::Refused(text)) => {
            writer.u8(5);
            writer.text(&text);
        }
    }
    writer.finish().into()
}

fn decode_result<'a, T>(
    what: &'static str,
    kind: u8,
    bytes: &'a [u8],
    read: impl FnOnce(&mut Reader<'a>) -> io::Result<T>,
) -> io::Result<Result<T, Refusal>> {
    let mut reader = Reader::open_as(what, kind, bytes)?;
    let result = match reader.u8()? {
        0 => Ok(read(&mut reader)?),
        1 => Err(Refusal::NoLeader),
        2 => Err(Refusal::OtherLeader { node: NodeId(reader.u64()?), address: reader.text()? }),
        3 => Err(Refusal::Busy),
        4 => Err(Refusal::Unknown(reader.text()?)),
        5 => Err(Refusal::Refused(reader.text()?)),
        other => return Err(unknown(what, other)),
    };
    reader.end()?;
    Ok(result)
}

fn write_vote(writer: &mut Writer, vote: &Vote) {
    writer.u64(vote.leader_id().term());
    writer.u64(*vote.leader_id().node_id());
    writer.u8(u8::from(vote.is_committed()));
}

fn read_vote(reader: &mut Reader<'_>) -> io::Result<Vote> {
    let leader = LeaderId::new(reader.u64()?, reader.u64()?);
    Ok(Vote::from_leader_id(leader, reader.flag()?))
}

fn read_digest(reader: &mut Reader<'_>) -> io::Result<SnapshotDigest> {
    let bytes = reader.take(32)?;
    bytes.try_into().map_err(|_| damaged("digest", "cut short"))
}

fn unknown(what: &str, number: u8) -> io::Error {
    damaged(what, format!("variant {number} is unknown"))
}

#[cfg(test)]
mod tests;
