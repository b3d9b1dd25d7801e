//! Histories that people know by name, legal and illegal.

use crate::linearizability::{check, check_within};
use crate::story::{
    create, delete, delete_at, found, history, operation, refused, unknown, update, update_at, written,
};
use crate::{Action::Get, Operation, Outcome};

fn legal(operations: Vec<Operation>) {
    let report = check(&history(operations));
    assert!(report.is_linearizable(), "{report}");
}

fn illegal(operations: Vec<Operation>) {
    let report = check(&history(operations));
    assert_eq!((report.violations.len(), report.undecided.len()), (1, 0), "{report}");
}

/// Version 1 with the value a, from 0 to 1.
fn begun() -> Operation {
    operation(1, (0, 1), create("a"), written(1))
}

#[test]
fn what_one_client_does_alone_is_legal() {
    legal(vec![
        operation(1, (0, 1), Get, Outcome::Missing),
        operation(1, (2, 3), create("a"), written(1)),
        operation(1, (4, 5), create("b"), Outcome::Exists { version: 1 }),
        operation(1, (6, 7), update_at(1, "c"), written(2)),
        operation(1, (8, 9), update_at(1, "d"), Outcome::VersionConflict { current: 2 }),
        operation(1, (10, 11), update("e"), written(3)),
        operation(1, (12, 13), Get, found(3, "e")),
        operation(1, (14, 15), delete_at(2), Outcome::VersionConflict { current: 3 }),
        operation(1, (16, 17), delete(), Outcome::Deleted),
        operation(1, (18, 19), update("f"), Outcome::Missing),
        operation(1, (20, 21), delete(), Outcome::Missing),
        operation(1, (22, 23), create("g"), written(1)),
        operation(1, (24, 25), Get, found(1, "g")),
    ]);
}

#[test]
fn concurrent_operations_may_take_effect_in_either_order() {
    let write = operation(1, (10, 20), update("b"), written(2));
    for seen in [found(1, "a"), found(2, "b")] {
        legal(vec![begun(), write.clone(), operation(2, (12, 14), Get, seen)]);
    }
    // The order of invocations and that of completions say nothing: the one that began last was first.
    legal(vec![
        begun(),
        operation(1, (10, 40), update("b"), written(4)),
        operation(2, (11, 39), update("c"), written(3)),
        operation(3, (12, 38), update("d"), written(2)),
        operation(4, (50, 51), Get, found(4, "b")),
    ]);
}

#[test]
fn a_read_of_the_old_value_after_the_write_was_acknowledged_is_stale() {
    illegal(vec![begun(), operation(1, (10, 20), update("b"), written(2)), operation(2, (21, 22), Get, found(1, "a"))]);
}

#[test]
fn what_ends_as_another_begins_is_concurrent_with_it() {
    legal(vec![begun(), operation(1, (10, 20), update("b"), written(2)), operation(2, (20, 22), Get, found(1, "a"))]);
}

#[test]
fn two_reads_do_not_see_versions_go_back_while_the_write_runs() {
    illegal(vec![
        begun(),
        operation(1, (10, 40), update("b"), written(2)),
        operation(2, (12, 14), Get, found(2, "b")),
        operation(3, (16, 18), Get, found(1, "a")),
    ]);
}

#[test]
fn of_two_updates_at_one_version_only_one_counts() {
    let first = operation(2, (10, 20), update_at(1, "b"), written(2));
    illegal(vec![begun(), first.clone(), operation(3, (11, 21), update_at(1, "c"), written(2))]);
    legal(vec![begun(), first, operation(3, (11, 21), update_at(1, "c"), Outcome::VersionConflict { current: 2 })]);
}

#[test]
fn an_acknowledged_write_is_not_lost() {
    illegal(vec![
        begun(),
        operation(1, (10, 20), update("b"), written(2)),
        operation(2, (30, 40), update("c"), written(2)),
        operation(3, (50, 60), Get, found(2, "c")),
    ]);
}

#[test]
fn a_write_that_is_sent_again_counts_once() {
    illegal(vec![begun(), operation(1, (10, 20), update("b"), written(2)), operation(2, (30, 40), Get, found(3, "b"))]);
    // Nor does one without an answer.
    illegal(vec![
        begun(),
        operation(1, (10, 20), update("b"), unknown()),
        operation(2, (30, 40), Get, found(2, "b")),
        operation(2, (50, 60), Get, found(3, "b")),
    ]);
}

#[test]
fn nobody_reads_what_nobody_wrote() {
    illegal(vec![begun(), operation(2, (10, 20), Get, found(1, "z"))]);
    illegal(vec![operation(2, (10, 20), Get, found(1, "a")), operation(1, (30, 40), create("a"), written(1))]);
}

#[test]
fn a_write_without_an_answer_may_appear_late() {
    legal(vec![
        begun(),
        operation(1, (10, 20), update("b"), unknown()),
        operation(2, (30, 40), Get, found(1, "a")),
        operation(2, (50, 60), update_at(1, "c"), written(2)),
        operation(2, (70, 80), Get, found(2, "c")),
        operation(2, (90, 99), Get, found(3, "b")),
    ]);
}

#[test]
fn a_write_without_an_answer_may_never_appear() {
    legal(vec![
        begun(),
        operation(1, (10, 20), update("b"), unknown()),
        operation(2, (30, 40), update_at(1, "c"), written(2)),
        operation(2, (50, 60), update_at(2, "d"), written(3)),
    ]);
}

#[test]
fn a_write_without_an_answer_does_not_appear_before_it_was_sent_nor_beside_its_condition() {
    illegal(vec![begun(), operation(2, (2, 4), Get, found(2, "b")), operation(1, (10, 20), update("b"), unknown())]);
    illegal(vec![
        begun(),
        operation(1, (10, 20), update("b"), written(2)),
        operation(1, (30, 40), update_at(1, "c"), unknown()),
        operation(2, (50, 60), Get, found(3, "c")),
    ]);
}

#[test]
fn a_gap_is_explained_by_a_write_without_an_answer_alone() {
    let later = operation(2, (50, 60), update("d"), written(3));
    illegal(vec![begun(), later.clone()]);
    legal(vec![begun(), operation(1, (10, 20), update("b"), unknown()), later.clone()]);
    illegal(vec![begun(), operation(1, (10, 20), update_at(2, "b"), unknown()), later]);
}

#[test]
fn a_refused_write_did_not_happen() {
    let refusal = operation(1, (10, 20), update("b"), refused());
    legal(vec![begun(), refusal.clone(), operation(2, (30, 40), Get, found(1, "a"))]);
    illegal(vec![begun(), refusal, operation(2, (30, 40), Get, found(2, "b"))]);
}

#[test]
fn a_deleted_session_stays_away_until_it_is_created() {
    let deleted = operation(1, (10, 20), delete(), Outcome::Deleted);
    illegal(vec![begun(), deleted.clone(), operation(2, (30, 40), Get, found(1, "a"))]);
    illegal(vec![begun(), deleted.clone(), operation(2, (30, 40), update("b"), written(2))]);
    illegal(vec![begun(), deleted.clone(), operation(2, (30, 40), create("b"), written(2))]);
    legal(vec![begun(), deleted.clone(), operation(2, (30, 40), create("b"), written(1))]);
    // A create without an answer may be what another delete met.
    legal(vec![
        begun(),
        deleted.clone(),
        operation(2, (30, 40), create("b"), unknown()),
        operation(3, (50, 60), delete(), Outcome::Deleted),
    ]);
    illegal(vec![begun(), deleted, operation(3, (50, 60), delete(), Outcome::Deleted)]);
}

#[test]
fn a_delete_without_an_answer_may_have_removed_it() {
    let lost = operation(1, (10, 20), delete(), unknown());
    legal(vec![begun(), lost.clone(), operation(2, (30, 40), Get, Outcome::Missing)]);
    legal(vec![begun(), lost.clone(), operation(2, (30, 40), Get, found(1, "a"))]);
    illegal(vec![
        begun(),
        lost,
        operation(2, (30, 40), Get, Outcome::Missing),
        operation(2, (50, 60), Get, found(1, "a")),
    ]);
}

#[test]
fn a_version_that_no_answer_shows_may_be_what_a_delete_expected() {
    legal(vec![
        begun(),
        operation(1, (10, 20), update("b"), unknown()),
        operation(1, (30, 40), delete_at(2), unknown()),
        operation(2, (50, 60), create("c"), written(1)),
    ]);
}

#[test]
fn a_conflict_tells_the_truth() {
    let conflict = |current| operation(2, (10, 20), update_at(1, "b"), Outcome::VersionConflict { current });
    illegal(vec![begun(), conflict(2)]);
    illegal(vec![begun(), conflict(1)]);
    illegal(vec![begun(), operation(2, (10, 20), update_at(1, "b"), written(3))]);
    illegal(vec![operation(2, (10, 20), update("b"), written(0))]);
    illegal(vec![begun(), operation(2, (10, 20), create("b"), Outcome::Exists { version: 4 })]);
}

#[test]
fn keys_are_judged_each_on_its_own() {
    let other = |operation: Operation| Operation { key: "other".to_owned(), ..operation };
    legal(vec![begun(), other(begun())]);
    let report = check(&history([begun(), other(operation(2, (10, 20), Get, found(1, "a")))]));
    assert_eq!(report.violations.iter().map(|violation| violation.key.as_str()).collect::<Vec<_>>(), ["other"]);
}

#[test]
fn too_much_work_is_undecided_and_neither_right_nor_wrong() {
    let operations = [begun(), operation(1, (10, 20), update("b"), written(2))];
    let report = check_within(&history(operations), 1);
    assert!(report.violations.is_empty() && !report.is_linearizable(), "{report}");
    assert_eq!((report.undecided.len(), report.undecided[0].operations, report.undecided[0].steps), (1, 2, 1));
    assert!(report.to_string().contains("undecided after 1 steps over 2 operations"), "{report}");
}

#[test]
fn a_long_key_needs_no_deep_stack() {
    let mut operations = vec![begun()];
    for version in 2..=50_000_u64 {
        let from = version * 10;
        operations.push(operation(version % 7, (from, from + 15), update(&version.to_string()), written(version)));
    }
    legal(operations);
}
