//! Workers that sessions keep warm: a bounded number a node. A session that needs one when all are taken gets the place of the one
//! that was used longest ago, as long as that does nothing; otherwise it waits.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use ractor::ActorRef;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::session::SessionMessage;

/// Half of what a node may have.
const WARM_MAX: usize = crate::context::WORKERS_MAX / 2;

/// Shared by the sessions of a node.
#[derive(Clone, Debug)]
pub(crate) struct Warm {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    places: Arc<Semaphore>,
    idle: Mutex<Idle>,
    /// Sessions that wait for a place.
    wanted: AtomicUsize,
}

/// Sessions that have a worker and do nothing, in the order of their last use.
#[derive(Debug, Default)]
struct Idle {
    uses: u64,
    order: BTreeMap<u64, ActorRef<SessionMessage>>,
}

impl Default for Warm {
    fn default() -> Self {
        let places = Arc::new(Semaphore::new(WARM_MAX));
        Self { shared: Arc::new(Shared { places, idle: Mutex::default(), wanted: AtomicUsize::new(0) }) }
    }
}

impl Warm {
    /// A place for a worker.
    pub(super) async fn place(&self) -> Option<OwnedSemaphorePermit> {
        let places = Arc::clone(&self.shared.places);
        if let Ok(place) = Arc::clone(&places).try_acquire_owned() {
            return Some(place);
        }
        let _wanted = Wanted::new(&self.shared.wanted);
        // It may have been used meanwhile, and then keeps it: whoever is done next sees that somebody waits.
        if let Some((_, session)) = self.idle().order.pop_first() {
            let _ = session.cast(SessionMessage::Cool);
        }
        places.acquire_owned().await.ok()
    }

    /// A session has a worker and nothing to do; the number by which it is used again. `None`: somebody waits for the place.
    pub(super) fn rests(&self, session: ActorRef<SessionMessage>) -> Option<u64> {
        let mut idle = self.idle();
        if self.shared.wanted.load(Ordering::Acquire) > 0 {
            return None;
        }
        idle.uses += 1;
        let number = idle.uses;
        idle.order.insert(number, session);
        Some(number)
    }

    /// It has something to do.
    pub(super) fn is_used(&self, number: u64) {
        self.idle().order.remove(&number);
    }

    fn idle(&self) -> MutexGuard<'_, Idle> {
        self.shared.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Somebody waits, for as long as this lives.
struct Wanted<'a>(&'a AtomicUsize);

impl<'a> Wanted<'a> {
    fn new(count: &'a AtomicUsize) -> Self {
        count.fetch_add(1, Ordering::AcqRel);
        Self(count)
    }
}

impl Drop for Wanted<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::AcqRel);
    }
}
