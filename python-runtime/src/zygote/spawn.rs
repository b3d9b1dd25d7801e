//! Starts processes from one thread that never ends.
//!
//! A zygote asks the kernel to be killed when its parent dies, and the kernel means the parent *thread*: spawned from a thread of an
//! async runtime, a zygote would die whenever that thread is retired.

use std::io;
use std::os::fd::OwnedFd;
use std::process::{Child, Command, ExitStatus};
use std::sync::{Mutex, PoisonError, mpsc};
use std::thread;

use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, kill_process_group, waitid};
use tokio::sync::oneshot;

use crate::process::{Fingerprint, kill_opened, open};

/// A process that leads a group of its own.
#[derive(Debug)]
pub(super) struct Spawned {
    pub fingerprint: Fingerprint,
    /// Its pidfd.
    pub process: OwnedFd,
    /// Fires when it has ended, its group was killed, and it was reaped.
    pub exit: oneshot::Receiver<Option<ExitStatus>>,
}

struct Request {
    command: Command,
    reply: oneshot::Sender<io::Result<Spawned>>,
}

/// Spawns a command that leads its own process group.
pub(super) async fn spawn(command: Command) -> io::Result<Spawned> {
    let (reply, spawned) = oneshot::channel();
    spawner()?.send(Request { command, reply }).map_err(io::Error::other)?;
    spawned.await.map_err(io::Error::other)?
}

fn spawner() -> io::Result<mpsc::Sender<Request>> {
    static SPAWNER: Mutex<Option<mpsc::Sender<Request>>> = Mutex::new(None);
    let mut spawner = SPAWNER.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(sender) = &*spawner {
        return Ok(sender.clone());
    }
    let (sender, requests) = mpsc::channel();
    // The static sender keeps the channel open: the thread lasts as long as the process.
    thread::Builder::new().name("zygote-spawner".to_owned()).spawn(move || serve(&requests))?;
    *spawner = Some(sender.clone());
    Ok(sender)
}

fn serve(requests: &mpsc::Receiver<Request>) {
    for Request { mut command, reply } in requests {
        if let Err(Ok(unwanted)) = reply.send(command.spawn().and_then(watch)) {
            kill_opened(&unwanted.process);
        }
    }
}

/// The child is not reaped before this has opened it: the fingerprint is certainly its own.
fn watch(mut child: Child) -> io::Result<Spawned> {
    let pid = child.id();
    let (Some(process), Some(fingerprint)) = (open(pid), Fingerprint::of(pid)) else {
        child.kill()?;
        child.wait()?;
        return Err(io::Error::other("this kernel has no pidfd_open (Linux 5.3 or later is needed) or no /proc"));
    };
    let (ended, exit) = oneshot::channel();
    thread::Builder::new().name("zygote-reaper".to_owned()).spawn(move || {
        // Nobody listens when the runtime is gone.
        let _ = ended.send(reap(&mut child));
    })?;
    Ok(Spawned { fingerprint, process, exit })
}

/// Waits for the end, kills what is left of the group while the unreaped leader still holds its number, then reaps.
fn reap(child: &mut Child) -> Option<ExitStatus> {
    let pid = i32::try_from(child.id()).ok().and_then(Pid::from_raw)?;
    while let Err(error) = waitid(WaitId::Pid(pid), WaitIdOptions::EXITED | WaitIdOptions::NOWAIT) {
        if error != rustix::io::Errno::INTR {
            break;
        }
    }
    // There may be nobody else in the group.
    let _ = kill_process_group(pid, Signal::KILL);
    child.wait().ok()
}
