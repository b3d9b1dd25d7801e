//! A zygote: a Python process that has imported dspy and forks workers on command.
//!
//! ```text
//! Zygotes ── start ──> spawn (one permanent thread)      a zygote is born
//!                        │
//!                      session: writer (orders, fds) and reader (forked, exited, the end)
//!                        │
//!                      Table: who waits for news of which worker
//! ```
//! When a zygote ends, however it ends, every worker of its table is killed with its group, and its owner is told.

mod orders;
mod session;
mod spawn;
mod start;
mod table;

use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, watch};

pub(crate) use orders::Order;
pub use start::StartError;
pub(crate) use start::{Launch, start};
pub(crate) use table::{NotEntered, Notice, Table};

use crate::output::OutputTail;
use crate::process::{Fingerprint, kill_opened};
use crate::protocol::{Ready, ToZygote};
use crate::sandbox::Sandbox;

/// A running zygote. Clones are the same one; it is stopped when the last clone and the last of its workers are gone.
#[derive(Debug, Clone)]
pub struct Zygote {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    ready: Ready,
    fingerprint: Fingerprint,
    /// A pidfd: what is done to it never reaches a later process with the same number.
    process: Arc<OwnedFd>,
    orders: mpsc::Sender<Order>,
    table: Arc<Table>,
    output: OutputTail,
    /// Of its workers.
    sandbox: Option<Arc<Sandbox>>,
    ended: watch::Receiver<bool>,
}

impl Zygote {
    /// What it said about itself: versions, the sum rule, how long the import took.
    pub fn ready(&self) -> &Ready {
        &self.shared.ready
    }

    /// Its process.
    pub fn fingerprint(&self) -> Fingerprint {
        self.shared.fingerprint
    }

    /// The end of what it printed.
    pub fn output(&self) -> OutputTail {
        self.shared.output.clone()
    }

    /// Whether workers can still be forked from it.
    pub fn is_alive(&self) -> bool {
        !self.shared.table.has_ended()
    }

    /// The number of its workers.
    pub fn workers(&self) -> usize {
        self.shared.table.len()
    }

    /// Stops it with all its workers: politely, and after five seconds by SIGKILL.
    pub async fn stop(&self) {
        const LIMIT: Duration = Duration::from_secs(5);
        if let Ok(frame) = ToZygote::Stop.encode() {
            // A full or closed queue leaves the second way.
            let _ = self.shared.orders.try_send(Order::plain(frame));
        }
        if tokio::time::timeout(LIMIT, self.ended()).await.is_err() {
            kill_opened(&self.shared.process);
            let _ = tokio::time::timeout(LIMIT, self.ended()).await;
        }
    }

    /// Completes when it and all its workers have ended.
    pub async fn ended(&self) {
        let mut ended = self.shared.ended.clone();
        // An error means that its session is gone: an end as well.
        let _ = ended.wait_for(|ended| *ended).await;
    }

    pub(crate) fn orders(&self) -> &mpsc::Sender<Order> {
        &self.shared.orders
    }

    pub(crate) fn sandbox(&self) -> Option<&Arc<Sandbox>> {
        self.shared.sandbox.as_ref()
    }

    pub(crate) fn table(&self) -> &Arc<Table> {
        &self.shared.table
    }

    /// For a zygote that no longer answers.
    pub(crate) fn kill(&self) {
        kill_opened(&self.shared.process);
    }
}
