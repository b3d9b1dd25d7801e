//! kill -9 of the node.

use dspex_api::v1::RunStatus;
use serde_json::Value;

use crate::subject::{REPEATED_MOST, REPEATED_SLOW, Subject};

#[test]
fn resume_after_kill_9_of_the_node_gives_the_undisturbed_result() {
    let subject = Subject::new(240);
    let calm = subject.undisturbed();

    // The node dies in the middle; its command says how to go on.
    let eval = subject.eval().start();
    let run = subject.home.wait_for_results(80);
    subject.home.kill_node();
    let ended = eval.finish().expect(6);
    ended.says("are kept").says(&format!("dspex run resume {}", run.run_id));
    let before = subject.project.executions();

    // A new node knows every result that counted, and nothing runs by itself.
    let recorded = subject.recorded(&run.run_id);
    assert!(recorded.len() >= 80, "{} of the 80 results that were shown are there", recorded.len());
    assert_eq!(subject.home.run(&run.run_id).status(), RunStatus::Interrupted);
    assert_eq!(subject.project.executions(), before, "an interrupted run waits for its caller");

    // The same command with --resume goes on where it was.
    let resumed = subject.eval().args(["--resume"]).run().expect(0);
    resumed.says(&format!("run {} continues, {} of 240 examples done", run.run_id, recorded.len()));
    let resumed = resumed.object();
    assert_eq!(resumed["run_id"], Value::from(run.run_id));
    subject.expect_kept(&recorded, &before);
    subject.expect_same(&calm, &resumed, REPEATED_SLOW);

    // The control: the count does see executions. A fresh run makes all of them again.
    let before = subject.project.executions();
    assert_eq!(subject.quick().result()["digest"], calm["digest"]);
    assert_eq!(subject.project.executions().since(&before).total(), 240);
}

#[test]
fn a_crash_repeats_no_more_than_the_documented_bound_however_fast_examples_are() {
    let subject = Subject::new(6000);
    let calm = subject.undisturbed();
    let eval = subject.quick().start();
    let run = subject.home.wait_for_results(1500);
    subject.home.kill_node();
    eval.finish().expect(6);
    let before = subject.project.executions();
    let recorded = subject.recorded(&run.run_id);
    assert!(recorded.len() >= 1500 && recorded.len() < 6000, "{} results are there", recorded.len());
    let resumed = subject.quick().args(["--resume"]).result();
    subject.expect_kept(&recorded, &before);
    subject.expect_same(&calm, &resumed, REPEATED_MOST);
}

#[test]
fn run_resume_goes_on_from_any_directory_with_the_beginning_of_the_id() {
    let subject = Subject::new(160);
    let calm = subject.undisturbed();
    let eval = subject.eval().start();
    let run = subject.home.wait_for_results(40);
    subject.home.kill_node();
    eval.finish().expect(6);
    let before = subject.project.executions();
    let recorded = subject.recorded(&run.run_id);
    // Ids begin with the time: two runs of one minute differ in their last digits.
    let resume = subject.home.dspex(&["run", "resume", &run.run_id[..34], "-o", "json"]);
    let resumed = resume.run().expect(0).object();
    subject.expect_kept(&recorded, &before);
    subject.expect_same(&calm, &resumed, REPEATED_SLOW);
    // What has finished cannot be resumed.
    subject.home.dspex(&["run", "resume", &run.run_id]).run().expect(2).says("finished");
}

#[test]
fn a_stopped_node_interrupts_its_runs_and_they_can_be_resumed() {
    let subject = Subject::new(160);
    let calm = subject.undisturbed();
    let eval = subject.eval().start();
    let run = subject.home.wait_for_results(40);
    // Stopping is refused while a run executes, unless it is forced.
    subject.home.dspex(&["local", "stop"]).run().expect(2).says("--force");
    subject.home.dspex(&["local", "stop", "--force"]).run().expect(0);
    eval.finish().expect(6).says(&format!("dspex run resume {}", run.run_id));
    let before = subject.project.executions();
    let recorded = subject.recorded(&run.run_id);
    let resumed = subject.eval().args(["--resume"]).result();
    subject.expect_kept(&recorded, &before);
    subject.expect_same(&calm, &resumed, REPEATED_SLOW);
}

#[test]
fn resume_without_an_unfinished_run_starts_nothing_and_exits_with_5() {
    let subject = Subject::new(20);
    subject.quick().args(["--resume"]).run().expect(5).says("--resume");
    subject.undisturbed();
    subject.quick().args(["--resume"]).run().expect(5);
    assert_eq!(subject.home.runs().len(), 1);
    assert_eq!(subject.project.executions().total(), 0);

    // Another option is another specification.
    let eval = subject.eval().args(["--failure-score", "0.5"]).env("PAUSE", "1").start();
    subject.home.wait_for_results(1);
    subject.home.kill_node();
    eval.finish().expect(6);
    subject.quick().args(["--failure-score", "0.25", "--resume"]).run().expect(5);
    subject.quick().args(["--failure-score", "0.5", "--resume"]).run().expect(0);
    assert_eq!(subject.home.runs().len(), 2);
}
