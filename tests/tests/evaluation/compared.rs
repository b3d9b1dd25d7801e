//! `dspex run diff`: two runs example by example.

use dspex_tests::{Home, Project};
use serde_json::{Value, json};

/// Scores 1 where `n` is a multiple of `DIVISOR`, and raises where it is `BAD`.
const PROGRAM: &str = r#"
class Program(dspy.Module):
    def forward(self, n):
        if str(n) == os.environ.get("BAD"):
            raise ValueError("bad")
        return dspy.Prediction(hit=n % int(os.environ["DIVISOR"]) == 0)

program = Program()

def metric(example, prediction):
    return prediction.hit
"#;

fn run(home: &Home, project: &Project, divisor: &str, bad: &str) -> String {
    let result = home.eval(project).env("DIVISOR", divisor).env("BAD", bad).result();
    result["run_id"].as_str().expect("an id").to_owned()
}

fn diff(home: &Home, a: &str, b: &str) -> Value {
    home.dspex(&["run", "diff", a, b, "-o", "json"]).run().expect(0).object()
}

#[test]
fn runs_over_one_dataset_are_compared_example_by_example() {
    let (home, project) = (Home::new(), Project::new(PROGRAM));
    project.numbers(12);
    let (a, b) = (run(&home, &project, "2", "none"), run(&home, &project, "3", "4"));
    let compared = diff(&home, &a, &b);
    assert_eq!((&compared["aligned_by"], &compared["a"], &compared["b"]), (&json!("index"), &json!(a), &json!(b)));
    // By 2: 0 2 4 6 8 10; by 3: 0 3 6 9. 4 fails with the failure score 0.
    let expected = json!({
        "aligned": 12, "improved": 2, "regressed": 4, "unchanged": 6, "incomparable": 0,
        "failed_a": 0, "failed_b": 1, "only_a": 0, "only_b": 0,
    });
    assert_eq!(compared["counts"], expected);
    let items = compared["items"].as_array().expect("a list");
    let shown: Vec<(u64, &str)> = items
        .iter()
        .map(|item| (item["index_a"].as_u64().expect("a number"), item["change"].as_str().expect("a word")))
        .collect();
    let expected =
        [(2, "regressed"), (4, "regressed"), (8, "regressed"), (10, "regressed"), (3, "improved"), (9, "improved")];
    assert_eq!(shown, expected);
    assert_eq!((&items[0]["score_a"], &items[0]["score_b"]), (&json!(true), &json!(false)));
    assert!(items[1]["failure_b"].as_str().is_some_and(|class| class.contains("ValueError")), "{}", items[1]);
    // Six differences of size 1, two for and four against: 2 * (1 + 6 + 15) / 64.
    assert_eq!(compared["test"]["name"], json!("sign-flip permutation test, exact"));
    assert_eq!(compared["test"]["p_value"], json!(44.0 / 64.0));
    assert_eq!(compared["test"]["difference"], json!(-2.0 / 12.0));
    let table = home.dspex(&["run", "diff", &a, &b]).run().expect(0);
    for phrase in ["12 compared by their position in one dataset", "true is 1", "0.6875", "CHANGE", "regressed"] {
        assert!(table.stdout.contains(phrase), "{phrase}: {}", table.stdout);
    }
}

#[test]
fn runs_over_two_datasets_are_compared_by_equal_rows() {
    let (home, project) = (Home::new(), Project::new(PROGRAM));
    project.numbers(6);
    let a = run(&home, &project, "2", "none");
    project.rows("data.jsonl", [5, 0, 99].map(|n| json!({"n": n})));
    let b = run(&home, &project, "2", "none");
    let compared = diff(&home, &a, &b);
    assert_eq!(compared["aligned_by"], json!("row"));
    let counts = &compared["counts"];
    assert_eq!((&counts["aligned"], &counts["unchanged"]), (&json!(2), &json!(2)));
    assert_eq!((&counts["only_a"], &counts["only_b"]), (&json!(4), &json!(1)), "0 and 5 have a partner");
}

#[test]
fn runs_without_a_common_example_are_refused() {
    let (home, project) = (Home::new(), Project::new(PROGRAM));
    project.numbers(3);
    let a = run(&home, &project, "2", "none");
    project.rows("data.jsonl", [7, 8].map(|n| json!({"n": n})));
    let b = run(&home, &project, "2", "none");
    let refused = home.dspex(&["run", "diff", &a, &b]).run().expect(2);
    refused.says("different datasets").says("evaluate both programs on one dataset");
    home.dspex(&["run", "diff", &a, &a]).run().expect(2).says("both are run");
}
