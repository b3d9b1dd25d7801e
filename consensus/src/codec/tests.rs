//! The stored bytes are pinned: whoever changes them changes every directory there is.

use std::collections::{BTreeMap, BTreeSet};

use super::*;

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn log_id(term: u64, node: u64, index: u64) -> LogId {
    LogId::new(LeaderId::new(term, node), index)
}

fn membership() -> Membership {
    let nodes = BTreeMap::from([
        (1, Member { address: String::new() }),
        (2, Member { address: "a:1".to_owned() }),
        (3, Member { address: String::new() }),
    ]);
    Membership::new(vec![BTreeSet::from([1]), BTreeSet::from([1, 2])], nodes).expect("a valid membership")
}

const LOG_ID: &str = "0300000000000000 0100000000000000 0900000000000000";
const MEMBERSHIP_BYTES: &str = "02000000 01000000 0100000000000000 02000000 0100000000000000 0200000000000000 \
    03000000 0100000000000000 00000000 0200000000000000 03000000 613a31 0300000000000000 00000000";

fn pinned(parts: &[&str]) -> String {
    parts.concat().replace(' ', "")
}

#[test]
fn entries_are_pinned() {
    let cases = [
        (EntryPayload::Blank, pinned(&["d59e0101", LOG_ID])),
        (EntryPayload::Normal(EncodedProposal(vec![0xab, 0xcd])), pinned(&["d59e0102", LOG_ID, "abcd"])),
        (EntryPayload::Membership(membership()), pinned(&["d59e0103", LOG_ID, MEMBERSHIP_BYTES])),
    ];
    for (payload, expected) in cases {
        let entry = Entry::new(log_id(3, 1, 9), payload);
        let bytes = encode_entry(&entry);
        assert_eq!(hex(&bytes), expected);
        assert_eq!(decode_entry(&bytes).expect("readable"), entry);
    }
}

#[test]
fn the_vote_is_pinned() {
    let vote = Vote::from_leader_id(LeaderId::new(5, 2), true);
    let bytes = encode_vote(&vote);
    assert_eq!(hex(&bytes), "d59e0104050000000000000002000000000000000".to_owned() + "1");
    assert_eq!(decode_vote(&bytes).expect("readable"), vote);
}

#[test]
fn positions_are_pinned() {
    assert_eq!(hex(&encode_position(None)), "d59e010500");
    let position = log_id(3, 1, 9);
    let bytes = encode_position(Some(&position));
    assert_eq!(hex(&bytes), pinned(&["d59e010501", LOG_ID]));
    assert_eq!(decode_position(&bytes).expect("readable"), Some(position));
    assert_eq!(decode_position(&encode_position(None)).expect("readable"), None);
}

#[test]
fn the_stored_membership_is_pinned() {
    let stored = StoredMembership::new(Some(log_id(3, 1, 9)), membership());
    let bytes = encode_stored_membership(&stored);
    assert_eq!(hex(&bytes), pinned(&["d59e010601", LOG_ID, MEMBERSHIP_BYTES]));
    assert_eq!(decode_stored_membership(&bytes).expect("readable"), stored);
    let none = StoredMembership::default();
    assert_eq!(decode_stored_membership(&encode_stored_membership(&none)).expect("readable"), none);
}

#[test]
fn damaged_and_newer_bytes_are_refused() {
    let entry = Entry::new(log_id(3, 1, 9), EntryPayload::Membership(membership()));
    let bytes = encode_entry(&entry);
    for length in 0..bytes.len() {
        assert!(decode_entry(&bytes[..length]).is_err(), "{length} bytes");
    }
    let longer = [&bytes[..], &[0]].concat();
    assert!(decode_entry(&longer).is_err());
    let mut newer = bytes.clone();
    newer[2] = 2;
    let error = decode_entry(&newer).expect_err("it is newer").to_string();
    assert!(error.contains("format 2 is unknown") && error.contains("newer dspex"), "{error}");
    let mut unknown = bytes.clone();
    unknown[3] = 99;
    assert!(decode_entry(&unknown).is_err());
    // A count that no memory could hold ends at the end of the bytes.
    let mut huge = bytes;
    huge[28..32].copy_from_slice(&u32::MAX.to_le_bytes());
    assert!(decode_entry(&huge).is_err());
}
