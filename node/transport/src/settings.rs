//! What can be set about connections, each default in one place.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use crate::hello::Identity;

/// How a node's transport is started.
#[derive(Debug, Clone)]
pub struct TransportSettings {
    /// Who this node is.
    pub identity: Identity,
    /// Where peers reach it; `None`: it only dials.
    pub listen: Option<SocketAddr>,
    /// How connections are protected.
    pub security: Security,
    /// Limits of connections.
    pub limits: Limits,
}

/// How connections are protected.
#[derive(Debug, Clone)]
pub enum Security {
    /// Not at all: on loopback only.
    Plain,
    /// Mutual TLS. The files are read again when they have changed.
    Tls {
        /// The authority that signs all nodes of the cluster, PEM.
        ca: PathBuf,
        /// This node's certificate, PEM.
        certificate: PathBuf,
        /// Its private key, PEM.
        key: PathBuf,
    },
}

/// Limits of connections.
#[derive(Debug, Clone)]
pub struct Limits {
    /// For connecting, TLS and the hello together.
    pub handshake: Duration,
    /// Connections that peers may have open here; further ones are hung up on.
    pub connections: usize,
    /// Of these, so many may be before the end of their handshake; one more takes the place of the oldest.
    pub handshakes: usize,
    /// Silence on a connection is filled this often.
    pub heartbeat: Duration,
    /// Silence for so long is suspect.
    pub suspect: Duration,
    /// Silence for so long is the end of a connection.
    pub down: Duration,
    /// The pause before the second attempt to connect; each further one doubles.
    pub first_pause: Duration,
    /// The longest pause.
    pub longest_pause: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            handshake: Duration::from_secs(5),
            connections: 1024,
            handshakes: 128,
            heartbeat: Duration::from_millis(250),
            suspect: Duration::from_secs(1),
            down: Duration::from_secs(3),
            first_pause: Duration::from_millis(20),
            longest_pause: Duration::from_secs(1),
        }
    }
}
