//! Whether a part of a run is needed here any more. A node without a vote learns of no run's end, so its parts end by themselves: when
//! they have had no worker and no order for a while. The next order begins another one.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

/// Longer than an owner takes to replace a worker.
const IDLE_MAX: Duration = Duration::from_secs(60);

/// What a part has in hand: counted by whoever gives it orders and by itself, so that none is on its way to one that is being ended.
#[derive(Debug, Default)]
pub(super) struct InHand {
    orders: AtomicUsize,
    workers: AtomicUsize,
}

impl InHand {
    /// An order is put on its way to the part.
    pub(super) fn ordered(&self) {
        self.orders.fetch_add(1, Ordering::AcqRel);
    }

    /// The part has carried one out.
    pub(super) fn carried_out(&self) {
        self.orders.fetch_sub(1, Ordering::AcqRel);
    }

    /// The part has so many workers now. Said before what led to them is carried out.
    pub(super) fn has_workers(&self, count: usize) {
        self.workers.store(count, Ordering::Release);
    }

    /// Only an order leads to workers, so the orders are looked at first.
    fn is_nothing(&self) -> bool {
        self.orders.load(Ordering::Acquire) == 0 && self.workers.load(Ordering::Acquire) == 0
    }
}

/// Since when a part has had nothing in hand.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Idle {
    for_at_least: Option<Duration>,
}

impl Idle {
    pub(super) fn ordered(&mut self) {
        self.for_at_least = None;
    }

    /// Looks so long after the last look. `true`: the part is not needed any more.
    pub(super) fn look(&mut self, in_hand: &InHand, since_last: Duration) -> bool {
        self.for_at_least = match (in_hand.is_nothing(), self.for_at_least) {
            (false, _) => None,
            (true, None) => Some(Duration::ZERO),
            (true, Some(idle)) => Some(idle + since_last),
        };
        self.for_at_least.is_some_and(|idle| idle >= IDLE_MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const EVERY: Duration = Duration::from_secs(20);

    #[test]
    fn a_part_without_workers_and_orders_for_a_while_is_not_needed_any_more() {
        let (in_hand, mut idle) = (InHand::default(), Idle::default());
        let looks: Vec<bool> = (0..4).map(|_| idle.look(&in_hand, EVERY)).collect();
        assert_eq!(looks, [false, false, false, true]);
        idle.ordered();
        assert!(!idle.look(&in_hand, EVERY), "from the beginning");
    }

    #[test]
    fn a_part_is_needed_while_it_has_a_worker_or_an_order_to_carry_out() {
        let (in_hand, mut idle) = (InHand::default(), Idle::default());
        in_hand.ordered();
        assert!((0..9).all(|_| !idle.look(&in_hand, EVERY)), "it unpacks a project");
        in_hand.has_workers(1);
        in_hand.carried_out();
        assert!((0..9).all(|_| !idle.look(&in_hand, EVERY)), "it has a worker");
        in_hand.has_workers(0);
        assert!((0..3).all(|_| !idle.look(&in_hand, EVERY)) && idle.look(&in_hand, EVERY));
    }
}
