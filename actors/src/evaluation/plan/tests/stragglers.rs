//! Stragglers, and nodes that are lost with results that the log has not: whatever happens, nobody waits for what nobody has.

use super::*;

#[test]
fn an_example_whose_second_result_is_lost_with_its_node_is_waited_for_where_it_still_executes() {
    let mut plan = near_the_end(true);
    let (first, other) = (holder(&plan, 10), holder(&plan, 11));
    plan.finished(other, 11, 1_000, 0);
    plan.hedge(1_000_000);
    assert!(plan.finished(3 - first, 10, 500, 1_500_000));
    assert_eq!(plan.in_flight(), 0, "it has its result");
    // That never reached the log.
    plan.results_lost(plan.workers[&(3 - first)].site, 1, [10]);
    assert_eq!((plan.in_flight(), plan.waiting()), (1, 0), "the first execution counts again");
    assert_eq!(plan.running_for(9_000_000, 1_000_000), [(first, 10)], "it may be late");
    assert_eq!(plan.hedge(9_000_000).len(), 1, "and be executed elsewhere once more");
    assert_eq!((plan.worker_ended(3 - first, Cause::Node), plan.waiting()), (vec![], 0));
    assert_eq!((plan.worker_ended(first, Cause::Node), plan.waiting()), (vec![], 1), "nor is it forgotten");
}

/// A run whose workers may be slow for ever, and whose nodes are lost with what they have not recorded.
struct Story {
    plan: Plan,
    examples: u32,
    threads: usize,
    recorded: BTreeSet<u32>,
    /// Results on their way to the log, by the node that has them.
    on_their_way: Vec<(NodeId, u32)>,
    next_key: WorkerKey,
    now_us: u64,
}

impl Story {
    fn begin(examples: u32, threads: usize) -> Self {
        let plan = Plan::new(Rules { hedges: true, ..without_limit(3 * threads) }, 0..examples);
        let (recorded, on_their_way) = (BTreeSet::new(), Vec::new());
        Self { plan, examples, threads, recorded, on_their_way, next_key: 0, now_us: 0 }
    }

    fn give_out(&mut self) {
        self.now_us += 100_000;
        while self.plan.workers.len() < 3 {
            self.next_key += 1;
            self.plan.worker_joined(self.next_key, NodeId(self.next_key % 3), self.threads);
        }
        self.plan.share_out(3);
        self.plan.assign(self.now_us);
        self.plan.hedge(self.now_us);
    }

    fn busy(&self) -> Vec<WorkerKey> {
        self.plan.workers.iter().filter(|(_, worker)| !worker.assigned.is_empty()).map(|(&key, _)| key).collect()
    }

    fn finish(&mut self, which: u8) {
        let busy = self.busy();
        let Some(&key) = busy.get(usize::from(which) % busy.len().max(1)) else { return };
        let worker = &self.plan.workers[&key];
        let (site, held) = (worker.site, usize::from(which) % worker.assigned.len());
        let index = worker.assigned[held].assignment.index;
        assert!(self.plan.finished(key, index, 50, self.now_us));
        self.on_their_way.push((site, index));
    }

    fn record(&mut self, which: u8) {
        if !self.on_their_way.is_empty() {
            let (site, index) = self.on_their_way.swap_remove(usize::from(which) % self.on_their_way.len());
            self.recorded.insert(index);
            self.plan.recorded_at(site, 1);
        }
    }

    fn lose(&mut self, node: NodeId) {
        let lost: Vec<u32> =
            self.on_their_way.iter().filter(|(site, _)| *site == node).map(|(_, index)| *index).collect();
        self.on_their_way.retain(|(site, _)| *site != node);
        let missing: Vec<u32> = lost.iter().copied().filter(|index| !self.recorded.contains(index)).collect();
        self.plan.results_lost(node, lost.len(), missing);
        let there: Vec<WorkerKey> =
            self.plan.workers.iter().filter(|(_, worker)| worker.site == node).map(|(&key, _)| key).collect();
        for key in there {
            assert_eq!(self.plan.worker_ended(key, Cause::Node), []);
        }
    }

    /// Examples of which the log has nothing, and that nobody waits for.
    fn forgotten(&self) -> Vec<u32> {
        let counts = |index: u32| {
            let holds = |worker: &Worker| worker.assigned.iter().any(|held| held.assignment.index == index);
            let is_held = !self.plan.is_settled(index) && self.plan.workers.values().any(holds);
            is_held
                || self.recorded.contains(&index)
                || self.plan.pending.contains(&index)
                || self.plan.solo.contains(&index)
                || self.on_their_way.iter().any(|(_, on_its_way)| *on_its_way == index)
        };
        (0..self.examples).filter(|&index| !counts(index)).collect()
    }
}

proptest! {
    /// Whatever is slow, dies, is executed twice and is lost on its way to the log: somebody waits for every example until the log
    /// has its result, and no more executes at once than may.
    #[test]
    fn with_stragglers_and_lost_results_every_example_has_a_result(
        examples in 1u32..60,
        threads in 2usize..5,
        choices in proptest::collection::vec((0u8..=255, 0u8..=255), 600),
    ) {
        let mut story = Story::begin(examples, threads);
        for (what, which) in choices.into_iter().cycle().take(20_000) {
            story.give_out();
            prop_assert!(story.plan.running() <= 3 * threads);
            match what {
                0..8 => story.lose(NodeId(u64::from(which) % 3)),
                8..100 => story.finish(which),
                100..180 => story.record(which),
                _ => {}
            }
            prop_assert_eq!(story.forgotten(), Vec::<u32>::new());
            if story.plan.is_exhausted() && story.on_their_way.is_empty() { break }
        }
        prop_assert!(story.plan.is_exhausted() && !story.plan.has_unrecorded());
        prop_assert_eq!(story.recorded.len(), examples as usize);
    }
}
