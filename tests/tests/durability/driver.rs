//! The command that started a run: killed, interrupted, detached, vanished.

use std::time::{Duration, Instant};

use dspex_api::v1::RunStatus;
use serde_json::{Value, json};

use dspex_tests::{expect_fields, holds_within, process, wait_until};

use crate::subject::{REPEATED_SLOW, Subject};

#[test]
fn a_killed_command_leaves_its_run_running_and_resume_joins_it() {
    let subject = Subject::new(240);
    let calm = subject.undisturbed();
    let eval = subject.eval().start();
    let run = subject.home.wait_for_results(40);
    eval.kill();
    let joined = subject.eval().args(["--resume"]).run().expect(0);
    let joined = joined.object();
    assert_eq!(joined["run_id"], Value::from(run.run_id));
    // Nobody but the command died: nothing is executed twice.
    subject.expect_same(&calm, &joined, 0);
}

#[test]
fn ctrl_c_once_cancels_keeps_what_is_there_and_prints_the_command_that_goes_on() {
    let subject = Subject::new(240);
    let calm = subject.undisturbed();
    let eval = subject.eval().start();
    let run = subject.home.wait_for_results(60);
    let asked = Instant::now();
    eval.interrupt();
    let cancelled = eval.finish().expect(130);
    assert!(asked.elapsed() < Duration::from_secs(5), "Ctrl-C took {:?}", asked.elapsed());
    let command = format!("dspex run resume {}", run.run_id);
    cancelled.says(&command);
    expect_fields(
        &cancelled.object(),
        json!({"status": "cancelled", "label": "partial", "score": null, "digest": null, "run_id": run.run_id}),
    );
    let recorded = subject.recorded(&run.run_id);
    assert!(recorded.len() >= 60 && recorded.len() < 240, "{} results are kept", recorded.len());
    let before = subject.project.executions();

    // The printed words, typed as they are.
    let words: Vec<&str> = command.split(' ').skip(1).collect();
    let resumed = subject.home.dspex(&words).args(["-o", "json"]).run().expect(0).object();
    subject.expect_kept(&recorded, &before);
    subject.expect_same(&calm, &resumed, REPEATED_SLOW);
}

#[test]
fn ctrl_c_twice_leaves_at_once() {
    let subject = Subject::new(20);
    let mut eval = subject.eval().env("PAUSE", "600").start();
    wait_until("the command follows the run", Duration::from_secs(60), || {
        let follows = eval.stderr().contains(" started") && subject.project.executions().total() > 0;
        follows.then_some(())
    });
    // The node cannot answer: only the second Ctrl-C ends the command.
    let node = subject.home.node();
    process::pause(node);
    eval.interrupt();
    // Two signals before a busy machine has let the command see the first would be one to it.
    wait_until("the command has seen the first Ctrl-C", Duration::from_secs(60), || {
        eval.stderr().contains("Ctrl-C again leaves at once").then_some(())
    });
    assert!(!holds_within(Duration::from_millis(500), || !eval.runs()), "it waits for the cancel");
    eval.interrupt();
    let asked = Instant::now();
    let left = eval.finish().expect(130);
    // Far below the 20 s and more that it would wait for the cancel.
    assert!(asked.elapsed() < Duration::from_secs(10), "{}", left.describe());
    process::go_on(node);
}

#[test]
fn ctrl_c_while_the_program_is_loaded_stores_nothing_and_leaves_nothing() {
    let subject = Subject::new(20);
    let slow = "\nopen('loading', 'w').close()\ntime.sleep(2)\nopen('loaded', 'w').close()\n";
    subject.project.file("program.py", subject.project.read("program.py") + slow);
    let eval = subject.quick().start();
    wait_until("the program is loaded", Duration::from_secs(60), || {
        subject.project.path("loading").exists().then_some(())
    });
    eval.interrupt();
    eval.finish().expect(130).says("before the run was stored");
    // Whether the check is broken off or comes to its end: no run follows from it.
    let gone = || subject.home.workers().is_empty() && subject.home.python_processes().len() <= 1;
    assert!(holds_within(Duration::from_secs(10), gone), "the worker of a check that nobody waits for stays");
    assert!(subject.home.runs().is_empty(), "a run was stored: {:?}", subject.status());
    assert_eq!(subject.project.executions().total(), 0);
}

#[test]
fn command_timeout_cancels_like_ctrl_c_and_exits_with_7() {
    let subject = Subject::new(240);
    let calm = subject.undisturbed();
    let output = subject.eval().env("PAUSE", "0.2").args(["--command-timeout", "4"]).run().expect(7);
    output.says("dspex run resume");
    assert!(output.took < Duration::from_secs(10), "{}", output.describe());
    assert_eq!(subject.status(), Some(RunStatus::Cancelled));
    let resumed = subject.quick().args(["--resume"]).result();
    subject.expect_same(&calm, &resumed, REPEATED_SLOW);
}

#[test]
fn a_detached_run_goes_on_without_its_command() {
    let subject = Subject::new(120);
    let calm = subject.undisturbed();
    let detached = subject.eval().args(["--detach"]).run().expect(0).object();
    let id = detached["run_id"].as_str().expect("an id").to_owned();
    expect_fields(&detached, json!({"status": "running", "digest": null}));
    let watched = subject.home.dspex(&["run", "watch", &id, "-o", "json"]).run().expect(0).object();
    subject.expect_same(&calm, &watched, 0);

    // As a table it is the id alone, for scripts.
    let printed = subject.quick().format("table").args(["--detach"]).run().expect(0).stdout;
    let run = subject.home.wait_for_status(printed.trim(), RunStatus::Finished, Duration::from_secs(60));
    assert_eq!(run.digest.as_deref(), calm["digest"].as_str());
}

#[test]
fn run_cancel_ends_a_run_that_somebody_else_started() {
    let subject = Subject::new(240);
    let calm = subject.undisturbed();
    let eval = subject.eval().start();
    let run = subject.home.wait_for_results(40);
    subject.home.dspex(&["run", "cancel", &run.run_id]).run().expect(0).says("dspex run resume");
    eval.finish().expect(1).says("cancelled").says("dspex run resume");
    subject.home.dspex(&["run", "cancel", &run.run_id]).run().expect(2);
    let resumed = subject.eval().args(["--resume"]).result();
    subject.expect_same(&calm, &resumed, REPEATED_SLOW);
}

#[test]
fn the_run_of_a_vanished_command_is_cancelled_after_30_s_and_can_be_resumed() {
    let subject = Subject::new(600);
    let calm = subject.undisturbed();
    let eval = subject.eval().env("PAUSE", "1").start();
    let run = subject.home.wait_for_results(8);
    eval.kill();
    let vanished = Instant::now();
    let run = subject.home.wait_for_status(&run.run_id, RunStatus::Cancelled, Duration::from_secs(45));
    let waited = vanished.elapsed();
    assert!(waited > Duration::from_secs(25), "cancelled after {waited:?} already");
    assert!(run.reason.contains("--detach"), "{}", run.reason);
    let recorded = subject.recorded(&run.run_id);
    let before = subject.project.executions();
    let resumed = subject.quick().args(["--resume"]).result();
    subject.expect_kept(&recorded, &before);
    subject.expect_same(&calm, &resumed, REPEATED_SLOW);
    assert_eq!(subject.status(), Some(RunStatus::Finished));
}
