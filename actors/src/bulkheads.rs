//! The Python processes that a node has for pools: each class has places of its own, so that one that is flooded takes nothing from
//! another class, nor from the runs. Those of sessions are of the general class.
//!
//! Only a pool that has no process at all waits for a place, so that one that has many and wants more is not before it in the line; and
//! not without end: where the class stays full its calls are refused. Meanwhile those pools that have nothing to do give places back.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;

use crate::pool::PoolClass;
use crate::sessions::UnderWay;

/// How long a worker waits for a place, and a call for a worker that has none. Less than a call may wait for a worker where nothing is
/// set, so that its caller hears of the class that is full instead of workers that do not come.
pub(crate) const PLACE_WAIT: Duration = Duration::from_secs(4);

/// The places of all classes.
#[derive(Debug)]
pub(crate) struct Bulkheads {
    general: Bulkhead,
    optimizer: Bulkhead,
    inference: Bulkhead,
}

impl Bulkheads {
    /// With so many places for each class.
    pub(crate) fn new(places: impl Fn(PoolClass) -> u32) -> Self {
        let of = |class| Bulkhead::new(places(class));
        Self {
            general: of(PoolClass::General),
            optimizer: of(PoolClass::Optimizer),
            inference: of(PoolClass::Inference),
        }
    }

    pub(crate) fn of(&self, class: PoolClass) -> &Bulkhead {
        match class {
            PoolClass::General => &self.general,
            PoolClass::Optimizer => &self.optimizer,
            PoolClass::Inference => &self.inference,
        }
    }
}

/// The places of one class.
#[derive(Debug)]
pub(crate) struct Bulkhead {
    places: u32,
    free: Arc<Semaphore>,
    waiting: AtomicUsize,
}

impl Bulkhead {
    fn new(places: u32) -> Self {
        Self { places, free: Arc::new(Semaphore::new(places as usize)), waiting: AtomicUsize::new(0) }
    }

    /// A place, which is given back by dropping it. One that gets free goes to whoever waits longest. `None`: none did in this time, or
    /// all are taken and there is no time.
    pub(crate) async fn place(&self, limit: Duration) -> Option<OwnedSemaphorePermit> {
        if let Ok(place) = Arc::clone(&self.free).try_acquire_owned() {
            return Some(place);
        }
        if limit.is_zero() {
            return None;
        }
        let _waiting = UnderWay::new(&self.waiting);
        let waited = timeout(limit, Arc::clone(&self.free).acquire_owned()).await;
        // Nobody closes it, so what ends the wait without a place is the time.
        waited.ok()?.ok()
    }

    /// Somebody waits, so all places are taken.
    pub(crate) fn has_waiting(&self) -> bool {
        self.waiting.load(Ordering::Acquire) > 0
    }

    /// How many there are.
    pub(crate) fn places(&self) -> u32 {
        self.places
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHORT: Duration = Duration::from_millis(20);
    const LONG: Duration = Duration::from_secs(60);

    /// The place that it has by now.
    async fn soon(
        waiting: &mut (impl Future<Output = Option<OwnedSemaphorePermit>> + Unpin),
    ) -> Option<OwnedSemaphorePermit> {
        timeout(SHORT, waiting).await.ok().flatten()
    }

    #[tokio::test]
    async fn a_class_that_is_full_takes_no_place_of_another() {
        let bulkheads = Bulkheads::new(|class| if class == PoolClass::General { 1 } else { 2 });
        let general = bulkheads.of(PoolClass::General);
        let _held = general.place(LONG).await.expect("free");
        let mut waiting = Box::pin(general.place(LONG));
        assert!(soon(&mut waiting).await.is_none());
        for class in [PoolClass::Optimizer, PoolClass::Inference] {
            let other = bulkheads.of(class);
            let held = (other.place(LONG).await, other.place(LONG).await);
            assert!(held.0.is_some() && held.1.is_some(), "{class} has both of its places");
            assert!(!other.has_waiting() && other.places() == 2);
        }
        assert!(general.has_waiting());
    }

    #[tokio::test]
    async fn a_wait_without_a_place_ends_and_takes_none_later() {
        let bulkhead = Bulkhead::new(1);
        let held = bulkhead.place(LONG).await.expect("free");
        assert!(bulkhead.place(SHORT).await.is_none());
        assert!(!bulkhead.has_waiting());
        drop(held);
        assert!(bulkhead.place(SHORT).await.is_some(), "it is not lost with whoever waited in vain");
    }

    #[tokio::test]
    async fn a_place_that_gets_free_goes_to_whoever_waits_longest() {
        let bulkhead = Bulkhead::new(1);
        let held = bulkhead.place(LONG).await.expect("free");
        let mut first = Box::pin(bulkhead.place(LONG));
        assert!(soon(&mut first).await.is_none());
        let mut second = Box::pin(bulkhead.place(LONG));
        assert!(soon(&mut second).await.is_none());
        drop(held);
        for limit in [Duration::ZERO, SHORT] {
            assert!(bulkhead.place(limit).await.is_none(), "nobody who comes later is served before");
        }
        assert!(soon(&mut second).await.is_none(), "it is not its turn");
        let held = soon(&mut first).await.expect("its turn");
        drop(held);
        assert!(soon(&mut second).await.is_some());
        assert!(!bulkhead.has_waiting());
    }

    #[tokio::test]
    async fn whoever_stops_waiting_is_served_no_more() {
        let bulkhead = Bulkhead::new(1);
        let held = bulkhead.place(LONG).await.expect("free");
        let mut gone = Box::pin(bulkhead.place(LONG));
        assert!(soon(&mut gone).await.is_none());
        drop(held);
        // It was given the place and has not taken it.
        drop(gone);
        assert!(!bulkhead.has_waiting());
        assert!(bulkhead.place(SHORT).await.is_some());
    }
}
