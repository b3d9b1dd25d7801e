//! Half a score by one program and half by another is worth nothing: a resume with other files is refused.

use dspex_tests::{Home, Project};

const PROGRAM: &str = r#"
from helping import help

class Program(dspy.Module):
    def forward(self, n):
        count(n)
        time.sleep(float(os.environ.get("PAUSE", "0.05")))
        return dspy.Prediction(n=help(n))

program = Program()

def metric(example, prediction):
    return prediction.n == example.n
"#;

#[test]
fn resume_is_refused_when_a_file_of_the_program_has_changed() {
    let (home, project) = (Home::new(), Project::new(PROGRAM));
    const HELPING: &str = "def help(n):\n    return n\n";
    project.numbers(120).file("helping.py", HELPING).file("unrelated.py", "x = 1\n");
    let eval = home.eval(&project).start();
    let run = home.wait_for_results(20);
    home.kill_node();
    eval.finish().expect(6);
    let before = project.executions();

    // The program's own file, and one that it imports.
    let program = project.read("program.py");
    for (file, own) in [("program.py", program.as_str()), ("helping.py", HELPING)] {
        project.file(file, format!("{own}\n# A word more.\n"));
        let refused = home.dspex(&["run", "resume", &run.run_id]).run().expect(2);
        refused.says(&project.path(file).display().to_string());
        // By specification it is another evaluation.
        home.eval(&project).args(["--resume"]).run().expect(5);
        project.file(file, own);
    }
    std::fs::remove_file(project.path("helping.py")).expect("removed");
    home.dspex(&["run", "resume", &run.run_id]).run().expect(2).says("helping.py");
    project.file("helping.py", HELPING);
    assert_eq!(project.executions(), before, "a refused resume executes nothing");

    // Undone, or elsewhere, it goes on.
    project.file("unrelated.py", "x = 2\n");
    let resumed = home.dspex(&["run", "resume", &run.run_id, "-o", "json"]).run().expect(0).object();
    assert_eq!(resumed["score"], 100.0);
}

#[test]
fn resume_names_the_dataset_by_its_rows_not_by_its_file() {
    let (home, project) = (Home::new(), Project::new(PROGRAM));
    project.numbers(120).file("helping.py", "def help(n):\n    return n\n");
    let eval = home.eval(&project).start();
    let run = home.wait_for_results(20);
    home.kill_node();
    eval.finish().expect(6);
    // The rows are the node's since the start: by id the file is not needed any more.
    std::fs::rename(project.path("data.jsonl"), project.path("moved.jsonl")).expect("renamed");
    let resumed = home.eval(&project).devset("moved.jsonl").args(["--resume"]).result();
    assert_eq!(resumed["run_id"].as_str(), Some(&*run.run_id));
    // Another row is another evaluation.
    project.numbers(121);
    home.eval(&project).args(["--resume"]).run().expect(5);
}
