//! What a person reads where a history is wrong.

use crate::Action::Get;
use crate::linearizability::check;
use crate::story::{create, found, history, operation, update, written};

const MILLISECOND: u64 = 1_000_000;

#[test]
fn a_violation_shows_the_answers_that_contradict_each_other_and_no_others() {
    let at = |from: u64, to: u64| (from * MILLISECOND, to * MILLISECOND);
    let mut operations = vec![operation(1, at(0, 1), create("first"), written(1))];
    for version in 2..=40 {
        let from = 10 * version;
        operations.push(operation(version, at(from, from + 5), update(&format!("value-{version}")), written(version)));
        operations.push(operation(50, at(from + 6, from + 9), Get, found(version, &format!("value-{version}"))));
    }
    operations.push(operation(7, at(306, 309), Get, found(29, "value-29")));
    let report = check(&history(operations));
    let violations: Vec<String> = report.violations.iter().map(ToString::to_string).collect();
    assert_eq!(
        violations,
        ["linearizability: key \"s\": no order of its 80 operations explains these 2 answers\n  \
          10.000 .. 15.000 ms  client 30  update to \"value-30\"  made version 30\n  \
          16.000 .. 19.000 ms  client 7   get                   found version 29, \"value-29\"\n \
          beside them:\n   \
          0.000 ..  5.000 ms  client 29  update to \"value-29\"  made version 29"]
    );
}

#[test]
fn a_long_value_is_shown_by_its_beginning() {
    let value = "ü".repeat(500);
    let report = check(&history([operation(1, (0, 1), Get, found(1, &value))]));
    let shown = report.to_string();
    assert!(shown.contains(&format!("\"{}\"", "ü".repeat(24))) && shown.len() < 300, "{shown}");
    assert!(shown.contains("no order of its 1 operations explains this answer"), "{shown}");
}
