//! A run on all nodes: the same result as on one, whichever node is lost meanwhile.

use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use dspex_tests::{Cluster, Project, holds_within, places, process};
use serde_json::Value;

use crate::subject::{self, EVAL};

const PROGRAM: &str = r"
import time

class Program(dspy.Module):
    def forward(self, n):
        time.sleep(0.1)
        if int(n) % 10 == 3:
            raise ValueError(f'no answer for {n}')
        return dspy.Prediction(double=2 * int(n))

program = Program()

def metric(example, prediction):
    return prediction.double % 3 == 0
";

/// So many that the owner alone is not done before the other nodes have what they need.
pub const EXAMPLES: usize = 400;
const PATIENCE: Duration = Duration::from_secs(120);

pub fn project() -> Project {
    subject::project(PROGRAM, EXAMPLES)
}

/// A run that goes on without its caller.
pub fn begin(cluster: &Cluster, position: usize, project: &Project) -> String {
    let arguments = [&EVAL[..], &["--num-threads", "6", "--max-errors", "1000", "--detach"]].concat();
    let begun = cluster.dspex(position, &arguments).directory(project.directory()).run().expect(0).object();
    begun["run_id"].as_str().expect("an id").to_owned()
}

pub fn show(cluster: &Cluster, asked: usize, run: &str) -> Value {
    cluster.dspex(asked, &["run", "show", run, "-o", "json"]).run().expect(0).object()
}

/// Waits for so many results.
pub fn wait_for(cluster: &Cluster, asked: usize, run: &str, done: u64) {
    let reached = || {
        let shown = cluster.dspex(asked, &["run", "show", run, "-o", "json"]).run();
        shown.code == Some(0) && shown.object()["done"].as_u64().is_some_and(|now| now >= done)
    };
    assert!(holds_within(PATIENCE, reached), "{}", show(cluster, asked, run));
}

pub fn finished(cluster: &Cluster, asked: usize, run: &str) -> Value {
    let ended = || {
        let shown = cluster.dspex(asked, &["run", "show", run, "-o", "json"]).run();
        shown.code == Some(0) && shown.object()["status"] != "running"
    };
    assert!(holds_within(PATIENCE, ended), "{}", show(cluster, asked, run));
    let shown = show(cluster, asked, run);
    assert_eq!((&shown["status"], &shown["done"]), (&"finished".into(), &EXAMPLES.into()), "{shown}");
    shown
}

/// The workers of a node that belong to the run.
pub fn workers(cluster: &Cluster, position: usize, run: &str) -> usize {
    let list = cluster.dspex(position, &["worker", "list", "-o", "json"]).run().expect(0).object();
    let items = list["items"].as_array().expect("items");
    items.iter().filter(|worker| worker.to_string().contains(run)).count()
}

/// On one node, for comparison.
pub fn undisturbed(project: &Project) -> Value {
    let alone = Cluster::of(1);
    let run = begin(&alone, 0, project);
    finished(&alone, 0, &run)
}

pub fn lines_are_up(cluster: &Cluster) -> bool {
    cluster.running().into_iter().all(|position| {
        let others = cluster.running().len() - 1;
        cluster.node(position).log().matches("a line for orders to a peer").count() >= others
    })
}

#[test]
fn a_run_executes_on_every_node_and_has_the_result_of_one() {
    let project = project();
    let cluster = Cluster::of(3);
    assert!(holds_within(PATIENCE, || lines_are_up(&cluster)), "{}", cluster.node(0).log());
    let run = begin(&cluster, 0, &project);
    for position in 0..3 {
        assert!(
            holds_within(PATIENCE, || workers(&cluster, position, &run) > 0),
            "node {position} has no worker of it"
        );
    }
    let shown = finished(&cluster, 1, &run);
    let alone = undisturbed(&project);
    assert_eq!(
        (&shown["digest"], &shown["score"], &shown["failed"]),
        (&alone["digest"], &alone["score"], &alone["failed"])
    );
    assert!(shown["digest"].is_string(), "{shown}");
    for position in 0..3 {
        assert!(holds_within(PATIENCE, || workers(&cluster, position, &run) == 0), "node {position} keeps workers");
    }
}

/// Gives a node that does not run a Python of this directory, which starts no more once there is a file, which is returned. The node
/// has no other way to see that than to start one.
fn breakable_interpreter(cluster: &Cluster, position: usize, directory: &Path) -> PathBuf {
    let (python, broken) = (directory.join("python"), directory.join("broken"));
    let own = places::interpreter();
    let script = format!("#!/bin/sh\n[ -e {} ] && exit 3\nexec {} \"$@\"\n", broken.display(), own.display());
    std::fs::write(&python, script).expect("written");
    std::fs::set_permissions(&python, Permissions::from_mode(0o755)).expect("executable");
    let config = cluster.node(position).config();
    let file = std::fs::read_to_string(&config).expect("its file");
    let named = |path: &Path| format!("interpreter = \"{}\"", path.display());
    assert!(file.contains(&named(&own)), "{file}");
    std::fs::write(&config, file.replace(&named(&own), &named(&python))).expect("written");
    broken
}

#[test]
fn a_node_whose_workers_cannot_begin_is_shut_out_and_named_and_the_others_finish() {
    let project = project();
    let mut cluster = Cluster::formed_of(3);
    let place = tempfile::tempdir().expect("a directory");
    let broken = breakable_interpreter(&cluster, 2, place.path());
    (0..3).for_each(|position| cluster.start(position));
    cluster.leader();
    assert!(holds_within(PATIENCE, || lines_are_up(&cluster)), "{}", cluster.node(0).log());
    // The control: the node takes part as long as its Python starts. By then it knows its environment.
    let first = begin(&cluster, 0, &project);
    assert!(holds_within(PATIENCE, || workers(&cluster, 2, &first) > 0), "{}", cluster.node(2).log());
    let alone = finished(&cluster, 0, &first);
    assert!(!cluster.node(0).log().contains("takes no part in a run"), "{}", cluster.node(0).log());

    std::fs::write(&broken, "").expect("written");
    let zygotes = cluster.ask(2, async |client| client.status().await).expect("it answers").zygotes;
    assert!(!zygotes.is_empty(), "it has executed");
    zygotes.iter().for_each(|zygote| process::kill(zygote.pid));
    let again = begin(&cluster, 0, &project);
    let is_said = || cluster.node(0).log().contains("takes no part in a run");
    assert!(holds_within(PATIENCE, is_said), "{}", cluster.node(0).log());
    let shown = finished(&cluster, 1, &again);
    assert_eq!((&shown["digest"], &shown["score"]), (&alone["digest"], &alone["score"]));
    assert_eq!(shown["failed"], alone["failed"], "no example pays for it");
}

#[test]
fn a_node_that_is_killed_costs_a_run_time_and_nothing_else() {
    let project = project();
    let mut cluster = Cluster::of(3);
    assert!(holds_within(PATIENCE, || lines_are_up(&cluster)));
    let run = begin(&cluster, 0, &project);
    wait_for(&cluster, 0, &run, 20);
    assert!(holds_within(PATIENCE, || workers(&cluster, 2, &run) > 0), "node 2 has no worker of it");
    cluster.kill(2);
    let shown = finished(&cluster, 1, &run);
    let alone = undisturbed(&project);
    assert_eq!((&shown["digest"], &shown["score"]), (&alone["digest"], &alone["score"]));
}

#[test]
fn a_run_whose_owner_is_killed_goes_on_under_another() {
    let project = project();
    let mut cluster = Cluster::of(3);
    assert!(holds_within(PATIENCE, || lines_are_up(&cluster)));
    let run = begin(&cluster, 0, &project);
    wait_for(&cluster, 1, &run, 20);
    cluster.kill(0);
    let shown = finished(&cluster, 1, &run);
    let alone = undisturbed(&project);
    assert_eq!((&shown["digest"], &shown["score"]), (&alone["digest"], &alone["score"]));
}

#[test]
fn a_cluster_that_was_stopped_whole_goes_on_with_its_runs() {
    let project = project();
    let mut cluster = Cluster::of(3);
    assert!(holds_within(PATIENCE, || lines_are_up(&cluster)));
    let run = begin(&cluster, 0, &project);
    wait_for(&cluster, 1, &run, 20);
    for position in 0..3 {
        cluster.kill(position);
    }
    for position in 0..3 {
        cluster.begin(position);
    }
    cluster.leader();
    let shown = finished(&cluster, 1, &run);
    let alone = undisturbed(&project);
    assert_eq!((&shown["digest"], &shown["score"]), (&alone["digest"], &alone["score"]));
}

/// Another node than the one that was asked may know of a change a moment later.
fn wait_until_no_more(cluster: &Cluster, asked: usize, run: &str, status: &str) {
    let has_changed = || show(cluster, asked, run)["status"] != status;
    assert!(holds_within(PATIENCE, has_changed), "{}", show(cluster, asked, run));
}

#[test]
fn a_paused_run_lets_every_node_end_what_it_has_and_goes_on_from_any() {
    let project = project();
    let cluster = Cluster::of(3);
    assert!(holds_within(PATIENCE, || lines_are_up(&cluster)));
    let run = begin(&cluster, 0, &project);
    wait_for(&cluster, 0, &run, 20);
    cluster.dspex(1, &["run", "pause", &run]).run().expect(0);
    for position in 0..3 {
        assert!(holds_within(PATIENCE, || workers(&cluster, position, &run) == 0), "node {position} keeps workers");
    }
    let shown = show(&cluster, 0, &run);
    assert_eq!(shown["status"], "paused", "{shown}");
    assert!(shown["done"].as_u64().is_some_and(|done| done < EXAMPLES as u64), "{shown}");
    cluster.dspex(2, &["run", "resume", &run, "--detach"]).run().expect(0);
    wait_until_no_more(&cluster, 1, &run, "paused");
    let shown = finished(&cluster, 1, &run);
    assert_eq!(shown["duplicates"], 0, "nothing was executed twice: {shown}");
    let alone = undisturbed(&project);
    assert_eq!((&shown["digest"], &shown["score"]), (&alone["digest"], &alone["score"]));
}

#[test]
fn a_retry_may_be_asked_of_another_node_than_the_one_that_executed_the_run() {
    let project = project();
    let cluster = Cluster::of(3);
    let run = begin(&cluster, 0, &project);
    let first = finished(&cluster, 0, &run);
    cluster.dspex(1, &["run", "retry", &run, "--failed", "--detach"]).run().expect(0);
    let executed = || show(&cluster, 2, &run)["generation"] == 2;
    assert!(holds_within(PATIENCE, executed), "{}", show(&cluster, 2, &run));
    let again = finished(&cluster, 2, &run);
    assert_eq!((&again["failed"], &again["digest"]), (&first["failed"], &first["digest"]), "it fails as before");
    let failed = cluster.dspex(2, &["run", "results", &run, "--failed", "-o", "jsonl"]).run().expect(0).objects();
    assert_eq!(failed.len(), EXAMPLES / 10);
    assert!(failed.iter().all(|result| result["attempt"] == 2), "attempts go on counting: {failed:?}");
}

const TWO_BATCHES: &str = r"
import pathlib, sys, time
import dspex, dspy
from dspy import Example

class Double(dspy.Module):
    def forward(self, n):
        return dspy.Prediction(double=2 * n)

def metric(example, prediction, trace=None):
    return prediction.double == 2 * example.n

examples = [Example(n=n).with_inputs('n') for n in range(24)]
stock = dspy.Evaluate(devset=examples, metric=metric, num_threads=4, display_progress=False)
ours = dspex.Evaluate(devset=examples, metric=metric, num_threads=4, display_progress=False)

def by_stock():
    with dspex.distribute(local=False) as distribution:
        print('stock', stock(Double()).score)
    assert all(batch.run_id for batch in distribution.batches), distribution.batches

# This one asks first where it is to be executed.
def by_ours():
    result = ours(Double())
    print('ours', result.score, result.strategy)

first, second = (by_stock, by_ours) if sys.argv[1] == 'stock' else (by_ours, by_stock)
second()
pathlib.Path(sys.argv[1]).touch()
while not pathlib.Path('killed').exists():
    time.sleep(0.05)
first()
second()
";

#[test]
fn a_program_whose_node_is_lost_between_two_batches_goes_on_at_another() {
    let mut cluster = Cluster::of(3);
    assert!(holds_within(PATIENCE, || lines_are_up(&cluster)));
    let project = Project::empty();
    project.file("batches.py", TWO_BATCHES);
    // What comes first when the node is gone: a batch, or the question where an evaluation goes.
    let programs = ["stock", "ours"].map(|first| {
        (first, cluster.python(1, &["batches.py", first]).directory(project.directory()).limit(PATIENCE).start())
    });
    for (first, program) in &programs {
        assert!(holds_within(PATIENCE, || project.path(first).exists()), "{}", program.stderr());
    }
    cluster.kill(1);
    project.file("killed", "");
    for (_, program) in programs {
        let output = program.finish().expect(0);
        assert!(output.stdout.contains("stock 100.0"), "{}", output.describe());
        assert!(output.stdout.contains("ours 100.0 distributed"), "{}", output.describe());
        assert!(!output.stdout.contains("local"), "{}", output.describe());
    }
}
