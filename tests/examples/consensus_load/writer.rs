//! Steady writes, as many independent clients make them: one begins every few milliseconds, at the nodes in turn, whatever became
//! of those before. So a gap is seen as long as it is, and not as long as one client's time limit.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::Semaphore;
use tokio::task::JoinHandle;
use tokio::time::{MissedTickBehavior, interval};

use crate::Failure;
use crate::system::{Connection, value};

const EVERY: Duration = Duration::from_millis(5);
const CALL_LIMIT: Duration = Duration::from_secs(1);
/// Of the one that makes the key, before anything is measured.
const CREATE_LIMIT: Duration = Duration::from_secs(15);
/// As many as can begin within the limit, and some more.
const UNDER_WAY_MAX: usize = 300;
const KEY: &str = "gap";

/// A write that was acknowledged.
#[derive(Clone, Copy)]
pub struct Written {
    pub begun: Instant,
    pub acknowledged: Instant,
}

/// It writes until it is stopped.
pub struct Writer {
    record: Arc<Mutex<Record>>,
    task: JoinHandle<()>,
}

/// What has become of the writes so far.
#[derive(Clone, Default)]
pub struct Record {
    pub written: Vec<Written>,
    pub failures: usize,
    pub last_failure: Option<String>,
}

impl Writer {
    /// Writes through these connections.
    pub async fn start(connections: Vec<Connection>) -> Result<Self, Failure> {
        let first = connections.first().ok_or("there is nobody to write to")?;
        first.create(KEY, &value(), CREATE_LIMIT).await?;
        let record = Arc::new(Mutex::new(Record::default()));
        let task = tokio::spawn(write(connections, Arc::clone(&record)));
        Ok(Self { record, task })
    }

    /// Whether a write was acknowledged that had begun after this time.
    pub fn goes_on_since(&self, since: Instant) -> bool {
        let record = self.record.lock().unwrap_or_else(PoisonError::into_inner);
        record.written.iter().rev().any(|write| write.begun > since)
    }

    pub fn record(&self) -> Record {
        self.record.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn write(connections: Vec<Connection>, record: Arc<Mutex<Record>>) {
    let places = Arc::new(Semaphore::new(UNDER_WAY_MAX));
    let mut ticks = interval(EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
    for connection in connections.iter().cycle() {
        ticks.tick().await;
        let Ok(place) = Arc::clone(&places).acquire_owned().await else { return };
        let (connection, record) = (connection.clone(), Arc::clone(&record));
        tokio::spawn(async move {
            let begun = Instant::now();
            let outcome = connection.write(KEY, &value(), CALL_LIMIT).await;
            let acknowledged = Instant::now();
            let mut record = record.lock().unwrap_or_else(PoisonError::into_inner);
            match outcome {
                Ok(()) => record.written.push(Written { begun, acknowledged }),
                Err(status) => {
                    record.failures += 1;
                    record.last_failure = Some(status.to_string());
                }
            }
            drop(place);
        });
    }
}
