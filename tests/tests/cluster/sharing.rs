//! Runs and nodes share what there is: runs give way to each other, stragglers are executed once more elsewhere, and a node that
//! came back gets its part.

use std::fs::OpenOptions;
use std::io::Write;
use std::time::Duration;

use dspex_tests::{Cluster, Project, holds_within, process};
use serde_json::Value;

use super::distribution::{finished, lines_are_up, undisturbed, workers};

const PATIENCE: Duration = Duration::from_secs(120);

const PROGRAM: &str = r"
import time

class Program(dspy.Module):
    def forward(self, n, seconds):
        time.sleep(float(seconds))
        return dspy.Prediction(double=2 * int(n))

program = Program()

def metric(example, prediction):
    return prediction.double % 3 == 0
";

/// Says of each example how many are executed in this moment, wherever that is: those have a file in the directory `now`.
const COUNTING: &str = r#"
import contextlib
import time

class Program(dspy.Module):
    def forward(self, n, seconds):
        mark = "PLACE/now/" + str(n)
        open(mark, "w").close()
        with open("PLACE/seen", "a") as seen:
            seen.write(str(len(os.listdir("PLACE/now"))) + "\n")
        while not os.path.exists("PLACE/go"):
            time.sleep(0.02)
        time.sleep(float(seconds))
        with contextlib.suppress(FileNotFoundError):
            os.remove(mark)
        return dspy.Prediction(double=2 * int(n))

program = Program()

def metric(example, prediction):
    return True
"#;

/// So many examples that take so long.
fn project(examples: usize, seconds: f64) -> Project {
    project_of(PROGRAM, examples, seconds)
}

fn project_of(program: &str, examples: usize, seconds: f64) -> Project {
    let project = Project::new(program);
    let line = |n| format!("{{\"n\": {n}, \"seconds\": {seconds}}}\n");
    project.file("data.jsonl", (0..examples).map(line).collect::<String>());
    project
}

fn begin(cluster: &Cluster, project: &Project, more: &[&str]) -> String {
    let eval = [
        "eval",
        "program.py:program",
        "--devset",
        "data.jsonl",
        "--metric",
        "program.py:metric",
        "--inputs",
        "n,seconds",
        "--detach",
        "-o",
        "json",
    ];
    let arguments = [&eval[..], more].concat();
    let begun = cluster.dspex(0, &arguments).directory(project.directory()).run().expect(0).object();
    begun["run_id"].as_str().expect("an id").to_owned()
}

fn show(cluster: &Cluster, run: &str) -> Value {
    cluster.dspex(0, &["run", "show", run, "-o", "json"]).run().expect(0).object()
}

fn cancel(cluster: &Cluster, run: &str) {
    cluster.dspex(0, &["run", "cancel", run]).run().expect(0);
}

/// The OS pids of the run's workers at a node that execute.
fn busy(cluster: &Cluster, position: usize, run: &str) -> Vec<u32> {
    let list = cluster.dspex(position, &["worker", "list", "-o", "json"]).run().expect(0).object();
    let items = list["items"].as_array().expect("items").clone();
    let busy = items.iter().filter(|worker| worker.to_string().contains(run) && worker["in_flight"] != 0);
    busy.filter_map(|worker| u32::try_from(worker["pid"].as_u64()?).ok()).collect()
}

/// One node whose runs may have so many workers.
fn small_node(workers_max: u32) -> Cluster {
    limited(1, &format!("workers_max = {workers_max}"))
}

/// So many nodes with these limits of runs, which know each other.
fn limited(nodes: usize, limits: &str) -> Cluster {
    let mut cluster = Cluster::formed_of(nodes);
    for position in 0..nodes {
        let mut file = OpenOptions::new().append(true).open(cluster.node(position).config()).expect("its file");
        writeln!(file, "[runs]\n{limits}").expect("written");
    }
    (0..nodes).for_each(|position| cluster.start(position));
    cluster.leader();
    assert!(holds_within(PATIENCE, || lines_are_up(&cluster)), "{}", cluster.node(0).log());
    cluster
}

/// Examples of the run that have a result.
fn done(cluster: &Cluster, run: &str) -> u64 {
    show(cluster, run)["done"].as_u64().expect("a number")
}

/// The Python processes that a node has for the run.
fn processes(cluster: &Cluster, position: usize, run: &str) -> usize {
    let list = cluster.dspex(position, &["worker", "list", "-o", "json"]).run().expect(0).object();
    let items = list["items"].as_array().expect("items");
    items.iter().filter(|worker| worker.to_string().contains(run) && worker["pid"].as_u64() > Some(0)).count()
}

#[test]
fn a_run_that_hangs_on_every_worker_of_a_node_gives_half_of_them_to_the_next() {
    let cluster = small_node(4);
    let (hanging, quick) = (project(8, 3600.0), project(400, 0.5));
    let four = ["--num-threads", "4", "--workers", "4"];
    let first = begin(&cluster, &hanging, &four);
    assert!(holds_within(PATIENCE, || busy(&cluster, 0, &first).len() == 4), "{}", cluster.node(0).log());
    let second = begin(&cluster, &quick, &four);
    // Its first worker has not had to wait for anybody.
    assert!(holds_within(PATIENCE, || show(&cluster, &second)["done"] != 0), "{}", show(&cluster, &second));
    let is_shared = || busy(&cluster, 0, &second).len() == 2 && busy(&cluster, 0, &first).len() == 2;
    assert!(holds_within(PATIENCE, is_shared), "{}", cluster.node(0).log());
    assert_eq!(show(&cluster, &first)["failed"], 0, "what gave way is charged to nobody");
    cluster.dspex(0, &["run", "weight", &second, "3"]).run().expect(0);
    assert_eq!(show(&cluster, &second)["weight"], 3);
    let is_heavier = || busy(&cluster, 0, &second).len() == 3 && busy(&cluster, 0, &first).len() == 1;
    assert!(holds_within(PATIENCE, is_heavier), "{}", cluster.node(0).log());
    cancel(&cluster, &second);
    // What it gave comes back to it.
    assert!(holds_within(PATIENCE, || busy(&cluster, 0, &first).len() == 4), "{}", cluster.node(0).log());
    cancel(&cluster, &first);
}

/// They take longer than a worker that gives way has otherwise.
#[test]
fn a_run_without_retries_that_gives_way_has_the_time_that_its_examples_need() {
    let cluster = small_node(2);
    let (innocent, other) = (project(2, 50.0), project(400, 0.5));
    let two = ["--num-threads", "2", "--workers", "2"];
    let first = begin(&cluster, &innocent, &[&two[..], &["--retries", "0"]].concat());
    assert!(holds_within(PATIENCE, || busy(&cluster, 0, &first).len() == 2), "{}", cluster.node(0).log());
    let second = begin(&cluster, &other, &two);
    let gives_way = || cluster.node(0).log().contains("a worker gives way to another run");
    assert!(holds_within(PATIENCE, gives_way), "{}", cluster.node(0).log());
    assert!(holds_within(PATIENCE, || show(&cluster, &first)["status"] == "finished"), "{}", show(&cluster, &first));
    let shown = show(&cluster, &first);
    assert_eq!((&shown["done"], &shown["failed"]), (&Value::from(2), &Value::from(0)), "{shown}");
    cancel(&cluster, &second);
}

#[test]
fn a_run_has_no_more_workers_of_a_node_than_its_file_says_and_is_told_so() {
    let cluster = small_node(2);
    let project = project(40, 0.05);
    let arguments = ["--num-threads", "8", "--workers", "8"];
    let run = begin(&cluster, &project, &arguments);
    let shown = show(&cluster, &run);
    assert_eq!(shown["workers"], 2, "{shown}");
    assert!(holds_within(PATIENCE, || show(&cluster, &run)["status"] == "finished"), "{}", show(&cluster, &run));
}

#[test]
fn a_run_over_three_nodes_has_no_more_processes_and_examples_at_once_than_its_limits() {
    let cluster = limited(3, "workers_per_run_max = 1\nthreads_per_run_max = 4");
    let place = Project::empty();
    std::fs::create_dir(place.path("now")).expect("a directory");
    let program = COUNTING.replace("PLACE", &place.directory().display().to_string());
    let project = project_of(&program, 240, 0.2);
    let run = begin(&cluster, &project, &["--num-threads", "64", "--workers", "64"]);
    let shown = show(&cluster, &run);
    assert_eq!((&shown["num_threads"], &shown["workers"]), (&Value::from(4), &Value::from(3)), "{shown}");
    let mut most = [0; 3];
    // Nothing is done before all three nodes take part, however long one takes.
    let takes_part = |position| holds_within(PATIENCE, || processes(&cluster, position, &run) > 0);
    assert!((0..3).all(takes_part), "{}", cluster.node(0).log());
    place.file("go", "");
    let ended = || {
        for (position, most) in most.iter_mut().enumerate() {
            *most = processes(&cluster, position, &run).max(*most);
        }
        show(&cluster, &run)["status"] == "finished"
    };
    assert!(holds_within(PATIENCE, ended), "{}", show(&cluster, &run));
    assert_eq!(most, [1; 3], "processes of the run at each node");
    let shown = show(&cluster, &run);
    assert_eq!((&shown["done"], &shown["failed"]), (&Value::from(240), &Value::from(0)), "{shown}");
    let seen: Vec<usize> = place.read("seen").lines().filter_map(|line| line.parse().ok()).collect();
    let most = seen.iter().max().copied();
    assert!(seen.len() >= 240, "the control: each example has counted, {} have", seen.len());
    // A worker that joins takes over 2 of the 4, and the next one 1, while those that stood in end what they have.
    assert!(most > Some(1) && most <= Some(4 + 2 + 1), "{most:?} examples at once");
    let settled = seen[20..].iter().max();
    assert!(settled <= Some(&4), "{settled:?} at once when all have joined");
}

/// Nobody's progress is held against a clock: the flood's is what the short run's is compared to.
#[test]
fn a_short_run_beside_a_flood_of_three_nodes_has_its_share_and_ends_long_before_it() {
    const FLOOD: u64 = 20_000;
    const SHORT: u64 = 600;
    let cluster = limited(3, "workers_max = 2");
    let (flood, short) = (project(FLOOD as usize, 0.05), project(SHORT as usize, 0.05));
    let all = ["--num-threads", "16", "--workers", "6"];
    let flood = begin(&cluster, &flood, &all);
    for position in 0..3 {
        let is_flooded = || !busy(&cluster, position, &flood).is_empty();
        assert!(holds_within(PATIENCE, is_flooded), "node {position}: {}", cluster.node(0).log());
    }
    let short = begin(&cluster, &short, &all);
    assert!(holds_within(PATIENCE, || done(&cluster, &short) > 0), "{}", show(&cluster, &short));
    let before = done(&cluster, &flood);
    let has_ended = || show(&cluster, &short)["status"] == "finished";
    assert!(holds_within(PATIENCE, has_ended), "{}", show(&cluster, &short));
    let shown = show(&cluster, &flood);
    let after = shown["done"].as_u64().expect("a number");
    assert_eq!((&shown["status"], &shown["failed"]), (&"running".into(), &Value::from(0)), "{shown}");
    assert!(after < FLOOD / 2, "it waited for most of the flood: {shown}");
    // Both weigh the same and take equally long for an example; what is left is for workers that have to start.
    assert!(after - before < 5 * SHORT, "{} of the flood, and {SHORT} of the short one meanwhile", after - before);
    assert!(done(&cluster, &flood) > before, "the control: the flood went on, too");
    cancel(&cluster, &flood);
}

#[test]
fn an_example_on_a_process_that_stands_still_is_executed_once_more_elsewhere_and_the_run_ends() {
    let project = super::distribution::project();
    let cluster = Cluster::of(3);
    assert!(holds_within(PATIENCE, || lines_are_up(&cluster)));
    let run = super::distribution::begin(&cluster, 0, &project);
    assert!(holds_within(PATIENCE, || !busy(&cluster, 1, &run).is_empty()), "node 1 has no worker that executes");
    let stopped = busy(&cluster, 1, &run)[0];
    // Nobody lets it go on: the run ends without it.
    process::pause(stopped);
    let shown = finished(&cluster, 0, &run);
    let alone = undisturbed(&project);
    assert_eq!((&shown["digest"], &shown["score"]), (&alone["digest"], &alone["score"]));
}

#[test]
fn without_retries_nothing_is_executed_once_more() {
    let project = project(300, 0.1);
    let cluster = Cluster::of(3);
    assert!(holds_within(PATIENCE, || lines_are_up(&cluster)));
    let run = begin(&cluster, &project, &["--num-threads", "6", "--retries", "0"]);
    assert!(holds_within(PATIENCE, || !busy(&cluster, 1, &run).is_empty()), "node 1 has no worker that executes");
    let stopped = busy(&cluster, 1, &run)[0];
    process::pause(stopped);
    let rest = || show(&cluster, &run)["done"].as_u64().is_some_and(|done| done >= 298);
    assert!(holds_within(PATIENCE, rest), "{}", show(&cluster, &run));
    std::thread::sleep(Duration::from_secs(5));
    assert_eq!(show(&cluster, &run)["status"], "running", "it waits for what stands still");
    process::go_on(stopped);
    assert!(holds_within(PATIENCE, || show(&cluster, &run)["status"] == "finished"), "{}", show(&cluster, &run));
    assert_eq!(show(&cluster, &run)["duplicates"], 0);
}

#[test]
fn a_node_that_came_back_gets_workers_of_a_run_that_goes_on() {
    let project = project(6000, 0.1);
    let mut cluster = Cluster::of(3);
    assert!(holds_within(PATIENCE, || lines_are_up(&cluster)));
    let run = begin(&cluster, &project, &["--num-threads", "6", "--workers", "6"]);
    assert!(holds_within(PATIENCE, || workers(&cluster, 2, &run) > 0), "node 2 has no worker of it");
    cluster.kill(2);
    let moved = || workers(&cluster, 0, &run) + workers(&cluster, 1, &run) == 6;
    assert!(holds_within(PATIENCE, moved), "its workers are not replaced: {}", cluster.node(0).log());
    cluster.start(2);
    assert!(holds_within(PATIENCE, || !busy(&cluster, 2, &run).is_empty()), "{}", cluster.node(0).log());
    cancel(&cluster, &run);
}
