use super::*;

fn operation(action: Action, outcome: Outcome) -> Operation {
    Operation { client: 3, key: "s".to_owned(), action, invoked_ns: 10, completed_ns: 20, outcome }
}

fn every_outcome() -> Vec<Outcome> {
    vec![
        Outcome::Found { version: 2, value: "a\n\"b\"".to_owned() },
        Outcome::Written { version: u64::MAX },
        Outcome::Deleted,
        Outcome::Missing,
        Outcome::Exists { version: 1 },
        Outcome::VersionConflict { current: 4 },
        Outcome::Refused { reason: "no leader".to_owned() },
        Outcome::Unknown { reason: "time-out".to_owned() },
    ]
}

fn every_action() -> Vec<Action> {
    let value = || "x".to_owned();
    vec![
        Action::Get,
        Action::Create { value: value() },
        Action::Update { expected_version: None, value: value() },
        Action::Update { expected_version: Some(1), value: value() },
        Action::Delete { expected_version: None },
        Action::Delete { expected_version: Some(1) },
    ]
}

fn possible() -> Vec<Operation> {
    let outcomes = every_outcome();
    let pairs = every_action().into_iter().flat_map(|action| {
        outcomes.iter().cloned().map(move |outcome| operation(action.clone(), outcome)).collect::<Vec<_>>()
    });
    pairs.filter(|operation| operation.check().is_ok()).collect()
}

#[test]
fn an_action_ends_only_with_an_outcome_of_its_own() {
    // Refused and unknown, and: get 2, create 2, update 2 and 3, delete 2 and 3.
    assert_eq!(possible().len(), 6 * 2 + 14);
    let wrong = operation(Action::Get, Outcome::Written { version: 1 });
    let error = History::new([wrong]).expect_err("no get makes a version");
    assert_eq!(error.to_string(), "get cannot end with made version 1: mend the recording of histories");
    let blind = Action::Update { expected_version: None, value: "x".to_owned() };
    assert!(operation(blind, Outcome::VersionConflict { current: 1 }).check().is_err());
}

#[test]
fn an_operation_does_not_end_before_it_begins() {
    let backwards = Operation { completed_ns: 9, ..operation(Action::Get, Outcome::Missing) };
    assert_eq!(backwards.check(), Err(InvalidOperation::Times { invoked_ns: 10, completed_ns: 9 }));
}

#[test]
fn a_history_survives_its_lines() {
    let history = History::new(possible()).expect("possible");
    let mut lines = Vec::new();
    history.write_lines(&mut lines).expect("memory takes it");
    assert_eq!(lines.iter().filter(|&&byte| byte == b'\n').count(), possible().len());
    assert_eq!(History::read_lines(lines.as_slice()).expect("what was written"), history);
}

#[test]
fn the_form_of_a_line_is_fixed_so_that_kept_histories_can_be_checked_later() {
    let line = r#"{"client":3,"key":"s","action":{"update":{"expected_version":1,"value":"x"}},"invoked_ns":10,"completed_ns":20,"outcome":{"written":{"version":2}}}"#;
    let update = Action::Update { expected_version: Some(1), value: "x".to_owned() };
    let history = History::new([operation(update, Outcome::Written { version: 2 })]).expect("possible");
    let mut lines = Vec::new();
    history.write_lines(&mut lines).expect("memory takes it");
    assert_eq!(String::from_utf8(lines).expect("text"), format!("{line}\n"));
}

#[test]
fn a_wrong_line_is_named() {
    let good = r#"{"client":1,"key":"s","action":"get","invoked_ns":1,"completed_ns":2,"outcome":"missing"}"#;
    let error = |lines: String| History::read_lines(lines.as_bytes()).expect_err("a wrong line").to_string();
    assert!(error(format!("{good}\n\n{}", &good[..40])).starts_with("line 3 of the history is no operation"));
    let impossible = good.replace("\"missing\"", "\"deleted\"");
    assert!(error(format!("{good}\n{impossible}")).starts_with("line 2 of the history: get cannot end with deleted"));
    assert!(error(good.replace("\"client\"", "\"customer\"")).starts_with("line 1 of the history is no operation"));
}

#[test]
fn operations_are_counted_by_what_came_of_them() {
    let counts = History::new(possible()).expect("possible").counts();
    let expected = Counts { keys: 1, reads: 2, writes: 5, rejected: 7, refused: 6, unknown: 6 };
    assert_eq!(counts, expected);
    assert_eq!(counts.to_string(), "1 keys: 5 writes acknowledged, 2 reads answered, 7 rejected, 6 refused, 6 unknown");
}
