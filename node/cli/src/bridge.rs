//! `dspex client`: the child of a Python program that speaks gRPC for it, in the frames of workers.
//!
//! Python then needs no gRPC library of its own, and connections, tokens and retries are in one place. The frames are described in
//! `python-runtime/PROTOCOL.md`, "A driver". The socket's end means that the program is gone: then this process ends, too, and with
//! it its watch streams, by which the node knows.

mod answering;
mod answers;
mod beginning;
mod calls;
mod cancelling;
mod choosing;
mod current;
mod executions;
mod frames;
mod messages;
mod programs;
mod requests;
mod sessions;
mod stored;
mod streams;
mod variables;

use std::collections::HashMap;
use std::os::fd::AsFd;
use std::rc::Rc;

use dspex_api::{ApiError, Code, reason};
use tokio::net::UnixStream;
use tokio::sync::mpsc;
use tokio::task::{AbortHandle, LocalSet};

use crate::arguments::Global;
use crate::echo::shortened;
use crate::error::CommandError;
use crate::exit;
use frames::{Frames, Incoming, Outgoing};
use messages::{Failed, Failure};
use requests::{Bridge, NodeOptions};

/// Frames that wait for a slow program.
const QUEUE: usize = 256;
/// Parts of one request that wait for a slow node.
const PARTS: usize = 16;
/// Version of the frames: that of `dspex/client/frames.py`. Whatever the other side has to know raises it, a method more as well.
const PROTOCOL: u32 = 3;
const VERSION: &str = env!("CARGO_PKG_VERSION");
/// A reason that never leaves the driver: its package and this program are of two versions.
const VERSION_DIFFERS: &str = "PROGRAM_VERSION_DIFFERS";
const ONE_VERSION: &str =
    "install one version of both: a wheel brings both, and DSPEX_PROGRAM names the program that is taken";

/// Serves the program on stdin's socket until it goes.
pub async fn serve(global: &Global) -> Result<u8, CommandError> {
    let socket = socket().map_err(|error| {
        CommandError::usage(format!(
            "`dspex client` is started by the Python package, with a socket as its stdin: {error}"
        ))
    })?;
    let (reader, writer) = socket.into_split();
    let (sender, outgoing) = mpsc::channel(QUEUE);
    let writing = tokio::spawn(frames::write(writer, outgoing));
    let hello = Outgoing::Hello { protocol: PROTOCOL, version: VERSION };
    let _ = sender.send(hello).await;
    let mut session = Session {
        bridge: Rc::new(Bridge::new(NodeOptions::of(global), sender)),
        running: HashMap::new(),
        parts: HashMap::new(),
    };
    let mut frames = Frames::new(reader);
    // One thread: the requests of one program wait, they do not compute.
    let end = LocalSet::new().run_until(session.listen(&mut frames)).await;
    session.running.values().for_each(AbortHandle::abort);
    drop(session);
    writing.abort();
    match end {
        Ok(()) => Ok(exit::OK),
        Err(error) => Err(CommandError::because(reason::REQUEST_INVALID, error)),
    }
}

fn socket() -> std::io::Result<UnixStream> {
    let descriptor = std::io::stdin().as_fd().try_clone_to_owned()?;
    let socket = std::os::unix::net::UnixStream::from(descriptor);
    // Anything but a socket has no peer.
    socket.peer_addr()?;
    socket.set_nonblocking(true)?;
    UnixStream::from_std(socket)
}

struct Session {
    bridge: Rc<Bridge>,
    running: HashMap<u64, AbortHandle>,
    /// Where the parts of a request go that takes some.
    parts: HashMap<u64, mpsc::Sender<messages::Part>>,
}

impl Session {
    async fn listen(&mut self, frames: &mut Frames) -> Result<(), String> {
        while let Some(frame) = frames.next().await? {
            self.running.retain(|_, task| !task.is_finished());
            match frame {
                Incoming::Hello(hello) if hello.protocol != PROTOCOL => return Err(differs(hello.protocol)),
                Incoming::Hello(_) => {}
                Incoming::Unknown(named) => {
                    let refused = Failed::new(named.id, &Failure::Api(unknown(&named.method)));
                    self.bridge.send(Outgoing::Error(refused)).await;
                }
                Incoming::Request(request) => {
                    let (sender, parts) = mpsc::channel(PARTS);
                    self.parts.retain(|_, sender| !sender.is_closed());
                    self.parts.insert(request.id, sender);
                    let bridge = Rc::clone(&self.bridge);
                    let id = request.id;
                    let task = tokio::task::spawn_local(async move { bridge.answer(*request, parts).await });
                    self.running.insert(id, task.abort_handle());
                }
                Incoming::Cancel(cancel) => {
                    self.parts.remove(&cancel.id);
                    if let Some(task) = self.running.remove(&cancel.id) {
                        task.abort();
                    }
                }
                Incoming::Part(part) => {
                    if let Some(sender) = self.parts.get(&part.id) {
                        // A request that has ended needs no more of it.
                        let _ = sender.send(part).await;
                    }
                }
            }
        }
        Ok(())
    }
}

/// Which side is older, and what to do about it.
fn differs(theirs: u32) -> String {
    let (older, newer) = match theirs < PROTOCOL {
        true => ("the Python package", "this program"),
        false => ("this program", "the Python package"),
    };
    format!(
        "{older} is older than {newer}: the package speaks protocol {theirs}, the program (dspex {VERSION}) {PROTOCOL}; {ONE_VERSION}"
    )
}

/// Of a package that is newer, although the version of the frames is the same.
fn unknown(method: &str) -> ApiError {
    let message = format!(
        "this program (dspex {VERSION}) does not know `{}`: it is older than the Python package; {ONE_VERSION}",
        shortened(method)
    );
    ApiError::new(Code::Unimplemented, VERSION_DIFFERS, message)
}

impl Bridge {
    async fn answer(&self, request: messages::Request, parts: mpsc::Receiver<messages::Part>) {
        let id = request.id;
        let outgoing = match self.perform(request, parts).await {
            Ok(body) => Outgoing::Answer { id, body },
            Err(error) => Outgoing::Error(Failed::new(id, &error)),
        };
        self.send(outgoing).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn which_side_is_older_is_said_with_what_to_install() {
        assert!(differs(PROTOCOL - 1).starts_with("the Python package is older than this program"));
        assert!(differs(PROTOCOL + 1).starts_with("this program is older than the Python package"));
        let unknown = unknown("moon.land");
        assert_eq!((unknown.code, unknown.reason.as_ref()), (Code::Unimplemented, VERSION_DIFFERS));
        for told in [differs(PROTOCOL + 1), unknown.message] {
            assert!(told.contains("install one version of both") && told.contains(VERSION), "{told}");
        }
    }
}
