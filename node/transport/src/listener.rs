//! Where peers come in. A stranger gets no further than its hello, and not for long.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{sleep, timeout};

use crate::detector::Health;
use crate::hello::{self, Hello, Reason, Refusal};
use crate::session::Session;
use crate::stream::{Stream, read_short, write_short};
use crate::transport::Shared;

/// After a failure to accept, most often for want of file descriptors.
const PAUSE: Duration = Duration::from_millis(50);

/// For as long as the transport lives.
pub(crate) async fn run(listener: TcpListener, shared: Arc<Shared>) {
    let connections = Arc::new(Semaphore::new(shared.limits.connections));
    let handshakes = Arc::new(Semaphore::new(shared.limits.handshakes));
    loop {
        // Without a place nobody is accepted: the rest waits in the kernel's queue, which has a limit.
        let Ok(handshake) = Arc::clone(&handshakes).acquire_owned().await else { return };
        let Ok(place) = Arc::clone(&connections).acquire_owned().await else { return };
        match listener.accept().await {
            Ok((stream, address)) => {
                tokio::spawn(serve(Arc::clone(&shared), stream, address, handshake, place));
            }
            Err(error) => {
                tracing::warn!(%error, "a peer's connection could not be accepted");
                sleep(PAUSE).await;
            }
        }
    }
}

async fn serve(
    shared: Arc<Shared>,
    stream: TcpStream,
    address: SocketAddr,
    handshake: OwnedSemaphorePermit,
    place: OwnedSemaphorePermit,
) {
    let _ = stream.set_nodelay(true);
    let session = match timeout(shared.limits.handshake, welcome(&shared, stream)).await {
        Ok(Ok(session)) => session,
        Ok(Err(reason)) => {
            tracing::debug!(%address, reason, "a connection to the peer port was turned away");
            return;
        }
        Err(_) => {
            tracing::debug!(%address, "a connection to the peer port did not finish its handshake");
            return;
        }
    };
    drop(handshake);
    let mut health = session.health();
    let _ = health.wait_for(|health| *health == Health::Down).await;
    drop(place);
}

async fn welcome(shared: &Arc<Shared>, stream: TcpStream) -> Result<Session, String> {
    let mut stream = shared.protection.accept(stream).await?;
    let bytes = read_short(&mut stream).await.map_err(|error| error.to_string())?;
    let hello = Hello::decode(&bytes).ok_or("it did not begin with a hello")?;
    let own = shared.identity();
    let (channel, welcome) = match hello::judge(&hello, &own) {
        Ok(welcomed) => welcomed,
        Err(refusal) => return turn_away(&mut stream, refusal).await,
    };
    if hello.from.node == own.node {
        let text = format!("node {} calls itself, or two nodes have its number: see cluster.join", own.node);
        return turn_away(&mut stream, Refusal { reason: Reason::Node, text }).await;
    }
    write_short(&mut stream, &hello::encode_answer(&Ok(welcome))).await.map_err(|error| error.to_string())?;
    let (session, requests) = Session::start(stream, hello.from, channel, &shared.limits);
    shared.established(session.clone(), requests);
    Ok(session)
}

async fn turn_away(stream: &mut Stream, refusal: Refusal) -> Result<Session, String> {
    let text = refusal.text.clone();
    // Best effort: it is told why if it listens.
    let _ = write_short(stream, &hello::encode_answer(&Err(refusal))).await;
    Err(text)
}
