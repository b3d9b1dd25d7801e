//! A pause: nothing new begins, and what was under way counts.

use super::{NODE, RUN, Story, failed, recorded, result};
use crate::{Command, Effect, Outcome, Rejection, RunId, RunStatus};

const PAUSE: Command = Command::PauseRun { run: RUN };

fn resume() -> Command {
    Command::ResumeRun { run: RUN, owner: NODE, detached: true }
}

#[test]
fn what_was_under_way_counts_and_the_rest_waits_for_a_resume() {
    let mut story = Story::with_run(3, 10);
    story.record(1, vec![result(0, 1.0)]);
    assert_eq!(story.apply(PAUSE), (Outcome::Done, vec![Effect::PauseRun { run: RUN }]));
    assert_eq!((story.status(), story.state.pending(NODE)), (RunStatus::Paused, Vec::new()));
    assert_eq!(story.record(1, vec![result(1, 1.0)]), recorded(1, 0, RunStatus::Paused));
    assert_eq!(story.apply(resume()).0, Outcome::RunResumed { epoch: 2, generation: 1 });
    assert_eq!(story.state.run(RUN).expect("exists").missing().collect::<Vec<_>>(), [2]);
    assert_eq!(story.record(1, vec![result(2, 1.0)]), recorded(1, 0, RunStatus::Finished));
}

#[test]
fn the_last_result_finishes_a_paused_run_and_too_many_errors_fail_it() {
    let mut story = Story::with_run(1, 10);
    story.apply(PAUSE);
    assert_eq!(story.record(1, vec![result(0, 1.0)]), recorded(1, 0, RunStatus::Finished));
    assert!(story.state.run(RUN).expect("exists").progress.digest.is_some());
    let mut story = Story::with_run(3, 1);
    story.apply(PAUSE);
    assert_eq!(story.record(1, vec![failed(0)]), recorded(1, 0, RunStatus::Failed));
}

#[test]
fn a_paused_run_takes_no_time() {
    let mut story = Story::with_run(2, 10);
    story.now_ms += 1000;
    story.apply(PAUSE);
    let executed_ms = |story: &Story| story.state.run(RUN).expect("exists").executed_ms(story.now_ms);
    let before = executed_ms(&story);
    story.now_ms += 3_600_000;
    story.apply(Command::Tick);
    assert_eq!(executed_ms(&story), before);
    story.apply(resume());
    story.now_ms += 500;
    assert_eq!(executed_ms(&story), before + 500);
}

#[test]
fn a_cancel_stops_what_a_pause_lets_end() {
    let mut story = Story::with_run(2, 10);
    story.apply(PAUSE);
    let cancel = Command::CancelRun { run: RUN, reason: String::new() };
    assert_eq!(story.apply(cancel), (Outcome::Done, vec![Effect::StopRun { run: RUN }]));
    let stale = Outcome::Rejected(Rejection::StaleGeneration { current: 2 });
    assert_eq!(story.record(1, vec![result(0, 1.0)]), stale);
}

#[test]
fn a_pause_outlives_a_restart_of_the_node_and_the_loss_of_the_owner() {
    for mut story in [Story::with_run(2, 10), Story::with_shipped_run(2, 10)] {
        story.apply(PAUSE);
        assert_eq!(story.apply(Command::InterruptRuns { node: NODE }).1, []);
        let assign = Command::AssignRun { run: RUN, owner: NODE, expected_epoch: 1 };
        assert_eq!(story.apply(assign).0, Outcome::Rejected(Rejection::RunNotRunning(RunStatus::Paused)));
        assert_eq!(story.status(), RunStatus::Paused);
    }
}

#[test]
fn only_a_running_run_can_be_paused_and_a_second_pause_changes_nothing() {
    let mut story = Story::with_run(1, 10);
    story.apply(PAUSE);
    assert_eq!(story.apply(PAUSE), (Outcome::Done, Vec::new()));
    story.record(1, vec![result(0, 1.0)]);
    assert_eq!(story.apply(PAUSE).0, Outcome::Rejected(Rejection::RunNotRunning(RunStatus::Finished)));
    let other = Command::PauseRun { run: RunId(99) };
    assert_eq!(story.apply(other).0, Outcome::Rejected(Rejection::RunNotFound(RunId(99))));
}

#[test]
fn a_paused_run_that_is_deleted_stops_its_workers() {
    let mut story = Story::with_run(2, 10);
    story.apply(PAUSE);
    let (_, effects) = story.apply(Command::DeleteRun { run: RUN });
    assert_eq!(effects, [Effect::FreeBlobs { run: RUN }, Effect::StopRun { run: RUN }]);
}
