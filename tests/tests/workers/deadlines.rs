//! `--timeout`: the example that hangs fails at once, its neighbours are executed again and not blamed.

use std::time::Duration;

use crate::subject::Subject;

#[test]
fn an_example_past_its_deadline_fails_as_timed_out_and_its_neighbours_are_not_charged() {
    let subject = Subject::new(60, &[(5, "hang"), (31, "hang")], "");
    let output = subject.eval().args(["--timeout", "1", "--retries", "1"]).run().expect(0);
    let results = subject.expect_failures(&output, &[(5, "TimedOut"), (31, "TimedOut")]);
    let message = results[&5]["failure"]["message"].as_str().unwrap_or_default();
    assert!(message.contains("1 s") && message.contains("--timeout"), "{message}");
    let executions = subject.project.executions();
    assert_eq!(executions.of(5), 1, "a deadline is not tried again");
    assert!(executions.of(31) <= 2, "it may have been a neighbour of the first one, not yet at its own deadline");
    assert!(output.took < Duration::from_secs(20), "{}", output.describe());
}

#[test]
fn a_deadline_ends_what_spins_or_ignores_signals() {
    const STUBBORN: &str = r#"
def spin(n):
    while True:
        pass

def ignore(n):
    while True:
        try:
            time.sleep(3600)
        except BaseException:
            pass

def wait_for_child(n):
    subprocess.run(["sleep", "3600"])
"#;
    let acts = [(11, "spin"), (18, "ignore"), (25, "wait_for_child")];
    let subject = Subject::new(32, &acts, STUBBORN);
    let output = subject.eval().args(["--timeout", "1"]).run().expect(0);
    subject.expect_failures(&output, &acts.map(|(index, _)| (index, "TimedOut")));
}

#[test]
fn examples_within_their_deadline_are_left_alone() {
    let subject = Subject::new(24, &[], "");
    let output = subject.eval().env("PAUSE", "0.4").args(["--timeout", "1.5"]).run().expect(0);
    subject.expect_failures(&output, &[]);
    assert_eq!(subject.project.executions().total(), 24);
}
