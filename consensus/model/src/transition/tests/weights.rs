//! How much a run is to have beside others.

use super::{RUN, Story};
use crate::{Command, Outcome, RUN_WEIGHT_MAX, Rejection, RunId};

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
