//! What an owner does for nodes that drain: their workers finish what they have, and others take their places elsewhere. Where its
//! own node drains, the run goes to another owner as soon as nothing of it is under way, so that nothing is executed twice.

use std::collections::BTreeSet;

use dspex_model::{BoardEvent, Command, NodeId, Outcome};
use tracing::{debug, info, warn};

use super::EvaluationMessage;
use super::plan::{Cause, WorkerKey};
use super::work::Work;
use super::workers::Member;
use crate::ownership::successor;
use crate::proposing::{By, propose};

/// One example that takes very long must not keep all that are left waiting: after so long it runs again under the next owner.
const KEPT_MAX_US: u64 = 60_000_000;
/// Where it may not, the run goes on here; after so long it is tried again.
const GOES_ON_US: u64 = 300_000_000;

/// How a run stands while its owner's node drains.
#[derive(Clone, Copy, Debug)]
struct Standing {
    /// Who may own it instead.
    heir: Option<NodeId>,
    /// Nothing is executing, and the log has all results.
    is_idle: bool,
    /// Examples are executing.
    is_executing: bool,
    /// What is executing may run again.
    may_repeat: bool,
    /// For how long nothing has been given out.
    kept_us: u64,
    /// For how long it has gone on because of an example that took very long; `None`: it has not.
    gone_on_us: Option<u64>,
}

/// What follows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    /// It goes on here.
    GoOn,
    /// Nothing is given out until what is under way has come to its end.
    Keep,
    /// The next owner goes on with it.
    HandOver(NodeId),
}

fn step(standing: Standing) -> Step {
    let Standing { heir, is_idle, is_executing, may_repeat, kept_us, gone_on_us } = standing;
    let Some(heir) = heir else { return Step::GoOn };
    if is_idle {
        return Step::HandOver(heir);
    }
    // Results are on their way all the time then.
    if gone_on_us.is_some_and(|gone_on_us| gone_on_us < GOES_ON_US) {
        return Step::GoOn;
    }
    match (kept_us >= KEPT_MAX_US, is_executing && !may_repeat) {
        (false, _) => Step::Keep,
        // A result whose way to the log nobody has confirmed by then is in the log, or lost.
        (true, false) => Step::HandOver(heir),
        // The others must not wait for one example without an end.
        (true, true) => Step::GoOn,
    }
}

impl Work {
    /// Lets workers leave nodes that drain. Tells who is to own the run now, where its own node drains.
    pub(super) fn make_way(&mut self) -> Option<NodeId> {
        let draining = self.arguments.context.draining_nodes();
        if !draining.is_empty() {
            self.leave(&draining);
        }
        // A pause ends what is under way as well, and then there is nothing to own.
        if self.plan.is_held() {
            return None;
        }
        let drains = draining.contains(&self.arguments.context.parts.node);
        let now_us = self.now_us();
        let standing = Standing {
            heir: if drains { self.heir(&draining) } else { None },
            is_idle: self.plan.is_idle(),
            is_executing: self.plan.in_flight() > 0,
            may_repeat: self.spec.retries > 0,
            kept_us: self.kept.so_far(now_us).unwrap_or_default(),
            gone_on_us: self.goes_on.so_far(now_us),
        };
        match step(standing) {
            Step::GoOn => self.give_out_again(standing.heir.map(|_| now_us)),
            Step::Keep => self.keep(now_us),
            Step::HandOver(heir) => {
                self.keep(now_us);
                return Some(heir);
            }
        }
        None
    }

    fn keep(&mut self, now_us: u64) {
        self.plan.keep(true);
        self.kept.lasts(now_us);
        self.goes_on.ends();
    }

    /// Its own node takes work again, nobody else could own the run any more, or it goes on from now because what is under way takes
    /// too long.
    fn give_out_again(&mut self, goes_on_from_us: Option<u64>) {
        if self.plan.is_kept() {
            self.plan.keep(false);
            self.kept.ends();
            // Those that have left meanwhile were not replaced.
            self.unplaced = (self.spec.workers as usize).saturating_sub(self.members.len() + self.drained);
        }
        match goes_on_from_us {
            Some(now_us) => {
                self.goes_on.lasts(now_us);
            }
            None => self.goes_on.ends(),
        }
    }

    /// The next owner. A run in a directory has none, nor has one that only this node can execute. A driver that answers what workers
    /// ask follows the owner.
    fn heir(&self, draining: &BTreeSet<NodeId>) -> Option<NodeId> {
        if self.spec.shipped.is_none() || self.sites().iter().all(|site| site.is_own) {
            return None;
        }
        successor(&self.arguments.context, draining)
    }

    /// A worker that is loading yet is given up; one that executes ends when it has finished what it has.
    fn leave(&mut self, draining: &BTreeSet<NodeId>) {
        // A directory of a node is nowhere else: its run finishes there.
        if self.spec.shipped.is_none() {
            return;
        }
        let own = self.arguments.context.parts.node;
        let taking: BTreeSet<NodeId> = self.sites().into_iter().map(|site| site.node).collect();
        let leaves = |member: &Member| {
            let node = member.site(own);
            draining.contains(&node) && !taking.contains(&node)
        };
        let staying = self.members.iter().filter(|(_, member)| member.leaving.is_none());
        let found: Vec<(WorkerKey, bool)> =
            staying.filter(|(_, member)| leaves(member)).map(|(&key, member)| (key, member.ready)).collect();
        for (key, is_ready) in found {
            if is_ready {
                self.leaving(key, true);
            } else if let Some(member) = self.members.remove(&key) {
                self.stop(key, &member);
                // Fails only when this actor is stopping.
                let _ = self.myself.cast(EvaluationMessage::SpawnWorker);
            }
        }
    }

    /// Gives the run to another owner; `false`: the log has not taken that.
    pub(super) async fn hand_over(&mut self, heir: NodeId) -> bool {
        let run = self.arguments.run;
        // Before: once another node owns the run, nobody carries an order of this one out.
        let keys: Vec<WorkerKey> = self.members.keys().copied().collect();
        if self.plan.in_flight() == 0 {
            self.finish_workers();
        } else {
            self.stop_workers();
        }
        for key in keys {
            self.plan.worker_ended(key, Cause::Node);
        }
        // Before, too: whoever follows the run leaves this node's board with the next owner.
        if self.told_of_heir.replace(heir) != Some(heir) {
            let text = format!("this node drains: node {heir} is to go on with the run");
            self.arguments.board.publish(BoardEvent::Warning(text));
        }
        let command = Command::AssignRun { run, owner: heir, expected_epoch: self.arguments.epoch };
        match propose(&self.arguments.context.parts.consensus, By::default(), &command).await {
            Ok(Outcome::RunResumed { .. }) => {
                info!(%run, owner = %heir, "this node drains: another one owns the run now");
                true
            }
            // It has ended, or been paused.
            Ok(outcome) => {
                debug!(%run, ?outcome, "a run was not handed over");
                false
            }
            Err(error) => {
                warn!(%run, %error, "a run waits for a quorum to be handed over");
                false
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEIR: NodeId = NodeId(2);

    fn standing() -> Standing {
        Standing {
            heir: Some(HEIR),
            is_idle: false,
            is_executing: true,
            may_repeat: true,
            kept_us: 0,
            gone_on_us: None,
        }
    }

    #[test]
    fn a_run_is_handed_over_when_nothing_of_it_is_under_way() {
        assert_eq!(step(standing()), Step::Keep);
        let unconfirmed = Standing { is_executing: false, ..standing() };
        assert_eq!(step(unconfirmed), Step::Keep, "its results are on their way to the log");
        assert_eq!(step(Standing { is_idle: true, ..unconfirmed }), Step::HandOver(HEIR));
    }

    #[test]
    fn a_run_that_nobody_else_can_own_goes_on_here() {
        for is_idle in [true, false] {
            assert_eq!(step(Standing { heir: None, is_idle, kept_us: KEPT_MAX_US, ..standing() }), Step::GoOn);
        }
    }

    #[test]
    fn an_example_that_takes_very_long_runs_again_under_the_next_owner_where_it_may() {
        let late = Standing { kept_us: KEPT_MAX_US, ..standing() };
        assert_eq!(step(late), Step::HandOver(HEIR));
        assert_eq!(step(Standing { kept_us: KEPT_MAX_US - 1, ..late }), Step::Keep);
        let lost = Standing { may_repeat: false, is_executing: false, ..late };
        assert_eq!(step(lost), Step::HandOver(HEIR), "nothing is executing");
    }

    #[test]
    fn an_example_that_takes_very_long_and_may_not_run_again_keeps_the_others_waiting_for_a_while_only() {
        let once = Standing { may_repeat: false, ..standing() };
        assert_eq!(step(Standing { kept_us: KEPT_MAX_US - 1, ..once }), Step::Keep);
        assert_eq!(step(Standing { kept_us: KEPT_MAX_US, ..once }), Step::GoOn, "--retries 0");
        let goes_on = Standing { gone_on_us: Some(0), ..once };
        for is_executing in [true, false] {
            let going = Standing { is_executing, gone_on_us: Some(GOES_ON_US - 1), ..once };
            assert_eq!(step(going), Step::GoOn, "results are on their way");
        }
        assert_eq!(step(Standing { is_idle: true, ..goes_on }), Step::HandOver(HEIR), "nothing is under way by chance");
        assert_eq!(step(Standing { gone_on_us: Some(GOES_ON_US), ..once }), Step::Keep, "it is tried again");
        assert_eq!(step(Standing { heir: None, ..goes_on }), Step::GoOn);
    }
}
