//! Where peers come in. A stranger gets no further than its hello, and not for long.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::{AbortHandle, JoinSet};
use tokio::time::{Instant, sleep, timeout};

use crate::detector::Health;
use crate::hello::{self, Hello, Reason, Refusal};
use crate::session::Session;
use crate::stream::{Stream, read_short, write_short};
use crate::transport::Shared;

/// After a failure to accept, most often for want of file descriptors.
const PAUSE: Duration = Duration::from_millis(50);
/// That there is no place is said no more often than this.
const TELL_EVERY: Duration = Duration::from_secs(60);

/// For as long as the transport lives. Dropping it ends the handshakes that are under way.
pub(crate) async fn run(listener: TcpListener, shared: Arc<Shared>) {
    let places = Arc::new(Semaphore::new(shared.limits.connections));
    let mut handshakes = Handshakes::new(shared.limits.handshakes);
    let mut told: Option<Instant> = None;
    loop {
        let (stream, address) = match listener.accept().await {
            Ok(accepted) => accepted,
            Err(error) => {
                tracing::warn!(%error, "a peer's connection could not be accepted");
                sleep(PAUSE).await;
                continue;
            }
        };
        let Ok(place) = Arc::clone(&places).try_acquire_owned() else {
            if told.is_none_or(|told| told.elapsed() >= TELL_EVERY) {
                let open = shared.limits.connections;
                tracing::warn!(%address, "{open} connections of peers are open: further ones are hung up on");
                told = Some(Instant::now());
            }
            continue;
        };
        handshakes.begin(receive(Arc::clone(&shared), stream, address, place));
    }
}

/// Handshakes under way, the oldest first. One too many takes the place of the oldest, which was the slowest: strangers who say
/// nothing keep no peer waiting.
struct Handshakes {
    most: usize,
    tasks: JoinSet<()>,
    order: VecDeque<AbortHandle>,
}

impl Handshakes {
    fn new(most: usize) -> Self {
        Self { most, tasks: JoinSet::new(), order: VecDeque::new() }
    }

    fn begin(&mut self, handshake: impl Future<Output = ()> + Send + 'static) {
        while self.tasks.try_join_next().is_some() {}
        self.order.retain(|task| !task.is_finished());
        if self.order.len() >= self.most
            && let Some(oldest) = self.order.pop_front()
        {
            oldest.abort();
        }
        self.order.push_back(self.tasks.spawn(handshake));
    }
}

async fn receive(shared: Arc<Shared>, stream: TcpStream, address: SocketAddr, place: OwnedSemaphorePermit) {
    let _ = stream.set_nodelay(true);
    match timeout(shared.limits.handshake, welcome(&shared, stream)).await {
        Ok(Ok(session)) => {
            // No handshake any more, but a place it has until its end.
            tokio::spawn(async move {
                let mut health = session.health();
                let _ = health.wait_for(|health| *health == Health::Down).await;
                drop(place);
            });
        }
        Ok(Err(reason)) => {
            tracing::debug!(%address, reason, "a connection to the peer port was turned away");
        }
        Err(_) => {
            tracing::debug!(%address, "a connection to the peer port did not finish its handshake");
        }
    }
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
    let (session, requests) = Session::start(stream, hello.from, channel, &shared.limits, &shared.traffic);
    shared.established(session.clone(), requests);
    Ok(session)
}

async fn turn_away(stream: &mut Stream, refusal: Refusal) -> Result<Session, String> {
    let text = refusal.text.clone();
    // Best effort: it is told why if it listens.
    let _ = write_short(stream, &hello::encode_answer(&Err(refusal))).await;
    Err(text)
}
