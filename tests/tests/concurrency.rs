//! Several commands at once on one home: one node, undisturbed results. And two versions that meet.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use dspex_tests::{Home, Project, places};

const PROGRAM: &str = r#"
class Program(dspy.Module):
    def forward(self, n):
        count(n)
        time.sleep(float(os.environ.get("PAUSE", "0.01")))
        return dspy.Prediction(n=n, where=os.getcwd())

program = Program()

def metric(example, prediction):
    return example.n % OF / 2
"#;

fn project(of: u32) -> Project {
    let project = Project::new(&PROGRAM.replace("OF", &of.to_string()));
    project.numbers(300);
    project
}

#[test]
fn evaluations_and_lists_at_once_give_their_undisturbed_results() {
    let home = Home::new();
    let projects = [project(2), project(5)];
    let calm = projects.each_ref().map(|project| home.eval(project).env("PAUSE", "0").result());
    projects.iter().for_each(Project::forget_executions);

    let evals = projects.each_ref().map(|project| home.eval(project).start());
    let lists = [(); 4].map(|()| home.dspex(&["run", "list", "-o", "json"]).start());
    let third = home.eval(&projects[0]).args(["--limit", "50"]).start();
    for list in lists {
        assert!(list.finish().expect(0).object()["items"].is_array());
    }
    third.finish().expect(0);
    for (eval, calm) in evals.into_iter().zip(&calm) {
        let result = eval.finish().expect(0).object();
        assert_eq!((&result["score"], &result["digest"]), (&calm["score"], &calm["digest"]));
    }
    let executed = projects.each_ref().map(|project| project.executions().total());
    assert_eq!(executed, [350, 300], "nothing is executed twice");
    assert!(calm[0]["digest"] != calm[1]["digest"]);
}

#[test]
fn ten_commands_that_race_to_start_the_node_start_one() {
    for _ in 0..3 {
        let home = Home::new();
        let race = [(); 10].map(|()| home.dspex(&["run", "list", "-v"]).start());
        let outputs = race.map(|command| command.finish().expect(0));
        let started = outputs.iter().filter(|output| output.stderr.contains("started a node")).count();
        assert_eq!((started, home.nodes().len()), (1, 1));
    }
}

#[test]
fn a_node_that_was_killed_is_replaced_by_whoever_comes_first() {
    let home = Home::new();
    home.dspex(&["run", "list"]).run().expect(0);
    let killed = home.kill_node();
    let race = [(); 5].map(|()| home.dspex(&["run", "list"]).start());
    race.map(|command| command.finish().expect(0));
    assert_eq!(home.nodes().len(), 1);
    assert_ne!(home.node(), killed);
}

#[test]
fn homes_do_not_know_each_other() {
    let (first, second) = (Home::new(), Home::new());
    let project = project(3);
    let run = first.eval(&project).env("PAUSE", "0").result();
    let id = run["run_id"].as_str().expect("an id");
    second.dspex(&["run", "show", id]).run().expect(5);
    assert_ne!(first.node(), second.node());
    second.dspex(&["local", "stop"]).run().expect(0);
    first.dspex(&["run", "show", id]).run().expect(0);
}

#[test]
fn a_newer_program_replaces_an_idle_older_node_and_keeps_its_runs() {
    let (home, project) = (Home::new(), project(3));
    let older = older_program(&project);
    let before = home.eval_with(&older, &project).env("PAUSE", "0").result();
    let node = home.node();
    assert_eq!(home.status().map(|status| status.version), Some(older_version()));

    // While the older node works, the newer program leaves it alone.
    let busy = home.eval_with(&older, &project).start();
    home.wait_for_results(8);
    home.dspex(&["run", "list"]).run().expect(6).says("older version").says("NODE_VERSION_DIFFERS");
    busy.finish().expect(0);

    // Idle, it makes room.
    let listed = home.dspex(&["run", "list", "-o", "json"]).run().expect(0);
    listed.says("replacing the idle node");
    assert_eq!(listed.object()["items"][1]["digest"], before["digest"]);
    assert_ne!(home.node(), node);
    assert_eq!(home.status().map(|status| status.version).as_deref(), Some(env!("CARGO_PKG_VERSION")));

    // The other way round nothing is replaced.
    home.dspex_of(&older, &["run", "list"]).run().expect(6).says("use that version");
    assert_eq!(home.nodes().len(), 1);
}

/// A copy of the program that says to be an older version: of the same length, so that nothing moves in the file.
fn older_program(project: &Project) -> PathBuf {
    let mut bytes = fs::read(places::program()).expect("the program");
    let (own, older) = (env!("CARGO_PKG_VERSION").as_bytes().to_vec(), older_version().into_bytes());
    assert_eq!(own.len(), older.len());
    let places: Vec<usize> =
        bytes.windows(own.len()).enumerate().filter(|(_, part)| *part == own).map(|(at, _)| at).collect();
    for at in places {
        bytes[at..at + own.len()].copy_from_slice(&older);
    }
    project.executable("older", "").file("older", bytes);
    project.path("older")
}

fn older_version() -> String {
    env!("CARGO_PKG_VERSION").chars().map(|letter| if letter.is_ascii_digit() { '0' } else { letter }).collect()
}

#[test]
fn a_worker_of_another_protocol_version_is_refused_and_not_guessed_at() {
    let (home, project) = (Home::new(), project(3));
    let calm = home.eval(&project).env("PAUSE", "0").result();
    let protocol = find(&home.path().join("runtime"), "protocol.py").expect("the unpacked runtime");
    let text = fs::read_to_string(&protocol).expect("Python");
    let other = text.replace("\nVERSION = 1\n", "\nVERSION = 9\n");
    assert_ne!(other, text, "the version stands elsewhere now");
    fs::write(&protocol, other).expect("written");
    // Another start-up environment needs another zygote, which reads the changed file.
    let eval = || home.eval(&project).env("PYTHONHASHSEED", "7").env("PAUSE", "0").limit(Duration::from_secs(60));
    eval().run().expect(2).says("protocol").says('9'.to_string().as_str());
    fs::write(&protocol, text).expect("written");
    assert_eq!(eval().result()["digest"], calm["digest"]);
}

fn find(directory: &Path, name: &str) -> Option<PathBuf> {
    fs::read_dir(directory).ok()?.flatten().find_map(|entry| {
        let path = entry.path();
        if path.is_dir() { find(&path, name) } else { (entry.file_name() == name).then_some(path) }
    })
}
