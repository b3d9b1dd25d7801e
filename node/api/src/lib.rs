//! The public contract of DSPex: generated types, errors and a typed client.
//!
//! Everything outside a node (the CLI, the tests, other programs) speaks to it through this crate only.
//! It knows no other crate of the workspace.

mod address;
mod client;
mod client_admin;
mod client_blobs;
mod client_cluster;
mod client_environments;
mod client_executions;
mod client_pools;
mod client_programs;
mod client_runs;
mod client_sessions;
mod client_variables;
mod credentials;
mod error;
mod foreign;
mod plain;
pub mod reason;
mod socket;
mod trust;
mod way;

pub use address::{Address, Token};
pub use client::{Client, TimeLimits};
pub use client_blobs::Part;
pub use credentials::{Ca, Credentials};
pub use error::{ApiError, DOMAIN, MESSAGE_LIMIT_BYTES, METADATA_LIMIT_BYTES, key};
pub use prost::Message;
pub use prost::bytes::Bytes;
pub use socket::SocketPath;
pub use tonic::{Code, Streaming};

/// The messages and services of the package `dspex.v1`.
// Generated from the proto files, which carry the documentation.
#[allow(missing_docs, unused_qualifications, clippy::all)]
pub mod v1 {
    tonic::include_proto!("dspex.v1");
}

/// What nodes ask each other on the inference channel.
#[allow(missing_docs, unused_qualifications, clippy::all)]
pub mod peer {
    /// The package `dspex.peer.v1`.
    pub mod v1 {
        tonic::include_proto!("dspex.peer.v1");
    }
}

/// The compiled proto files, for the reflection service.
pub const FILE_DESCRIPTOR_SET: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/dspex.v1.bin"));

/// What a `BlobChunk` may carry at most.
pub const CHUNK_LIMIT_BYTES: usize = 1 << 20;
