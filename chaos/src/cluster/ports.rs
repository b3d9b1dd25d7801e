//! Ports of loopback that stay free until they are used, and between two lives of a node.

use std::net::TcpListener;
use std::sync::atomic::{AtomicU16, Ordering};

use super::ClusterError;

/// Below the range that the kernel gives to those who ask for any port, so that none of them takes one meanwhile.
const FIRST: u16 = 10_000;
const COUNT: u16 = 20_000;

static NEXT: AtomicU16 = AtomicU16::new(0);

/// A port on 127.0.0.1 that nobody listens on. Each process begins at another one.
pub(super) fn free_port() -> Result<u16, ClusterError> {
    let start = u16::try_from(std::process::id().wrapping_mul(97) % u32::from(COUNT)).unwrap_or_default();
    for _ in 0..COUNT {
        let offset = (start + NEXT.fetch_add(1, Ordering::Relaxed) % COUNT) % COUNT;
        if TcpListener::bind(("127.0.0.1", FIRST + offset)).is_ok() {
            return Ok(FIRST + offset);
        }
    }
    Err(ClusterError::Impossible("no port of 127.0.0.1 is free".to_owned()))
}
