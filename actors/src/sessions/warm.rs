//! Workers that sessions keep warm: a bounded number a node. A session that needs one when all are taken gets the place of the one
//! that was used longest ago, as long as that does nothing; otherwise it waits.

use std::collections::BTreeMap;
use std::pin::pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use ractor::ActorRef;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::sleep;

use super::UnderWay;
use super::session::SessionMessage;

const WARM_MAX: u32 = 32;

const ASK_NEXT_AFTER: Duration = Duration::from_millis(50);

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

impl Warm {
    /// Of so many processes that all pools of the class may have, which are as many for others.
    pub(super) fn among(processes: u32) -> Self {
        let places = Arc::new(Semaphore::new((processes / 2).clamp(1, WARM_MAX) as usize));
        Self { shared: Arc::new(Shared { places, idle: Mutex::default(), wanted: AtomicUsize::new(0) }) }
    }

    /// A place for a worker.
    pub(super) async fn place(&self) -> Option<OwnedSemaphorePermit> {
        let places = Arc::clone(&self.shared.places);
        if let Ok(place) = Arc::clone(&places).try_acquire_owned() {
            return Some(place);
        }
        let _wanted = UnderWay::new(&self.shared.wanted);
        let mut place = pin!(places.acquire_owned());
        loop {
            // It may be used again in this moment, and then keeps its place for so long: the next one is asked soon.
            if let Some((_, session)) = self.idle().order.pop_first() {
                let _ = session.cast(SessionMessage::Cool);
            }
            tokio::select! {
                place = &mut place => return place.ok(),
                () = sleep(ASK_NEXT_AFTER) => {}
            }
        }
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
