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
fn a_deadline_ends_what_never_gives_the_interpreter_back() {
    // With one thread a worker: whoever shares the worker with it is past its own deadline, too.
    let subject = Subject::new(16, &[(4, "hold")], "\ndef hold(n):\n    ctypes.PyDLL(None).sleep(3600)\n");
    let eval = subject.home.eval(&subject.project).args(["--num-threads", "2", "--workers", "2", "--timeout", "1"]);
    subject.expect_failures(&eval.run().expect(0), &[(4, "TimedOut")]);
}

#[test]
fn whoever_holds_the_interpreter_is_found_among_its_late_neighbours() {
    // All threads of the worker are late together, and only one of them is to blame.
    let subject = Subject::new(16, &[(5, "hold")], "\ndef hold(n):\n    ctypes.PyDLL(None).sleep(3600)\n");
    let eval = subject.home.eval(&subject.project).args(["--num-threads", "4", "--workers", "1", "--timeout", "1"]);
    subject.expect_failures(&eval.run().expect(0), &[(5, "TimedOut")]);
}

#[test]
fn examples_within_their_deadline_are_left_alone() {
    let subject = Subject::new(24, &[], "");
    let output = subject.eval().env("PAUSE", "0.4").args(["--timeout", "1.5"]).run().expect(0);
    subject.expect_failures(&output, &[]);
    assert_eq!(subject.project.executions().total(), 24);
}
