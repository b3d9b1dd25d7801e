//! What a run prints and asks, through every node: also through one that does not own it, and when a node is lost.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use dspex_api::v1::{LineCursor, RunEvent, WatchRunRequest, run_event::Event};
use dspex_tests::{Cluster, Output, Project, Running, holds_within, process};

use super::distribution::{begin, finished, show, wait_for, workers};
use crate::subject::EVAL;

/// Printed before the work: a line is on its way long before its result is in the log. No two executions print the same.
const PROGRAM: &str = r"
import uuid

class Program(dspy.Module):
    def forward(self, n):
        for line in range(LINES):
            print(f'<{n} {uuid.uuid4().hex}>', flush=True)
        time.sleep(0.1)
        return dspy.Prediction(double=2 * int(n))

program = Program()

def metric(example, prediction):
    return prediction.double % 3 == 0
";

const EXAMPLES: usize = 400;
const PATIENCE: Duration = Duration::from_secs(120);

fn project(lines: usize) -> Project {
    let project = Project::new(&PROGRAM.replace("LINES", &lines.to_string()));
    project.file("data.jsonl", (0..EXAMPLES).map(|n| format!("{{\"n\": {n}}}\n")).collect::<String>());
    project
}

/// Three nodes, each of which can give workers to the runs of the others.
fn cluster() -> Cluster {
    let cluster = Cluster::of(3);
    let lines = |position: usize| cluster.node(position).log().matches("a line for orders to a peer").count();
    assert!(holds_within(PATIENCE, || (0..3).all(|position| lines(position) >= 2)), "{}", cluster.node(0).log());
    cluster
}

fn watch(cluster: &Cluster, position: usize, run: &str) -> Running {
    cluster.dspex(position, &["run", "watch", run, "-o", "json"]).limit(PATIENCE).start()
}

/// The lines of examples in what a command said: how often each came, by example.
fn printed(said: &str) -> BTreeMap<usize, BTreeMap<&str, usize>> {
    let mut printed: BTreeMap<usize, BTreeMap<&str, usize>> = BTreeMap::new();
    for line in said.lines().filter(|line| line.starts_with('<') && line.ends_with('>')) {
        let example = line[1..].split(' ').next().and_then(|number| number.parse().ok()).expect("an example");
        *printed.entry(example).or_default().entry(line).or_default() += 1;
    }
    printed
}

fn repeated(said: &str) -> Vec<String> {
    let lines = printed(said).into_values().flatten().filter(|(_, times)| *times > 1);
    lines.map(|(line, times)| format!("{line} came {times} times")).collect()
}

fn shows(watching: &Running, lines: usize) -> bool {
    printed(&watching.stderr()).values().map(BTreeMap::len).sum::<usize>() >= lines
}

#[track_caller]
fn expect_all_once(output: &Output) {
    let printed = printed(&output.stderr);
    let missing: Vec<usize> = (0..EXAMPLES).filter(|example| !printed.contains_key(example)).collect();
    assert!(missing.is_empty(), "no lines of {missing:?}\n{}", output.describe());
    assert_eq!(repeated(&output.stderr), Vec::<String>::new(), "{}", output.describe());
}

#[test]
fn every_line_of_every_node_comes_once_through_each_node() {
    let (project, cluster) = (project(1), cluster());
    let run = begin(&cluster, 0, &project);
    let watching: Vec<Running> = (0..3).map(|position| watch(&cluster, position, &run)).collect();
    for position in 0..3 {
        assert!(
            holds_within(PATIENCE, || workers(&cluster, position, &run) > 0),
            "node {position} has no worker of it"
        );
    }
    for watching in watching {
        let output = watching.finish().expect(0);
        expect_all_once(&output);
        output.does_not_say("left out").does_not_say("were lost on their way");
        let lines: usize = printed(&output.stderr).values().map(BTreeMap::len).sum();
        assert_eq!(lines, EXAMPLES, "one execution of each prints one line");
    }
}

#[test]
fn a_watch_through_another_node_follows_the_next_owner_when_the_owner_is_killed() {
    let (project, mut cluster) = (project(1), cluster());
    let run = begin(&cluster, 0, &project);
    let watching = watch(&cluster, 1, &run);
    assert!(holds_within(PATIENCE, || shows(&watching, 20)), "{}", watching.stderr());
    cluster.kill(0);
    let output = watching.finish().expect(0);
    let (before, after) = output.stderr.split_once("another owner goes on with the run").expect("it is said");
    assert!(printed(before).len() >= 20 && !printed(after).is_empty(), "{}", output.describe());
    assert_eq!(repeated(&output.stderr), Vec::<String>::new(), "{}", output.describe());
    finished(&cluster, 2, &run);
}

#[test]
fn a_watch_whose_node_is_killed_goes_on_through_another_one_and_repeats_nothing() {
    let (project, mut cluster) = (project(1), cluster());
    let run = begin(&cluster, 0, &project);
    let watching = watch(&cluster, 2, &run);
    assert!(holds_within(PATIENCE, || shows(&watching, 20)), "{}", watching.stderr());
    cluster.kill(2);
    let output = watching.finish().expect(0);
    expect_all_once(&output);
    assert_eq!(output.object()["run_id"], run.as_str());
}

/// It stands still for longer than the run takes: who follows the run there hears nothing more, and no end of the connection.
#[test]
fn a_watch_whose_node_stands_still_until_the_run_has_ended_misses_nothing_of_it() {
    let (project, cluster) = (project(1), cluster());
    let run = begin(&cluster, 0, &project);
    let watching = watch(&cluster, 2, &run);
    assert!(holds_within(PATIENCE, || shows(&watching, 20)), "{}", watching.stderr());
    process::pause(cluster.node(2).pid());
    let output = watching.finish();
    process::go_on(cluster.node(2).pid());
    expect_all_once(&output.expect(0));
}

/// Without the majority a node cannot know how a run goes on.
#[test]
fn a_watch_through_a_node_that_hears_of_no_leader_says_so_and_goes_on_when_there_is_one() {
    let (project, cluster) = (project(1), cluster());
    let run = begin(&cluster, 0, &project);
    let watching = watch(&cluster, 0, &run);
    assert!(holds_within(PATIENCE, || shows(&watching, 20)), "{}", watching.stderr());
    let others = [1, 2].map(|position| cluster.node(position).pid());
    others.into_iter().for_each(process::pause);
    let is_said = holds_within(PATIENCE, || watching.stderr().contains("hears of no leader"));
    others.into_iter().for_each(process::go_on);
    assert!(is_said, "{}", watching.stderr());
    watching.finish().expect(0);
    finished(&cluster, 1, &run);
}

/// An evaluation of more than a minute, followed by the command that submitted it. A run that is not followed is cancelled after 30 s.
fn long_evaluation(cluster: &Cluster) -> (Project, Running, String) {
    let project = project(1);
    project.file("program.py", project.read("program.py").replace("sleep(0.1)", "sleep(1)"));
    let arguments = [&EVAL[..], &["--num-threads", "6"]].concat();
    let evaluating = cluster.dspex(0, &arguments).directory(project.directory()).limit(2 * PATIENCE).start();
    let run = run(cluster, 1);
    wait_for(cluster, 1, &run, 20);
    (project, evaluating, run)
}

#[test]
fn an_evaluation_whose_node_stands_still_goes_on_through_another_one_before_it_is_cancelled() {
    let cluster = cluster();
    let (_project, evaluating, run) = long_evaluation(&cluster);
    process::pause(cluster.node(0).pid());
    let output = evaluating.finish();
    process::go_on(cluster.node(0).pid());
    assert_eq!(output.expect(0).object()["run_id"], run.as_str());
}

#[test]
fn ctrl_c_cancels_through_another_node_when_the_own_one_stands_still() {
    let cluster = cluster();
    let (_project, evaluating, run) = long_evaluation(&cluster);
    process::pause(cluster.node(0).pid());
    evaluating.interrupt();
    let output = evaluating.finish();
    process::go_on(cluster.node(0).pid());
    output.expect(130).says(&format!("dspex run resume {run}"));
    assert_eq!(show(&cluster, 1, &run)["status"], "cancelled");
}

#[test]
fn ctrl_c_is_heard_while_another_node_is_looked_for() {
    let mut cluster = cluster();
    let (_project, evaluating, run) = long_evaluation(&cluster);
    let others = [1, 2].map(|position| cluster.node(position).pid());
    others.into_iter().for_each(process::pause);
    cluster.kill(0);
    let asked = Instant::now();
    evaluating.interrupt();
    let output = evaluating.finish();
    others.into_iter().for_each(process::go_on);
    output.expect(130).says(&format!("dspex run resume {run}"));
    // It asks each of them once more.
    assert!(asked.elapsed() < Duration::from_secs(20), "{:?}", asked.elapsed());
}

/// Of everything that a run has to say.
fn events(cluster: &Cluster, position: usize, request: &WatchRunRequest) -> Vec<RunEvent> {
    let read = cluster.ask(position, async |client| {
        let mut stream = client.watch(request.clone()).await?;
        let mut events = Vec::new();
        while let Some(event) = stream.message().await? {
            events.push(event);
        }
        Ok(events)
    });
    read.expect("the node answers")
}

/// How many lines were told, and how many were said to be left out.
fn told(events: &[RunEvent]) -> (u64, u64) {
    let left_out = |event: &RunEvent| match &event.event {
        Some(Event::Warning(text)) => text.split_once(" lines of output were left out")?.0.parse::<u64>().ok(),
        _ => None,
    };
    let lines = events.iter().filter(|event| event.line.is_some());
    let missing: Vec<u64> = lines.clone().filter_map(left_out).collect();
    ((lines.count() - missing.len()) as u64, missing.iter().sum())
}

#[test]
fn a_reader_that_comes_too_late_for_some_lines_hears_how_many_they_were_through_any_node() {
    let (project, cluster) = (project(10), cluster());
    let run = begin(&cluster, 0, &project);
    finished(&cluster, 1, &run);
    let request = WatchRunRequest { run_id: run, ..WatchRunRequest::default() };
    for position in 0..3 {
        let events = events(&cluster, position, &request);
        let (lines, missing) = told(&events);
        let last = events.iter().filter_map(|event| event.line).next_back().expect("lines");
        assert!(missing > 0 && lines > 0, "{lines} told, {missing} left out");
        assert_eq!(lines + missing, last.number, "node {position} accounts for every line");
        assert!(lines + missing >= 10 * EXAMPLES as u64, "{lines} told, {missing} left out");
        assert!(matches!(events.last().and_then(|event| event.event.as_ref()), Some(Event::Ended(_))));
    }
}

#[test]
fn a_reader_goes_on_at_any_node_behind_the_line_that_it_has_seen() {
    let (project, cluster) = (project(1), cluster());
    let run = begin(&cluster, 0, &project);
    finished(&cluster, 1, &run);
    let request = WatchRunRequest { run_id: run, ..WatchRunRequest::default() };
    let all = events(&cluster, 0, &request);
    let lines: Vec<LineCursor> = all.iter().filter_map(|event| event.line).collect();
    let middle = lines[lines.len() / 2];
    for position in 0..3 {
        let after = WatchRunRequest { after: Some(middle), ..request.clone() };
        let rest: Vec<LineCursor> = events(&cluster, position, &after).iter().filter_map(|event| event.line).collect();
        assert_eq!(rest, lines[lines.len() / 2 + 1..], "node {position}");
    }
}

/// The metric is the driver's: each example asks it.
const DRIVER: &str = r#"
import time
import dspy
import dspex

class Program(dspy.Module):
    def forward(self, n):
        time.sleep(0.1)
        return dspy.Prediction(double=2 * int(n))

def metric(example, prediction, trace=None):
    return prediction.double % 3 == 0

if __name__ == "__main__":
    devset = [dspy.Example(n=n).with_inputs("n") for n in range(400)]
    evaluate = dspex.Evaluate(devset=devset, metric=metric, metric_on="driver", num_threads=6)
    result = evaluate(Program())
    print("score", result.score, "errors", len(result.errors))
"#;

pub fn driver(cluster: &Cluster) -> (Project, Running) {
    let project = Project::empty();
    project.file("driver.py", DRIVER);
    let driver = cluster.python(0, &["driver.py"]).directory(project.directory()).limit(PATIENCE).start();
    (project, driver)
}

/// The only run.
pub fn run(cluster: &Cluster, asked: usize) -> String {
    let found = || {
        let list = cluster.dspex(asked, &["run", "list", "-o", "json"]).run().expect(0).object();
        list["items"][0]["run_id"].as_str().map(ToOwned::to_owned)
    };
    dspex_tests::wait_until("the driver has a run", PATIENCE, found)
}

/// 134 of 400.
pub const SCORE: &str = "score 33.5 errors 0";

#[test]
fn a_driver_whose_node_is_no_owner_any_more_answers_the_next_one() {
    let cluster = cluster();
    let (_project, driver) = driver(&cluster);
    let run = run(&cluster, 1);
    wait_for(&cluster, 1, &run, 20);
    process::pause(cluster.node(0).pid());
    let moved = || [1, 2].iter().any(|&position| cluster.node(position).log().contains("a run has another owner"));
    let has_moved = holds_within(PATIENCE, moved);
    process::go_on(cluster.node(0).pid());
    assert!(has_moved, "{}", cluster.node(1).log());
    let output = driver.finish().expect(0);
    assert!(output.stdout.contains(SCORE), "{}", output.describe());
}

#[test]
fn a_driver_whose_node_is_killed_answers_through_another_one() {
    let mut cluster = cluster();
    let (_project, driver) = driver(&cluster);
    let run = run(&cluster, 1);
    wait_for(&cluster, 1, &run, 20);
    cluster.kill(0);
    let output = driver.finish().expect(0);
    assert!(output.stdout.contains(SCORE), "{}", output.describe());
}
