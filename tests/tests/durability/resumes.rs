//! Resumes that meet: one run, one execution, and the settings it was started with.

use dspex_tests::{holds_within, process};
use serde_json::json;
use std::time::Duration;

use crate::subject::{REPEATED_SLOW, Subject};

#[test]
fn of_two_resumes_at_once_one_executes_and_the_other_joins() {
    let subject = Subject::new(240);
    let calm = subject.undisturbed();
    let eval = subject.eval().start();
    let run = subject.home.wait_for_results(40);
    eval.interrupt();
    eval.finish().expect(130);
    let resume = || subject.home.dspex(&["run", "resume", &run.run_id, "-o", "json"]).start();
    let (first, second) = (resume(), resume());
    for resumed in [first, second] {
        subject.expect_same(&calm, &resumed.finish().expect(0).object(), REPEATED_SLOW);
    }
}

#[test]
fn a_cancel_reaches_a_run_that_was_resumed_twice_at_once() {
    let subject = Subject::new(240);
    let eval = subject.eval().start();
    let run = subject.home.wait_for_results(40);
    eval.interrupt();
    eval.finish().expect(130);
    let resume = || subject.home.dspex(&["run", "resume", &run.run_id, "-o", "json"]).start();
    let (first, second) = (resume(), resume());
    let goes_on = || subject.home.run(&run.run_id).done > run.done + 30;
    assert!(holds_within(Duration::from_secs(30), goes_on), "nobody executes it");
    let workers = subject.home.workers();
    subject.home.dspex(&["run", "cancel", &run.run_id]).run().expect(0);
    for resumed in [first, second] {
        resumed.finish().expect(1);
    }
    for worker in workers.iter().filter(|worker| worker.pid > 0) {
        assert!(process::ends_within(worker.pid, Duration::from_secs(5)), "a worker executes a cancelled run");
    }
}

#[test]
fn a_resume_keeps_the_threads_that_the_run_was_started_with() {
    let subject = Subject::new(60);
    let eval = subject.home.eval(&subject.project).args(["--num-threads", "1"]).start();
    subject.home.wait_for_results(10);
    eval.interrupt();
    eval.finish().expect(130);
    // A program that is not safe for threads: two at once would be seen.
    let resumed = subject.home.eval(&subject.project).args(["--resume", "--num-threads", "4"]).run().expect(0);
    resumed.says("goes on with the settings it was started with: --num-threads 1 --workers 1");
    let run = subject.home.runs().remove(0);
    let shown = subject.home.dspex(&["run", "show", &run.run_id, "-o", "json"]).run().expect(0).object();
    assert_eq!((&shown["num_threads"], &shown["workers"]), (&json!(1), &json!(1)));
}
