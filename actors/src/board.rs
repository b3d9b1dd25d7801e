//! What is known of a run in execution beyond the log: prints, warnings, who watches it as its driver, and timing.
//!
//! None of it is replicated: a client that misses it has missed nothing that counts.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use bytes::Bytes;
use dspex_model::RunId;
use tokio::sync::{broadcast, mpsc};

/// Events a slow watcher may be behind before it misses some.
const EVENTS_MAX: usize = 1024;
/// Events that a watcher who comes later still sees.
const LATEST_MAX: usize = 256;
/// Boards of ended runs that are kept for their timing.
const BOARDS_MAX: usize = 256;

/// Something for the watchers of a run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BoardEvent {
    /// The program printed.
    Output {
        /// Which worker.
        worker: String,
        /// What, a line.
        text: String,
        /// Bytes that this worker's budget has left out since its last event.
        dropped_bytes: u64,
    },
    /// A person should know.
    Warning(String),
}

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
    latest: VecDeque<BoardEvent>,
    /// Without an answer yet. A thread waits for each, so there are as many as the run has threads at the most.
    questions: BTreeMap<(String, u64), Question>,
    asked: Option<mpsc::UnboundedSender<Question>>,
}

/// The board of one run.
#[derive(Debug)]
pub struct Board {
    events: broadcast::Sender<BoardEvent>,
    inner: Mutex<Inner>,
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
            latest: VecDeque::new(),
            questions: BTreeMap::new(),
            asked: None,
        };
        Arc::new(Self { events: broadcast::Sender::new(EVENTS_MAX), inner: Mutex::new(inner) })
    }

    /// The latest prints and warnings, and all that follow.
    pub fn subscribe(&self) -> (Vec<BoardEvent>, broadcast::Receiver<BoardEvent>) {
        let inner = self.lock();
        (inner.latest.iter().cloned().collect(), self.events.subscribe())
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

    /// Questions to the driver: those without an answer, then those that follow. The latest to ask for them gets them.
    pub fn questions(&self) -> mpsc::UnboundedReceiver<Question> {
        let (sender, receiver) = mpsc::unbounded_channel();
        let mut inner = self.lock();
        for question in inner.questions.values() {
            // The receiver is in hand.
            let _ = sender.send(question.clone());
        }
        inner.asked = Some(sender);
        receiver
    }

    /// The question has its answer. `false`: it had one already, or its worker is gone.
    pub(crate) fn answered(&self, worker: &str, id: u64) -> bool {
        self.lock().questions.remove(&(worker.to_owned(), id)).is_some()
    }

    pub(crate) fn ask(&self, question: Question) {
        let mut inner = self.lock();
        inner.questions.insert((question.worker.clone(), question.id), question.clone());
        if let Some(asked) = &inner.asked
            && asked.send(question).is_err()
        {
            // Nobody answers now; whoever comes is told all of them.
            inner.asked = None;
        }
    }

    pub(crate) fn forget_questions(&self, worker: &str) {
        self.lock().questions.retain(|(asking, _), _| asking != worker);
    }

    pub(crate) fn publish(&self, event: BoardEvent) {
        let mut inner = self.lock();
        if inner.latest.len() >= LATEST_MAX {
            inner.latest.pop_front();
        }
        inner.latest.push_back(event.clone());
        // Nobody watching is fine.
        let _ = self.events.send(event);
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
        if boards.len() >= BOARDS_MAX {
            // Run ids are ordered by time.
            let oldest = boards.keys().min().copied();
            oldest.map(|oldest| boards.remove(&oldest));
        }
        boards.insert(run, board);
    }

    pub(crate) fn get(&self, run: RunId) -> Option<Arc<Board>> {
        self.boards.lock().unwrap_or_else(PoisonError::into_inner).get(&run).cloned()
    }

    pub(crate) fn remove(&self, run: RunId) {
        self.boards.lock().unwrap_or_else(PoisonError::into_inner).remove(&run);
    }
}
