//! One connection, for requests that must arrive in their order. When one is lost, so is the connection.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use openraft::raft::{AppendEntriesRequest, StreamAppendResult};
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, sleep, sleep_until, timeout};
use tokio::{Group, spawn_in};

use super::{CallError, Wires};
use crate::network::{Network, method};
use crate::served::Served;
use crate::settings::CONNECTION_DOWN;
use crate::types::Types;

type Answer = Result<StreamAppendResult<Types>, String>;

/// An append that has arrived, and where its answer goes.
pub(crate) struct Incoming {
    method: u8,
    pub(crate) request: AppendEntriesRequest<Types>,
    pub(crate) answer: oneshot::Sender<Answer>,
}

/// A connection; whoever asks for another one while it works gets it again.
pub(super) struct Connection {
    line: Mutex<Line>,
}

struct Line {
    /// What was sent later arrives later.
    arrives: Instant,
    cable: mpsc::UnboundedSender<(Instant, Incoming)>,
}

impl Connection {
    pub(super) fn is_open(&self) -> bool {
        !self.line.lock().unwrap_or_else(PoisonError::into_inner).cable.is_closed()
    }

    /// What was sent before may arrive; nothing after it does.
    fn lose(&self) {
        self.line.lock().unwrap_or_else(PoisonError::into_inner).cable = mpsc::unbounded_channel().0;
    }

    /// Sends something that takes so long; `None`: it is lost, and the connection with it.
    fn send(&self, takes: Option<Duration>, incoming: Incoming) -> Result<(), CallError> {
        let Some(takes) = takes else {
            self.lose();
            return Err(CallError::Lost);
        };
        let mut line = self.line.lock().unwrap_or_else(PoisonError::into_inner);
        line.arrives = line.arrives.max(Instant::now() + takes);
        line.cable.send((line.arrives, incoming)).map_err(|_| CallError::Lost)
    }
}

/// The sender's end of a connection.
pub(crate) struct Session {
    network: Network,
    to: u64,
    connection: Arc<Connection>,
}

/// An append that is on its way.
pub(crate) struct Pending {
    answer: oneshot::Receiver<Answer>,
    connection: Arc<Connection>,
    wires: Wires,
    from: u64,
    to: u64,
}

impl Session {
    /// Connects to a node, or finds the connection that there is.
    pub(crate) async fn open(network: Network, to: u64, limit: Duration) -> Result<Self, CallError> {
        let (wires, from) = (network.world.wires.clone(), network.node);
        if let Some(connection) = wires.connection(from, to) {
            return Ok(Self { network, to, connection });
        }
        let served = wires.connected(from, to, limit).await?;
        let passage = wires.passage();
        timeout(limit, sleep(passage.takes)).await.map_err(|_| CallError::TimedOut)?;
        if passage.lost {
            return Err(CallError::Unreachable);
        }
        let (cable, sent) = mpsc::unbounded_channel();
        let (deliver, delivered) = mpsc::unbounded_channel();
        spawn_in(Group(to), Arc::clone(&served).receive(delivered));
        spawn_in(Group::WORLD, carry(wires.clone(), from, to, served.incarnation, sent, deliver));
        let connection = Arc::new(Connection { line: Mutex::new(Line { arrives: Instant::now(), cable }) });
        wires.keep_connection(from, to, &connection);
        Ok(Self { network, to, connection })
    }

    /// Sends a request.
    #[expect(clippy::unused_async, reason = "that of the transport waits for room")]
    pub(crate) async fn begin(&self, method: u8, request: AppendEntriesRequest<Types>) -> Result<Pending, CallError> {
        self.network.leads(&request.vote);
        let wires = self.network.world.wires.clone();
        let passage = wires.passage();
        let (sender, answer) = oneshot::channel();
        let incoming = Incoming { method, request, answer: sender };
        self.connection.send((!passage.lost).then_some(passage.takes), incoming)?;
        Ok(Pending { answer, connection: Arc::clone(&self.connection), wires, from: self.network.node, to: self.to })
    }
}

impl Pending {
    /// Waits for the answer, which has its own way back.
    pub(crate) async fn within(self, limit: Duration) -> Result<StreamAppendResult<Types>, CallError> {
        let Self { answer, connection, wires, from, to } = self;
        let back = async {
            let answer = answer.await.map_err(|_| CallError::Lost)?;
            if wires.carry(to, from).await {
                return answer.map_err(CallError::Failed);
            }
            connection.lose();
            Err(CallError::Lost)
        };
        timeout(limit, back).await.unwrap_or(Err(CallError::TimedOut))
    }
}

/// Delivers in order. A cut holds everything up; after a while the connection is given up.
async fn carry(
    wires: Wires,
    from: u64,
    to: u64,
    incarnation: u64,
    mut sent: mpsc::UnboundedReceiver<(Instant, Incoming)>,
    deliver: mpsc::UnboundedSender<Incoming>,
) {
    while let Some((arrives, incoming)) = sent.recv().await {
        sleep_until(arrives).await;
        if !wires.mended(from, to, CONNECTION_DOWN).await {
            return;
        }
        let Some(served) = wires.served_still(to, incarnation) else { return };
        if incoming.method == method::HEARTBEAT {
            spawn_in(Group(to), beat(served, incoming));
        } else if deliver.send(incoming).is_err() {
            return;
        }
    }
}

/// Answered beside the appends, not among them.
async fn beat(served: Arc<Served>, Incoming { request, answer, .. }: Incoming) {
    // The sender may have given up.
    let _ = answer.send(served.heartbeat(request).await);
}
