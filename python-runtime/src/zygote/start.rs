//! Starts a zygote and waits until it is ready, or says why it is not.

use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream as StdUnixStream;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, ExitStatus, Stdio};
use std::sync::Arc;
use std::time::Duration;

use tokio::net::UnixStream;
use tokio::net::unix::OwnedReadHalf;
use tokio::sync::{mpsc, watch};

use super::orders::write_orders;
use super::session::Session;
use super::spawn::{Spawned, spawn};
use super::table::Table;
use super::{Shared, Zygote};
use crate::environment::{Environment, INSTANCE_VARIABLE};
use crate::output::{Output, OutputTail};
use crate::package::Package;
use crate::process::kill_opened;
use crate::protocol::{FrameReader, FromZygote, PROTOCOL_VERSION, Ready, Refused, RefusedKind};
use crate::registry::{ProcessKind, Registry};
use crate::sandbox::Sandbox;

/// Puts the package first on `sys.path` and hands over. It must parse in any Python, so that an old one can be told to be old.
const BOOT: &str = "\
import sys
if sys.version_info < (3, 10):
    sys.stderr.write('dspex-refused {\"kind\": \"python_unsupported\", \"message\": \"%s is Python %d.%d; DSPex needs 3.10 to 3.14: \
choose another with --python\"}\\n' % (sys.executable, sys.version_info[0], sys.version_info[1]))
    sys.exit(3)
runtime, instance, parent, confined = sys.argv[1:5]
sys.argv[:] = ['']
sys.path[:] = [runtime] + [entry for entry in sys.path if entry not in ('', runtime)]
from dspex.runtime.zygote import main
main(instance, int(parent), confined == 'confined')
";

/// Begins the line that a zygote prints when it cannot even speak the protocol.
const REFUSED_LINE: &str = "dspex-refused ";

/// Orders waiting for the zygote. A kill that finds no room is done directly.
const QUEUED_ORDERS: usize = 256;

/// Why there is no zygote.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StartError {
    /// The interpreter cannot serve; the message says what to do.
    #[error("{message}")]
    Refused {
        /// The class of reason.
        kind: RefusedKind,
        /// Says what to do.
        message: String,
    },
    /// It could not be started, or it ended without a word of its own.
    #[error("{interpreter} could not be started: {message}{}", tail(output))]
    Failed {
        /// The interpreter.
        interpreter: String,
        /// What happened.
        message: String,
        /// The end of what it printed.
        output: String,
    },
    /// It did not become ready in time.
    #[error("{interpreter} did not import dspy within {} s{}", limit.as_secs(), tail(output))]
    TimedOut {
        /// The interpreter.
        interpreter: String,
        /// The limit.
        limit: Duration,
        /// The end of what it printed.
        output: String,
    },
    /// Nobody starts it any more.
    #[error("the node is stopping")]
    Stopping,
    /// It is not among those that the node starts; the message names them.
    #[error("{0}")]
    NotOurs(String),
    /// As many zygotes as are allowed are all in use.
    #[error("{0} Python environments are in use, which is the limit: try again when one of them is done")]
    TooMany(usize),
}

fn tail(output: &str) -> String {
    if output.trim().is_empty() { String::new() } else { format!("\nIt printed:\n{}", output.trim_end()) }
}

/// What a zygote is started with.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Launch<'a> {
    pub interpreter: &'a Path,
    /// Its start-up environment.
    pub environment: &'a Environment,
    pub package: &'a Package,
    pub registry: &'a Registry,
    pub limit: Duration,
    /// Of its workers.
    pub sandbox: Option<&'a Arc<Sandbox>>,
}

impl Launch<'_> {
    fn command(&self, control: OwnedFd, output: OwnedFd) -> io::Result<Command> {
        let mut command = Command::new(self.interpreter);
        command
            .args(["-c", BOOT])
            .arg(self.package.directory())
            .args([self.registry.instance(), &std::process::id().to_string()])
            .arg(if self.sandbox.is_some() { "confined" } else { "free" })
            .env_clear()
            .envs(self.environment)
            .env(INSTANCE_VARIABLE, self.registry.instance())
            .current_dir("/")
            // Ctrl-C in the node's terminal is for the node.
            .process_group(0)
            .stdin(Stdio::from(control))
            .stdout(Stdio::from(output.try_clone()?))
            .stderr(Stdio::from(output));
        Ok(command)
    }

    fn failed(&self, message: impl Into<String>, output: &OutputTail) -> StartError {
        let interpreter = self.interpreter.display().to_string();
        StartError::Failed { interpreter, message: message.into(), output: output.text() }
    }
}

/// Starts a zygote; on return it is ready and its session runs.
pub(crate) async fn start(launch: Launch<'_>) -> Result<Zygote, StartError> {
    let nothing = OutputTail::default();
    let (control, spawned, output) =
        launch_process(&launch).await.map_err(|error| launch.failed(error.to_string(), &nothing))?;
    let failed = |error: io::Error| launch.failed(error.to_string(), &output.tail);
    let registry = launch.registry;
    registry.add(ProcessKind::Zygote, None, "zygotes", spawned.fingerprint).map_err(failed)?;
    let (read_half, write_half) = control.into_split();
    let mut starting = Starting { launch, frames: FrameReader::new(read_half), spawned, output };
    match starting.ready().await {
        Ok(ready) => Ok(starting.into_zygote(ready, write_half)),
        Err(error) => {
            kill_opened(&starting.spawned.process);
            registry.remove(starting.spawned.fingerprint);
            Err(error)
        }
    }
}

async fn launch_process(launch: &Launch<'_>) -> io::Result<(UnixStream, Spawned, Output)> {
    let package = launch.package.clone();
    tokio::task::spawn_blocking(move || package.verify()).await.map_err(io::Error::other)??;
    let (ours, theirs) = StdUnixStream::pair()?;
    ours.set_nonblocking(true)?;
    let (read_end, write_end) = io::pipe()?;
    let output = Output::drain(read_end.into())?;
    // The command owns the child's ends: they are closed here when it is dropped.
    let spawned = spawn(launch.command(theirs.into(), write_end.into())?).await?;
    Ok((UnixStream::from_std(ours)?, spawned, output))
}

struct Starting<'a> {
    launch: Launch<'a>,
    frames: FrameReader<OwnedReadHalf>,
    spawned: Spawned,
    output: Output,
}

impl Starting<'_> {
    async fn ready(&mut self) -> Result<Ready, StartError> {
        let limit = self.launch.limit;
        let Ok(frame) = tokio::time::timeout(limit, self.frames.next()).await else {
            let interpreter = self.launch.interpreter.display().to_string();
            return Err(StartError::TimedOut { interpreter, limit, output: self.output.tail.text() });
        };
        match frame.and_then(|frame| frame.map(FromZygote::decode).transpose()) {
            Ok(Some(FromZygote::Ready(ready))) if ready.protocol == PROTOCOL_VERSION => Ok(ready),
            Ok(Some(FromZygote::Ready(ready))) => Err(StartError::Refused {
                kind: RefusedKind::Protocol,
                message: format!(
                    "{} speaks protocol {}, this node {PROTOCOL_VERSION}",
                    ready.executable, ready.protocol
                ),
            }),
            Ok(Some(FromZygote::Refused(Refused { kind, message }))) => Err(StartError::Refused { kind, message }),
            Ok(Some(other)) => Err(self.launch.failed(format!("it said {other:?} before ready"), &self.output.tail)),
            // An end, or what is left of a frame at one: its exit and its output say more.
            Ok(None) | Err(_) => Err(self.ended_without_a_word().await),
        }
    }

    async fn ended_without_a_word(&mut self) -> StartError {
        const LIMIT: Duration = Duration::from_secs(2);
        let exit = tokio::time::timeout(LIMIT, &mut self.spawned.exit).await;
        // All of its output, unless a child of it still holds the pipe.
        let _ = tokio::time::timeout(LIMIT, self.output.end()).await;
        let output = &self.output.tail;
        if let Some(Refused { kind, message }) = refused_line(&output.text()) {
            return StartError::Refused { kind, message };
        }
        match exit.ok().and_then(Result::ok).flatten() {
            Some(status) => self.launch.failed(describe(status), output),
            None => self.launch.failed("it closed its control socket", output),
        }
    }

    fn into_zygote(self, ready: Ready, write_half: tokio::net::unix::OwnedWriteHalf) -> Zygote {
        let Self { launch, frames, spawned, output } = self;
        let Spawned { fingerprint, process, exit } = spawned;
        let (orders, queue) = mpsc::channel(QUEUED_ORDERS);
        let (end, ended) = watch::channel(false);
        let process = Arc::new(process);
        let table = Arc::new(Table::default());
        tokio::spawn(write_orders(write_half, queue));
        let session = Session {
            fingerprint,
            frames,
            process: Arc::clone(&process),
            exit,
            table: Arc::clone(&table),
            registry: launch.registry.clone(),
            orders: orders.downgrade(),
            ended: end,
        };
        tokio::spawn(session.run());
        let (output, sandbox) = (output.tail, launch.sandbox.cloned());
        Zygote { shared: Arc::new(Shared { ready, fingerprint, process, orders, table, output, sandbox, ended }) }
    }
}

fn describe(status: ExitStatus) -> String {
    format!("it ended ({status}) before it was ready")
}

fn refused_line(output: &str) -> Option<Refused> {
    output.lines().rev().find_map(|line| serde_json::from_str(line.strip_prefix(REFUSED_LINE)?).ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_is_found_among_other_output() {
        let output = "warning\ndspex-refused {\"kind\": \"dspy_missing\", \"message\": \"install it\"}\nbye\n";
        let expected = Refused { kind: RefusedKind::DspyMissing, message: "install it".to_owned() };
        assert_eq!(refused_line(output), Some(expected));
        assert_eq!(refused_line("dspex-refused nonsense"), None);
    }

    #[test]
    fn a_failure_shows_what_was_printed() {
        let error = StartError::Failed {
            interpreter: "/bin/false".to_owned(),
            message: "it ended (exit status: 1) before it was ready".to_owned(),
            output: "Traceback\n".to_owned(),
        };
        let text =
            "/bin/false could not be started: it ended (exit status: 1) before it was ready\nIt printed:\nTraceback";
        assert_eq!(error.to_string(), text);
    }
}
