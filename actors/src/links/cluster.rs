//! ractor_cluster as it is used here: one server a process, connections that were made and authenticated elsewhere, and nothing
//! else. Its own listener cannot be left out; it is on loopback and lets nobody in.

use std::net::{IpAddr, Ipv4Addr};

use ractor::{Actor, ActorCell, ActorRef, SpawnErr};
use ractor_cluster::node::{NodeConnectionMode, NodeServerSessionInformation};
use ractor_cluster::{IncomingEncryptionMode, NodeEventSubscription, NodeServer, NodeServerMessage};

use super::LinksMessage;

/// No secret: a peer has shown its certificate before it comes so far.
const COOKIE: &str = "dspex";
/// What goes through it is cut into pieces of half of this.
const FRAME_BYTES_MAX: u64 = 64 << 10;

/// Starts the server. `name` is no other process's, and no earlier life's of this node.
pub(super) async fn serve(
    name: String,
    links: &ActorRef<LinksMessage>,
) -> Result<ActorRef<NodeServerMessage>, SpawnErr> {
    let nobody = IncomingEncryptionMode::Tls(dspex_transport::trusts_nobody());
    let server = NodeServer::new(
        0,
        COOKIE.to_owned(),
        name,
        "dspex".to_owned(),
        Some(nobody),
        Some(NodeConnectionMode::Isolated),
    );
    let server = server.with_listen_addr(IpAddr::V4(Ipv4Addr::LOCALHOST)).with_max_inbound_frame_size(FRAME_BYTES_MAX);
    let cell: ActorCell = links.get_cell();
    let (server, _) = Actor::spawn_linked(None, server, (), cell).await?;
    let subscription = Box::new(Told(links.clone()));
    // One that has just started takes it.
    let _ = server.cast(NodeServerMessage::SubscribeToEvents { id: "links".to_owned(), subscription });
    Ok(server)
}

/// What the server says of connections, as messages.
struct Told(ActorRef<LinksMessage>);

impl NodeEventSubscription for Told {
    fn node_session_opened(&self, session: NodeServerSessionInformation) {
        let _ = self.0.cast(LinksMessage::Named { label: session.peer_addr, system: session.node_id });
    }

    fn node_session_disconnected(&self, session: NodeServerSessionInformation) {
        let _ = self.0.cast(LinksMessage::Disconnected { label: session.peer_addr });
    }

    fn node_session_authenticated(&self, _: NodeServerSessionInformation) {}
}
