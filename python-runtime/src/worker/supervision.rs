//! Follows one worker from its hello to its end, and tells its owner.

use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::unix::OwnedReadHalf;
use tokio::sync::mpsc;
use tokio::time::timeout;

use super::control::Control;
use super::{EndReason, Ended, WorkerEvent};
use crate::protocol::{FrameError, FrameReader, FromWorker};
use crate::zygote::Notice;

/// Between the end of the socket and the zygote's report of a process that is exiting. A longer silence means that the program
/// closed the socket and goes on.
const EXIT_GRACE: Duration = Duration::from_millis(500);
/// For the effect of a kill, through the zygote and then directly.
const KILL_LIMIT: Duration = Duration::from_secs(5);
/// For what a worker said before it ended, when something else holds its socket open.
const DRAIN_LIMIT: Duration = Duration::from_secs(5);
/// For the rest of its output.
const OUTPUT_LIMIT: Duration = Duration::from_millis(250);

pub(super) struct Supervision {
    pub control: Arc<Control>,
    pub notices: mpsc::Receiver<Notice>,
    pub events: mpsc::Sender<WorkerEvent>,
    pub output_end: Pin<Box<dyn Future<Output = ()> + Send>>,
}

/// How reading from the worker ended.
enum SocketEnd {
    Closed,
    Malformed(String),
    /// The owner no longer listens.
    Abandoned,
}

enum First {
    Socket(SocketEnd),
    Notice(Option<Notice>),
    Kill,
}

impl Supervision {
    pub async fn run(mut self, reader: FrameReader<OwnedReadHalf>) {
        let events = self.events.clone();
        let ended = {
            let mut reading = Box::pin(pass_on(reader, events.clone()));
            let first = tokio::select! {
                // What was said is passed on before the end is looked at.
                biased;
                end = &mut reading => First::Socket(end),
                () = events.closed() => First::Socket(SocketEnd::Abandoned),
                notice = self.notices.recv() => First::Notice(notice),
                () = self.control.killing.notified() => First::Kill,
            };
            match first {
                First::Socket(end) => self.after_socket(end).await,
                First::Notice(notice) => {
                    let _ = timeout(DRAIN_LIMIT, &mut reading).await;
                    self.ended(notice)
                }
                First::Kill => {
                    let ended = self.after_kill().await;
                    let _ = timeout(DRAIN_LIMIT, &mut reading).await;
                    ended
                }
            }
        };
        self.control.release();
        let ended = match self.control.beyond.get() {
            Some(why) if ended.reason == EndReason::Killed => {
                Ended { reason: EndReason::BeyondLimit(why.clone()), ..ended }
            }
            _ => ended,
        };
        let _ = timeout(OUTPUT_LIMIT, &mut self.output_end).await;
        // An owner that has gone needs no news.
        let _ = events.send(WorkerEvent::Ended(ended)).await;
    }

    async fn after_socket(&mut self, end: SocketEnd) -> Ended {
        let reason = match end {
            SocketEnd::Closed => match timeout(EXIT_GRACE, self.notices.recv()).await {
                Ok(notice) => return self.ended(notice),
                Err(_) if self.control.was_killed() => EndReason::Killed,
                Err(_) => EndReason::ClosedSocket,
            },
            SocketEnd::Malformed(problem) => EndReason::Malformed(problem),
            SocketEnd::Abandoned => EndReason::Killed,
        };
        self.control.kill();
        let ended = self.after_kill().await;
        Ended { reason: if ended.reason == EndReason::Killed { reason } else { ended.reason }, ..ended }
    }

    /// Through the zygote, then directly: a zygote that is stopped or busy must not keep a worker alive.
    async fn after_kill(&mut self) -> Ended {
        for _ in 0..2 {
            if let Ok(notice) = timeout(KILL_LIMIT, self.notices.recv()).await {
                return self.ended(notice);
            }
            self.control.process.kill();
        }
        tracing::error!(
            worker = %self.control.worker,
            pid = self.control.process.pid,
            "A killed worker's end was not reported: it may hang in the kernel"
        );
        Ended { code: None, signal: None, reason: EndReason::Unreported }
    }

    fn ended(&self, notice: Option<Notice>) -> Ended {
        match notice {
            Some(Notice::Exited { code, signal }) => {
                let killed = signal == Some(9) && self.control.was_killed();
                Ended { code, signal, reason: if killed { EndReason::Killed } else { EndReason::Exited } }
            }
            Some(Notice::ZygoteEnded(reason)) => {
                Ended { code: None, signal: None, reason: EndReason::ZygoteEnded(reason) }
            }
            // Neither can follow a fork; without a sender the zygote's session is gone.
            Some(Notice::Forked(_) | Notice::Failed(_)) | None => {
                let reason = EndReason::ZygoteEnded("the zygote's session is gone".to_owned());
                Ended { code: None, signal: None, reason }
            }
        }
    }
}

/// Passes frames on as events until the socket ends. A slow owner makes the worker wait, not this process grow.
async fn pass_on(mut reader: FrameReader<OwnedReadHalf>, events: mpsc::Sender<WorkerEvent>) -> SocketEnd {
    loop {
        let message = match reader.next().await {
            Ok(Some(frame)) => FromWorker::decode(frame),
            // A process that dies while it writes leaves half a frame, one that dies unread input a reset.
            Ok(None) | Err(FrameError::Truncated | FrameError::Io(_)) => return SocketEnd::Closed,
            Err(error) => Err(error),
        };
        match message {
            Ok(FromWorker::Hello(_)) => return SocketEnd::Malformed("hello was said twice".to_owned()),
            Ok(message) => {
                if events.send(WorkerEvent::Frame(message)).await.is_err() {
                    return SocketEnd::Abandoned;
                }
            }
            Err(error) => return SocketEnd::Malformed(error.to_string()),
        }
    }
}
