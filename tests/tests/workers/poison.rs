//! Who is blamed for a death, how often an example is tried, and what a crash loop costs.

use std::time::Duration;

use dspex_tests::{Home, Project, expect_fields};
use serde_json::json;

use crate::subject::Subject;

#[test]
fn retries_decide_how_often_a_poisonous_example_is_tried_alone() {
    let subject = Subject::new(1, &[], "");
    for (retries, least, most) in [("1", 2, 3), ("3", 4, 5)] {
        subject.acts(30, &[(9, "die")]);
        let output = subject.eval().args(["--retries", retries]).run().expect(0);
        let results = subject.expect_failures(&output, &[(9, "WorkerLost")]);
        let executed = subject.project.executions().of(9);
        assert!((least..=most).contains(&executed), "--retries {retries}: executed {executed} times");
        let message = results[&9]["failure"]["message"].as_str().unwrap_or_default();
        assert!(message.contains('3'), "the exit code is told: {message}");
        expect_fields(&output.object(), json!({"failed": 1, "score": 96.67}));
    }
}

#[test]
fn the_tail_of_what_a_lost_worker_printed_travels_with_its_failure() {
    let subject = Subject::new(
        10,
        &[(6, "complain")],
        "\ndef complain(n):\n    print('the disk is on fire', file=sys.stderr)\n    os._exit(9)\n",
    );
    let output = subject.eval().run().expect(0);
    let results = subject.expect_failures(&output, &[(6, "WorkerLost")]);
    assert!(results[&6]["failure"].to_string().contains("the disk is on fire"), "{}", results[&6]);
}

#[test]
fn with_retries_0_nothing_that_was_in_flight_is_executed_again() {
    let subject = Subject::new(40, &[(13, "die")], "");
    let output = subject.eval().args(["--retries", "0", "--max-errors", "99"]).run().expect(0);
    let results = subject.results();
    assert_eq!(results.len(), 40);
    let failed: Vec<u32> =
        results.iter().filter(|(_, row)| !row["failure"].is_null()).map(|(&index, _)| index).collect();
    assert!(failed.contains(&13) && failed.len() <= 2, "two threads a worker: {failed:?}\n{}", output.describe());
    let executions = subject.project.executions();
    for example in executions.examples() {
        assert_eq!(executions.of(example), 1, "example {example} was executed again");
    }
}

#[test]
fn many_poisonous_examples_reach_max_errors_as_failures_do() {
    let subject = Subject::new(40, &[(2, "die"), (12, "die"), (22, "die"), (32, "die")], "");
    let output = subject.eval().args(["--max-errors", "3", "--retries", "0"]).run().expect(1);
    output.says("Execution cancelled due to errors or interruption.");
}

#[test]
fn a_program_that_kills_every_worker_ends_with_pauses_in_between() {
    let all: Vec<(u32, &str)> = (0..12).map(|n| (n, "die")).collect();
    let subject = Subject::new(12, &all, "");
    let output = subject.eval().limit(Duration::from_secs(100)).run().expect(1);
    output.says("Execution cancelled").says("WorkerLost");
    let executions = subject.project.executions();
    assert!(executions.total() <= 48, "{} executions", executions.total());
    // Deaths in a row are answered with a growing pause: without one, this takes a fraction of a second.
    assert!(output.took > Duration::from_secs(2), "no pause: {}", output.describe());
}

#[test]
fn a_program_that_kills_its_zygote_does_not_run_for_ever() {
    // The zygote's death is the node's matter and charged to nobody; a hundred of them by one run are not.
    let subject = Subject::new(
        12,
        &[(5, "kill_zygote")],
        "\ndef kill_zygote(n):\n    os.kill(os.getppid(), signal.SIGKILL)\n    time.sleep(5)\n",
    );
    let output = subject.eval().limit(Duration::from_secs(60)).run();
    assert!(matches!(output.code, Some(0 | 1)), "{}", output.describe());
    assert!(subject.project.executions().of(5) < 20, "executed {} times", subject.project.executions().of(5));
}

#[test]
fn a_program_that_cannot_be_loaded_a_second_time_ends_the_run_with_its_words() {
    // The check loads it once; every worker after the first fails.
    let program = r#"
if os.path.exists("loaded"):
    print("the licence is taken", file=sys.stderr)
    os._exit(4)
open("loaded", "w").close()

class Program(dspy.Module):
    def forward(self, n):
        time.sleep(0.2)
        os._exit(5)

program = Program()

def metric(example, prediction):
    return 1
"#;
    let (home, project) = (Home::new(), Project::new(program));
    project.numbers(20);
    let output = home.eval(&project).limit(Duration::from_secs(100)).run().expect(1);
    output.says("workers in a row did not start").says("the licence is taken");
}
