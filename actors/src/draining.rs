//! A node that drains: it takes nothing new, what it has finishes there or moves, and it leads only as long as nobody else can.
//!
//! Whether it does stands in the log, where an operator has put it (`dspex member drain`), and each owner of a run acts on that by
//! itself (`evaluation/draining.rs`). A node that is told to end says the same of itself, with its presence: it needs no quorum for
//! that, and it holds for the rest of its life only.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, PoisonError};
use std::time::{Duration, Instant};

use dspex_consensus::MemberChange;
use dspex_model::{NodeId, RunId, RunStatus, State};
use tokio::time::{sleep, timeout};
use tracing::{info, warn};

use crate::context::NodeContext;
use crate::ownership::successor;
use crate::worker::WorkerService;

/// What whoever asks for something new is told.
pub(crate) const REFUSAL: &str = "this node drains and takes nothing new: ask another one (`dspex member list` shows them), or let it take work \
                                  again with `dspex member drain NODE --undo`";

/// Between two looks at the log, however much is applied meanwhile.
const LOOK_PAUSE: Duration = Duration::from_millis(50);
/// Without anything applied: another leader may have been lost, so that this node leads again.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// For another voter to take over the leadership.
const HAND_OVER: Duration = Duration::from_secs(3);
/// After attempts at that without success: the second pause is twice as long as the first, and so on, up to this.
const PAUSE_MAX: Duration = Duration::from_secs(30);

/// Whether this node takes anything new: asked for each call, so it is no question to the log.
#[derive(Debug, Default)]
pub(crate) struct Draining {
    by_log: AtomicBool,
    is_ending: AtomicBool,
}

impl Draining {
    pub(crate) fn is_on(&self) -> bool {
        self.by_log.load(Ordering::Acquire) || self.is_ending.load(Ordering::Acquire)
    }

    /// The node is about to end.
    fn end(&self) {
        self.is_ending.store(true, Ordering::Release);
    }
}

impl NodeContext {
    /// The nodes that take nothing new, by the log's word or by their own.
    pub(crate) fn draining_nodes(&self) -> BTreeSet<NodeId> {
        let mut draining: BTreeSet<NodeId> =
            self.parts.consensus.read_stale(|state| state.draining().map(|(node, _)| node).collect());
        let peers = self.links.presences();
        draining.extend(peers.into_iter().filter(|(_, presence)| presence.is_draining).map(|(node, _)| node));
        if self.draining.is_on() {
            draining.insert(self.parts.node);
        }
        draining
    }

    /// The runs whose workers this node has, one for each worker.
    fn runs_of_workers(&self) -> Vec<RunId> {
        let views = self.views.lock().unwrap_or_else(PoisonError::into_inner);
        let run = |service| match service {
            WorkerService::Run(run) => Some(run),
            WorkerService::Pool(_) => None,
        };
        views.values().filter_map(|(view, _)| run(view.service)).collect()
    }

    /// How many workers of runs this node has.
    pub(crate) fn run_workers(&self) -> u32 {
        u32::try_from(self.runs_of_workers().len()).unwrap_or(u32::MAX)
    }

    /// Whether there is a node where it could be.
    fn has_open_peers(&self) -> bool {
        let draining = self.draining_nodes();
        self.links.presences().keys().any(|node| !draining.contains(node))
    }

    /// Whether something is here that could be elsewhere.
    fn has_what_moves(&self) -> bool {
        let is_heired = successor(self, &self.draining_nodes()).is_some();
        let (own, workers) = (self.parts.node, self.runs_of_workers());
        self.parts.consensus.read_stale(|state| {
            workers.iter().any(|run| may_be_elsewhere(state, *run))
                || (is_heired
                    && state.runs().any(|(id, run)| {
                        run.progress.status == RunStatus::Running
                            && run.progress.owner == own
                            && may_be_elsewhere(state, id)
                    }))
        })
    }
}

/// Whether its workers may be on other nodes, and its owner another one. A node without a vote knows no run, and has workers of no
/// others.
fn may_be_elsewhere(state: &State, run: RunId) -> bool {
    state.run(run).is_none_or(|held| held.spec.shipped.is_some())
}

/// When to try again to hand over the leadership: an attempt that is refused at once would be made after each entry of the log.
#[derive(Debug, Default)]
struct Attempts {
    failures: u32,
    not_before: Option<Instant>,
}

impl Attempts {
    fn is_due(&self, now: Instant) -> bool {
        self.not_before.is_none_or(|earliest| now >= earliest)
    }

    fn failed(&mut self, now: Instant) {
        let pause = LOOK_EVERY.saturating_mul(1 << self.failures.min(10)).min(PAUSE_MAX);
        self.failures += 1;
        self.not_before = Some(now + pause);
    }
}

/// Follows what the log says of this node, and lets another one lead while it drains. Runs as long as the node.
pub(crate) async fn watch_draining(context: Arc<NodeContext>) {
    let (consensus, own) = (&context.parts.consensus, context.parts.node);
    let mut applied = consensus.watch();
    let mut attempts = Attempts::default();
    loop {
        let drains = consensus.read_stale(|state| state.is_draining(own));
        if context.draining.by_log.swap(drains, Ordering::AcqRel) != drains {
            let what = if drains { "this node drains: it takes nothing new" } else { "this node takes work again" };
            info!(node = %own, "{what}");
        }
        if !drains || !consensus.status().is_leader {
            attempts = Attempts::default();
        } else if attempts.is_due(Instant::now()) && !hand_over(&context).await {
            attempts.failed(Instant::now());
        }
        if let Ok(Err(_)) = timeout(LOOK_EVERY, applied.changed()).await {
            return;
        }
        sleep(LOOK_PAUSE).await;
    }
}

/// Where all others drain or are away, this node goes on leading. `false`: there is another one, and it does not lead yet.
async fn hand_over(context: &NodeContext) -> bool {
    let consensus = &context.parts.consensus;
    let draining = context.draining_nodes();
    let Some(node) = consensus.successor(|node| !draining.contains(&node)) else { return true };
    let transfer = MemberChange::Transfer { node };
    let handed_over = timeout(HAND_OVER, consensus.change_members(&transfer, HAND_OVER)).await;
    let leads_there = matches!(handed_over, Ok(Ok(())));
    match handed_over {
        Ok(Ok(())) => info!(to = %node, "this node drains and has handed over the leadership"),
        Ok(Err(error)) => warn!(%error, "this node drains and could not hand over the leadership yet"),
        Err(_) => warn!("this node drains and could not hand over the leadership in time"),
    }
    leads_there
}

/// The node is about to end: it says so, and waits until what may be elsewhere has left, at most so long.
pub(crate) async fn leave(context: &NodeContext, limit: Duration) {
    if !context.parts.has_peers {
        return;
    }
    context.draining.end();
    let left = async {
        let is_recording = || context.unrecorded.load(Ordering::Acquire) > 0;
        while context.has_open_peers() && (context.has_what_moves() || is_recording()) {
            sleep(LOOK_PAUSE).await;
        }
    };
    // What is left then is executed again elsewhere, as after the loss of the node.
    let _ = timeout(limit, left).await;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn attempts_to_hand_over_the_leadership_pause_longer_each_time_and_never_too_long() {
        let mut attempts = Attempts::default();
        let mut now = Instant::now();
        assert!(attempts.is_due(now));
        for seconds in [1, 2, 4, 8, 16, 30, 30, 30, 30, 30, 30, 30, 30] {
            attempts.failed(now);
            let pause = Duration::from_secs(seconds);
            assert!(!attempts.is_due(now + pause - Duration::from_millis(1)), "{seconds} s");
            now += pause;
            assert!(attempts.is_due(now), "{seconds} s");
        }
    }

    #[test]
    fn a_node_takes_nothing_new_for_the_log_s_word_or_because_it_ends() {
        let draining = Draining::default();
        assert!(!draining.is_on());
        draining.by_log.store(true, Ordering::Release);
        assert!(draining.is_on());
        draining.by_log.store(false, Ordering::Release);
        assert!(!draining.is_on());
        draining.end();
        draining.by_log.store(false, Ordering::Release);
        assert!(draining.is_on(), "nothing takes that back");
    }
}
