//! Concurrent clients that write and read sessions while things break, and write down what they asked and learned.
//!
//! | File | Does |
//! |---|---|
//! | `call` | writes to a session by code that is called in it |
//! | `lifetime` | makes sessions that end by themselves, and looks when they are gone |
//! | `plan` | what a client does next (pure) |
//! | `answer` | what an error says of a request: refused, not executed, or nobody knows (pure) |
//! | `client` | one client: sends, sends again under the same request id, writes down |

mod answer;
mod call;
mod client;
mod lifetime;
mod plan;

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::task::JoinHandle;

pub use lifetime::Lifetime;

use crate::stopwatch::Stopwatch;
use crate::target::Target;
use crate::{History, Operation};

/// What the clients of a run do.
#[derive(Clone, Debug)]
pub struct Traffic {
    /// All chance comes from it.
    pub seed: u64,
    /// How many clients, each with one operation at a time.
    pub clients: u64,
    /// Operations a second of all clients together, at most.
    pub per_second: u64,
    /// Keys in use at a time.
    pub keys: u64,
    /// After so many operations a key gives way to a fresh one: what the checker searches stays small.
    pub operations_per_key: u64,
    /// How long one sending of a request may take.
    pub attempt: Duration,
    /// How long an operation may take, with all its sendings; what is not known then is unknown.
    pub operation: Duration,
    /// What can be called in sessions: it puts its argument `value` into the session's data. With it some writes are such calls,
    /// and some sessions end by their lifetimes.
    pub command: Option<String>,
}

/// Clients at work.
#[derive(Debug)]
pub struct Clients {
    tasks: Vec<JoinHandle<()>>,
    shared: Arc<Shared>,
    target: Target,
}

/// What the clients of a run share.
#[derive(Debug)]
struct Shared {
    traffic: Traffic,
    stopwatch: Stopwatch,
    /// Of this run alone: keys are absent when it begins.
    run: String,
    /// Operations on each key in use, ever.
    slots: Vec<AtomicU64>,
    stopped: AtomicBool,
    operations: Mutex<Vec<Operation>>,
    /// Calls in sessions that were answered.
    calls: AtomicU64,
    lifetimes: Mutex<Vec<Lifetime>>,
}

impl Traffic {
    /// Eight clients on sixteen keys, so that clients meet and a key is not too much for the checker.
    pub fn new(seed: u64) -> Self {
        Self {
            seed,
            clients: 8,
            per_second: 400,
            keys: 16,
            operations_per_key: 100,
            attempt: Duration::from_secs(2),
            operation: Duration::from_secs(6),
            command: None,
        }
    }

    /// Lets the clients work until they are stopped.
    pub fn start(&self, target: &Target, stopwatch: Stopwatch) -> Clients {
        let shared = Arc::new(Shared {
            traffic: self.clone(),
            stopwatch,
            run: format!("chaos-{}", uuid::Uuid::now_v7().simple()),
            slots: (0..self.keys.max(1)).map(|_| AtomicU64::new(0)).collect(),
            stopped: AtomicBool::new(false),
            operations: Mutex::new(Vec::new()),
            calls: AtomicU64::new(0),
            lifetimes: Mutex::new(Vec::new()),
        });
        let client = |number| client::Client::new(number, target.clone(), Arc::clone(&shared));
        let mut tasks: Vec<_> = (0..self.clients).map(|number| target.runtime().spawn(client(number).work())).collect();
        if self.command.is_some() {
            let watchers = self.clients + 1..=self.clients + lifetime::WATCHERS;
            tasks.extend(watchers.map(|number| target.runtime().spawn(lifetime::watch(client(number)))));
        }
        Clients { tasks, shared, target: target.clone() }
    }
}

impl Clients {
    /// How many operations have ended so far.
    pub fn operations(&self) -> usize {
        self.shared.operations.lock().unwrap_or_else(PoisonError::into_inner).len()
    }

    /// Lets each client end its operation, then reads every key once more.
    pub fn stop(self, final_reads: Duration) -> Recording {
        let ended_ns = self.shared.stopwatch.now_ns();
        self.shared.stopped.store(true, Ordering::Relaxed);
        self.target.runtime().block_on(async {
            for task in self.tasks {
                // A client that panicked has recorded what it could; its key shows what is missing.
                let _ = task.await;
            }
        });
        let healed_ns = self.shared.stopwatch.now_ns();
        let reader = client::Client::new(self.shared.traffic.clients, self.target.clone(), Arc::clone(&self.shared));
        let keys = self.shared.keys();
        let unread = self.target.runtime().block_on(reader.read_all(keys, final_reads));
        let operations = std::mem::take(&mut *self.shared.operations.lock().unwrap_or_else(PoisonError::into_inner));
        let history = History::new(operations).expect("clients write down what can be answered");
        let calls = self.shared.calls.load(Ordering::Relaxed);
        let lifetimes = std::mem::take(&mut *self.shared.lifetimes.lock().unwrap_or_else(PoisonError::into_inner));
        Recording { history, ended_ns, healed_ns, unread, calls, lifetimes }
    }
}

/// What the clients of a run learned.
#[derive(Clone, Debug)]
pub struct Recording {
    /// All operations, the final reads among them.
    pub history: History,
    /// When the clients were told to stop, after all faults.
    pub ended_ns: u64,
    /// When the final reads began, after all faults and all other clients.
    pub healed_ns: u64,
    /// Keys whose final read was not answered in time.
    pub unread: Vec<String>,
    /// How many calls in sessions were answered.
    pub calls: u64,
    /// Sessions that were left to end by themselves.
    pub lifetimes: Vec<Lifetime>,
}

impl Shared {
    /// The key of a slot for one more operation, and its number.
    fn next_key(&self, slot: usize) -> (String, u64) {
        let number = self.slots[slot].fetch_add(1, Ordering::Relaxed) / self.traffic.operations_per_key.max(1);
        (self.key(slot, number), number)
    }

    fn key(&self, slot: usize, number: u64) -> String {
        format!("{}-{slot}-{number}", self.run)
    }

    /// Every key that was used.
    fn keys(&self) -> Vec<String> {
        let used = |slot: &AtomicU64| slot.load(Ordering::Relaxed).div_ceil(self.traffic.operations_per_key.max(1));
        let slots = self.slots.iter().enumerate();
        slots.flat_map(|(slot, operations)| (0..used(operations)).map(move |number| self.key(slot, number))).collect()
    }

    fn record(&self, operation: Operation) {
        self.operations.lock().unwrap_or_else(PoisonError::into_inner).push(operation);
    }
}
