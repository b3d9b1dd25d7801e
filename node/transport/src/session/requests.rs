//! What a peer asks and tells, for those who serve it.

use std::sync::Arc;

use bytes::Bytes;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, TryAcquireError, mpsc};

use super::{Queued, Session};
use crate::channel::WhenFull;
use crate::error::CallError;
use crate::frame::{Code, Frame};

/// Where the reader puts what came.
pub(super) struct Inbound {
    requests: mpsc::UnboundedSender<Request>,
    messages: mpsc::Sender<Message>,
    /// Requests of the peer that may still be begun here.
    places: Arc<Semaphore>,
}

pub(super) fn inbound(session: &Session) -> (Inbound, Requests) {
    let policy = session.shared.policy;
    // Unbounded, but each request in it holds one of the places.
    let (requests, request_receiver) = mpsc::unbounded_channel();
    let (messages, message_receiver) = mpsc::channel(policy.queue);
    let places = Arc::new(Semaphore::new(policy.in_flight));
    (Inbound { requests, messages, places }, Requests { requests: request_receiver, messages: message_receiver })
}

impl Inbound {
    /// `Err`: nobody serves this connection.
    pub(super) fn request(&self, session: &Session, id: u64, method: u8, body: Bytes) -> Result<(), ()> {
        let responder = Responder { id: Some(id), session: session.clone() };
        match Arc::clone(&self.places).try_acquire_owned() {
            Ok(place) => {
                let request = Request { method, body, responder, _place: place };
                self.requests.send(request).map_err(|_| ())
            }
            Err(_) => {
                session.shared.counts.refused();
                responder.refuse_now(Code::Full, "");
                Ok(())
            }
        }
    }

    pub(super) async fn message(&self, session: &Session, method: u8, body: Bytes) -> Result<(), ()> {
        let message = Message { method, body };
        if session.shared.policy.when_full == WhenFull::Wait {
            return self.messages.send(message).await.map_err(|_| ());
        }
        match self.messages.try_send(message) {
            Ok(()) => Ok(()),
            Err(mpsc::error::TrySendError::Full(_)) => {
                session.shared.counts.dropped();
                Ok(())
            }
            Err(mpsc::error::TrySendError::Closed(_)) => Err(()),
        }
    }
}

/// What a peer sends on one connection, in its order. Dropping it ends the connection.
#[derive(Debug)]
pub struct Requests {
    requests: mpsc::UnboundedReceiver<Request>,
    messages: mpsc::Receiver<Message>,
}

impl Requests {
    /// The next request; `None` when the connection has ended.
    pub async fn next(&mut self) -> Option<Request> {
        self.requests.recv().await
    }

    /// The next message; `None` when the connection has ended.
    pub async fn next_message(&mut self) -> Option<Message> {
        self.messages.recv().await
    }

    /// The requests and the messages, for two who serve them.
    pub fn split(self) -> (mpsc::UnboundedReceiver<Request>, mpsc::Receiver<Message>) {
        (self.requests, self.messages)
    }
}

/// Something that nobody answers.
#[derive(Debug)]
pub struct Message {
    /// What it is.
    pub method: u8,
    /// What it says.
    pub body: Bytes,
}

/// Something that a peer waits for.
#[derive(Debug)]
pub struct Request {
    /// What is asked.
    pub method: u8,
    /// With what.
    pub body: Bytes,
    responder: Responder,
    _place: OwnedSemaphorePermit,
}

impl Request {
    /// Answers. A peer that is gone hears nothing.
    pub async fn reply(mut self, body: Bytes) {
        let Some(id) = self.responder.id.take() else { return };
        let session = self.responder.session.clone();
        if let Err(CallError::TooLong { length, limit }) = session.fits(body.len()) {
            let text = format!("the reply takes {length} bytes, the channel carries {limit}");
            return self.responder.refuse(id, Code::Failed, text).await;
        }
        session.answer(Frame::Reply { id, body }).await;
    }

    /// Says that it failed, and why.
    pub async fn fail(mut self, text: impl Into<String>) {
        if let Some(id) = self.responder.id.take() {
            self.responder.refuse(id, Code::Failed, text.into()).await;
        }
    }
}

#[derive(Debug)]
struct Responder {
    /// `None`: it has been answered.
    id: Option<u64>,
    session: Session,
}

impl Responder {
    async fn refuse(&self, id: u64, code: Code, text: String) {
        self.session.answer(Frame::Refusal { id, code, text }).await;
    }

    /// Without waiting for room: where there is none, the peer's time limit tells it.
    fn refuse_now(mut self, code: Code, text: &str) {
        self.tell(code, text);
    }

    fn tell(&mut self, code: Code, text: &str) {
        let Some(id) = self.id.take() else { return };
        let bytes = Frame::Refusal { id, code, text: text.to_owned() }.encode();
        let shared = &self.session.shared;
        let size = u32::try_from(bytes.len()).unwrap_or(u32::MAX);
        let is_lost = match Arc::clone(&shared.room).try_acquire_many_owned(size) {
            Ok(room) => {
                let queued = Queued { bytes, _room: room, _waits: shared.counts.waits() };
                matches!(shared.outgoing.try_send(queued), Err(mpsc::error::TrySendError::Full(_)))
            }
            // Where the connection has ended nobody waits for an answer.
            Err(error) => matches!(error, TryAcquireError::NoPermits),
        };
        if is_lost {
            shared.counts.dropped();
        }
    }
}

impl Drop for Responder {
    fn drop(&mut self) {
        self.tell(Code::Failed, "the request was dropped where it was served");
    }
}
