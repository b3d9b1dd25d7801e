//! A connection without TLS, whose first byte is looked at: a server that speaks TLS is recognized before a token is sent to it.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tonic::transport::{Channel, Endpoint, Error, Uri};

/// A node that is just starting takes connections before it speaks: then the calls wait for it.
const PATIENCE: Duration = Duration::from_secs(2);
/// The first byte of an alert, and of what else a TLS server says.
const TLS: [u8; 2] = [21, 22];

/// What the other end turned out to speak.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Heard {
    /// Nothing that speaks against HTTP/2, or nothing yet.
    NothingWrong,
    Tls,
    /// It hung up.
    End,
}

/// Connects, and listens to how the other end begins: a server of HTTP/2 says something at once.
pub(crate) async fn connect(endpoint: &Endpoint, authority: &str) -> Result<(Channel, Heard), Error> {
    let (sender, mut first) = mpsc::channel(1);
    let channel = endpoint.connect_with_connector(connector(authority.to_owned(), sender)).await?;
    let heard = tokio::time::timeout(PATIENCE, first.recv()).await;
    Ok((channel, heard.ok().flatten().unwrap_or(Heard::NothingWrong)))
}

fn connector(
    authority: String,
    told: mpsc::Sender<Heard>,
) -> impl tower::Service<Uri, Response = TokioIo<Listening>, Error = io::Error, Future: Send> + Send {
    tower::service_fn(move |_: Uri| {
        let (authority, told) = (authority.clone(), told.clone());
        async move {
            let stream = TcpStream::connect(authority).await?;
            // Requests are small, and must not wait for company.
            let _ = stream.set_nodelay(true);
            Ok::<_, io::Error>(TokioIo::new(Listening { stream, told: Some(told) }))
        }
    })
}

/// Tells what comes first.
struct Listening {
    stream: TcpStream,
    told: Option<mpsc::Sender<Heard>>,
}

impl AsyncRead for Listening {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let read = ready!(Pin::new(&mut self.stream).poll_read(context, buffer));
        if let Some(told) = self.told.take() {
            let heard = match buffer.filled().get(before) {
                Some(first) if TLS.contains(first) => Heard::Tls,
                Some(_) => Heard::NothingWrong,
                None => Heard::End,
            };
            // Of later connections, which replace a lost one, nobody wants to hear.
            let _ = told.try_send(heard);
        }
        Poll::Ready(read)
    }
}

impl AsyncWrite for Listening {
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
