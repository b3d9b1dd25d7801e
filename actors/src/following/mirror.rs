//! What this node has of a run's board: filled from wherever the board is, and read by all who follow the run here.

use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use dspex_model::{LineCursor, NodeId, RunId, RunStatus};
use tokio::sync::watch;
use tokio::task::AbortHandle;
use tokio::time::{sleep, timeout};

use super::ring::{Page, Ring, Told};
use super::{owner, owner::Pause};
use crate::context::NodeContext;

/// For what was printed before the end, all together, where the owner has to be dialled or does not answer.
const LAST_PAGES: Duration = Duration::from_secs(2);

/// Dropping it ends the asking.
#[derive(Debug)]
pub(super) struct Mirror {
    contents: Arc<Contents>,
    filling: AbortHandle,
}

#[derive(Debug)]
struct Contents {
    ring: Mutex<Ring>,
    changed: watch::Sender<()>,
    /// The run has ended; whether its last lines are here.
    end: OnceLock<bool>,
}

impl Drop for Mirror {
    fn drop(&mut self) {
        self.filling.abort();
    }
}

impl Mirror {
    pub(super) fn start(context: Arc<NodeContext>, run: RunId) -> Self {
        let contents =
            Arc::new(Contents { ring: Mutex::default(), changed: watch::Sender::new(()), end: OnceLock::new() });
        let filling = tokio::spawn(fill(context, run, Arc::clone(&contents))).abort_handle();
        Self { contents, filling }
    }

    pub(super) fn changed(&self) -> watch::Receiver<()> {
        self.contents.changed.subscribe()
    }

    /// After the end of the run: whether its last lines are here.
    pub(super) fn end(&self) -> Option<bool> {
        self.contents.end.get().copied()
    }

    /// What a reader is told, and where it stands then.
    pub(super) fn read(&self, at: LineCursor) -> (Vec<(LineCursor, Told)>, LineCursor) {
        let ring = self.contents.ring();
        (ring.read(at), at.max(ring.head()))
    }
}

impl Contents {
    fn ring(&self) -> std::sync::MutexGuard<'_, Ring> {
        self.ring.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn head(&self) -> LineCursor {
        self.ring().head()
    }

    fn take(&self, page: Page) {
        self.ring().take(page);
        self.changed.send_replace(());
    }

    fn complete(&self, has_all: bool) {
        // Said once.
        let _ = self.end.set(has_all);
        self.changed.send_replace(());
    }
}

/// Who executes a run, as this node's log has it.
type Owned = (NodeId, u64);

/// `None`: it is not executed.
fn owned(context: &NodeContext, run: RunId) -> Option<Owned> {
    context.parts.consensus.read_stale(|state| {
        let progress = &state.run(run)?.progress;
        (progress.status == RunStatus::Running).then_some((progress.owner, progress.epoch))
    })
}

async fn fill(context: Arc<NodeContext>, run: RunId, contents: Arc<Contents>) {
    let mut applied = context.parts.consensus.watch();
    let mut pause = Pause::default();
    while let Some(now) = owned(&context, run) {
        tokio::select! {
            page = owner::lines(&context, run, now.0, contents.head()) => match page {
                Some(page) => {
                    pause = Pause::default();
                    contents.take(page);
                }
                // It has no board yet, or cannot be reached: the log will name another owner.
                None => sleep(pause.next()).await,
            },
            is_known = changes(&context, &mut applied, run, now) => if !is_known { return },
        }
    }
    let has_all = timeout(LAST_PAGES, take_rest(&context, run, &contents)).await.unwrap_or(false);
    contents.complete(has_all);
}

/// Until the owner has no more; `false`: it cannot be asked.
async fn take_rest(context: &NodeContext, run: RunId, contents: &Contents) -> bool {
    let owner = context.parts.consensus.read_stale(|state| Some(state.run(run)?.progress.owner));
    // One that was deleted has no owner, and nobody asks for its lines.
    let Some(owner) = owner else { return true };
    loop {
        let after = contents.head();
        match owner::last_lines(context, run, owner, after).await {
            Some(page) if page.head > after => contents.take(page),
            Some(_) => return true,
            None => return false,
        }
    }
}

/// Returns when the log says something else of who executes the run; `false`: the node stops.
async fn changes(context: &NodeContext, applied: &mut watch::Receiver<u64>, run: RunId, now: Owned) -> bool {
    while owned(context, run) == Some(now) {
        if applied.changed().await.is_err() {
            return false;
        }
    }
    true
}
