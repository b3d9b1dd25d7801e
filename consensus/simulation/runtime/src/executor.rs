//! Polls what the seed says.

use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use crate::core::{Core, MAIN};
use crate::task::TaskWaker;

/// Runs futures on this thread, in virtual time.
#[derive(Debug)]
pub struct Executor {
    core: Arc<Core>,
}

/// While it lives, its core is the thread's.
struct Entered {
    before: Option<Arc<Core>>,
}

impl Entered {
    fn new(core: &Arc<Core>) -> Self {
        Self { before: Core::replace_current(Some(Arc::clone(core))) }
    }
}

impl Drop for Entered {
    fn drop(&mut self) {
        Core::replace_current(self.before.take());
    }
}

impl Executor {
    /// An executor without tasks, whose every decision follows from the seed.
    pub fn new(seed: u64) -> Self {
        Self { core: Arc::new(Core::new(seed)) }
    }

    /// Runs a future to its end, and the tasks that it starts as far as they come until then.
    ///
    /// # Panics
    /// When nothing can ever happen any more: everybody waits, and no timer is set.
    pub fn block_on<F: Future>(&self, main: F) -> F::Output {
        let _entered = Entered::new(&self.core);
        let waker = Waker::from(Arc::new(TaskWaker { task: MAIN, woken: Arc::clone(&self.core.woken) }));
        let mut main = pin!(main);
        self.core.woken.push(MAIN);
        loop {
            let next = self.core.next();
            let task = next.unwrap_or_else(|| panic!("everybody waits for somebody else, and no timer is set"));
            if task == MAIN {
                if let Poll::Ready(output) = main.as_mut().poll(&mut Context::from_waker(&waker)) {
                    return output;
                }
            } else if let Some((mut body, waker)) = self.core.begin(task) {
                let waits = body.as_mut().poll(&mut Context::from_waker(&waker)).is_pending();
                let (kept, ended) = if waits { (Some(body), None) } else { (None, Some(body)) };
                // Outside of any lock: what is dropped may wake others.
                drop(self.core.end(task, kept));
                drop(ended);
            }
        }
    }
}

impl Drop for Executor {
    fn drop(&mut self) {
        // Tasks hold the core, and the core its tasks.
        let _entered = Entered::new(&self.core);
        drop(self.core.clear());
    }
}
