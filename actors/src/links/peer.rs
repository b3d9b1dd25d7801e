//! What is known of a peer's connection.

use dspex_transport::{Requests, Session};
use ractor::ActorRef;

use super::inbox::InboxMessage;
use super::line::Line;
use super::tunnel::{Opening, Tunnel};

/// ractor_cluster must have shaken hands, or have noticed an end, within this time.
const UP_WITHIN_MS: u64 = 10_000;

#[derive(Debug, Default)]
pub(super) struct Peer {
    pub connection: Option<Connection>,
    /// Takes its place once it has ended.
    pub next: Option<(Session, Requests)>,
}

impl Peer {
    pub(super) fn is_up(&self) -> bool {
        self.connection.as_ref().is_some_and(Connection::is_up)
    }
}

#[derive(Debug)]
pub(super) struct Connection {
    /// What ractor_cluster calls it in what it says of it.
    pub label: String,
    /// `None`: it is being given up.
    pub tunnel: Option<Tunnel>,
    /// ractor_cluster's number of it.
    pub system: Option<u64>,
    /// The peer's inbox.
    pub inbox: Option<ActorRef<InboxMessage>>,
    pub line: Line,
    /// It began, or was given up.
    since_ms: u64,
}

impl Connection {
    /// `meet` is told the life of the peer's end.
    pub(super) fn open(
        next: (Session, Requests),
        label: String,
        now_ms: u64,
        meet: impl FnOnce(u64) + Send + 'static,
    ) -> (Self, Box<Opening>) {
        // Drawn at random: a packet that names it is of a peer that was told it.
        let own = uuid::Uuid::new_v4().as_u64_pair().1;
        let (tunnel, opening) = Tunnel::open(next, label.clone(), own, meet);
        let line = Line::new(own);
        let connection = Self { label, tunnel: Some(tunnel), system: None, inbox: None, line, since_ms: now_ms };
        (connection, opening)
    }

    /// Messages can be put on it.
    pub(super) fn is_up(&self) -> bool {
        self.tunnel.is_some() && self.inbox.is_some() && self.line.has_met()
    }

    /// It was up once, so somebody may rely on it.
    pub(super) fn was_up(&self) -> bool {
        self.inbox.is_some() && self.line.has_met()
    }

    /// Ends the connection beneath. `false`: that was done before.
    pub(super) fn let_go(&mut self, now_ms: u64) -> bool {
        self.since_ms = if self.tunnel.is_some() { now_ms } else { self.since_ms };
        self.tunnel.take().is_some()
    }

    /// It was ended long ago, and ractor_cluster has not said so.
    pub(super) fn is_forgotten(&self, now_ms: u64) -> bool {
        self.tunnel.is_none() && now_ms.saturating_sub(self.since_ms) >= UP_WITHIN_MS
    }

    /// It does not come about, or nothing is taken any more.
    pub(super) fn is_stuck(&self, now_ms: u64) -> bool {
        let is_late = !self.was_up() && now_ms.saturating_sub(self.since_ms) >= UP_WITHIN_MS;
        self.tunnel.is_some() && (is_late || self.line.is_stuck(now_ms))
    }
}
