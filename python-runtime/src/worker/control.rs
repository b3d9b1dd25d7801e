//! The owner's side of a worker: sending and killing.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use bytes::Bytes;
use tokio::io::AsyncWriteExt;
use tokio::net::unix::OwnedWriteHalf;
use tokio::sync::{Notify, mpsc};

use crate::output::OutputTail;
use crate::process::Fingerprint;
use crate::protocol::{FrameError, Kill, ToWorker, ToZygote};
use crate::sandbox::Confined;
use crate::zygote::{Order, Zygote};

/// Frames waiting to be written to a worker.
pub(super) const QUEUED_FRAMES: usize = 64;

/// Why nothing was sent.
#[derive(Debug, thiserror::Error)]
pub enum SendError {
    /// The worker has ended; its events say how.
    #[error("the worker has ended")]
    Ended,
    /// It does not take frames as fast as they come.
    #[error("{QUEUED_FRAMES} frames already wait for the worker")]
    Full,
    /// The message cannot be a frame.
    #[error(transparent)]
    Frame(#[from] FrameError),
}

/// Sends to a worker and kills it. Clones are for the same worker; when the last is dropped, the worker is told to stop.
#[derive(Debug, Clone)]
pub struct WorkerHandle {
    pub(super) frames: mpsc::Sender<Bytes>,
    pub(super) control: Arc<Control>,
}

impl WorkerHandle {
    /// Its id.
    pub fn id(&self) -> &str {
        &self.control.worker
    }

    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.control.process.pid
    }

    /// Its process.
    pub fn fingerprint(&self) -> Fingerprint {
        self.control.process
    }

    /// The end of what it printed.
    pub fn output(&self) -> &OutputTail {
        &self.control.output
    }

    /// Sends a message, waiting for room in the queue.
    pub async fn send(&self, message: &ToWorker) -> Result<(), SendError> {
        self.frames.send(message.encode()?).await.map_err(|_| SendError::Ended)
    }

    /// Sends a message now or not at all.
    pub fn try_send(&self, message: &ToWorker) -> Result<(), SendError> {
        self.frames.try_send(message.encode()?).map_err(|error| match error {
            mpsc::error::TrySendError::Full(_) => SendError::Full,
            mpsc::error::TrySendError::Closed(_) => SendError::Ended,
        })
    }

    /// Kills it with its process group. Its end comes as an event. Harmless when it has ended.
    pub fn kill(&self) {
        self.control.kill();
    }
}

/// What is known of a worker apart from its queue.
#[derive(Debug)]
pub(crate) struct Control {
    pub(super) worker: String,
    pub(super) process: Fingerprint,
    pub(super) output: OutputTail,
    pub(super) zygote: Zygote,
    /// Wakes the supervision, which sees to it that a kill has an effect.
    pub(super) killing: Notify,
    pub(super) killed: AtomicBool,
    /// Why it was killed, where it took more than it may.
    pub(super) beyond: OnceLock<String>,
    /// Until it has ended.
    pub(super) confined: Mutex<Option<Confined>>,
}

impl Control {
    /// Of a process that was just forked.
    pub(super) fn new(worker: String, process: Fingerprint, output: OutputTail, zygote: Zygote) -> Self {
        Self {
            worker,
            process,
            output,
            zygote,
            killing: Notify::new(),
            killed: AtomicBool::new(false),
            beyond: OnceLock::new(),
            confined: Mutex::new(None),
        }
    }

    /// Kills it for what it has taken.
    pub(crate) fn end_for(&self, why: String) {
        // The first reason counts.
        let _ = self.beyond.set(why);
        self.kill();
    }

    /// Gives back what its sandbox holds: its processes have ended.
    pub(super) fn release(&self) {
        let confined = self.confined.lock().unwrap_or_else(PoisonError::into_inner).take();
        drop(confined);
    }

    /// Through the zygote, which knows whether the pid still is the worker's.
    pub(crate) fn kill(&self) {
        self.killed.store(true, Ordering::Release);
        let sent = ToZygote::Kill(Kill { worker: self.worker.clone() })
            .encode()
            .is_ok_and(|frame| self.zygote.orders().try_send(Order::plain(frame)).is_ok());
        if !sent {
            self.process.kill();
        }
        self.killing.notify_one();
    }

    pub(super) fn was_killed(&self) -> bool {
        self.killed.load(Ordering::Acquire)
    }
}

/// Writes frames until nobody can send any more; closing the socket then stops the worker.
pub(super) async fn write_frames(mut socket: OwnedWriteHalf, mut frames: mpsc::Receiver<Bytes>) {
    while let Some(frame) = frames.recv().await {
        if socket.write_all(&frame).await.is_err() {
            // The reading side sees the same end and says what it means.
            return;
        }
    }
}
