//! Failing examples: how many are too many, what is said of them, and the gate.

use std::time::Duration;

use dspex_tests::{Case, Home, Project, dspy_evaluate, expect_fields};
use serde_json::json;

const DSPYS_WORDS: &str = "Execution cancelled due to errors or interruption.";

const PROGRAM: &str = r#"
class Failing(dspy.Module):
    def forward(self, n):
        if n < 10:
            raise_deep_inside(n)
        return dspy.Prediction(n=n)

def raise_deep_inside(n):
    raise ValueError(f"{n} is too small")

class Fine(dspy.Module):
    def forward(self, n):
        return dspy.Prediction(n=n)

program = Failing()
fine = Fine()

def metric(example, prediction):
    return 1

def picky(example, prediction):
    if example.n % 2:
        return 1
    return prediction.missing

def forgetful(example, prediction):
    if example.n != 7:
        return 1

def wordy(example, prediction):
    return "good"
"#;

#[test]
fn max_errors_ends_the_run_with_dspys_words_and_code_1() {
    let (home, project) = (Home::new(), Project::new(PROGRAM));
    project.numbers(30);
    // 10 examples fail, and 10 is DSPy's default.
    for (errors, too_many) in [(None, true), (Some(10), true), (Some(3), true), (Some(11), false)] {
        let case = Case::new("program", "metric");
        let case = errors.map_or(case.clone(), |errors| case.with("max_errors", errors));
        let expected = dspy_evaluate(&project, &[case]).remove(0);
        assert_eq!(expected.error.as_deref(), too_many.then_some(DSPYS_WORDS), "dspy with {errors:?}");

        let option = errors.map(|errors| format!("--max-errors={errors}"));
        let output = home.eval(&project).args(option).run();
        if too_many {
            let output = output.expect(1);
            output.says(DSPYS_WORDS).says("ValueError");
            let result = output.object();
            expect_fields(&result, json!({"status": "failed", "score": null}));
        } else {
            assert_eq!(output.expect(0).object()["score"].as_f64(), expected.score);
        }
    }
}

#[test]
fn max_errors_of_the_programs_own_settings_holds() {
    let (home, project) = (Home::new(), Project::new(&format!("dspy.configure(max_errors=4)\n{PROGRAM}")));
    project.numbers(30);
    home.eval(&project).run().expect(1).says(DSPYS_WORDS);
    let ended = home.runs().remove(0);
    assert!(ended.failed >= 4 && ended.failed <= 10, "{} failed", ended.failed);
    assert_eq!(home.eval(&project).args(["--max-errors", "11"]).result()["failed"], 10);
}

#[test]
fn a_metric_without_a_number_fails_the_run_and_names_the_example() {
    let (home, project) = (Home::new(), Project::new(PROGRAM));
    project.numbers(30);
    let none = home.eval(&project).program("program.py:fine").metric("program.py:forgetful").run().expect(1);
    none.says("example 7").says("returned None");
    let text = home.eval(&project).program("program.py:fine").metric("program.py:wordy").run().expect(1);
    text.says("str").says("not a number");
    assert!(home.runs().iter().all(|run| run.score.is_none()), "a run without a score has none");
}

#[test]
fn errors_are_grouped_by_exception_and_line_with_the_remote_traceback() {
    let (home, project) = (Home::new(), Project::new(PROGRAM));
    project.numbers(30);
    let line = 1 + project.read("program.py").lines().take_while(|line| !line.contains("is too small")).count();
    let output = home.eval(&project).metric("program.py:picky").format("table").args(["--max-errors", "99"]).run();
    let output = output.expect(0);
    let shown = &output.stdout;
    let place = format!("10 x ValueError at {}:{line}: 0 is too small", project.path("program.py").display());
    for phrase in [&*place, "in raise_deep_inside", "10 x AttributeError", "first: example 0, worker "] {
        assert!(shown.contains(phrase), "{phrase:?} is missing\n{}", output.describe());
    }
    assert_eq!(shown.matches("Traceback (most recent call last)").count(), 2, "{}", output.describe());
    assert!(!shown.contains("dspex/runtime"), "frames of DSPex are nobody's business\n{}", output.describe());
    assert!(shown.contains("20 failed"), "{}", output.describe());
}

#[test]
fn failed_examples_can_be_listed_with_their_failure() {
    let (home, project) = (Home::new(), Project::new(PROGRAM));
    project.numbers(12);
    let result = home.eval(&project).args(["--max-errors", "99"]).result();
    let id = result["run_id"].as_str().expect("an id");
    let failed = home.dspex(&["run", "results", id, "--failed", "-o", "jsonl"]).run().expect(0).objects();
    let indexes: Vec<_> = failed.iter().map(|row| row["index"].as_u64()).collect();
    assert_eq!(indexes, (0..10).map(Some).collect::<Vec<_>>());
    let failure = &failed[3]["failure"];
    expect_fields(failure, json!({"type": "ValueError", "message": "3 is too small"}));
    assert!(failure["traceback"].as_str().is_some_and(|text| text.contains("raise_deep_inside(n)")), "{failure}");
}

#[test]
fn the_gate_is_in_percent_and_exits_with_3() {
    let (home, project) = (Home::new(), Project::new(PROGRAM));
    project.numbers(30);
    let gated = |gate: &str| home.eval(&project).args(["--max-errors", "99", "--fail-under", gate]).run();
    // 20 of 30.
    for gate in ["66.67%", "66.67", "0", "50%"] {
        assert_eq!(gated(gate).expect(0).object()["score"], 66.67, "{gate}");
    }
    for gate in ["66.68%", "70", "100%"] {
        let output = gated(gate).expect(3);
        output.says("66.67").says("--fail-under");
        assert_eq!(output.object()["score"], 66.67, "the result is printed all the same");
    }
    let runs = home.runs().len();
    for gate in ["0.6", "1", "0.999"] {
        gated(gate).expect(2).says("percent");
    }
    assert_eq!(home.runs().len(), runs, "a refused gate costs no run");
}

#[test]
fn a_failed_run_stops_soon_and_keeps_what_it_has() {
    let (home, project) = (Home::new(), Project::new(PROGRAM));
    project.numbers(3000);
    let slow = "\n_forward = Fine.forward\ndef slowly(self, n):\n    time.sleep(0.05)\n    return Failing.forward(self, n)\nFine.forward = slowly\n";
    project.program(&format!("{PROGRAM}{slow}"));
    let output = home.eval(&project).program("program.py:fine").limit(Duration::from_secs(60)).run().expect(1);
    let run = home.runs().remove(0);
    assert!(run.done < 300, "{} of 3000 examples were executed after 10 errors\n{}", run.done, output.describe());
    let kept = home.dspex(&["run", "results", &run.run_id, "-o", "jsonl"]).run().expect(0).objects();
    assert_eq!(kept.len() as u32, run.done);
}
