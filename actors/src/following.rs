//! Following a run through any node: its lines and its questions are on the board of its owner, and a node whose watchers follow a
//! run of another owner asks that one for them over the real_time channel (docs/adr/0025).
//!
//! ```text
//! board (owner) --Lines, from a place on--> mirror (one a run and node) --> watchers, each from its own place on
//! board (owner) --Questions--> the driver's stream, through whichever node --Answer--> worker
//! ```
//! The owner is looked up in the log each time, so whoever follows a run follows its next owner as well.

mod asking;
mod mirror;
mod owner;
mod ring;
mod serving;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use dspex_model::{LineCursor, RunId};
use tokio::sync::watch;

use crate::context::NodeContext;
pub use asking::Asking;
use mirror::Mirror;
pub(crate) use owner::deliver;
pub use ring::Told;
pub(crate) use ring::{Page, Ring};
pub use serving::RealTime;

/// For the last lines of a run that has ended, longer than they are asked for.
const LAST_LINES: Duration = Duration::from_secs(3);

/// The runs that somebody follows through this node.
#[derive(Debug, Default)]
pub(crate) struct Followed {
    mirrors: Mutex<HashMap<RunId, Weak<Mirror>>>,
}

impl Followed {
    /// All watchers of a run share one mirror. One that has heard the end of its run serves no later stretch of it.
    fn mirror(&self, context: &Arc<NodeContext>, run: RunId) -> Arc<Mirror> {
        let mut mirrors = self.mirrors.lock().unwrap_or_else(PoisonError::into_inner);
        mirrors.retain(|_, mirror| mirror.strong_count() > 0);
        let known = mirrors.get(&run).and_then(Weak::upgrade).filter(|mirror| mirror.end().is_none());
        known.unwrap_or_else(|| {
            let mirror = Arc::new(Mirror::start(Arc::clone(context), run));
            mirrors.insert(run, Arc::downgrade(&mirror));
            mirror
        })
    }
}

/// A reader of a run's lines, from a place on. Dropping the last one of a run ends what this node asks for it.
#[derive(Debug)]
pub struct Following {
    mirror: Arc<Mirror>,
    changed: watch::Receiver<()>,
    at: LineCursor,
}

impl Following {
    pub(crate) fn from(context: &Arc<NodeContext>, run: RunId, after: LineCursor) -> Self {
        let mirror = context.followed.mirror(context, run);
        let changed = mirror.changed();
        Self { mirror, changed, at: after }
    }

    /// What is there behind the last that was told, each with its place; waits until there is something. It may be dropped and called
    /// again.
    pub async fn next(&mut self) -> Vec<(LineCursor, Told)> {
        loop {
            let told = self.waiting();
            if !told.is_empty() {
                return told;
            }
            if self.changed.changed().await.is_err() {
                // The mirror is held here, so this cannot be.
                return std::future::pending().await;
            }
        }
    }

    /// The same without waiting.
    pub fn waiting(&mut self) -> Vec<(LineCursor, Told)> {
        let (told, at) = self.mirror.read(self.at);
        self.at = at;
        told
    }

    /// Returns when all that was said before the run's end is here, or has had its time; whether it is here.
    pub async fn all_is_here(&mut self) -> bool {
        let ended = async { while self.mirror.end().is_none() && self.changed.changed().await.is_ok() {} };
        // This node's log knows of the end, so the mirror does, too.
        let _ = tokio::time::timeout(LAST_LINES, ended).await;
        self.mirror.end() == Some(true)
    }
}
