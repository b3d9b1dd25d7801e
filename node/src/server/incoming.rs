//! Connections as they come in. Each has a place, and nobody waits behind somebody else's handshake.

mod strangers;

use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use dspex_transport::{ServerTls, Stream};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio::time::{Instant, sleep};
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::server::Connected;
use tracing::{debug, warn};

use strangers::{Stranger, Strangers};

pub(super) use strangers::Standing;

/// Connections of a listener; further ones are hung up on.
const CONNECTIONS_MAX: usize = 1024;
/// Connections that wait for the server to take them.
const QUEUE: usize = 16;
/// That there is no place is said no more often than this.
const TELL_EVERY: Duration = Duration::from_secs(60);
/// After a failure to accept, most often for want of file descriptors.
const PAUSE: Duration = Duration::from_millis(50);

/// What is spoken behind a door.
#[derive(Clone, Copy)]
pub(super) enum Language {
    Grpc,
    /// HTTP/1.
    Pages,
}

impl Language {
    /// As ALPN calls it.
    fn protocol(self) -> &'static str {
        match self {
            Self::Grpc => "h2",
            Self::Pages => "http/1.1",
        }
    }

    /// Bytes that a stranger may say.
    fn words_max(self) -> usize {
        match self {
            // The token comes first, but as much as the windows of a new connection take may be on its way behind it.
            Self::Grpc => 2 << 20,
            // A few lines, which the server keeps until the last one has come.
            Self::Pages => 64 << 10,
        }
    }
}

/// A listener, and how those who come are received.
pub(super) struct Door {
    listener: TcpListener,
    tls: Option<ServerTls>,
    language: Language,
}

/// A connection on which a request may come.
pub(super) struct Connection {
    stream: Stream,
    standing: Standing,
    /// Until a request is let in.
    stranger: Option<Stranger>,
    _place: OwnedSemaphorePermit,
}

/// Somebody has come, and is not let in yet.
struct Arrival {
    stream: TcpStream,
    remote: SocketAddr,
    stranger: Stranger,
    place: OwnedSemaphorePermit,
}

/// What the server takes; a connection that fails is never its business.
type Ready = Result<Connection, Infallible>;

impl Door {
    pub(super) fn new(listener: TcpListener, tls: Option<ServerTls>, language: Language) -> Self {
        Self { listener, tls, language }
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

    /// For ever. Dropping it shows out whom nobody knows yet.
    async fn receive(&self, sender: &mpsc::Sender<Ready>) {
        let places = Arc::new(Semaphore::new(CONNECTIONS_MAX));
        let mut told: Option<Instant> = None;
        let mut strangers = Strangers::new(self.language.words_max());
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
            let arrival = Arrival { stream, remote, stranger: strangers.receive(), place };
            match &self.tls {
                None => arrival.enter(sender).await,
                Some(tls) => {
                    // As many as there may be strangers.
                    tokio::spawn(arrival.prove(tls.clone(), self.language.protocol(), sender.clone()));
                }
            }
        }
    }
}

impl Arrival {
    async fn enter(self, sender: &mpsc::Sender<Ready>) {
        let Self { stream, stranger, place, .. } = self;
        // A server that has ended takes nobody.
        let _ = sender.send(Ok(Connection::new(Box::new(stream), stranger, place))).await;
    }

    async fn prove(self, tls: ServerTls, protocol: &'static str, sender: mpsc::Sender<Ready>) {
        let Self { stream, remote, mut stranger, place } = self;
        let proven = tokio::select! {
            biased;
            proven = tls.accept(stream, protocol) => proven,
            () = stranger.end() => Err("it did not finish its handshake".to_owned()),
        };
        match proven {
            Ok(stream) => {
                let _ = sender.send(Ok(Connection::new(stream, stranger, place))).await;
            }
            Err(reason) => debug!(%remote, reason, "a connection did not come about"),
        }
    }
}

impl Connection {
    fn new(stream: Stream, stranger: Stranger, place: OwnedSemaphorePermit) -> Self {
        Self { stream, standing: stranger.standing().clone(), stranger: Some(stranger), _place: place }
    }

    fn stranger(&mut self) -> Option<&mut Stranger> {
        if self.standing.is_let_in() {
            self.stranger = None;
        }
        self.stranger.as_mut()
    }

    /// A step that has to wait is where a stranger is shown out.
    fn bounded<T>(&mut self, context: &mut Context<'_>, step: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        if step.is_pending()
            && let Some(stranger) = self.stranger()
        {
            stranger.is_waited_for(context)?;
        }
        step
    }
}

impl Connected for Connection {
    type ConnectInfo = Standing;

    fn connect_info(&self) -> Standing {
        self.standing.clone()
    }
}

impl AsyncRead for Connection {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let read = Pin::new(&mut self.stream).poll_read(context, buffer);
        if let Some(stranger) = self.stranger() {
            stranger.says(buffer.filled().len().saturating_sub(before))?;
        }
        self.bounded(context, read)
    }
}

impl AsyncWrite for Connection {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(context, bytes);
        self.bounded(context, written)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let flushed = Pin::new(&mut self.stream).poll_flush(context);
        self.bounded(context, flushed)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let shut = Pin::new(&mut self.stream).poll_shutdown(context);
        self.bounded(context, shut)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        parts: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write_vectored(context, parts);
        self.bounded(context, written)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}

#[cfg(test)]
mod tests;
