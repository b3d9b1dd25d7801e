//! The links of this node: how it and its peers give each other orders and reports, over ractor_cluster on the coordination
//! channel (docs/adr/0024).
//!
//! ```text
//! session (node/transport: TLS, heartbeats) -> tunnel (bytes) -> ractor_cluster -> inbox (packets) -> line (messages)
//! ```
//! A line that is lost is said to those who rely on it; what was on its way counts as lost, and is planned again.

mod cluster;
mod inbox;
mod line;
mod packet;
mod peer;
mod tunnel;

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, OnceLock, PoisonError, RwLock};
use std::time::{Duration, Instant};

use dspex_model::{NodeId, PEER_MESSAGE_BYTES_MAX, PeerMessage, Presence};
use dspex_transport::{Channel, Requests, Serve, Session};
use ractor::pg::GroupChangeMessage;
use ractor::{Actor, ActorCell, ActorId, ActorProcessingErr, ActorRef, SupervisionEvent};
use ractor_cluster::{NodeServerMessage, RactorMessage};
use tracing::{debug, info, warn};

use crate::context::NodeContext;
use inbox::{GROUP, Inbox, InboxMessage};
use line::Heard;
use peer::{Connection, Peer};

/// Lines are looked at this often.
const TICK: Duration = Duration::from_millis(250);
/// Between two words of how this node is.
const PRESENCE_EVERY: Duration = Duration::from_secs(1);

/// What a line brings, to whom it concerns.
#[derive(Debug)]
pub(crate) enum LinkEvent {
    /// The node says this.
    Said(NodeId, PeerMessage),
    /// Nothing comes from the node any more, and what was on its way to it may be lost.
    Lost(NodeId),
}

/// Who hears of it. `false`: it is gone.
pub(crate) type Audience = Box<dyn Fn(LinkEvent) -> bool + Send + Sync>;

#[derive(RactorMessage)]
pub(crate) enum LinksMessage {
    /// A connection has come about.
    Connected(Session, Requests),
    /// The life of a peer's end.
    Met {
        label: String,
        theirs: u64,
    },
    /// ractor_cluster calls it by this number.
    Named {
        label: String,
        system: u64,
    },
    /// ractor_cluster has given it up.
    Disconnected {
        label: String,
    },
    /// From a peer, over its connection.
    Packet(Vec<u8>),
    /// For a peer.
    Tell(NodeId, Vec<u8>),
    Tick,
}

/// A handle; clones share it. An embedded node's leads nowhere.
#[derive(Clone, Debug, Default)]
pub struct Links {
    actor: Arc<OnceLock<ActorRef<LinksMessage>>>,
    presences: Arc<RwLock<BTreeMap<NodeId, Presence>>>,
    run_workers: Arc<RwLock<BTreeMap<NodeId, u32>>>,
}

impl Links {
    /// Puts a message on its way. When it is lost, so is the line, and that is said. `false`: it is too long, or there are no links.
    pub(crate) fn tell(&self, node: NodeId, message: &PeerMessage) -> bool {
        let Some(actor) = self.actor.get() else { return false };
        match message.encode() {
            Ok(bytes) => actor.cast(LinksMessage::Tell(node, bytes)).is_ok(),
            Err(error) => {
                warn!(peer = %node, %error, "a message for a peer cannot be sent");
                false
            }
        }
    }

    /// The peers that have said how they are, on lines that live.
    pub(crate) fn presences(&self) -> BTreeMap<NodeId, Presence> {
        self.presences.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// How many workers of runs the peer has, as it has said on a line that lives.
    pub(crate) fn run_workers(&self, node: NodeId) -> Option<u32> {
        self.run_workers.read().unwrap_or_else(PoisonError::into_inner).get(&node).copied()
    }

    fn note_run_workers(&self, node: NodeId, count: Option<u32>) {
        let mut run_workers = self.run_workers.write().unwrap_or_else(PoisonError::into_inner);
        match count {
            Some(count) => run_workers.insert(node, count),
            None => run_workers.remove(&node),
        };
    }

    fn note(&self, node: NodeId, presence: Option<Presence>) {
        let mut presences = self.presences.write().unwrap_or_else(PoisonError::into_inner);
        match presence {
            Some(presence) => presences.insert(node, presence),
            None => presences.remove(&node),
        };
    }
}

impl Serve for Links {
    /// Both ends come here, whoever has dialled.
    fn serve(&self, session: Session, requests: Requests) {
        if let Some(actor) = self.actor.get() {
            // Links that are gone drop it, and the connection ends.
            let _ = actor.cast(LinksMessage::Connected(session, requests));
        }
    }
}

pub(crate) struct LinksActor;

pub(crate) struct LinksArguments {
    pub context: Arc<NodeContext>,
    pub audience: Vec<Audience>,
}

pub(crate) struct LinksState {
    context: Arc<NodeContext>,
    audience: Vec<Audience>,
    server: ActorRef<NodeServerMessage>,
    peers: BTreeMap<NodeId, Peer>,
    /// Inboxes of connections by ractor_cluster's number, until both are known.
    inboxes: HashMap<u64, ActorCell>,
    connections: u64,
    started: Instant,
    /// When this node last said how it is, and whether it drained then.
    said: Option<(Instant, bool)>,
}

impl Actor for LinksActor {
    type Msg = LinksMessage;
    type State = LinksState;
    type Arguments = LinksArguments;

    async fn pre_start(
        &self,
        myself: ActorRef<LinksMessage>,
        LinksArguments { context, audience }: LinksArguments,
    ) -> Result<LinksState, ActorProcessingErr> {
        let name = format!("{}-{}", context.parts.node, uuid::Uuid::now_v7());
        let server = cluster::serve(name, &myself).await?;
        ractor::pg::monitor(GROUP.to_owned(), myself.get_cell());
        Actor::spawn_linked(None, Inbox, myself.clone(), myself.get_cell()).await?;
        myself.send_interval(TICK, || LinksMessage::Tick);
        // The tree is started once.
        let _ = context.links.actor.set(myself);
        Ok(LinksState {
            context,
            audience,
            server,
            peers: BTreeMap::new(),
            inboxes: HashMap::new(),
            connections: 0,
            started: Instant::now(),
            said: None,
        })
    }

    async fn handle(
        &self,
        myself: ActorRef<LinksMessage>,
        message: LinksMessage,
        state: &mut LinksState,
    ) -> Result<(), ActorProcessingErr> {
        match message {
            LinksMessage::Connected(session, requests) => state.connected(&myself, session, requests),
            LinksMessage::Met { label, theirs } => state.met(&label, theirs),
            LinksMessage::Named { label, system } => state.named(&label, system),
            LinksMessage::Disconnected { label } => state.disconnected(&myself, &label),
            LinksMessage::Packet(bytes) => state.packet(&bytes),
            LinksMessage::Tell(node, bytes) => state.tell(node, &bytes),
            LinksMessage::Tick => state.tick(&myself),
        }
        Ok(())
    }

    async fn handle_supervisor_evt(
        &self,
        _: ActorRef<LinksMessage>,
        event: SupervisionEvent,
        state: &mut LinksState,
    ) -> Result<(), ActorProcessingErr> {
        match event {
            SupervisionEvent::ProcessGroupChanged(GroupChangeMessage::Join(_, _, cells)) => state.joined(cells),
            // Neither of the two children ends unless this one does.
            SupervisionEvent::ActorFailed(_, error) => return Err(error),
            _ => {}
        }
        Ok(())
    }
}

impl LinksState {
    fn now_ms(&self) -> u64 {
        u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    /// One connection to a peer at a time: the next one waits until ractor_cluster has given the last one up, else it chooses
    /// between the two by rules of its own.
    fn connected(&mut self, myself: &ActorRef<LinksMessage>, session: Session, requests: Requests) {
        if !self.context.parts.consensus.is_fellow(&session) {
            debug!(peer = session.peer().node, "a connection for orders is of another cluster's node");
            return;
        }
        let node = NodeId(session.peer().node);
        let peer = self.peers.entry(node).or_default();
        peer.next = Some((session, requests));
        if peer.connection.is_some() {
            self.give_up(node, "it connects anew");
        } else {
            self.open(myself, node);
        }
    }

    fn open(&mut self, myself: &ActorRef<LinksMessage>, node: NodeId) {
        let now_ms = self.now_ms();
        let Some(peer) = self.peers.get_mut(&node) else { return };
        let Some(next) = peer.next.take() else { return };
        self.connections += 1;
        let label = format!("{node}#{}", self.connections);
        let (links, named) = (myself.clone(), label.clone());
        let meet = move |theirs| {
            // Links that are gone need not know.
            let _ = links.cast(LinksMessage::Met { label: named, theirs });
        };
        let (connection, stream) = Connection::open(next, label, now_ms, meet);
        peer.connection = Some(connection);
        // Either end must take one part, whoever dialled.
        let is_server = self.context.parts.node > node;
        if self.server.cast(NodeServerMessage::ConnectionOpenedExternal { stream, is_server }).is_err() {
            peer.connection = None;
        }
    }

    fn find(&mut self, label: &str) -> Option<(NodeId, &mut Connection)> {
        self.peers.iter_mut().find_map(|(&node, peer)| {
            let connection = peer.connection.as_mut().filter(|connection| connection.label == label)?;
            Some((node, connection))
        })
    }

    fn met(&mut self, label: &str, theirs: u64) {
        let Some((node, connection)) = self.find(label) else { return };
        connection.line.meet(theirs);
        self.came_up(node);
    }

    /// A line is up when its peer's life is known, and its inbox.
    fn came_up(&mut self, node: NodeId) {
        if self.peers.get(&node).is_some_and(Peer::is_up) {
            info!(peer = %node, "a line for orders to a peer");
            // At once: a run that begins now is to have workers there.
            self.say_presence_to(&[node]);
        }
    }

    fn named(&mut self, label: &str, system: u64) {
        let inbox = self.inboxes.remove(&system);
        let Some((node, connection)) = self.find(label) else { return };
        connection.system = Some(system);
        connection.inbox = inbox.map(ActorRef::from);
        self.came_up(node);
    }

    /// Inboxes of peers; this node's own is among them.
    fn joined(&mut self, cells: Vec<ActorCell>) {
        for cell in cells {
            let ActorId::Remote { node_id: system, .. } = cell.get_id() else { continue };
            let named = self.peers.iter_mut().find_map(|(&node, peer)| {
                let connection = peer.connection.as_mut().filter(|connection| connection.system == Some(system))?;
                connection.inbox = Some(ActorRef::from(cell.clone()));
                Some(node)
            });
            match named {
                Some(node) => self.came_up(node),
                None => drop(self.inboxes.insert(system, cell)),
            }
        }
    }

    fn disconnected(&mut self, myself: &ActorRef<LinksMessage>, label: &str) {
        let Some((node, _)) = self.find(label) else { return };
        let was_up = self.end(node);
        if was_up {
            self.hear(LinkEvent::Lost(node));
        }
        self.open(myself, node);
    }

    /// Ends a connection: ractor_cluster says when it has noticed.
    fn give_up(&mut self, node: NodeId, why: &str) {
        let now_ms = self.now_ms();
        let Some(connection) = self.peers.get_mut(&node).and_then(|peer| peer.connection.as_mut()) else { return };
        if connection.let_go(now_ms) {
            debug!(peer = %node, why, "a line for orders is given up");
        }
    }

    /// Whether its line was up.
    fn end(&mut self, node: NodeId) -> bool {
        self.context.links.note(node, None);
        self.context.links.note_run_workers(node, None);
        let connection = self.peers.get_mut(&node).and_then(|peer| peer.connection.take());
        connection.is_some_and(|connection| {
            if let Some(system) = connection.system {
                self.inboxes.remove(&system);
            }
            connection.was_up()
        })
    }

    fn hear(&mut self, event: LinkEvent) {
        match event {
            LinkEvent::Said(node, PeerMessage::Presence(presence)) => self.context.links.note(node, Some(presence)),
            LinkEvent::Said(node, PeerMessage::RunWorkers { count }) => {
                self.context.links.note_run_workers(node, Some(count));
            }
            LinkEvent::Said(node, message) => self.pass_on(|| LinkEvent::Said(node, message.clone())),
            LinkEvent::Lost(node) => {
                info!(peer = %node, "the line for orders to a peer is lost");
                self.pass_on(|| LinkEvent::Lost(node));
            }
        }
    }

    fn pass_on(&self, event: impl Fn() -> LinkEvent) {
        for listener in &self.audience {
            // Actors of the tree end with it.
            let _ = listener(event());
        }
    }

    fn packet(&mut self, bytes: &[u8]) {
        let now_ms = self.now_ms();
        let Some(packet) = packet::Packet::decode(bytes) else {
            debug!("a packet that cannot be read is dropped");
            return;
        };
        // Whose it is say the lives that it names.
        let meant = self.peers.iter_mut().find_map(|(&node, peer)| {
            let connection = peer.connection.as_mut().filter(|connection| connection.line.is_meant(&packet))?;
            Some((node, connection))
        });
        let Some((node, connection)) = meant else { return };
        match connection.line.hear(packet, now_ms, PEER_MESSAGE_BYTES_MAX) {
            Heard::Nothing => {}
            Heard::Message(bytes) => match PeerMessage::decode(&bytes) {
                Ok(message) => self.hear(LinkEvent::Said(node, message)),
                Err(error) => {
                    warn!(peer = %node, %error, "a message of a peer cannot be read");
                    self.give_up(node, "its message cannot be read");
                }
            },
            Heard::Over => self.give_up(node, "it says what cannot be"),
        }
        self.flush(node);
    }

    fn tell(&mut self, node: NodeId, message: &[u8]) {
        let connection = self.peers.get_mut(&node).and_then(|peer| peer.connection.as_mut());
        let Some(connection) = connection.filter(|connection| connection.is_up()) else {
            // Who relies on a line has heard, or hears, that it is lost; who never had one does now.
            return self.pass_on(|| LinkEvent::Lost(node));
        };
        match connection.line.send(message) {
            Ok(()) => self.flush(node),
            Err(line::Full) => self.give_up(node, "too much waits for it"),
        }
    }

    fn flush(&mut self, node: NodeId) {
        let now_ms = self.now_ms();
        let Some(connection) = self.peers.get_mut(&node).and_then(|peer| peer.connection.as_mut()) else { return };
        let Some(inbox) = &connection.inbox else { return };
        let packets = connection.line.packets(now_ms);
        let sent = packets.iter().all(|packet| inbox.cast(InboxMessage::Packet(packet.encode())).is_ok());
        if !sent {
            self.give_up(node, "its inbox is gone");
        }
    }

    fn tick(&mut self, myself: &ActorRef<LinksMessage>) {
        let now_ms = self.now_ms();
        let forgotten = |peer: &Peer| {
            let connection = peer.connection.as_ref().filter(|connection| connection.is_forgotten(now_ms))?;
            Some(connection.label.clone())
        };
        let forgotten: Vec<String> = self.peers.values().filter_map(forgotten).collect();
        for label in forgotten {
            self.disconnected(myself, &label);
        }
        let stuck = |(&node, peer): (&NodeId, &Peer)| {
            peer.connection.as_ref().is_some_and(|connection| connection.is_stuck(now_ms)).then_some(node)
        };
        let stuck: Vec<NodeId> = self.peers.iter().filter_map(stuck).collect();
        for node in stuck {
            self.give_up(node, "it takes nothing any more");
        }
        let drains = self.context.draining.is_on();
        // That it drains now is said at once: nobody should send it anything more.
        if self.said.is_none_or(|(said, drained)| drained != drains || said.elapsed() >= PRESENCE_EVERY) {
            self.said = Some((Instant::now(), drains));
            self.dial();
            self.say_presence();
        }
    }

    /// One of two dials: the one with the smaller number, and whoever has no vote.
    fn dial(&self) {
        let consensus = &self.context.parts.consensus;
        let status = consensus.status();
        let (own, is_worker) = (self.context.parts.node, consensus.is_worker());
        for &node in status.voters.iter().chain(&status.learners).filter(|node| is_worker || **node > own) {
            // The transport keeps it, and dials again whenever it is lost.
            let _ = consensus.link(node, Channel::Coordination);
        }
    }

    fn say_presence(&mut self) {
        let up = |(&node, peer): (&NodeId, &Peer)| peer.is_up().then_some(node);
        let nodes: Vec<NodeId> = self.peers.iter().filter_map(up).collect();
        self.say_presence_to(&nodes);
    }

    fn say_presence_to(&mut self, nodes: &[NodeId]) {
        let run_workers = PeerMessage::RunWorkers { count: self.context.run_workers() };
        for message in [PeerMessage::Presence(self.context.presence()), run_workers] {
            let Ok(bytes) = message.encode() else { continue };
            for &node in nodes {
                self.tell(node, &bytes);
            }
        }
    }
}
