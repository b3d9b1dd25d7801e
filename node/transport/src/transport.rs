//! The handle: links to peers, those who serve them, and what happens to connections.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use tokio::net::TcpListener;
use tokio::sync::{broadcast, watch};
use tokio::task::AbortHandle;

use crate::channel::Channel;
use crate::detector::Health;
use crate::error::StartError;
use crate::hello::Identity;
use crate::link::{Link, Target};
use crate::listener;
use crate::session::{Requests, Session};
use crate::settings::{Limits, Security, TransportSettings};
use crate::tls::Protection;
use crate::traffic::Traffic;

/// Events that a slow follower may fall behind before it misses some.
const EVENTS: usize = 1024;

/// Serves what peers send, on connections that they dialled and on those dialled here.
pub trait Serve: Send + Sync + 'static {
    /// A connection has come about. Must not block; dropping `requests` ends what the peer may ask on it.
    fn serve(&self, session: Session, requests: Requests);
}

/// Something happened to a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PeerEvent {
    /// With whom.
    pub node: u64,
    /// For what.
    pub channel: Channel,
    /// How it is now.
    pub health: Health,
}

/// By node and channel, each with the address that it leads to.
type Links = HashMap<(u64, Channel), (String, Link)>;

/// A node's connections; clones share them.
#[derive(Debug, Clone)]
pub struct Transport {
    shared: Arc<Shared>,
    links: Arc<Mutex<Links>>,
    listening: Arc<Mutex<Option<Listening>>>,
    /// Connections end with it.
    open: Arc<watch::Sender<bool>>,
}

pub(crate) struct Shared {
    pub(crate) limits: Limits,
    pub(crate) protection: Protection,
    pub(crate) traffic: Traffic,
    identity: RwLock<Identity>,
    serve: Box<dyn Serve>,
    events: broadcast::Sender<PeerEvent>,
    open: watch::Receiver<bool>,
}

impl std::fmt::Debug for Shared {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Shared").field("identity", &self.identity).finish_non_exhaustive()
    }
}

#[derive(Debug)]
struct Listening {
    address: SocketAddr,
    task: AbortHandle,
}

impl Drop for Listening {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Transport {
    /// Starts to listen, where the settings say so.
    ///
    /// # Errors
    /// See [`StartError`].
    pub async fn start(settings: TransportSettings, serve: impl Serve) -> Result<Self, StartError> {
        if let Some(address) = settings.listen
            && matches!(settings.security, Security::Plain)
            && !address.ip().is_loopback()
        {
            return Err(StartError::Unprotected(address));
        }
        let (open, watched) = watch::channel(true);
        let shared = Arc::new(Shared {
            protection: Protection::new(&settings.security)?,
            limits: settings.limits,
            traffic: Traffic::default(),
            identity: RwLock::new(settings.identity),
            serve: Box::new(serve),
            events: broadcast::channel(EVENTS).0,
            open: watched,
        });
        let listening = match settings.listen {
            None => None,
            Some(address) => {
                let listen = |source| StartError::Listen { address, source };
                let listener = TcpListener::bind(address).await.map_err(listen)?;
                let address = listener.local_addr().map_err(listen)?;
                let task = tokio::spawn(listener::run(listener, Arc::clone(&shared))).abort_handle();
                Some(Listening { address, task })
            }
        };
        Ok(Self { shared, links: Arc::default(), listening: Arc::new(Mutex::new(listening)), open: Arc::new(open) })
    }

    /// Where it listens.
    pub fn address(&self) -> Option<SocketAddr> {
        self.listening.lock().unwrap_or_else(PoisonError::into_inner).as_ref().map(|listening| listening.address)
    }

    /// Ends every connection and takes no more. Peers dial again, and reach whoever listens then. Dropping the last handle does
    /// the same.
    pub fn close(&self) {
        self.listening.lock().unwrap_or_else(PoisonError::into_inner).take();
        self.links.lock().unwrap_or_else(PoisonError::into_inner).clear();
        self.open.send_replace(false);
    }

    /// Who this node is.
    pub fn identity(&self) -> Identity {
        self.shared.identity()
    }

    /// This node belongs to a cluster now: connections from here on say so.
    pub fn joined(&self, cluster: &str) {
        let mut identity = self.shared.identity.write().unwrap_or_else(PoisonError::into_inner);
        identity.cluster = Some(cluster.to_owned());
    }

    /// The link to a peer, dialled if there is none yet. A new address takes the place of the old one.
    pub fn link(&self, node: u64, address: &str, channel: Channel) -> Link {
        let mut links = self.links.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((known, link)) = links.get(&(node, channel))
            && known == address
        {
            return link.clone();
        }
        let target = Target { node, address: address.to_owned(), channel };
        let link = Link::dial(Arc::clone(&self.shared), target);
        links.insert((node, channel), (address.to_owned(), link.clone()));
        link
    }

    /// A link to whoever is at an address: how a node finds a cluster. It is not kept.
    pub fn stranger(&self, address: &str, channel: Channel) -> Link {
        Link::dial(Arc::clone(&self.shared), Target { node: 0, address: address.to_owned(), channel })
    }

    /// What waits on all connections, and what found no room.
    pub fn traffic(&self) -> Traffic {
        self.shared.traffic.clone()
    }

    /// Connections that come, falter and go, from now on.
    pub fn events(&self) -> broadcast::Receiver<PeerEvent> {
        self.shared.events.subscribe()
    }
}

impl Shared {
    pub(crate) fn identity(&self) -> Identity {
        self.identity.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// A handshake is done.
    pub(crate) fn established(self: &Arc<Self>, session: Session, requests: Requests) {
        let mut health = session.health();
        let (node, channel, events) = (session.peer().node, session.channel(), self.events.clone());
        let (ending, mut open) = (session.clone(), self.open.clone());
        tokio::spawn(async move {
            loop {
                let now = *health.borrow_and_update();
                // Without a follower nobody is told.
                let _ = events.send(PeerEvent { node, channel, health: now });
                if now == Health::Down {
                    return;
                }
                let ends = tokio::select! {
                    changed = health.changed() => changed.is_err(),
                    _ = open.wait_for(|open| !open) => true,
                };
                if ends {
                    return ending.close();
                }
            }
        });
        self.serve.serve(session, requests);
    }
}
