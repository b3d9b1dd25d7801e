//! Forks a worker and waits until it has said hello.

use std::io;
use std::os::unix::net::UnixStream as StdUnixStream;
use std::path::Path;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use tokio::net::UnixStream;
use tokio::net::unix::OwnedReadHalf;
use tokio::sync::mpsc;
use tokio::time::{Instant, timeout_at};

use super::WorkerProcess;
use super::control::{Control, QUEUED_FRAMES, WorkerHandle, write_frames};
use super::supervision::Supervision;
use crate::environment::{Environment, worker_environment};
use crate::output::Output;
use crate::process::Fingerprint;
use crate::protocol::{Fork, FrameError, FrameReader, FromWorker, Hello, PROTOCOL_VERSION, ToZygote};
use crate::sandbox::Confinement;
use crate::zygote::{NotEntered, Notice, Order, Zygote};

/// From the order to the worker's hello.
const HELLO_LIMIT: Duration = Duration::from_secs(10);
/// Events waiting for the owner; each is a frame, and results come many to a frame.
const QUEUED_EVENTS: usize = 64;

/// Why there is no worker.
#[derive(Debug, thiserror::Error)]
pub enum ForkError {
    /// Ask [`Zygotes`](crate::Zygotes) for the zygote again: it is started anew.
    #[error("the zygote has ended: {0}")]
    ZygoteEnded(String),
    /// Ids are never used twice.
    #[error("a worker {0} already exists")]
    Taken(String),
    /// The directory's name has no place in the protocol.
    #[error("the directory {0:?} is not valid UTF-8")]
    Directory(String),
    /// The kernel did not give a process.
    #[error("no worker could be forked: {0}")]
    Refused(String),
    /// It ended, or said something else, instead of hello.
    #[error("the worker did not come up: {message}{}", tail(output))]
    NoHello {
        /// What happened.
        message: String,
        /// The end of what it printed.
        output: String,
    },
    /// No worker of this node runs without its sandbox, and this one would have.
    #[error("the worker is not in its sandbox: {0}")]
    NotConfined(String),
    /// It is not of this version.
    #[error("the worker speaks protocol {0}, this node {PROTOCOL_VERSION}")]
    Version(u32),
    /// No socket or pipe could be made, or the order is too long.
    #[error("preparing a worker: {0}")]
    Io(#[from] io::Error),
}

fn tail(output: &str) -> String {
    if output.trim().is_empty() { String::new() } else { format!("\nIt printed:\n{}", output.trim_end()) }
}

impl Zygote {
    /// Forks a worker. `environment` is the caller's whole one; `actor` names the owner in the registry. A future that is dropped
    /// on the way leaves no worker behind.
    pub async fn fork(
        &self,
        worker: &str,
        environment: &Environment,
        directory: &Path,
        actor: &str,
    ) -> Result<WorkerProcess, ForkError> {
        let deadline = Instant::now() + HELLO_LIMIT;
        let confinement = self.confine(directory).await?;
        let frame = match &confinement {
            None => fork_frame(worker, environment, directory, None)?,
            Some(own) => fork_frame(worker, &own.environment(environment), own.directory(), Some(own))?,
        };
        let heard = self.table().heard();
        let (ours, theirs) = StdUnixStream::pair()?;
        ours.set_nonblocking(true)?;
        let socket = UnixStream::from_std(ours)?;
        let (read_end, write_end) = io::pipe()?;
        let output = Output::drain(read_end.into())?;
        let order = Order::fork(frame, theirs.into(), write_end.into());
        let mut notices = self.table().enter(worker, actor).map_err(|error| match error {
            NotEntered::Ended => ForkError::ZygoteEnded("before the worker was forked".to_owned()),
            NotEntered::Taken => ForkError::Taken(worker.to_owned()),
        })?;
        if !matches!(timeout_at(deadline, self.orders().send(order)).await, Ok(Ok(()))) {
            self.table().withdraw(worker);
            return Err(self.no_answer(heard));
        }
        let process = self.forked(&mut notices, deadline, heard).await?;
        let control = Arc::new(Control::new(worker.to_owned(), process, output.tail.clone(), self.clone()));
        Newborn { control, notices, output, armed: true }.greet(socket, confinement, deadline).await
    }

    /// A directory and an order, where workers are sandboxed. It reads directories: not on a thread that serves sockets.
    async fn confine(&self, directory: &Path) -> Result<Option<Confinement>, ForkError> {
        let Some(sandbox) = self.sandbox().cloned() else { return Ok(None) };
        let (directory, libraries) = (directory.to_owned(), self.ready().paths.clone());
        let confining = tokio::task::spawn_blocking(move || sandbox.confine(&directory, &libraries));
        let confined = confining.await.map_err(io::Error::other)?;
        confined.map(Some).map_err(|error| ForkError::NotConfined(error.to_string()))
    }

    async fn forked(
        &self,
        notices: &mut mpsc::Receiver<Notice>,
        deadline: Instant,
        heard: u64,
    ) -> Result<Fingerprint, ForkError> {
        match timeout_at(deadline, notices.recv()).await {
            Ok(Some(Notice::Forked(process))) => Ok(process),
            Ok(Some(Notice::Failed(message))) => Err(ForkError::Refused(message)),
            Ok(Some(Notice::ZygoteEnded(reason))) => Err(ForkError::ZygoteEnded(reason)),
            Ok(Some(Notice::Exited { .. }) | None) => Err(ForkError::Refused("it ended before it began".to_owned())),
            Err(_) => Err(self.no_answer(heard)),
        }
    }

    /// A zygote does nothing but fork: one that has said nothing at all since hangs and is of no use to anybody. A slow one
    /// is left to its other workers.
    fn no_answer(&self, heard: u64) -> ForkError {
        let silence = format!("no answer within {} s", HELLO_LIMIT.as_secs());
        if self.table().heard() != heard {
            return ForkError::Refused(silence);
        }
        self.kill();
        ForkError::ZygoteEnded(format!("{silence}: it was killed"))
    }
}

fn fork_frame(
    worker: &str,
    environment: &Environment,
    directory: &Path,
    confinement: Option<&Confinement>,
) -> Result<bytes::Bytes, ForkError> {
    let directory = directory.to_str().ok_or_else(|| ForkError::Directory(directory.display().to_string()))?;
    let fork = Fork {
        worker: worker.to_owned(),
        environment: worker_environment(environment),
        directory: directory.to_owned(),
        sandbox: confinement.map(|confinement| confinement.order().clone()),
        protocol: PROTOCOL_VERSION,
    };
    ToZygote::Fork(Box::new(fork)).encode().map_err(|error| ForkError::Io(io::Error::other(error)))
}

/// A process without an owner yet: killed when it is dropped.
struct Newborn {
    control: Arc<Control>,
    notices: mpsc::Receiver<Notice>,
    output: Output,
    armed: bool,
}

impl Drop for Newborn {
    fn drop(&mut self) {
        if self.armed {
            self.control.kill();
        }
    }
}

impl Newborn {
    async fn greet(
        mut self,
        socket: UnixStream,
        confinement: Option<Confinement>,
        deadline: Instant,
    ) -> Result<WorkerProcess, ForkError> {
        let (read_half, write_half) = socket.into_split();
        let mut reader = FrameReader::new(read_half);
        let hello = self.hello(&mut reader, deadline).await?;
        if let Some(confinement) = confinement {
            let control = Arc::downgrade(&self.control);
            let confined = confinement.begin(&self.control.worker, &hello, control).map_err(ForkError::NotConfined)?;
            *self.control.confined.lock().unwrap_or_else(PoisonError::into_inner) = Some(confined);
        }
        self.armed = false;
        let (frames, queue) = mpsc::channel(QUEUED_FRAMES);
        let (events, receiver) = mpsc::channel(QUEUED_EVENTS);
        tokio::spawn(write_frames(write_half, queue));
        let (_, empty) = mpsc::channel(1);
        let lines = std::mem::replace(&mut self.output.lines, empty);
        let (_, no_notices) = mpsc::channel(1);
        let supervision = Supervision {
            control: Arc::clone(&self.control),
            notices: std::mem::replace(&mut self.notices, no_notices),
            events,
            output_end: Box::pin(self.output.end()),
        };
        tokio::spawn(supervision.run(reader));
        let handle = WorkerHandle { frames, control: Arc::clone(&self.control) };
        Ok(WorkerProcess { handle, events: receiver, lines })
    }

    async fn hello(&self, reader: &mut FrameReader<OwnedReadHalf>, deadline: Instant) -> Result<Hello, ForkError> {
        let said = match timeout_at(deadline, reader.next()).await {
            Ok(Ok(Some(frame))) => FromWorker::decode(frame),
            Ok(Ok(None)) => return Err(self.silent("it ended").await),
            Ok(Err(error)) => Err(error),
            Err(_) => return Err(self.silent(&format!("no hello within {} s", HELLO_LIMIT.as_secs())).await),
        };
        match said {
            Ok(FromWorker::Hello(Hello { protocol, .. })) if protocol != PROTOCOL_VERSION => {
                Err(ForkError::Version(protocol))
            }
            Ok(FromWorker::Hello(hello))
                if hello.worker == self.control.worker && hello.pid == self.control.process.pid =>
            {
                Ok(hello)
            }
            Ok(_) => Err(self.silent("it said something else than its own hello").await),
            Err(FrameError::Io(_) | FrameError::Truncated) => Err(self.silent("it ended").await),
            Err(error) => Err(self.silent(&error.to_string()).await),
        }
    }

    async fn silent(&self, message: &str) -> ForkError {
        self.control.kill();
        // What it printed says why; a moment for the rest of it.
        let _ = tokio::time::timeout(Duration::from_millis(500), self.output.end()).await;
        ForkError::NoHello { message: message.to_owned(), output: self.control.output.text() }
    }
}
