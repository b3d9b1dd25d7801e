//! Connections as they come in. Each has a place, and nobody waits behind somebody else's handshake.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use dspex_transport::{ServerTls, Stream};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio::task::{AbortHandle, JoinSet};
use tokio::time::{Instant, sleep, timeout};
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::server::{Connected, TcpConnectInfo};
use tracing::{debug, warn};

/// For TLS and the caller's first word.
const HANDSHAKE: Duration = Duration::from_secs(5);
/// Connections of a listener; further ones are hung up on.
const CONNECTIONS_MAX: usize = 1024;
/// Of these, so many may be in their handshake. One more takes the place of the oldest, which was the slowest: strangers who say
/// nothing keep nobody out.
const HANDSHAKES_MAX: usize = 128;
/// Connections that wait for the server to take them.
const QUEUE: usize = 16;
/// That there is no place is said no more often than this.
const TELL_EVERY: Duration = Duration::from_secs(60);
/// After a failure to accept, most often for want of file descriptors.
const PAUSE: Duration = Duration::from_millis(50);

/// A listener, and how those who come are received.
pub(super) struct Door {
    listener: TcpListener,
    tls: Option<ServerTls>,
    /// What is spoken behind it, as ALPN calls it.
    protocol: &'static str,
}

/// A connection on which a request may come.
pub(super) struct Connection {
    stream: Stream,
    ends: TcpConnectInfo,
    _place: OwnedSemaphorePermit,
}

/// Somebody has come, and is not let in yet.
struct Arrival {
    stream: TcpStream,
    ends: TcpConnectInfo,
    place: OwnedSemaphorePermit,
}

/// What the server takes; a connection that fails is never its business.
type Ready = Result<Connection, Infallible>;

impl Door {
    pub(super) fn new(listener: TcpListener, tls: Option<ServerTls>, protocol: &'static str) -> Self {
        Self { listener, tls, protocol }
    }

    /// Those who come until `end`, as they become ready.
    pub(super) fn open(self, end: impl Future<Output = ()> + Send + 'static) -> ReceiverStream<Ready> {
        let (sender, receiver) = mpsc::channel(QUEUE);
        tokio::spawn(async move {
            tokio::select! {
                () = end => {}
                () = sender.closed() => {}
                () = self.receive(&sender) => {}
            }
        });
        ReceiverStream::new(receiver)
    }

    /// For ever. Dropping it ends the handshakes that are under way.
    async fn receive(&self, sender: &mpsc::Sender<Ready>) {
        let places = Arc::new(Semaphore::new(CONNECTIONS_MAX));
        let mut told: Option<Instant> = None;
        let mut handshakes = Handshakes::default();
        loop {
            let (stream, remote) = match self.listener.accept().await {
                Ok(accepted) => accepted,
                Err(error) => {
                    warn!(%error, "a connection could not be accepted");
                    sleep(PAUSE).await;
                    continue;
                }
            };
            let Ok(place) = Arc::clone(&places).try_acquire_owned() else {
                if told.is_none_or(|told| told.elapsed() >= TELL_EVERY) {
                    warn!(%remote, "{CONNECTIONS_MAX} connections are open: further ones are hung up on");
                    told = Some(Instant::now());
                }
                continue;
            };
            // Answers are small, and must not wait for company.
            let _ = stream.set_nodelay(true);
            let ends = TcpConnectInfo { local_addr: stream.local_addr().ok(), remote_addr: Some(remote) };
            let arrival = Arrival { stream, ends, place };
            match &self.tls {
                None => arrival.enter(sender).await,
                Some(tls) => handshakes.begin(arrival.prove(tls.clone(), self.protocol, sender.clone())),
            }
        }
    }
}

impl Arrival {
    async fn enter(self, sender: &mpsc::Sender<Ready>) {
        let Self { stream, ends, place } = self;
        // A server that has ended takes nobody.
        let _ = sender.send(Ok(Connection { stream: Box::new(stream), ends, _place: place })).await;
    }

    async fn prove(self, tls: ServerTls, protocol: &'static str, sender: mpsc::Sender<Ready>) {
        let Self { stream, ends, place } = self;
        match timeout(HANDSHAKE, tls.accept(stream, protocol)).await {
            Ok(Ok(stream)) => {
                let _ = sender.send(Ok(Connection { stream, ends, _place: place })).await;
            }
            Ok(Err(reason)) => debug!(remote = ?ends.remote_addr, reason, "a connection did not come about"),
            Err(_) => debug!(remote = ?ends.remote_addr, "a connection did not finish its handshake"),
        }
    }
}

/// Handshakes under way, the oldest first.
#[derive(Default)]
struct Handshakes {
    tasks: JoinSet<()>,
    order: VecDeque<AbortHandle>,
}

impl Handshakes {
    fn begin(&mut self, handshake: impl Future<Output = ()> + Send + 'static) {
        while self.tasks.try_join_next().is_some() {}
        self.order.retain(|task| !task.is_finished());
        if self.order.len() >= HANDSHAKES_MAX
            && let Some(oldest) = self.order.pop_front()
        {
            oldest.abort();
        }
        self.order.push_back(self.tasks.spawn(handshake));
    }
}

impl Connected for Connection {
    type ConnectInfo = TcpConnectInfo;

    fn connect_info(&self) -> TcpConnectInfo {
        self.ends.clone()
    }
}

impl AsyncRead for Connection {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

impl AsyncWrite for Connection {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        parts: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(context, parts)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}

#[cfg(test)]
mod tests;
