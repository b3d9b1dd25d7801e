//! What is known of a run in execution beyond the log: prints, warnings, questions to its driver, who watches it as its driver, and
//! timing. It is at the run's owner; other nodes ask for it (`following`).
//!
//! None of it is replicated: a client that misses it has missed nothing that counts.

mod arrivals;
mod questions;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use bytes::Bytes;
use dspex_model::{BoardEvent, LineCursor, NodeId, PrintedLine, RunId};
use tokio::sync::watch;
use uuid::Uuid;

use crate::following::{Page, Ring};
use arrivals::Arrivals;
use questions::Questions;
pub(crate) use questions::Replaced;

/// When there are more, those of runs that are not executed any more go, the oldest first: their timing and their last lines.
const BOARDS_MAX: usize = 256;
/// For prints that are still on their way from other nodes when the run has ended.
const LATE_PRINTS: Duration = Duration::from_millis(100);

/// A question of user code in a worker to the driver of its run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Question {
    /// Which worker.
    pub worker: String,
    /// Which of its questions.
    pub id: u64,
    /// The example that asks.
    pub index: u64,
    /// For the driver alone.
    pub body: Bytes,
}

/// How long the last stretch of execution took.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Timing {
    /// From the request to the first dispatch.
    pub startup: Option<Duration>,
    /// From the first dispatch to the last committed result.
    pub execution: Option<Duration>,
}

#[derive(Debug)]
struct Inner {
    requested: Instant,
    first_dispatch: Option<Instant>,
    last_commit: Option<Instant>,
    drivers: usize,
    driverless_since: Instant,
    lines: Ring,
    questions: Questions,
    arrivals: Arrivals,
    /// Workers of the run are on other nodes.
    is_spread: bool,
}

/// The board of one run.
#[derive(Debug)]
pub struct Board {
    inner: Mutex<Inner>,
    /// There is something new.
    changed: watch::Sender<()>,
}

impl Board {
    /// A board for a request that came in at `requested`.
    pub fn new(requested: Instant) -> Arc<Self> {
        let inner = Inner {
            requested,
            first_dispatch: None,
            last_commit: None,
            drivers: 0,
            // Not when the request came: loading the program may take longer than a driver may be away.
            driverless_since: Instant::now(),
            lines: Ring::default(),
            questions: Questions::default(),
            arrivals: Arrivals::default(),
            is_spread: false,
        };
        Arc::new(Self { inner: Mutex::new(inner), changed: watch::Sender::new(()) })
    }

    /// The run is executed under this owner's epoch from here on: its lines are counted anew, unless they were counted under it already,
    /// and workers of before wait for nothing.
    pub(crate) fn begin(&self, epoch: u64) {
        let mut inner = self.lock();
        inner.lines.begin(epoch);
        inner.questions.forget_all();
        // A driver elsewhere was perhaps not heard of while nobody executed the run.
        if inner.drivers == 0 {
            inner.driverless_since = Instant::now();
        }
        drop(inner);
        self.changed.send_replace(());
    }

    /// Lines behind a place; waits for some, for so long. `None`: the run is not executed here, or not yet.
    pub(crate) async fn lines(&self, after: LineCursor, wait: Duration) -> Option<Page> {
        let ready = |inner: &mut Inner| {
            let page = inner.lines.page(after);
            (page.head > after).then_some(page)
        };
        let found = self.ready(wait, ready).await;
        let page = found.unwrap_or_else(|| self.lock().lines.page(after));
        (page.head.epoch > 0).then_some(page)
    }

    /// How long a reader of a run that has ended waits for what is still on its way.
    pub(crate) fn late_prints(&self) -> Duration {
        if self.lock().is_spread { LATE_PRINTS } else { Duration::ZERO }
    }

    /// A driver comes, and is asked from here on. Its number, greater than those of all that came before, also to earlier owners; `None`:
    /// the run is not executed here, or not yet.
    pub(crate) fn welcome(&self) -> Option<u128> {
        let mut inner = self.lock();
        let epoch = inner.lines.head().epoch;
        if epoch == 0 {
            return None;
        }
        // An evaluation that begins again under its epoch may have another board: the time tells its drivers from those of before.
        let (time_and_chance, _) = Uuid::now_v7().as_u64_pair();
        let driver = inner.questions.welcome(epoch, time_and_chance);
        drop(inner);
        self.changed.send_replace(());
        Some(driver)
    }

    /// Questions to this driver without an answer, behind a place, and the epoch under which they are counted; waits for some, for so
    /// long.
    pub(crate) async fn questions(
        &self,
        driver: u128,
        after: LineCursor,
        wait: Duration,
    ) -> Result<(u64, Vec<(u64, Question)>), Replaced> {
        let page = |inner: &mut Inner| {
            let epoch = inner.lines.head().epoch;
            // Another owner has asked before.
            let number = if after.epoch == epoch { after.number } else { 0 };
            inner.questions.page(driver, number).map(|questions| (epoch, questions))
        };
        let ready = |inner: &mut Inner| match page(inner) {
            Ok((_, questions)) if questions.is_empty() => None,
            asked => Some(asked),
        };
        match self.ready(wait, ready).await {
            Some(asked) => asked,
            None => page(&mut self.lock()),
        }
    }

    /// Looks again after each change, for so long.
    async fn ready<T>(&self, wait: Duration, look: impl Fn(&mut Inner) -> Option<T>) -> Option<T> {
        let mut changed = self.changed.subscribe();
        let end = tokio::time::Instant::now() + wait;
        loop {
            if let Some(found) = look(&mut self.lock()) {
                return Some(found);
            }
            // The sender is this board's.
            if tokio::time::timeout_at(end, changed.changed()).await.is_err() {
                return None;
            }
        }
    }

    /// Timing of the last stretch.
    pub fn timing(&self) -> Timing {
        let inner = self.lock();
        let since = |from: Option<Instant>, to: Option<Instant>| Some(to?.duration_since(from?));
        Timing {
            startup: since(Some(inner.requested), inner.first_dispatch),
            execution: since(inner.first_dispatch, inner.last_commit),
        }
    }

    /// Someone watches the run as the program that submitted it, until the guard is dropped.
    pub fn drive(self: &Arc<Self>) -> DriverGuard {
        self.lock().drivers += 1;
        DriverGuard { board: Arc::clone(self) }
    }

    /// The program that submitted it watches it through another node.
    pub(crate) fn attended(&self) {
        self.lock().driverless_since = Instant::now();
    }

    /// How long nobody has driven the run.
    pub(crate) fn driverless(&self) -> Duration {
        let inner = self.lock();
        if inner.drivers > 0 { Duration::ZERO } else { inner.driverless_since.elapsed() }
    }

    /// The question has its answer. `false`: it had one already, or its worker is gone.
    pub(crate) fn answered(&self, worker: &str, id: u64) -> bool {
        self.lock().questions.answered(worker, id)
    }

    pub(crate) fn ask(&self, question: Question) {
        self.lock().questions.ask(question);
        self.changed.send_replace(());
    }

    pub(crate) fn forget_questions(&self, worker: &str) {
        self.lock().questions.forget(worker);
    }

    /// The execution under this epoch has ended: no worker waits any more.
    pub(crate) fn forget_questions_of(&self, epoch: u64) {
        let mut inner = self.lock();
        // The board may be another execution's by now.
        if inner.lines.head().epoch == epoch {
            inner.questions.forget_all();
        }
    }

    pub(crate) fn publish(&self, event: BoardEvent) {
        self.lock().lines.publish(event);
        // Nobody watching is fine.
        self.changed.send_replace(());
    }

    /// A worker is employed on another node.
    pub(crate) fn spread(&self) {
        self.lock().is_spread = true;
    }

    /// A line from another node; how many bytes before it were lost on the way. One of a former owner's worker is none.
    pub(crate) fn arrived(&self, from: NodeId, epoch: u64, line: PrintedLine) -> u64 {
        let PrintedLine { worker, text, dropped_bytes, total_bytes } = line;
        let bytes = dropped_bytes.saturating_add(text.len() as u64);
        let Some(lost) = self.account(from, epoch, bytes, total_bytes) else { return 0 };
        let dropped_bytes = dropped_bytes.saturating_add(lost);
        self.publish(BoardEvent::Output { worker, text, dropped_bytes });
        lost
    }

    /// No worker of the run is left on another node: what has not arrived by now is lost.
    pub(crate) fn all_arrived(&self, from: NodeId, epoch: u64, total_bytes: u64) -> u64 {
        let lost = self.account(from, epoch, 0, total_bytes).unwrap_or_default();
        if lost > 0 {
            let text = format!("{lost} bytes of what was printed last at node {from} were lost on their way");
            self.publish(BoardEvent::Warning(text));
        }
        lost
    }

    fn account(&self, from: NodeId, epoch: u64, bytes: u64, total: u64) -> Option<u64> {
        let mut inner = self.lock();
        (epoch >= inner.lines.head().epoch).then(|| inner.arrivals.note(from, epoch, bytes, total))
    }

    pub(crate) fn dispatched(&self) {
        self.lock().first_dispatch.get_or_insert_with(Instant::now);
    }

    pub(crate) fn committed(&self) {
        self.lock().last_commit = Some(Instant::now());
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Stands for the submitting program.
#[derive(Debug)]
pub struct DriverGuard {
    board: Arc<Board>,
}

impl Drop for DriverGuard {
    fn drop(&mut self) {
        let mut inner = self.board.lock();
        inner.drivers -= 1;
        inner.driverless_since = Instant::now();
    }
}

/// The boards of this node's runs.
#[derive(Debug, Default)]
pub(crate) struct Boards {
    boards: Mutex<HashMap<RunId, Arc<Board>>>,
}

impl Boards {
    pub(crate) fn insert(&self, run: RunId, board: Arc<Board>) {
        let mut boards = self.boards.lock().unwrap_or_else(PoisonError::into_inner);
        boards.insert(run, board);
        let beyond = boards.len().saturating_sub(BOARDS_MAX);
        if beyond > 0 {
            // A run that is executed has its board in hand. Of the others the oldest go: run ids are ordered by time.
            let is_idle = |(other, board): &(&RunId, &Arc<Board>)| **other != run && Arc::strong_count(board) == 1;
            let mut idle: Vec<RunId> = boards.iter().filter(is_idle).map(|(other, _)| *other).collect();
            idle.sort_unstable();
            for other in idle.into_iter().take(beyond) {
                boards.remove(&other);
            }
        }
    }

    pub(crate) fn get(&self, run: RunId) -> Option<Arc<Board>> {
        self.boards.lock().unwrap_or_else(PoisonError::into_inner).get(&run).cloned()
    }

    /// The board of a run whose lines are counted under this epoch already. An evaluation that stopped and begins again under its epoch
    /// goes on there: on another board its first lines would have places that readers are past, and so would its questions.
    pub(crate) fn begun(&self, run: RunId, epoch: u64) -> Option<Arc<Board>> {
        self.get(run).filter(|board| board.lock().lines.head().epoch == epoch)
    }

    pub(crate) fn remove(&self, run: RunId) {
        self.boards.lock().unwrap_or_else(PoisonError::into_inner).remove(&run);
    }
}

#[cfg(test)]
mod tests;
