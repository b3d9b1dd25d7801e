//! Sessions: one version after another, for as long as log time allows.

use super::story::Story;
use crate::{
    Command, NewTtl, Outcome, Rejection, SESSION_BYTES_MAX, SESSION_VERSIONS_MAX, SessionChange, SessionId, State,
};

fn id(text: &str) -> SessionId {
    SessionId::new(text).expect("an id")
}

fn create(text: &str, ttl_ms: Option<u64>) -> Command {
    Command::CreateSession { session: id(text), ttl_ms, data: vec![("n".to_owned(), "0".to_owned())] }
}

fn set(value: u64) -> SessionChange {
    SessionChange { set: vec![("n".to_owned(), value.to_string())], ..SessionChange::default() }
}

fn update(text: &str, expected_version: Option<u64>, change: SessionChange) -> Command {
    Command::UpdateSession { session: id(text), expected_version, change, ttl_ms: None }
}

fn written(version: u64) -> Outcome {
    Outcome::SessionWritten { version, expires_ms: None }
}

fn value(state: &State, text: &str) -> Option<String> {
    state.session(&id(text))?.data()?.get("n").map(str::to_owned)
}

#[test]
fn an_update_counts_only_at_the_version_that_its_caller_saw() {
    let mut story = Story::default();
    assert_eq!(story.apply(create("s", None)).0, written(1));
    assert_eq!(story.apply(update("s", Some(1), set(10))).0, written(2));
    let conflict = Outcome::Rejected(Rejection::VersionConflict { current: 2 });
    assert_eq!(story.apply(update("s", Some(1), set(20))).0, conflict);
    assert_eq!(value(&story.state, "s").as_deref(), Some("10"));
    assert_eq!(story.apply(update("s", None, set(30))).0, written(3));
    let session = story.state.session(&id("s")).expect("it exists");
    let versions: Vec<_> =
        session.versions().map(|(number, version)| (number, version.data.get("n").map(str::to_owned))).collect();
    let text = |text: &str| Some(text.to_owned());
    assert_eq!(versions, [(1, text("0")), (2, text("10")), (3, text("30"))]);
    assert_eq!(session.version(2).expect("kept").data.get("n"), Some("10"));
    assert_eq!((session.version(0), session.version(4)), (None, None));
}

#[test]
fn the_newest_hundred_versions_are_kept() {
    let mut story = Story::default();
    story.apply(create("s", None));
    for number in 1..=150 {
        story.apply(update("s", None, set(number)));
    }
    let session = story.state.session(&id("s")).expect("it exists");
    assert_eq!(session.info.version, 151);
    assert_eq!(session.oldest_version(), Some(152 - SESSION_VERSIONS_MAX as u64));
    assert_eq!(session.versions().count(), SESSION_VERSIONS_MAX);
    assert_eq!(session.version(151).expect("kept").data.get("n"), Some("150"));
    assert_eq!(session.version(51), None);
    assert_eq!(story.state.records().count(), 2 + SESSION_VERSIONS_MAX);
}

#[test]
fn a_name_is_taken_until_its_session_is_gone() {
    let mut story = Story::default();
    story.apply(create("s", None));
    story.apply(update("s", None, set(1)));
    let taken = Outcome::Rejected(Rejection::SessionExists { version: 2 });
    assert_eq!(story.apply(create("s", None)).0, taken);
    let delete = |expected_version| Command::DeleteSession { session: id("s"), expected_version };
    let conflict = Outcome::Rejected(Rejection::VersionConflict { current: 2 });
    assert_eq!(story.apply(delete(Some(1))).0, conflict);
    assert_eq!(story.apply(delete(Some(2))).0, Outcome::Done);
    let missing = Outcome::Rejected(Rejection::SessionNotFound);
    assert_eq!(story.apply(delete(None)).0, missing);
    assert_eq!(story.apply(update("s", None, set(1))).0, missing);
    assert_eq!(story.state.records().count(), 1, "only log time is left");
    assert_eq!(story.apply(create("s", None)).0, written(1));
}

#[test]
fn a_session_ends_by_log_time_never_early_and_is_not_seen_after_it() {
    let mut story = Story::default();
    story.apply(create("s", Some(1000)));
    let born_ms = story.now_ms;
    assert_eq!(story.state.next_deadline_ms(), Some(born_ms + 1000));
    story.now_ms = born_ms + 989;
    story.apply(Command::Tick);
    assert_eq!(story.state.log_time_ms(), born_ms + 999);
    assert!(story.state.session(&id("s")).is_some());
    // A write gives it a new life.
    story.now_ms -= 10;
    let outcome = story.apply(update("s", None, set(1))).0;
    assert_eq!(outcome, Outcome::SessionWritten { version: 2, expires_ms: Some(born_ms + 1999) });
    story.now_ms = born_ms + 1989;
    story.apply(Command::Tick);
    assert_eq!(story.state.session(&id("s")), None);
    assert_eq!(story.state.sessions_held(), 0);
    assert_eq!(story.state.next_deadline_ms(), None);
}

#[test]
fn a_session_whose_time_is_over_stands_in_nobodys_way_even_before_it_is_removed() {
    let mut story = Story::default();
    for number in 0..50 {
        story.apply(create(&format!("s{number:02}"), Some(1000)));
    }
    story.now_ms += 5000;
    // One command removes a few only; this one is created anew all the same.
    assert_eq!(story.apply(create("s40", None)).0, written(1));
    assert!(story.state.sessions_held() > 40);
    assert_eq!(story.state.sessions_after(None).count(), 1, "the others are not seen");
    assert_eq!(story.apply(update("s41", None, set(1))).0, Outcome::Rejected(Rejection::SessionNotFound));
    story.apply(Command::Tick);
    assert_eq!(story.state.sessions_held(), 1, "a tick removes them all");
}

#[test]
fn a_session_can_be_made_to_last() {
    let mut story = Story::default();
    story.apply(create("s", Some(1000)));
    let stay = |ttl| Command::UpdateSession {
        session: id("s"),
        expected_version: None,
        change: SessionChange::default(),
        ttl_ms: Some(ttl),
    };
    assert_eq!(story.apply(stay(NewTtl::Forever)).0, written(2));
    assert_eq!(story.state.next_deadline_ms(), None);
    story.apply(stay(NewTtl::For(7)));
    assert_eq!(story.state.next_deadline_ms(), Some(story.now_ms + 7));
}

#[test]
fn a_session_holds_no_more_than_its_limit() {
    let mut story = Story::default();
    story.apply(create("s", None));
    let large =
        |bytes: usize| SessionChange { set: vec![("n".to_owned(), "x".repeat(bytes - 1))], ..SessionChange::default() };
    assert_eq!(story.apply(update("s", None, large(SESSION_BYTES_MAX))).0, written(2));
    let limit = SESSION_BYTES_MAX as u64;
    let refused = Outcome::Rejected(Rejection::SessionTooLarge { bytes: limit + 1, limit });
    assert_eq!(story.apply(update("s", None, large(SESSION_BYTES_MAX + 1))).0, refused);
}

#[test]
fn sessions_are_listed_page_by_page_in_the_order_of_their_ids() {
    let mut story = Story::default();
    for name in ["b", "a", "c", "a b"] {
        story.apply(create(name, None));
    }
    let names = |after: Option<&str>| -> Vec<String> {
        let after = after.map(id);
        story.state.sessions_after(after.as_ref()).map(|(id, _)| id.to_string()).collect()
    };
    assert_eq!(names(None), ["a", "a b", "b", "c"]);
    assert_eq!(names(Some("a b")), ["b", "c"]);
    assert_eq!(names(Some("bb")), ["c"]);
}
