//! A retry of what has failed: all else stays, and counting goes on.

use super::{NODE, RUN, Story, failed, recorded, result};
use crate::{Command, Effect, NodeId, Outcome, Rejection, RequestId, RunId, RunStatus};

fn retry() -> Command {
    Command::RetryRun { run: RUN, owner: NODE, detached: true }
}

#[test]
fn what_has_failed_is_executed_again_and_the_rest_stays() {
    let mut story = Story::with_run(3, 10);
    story.record(1, vec![result(0, 1.0), failed(1), result(2, 1.0)]);
    assert_eq!(story.status(), RunStatus::Finished);
    let (outcome, effects) = story.apply(retry());
    assert_eq!(outcome, Outcome::RunResumed { epoch: 2, generation: 2 });
    assert_eq!(effects, [Effect::OwnRun { owner: NODE, run: RUN, epoch: 2 }]);
    assert_eq!(effects, story.state.pending(NODE));
    let run = story.state.run(RUN).expect("exists");
    assert_eq!(run.missing().collect::<Vec<_>>(), [1]);
    let progress = &run.progress;
    assert_eq!((progress.status, progress.done, progress.failed), (RunStatus::Running, 2, 0));
    assert_eq!((progress.score, progress.digest, progress.ended_ms, progress.score_sum), (None, None, 0, 2.0));
    assert_eq!(progress.usage["model"]["total_tokens"], 15, "what was spent on it was spent");
    assert_eq!(story.record(2, vec![result(1, 1.0)]), recorded(1, 0, RunStatus::Finished));
    assert_eq!(story.state.run(RUN).expect("exists").progress.score, Some(100.0));
}

#[test]
fn attempts_go_on_counting_over_every_retry() {
    let mut story = Story::with_run(2, 10);
    let mut second = failed(0);
    second.result.attempt = 2;
    story.record(1, vec![second, result(1, 1.0)]);
    let attempt = |story: &Story| {
        let run = story.state.run(RUN).expect("exists");
        run.results[0].as_ref().map(|result| result.attempt)
    };
    assert_eq!(attempt(&story), Some(2));
    for (generation, expected) in [(2, 3), (3, 4)] {
        assert!(matches!(story.apply(retry()).0, Outcome::RunResumed { .. }));
        assert_eq!(attempt(&story), None);
        story.record(generation, vec![failed(0)]);
        assert_eq!(attempt(&story), Some(expected));
    }
}

#[test]
fn a_result_of_an_attempt_before_the_retry_comes_too_late() {
    let mut story = Story::with_run(2, 10);
    story.record(1, vec![failed(0), result(1, 1.0)]);
    story.apply(retry());
    let stale = Outcome::Rejected(Rejection::StaleGeneration { current: 2 });
    assert_eq!(story.record(1, vec![failed(0)]), stale);
    let order = Command::FailRun { run: RUN, epoch: 1, reason: String::new() };
    assert_eq!(story.apply(order).0, Outcome::Rejected(Rejection::StaleEpoch { current: 2 }));
}

#[test]
fn a_run_that_failed_for_its_errors_goes_on_to_its_end() {
    let mut story = Story::with_run(4, 2);
    story.record(1, vec![failed(0), failed(1), result(2, 1.0)]);
    assert_eq!(story.status(), RunStatus::Failed);
    story.apply(retry());
    assert_eq!(story.state.run(RUN).expect("exists").missing().collect::<Vec<_>>(), [0, 1, 3]);
    // One failure is one again, not the third.
    assert_eq!(story.record(2, vec![failed(0), result(1, 1.0)]), recorded(2, 0, RunStatus::Running));
    assert_eq!(story.record(2, vec![result(3, 1.0)]), recorded(1, 0, RunStatus::Finished));
}

#[test]
fn a_cancelled_run_goes_on_with_what_is_missing_and_what_has_failed() {
    let mut story = Story::with_run(3, 10);
    story.record(1, vec![failed(0), result(1, 1.0)]);
    story.apply(Command::CancelRun { run: RUN, reason: "Ctrl-C".to_owned() });
    assert_eq!(story.apply(retry()).0, Outcome::RunResumed { epoch: 2, generation: 3 });
    let run = story.state.run(RUN).expect("exists");
    assert_eq!((run.missing().collect::<Vec<_>>(), run.progress.reason.as_str()), (vec![0, 2], ""));
}

#[test]
fn the_digest_after_a_retry_is_that_of_a_run_without_the_failure() {
    let mut calm = Story::with_run(2, 10);
    calm.record(1, vec![result(0, 1.0), result(1, 0.5)]);
    let mut retried = Story::with_run(2, 10);
    retried.record(1, vec![failed(0), result(1, 0.5)]);
    let digest = |story: &Story| story.state.run(RUN).and_then(|run| run.progress.digest);
    assert_ne!(digest(&retried), digest(&calm), "the control");
    retried.apply(retry());
    retried.record(2, vec![result(0, 1.0)]);
    assert!(digest(&calm).is_some());
    assert_eq!(digest(&retried), digest(&calm));
}

#[test]
fn a_retry_of_nothing_is_refused_with_what_to_do() {
    let mut story = Story::with_run(2, 10);
    story.record(1, vec![failed(0)]);
    assert_eq!(story.apply(retry()).0, Outcome::Rejected(Rejection::RunRunning));
    let other = Command::RetryRun { run: RunId(99), owner: NodeId(1), detached: true };
    assert_eq!(story.apply(other).0, Outcome::Rejected(Rejection::RunNotFound(RunId(99))));
    let mut whole = Story::with_run(1, 10);
    whole.record(1, vec![result(0, 1.0)]);
    assert_eq!(whole.apply(retry()).0, Outcome::Rejected(Rejection::NothingFailed));
    assert_eq!(whole.status(), RunStatus::Finished, "it stays as it was");
    for rejection in [Rejection::RunRunning, Rejection::NothingFailed] {
        let told = rejection.to_string();
        assert!(told.contains("cancel it first") || told.contains("dspex run resume"), "{told}");
    }
}

#[test]
fn a_repeated_request_drops_nothing_twice() {
    let mut story = Story::with_run(2, 10);
    story.record(1, vec![failed(0), result(1, 1.0)]);
    story.now_ms = 20_000_000;
    let id = RequestId { request: 20_000_000 << 80 | 5, client: 9 };
    let (first, _) = story.apply_request(Some(id), retry());
    story.record(2, vec![failed(0)]);
    assert_eq!(story.apply_request(Some(id), retry()), (first, Vec::new()));
    assert_eq!(story.status(), RunStatus::Finished, "the second has no effect");
}

#[test]
fn a_deleted_run_takes_its_counts_of_attempts_along() {
    let mut story = Story::with_run(1, 10);
    story.record(1, vec![failed(0)]);
    story.apply(retry());
    story.record(2, vec![result(0, 1.0)]);
    assert_eq!(story.apply(Command::DeleteRun { run: RUN }).0, Outcome::Done);
    assert_eq!(story.state.records().count(), 1, "only log time is left");
}
