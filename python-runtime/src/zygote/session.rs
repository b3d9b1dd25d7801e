//! Reads what a zygote says until it ends, and then cleans up after it.

use std::os::fd::OwnedFd;
use std::process::ExitStatus;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::unix::OwnedReadHalf;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::timeout;

use super::orders::Order;
use super::table::{Notice, Row, Table};
use crate::process::{Fingerprint, OwnedGroup, kill_groups, kill_opened};
use crate::protocol::{FrameError, FrameReader, FromZygote, Kill, ToZygote};
use crate::registry::{ProcessKind, Registry};

pub(super) struct Session {
    pub fingerprint: Fingerprint,
    pub frames: FrameReader<OwnedReadHalf>,
    /// A pidfd.
    pub process: Arc<OwnedFd>,
    pub exit: oneshot::Receiver<Option<ExitStatus>>,
    pub table: Arc<Table>,
    pub registry: Registry,
    /// Weak: the session must not keep its zygote from being stopped.
    pub orders: mpsc::WeakSender<Order>,
    pub ended: watch::Sender<bool>,
}

/// How listening ended.
enum Heard {
    /// The process has ended.
    Exit(Option<ExitStatus>),
    /// The control socket has.
    End,
    /// What it said makes no sense.
    Nonsense(String),
}

fn ended(status: Option<ExitStatus>) -> String {
    status.map_or_else(|| "the zygote ended".to_owned(), |status| format!("the zygote ended ({status})"))
}

impl Session {
    pub async fn run(mut self) {
        let mut in_order = false;
        let mut ended = |status: Option<ExitStatus>| {
            in_order = status.is_some_and(|status| status.success());
            ended(status)
        };
        let reason = match self.listen().await {
            Heard::Exit(status) => ended(status),
            Heard::End => ended(self.make_sure_it_ended().await),
            Heard::Nonsense(problem) => {
                kill_opened(&self.process);
                self.make_sure_it_ended().await;
                format!("the zygote was killed, it broke the protocol: {problem}")
            }
        };
        let rows = self.table.end();
        // One that was told to stop takes its workers along, as it should.
        if !rows.is_empty() && !in_order {
            tracing::warn!(pid = self.fingerprint.pid, workers = rows.len(), %reason, "A zygote ended and its workers with it");
        }
        self.kill_workers(&rows).await;
        for row in rows {
            if let Some(process) = row.process {
                self.registry.remove(process);
            }
            // The owner may be gone.
            let _ = row.notices.try_send(Notice::ZygoteEnded(reason.clone()));
        }
        self.registry.remove(self.fingerprint);
        self.ended.send_replace(true);
    }

    /// Until the control socket or the process ends.
    async fn listen(&mut self) -> Heard {
        loop {
            let frame = tokio::select! {
                // What it still had to say comes before its end.
                biased;
                frame = self.frames.next() => frame,
                exit = &mut self.exit => return Heard::Exit(exit.ok().flatten()),
            };
            let message = match frame {
                Ok(Some(frame)) => FromZygote::decode(frame),
                Ok(None) | Err(FrameError::Io(_) | FrameError::Truncated) => return Heard::End,
                Err(error) => Err(error),
            };
            let handled = message.map_err(|error| error.to_string()).and_then(|message| self.handle(message));
            if let Err(problem) = handled {
                return Heard::Nonsense(problem);
            }
        }
    }

    fn handle(&self, message: FromZygote) -> Result<(), String> {
        self.table.hear();
        match message {
            FromZygote::Forked(forked) => {
                let process = Fingerprint { pid: forked.pid, start_ticks: forked.start_ticks };
                let record = |actor: &str| self.record(&forked.worker, actor, process);
                if !self.table.forked(&forked.worker, process, record) {
                    self.kill(forked.worker);
                }
            }
            FromZygote::Exited(exited) => {
                if let Some(row) = self.table.remove(&exited.worker) {
                    row.process.into_iter().for_each(|process| self.registry.remove(process));
                    let _ = row.notices.try_send(Notice::Exited { code: exited.code, signal: exited.signal });
                }
            }
            FromZygote::ForkFailed(failed) => {
                if let Some(row) = self.table.remove(&failed.worker) {
                    let _ = row.notices.try_send(Notice::Failed(failed.message));
                }
            }
            FromZygote::Refused(refused) => return Err(refused.message),
            FromZygote::Ready(_) => return Err("ready was said twice".to_owned()),
        }
        Ok(())
    }

    fn record(&self, worker: &str, actor: &str, process: Fingerprint) {
        if let Err(error) = self.registry.add(ProcessKind::Worker, Some(worker), actor, process) {
            // The worker still dies with its zygote, and that with this node: the registry is the second net.
            tracing::error!(worker, pid = process.pid, %error, "A worker could not be registered: look at the data directory");
        }
    }

    /// For a worker whose owner went away while it was being forked.
    fn kill(&self, worker: String) {
        if let (Some(orders), Ok(frame)) = (self.orders.upgrade(), ToZygote::Kill(Kill { worker }).encode()) {
            // When the queue is full, the closed socket still ends the worker.
            let _ = orders.try_send(Order::plain(frame));
        }
    }

    /// A closed control socket means stop: it gets a moment to do so.
    async fn make_sure_it_ended(&mut self) -> Option<ExitStatus> {
        const LIMIT: Duration = Duration::from_secs(5);
        if let Ok(exit) = timeout(LIMIT, &mut self.exit).await {
            return exit.ok().flatten();
        }
        kill_opened(&self.process);
        timeout(LIMIT, &mut self.exit).await.ok()?.ok().flatten()
    }

    /// The kernel has killed the workers with their parent; what they started is still there.
    async fn kill_workers(&self, rows: &[Row]) {
        let instance = self.registry.instance();
        let groups: Vec<OwnedGroup> = rows
            .iter()
            .filter_map(|row| row.process)
            .map(|leader| OwnedGroup { leader, instance: instance.to_owned() })
            .collect();
        if !groups.is_empty() {
            // It reads /proc: not on a thread that serves sockets. A failure to join is a shutdown.
            let _ = tokio::task::spawn_blocking(move || kill_groups(&groups)).await;
        }
    }
}
