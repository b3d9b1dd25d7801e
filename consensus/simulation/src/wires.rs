//! What lies between nodes: cables that take time, lose messages, and can be cut in one direction or both.
//!
//! Nodes talk over TCP. So a message is never doubled and, within one connection, never overtakes another; but it may be
//! lost together with its connection, and it may arrive long after its sender has given up: a cut cable keeps what is on
//! its way, and brings it when it is mended.

mod session;

use std::collections::BTreeMap;
use std::future::Future;
use std::ops::Range;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::oneshot;
use tokio::time::{sleep, timeout};
use tokio::{Group, Random, spawn_in};

use self::session::Connection;
pub(crate) use self::session::{Incoming, Session};
use crate::served::Served;
use crate::settings::{CONNECTION_DOWN, Settings};

/// How often somebody looks whether a cable is mended.
const MENDED_PAUSE: Duration = Duration::from_millis(20);

/// How long a cut cable keeps a message at the most.
const KEPT: Duration = Duration::from_secs(6);

/// Why a request has no answer, in the words of dspex-transport.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum CallError {
    /// It was not sent.
    Unreachable,
    /// It may have been executed.
    TimedOut,
    /// It may have been executed.
    Lost,
    /// The other side refused it.
    Failed(String),
}

impl std::fmt::Display for CallError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Unreachable => f.write_str("the node cannot be reached"),
            Self::TimedOut => f.write_str("no answer within the time limit"),
            Self::Lost => f.write_str("the connection was lost"),
            Self::Failed(detail) => write!(f, "the node refused: {detail}"),
        }
    }
}

impl std::error::Error for CallError {}

/// All cables; clones share them.
#[derive(Clone)]
pub(crate) struct Wires {
    state: Arc<Mutex<State>>,
}

struct State {
    random: Random,
    delay: Range<Duration>,
    lost_per_mille: u64,
    late_per_mille: u64,
    late: Range<Duration>,
    /// Faults add to what the settings say.
    more_lost_per_mille: u64,
    slower: Duration,
    /// How many faults cut a cable.
    cut: BTreeMap<(u64, u64), u32>,
    /// Nodes that take requests.
    served: BTreeMap<u64, Arc<Served>>,
    /// One for all that a node has to say to another in their order.
    connections: BTreeMap<(u64, u64), Arc<Connection>>,
}

/// What becomes of a message.
pub(crate) struct Passage {
    pub(crate) takes: Duration,
    pub(crate) lost: bool,
}

impl Wires {
    pub(crate) fn new(seed: u64, settings: &Settings) -> Self {
        let state = State {
            random: Random::stream(seed, "wires"),
            delay: settings.delay.clone(),
            lost_per_mille: settings.lost_per_mille,
            late_per_mille: settings.late_per_mille,
            late: settings.late.clone(),
            more_lost_per_mille: 0,
            slower: Duration::ZERO,
            cut: BTreeMap::new(),
            served: BTreeMap::new(),
            connections: BTreeMap::new(),
        };
        Self { state: Arc::new(Mutex::new(state)) }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// From here on a node takes requests, or, with `None`, not any more.
    pub(crate) fn serve(&self, node: u64, served: Option<Arc<Served>>) {
        let mut state = self.state();
        let ended: Vec<_> = state.connections.extract_if(.., |(from, to), _| *from == node || *to == node).collect();
        let before = match served {
            Some(served) => state.served.insert(node, served),
            None => state.served.remove(&node),
        };
        drop(state);
        drop((before, ended));
    }

    /// The connection from one node to another, if there is one that nobody knows to be lost.
    fn connection(&self, from: u64, to: u64) -> Option<Arc<Connection>> {
        self.state().connections.get(&(from, to)).filter(|connection| connection.is_open()).cloned()
    }

    fn keep_connection(&self, from: u64, to: u64, connection: &Arc<Connection>) {
        let before = self.state().connections.insert((from, to), Arc::clone(connection));
        drop(before);
    }

    pub(crate) fn served(&self, node: u64) -> Option<Arc<Served>> {
        self.state().served.get(&node).cloned()
    }

    /// The node, if it has not been started anew since.
    fn served_still(&self, node: u64, incarnation: u64) -> Option<Arc<Served>> {
        self.served(node).filter(|served| served.incarnation == incarnation)
    }

    pub(crate) fn cut(&self, from: u64, to: u64) {
        *self.state().cut.entry((from, to)).or_default() += 1;
    }

    pub(crate) fn mend(&self, from: u64, to: u64) {
        let mut state = self.state();
        if let Some(faults) = state.cut.get_mut(&(from, to)) {
            *faults -= 1;
            if *faults == 0 {
                state.cut.remove(&(from, to));
            }
        }
    }

    fn is_cut(&self, from: u64, to: u64) -> bool {
        self.state().cut.contains_key(&(from, to))
    }

    /// Faults of all cables: more messages are lost, all are slower.
    pub(crate) fn disturb(&self, more_lost_per_mille: u64, slower: Duration) {
        let mut state = self.state();
        (state.more_lost_per_mille, state.slower) = (more_lost_per_mille, slower);
    }

    /// Everything works from here on, and nothing is lost any more. What was cut is mended by who has cut it.
    pub(crate) fn calm(&self) {
        let mut state = self.state();
        (state.lost_per_mille, state.late_per_mille) = (0, 0);
        (state.more_lost_per_mille, state.slower) = (0, Duration::ZERO);
    }

    fn passage(&self) -> Passage {
        let mut state = self.state();
        let State { random, delay, late, late_per_mille, slower, .. } = &mut *state;
        let mut takes = random.time(delay.clone()) + *slower;
        if random.per_mille(*late_per_mille) {
            takes += random.time(late.clone());
        }
        let lost_per_mille = state.lost_per_mille + state.more_lost_per_mille;
        Passage { takes, lost: state.random.per_mille(lost_per_mille) }
    }

    fn draw(&self, below: Duration) -> Duration {
        self.state().random.time(Duration::ZERO..below)
    }

    fn coin(&self) -> bool {
        self.state().random.per_mille(500)
    }

    /// Brings one message; `false` when it was lost.
    async fn carry(&self, from: u64, to: u64) -> bool {
        let passage = self.passage();
        sleep(passage.takes).await;
        if passage.lost {
            return false;
        }
        if !self.is_cut(from, to) {
            return true;
        }
        let kept = if self.coin() { self.draw(KEPT) } else { Duration::ZERO };
        self.mended(from, to, kept).await
    }

    /// Whether a cable is mended within a time.
    async fn mended(&self, from: u64, to: u64, within: Duration) -> bool {
        let mended = async {
            while self.is_cut(from, to) {
                sleep(MENDED_PAUSE).await;
            }
        };
        timeout(within, mended).await.is_ok()
    }

    /// Whether somebody listens at the other end. It takes a round trip to find out.
    async fn connected(&self, from: u64, to: u64, limit: Duration) -> Result<Arc<Served>, CallError> {
        // Half of those that are cut are not known to be yet: the connection is older than the cut.
        if (self.is_cut(from, to) || self.is_cut(to, from)) && self.coin() {
            sleep(limit.min(CONNECTION_DOWN)).await;
            return Err(CallError::Unreachable);
        }
        match self.served(to) {
            Some(served) => Ok(served),
            None => {
                sleep(self.passage().takes).await;
                Err(CallError::Unreachable)
            }
        }
    }

    /// Asks a node. What it does for the answer is done in its own group: it ends with the node.
    pub(crate) async fn call<R, F, Answer>(&self, from: u64, to: u64, limit: Duration, serve: F) -> Result<R, CallError>
    where
        R: Send + 'static,
        F: FnOnce(Arc<Served>) -> Answer + Send + 'static,
        Answer: Future<Output = Result<R, String>> + Send + 'static,
    {
        let incarnation = self.connected(from, to, limit).await?.incarnation;
        let (sender, receiver) = oneshot::channel();
        let wires = self.clone();
        spawn_in(Group::WORLD, async move {
            if let Some(answer) = wires.bring(from, to, incarnation, serve).await {
                // The asker may be gone.
                let _ = sender.send(answer);
            } else {
                // Nobody tells the asker; it notices the silence some time.
                sleep(wires.draw(CONNECTION_DOWN)).await;
                drop(sender);
            }
        });
        match timeout(limit, receiver).await {
            Ok(Ok(answer)) => answer.map_err(CallError::Failed),
            Ok(Err(_)) => Err(CallError::Lost),
            Err(_) => Err(CallError::TimedOut),
        }
    }

    /// There and back; `None` when something was lost on the way.
    async fn bring<R, F, Answer>(&self, from: u64, to: u64, incarnation: u64, serve: F) -> Option<Result<R, String>>
    where
        R: Send + 'static,
        F: FnOnce(Arc<Served>) -> Answer,
        Answer: Future<Output = Result<R, String>> + Send + 'static,
    {
        if !self.carry(from, to).await {
            return None;
        }
        let served = self.served_still(to, incarnation)?;
        let answer = spawn_in(Group(to), serve(served)).await.ok()?;
        self.carry(to, from).await.then_some(answer)
    }
}
