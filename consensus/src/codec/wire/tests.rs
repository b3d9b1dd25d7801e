//! The bytes between nodes are pinned: nodes of two versions work together.

use openraft::EntryPayload;
use openraft::entry::RaftEntry;
use proptest::prelude::*;

use super::*;
use crate::types::{EncodedProposal, Entry};

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn pinned(parts: &[&str]) -> String {
    parts.concat().replace(' ', "")
}

fn log_id(term: u64, node: u64, index: u64) -> LogId {
    LogId::new(LeaderId::new(term, node), index)
}

fn vote() -> Vote {
    Vote::from_leader_id(LeaderId::new(3, 1), true)
}

const LOG_ID: &str = "0300000000000000 0100000000000000 0900000000000000";
const VOTE: &str = "0300000000000000 0100000000000000 01";
const NONE: &str = "00";
const SOME: &str = "01";
const DIGEST: &str = "0707070707070707 0707070707070707 0707070707070707 0707070707070707";

fn append() -> AppendEntriesRequest<Types> {
    let entry = Entry::new(log_id(3, 1, 9), EntryPayload::Normal(EncodedProposal(vec![0xab])));
    AppendEntriesRequest { vote: vote(), prev_log_id: None, entries: vec![entry], leader_commit: Some(log_id(3, 1, 9)) }
}

#[test]
fn appends_are_pinned() {
    let bytes = encode_append(&append());
    let entry = pinned(&["1d000000 d59e0102", LOG_ID, "ab"]);
    assert_eq!(hex(&bytes), pinned(&["d59e0120", VOTE, NONE, SOME, LOG_ID, "01000000", &entry]));
    assert_eq!(format!("{:?}", decode_append(&bytes).expect("readable")), format!("{:?}", append()));
    let answers: [(Appended, String); 4] = [
        (Ok(None), pinned(&["d59e0121 00", NONE])),
        (Ok(Some(log_id(3, 1, 9))), pinned(&["d59e0121 00", SOME, LOG_ID])),
        (Err(StreamAppendError::Conflict(log_id(3, 1, 9))), pinned(&["d59e0121 01", LOG_ID])),
        (Err(StreamAppendError::HigherVote(vote())), pinned(&["d59e0121 02", VOTE])),
    ];
    for (answer, expected) in answers {
        let bytes = encode_appended(&answer);
        assert_eq!(hex(&bytes), expected);
        assert_eq!(decode_appended(&bytes).expect("readable"), answer);
    }
}

#[test]
fn ballots_are_pinned() {
    let mut ballot = VoteRequest::new(vote(), Some(log_id(3, 1, 9)));
    ballot.leadership_transfer = true;
    let bytes = encode_ballot(&ballot);
    assert_eq!(hex(&bytes), pinned(&["d59e0122", VOTE, SOME, LOG_ID, "01"]));
    assert_eq!(decode_ballot(&bytes).expect("readable"), ballot);
    let answer = VoteResponse::new(vote(), None, true);
    let bytes = encode_ballot_answer(&answer);
    assert_eq!(hex(&bytes), pinned(&["d59e0123", VOTE, "01", NONE]));
    assert_eq!(decode_ballot_answer(&bytes).expect("readable"), answer);
}

#[test]
fn transfers_are_pinned() {
    let transfer = TransferLeaderRequest::new(vote(), 2, Some(log_id(3, 1, 9)));
    let bytes = encode_transfer(&transfer);
    assert_eq!(hex(&bytes), pinned(&["d59e0124", VOTE, "0200000000000000", SOME, LOG_ID]));
    assert_eq!(decode_transfer(&bytes).expect("readable"), transfer);
    let answers = [
        (Ok(()), pinned(&["d59e0125 00"])),
        (
            Err(TransferLeaderError::VoteChanged { expected: vote(), actual: vote() }),
            pinned(&["d59e0125 01", VOTE, VOTE]),
        ),
        (
            Err(TransferLeaderError::LogNotFlushed { expected: Some(log_id(3, 1, 9)), actual: None }),
            pinned(&["d59e0125 02", SOME, LOG_ID, NONE]),
        ),
    ];
    for (answer, expected) in answers {
        let bytes = encode_transfer_answer(&answer);
        assert_eq!(hex(&bytes), expected);
        assert_eq!(decode_transfer_answer(&bytes).expect("readable"), answer);
    }
}

#[test]
fn answers_of_leaders_are_pinned() {
    let other = Refusal::OtherLeader { node: NodeId(2), address: "a:1".to_owned() };
    let answers = [
        (Ok(5), "00 0500000000000000"),
        (Err(Refusal::NoLeader), "01"),
        (Err(other), "02 0200000000000000 03000000 613a31"),
        (Err(Refusal::Busy), "03"),
        (Err(Refusal::Unknown("no".to_owned())), "04 02000000 6e6f"),
        (Err(Refusal::Refused("no".to_owned())), "05 02000000 6e6f"),
    ];
    for (answer, expected) in answers {
        let bytes = encode_read_index(&answer);
        assert_eq!(hex(&bytes), pinned(&["d59e0127", expected]));
        assert_eq!(decode_read_index(&bytes).expect("readable"), answer);
    }
    let outcome = Ok(Proposed { index: 9, outcome: Outcome::Done });
    let bytes = encode_proposed(&outcome);
    assert_eq!(hex(&bytes), pinned(&["d59e0126 00 0900000000000000 0100"]));
    assert_eq!(decode_proposed(&bytes).expect("readable"), outcome);
    assert_eq!(hex(&encode_member_changed(&Ok(()))), "d59e012e00");
    assert_eq!(decode_member_changed(&encode_member_changed(&Ok(()))).expect("readable"), Ok(()));
}

#[test]
fn a_node_that_stopped_is_unknown_to_its_peer() {
    let bytes = encode_read_index(&Err(Refusal::Stopped("disk".to_owned())));
    assert_eq!(decode_read_index(&bytes).expect("readable"), Err(Refusal::Unknown("disk".to_owned())));
}

#[test]
fn snapshots_are_pinned() {
    let digest = [7; 32];
    let offer = encode_snapshot_offer(258, &digest);
    assert_eq!(hex(&offer), pinned(&["d59e0128 0201000000000000", DIGEST]));
    assert_eq!(decode_snapshot_offer(&offer).expect("readable"), (258, digest));
    let has = encode_snapshot_has(258);
    assert_eq!(hex(&has), "d59e01290201000000000000");
    assert_eq!(decode_snapshot_has(&has).expect("readable"), 258);
    let chunk = encode_snapshot_chunk(&digest, 258, &[0xab, 0xcd]);
    assert_eq!(hex(&chunk), pinned(&["d59e012a", DIGEST, "0201000000000000 abcd"]));
    assert_eq!(decode_snapshot_chunk(&chunk).expect("readable"), (digest, 258, &[0xab, 0xcd][..]));
    let install = encode_snapshot_install(&vote(), &digest);
    assert_eq!(hex(&install), pinned(&["d59e012b", VOTE, DIGEST]));
    assert_eq!(decode_snapshot_install(&install).expect("readable"), (vote(), digest));
    let answer = encode_snapshot_answer(&vote());
    assert_eq!(hex(&answer), pinned(&["d59e012c", VOTE]));
    assert_eq!(decode_snapshot_answer(&answer).expect("readable"), vote());
}

#[test]
fn changes_of_members_are_pinned() {
    let node = NodeId(2);
    let changes = [
        (MemberChange::Add { node, address: "a:1".to_owned() }, "01 0200000000000000 03000000 613a31"),
        (MemberChange::Promote { node }, "02 0200000000000000"),
        (MemberChange::Demote { node, forced: false }, "03 0200000000000000 00"),
        (MemberChange::Remove { node, forced: true }, "04 0200000000000000 01"),
        (MemberChange::Transfer { node }, "05 0200000000000000"),
    ];
    for (change, expected) in changes {
        let bytes = encode_member_change(&change);
        assert_eq!(hex(&bytes), pinned(&["d59e012d", expected]));
        assert_eq!(decode_member_change(&bytes).expect("readable"), change);
    }
}

#[test]
fn introductions_are_pinned() {
    let said = |cluster: Option<&str>| Introduction {
        node: NodeId(2),
        address: "a:1".to_owned(),
        cluster: cluster.map(str::to_owned),
        formed: true,
        expect: 3,
    };
    for (cluster, expected) in [(None, "00"), (Some("c"), "01 01000000 63")] {
        let bytes = encode_introduction(&said(cluster));
        let start = "d59e012f 0200000000000000 03000000 613a31";
        assert_eq!(hex(&bytes), pinned(&[start, expected, "01 03000000"]));
        assert_eq!(decode_introduction(&bytes).expect("readable"), said(cluster));
    }
    assert_eq!(hex(&encode_join("c")), "d59e01300100000063");
    assert_eq!(decode_join(&encode_join("c")).expect("readable"), "c");
}

#[test]
fn the_status_is_pinned() {
    let status = Status {
        node_id: NodeId(2),
        term: 3,
        leader: Some(NodeId(1)),
        is_leader: false,
        last_index: Some(9),
        committed_index: Some(8),
        applied_index: None,
        snapshot_index: None,
        purged_index: None,
        voters: vec![NodeId(1), NodeId(2)],
        learners: Vec::new(),
        failure: Some("no".to_owned()),
        remark: String::new(),
    };
    let bytes = encode_status(&status, &[]);
    let expected = [
        "d59e0131 0200000000000000 0300000000000000 01 0100000000000000 00",
        "01 0900000000000000 01 0800000000000000 00 00 00",
        "02000000 0100000000000000 0200000000000000 00000000",
        "01 02000000 6e6f",
    ];
    assert_eq!(hex(&bytes), pinned(&expected));
    assert_eq!(decode_status(&bytes).expect("readable"), status);
    let remarked = Status { remark: "on".to_owned(), ..status };
    assert_eq!(encode_status(&remarked, &[]), bytes, "who does not ask for it could not read it");
    let with_remark = encode_status(&remarked, WITH_REMARK);
    assert_eq!(hex(&with_remark), pinned(&[expected.concat().as_str(), "02000000 6f6e"]));
    assert_eq!(decode_status(&with_remark).expect("readable"), remarked);
}

proptest! {
    /// A hostile peer, or a broken one: an error, never a panic, never memory for a length that only was announced.
    #[test]
    fn no_bytes_make_it_panic(kind in 30u8..50, body in proptest::collection::vec(any::<u8>(), 0..200)) {
        let mut bytes = vec![0xd5, 0x9e, 1, kind];
        bytes.extend(body);
        let _ = decode_append(&bytes);
        let _ = decode_appended(&bytes);
        let _ = decode_ballot(&bytes);
        let _ = decode_ballot_answer(&bytes);
        let _ = decode_transfer(&bytes);
        let _ = decode_transfer_answer(&bytes);
        let _ = decode_proposed(&bytes);
        let _ = decode_read_index(&bytes);
        let _ = decode_snapshot_offer(&bytes);
        let _ = decode_snapshot_chunk(&bytes);
        let _ = decode_snapshot_install(&bytes);
        let _ = decode_member_change(&bytes);
        let _ = decode_member_changed(&bytes);
        let _ = decode_introduction(&bytes);
        let _ = decode_join(&bytes);
        let _ = decode_status(&bytes);
    }

    #[test]
    fn an_append_that_is_cut_short_is_refused(cut in 1usize..100) {
        let bytes = encode_append(&append());
        prop_assert!(decode_append(&bytes[..bytes.len() - cut.min(bytes.len())]).is_err());
    }
}
