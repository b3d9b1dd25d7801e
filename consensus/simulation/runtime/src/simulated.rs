//! The runtime as openraft sees it.

use std::convert::Infallible;
use std::future::Future;
use std::io;
use std::time::Duration;

use openraft::OptionalSend;
use openraft::async_runtime::AsyncRuntime;
use openraft_rt_tokio::{TokioMpsc, TokioMutex, TokioOneshot, TokioWatch};
use rand::TryRng;

use crate::core::{Core, spawn};
use crate::executor::Executor;
use crate::task::{JoinError, JoinHandle};
use crate::time::{self, Elapsed, Instant, Sleep, Timeout};

/// openraft's tasks, time and chance. The channels are tokio's: they need no runtime.
#[derive(Debug)]
pub struct Simulated {
    executor: Executor,
}

/// Draws from the simulation that runs on this thread.
#[derive(Debug, Clone, Copy)]
pub struct SimulatedRandom;

impl TryRng for SimulatedRandom {
    type Error = Infallible;

    fn try_next_u32(&mut self) -> Result<u32, Infallible> {
        Ok((Core::current().draw() >> 32) as u32)
    }

    fn try_next_u64(&mut self) -> Result<u64, Infallible> {
        Ok(Core::current().draw())
    }

    fn try_fill_bytes(&mut self, bytes: &mut [u8]) -> Result<(), Infallible> {
        for chunk in bytes.chunks_mut(8) {
            chunk.copy_from_slice(&Core::current().draw().to_le_bytes()[..chunk.len()]);
        }
        Ok(())
    }
}

impl AsyncRuntime for Simulated {
    type JoinError = JoinError;
    type JoinHandle<T: OptionalSend + 'static> = JoinHandle<T>;
    type Sleep = Sleep;
    type Instant = Instant;
    type TimeoutError = Elapsed;
    type Timeout<R, F: Future<Output = R> + OptionalSend> = Timeout<F>;
    type ThreadLocalRng = SimulatedRandom;
    type Mpsc = TokioMpsc;
    type Watch = TokioWatch;
    type Oneshot = TokioOneshot;
    type Mutex<T: OptionalSend + 'static> = TokioMutex<T>;

    fn spawn<F>(future: F) -> JoinHandle<F::Output>
    where
        F: Future + OptionalSend + 'static,
        F::Output: OptionalSend + 'static,
    {
        spawn(future)
    }

    fn sleep(duration: Duration) -> Sleep {
        time::sleep(duration)
    }

    fn sleep_until(deadline: Instant) -> Sleep {
        time::sleep_until(deadline)
    }

    fn timeout<R, F: Future<Output = R> + OptionalSend>(duration: Duration, future: F) -> Timeout<F> {
        time::timeout(duration, future)
    }

    fn timeout_at<R, F: Future<Output = R> + OptionalSend>(deadline: Instant, future: F) -> Timeout<F> {
        time::timeout_at(deadline, future)
    }

    fn is_panic(error: &JoinError) -> bool {
        matches!(error, JoinError::Panicked(_))
    }

    fn thread_rng() -> SimulatedRandom {
        SimulatedRandom
    }

    fn new(_threads: usize) -> Self {
        Self { executor: Executor::new(0) }
    }

    fn block_on<F, T>(&mut self, future: F) -> T
    where
        F: Future<Output = T>,
    {
        self.executor.block_on(future)
    }

    /// At once: another thread would have a time of its own.
    fn spawn_blocking<F, T>(work: F) -> impl Future<Output = Result<T, io::Error>> + Send
    where
        F: FnOnce() -> T + Send + 'static,
        T: Send + 'static,
    {
        std::future::ready(Ok(work()))
    }
}
