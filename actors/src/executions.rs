//! Executions that have ended, on their way into the log. Nobody waits for that: whoever has executed takes a place for the record,
//! fills it and goes on.
//!
//! ```text
//! a call's end ─► place ─► queue ─► what has gathered ─► blobs, synced on a majority ─► the log
//! ```
//!
//! There are so many places, and a large record takes several: where the log is slower than the calls, their answers wait for a
//! place. A call that still waits for a worker holds none. Where the log takes nothing, because there is no quorum, calls go on without records, which is counted and said: a pool is of use without
//! a log. What is still queued when a node is killed is not recorded.

mod calls;
mod converting;
mod recording;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bytes::Bytes;
use dspex_model::{ExecutionId, ExecutionStatus, SessionId};
use dspex_telemetry::names;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tracing::warn;
use uuid::Uuid;

pub(crate) use self::calls::CallUnderWay;
pub use self::calls::CalledBy;
pub(crate) use self::recording::{Recorder, record_all};

/// Records on their way.
const PLACES: usize = 1024;
/// A record takes one more place for each so many bytes, as long as there are any.
const PLACE_BYTES: usize = 64 * 1024;
/// How long the end of a call waits for a place, while the log takes records.
const PLACE_LIMIT: Duration = Duration::from_secs(2);
/// Between looks whether all is recorded.
const SETTLE_LOOK_EVERY: Duration = Duration::from_millis(5);

/// An execution that has ended, as whoever executed it tells it. Long texts are cut, and large values become blobs.
#[derive(Clone, Debug)]
pub struct ExecutionRecord {
    /// Its id: the same one is recorded once.
    pub id: ExecutionId,
    /// The program's key; the command's name where no program was executed.
    pub program: String,
    /// The program's own id, where it has one.
    pub program_id: Option<Uuid>,
    /// The program's version, where it has one.
    pub program_version: Option<u64>,
    /// The session that it belongs to.
    pub session: Option<SessionId>,
    /// How it ended.
    pub status: ExecutionStatus,
    /// What was given, JSON.
    pub input: Bytes,
    /// What came out, JSON.
    pub output: Option<Bytes>,
    /// What happened on the way, JSON.
    pub trace: Option<Bytes>,
    /// What was measured, a JSON object; empty: nothing.
    pub metrics: String,
    /// Why it has no output: the class and the message.
    pub error: Option<(String, String)>,
    /// How long it took.
    pub duration: Duration,
    /// How long it waited before.
    pub queued: Duration,
    /// The worker; empty: none had it yet.
    pub worker: String,
    /// Who asked for it: the name of a token, or of the local user.
    pub actor: Option<String>,
    /// W3C trace context of the caller.
    pub traceparent: Option<String>,
}

impl ExecutionRecord {
    /// An execution that has just ended, of which nothing else is known.
    pub fn new(program: impl Into<String>, status: ExecutionStatus) -> Self {
        Self {
            id: Uuid::now_v7().into(),
            program: program.into(),
            program_id: None,
            program_version: None,
            session: None,
            status,
            input: Bytes::new(),
            output: None,
            trace: None,
            metrics: String::new(),
            error: None,
            duration: Duration::ZERO,
            queued: Duration::ZERO,
            worker: String::new(),
            actor: None,
            traceparent: None,
        }
    }
}

/// What is queued.
#[derive(Debug)]
pub(crate) enum Told {
    /// As it is.
    Record(Box<ExecutionRecord>),
    /// A call, whose JSON is looked into where nobody waits for it.
    Call(Box<calls::CallTold>),
}

impl Told {
    /// Bytes of its values.
    fn bytes(&self) -> usize {
        match self {
            Self::Record(record) => {
                let more = [&record.output, &record.trace].into_iter().flatten();
                record.input.len() + more.map(Bytes::len).sum::<usize>()
            }
            Self::Call(call) => call.bytes(),
        }
    }
}

/// A record that waits, and the places that it takes.
#[derive(Debug)]
pub(crate) struct Queued {
    told: Told,
    _places: OwnedSemaphorePermit,
}

/// A handle to the recorder of a node's executions; clones are the same one.
#[derive(Clone, Debug)]
pub struct Executions {
    queue: mpsc::Sender<Queued>,
    places: Arc<Semaphore>,
    place_limit: Duration,
    standing: Arc<Standing>,
}

/// How it stands with the log.
#[derive(Debug, Default)]
struct Standing {
    /// It takes nothing at the moment.
    is_stalled: AtomicBool,
    /// Executions are left out at the moment.
    leaves_out: AtomicBool,
}

/// A place for one record. Dropped, it is free again.
#[derive(Debug)]
pub struct Place {
    queue: mpsc::Sender<Queued>,
    all: Arc<Semaphore>,
    own: OwnedSemaphorePermit,
}

impl Executions {
    /// A handle, and what takes the records of all its clones.
    pub(crate) fn new() -> (Self, Recorder) {
        let (queue, queued) = mpsc::channel(PLACES);
        let standing = Arc::<Standing>::default();
        let recorder = Recorder::new(queued, Arc::clone(&standing));
        (Self { queue, places: Arc::new(Semaphore::new(PLACES)), place_limit: PLACE_LIMIT, standing }, recorder)
    }

    /// A place for the record of an execution that has ended. It waits a little where there is none; `None`: the execution is not
    /// recorded, which is counted.
    pub async fn reserve(&self) -> Option<Place> {
        let permit = match Arc::clone(&self.places).try_acquire_owned() {
            Ok(permit) => Some(permit),
            Err(_) if self.standing.is_stalled.load(Ordering::Relaxed) => None,
            Err(_) => {
                let wait = tokio::time::timeout(self.place_limit, Arc::clone(&self.places).acquire_owned());
                wait.await.ok().and_then(Result::ok)
            }
        };
        self.place(permit)
    }

    /// The same for those who cannot wait.
    pub(crate) fn reserve_now(&self) -> Option<Place> {
        self.place(Arc::clone(&self.places).try_acquire_owned().ok())
    }

    fn place(&self, permit: Option<OwnedSemaphorePermit>) -> Option<Place> {
        match permit {
            Some(own) => {
                self.standing.leaves_out.store(false, Ordering::Relaxed);
                Some(Place { queue: self.queue.clone(), all: Arc::clone(&self.places), own })
            }
            None => {
                names::EXECUTIONS_RECORDED.with(["left_out"]).increment(1);
                if !self.standing.leaves_out.swap(true, Ordering::Relaxed) {
                    warn!("executions go on without being recorded: {PLACES} records wait for the log already");
                }
                None
            }
        }
    }

    /// Records an execution that has ended. It returns when it is queued; `false`: it is not recorded.
    pub async fn record(&self, record: ExecutionRecord) -> bool {
        let place = self.reserve().await;
        let has_place = place.is_some();
        if let Some(place) = place {
            place.record(record);
        }
        has_place
    }

    /// Waits until what is queued is recorded and no place is taken, at most so long.
    pub async fn settle(&self, limit: Duration) {
        let settled = async {
            while self.places.available_permits() < PLACES {
                tokio::time::sleep(SETTLE_LOOK_EVERY).await;
            }
        };
        if tokio::time::timeout(limit, settled).await.is_err() {
            let left = PLACES - self.places.available_permits();
            warn!(left, "the node ends before all of its executions are recorded");
        }
    }
}

impl Place {
    /// Fills it. Nobody waits for anything.
    pub fn record(self, record: ExecutionRecord) {
        self.fill(Told::Record(Box::new(record)));
    }

    pub(crate) fn fill(self, told: Told) {
        let Self { queue, all, mut own } = self;
        let more = (told.bytes() / PLACE_BYTES).min(all.available_permits());
        if let Ok(more) = all.try_acquire_many_owned(u32::try_from(more).unwrap_or(0)) {
            own.merge(more);
        }
        // As many are queued as there are places, at the most. A recorder that is gone records nothing: the node stops.
        let _ = queue.try_send(Queued { told, _places: own });
    }
}

#[cfg(test)]
mod tests;
