//! Where sessions are executed for, and what executions make of them.

use std::collections::BTreeMap;

use super::programs::put;
use super::story::Story;
use crate::{
    Command, EXECUTED_BYTES_MAX, ExecutedWrite, NodeId, Outcome, ProgramDefinition, REQUEST_WINDOW_MS, Rejection,
    RequestId, SessionChange, SessionHome, SessionId, SessionStats,
};

fn id() -> SessionId {
    SessionId::new("s").expect("an id")
}

fn create() -> Command {
    Command::CreateSession { session: id(), ttl_ms: None, data: Vec::new() }
}

fn house(node: u64, expected_epoch: u64) -> Command {
    Command::HouseSession { session: id(), node: NodeId(node), expected_epoch }
}

fn executed(epoch: u64, version: u64, result: &[u8]) -> Command {
    let change = SessionChange { set: vec![("n".to_owned(), "1".to_owned())], ..SessionChange::default() };
    Command::WriteExecuted(Box::new(ExecutedWrite {
        session: id(),
        epoch,
        version,
        change,
        result: Some(result.to_vec()),
    }))
}

fn home(outcome: &Outcome) -> SessionHome {
    let Outcome::SessionHoused(home) = outcome else { panic!("{outcome:?}") };
    *home
}

fn request(number: u128) -> RequestId {
    RequestId { request: number, client: 1 }
}

#[test]
fn the_first_node_has_a_session_and_the_next_needs_to_know_which() {
    let mut story = Story::default();
    assert_eq!(story.apply(house(1, 0)).0, Outcome::Rejected(Rejection::SessionNotFound));
    story.apply(create());
    let first = home(&story.apply(house(1, 0)).0);
    assert_eq!(first.node, NodeId(1));
    // Two that ask at once come to the same home.
    assert_eq!(home(&story.apply(house(2, 0)).0), first);
    assert_eq!(home(&story.apply(house(2, first.epoch - 1)).0), first);
    let second = home(&story.apply(house(2, first.epoch)).0);
    assert_eq!(second.node, NodeId(2));
    assert!(second.epoch > first.epoch);
    assert_eq!(story.state.session(&id()).expect("there").home, Some(second));
}

#[test]
fn sessions_are_counted_with_what_they_take_and_where_they_are_executed_for() {
    let mut story = Story::default();
    assert_eq!(story.state.session_stats(Some(&id())), None);
    assert_eq!(story.state.session_stats(None), Some(SessionStats::default()));
    story.apply(create());
    let first = home(&story.apply(house(2, 0)).0);
    story.apply(put("qa", Some("s"), ProgramDefinition::Inline("{}".to_owned())));
    story.apply(executed(first.epoch, 1, b""));
    let other = SessionId::new("t").expect("an id");
    story.apply(Command::CreateSession { session: other.clone(), ttl_ms: None, data: Vec::new() });
    let one = story.state.session_stats(Some(&id())).expect("there");
    assert_eq!((one.sessions, one.versions, one.programs), (1, 2, 1));
    assert_eq!(one.homes, BTreeMap::from([(NodeId(2), 1)]));
    let all = story.state.session_stats(None).expect("always");
    assert_eq!((all.sessions, all.versions, all.programs, &all.homes), (2, 3, 1, &one.homes));
    let others = story.state.session_stats(Some(&other)).expect("there");
    assert!(others.homes.is_empty());
    assert_eq!(all.bytes, one.bytes + others.bytes);
}

#[test]
fn what_a_former_home_made_of_a_session_does_not_count() {
    let mut story = Story::default();
    story.apply(create());
    let first = home(&story.apply(house(1, 0)).0);
    let second = home(&story.apply(house(2, first.epoch)).0);
    let moved = Outcome::Rejected(Rejection::SessionMoved(second));
    assert_eq!(story.apply_request(Some(request(7)), executed(first.epoch, 1, b"")).0, moved);
    // The same request is executed at the new home.
    assert_eq!(story.state.executed(request(7)), None);
    let written = Outcome::SessionWritten { version: 2, expires_ms: None };
    assert_eq!(story.apply_request(Some(request(7)), executed(second.epoch, 1, b"")).0, written);
    let conflict = Outcome::Rejected(Rejection::VersionConflict { current: 2 });
    assert_eq!(story.apply(executed(second.epoch, 1, b"")).0, conflict);
}

#[test]
fn the_home_of_a_deleted_session_is_none_of_the_next_one_of_its_name() {
    let mut story = Story::default();
    story.apply(create());
    let first = home(&story.apply(house(1, 0)).0);
    story.apply(Command::DeleteSession { session: id(), expected_version: None });
    assert_eq!(story.state.records().count(), 1, "only log time is left");
    story.apply(create());
    assert_eq!(story.state.session(&id()).expect("there").home, None);
    let second = home(&story.apply(house(1, 0)).0);
    assert!(second.epoch > first.epoch);
    let moved = Outcome::Rejected(Rejection::SessionMoved(second));
    assert_eq!(story.apply(executed(first.epoch, 1, b"")).0, moved);
}

#[test]
fn a_repeated_execution_is_told_the_result_of_the_first_for_as_long_as_it_is_known() {
    let mut story = Story::default();
    story.apply(create());
    let epoch = home(&story.apply(house(1, 0)).0).epoch;
    let written = Outcome::SessionWritten { version: 2, expires_ms: None };
    assert_eq!(story.state.executed(request(7)), None);
    assert_eq!(story.apply_request(Some(request(7)), executed(epoch, 1, b"one")).0, written);
    assert_eq!(story.apply_request(Some(request(7)), executed(epoch, 2, b"two")).0, written);
    assert_eq!(story.state.executed(request(7)), Some((written, Some(&b"one"[..]))));
    // One that is too long is not kept; that it was executed is.
    let long = vec![0; EXECUTED_BYTES_MAX + 1];
    let third = story.apply_request(Some(request(8)), executed(epoch, 2, &long)).0;
    assert_eq!(story.state.executed(request(8)), Some((third, None)));
    // A refused one has none.
    let refused = story.apply_request(Some(request(9)), executed(epoch, 2, b"late")).0;
    assert_eq!(story.state.executed(request(9)), Some((refused, None)));
    story.now_ms += REQUEST_WINDOW_MS;
    story.apply(Command::Tick);
    let too_old = Outcome::Rejected(Rejection::RequestTooOld);
    assert_eq!(story.state.executed(request(7)), Some((too_old, None)));
}
