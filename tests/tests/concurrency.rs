//! Several commands at once on one home: one node, undisturbed results. And two versions that meet.

use std::fs;
use std::path::PathBuf;

use dspex_tests::{Home, Project, places, skip};

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
    for command in race {
        command.finish().expect(0);
    }
    assert_eq!(home.nodes().len(), 1);
    assert_ne!(home.node(), killed);
}

#[test]
fn a_home_may_lie_deeper_than_a_socket_s_name_may_be_long() {
    let parent = tempfile::tempdir().expect("a directory");
    let deep = parent.path().join("d".repeat(100)).join("e".repeat(100));
    fs::create_dir_all(&deep).expect("directories");
    let (home, project) = (Home::below(&deep), project(3));
    assert_eq!(home.eval(&project).env("PAUSE", "0").result()["examples"], 300);
    home.dspex(&["local", "stop"]).run().expect(0);
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
    home.dspex_of(&older, &["run", "list"]).run();
    if home.status().map(|status| status.version) != Some(older_version()) {
        let why = "the version cannot be changed in a copy of the program";
        return skip("a_newer_program_replaces_an_idle_older_node_and_keeps_its_runs", why);
    }
    let node = home.node();
    let before = home.eval_with(&older, &project).env("PAUSE", "0").result();

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
    assert_eq!(home.status().map(|status| status.version).as_deref(), Some(OWN_VERSION));

    // The other way round nothing is replaced.
    home.dspex_of(&older, &["run", "list"]).run().expect(6).says("use that version");
    assert_eq!(home.nodes().len(), 1);
}

const OWN_VERSION: &str = env!("CARGO_PKG_VERSION");

/// Short texts stand in machine code as numbers of four bytes: only so many of the version are changed.
const CHANGED: usize = 4;

fn older_version() -> String {
    let zero = |letter: char| if letter.is_ascii_digit() { '0' } else { letter };
    OWN_VERSION.chars().take(CHANGED).map(zero).collect::<String>() + &OWN_VERSION[CHANGED..]
}

/// A copy of the program that says to be an older version. Nothing in the file moves.
fn older_program(project: &Project) -> PathBuf {
    let mut bytes = fs::read(places::program()).expect("the program");
    let (own, older) = (&OWN_VERSION.as_bytes()[..CHANGED], &older_version().into_bytes()[..CHANGED]);
    let places: Vec<usize> =
        bytes.windows(CHANGED).enumerate().filter(|(_, part)| *part == own).map(|(place, _)| place).collect();
    for place in places {
        bytes[place..place + CHANGED].copy_from_slice(older);
    }
    project.executable("older", "").file("older", bytes);
    project.path("older")
}
