//! The connection to one peer on one channel, dialled again whenever it is lost.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::net::{TcpStream, lookup_host};
use tokio::sync::watch;
use tokio::task::AbortHandle;
use tokio::time::{Instant, sleep, timeout, timeout_at};

use crate::channel::Channel;
use crate::detector::Health;
use crate::error::{CallError, ConnectError};
use crate::hello::{self, Hello, Identity};
use crate::session::Session;
use crate::stream::{read_short, write_short};
use crate::transport::Shared;

pub use crate::session::Pending;

/// A connection that comes back; clones share it. Dropping the last one ends it.
#[derive(Debug, Clone)]
pub struct Link {
    state: watch::Receiver<State>,
    _dialler: Arc<Dialler>,
}

#[derive(Debug, Clone)]
enum State {
    /// An attempt is under way.
    Connecting,
    Up(Session),
    /// Until the next attempt; why the last one failed.
    Waiting(String),
}

#[derive(Debug)]
struct Dialler(AbortHandle);

impl Drop for Dialler {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// Whom a link leads to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Target {
    /// 0: whoever is there.
    pub(crate) node: u64,
    /// HOST:PORT, resolved at each attempt.
    pub(crate) address: String,
    pub(crate) channel: Channel,
}

impl Link {
    pub(crate) fn dial(shared: Arc<Shared>, target: Target) -> Self {
        let (sender, state) = watch::channel(State::Connecting);
        let task = tokio::spawn(keep(shared, target, sender));
        Self { state, _dialler: Arc::new(Dialler(task.abort_handle())) }
    }

    /// Asks, and waits for the reply.
    ///
    /// # Errors
    /// See [`CallError`].
    pub async fn call(&self, method: u8, body: Bytes, limit: Duration) -> Result<Bytes, CallError> {
        let deadline = Instant::now() + limit;
        let begin = async { self.session(limit).await?.begin(method, body).await };
        // Before it is queued nothing has been sent.
        let begun = timeout_at(deadline, begin).await;
        let pending = begun.unwrap_or_else(|_| Err(CallError::Unreachable("not sent in time".to_owned())))?;
        timeout_at(deadline, pending).await.unwrap_or(Err(CallError::TimedOut))
    }

    /// The connection as it is now. Waits for an attempt that is under way, not for the next one: who asks can try
    /// another peer meanwhile.
    ///
    /// # Errors
    /// [`CallError::Unreachable`] with the reason of the last attempt.
    pub async fn session(&self, limit: Duration) -> Result<Session, CallError> {
        let mut state = self.state.clone();
        let decided =
            async { state.wait_for(|state| !matches!(state, State::Connecting)).await.map(|state| state.clone()) };
        match timeout(limit, decided).await {
            Ok(Ok(State::Up(session))) => Ok(session),
            Ok(Ok(State::Waiting(reason))) => Err(CallError::Unreachable(reason)),
            Ok(Ok(State::Connecting) | Err(_)) => Err(CallError::Unreachable("the link has ended".to_owned())),
            Err(_) => Err(CallError::Unreachable("no connection in time".to_owned())),
        }
    }

    /// Whether there is a connection now.
    pub fn is_up(&self) -> bool {
        matches!(*self.state.borrow(), State::Up(_))
    }
}

/// Dials, waits for the end, pauses, dials again.
async fn keep(shared: Arc<Shared>, target: Target, state: watch::Sender<State>) {
    let limits = shared.limits.clone();
    let mut pause = limits.first_pause;
    let mut was_up = false;
    loop {
        state.send_replace(State::Connecting);
        let reason = match connect(&shared, &target).await {
            Ok(session) => {
                pause = limits.first_pause;
                if was_up {
                    shared.traffic.counts(target.channel).reconnected();
                }
                was_up = true;
                let closing = CloseOnDrop(session.clone());
                state.send_replace(State::Up(session.clone()));
                let mut health = session.health();
                // The session keeps the sender.
                let _ = health.wait_for(|health| *health == Health::Down).await;
                drop(closing);
                "the connection was lost".to_owned()
            }
            Err(error) => error.to_string(),
        };
        tracing::debug!(
            peer = target.node,
            address = target.address,
            channel = target.channel.name(),
            reason,
            "no connection"
        );
        state.send_replace(State::Waiting(reason));
        sleep(pause).await;
        pause = (pause * 2).min(limits.longest_pause);
    }
}

/// Ends the connection when its link is dropped while it is up.
struct CloseOnDrop(Session);

impl Drop for CloseOnDrop {
    fn drop(&mut self) {
        self.0.close();
    }
}

async fn connect(shared: &Arc<Shared>, target: &Target) -> Result<Session, ConnectError> {
    let attempt = attempt(shared, target);
    match timeout(shared.limits.handshake, attempt).await {
        Ok(result) => result,
        Err(_) => Err(ConnectError::TooSlow(target.address.clone())),
    }
}

async fn attempt(shared: &Arc<Shared>, target: &Target) -> Result<Session, ConnectError> {
    let address = &target.address;
    let tcp = dial(address).await?;
    let host = address.rsplit_once(':').map_or(address.as_str(), |(host, _)| host);
    let host = host.trim_start_matches('[').trim_end_matches(']');
    let secured = shared.protection.connect(host, tcp).await;
    let mut stream = secured.map_err(|detail| ConnectError::Tls { address: address.clone(), detail })?;
    let hello =
        Hello { versions: hello::VERSIONS, channel: target.channel as u8, from: shared.identity(), to: target.node };
    let no_node = |_| ConnectError::NoNode(address.clone());
    write_short(&mut stream, &hello.encode()).await.map_err(no_node)?;
    let answer = read_short(&mut stream).await.map_err(no_node)?;
    let answer = hello::decode_answer(&answer).ok_or_else(|| ConnectError::NoNode(address.clone()))?;
    let welcome = answer.map_err(|refusal| ConnectError::Refused(refusal.text))?;
    if let Some(text) = unexpected(&welcome.node, target, &hello.from) {
        return Err(ConnectError::Refused(text));
    }
    let (session, requests) = Session::start(stream, welcome.node, target.channel, &shared.limits, &shared.traffic);
    shared.established(session.clone(), requests);
    Ok(session)
}

/// The caller checks as well: an older peer may not have.
fn unexpected(found: &Identity, target: &Target, own: &Identity) -> Option<String> {
    if target.node != 0 && found.node != target.node {
        return Some(format!("at {} is node {}, not node {}", target.address, found.node, target.node));
    }
    match (&found.cluster, &own.cluster) {
        (Some(theirs), Some(ours)) if theirs != ours => {
            Some(format!("at {} is a node of cluster {theirs}, not of {ours}", target.address))
        }
        _ => None,
    }
}

/// The first of the name's addresses that answers.
async fn dial(address: &str) -> Result<TcpStream, ConnectError> {
    let resolve = |source| ConnectError::Resolve { address: address.to_owned(), source };
    let mut failure = None;
    for found in lookup_host(address).await.map_err(resolve)? {
        match TcpStream::connect(found).await {
            Ok(stream) => {
                // Small frames must not wait for company; where it cannot be set, they do.
                let _ = stream.set_nodelay(true);
                return Ok(stream);
            }
            Err(source) => failure = Some(ConnectError::Connect { address: found, source }),
        }
    }
    Err(failure.unwrap_or_else(|| resolve(std::io::Error::other("the name has no address"))))
}
