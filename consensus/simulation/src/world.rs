//! What everything in a simulation can reach.

use std::time::Duration;

use tokio::time::{Instant, sleep};

use crate::mutant::Mutant;
use crate::observer::Observer;
use crate::settings::{EPOCH_MS, Settings};
use crate::traps::{Moment, Traps};
use crate::wires::Wires;

/// A crash that was ordered comes within this time.
const CRASH_COMES: Duration = Duration::from_secs(3600);

/// One simulation's surroundings.
pub(crate) struct World {
    pub(crate) seed: u64,
    pub(crate) settings: Settings,
    pub(crate) mutant: Option<Mutant>,
    pub(crate) begun: Instant,
    pub(crate) wires: Wires,
    pub(crate) observer: Observer,
    pub(crate) traps: Traps,
}

impl World {
    /// Milliseconds since the begin.
    pub(crate) fn elapsed_ms(&self) -> u64 {
        u64::try_from(self.begun.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    /// The true time, in Unix milliseconds.
    pub(crate) fn true_ms(&self) -> u64 {
        EPOCH_MS + self.elapsed_ms()
    }

    /// A node has come to this moment; its crash may be waiting there.
    pub(crate) async fn reached(&self, node: u64, moment: Moment) {
        if self.traps.spring(node, moment) {
            sleep(CRASH_COMES).await;
        }
    }
}
