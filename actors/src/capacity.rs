//! The worker processes that a node has for runs, divided fairly among them: a run that hangs, or floods the node, keeps no other
//! from its share. Pools and sessions have places of their own, a bulkhead for each class (`bulkheads.rs`).

mod shares;

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use dspex_model::RunId;
use tokio::sync::oneshot;
use tracing::info;

use crate::context::NodeContext;
use crate::worker::{WorkerMessage, WorkerService};
use shares::{Claim, next, to_give_back};

/// Beyond the others, for the first workers of new runs: a run that begins need not wait until another one gives way.
const FOR_NEW_RUNS: u32 = 16;
/// How often it is looked whether somebody has more than its share.
const LOOK_EVERY: Duration = Duration::from_millis(500);
/// A worker that is to give way ends what it has; after so long it is ended where that may run again, uncharged. Where nothing may
/// (`--retries 0`) it has the time that it needs: ending it would be the failure of examples that did nothing wrong.
const GIVE_WAY_LIMIT: Duration = Duration::from_secs(30);
/// The weight of a run that has no worker here, and wants none, is kept for so long: a worker may be on its way, and wait for what its
/// environment needs.
const WEIGHT_KEPT: Duration = Duration::from_secs(3600);

/// What runs may have of a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RunLimits {
    /// Worker processes of all runs.
    pub workers_max: u32,
    /// Of one run.
    pub workers_per_run_max: u32,
    /// Examples of one run that execute at once, over all nodes, of the runs that are submitted at this node.
    pub threads_per_run_max: u32,
}

impl RunLimits {
    /// What a node has where nothing is set.
    pub const DEFAULT: Self = Self { workers_max: 64, workers_per_run_max: 64, threads_per_run_max: 4096 };
}

impl Default for RunLimits {
    fn default() -> Self {
        Self::DEFAULT
    }
}

/// Who wants worker processes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Claimant {
    /// A program that is being checked: its run begins with this worker.
    New,
    /// A run; ids are ordered by time.
    Run(RunId),
}

/// The places of a node's workers of runs.
#[derive(Debug)]
pub(crate) struct Capacity {
    limits: RunLimits,
    ledger: Mutex<Ledger>,
}

#[derive(Debug, Default)]
struct Ledger {
    held: BTreeMap<Claimant, u32>,
    waiting: BTreeMap<Claimant, VecDeque<oneshot::Sender<Place>>>,
    /// Of runs that were given another one than 1, and when.
    weights: BTreeMap<RunId, (u32, Instant)>,
}

impl Ledger {
    fn weigh(&mut self, run: RunId, weight: u32, now: Instant) {
        let Self { held, waiting, weights } = self;
        weights.retain(|other, (_, given)| {
            let claimant = Claimant::Run(*other);
            let claims = held.contains_key(&claimant) || waiting.contains_key(&claimant);
            claims || now.saturating_duration_since(*given) < WEIGHT_KEPT
        });
        if weight > 1 {
            weights.insert(run, (weight, now));
        } else {
            weights.remove(&run);
        }
    }

    fn held(&self) -> u32 {
        self.held.values().sum()
    }

    fn claims(&self, limits: RunLimits) -> BTreeMap<Claimant, Claim> {
        let claimants = self.held.keys().chain(self.waiting.keys()).copied();
        let count = |queue: &VecDeque<_>| u32::try_from(queue.len()).unwrap_or(u32::MAX);
        let claim = |claimant: Claimant| Claim {
            weight: match claimant {
                Claimant::New => 1,
                Claimant::Run(run) => self.weights.get(&run).map_or(1, |(weight, _)| *weight),
            },
            limit: match claimant {
                Claimant::New => limits.workers_max,
                Claimant::Run(_) => limits.workers_per_run_max,
            },
            held: self.held.get(&claimant).copied().unwrap_or_default(),
            waiting: self.waiting.get(&claimant).map(count).unwrap_or_default(),
        };
        claimants.map(|claimant| (claimant, claim(claimant))).collect()
    }
}

/// A worker process that somebody may have; dropping it gives it back.
#[derive(Debug)]
pub(crate) struct Place {
    capacity: Arc<Capacity>,
    claimant: Claimant,
}

impl Place {
    /// The check is over: its run has it from now on.
    pub(crate) fn becomes(&mut self, run: RunId) {
        let mut ledger = self.capacity.lock();
        lower(&mut ledger.held, self.claimant);
        self.claimant = Claimant::Run(run);
        *ledger.held.entry(self.claimant).or_default() += 1;
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut ledger = self.capacity.lock();
        lower(&mut ledger.held, self.claimant);
        drop(ledger);
        self.capacity.give_out();
    }
}

fn lower(held: &mut BTreeMap<Claimant, u32>, claimant: Claimant) {
    if let Some(count) = held.get_mut(&claimant) {
        *count -= 1;
        if *count == 0 {
            held.remove(&claimant);
        }
    }
}

impl Capacity {
    pub(crate) fn new(limits: RunLimits) -> Arc<Self> {
        Arc::new(Self { limits, ledger: Mutex::default() })
    }

    /// How many there are, for runs that go on.
    pub(crate) fn places(&self) -> u32 {
        self.limits.workers_max
    }

    /// How many are taken.
    pub(crate) fn taken(&self) -> u32 {
        self.lock().held()
    }

    /// How much of the node the run is to have beside others, from its owner.
    pub(crate) fn weigh(&self, run: RunId, weight: u32) {
        self.lock().weigh(run, weight, Instant::now());
    }

    /// Waits for a place. Those of one claimant are served in order.
    pub(crate) async fn place(self: &Arc<Self>, claimant: Claimant) -> Place {
        let (sender, receiver) = oneshot::channel();
        self.lock().waiting.entry(claimant).or_default().push_back(sender);
        self.give_out();
        match receiver.await {
            Ok(place) => place,
            // Nobody drops a waiting sender but with the ledger.
            Err(_) => std::future::pending().await,
        }
    }

    /// Gives out what is free.
    fn give_out(self: &Arc<Self>) {
        loop {
            let mut ledger = self.lock();
            forget_those_gone(&mut ledger.waiting);
            let held = ledger.held();
            let is_new = ledger.waiting.contains_key(&Claimant::New) && held < self.places() + FOR_NEW_RUNS;
            let claimant = match is_new {
                true => Claimant::New,
                false if held < self.places() => match next(&ledger.claims(self.limits)) {
                    Some(claimant) => claimant,
                    None => return,
                },
                false => return,
            };
            let Some(waiting) = ledger.waiting.get_mut(&claimant).and_then(VecDeque::pop_front) else { return };
            *ledger.held.entry(claimant).or_default() += 1;
            drop(ledger);
            // Whoever has gone meanwhile gives it back by dropping it: outside of the lock.
            drop(waiting.send(Place { capacity: Arc::clone(self), claimant }));
        }
    }

    /// Runs that have more than their share while others wait, and how much more.
    fn over(&self) -> BTreeMap<Claimant, u32> {
        let mut ledger = self.lock();
        forget_those_gone(&mut ledger.waiting);
        to_give_back(self.places(), &ledger.claims(self.limits))
    }

    fn lock(&self) -> MutexGuard<'_, Ledger> {
        self.ledger.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn forget_those_gone(waiting: &mut BTreeMap<Claimant, VecDeque<oneshot::Sender<Place>>>) {
    waiting.retain(|_, queue| {
        queue.retain(|sender| !sender.is_closed());
        !queue.is_empty()
    });
}

/// Sees to it, as long as the node lives, that runs give way to each other.
pub(crate) async fn keep_fair(context: Arc<NodeContext>) {
    let mut asked: BTreeMap<String, Instant> = BTreeMap::new();
    loop {
        tokio::time::sleep(LOOK_EVERY).await;
        let over = context.capacity.over();
        if over.is_empty() {
            asked.clear();
            continue;
        }
        give_way(&context, &over, &mut asked);
    }
}

/// What a worker that is to give way is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Word {
    /// It ends when it has finished what it has.
    Leave,
    /// It ends now.
    Kill,
}

/// `asked`: how long ago it was asked to leave. `may_repeat`: what it has may run again.
fn word(asked: Option<Duration>, may_repeat: bool) -> Option<Word> {
    match asked {
        None => Some(Word::Leave),
        Some(since) => (may_repeat && since >= GIVE_WAY_LIMIT).then_some(Word::Kill),
    }
}

/// Asks as many workers of each run to end as it has too many, the youngest first: those have done least.
fn give_way(context: &NodeContext, over: &BTreeMap<Claimant, u32>, asked: &mut BTreeMap<String, Instant>) {
    context.view(|views| {
        asked.retain(|id, _| views.contains_key(id));
        for (claimant, &count) in over {
            let Claimant::Run(run) = claimant else { continue };
            let mut workers: Vec<_> =
                views.values().filter(|(view, _)| view.service == WorkerService::Run(*run) && view.pid != 0).collect();
            workers.sort_by_key(|(view, _)| (!asked.contains_key(&view.worker), std::cmp::Reverse(view.since)));
            for (view, actor) in workers.into_iter().take(count as usize) {
                match word(asked.get(&view.worker).map(Instant::elapsed), view.may_repeat) {
                    Some(Word::Leave) => {
                        info!(%run, worker = view.worker, "a worker gives way to another run");
                        asked.insert(view.worker.clone(), Instant::now());
                        // One that is gone has given way.
                        let _ = actor.cast(WorkerMessage::Leave { replace: true });
                    }
                    Some(Word::Kill) => drop(actor.cast(WorkerMessage::Kill)),
                    None => {}
                }
            }
        }
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    const ONE: Claimant = Claimant::Run(RunId(1));
    const OTHER: Claimant = Claimant::Run(RunId(2));

    fn of(workers_max: u32) -> Arc<Capacity> {
        Capacity::new(RunLimits { workers_max, ..RunLimits::DEFAULT })
    }

    /// Whether it has its place by now.
    async fn soon(waiting: &mut (impl Future<Output = Place> + Unpin)) -> Option<Place> {
        tokio::time::timeout(Duration::from_millis(20), waiting).await.ok()
    }

    #[tokio::test]
    async fn a_place_that_is_given_back_goes_to_the_run_that_has_least() {
        let capacity = of(2);
        let (first, second) = (capacity.place(ONE).await, capacity.place(ONE).await);
        let mut third = Box::pin(capacity.place(ONE));
        assert!(soon(&mut third).await.is_none());
        let mut other = Box::pin(capacity.place(OTHER));
        assert!(soon(&mut other).await.is_none());
        assert_eq!(capacity.over(), BTreeMap::from([(ONE, 1)]));
        drop(first);
        let other = soon(&mut other).await.expect("it is the other's turn");
        assert!(soon(&mut third).await.is_none() && capacity.over().is_empty());
        drop((second, other));
        assert!(soon(&mut third).await.is_some());
        assert_eq!(capacity.taken(), 0);
    }

    #[tokio::test]
    async fn a_new_run_begins_though_all_places_are_taken_and_is_counted_then() {
        let capacity = of(1);
        let _held = capacity.place(ONE).await;
        let mut new = Vec::new();
        for number in 0..FOR_NEW_RUNS {
            let mut place = Box::pin(capacity.place(Claimant::New));
            let mut place = soon(&mut place).await.expect("for new runs");
            place.becomes(RunId(10 + u128::from(number)));
            new.push(place);
        }
        let mut one_more = Box::pin(capacity.place(Claimant::New));
        assert!(soon(&mut one_more).await.is_none(), "not without end");
        assert_eq!(capacity.over().len() as u32, FOR_NEW_RUNS);
        new.clear();
        assert!(soon(&mut one_more).await.is_some());
    }

    #[tokio::test]
    async fn whoever_stops_waiting_takes_no_place() {
        let capacity = of(1);
        let held = capacity.place(ONE).await;
        let mut gone = Box::pin(capacity.place(ONE));
        assert!(soon(&mut gone).await.is_none());
        drop(gone);
        assert!(capacity.over().is_empty());
        drop(held);
        assert_eq!(capacity.taken(), 0);
        let _ = capacity.place(OTHER).await;
    }

    #[test]
    fn a_worker_that_gives_way_is_ended_after_a_while_but_for_one_whose_examples_may_not_run_again() {
        let short = GIVE_WAY_LIMIT - Duration::from_millis(1);
        for may_repeat in [true, false] {
            assert_eq!(word(None, may_repeat), Some(Word::Leave));
            assert_eq!(word(Some(short), may_repeat), None);
        }
        assert_eq!(word(Some(GIVE_WAY_LIMIT), true), Some(Word::Kill));
        assert_eq!(word(Some(100 * GIVE_WAY_LIMIT), false), None, "--retries 0");
    }

    #[tokio::test]
    async fn weights_of_runs_that_are_gone_are_forgotten_and_those_of_others_kept() {
        let capacity = of(2);
        let start = Instant::now();
        let weights = || capacity.lock().weights.keys().copied().collect::<Vec<_>>();
        capacity.lock().weigh(RunId(1), 2, start);
        let held = capacity.place(ONE).await;
        (10..100).for_each(|run| capacity.lock().weigh(RunId(run), 3, start));
        capacity.lock().weigh(RunId(2), 5, start + WEIGHT_KEPT / 2);
        capacity.lock().weigh(RunId(3), 1, start + WEIGHT_KEPT);
        assert_eq!(weights(), [RunId(1), RunId(2)], "one has a place, one may be about to take one, one weighs as any");
        drop(held);
        capacity.lock().weigh(RunId(2), 1, start + WEIGHT_KEPT);
        assert_eq!(weights(), []);
    }

    #[tokio::test]
    async fn a_heavier_run_keeps_more() {
        let capacity = of(4);
        capacity.weigh(RunId(1), 3);
        let mut held = Vec::new();
        for _ in 0..4 {
            held.push(capacity.place(ONE).await);
        }
        let mut waiting: Vec<_> = (0..4).map(|_| Box::pin(capacity.place(OTHER))).collect();
        for one in &mut waiting {
            assert!(soon(one).await.is_none());
        }
        assert_eq!(capacity.over(), BTreeMap::from([(ONE, 1)]));
    }
}
