//! Tasks, and how their ends are awaited.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, Wake};

use tokio::sync::oneshot;

/// Does what would block a thread: at once, between two polls of others.
pub fn spawn_blocking<F, T>(work: F) -> JoinHandle<T>
where
    F: FnOnce() -> T + Send + 'static,
    T: Send + 'static,
{
    crate::core::spawn(async move { work() })
}

/// Tasks in the order in which they were spawned.
pub(crate) type TaskId = u64;

pub(crate) type Body = Pin<Box<dyn Future<Output = ()> + Send>>;

/// Tasks that were woken since somebody looked. Its lock is never held while anything else is done.
#[derive(Debug, Default)]
pub(crate) struct Woken(Mutex<Vec<TaskId>>);

impl Woken {
    pub(crate) fn push(&self, task: TaskId) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(task);
    }

    pub(crate) fn take(&self) -> Vec<TaskId> {
        std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

pub(crate) struct TaskWaker {
    pub(crate) task: TaskId,
    pub(crate) woken: Arc<Woken>,
}

impl Wake for TaskWaker {
    fn wake(self: Arc<Self>) {
        self.woken.push(self.task);
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.woken.push(self.task);
    }
}

/// Why a task has no result.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum JoinError {
    /// Its group was killed.
    Killed,
    /// It panicked.
    Panicked(String),
}

impl fmt::Display for JoinError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Killed => f.write_str("the task was killed with its node"),
            Self::Panicked(message) => write!(f, "the task panicked: {message}"),
        }
    }
}

impl std::error::Error for JoinError {}

/// Waits for the end of a task. Dropping it leaves the task alone.
#[derive(Debug)]
pub struct JoinHandle<T> {
    pub(crate) result: oneshot::Receiver<Result<T, JoinError>>,
}

impl<T> Future for JoinHandle<T> {
    type Output = Result<T, JoinError>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        Pin::new(&mut self.result).poll(context).map(|received| received.unwrap_or(Err(JoinError::Killed)))
    }
}
