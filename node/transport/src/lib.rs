//! Connections between nodes. Knows nothing of what is said on them.
//!
//! ```text
//! node A                                                     node B
//! Link (peer, channel) --dials--> TCP, mutual TLS, Hello --> Listener
//!    | Session  <==== frames: request, reply, ping ====>  Session |
//!    `- reconnects                                        Serve --'
//! ```
//! Each channel is a connection of its own, so that nothing on one waits behind another. A connection carries requests
//! in both directions: a worker node dials, and is sent its orders on what it dialled. Everything is bounded, every
//! wait has a limit, and nothing is read from a stranger beyond a small hello.
//!
//! [`ServerTls`] is for those who are no peers: the same files and the same care for connections that callers open.

mod certificates;
mod channel;
mod detector;
mod error;
mod frame;
mod hello;
mod inspection;
mod link;
mod listener;
mod nobody;
mod pair;
mod pem;
mod reloaded;
mod server_tls;
mod session;
mod settings;
mod stream;
mod tls;
mod traffic;
mod transport;

pub use certificates::{Authority, NodeCertificate};
pub use channel::{Channel, Policy, WhenFull};
pub use detector::Health;
pub use error::{CallError, CertificateError, ConnectError, StartError};
pub use hello::Identity;
pub use inspection::{CertificateFacts, inspect};
pub use link::{Link, Pending};
pub use nobody::trusts_nobody;
pub use server_tls::ServerTls;
pub use session::{Message, Request, Requests, Session};
pub use settings::{Limits, Security, TransportSettings};
pub use stream::{Duplex, Stream};
pub use traffic::{ChannelTraffic, Traffic};
pub use transport::{PeerEvent, Serve, Transport};
