//! Variables of the cluster: one version after another.

use super::story::Story;
use crate::{
    Command, Name, Outcome, Proposal, Rejection, State, VARIABLE_BYTES_MAX, VARIABLE_VERSIONS_MAX,
    VARIABLES_TOTAL_BYTES_MAX,
};

fn name(text: &str) -> Name {
    Name::new(text).expect("a name")
}

fn set(text: &str, expected_version: Option<u64>, value: &str) -> Command {
    Command::SetVariable { name: name(text), expected_version, value: value.to_owned() }
}

fn written(version: u64) -> Outcome {
    Outcome::VariableWritten { version }
}

#[test]
fn a_write_counts_only_at_the_version_that_its_caller_saw() {
    let mut story = Story::default();
    assert_eq!(story.apply(set("t", Some(1), "1")).0, Outcome::Rejected(Rejection::VariableNotFound));
    assert_eq!(story.apply(set("t", Some(0), "1")).0, written(1));
    let conflict = |current| Outcome::Rejected(Rejection::VariableConflict { current });
    assert_eq!(story.apply(set("t", Some(0), "2")).0, conflict(1));
    let named = Proposal { actor: Some("anna".to_owned()), ..Proposal::internal(set("t", Some(1), "2")) };
    assert_eq!(story.apply_proposal(named).0, written(2));
    assert_eq!(story.apply(set("t", None, "3")).0, written(3));
    let delete = |expected_version| Command::DeleteVariable { name: name("t"), expected_version };
    assert_eq!(story.apply(delete(Some(2))).0, conflict(3));
    let held = story.state.variable(&name("t")).expect("it exists");
    let versions: Vec<_> = held
        .versions()
        .map(|(number, version)| (number, version.value.as_str(), version.written_by.as_str()))
        .collect();
    assert_eq!(versions, [(1, "1", ""), (2, "2", "anna"), (3, "3", "")]);
    assert_eq!(
        (held.info.created_ms + 30, held.newest().map(|newest| newest.value.as_str())),
        (held.info.updated_ms, Some("3"))
    );
    assert_eq!(story.apply(delete(Some(3))).0, Outcome::Done);
    assert_eq!(story.apply(delete(None)).0, Outcome::Rejected(Rejection::VariableNotFound));
    assert_eq!(story.state.records().count(), 1, "only log time is left");
}

#[test]
fn the_newest_twenty_versions_are_kept() {
    let mut story = Story::default();
    for number in 1..=30 {
        assert_eq!(story.apply(set("t", None, &number.to_string())).0, written(number));
    }
    let held = story.state.variable(&name("t")).expect("it exists");
    assert_eq!((held.oldest_version(), held.versions().count()), (Some(11), VARIABLE_VERSIONS_MAX));
    assert_eq!(held.version(11).map(|version| version.value.as_str()), Some("11"));
    assert_eq!((held.version(10), held.version(31)), (None, None));
    assert_eq!(story.state.records().count(), 2 + VARIABLE_VERSIONS_MAX);
}

#[test]
fn variables_have_limits() {
    let mut story = Story::default();
    assert_eq!(story.apply(set("t", None, &"1".repeat(VARIABLE_BYTES_MAX))).0, written(1));
    let limit = VARIABLE_BYTES_MAX as u64;
    let refused = Outcome::Rejected(Rejection::VariableTooLarge { bytes: limit + 1, limit });
    assert_eq!(story.apply(set("t", None, &"1".repeat(VARIABLE_BYTES_MAX + 1))).0, refused);

    let mut state = State::new();
    let value = "1".repeat(VARIABLE_BYTES_MAX);
    let full = (0..100_000).find_map(|number| {
        let outcome = state.apply(&Proposal::internal(set(&format!("v{number}"), None, &value))).outcome;
        matches!(outcome, Outcome::Rejected(_)).then_some(outcome)
    });
    let limit = VARIABLES_TOTAL_BYTES_MAX;
    let Some(Outcome::Rejected(Rejection::VariablesFull { bytes, limit: of })) = full else { panic!("{full:?}") };
    assert!(bytes > limit && of == limit);
    state.apply(&Proposal::internal(Command::DeleteVariable { name: name("v7"), expected_version: None }));
    assert_eq!(state.apply(&Proposal::internal(set("new", None, &value))).outcome, written(1));
}

#[test]
fn variables_are_listed_page_by_page_in_the_order_of_their_names() {
    let mut story = Story::default();
    for text in ["b", "a", "a b", "ü"] {
        story.apply(set(text, None, "1"));
    }
    let names = |after: Option<&str>| {
        let after = after.map(name);
        story.state.variables_after(after.as_ref()).map(|(name, _)| name.to_string()).collect::<Vec<_>>()
    };
    assert_eq!(names(None), ["a", "a b", "b", "ü"]);
    assert_eq!(names(Some("a b")), ["b", "ü"]);
    assert_eq!(story.state.variables_held(), 4);
}

#[test]
fn deleted_variables_are_in_the_audit_trail_and_written_ones_in_their_history() {
    let mut story = Story::default();
    let mut by =
        |command| story.apply_proposal(Proposal { actor: Some("anna".to_owned()), ..Proposal::internal(command) });
    by(set("t", None, "1"));
    by(Command::DeleteVariable { name: name("t"), expected_version: None });
    let trail: Vec<_> = story.state.audit().map(|(_, entry)| (entry.action.as_str(), entry.subject.as_str())).collect();
    assert_eq!(trail, [("variable delete", "t")]);
}
