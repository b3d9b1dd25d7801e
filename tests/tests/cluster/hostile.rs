//! Strangers at the ports of real nodes: what they say, what they show, what they leave unsaid.
//!
//! Each is refused or hung up on within ten seconds, costs the node less than 64 MiB, and keeps nobody out. Beside each refusal stands
//! the same thing as it is allowed, and "taken away by" names the line of the product without which the test is red. They were taken
//! away one by one on 2026-11-22.

mod certificates;
mod http2;
mod listeners;
mod memory;
mod pages;
mod peers;
mod pickles;
mod silence;
mod tokens;
mod wire;

use std::future::Future;
use std::path::PathBuf;
use std::time::Duration;

use dspex_api::v1::{CreateSessionRequest, RequestId};
use dspex_tests::{Cluster, process};
use tempfile::TempDir;
use uuid::Uuid;

use crate::certificates::make;
use wire::Tls;

/// A connection of a stranger is closed by then.
const LIMIT: Duration = Duration::from_secs(10);
/// What strangers may cost a node.
const GROWTH_MAX_KIB: u64 = 64 << 10;
/// A node that speaks TLS on every port.
const PROTECTED: usize = 0;
/// One that speaks TLS with its peers only: its callers come from its own machine.
const OPEN: usize = 2;

/// A cluster that is attacked.
struct Attacked {
    cluster: Cluster,
    files: TempDir,
}

impl Attacked {
    /// Three voters with a leader, and certificates by `dspex cert init`.
    fn new() -> Self {
        let mut cluster = Cluster::formed_of(3);
        let files = tempfile::tempdir().expect("a directory");
        make(&cluster, files.path(), 3);
        let ca = files.path().join("ca.pem");
        for position in 0..3 {
            let own = files.path().join(format!("node-{position}"));
            cluster.protect(position, &ca, &own);
            if position != OPEN {
                cluster.certify(position, &ca, &own);
            }
            cluster.start(position);
        }
        cluster.leader();
        Self { cluster, files }
    }

    fn ca(&self) -> PathBuf {
        self.files.path().join("ca.pem")
    }

    /// A directory for a certificate.
    fn own(&self, name: &str) -> PathBuf {
        self.files.path().join(name)
    }

    /// TLS as a peer speaks it, with the certificate of a member.
    fn peer(&self) -> Tls {
        Tls::new(&self.ca(), Some(&self.own("node-1")), wire::PEER)
    }

    /// TLS as a caller speaks it.
    fn caller(&self, protocol: &str) -> Tls {
        Tls::new(&self.ca(), None, protocol)
    }

    /// A node's own token.
    fn token(&self, position: usize) -> String {
        let text = std::fs::read_to_string(self.cluster.node(position).data().join("token")).expect("a token");
        text.trim().to_owned()
    }

    /// A new session, by a connection of its own.
    async fn write(&self, position: usize, session: &str) {
        let wrote = async {
            let request_id =
                Some(RequestId { client: Uuid::now_v7().to_string(), request: Uuid::now_v7().to_string() });
            let request = CreateSessionRequest { request_id, session_id: session.to_owned(), ..Default::default() };
            self.cluster.client(position).await?.create_session(request).await
        };
        let version =
            wrote.await.unwrap_or_else(|error| panic!("{session} through node {position}: {error:?}")).version;
        assert_eq!(version, 1, "{session}");
    }
}

/// What a node takes from here on.
struct Memory {
    pid: u32,
    before_kib: u64,
}

impl Memory {
    fn of(cluster: &Cluster, position: usize) -> Self {
        let pid = cluster.node(position).pid();
        Self { pid, before_kib: process::memory_kib(pid).expect("it runs") }
    }

    /// Counted from what it had, not from its peak by then: that would hide what is below an earlier one.
    fn growth_kib(&self) -> u64 {
        process::peak_memory_kib(self.pid).expect("it runs").saturating_sub(self.before_kib)
    }

    fn expect_little(&self, what: &str) {
        let growth = self.growth_kib();
        eprintln!("{what}: the node took up to {growth} KiB more than {} KiB", self.before_kib);
        assert!(growth < GROWTH_MAX_KIB, "{what} took {growth} KiB of the node's memory");
    }
}

fn block_on<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime").block_on(future)
}
