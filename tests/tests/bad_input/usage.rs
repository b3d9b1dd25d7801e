//! Wrong words on the command line: exit code 2, and no node is started for them.

use dspex_tests::{Home, Project};

const PROGRAM: &str = r#"
class Program(dspy.Module):
    def forward(self, n):
        return dspy.Prediction(n=n)
program = Program()
def metric(example, prediction):
    return 1
"#;

#[test]
fn nonsense_is_refused_without_starting_a_node() {
    let (home, project) = (Home::new(), Project::new(PROGRAM));
    project.numbers(3);
    let good = ["eval", "program.py:program", "--devset", "data.jsonl", "--metric", "metric"];
    for (words, phrase) in [
        (vec!["eval"], "PROGRAM"),
        (vec!["eval", "program.py:program"], "--devset"),
        (vec!["eval", "program.py:program", "--devset", "data.jsonl"], "--metric"),
        (vec!["evaluate"], "evaluate"),
        (vec!["run", "destroy"], "destroy"),
        ([&good[..], &["--limit", "0"]].concat(), "--limit"),
        ([&good[..], &["--num-threads", "0"]].concat(), "--num-threads"),
        ([&good[..], &["--workers", "few"]].concat(), "--workers"),
        ([&good[..], &["--timeout", "0"]].concat(), "--timeout"),
        ([&good[..], &["--timeout", "soon"]].concat(), "--timeout"),
        ([&good[..], &["--failure-score", "nan"]].concat(), "--failure-score"),
        ([&good[..], &["--retries", "many"]].concat(), "--retries"),
        ([&good[..], &["--fail-under", "0.8"]].concat(), "80%"),
        ([&good[..], &["--lm-set", "temperature=0"]].concat(), "--lm"),
        ([&good[..], &["--lm", "m", "--lm-set", "temperature"]].concat(), "key=value"),
        ([&good[..], &["-o", "yaml"]].concat(), "yaml"),
        ([&good[..], &["--address", "localhost"]].concat(), "unix:PATH"),
        ([&good[..], &["--detach", "--save", "x.csv"]].concat(), "--save"),
        ([&good[..], &["--distributed"]].concat(), "--distributed"),
    ] {
        let output = home.dspex(&words).directory(project.directory()).run().expect(2);
        output.says(phrase);
        assert_eq!(output.stdout, "");
    }
    assert!(!home.path().exists(), "a home was made for wrong words");
    home.dspex(&["local", "status"]).run().expect(0);
    home.dspex(&["local", "stop"]).run().expect(0);
    assert!(!home.path().exists(), "a status is no reason to start a node");
}

#[test]
fn an_address_without_a_node_is_unreachable() {
    let home = Home::new();
    home.dspex(&["run", "list", "--address", "unix:/nonexistent/node.sock"]).run().expect(6).says("no node answers");
}
