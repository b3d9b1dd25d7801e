//! What can go wrong, and what to do next.

use std::net::SocketAddr;
use std::path::PathBuf;

/// A request without a reply.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CallError {
    /// It was not sent: nothing can have happened there.
    #[error("the peer cannot be reached: {0}")]
    Unreachable(String),
    /// It was not begun: there is no room, here or there.
    #[error("the channel is full: try again in a moment")]
    Full,
    /// The peer says that it failed.
    #[error("{0}")]
    Failed(String),
    /// No reply came in time; whether it was executed is unknown.
    #[error("no reply in time; it is not known whether it was executed")]
    TimedOut,
    /// The connection ended before the reply; whether it was executed is unknown.
    #[error("the connection ended ({0}); it is not known whether it was executed")]
    Lost(String),
    /// The message is longer than its channel carries: nothing was sent.
    #[error("a message of {length} bytes; the channel carries {limit}")]
    TooLong {
        /// Of the message.
        length: usize,
        /// Of the channel.
        limit: usize,
    },
}

impl CallError {
    /// Whether the request may have been executed.
    pub fn outcome_unknown(&self) -> bool {
        matches!(self, Self::TimedOut | Self::Lost(_))
    }
}

/// A connection that did not come about.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// The name has no address.
    #[error("{address}: {source}")]
    Resolve {
        /// As given.
        address: String,
        /// The system's reason.
        source: std::io::Error,
    },
    /// Nobody answered there.
    #[error("{address}: {source}")]
    Connect {
        /// Where.
        address: SocketAddr,
        /// The system's reason.
        source: std::io::Error,
    },
    /// The certificate of either side is not accepted.
    #[error("TLS with {address}: {detail}")]
    Tls {
        /// Where.
        address: String,
        /// Why.
        detail: String,
    },
    /// The peer turned this node away.
    #[error("{0}")]
    Refused(String),
    /// What answers there is no DSPex node.
    #[error("{0} does not answer as a node of DSPex: is it the peer port (7410)?")]
    NoNode(String),
    /// It took too long.
    #[error("{0} did not finish the handshake in time")]
    TooSlow(String),
    /// This node's own certificates cannot be used.
    #[error(transparent)]
    Certificate(#[from] CertificateError),
}

/// Certificates that cannot be used.
///
/// No colon follows a path: in a log, what stands behind `node.key:` would be taken for a secret.
#[derive(Debug, thiserror::Error)]
pub enum CertificateError {
    /// A file cannot be read or written.
    #[error("{} cannot be accessed: {source}", path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// The system's reason.
        source: std::io::Error,
    },
    /// A file is not what its place wants.
    #[error("{} cannot be used: {detail}", path.display())]
    Content {
        /// Which.
        path: PathBuf,
        /// What is wrong.
        detail: String,
    },
    /// They cannot be made.
    #[error("a certificate cannot be made: {0}")]
    Make(String),
}

/// A transport that cannot start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The address is taken, or not this machine's.
    #[error("listening for peers on {address}: {source}")]
    Listen {
        /// Where.
        address: SocketAddr,
        /// The system's reason.
        source: std::io::Error,
    },
    /// Beyond loopback anybody could join.
    #[error(
        "peers on {0} need mutual TLS: make certificates with `dspex cert init` and name them in [peers], or listen on \
         127.0.0.1"
    )]
    Unprotected(SocketAddr),
    /// The certificates cannot be used.
    #[error(transparent)]
    Certificate(#[from] CertificateError),
}
