//! How much a run is to have beside others.

use super::{NODE, RUN, Story, failed, result};
use crate::{Command, Outcome, RUN_WEIGHT_MAX, Rejection, RunId, RunStatus};

fn weigh(weight: u32) -> Command {
    Command::WeighRun { run: RUN, weight }
}

#[test]
fn a_run_weighs_one_until_somebody_says_otherwise_and_never_nothing() {
    let mut story = Story::with_run(3, 10);
    let weight = |story: &Story| story.state.run(RUN).expect("exists").weight;
    assert_eq!(weight(&story), 1);
    for (said, held) in [(7, 7), (0, 1), (1000, RUN_WEIGHT_MAX), (1, 1)] {
        assert_eq!(story.apply(weigh(said)).0, Outcome::Done);
        assert_eq!(weight(&story), held);
    }
}

#[test]
fn the_weight_of_an_unknown_run_is_refused() {
    let mut story = Story::with_run(3, 10);
    let unknown = Command::WeighRun { run: RunId(99), weight: 2 };
    assert_eq!(story.apply(unknown).0, Outcome::Rejected(Rejection::RunNotFound(RunId(99))));
}

#[test]
fn a_run_that_is_over_is_not_weighed_and_one_that_can_go_on_is() {
    let refused = |status| Outcome::Rejected(Rejection::RunNotRunning(status));
    let mut finished = Story::with_run(1, 10);
    finished.apply(weigh(3));
    finished.record(1, vec![result(0, 1.0)]);
    assert_eq!(finished.apply(weigh(5)).0, refused(RunStatus::Finished));
    assert_eq!(finished.state.run(RUN).expect("exists").weight, 3, "as it was");
    let mut over = Story::with_run(2, 1);
    over.record(1, vec![failed(0)]);
    assert_eq!(over.apply(weigh(5)).0, refused(RunStatus::Failed));
    for stop in [
        Command::PauseRun { run: RUN },
        Command::CancelRun { run: RUN, reason: String::new() },
        Command::InterruptRuns { node: NODE },
    ] {
        let mut story = Story::with_run(2, 10);
        story.apply(stop);
        assert_eq!(story.apply(weigh(5)).0, Outcome::Done, "{:?}", story.status());
    }
}
