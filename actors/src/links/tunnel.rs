//! A connection of the coordination channel as the stream of bytes that ractor_cluster wants. Beneath it lies our own session:
//! mutual TLS, heartbeats and the end of a peer that is silent are its, ractor_cluster has none of them.

use bytes::Bytes;
use dspex_transport::{Message, Requests, Session};
use ractor_cluster::{BoxRead, BoxWrite, ClusterBidiStream};
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, ReadHalf, WriteHalf};
use tokio::sync::mpsc;
use tokio::task::AbortHandle;

/// The methods of the coordination channel. Their numbers are on the wire.
/// First: the life of the sender's end.
const LIFE: u8 = 1;
/// A piece of the stream.
const PIECE: u8 = 2;
/// Below the channel's frame.
const PIECE_BYTES: usize = 32 << 10;
const BUFFER_BYTES: usize = 64 << 10;

/// Dropping it ends the connection.
#[derive(Debug)]
pub(super) struct Tunnel {
    session: Session,
    pumps: AbortHandle,
}

impl Drop for Tunnel {
    fn drop(&mut self) {
        self.pumps.abort();
        self.session.close();
    }
}

/// What ractor_cluster is given.
pub(super) struct Opening {
    stream: DuplexStream,
    label: String,
}

impl Tunnel {
    /// `own` is the life of this end, and `meet` is told the peer's: on this connection, which is the peer's for certain.
    pub(super) fn open(
        (session, requests): (Session, Requests),
        label: String,
        own: u64,
        meet: impl FnOnce(u64) + Send + 'static,
    ) -> (Self, Box<Opening>) {
        let (near, far) = tokio::io::duplex(BUFFER_BYTES);
        let (read, write) = tokio::io::split(near);
        // Nobody asks on this channel.
        let (_, mut messages) = requests.split();
        let sending = session.clone();
        let pumps = tokio::spawn(async move {
            if let Some(theirs) = introduce(&sending, &mut messages, own).await {
                meet(theirs);
                // Either end is the end of both; it is told by the end of the stream.
                tokio::select! {
                    () = outwards(read, &sending) => {}
                    () = inwards(messages, write) => {}
                }
            }
            sending.close();
        });
        (Self { session, pumps: pumps.abort_handle() }, Box::new(Opening { stream: far, label }))
    }
}

/// A peer that does not say its life is none; silence ends the session.
async fn introduce(session: &Session, messages: &mut mpsc::Receiver<Message>, own: u64) -> Option<u64> {
    session.send(LIFE, Bytes::copy_from_slice(&own.to_le_bytes())).await.ok()?;
    match messages.recv().await? {
        Message { method: LIFE, body } => Some(u64::from_le_bytes(body.as_ref().try_into().ok()?)),
        Message { .. } => None,
    }
}

async fn outwards(mut from: ReadHalf<DuplexStream>, to: &Session) {
    let mut buffer = vec![0; PIECE_BYTES];
    while let Ok(length @ 1..) = from.read(&mut buffer).await {
        // Waits while the connection's queue is full.
        if to.send(PIECE, Bytes::copy_from_slice(&buffer[..length])).await.is_err() {
            return;
        }
    }
}

async fn inwards(mut from: mpsc::Receiver<Message>, mut to: WriteHalf<DuplexStream>) {
    while let Some(Message { method: PIECE, body }) = from.recv().await {
        if to.write_all(&body).await.is_err() {
            return;
        }
    }
}

impl ClusterBidiStream for Opening {
    fn split(self: Box<Self>) -> (BoxRead, BoxWrite) {
        let (read, write) = tokio::io::split(self.stream);
        (Box::new(read), Box::new(write))
    }

    fn peer_label(&self) -> Option<String> {
        Some(self.label.clone())
    }
}
