//! One connection after its handshake: requests in both directions, replies, messages, heartbeats.
//!
//! A reader and a writer task share it. The reader never waits for those it reads for, so a heartbeat is always heard:
//! a request beyond the peer's bound is refused, a message beyond it is dropped and counted, except where the channel
//! waits; there the connection's own flow control stops the sender.

mod reader;
mod requests;
mod writer;

use std::collections::HashMap;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot, watch};

use crate::channel::{Channel, Policy, WhenFull};
use crate::detector::{Detector, Health};
use crate::error::CallError;
use crate::frame::{Frame, HEADER};
use crate::hello::Identity;
use crate::settings::Limits;
use crate::stream::Stream;
use crate::traffic::{Counts, Traffic, Waits};

pub use self::requests::{Message, Request, Requests};

type Answer = Result<Bytes, CallError>;

/// A connection to a peer; clones share it.
#[derive(Debug, Clone)]
pub struct Session {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    peer: Identity,
    channel: Channel,
    policy: Policy,
    outgoing: mpsc::Sender<Queued>,
    /// Bytes that may still be queued.
    room: Arc<Semaphore>,
    /// Requests that may still be begun.
    credits: Arc<Semaphore>,
    waiting: Mutex<Waiting>,
    health: watch::Sender<Health>,
    counts: Arc<Counts>,
}

#[derive(Debug, Default)]
struct Waiting {
    last_id: u64,
    answers: HashMap<u64, oneshot::Sender<Answer>>,
    /// Why the connection has ended.
    ended: Option<String>,
}

#[derive(Debug)]
struct Queued {
    bytes: Bytes,
    _room: OwnedSemaphorePermit,
    _waits: Waits,
}

impl Session {
    /// Starts the tasks of a connection whose handshake is done.
    pub(crate) fn start(
        stream: Stream,
        peer: Identity,
        channel: Channel,
        limits: &Limits,
        traffic: &Traffic,
    ) -> (Self, Requests) {
        let policy = channel.policy();
        let (outgoing, queue) = mpsc::channel(policy.queue);
        let session = Self {
            shared: Arc::new(Shared {
                peer,
                channel,
                policy,
                outgoing,
                room: Arc::new(Semaphore::new(policy.queue_bytes)),
                credits: Arc::new(Semaphore::new(policy.in_flight)),
                waiting: Mutex::default(),
                health: watch::channel(Health::Up).0,
                counts: Arc::clone(traffic.counts(channel)),
            }),
        };
        let (inbound, requests) = requests::inbound(&session);
        let (read_half, write_half) = tokio::io::split(stream);
        let detector = Detector { suspect_ms: milliseconds(limits.suspect), down_ms: milliseconds(limits.down) };
        let reading = reader::run(session.clone(), read_half, inbound, detector);
        let writing = writer::run(write_half, queue, limits.heartbeat);
        let ending = session.clone();
        tokio::spawn(async move {
            let reason = tokio::select! {
                reason = reading => reason,
                reason = writing => reason,
                () = ending.closed_here() => "closed here".to_owned(),
            };
            ending.end(&reason);
        });
        (session, requests)
    }

    /// Who is at the other end.
    pub fn peer(&self) -> &Identity {
        &self.shared.peer
    }

    /// What the connection is for.
    pub fn channel(&self) -> Channel {
        self.shared.channel
    }

    /// How it is, from now on.
    pub fn health(&self) -> watch::Receiver<Health> {
        self.shared.health.subscribe()
    }

    /// Ends it. What waits for a reply fails with an unknown outcome.
    pub fn close(&self) {
        self.end("closed here");
    }

    /// Puts a request on its way. Requests of one caller are begun there in the order in which this returned.
    ///
    /// # Errors
    /// Nothing was sent.
    pub async fn begin(&self, method: u8, body: Bytes) -> Result<Pending, CallError> {
        self.fits(body.len())?;
        let begun = self.try_begin(method, body).await;
        if matches!(begun, Err(CallError::Full)) {
            self.shared.counts.refused();
        }
        begun
    }

    async fn try_begin(&self, method: u8, body: Bytes) -> Result<Pending, CallError> {
        let waits = self.shared.counts.waits();
        let credit = self.permit(&self.shared.credits, 1).await?;
        let pending = self.register(credit)?;
        self.enqueue(Frame::Request { id: pending.id, method, body }, waits).await?;
        Ok(pending)
    }

    /// Sends a message that nobody answers.
    ///
    /// # Errors
    /// Nothing was sent. On a channel that drops, a full queue is no error.
    pub async fn send(&self, method: u8, body: Bytes) -> Result<(), CallError> {
        self.fits(body.len())?;
        match self.enqueue(Frame::Message { method, body }, self.shared.counts.waits()).await {
            Err(CallError::Full) if self.shared.policy.when_full == WhenFull::Drop => {
                self.shared.counts.dropped();
                Ok(())
            }
            Err(CallError::Full) => {
                self.shared.counts.refused();
                Err(CallError::Full)
            }
            result => result,
        }
    }

    /// Answers the peer. What finds no room is lost: the peer's time limit tells it.
    async fn answer(&self, frame: Frame) {
        if let Err(CallError::Full) = self.enqueue(frame, self.shared.counts.waits()).await {
            self.shared.counts.dropped();
        }
    }

    fn fits(&self, body: usize) -> Result<(), CallError> {
        let (length, limit) = (body + HEADER, self.shared.policy.frame_max);
        if length > limit { Err(CallError::TooLong { length, limit }) } else { Ok(()) }
    }

    fn register(&self, credit: OwnedSemaphorePermit) -> Result<Pending, CallError> {
        let mut waiting = self.waiting();
        if let Some(reason) = &waiting.ended {
            return Err(CallError::Unreachable(reason.clone()));
        }
        waiting.last_id += 1;
        let id = waiting.last_id;
        let (sender, answer) = oneshot::channel();
        waiting.answers.insert(id, sender);
        Ok(Pending { id, answer, session: self.clone(), _credit: credit })
    }

    async fn enqueue(&self, frame: Frame, waits: Waits) -> Result<(), CallError> {
        let bytes = frame.encode();
        // Never more than the whole queue, see the test of the policies.
        let size = bytes.len().min(self.shared.policy.queue_bytes);
        let room = self.permit(&self.shared.room, size).await?;
        let queued = Queued { bytes, _room: room, _waits: waits };
        if self.shared.policy.when_full == WhenFull::Wait {
            self.shared.outgoing.send(queued).await.map_err(|_| self.unreachable())
        } else {
            self.shared.outgoing.try_send(queued).map_err(|error| match error {
                mpsc::error::TrySendError::Full(_) => CallError::Full,
                mpsc::error::TrySendError::Closed(_) => self.unreachable(),
            })
        }
    }

    async fn permit(&self, of: &Arc<Semaphore>, count: usize) -> Result<OwnedSemaphorePermit, CallError> {
        let of = Arc::clone(of);
        let count = u32::try_from(count).unwrap_or(u32::MAX);
        if self.shared.policy.when_full == WhenFull::Wait {
            return of.acquire_many_owned(count).await.map_err(|_| self.unreachable());
        }
        of.try_acquire_many_owned(count).map_err(|error| match error {
            tokio::sync::TryAcquireError::NoPermits => CallError::Full,
            tokio::sync::TryAcquireError::Closed => self.unreachable(),
        })
    }

    fn unreachable(&self) -> CallError {
        CallError::Unreachable(self.waiting().ended.clone().unwrap_or_else(|| "the connection has ended".to_owned()))
    }

    fn answered(&self, id: u64, answer: Answer) {
        let waiting = self.waiting().answers.remove(&id);
        if let Some(waiting) = waiting {
            // Else nobody waits any more.
            let _ = waiting.send(answer);
        }
    }

    /// Fails what waits, and refuses what comes.
    fn end(&self, reason: &str) {
        let answers = {
            let mut waiting = self.waiting();
            waiting.ended.get_or_insert_with(|| reason.to_owned());
            std::mem::take(&mut waiting.answers)
        };
        for answer in answers.into_values() {
            let _ = answer.send(Err(CallError::Lost(reason.to_owned())));
        }
        self.shared.room.close();
        self.shared.credits.close();
        self.shared.health.send_replace(Health::Down);
    }

    /// Returns once `close` was called.
    async fn closed_here(&self) {
        let mut health = self.health();
        // The sender lives as long as this session.
        let _ = health.wait_for(|health| *health == Health::Down).await;
    }

    fn waiting(&self) -> std::sync::MutexGuard<'_, Waiting> {
        self.shared.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn milliseconds(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

/// A request that is under way. Dropped, its reply is not waited for; it may be executed all the same.
#[derive(Debug)]
pub struct Pending {
    id: u64,
    answer: oneshot::Receiver<Answer>,
    session: Session,
    _credit: OwnedSemaphorePermit,
}

impl Pending {
    /// The reply, for which this waits so long.
    ///
    /// # Errors
    /// See [`CallError`].
    pub async fn within(self, limit: Duration) -> Result<Bytes, CallError> {
        tokio::time::timeout(limit, self).await.unwrap_or(Err(CallError::TimedOut))
    }
}

impl Future for Pending {
    type Output = Answer;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Answer> {
        Pin::new(&mut self.answer)
            .poll(context)
            .map(|answer| answer.unwrap_or_else(|_| Err(CallError::Lost("the connection has ended".to_owned()))))
    }
}

impl Drop for Pending {
    fn drop(&mut self) {
        self.session.waiting().answers.remove(&self.id);
    }
}
