//! A table of wrong commands: each with its exit code and words of its message. None may leave a run behind.

use dspex_tests::{Eval, Home, Project};

/// A wrong command.
pub struct Case<'a> {
    /// What is wrong, for the message of a failed test.
    pub what: &'a str,
    /// What is changed in a good command.
    pub change: &'a dyn Fn(Eval) -> Eval,
    /// What stderr must say.
    pub phrases: &'a [&'a str],
}

/// Every case exits with 2, says its phrases, prints nothing on stdout; afterwards there is no run, and the good command works.
#[track_caller]
pub fn check(home: &Home, project: &Project, cases: &[Case<'_>]) {
    let mut wrong = Vec::new();
    for case in cases {
        let output = (case.change)(home.eval(project)).run();
        let missing: Vec<&&str> = case.phrases.iter().filter(|phrase| !output.stderr.contains(**phrase)).collect();
        if output.code != Some(2) || !missing.is_empty() || !output.stdout.is_empty() {
            wrong.push(format!("## {}: exit code 2 and {missing:?} are wanted\n{}", case.what, output.describe()));
        }
        // A message is for people: without the inside of DSPex.
        for inside in ["dspex/runtime", "panicked", "Status {", "src/"] {
            if output.stderr.contains(inside) {
                wrong.push(format!("## {}: {inside:?} is nobody's business\n{}", case.what, output.describe()));
            }
        }
    }
    assert!(wrong.is_empty(), "{} of {} cases\n{}", wrong.len(), cases.len(), wrong.join("\n"));
    assert!(home.runs().is_empty(), "a refused command left a run behind");
    home.dspex(&["run", "list"]).run().expect(0);
}
