//! The one actor of this node that peers can send to: everything else of the tree is local. What it hears goes to the links.

use ractor::{Actor, ActorProcessingErr, ActorRef};
use ractor_cluster::RactorClusterMessage;

use super::LinksMessage;

/// The process group in which every node has its inbox.
pub(super) const GROUP: &str = "dspex.coordination";

/// On the wire between nodes; the variant's name with it.
#[derive(Debug, RactorClusterMessage)]
pub(super) enum InboxMessage {
    Packet(Vec<u8>),
}

pub(super) struct Inbox;

impl Actor for Inbox {
    type Msg = InboxMessage;
    type State = ActorRef<LinksMessage>;
    type Arguments = ActorRef<LinksMessage>;

    async fn pre_start(
        &self,
        myself: ActorRef<InboxMessage>,
        links: ActorRef<LinksMessage>,
    ) -> Result<ActorRef<LinksMessage>, ActorProcessingErr> {
        ractor::pg::join(GROUP.to_owned(), vec![myself.get_cell()]);
        Ok(links)
    }

    async fn handle(
        &self,
        _: ActorRef<InboxMessage>,
        InboxMessage::Packet(bytes): InboxMessage,
        links: &mut ActorRef<LinksMessage>,
    ) -> Result<(), ActorProcessingErr> {
        // Links that are gone are gone with this node.
        let _ = links.cast(LinksMessage::Packet(bytes));
        Ok(())
    }
}
