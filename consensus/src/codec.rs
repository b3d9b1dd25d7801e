//! What the stored bytes mean. Written out field by field, never by openraft's own serialization: a new openraft
//! version must not change what a directory holds.
//!
//! ```text
//! 0xD5 0x9E | version u8 | kind u8 | fields
//!
//! 1 blank entry       log id
//! 2 proposal entry    log id | the model's bytes
//! 3 membership entry  log id | membership
//! 4 vote              term u64 | node u64 | granted by a quorum u8
//! 5 position          present u8 | log id if present       (committed, applied, last purged)
//! 6 stored membership present u8 | log id if present | membership
//!
//! log id      = term u64 | leader's node u64 | index u64
//! membership  = configs u32 | (voters u32 | node u64 ...) ... | nodes u32 | (node u64 | address length u32 | address) ...
//! ```
//! Numbers are little endian. The storage adds a checksum to each entry. Kinds are never reused.

mod bytes;
pub(crate) mod wire;

use std::collections::{BTreeMap, BTreeSet};
use std::io;

use openraft::EntryPayload;
use openraft::entry::RaftEntry;
use openraft::vote::{RaftLeaderId, RaftVote};

use self::bytes::{Reader, Writer, damaged};
use crate::types::{EncodedProposal, Entry, LeaderId, LogId, Member, Membership, StoredMembership, Vote};

const BLANK_ENTRY: u8 = 1;
const PROPOSAL_ENTRY: u8 = 2;
const MEMBERSHIP_ENTRY: u8 = 3;
const VOTE: u8 = 4;
const POSITION: u8 = 5;
const STORED_MEMBERSHIP: u8 = 6;

pub(crate) fn encode_entry(entry: &Entry) -> Vec<u8> {
    let log_id = entry.log_id();
    match &entry.payload {
        EntryPayload::Blank => {
            let mut writer = Writer::new(BLANK_ENTRY, 24);
            write_log_id(&mut writer, &log_id);
            writer.finish()
        }
        EntryPayload::Normal(EncodedProposal(proposal)) => {
            let mut writer = Writer::new(PROPOSAL_ENTRY, 24 + proposal.len());
            write_log_id(&mut writer, &log_id);
            writer.raw(proposal);
            writer.finish()
        }
        EntryPayload::Membership(membership) => {
            let mut writer = Writer::new(MEMBERSHIP_ENTRY, 128);
            write_log_id(&mut writer, &log_id);
            write_membership(&mut writer, membership);
            writer.finish()
        }
    }
}

pub(crate) fn decode_entry(bytes: &[u8]) -> io::Result<Entry> {
    let (kind, mut reader) = Reader::open("log entry", bytes)?;
    let log_id = read_log_id(&mut reader)?;
    let payload = match kind {
        BLANK_ENTRY => EntryPayload::Blank,
        PROPOSAL_ENTRY => EntryPayload::Normal(EncodedProposal(reader.rest().to_vec())),
        MEMBERSHIP_ENTRY => EntryPayload::Membership(read_membership(&mut reader)?),
        _ => return Err(damaged("log entry", format!("kind {kind} is unknown"))),
    };
    reader.end()?;
    Ok(Entry::new(log_id, payload))
}

pub(crate) fn encode_vote(vote: &Vote) -> Vec<u8> {
    let mut writer = Writer::new(VOTE, 17);
    writer.u64(vote.leader_id().term());
    writer.u64(*vote.leader_id().node_id());
    writer.u8(u8::from(vote.is_committed()));
    writer.finish()
}

pub(crate) fn decode_vote(bytes: &[u8]) -> io::Result<Vote> {
    let mut reader = Reader::open_as("vote", VOTE, bytes)?;
    let leader = LeaderId::new(reader.u64()?, reader.u64()?);
    let granted = reader.flag()?;
    reader.end()?;
    Ok(Vote::from_leader_id(leader, granted))
}

pub(crate) fn encode_position(position: Option<&LogId>) -> Vec<u8> {
    let mut writer = Writer::new(POSITION, 25);
    write_optional_log_id(&mut writer, position);
    writer.finish()
}

pub(crate) fn decode_position(bytes: &[u8]) -> io::Result<Option<LogId>> {
    let mut reader = Reader::open_as("log position", POSITION, bytes)?;
    let position = read_optional_log_id(&mut reader)?;
    reader.end()?;
    Ok(position)
}

pub(crate) fn encode_stored_membership(stored: &StoredMembership) -> Vec<u8> {
    let mut writer = Writer::new(STORED_MEMBERSHIP, 128);
    write_optional_log_id(&mut writer, stored.log_id().as_ref());
    write_membership(&mut writer, stored.membership());
    writer.finish()
}

pub(crate) fn decode_stored_membership(bytes: &[u8]) -> io::Result<StoredMembership> {
    let mut reader = Reader::open_as("membership", STORED_MEMBERSHIP, bytes)?;
    let log_id = read_optional_log_id(&mut reader)?;
    let membership = read_membership(&mut reader)?;
    reader.end()?;
    Ok(StoredMembership::new(log_id, membership))
}

fn write_log_id(writer: &mut Writer, log_id: &LogId) {
    writer.u64(log_id.leader_id.term());
    writer.u64(*log_id.leader_id.node_id());
    writer.u64(log_id.index);
}

fn read_log_id(reader: &mut Reader<'_>) -> io::Result<LogId> {
    let leader = LeaderId::new(reader.u64()?, reader.u64()?);
    Ok(LogId::new(leader, reader.u64()?))
}

fn write_optional_log_id(writer: &mut Writer, log_id: Option<&LogId>) {
    writer.u8(u8::from(log_id.is_some()));
    if let Some(log_id) = log_id {
        write_log_id(writer, log_id);
    }
}

fn read_optional_log_id(reader: &mut Reader<'_>) -> io::Result<Option<LogId>> {
    if reader.flag()? { read_log_id(reader).map(Some) } else { Ok(None) }
}

fn write_membership(writer: &mut Writer, membership: &Membership) {
    let configs = membership.get_joint_config();
    writer.count(configs.len());
    for config in configs {
        writer.count(config.len());
        config.iter().for_each(|node| writer.u64(*node));
    }
    let nodes: Vec<(&u64, &Member)> = membership.nodes().collect();
    writer.count(nodes.len());
    for (node, member) in nodes {
        writer.u64(*node);
        writer.text(&member.address);
    }
}

fn read_membership(reader: &mut Reader<'_>) -> io::Result<Membership> {
    let mut configs = Vec::new();
    for _ in 0..reader.u32()? {
        let mut config = BTreeSet::new();
        for _ in 0..reader.u32()? {
            config.insert(reader.u64()?);
        }
        configs.push(config);
    }
    let mut nodes = BTreeMap::new();
    for _ in 0..reader.u32()? {
        let node = reader.u64()?;
        nodes.insert(node, Member { address: reader.text()? });
    }
    if configs.is_empty() && nodes.is_empty() {
        // Before the first membership there is none; openraft's constructor allows that as the default only.
        return Ok(Membership::default());
    }
    Membership::new(configs, nodes).map_err(|error| damaged("membership", error.to_string()))
}

#[cfg(test)]
mod tests;
